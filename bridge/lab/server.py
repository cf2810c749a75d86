"""The service itself as an operator runs it: a process, configured by its environment."""

import asyncio
import ssl
import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

import aiohttp

from bridge.lab import processes
from bridge.lab.errors import LabError
from bridge.lab.ports import free_tcp

_COMMAND = (sys.executable, "-m", "bridge")
_READY_LIMIT = 15.0


class Server:
    """A running ``whisper-bridge serve`` beside an Asterisk of the lab.

    Use `async with await Server.start(…) as server:`; leaving it ends the process with SIGTERM.

    Attributes:
        url: where it listens, `http://127.0.0.1:PORT`, over TLS `https://localhost:PORT`.
        log: what it logs.
    """

    def __init__(
        self, run_dir: Path, env: Mapping[str, str], port: int, authority: Path | None = None
    ) -> None:
        self.url = f"https://localhost:{port}" if authority else f"http://127.0.0.1:{port}"
        self._authority = authority
        self.log = run_dir / "bridge.log"
        self._run_dir = run_dir
        self._env = {**env, "BRIDGE_HTTP_PORT": str(port)}
        self._process: asyncio.subprocess.Process | None = None

    @classmethod
    async def start(
        cls,
        run_dir: Path,
        *,
        ami_port: int,
        ami_secret: str,
        directory: Path,
        ready: bool = True,
        authority: Path | None = None,
        **more: str,
    ) -> "Server":
        """Start the service and wait until it answers, anything but 503 if it is to be ready.

        Args:
            run_dir: where it may write; made if it is not there.
            ami_port: Asterisk's AMI port on 127.0.0.1.
            ami_secret: the secret of the AMI user `whisper-bridge`.
            directory: its directory of organizations, users, extensions and apps.
            ready: whether to wait until its picture of the PBX is complete.
            authority: who vouches for its certificate, in PEM, if it is to speak TLS.
            more: further settings by their names.

        Raises:
            LabError: it does not come up; the message has the end of its log.
        """
        run_dir.mkdir(parents=True, exist_ok=True)
        env = {
            "BRIDGE_AMI_PORT": str(ami_port),
            "BRIDGE_AMI_SECRET": ami_secret,
            "BRIDGE_DIRECTORY": str(directory),
            "BRIDGE_STATE_DIR": str(run_dir / "state"),
            **more,
        }
        server = cls(run_dir, env, free_tcp(), authority)
        await server.boot(ready=ready)
        return server

    async def __aenter__(self) -> Self:
        """Return itself."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the service."""
        await self.stop()

    async def boot(self, *, ready: bool = True) -> None:
        """Start the process and wait until it answers, anything but 503 if it is to be ready."""
        command = (*_COMMAND, "serve")
        self._process = await processes.spawn(
            command, cwd=self._run_dir, env=self._env, output=self.log
        )
        try:
            await self._answers((0,) if not ready else (0, 503))
        except BaseException:
            await self.stop()
            raise

    @property
    def pid(self) -> int:
        """Its process id; 0 when it is not running."""
        process = self._process
        return process.pid if process is not None and process.returncode is None else 0

    async def stop(self) -> int:
        """End it with SIGTERM and return its exit code."""
        if self._process is None:
            return 0
        await processes.stop(self._process, patience=20)
        return self._process.returncode or 0

    async def kill(self) -> None:
        """End it at once with SIGKILL."""
        if self._process is not None and self._process.returncode is None:
            await processes.kill(self._process)

    async def token(self, client_id: str) -> str:
        """Return a bearer token, as `whisper-bridge token CLIENT_ID` prints it.

        Raises:
            LabError: it prints none.
        """
        command = (*_COMMAND, "token", client_id)
        return (await processes.run(command, limit=15, env=self._env)).strip()

    def client(self) -> aiohttp.ClientSession:
        """An HTTP client that accepts its certificate."""
        trusted = ssl.create_default_context(cafile=self._authority) if self._authority else True
        return aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trusted))

    async def _answers(self, not_yet: tuple[int, ...]) -> None:
        try:
            async with asyncio.timeout(_READY_LIMIT), self.client() as http:
                while await self._status(http) in not_yet:
                    await asyncio.sleep(0.02)
        except TimeoutError as error:
            raise self._failed(f"is not ready after {_READY_LIMIT:g} s") from error

    async def _status(self, http: aiohttp.ClientSession) -> int:
        """How ready it says it is; 0 while nobody listens."""
        if not self.pid:
            raise self._failed("ended while starting")
        try:
            async with http.get(f"{self.url}/readyz") as answer:
                return answer.status
        except aiohttp.ClientConnectionError:
            return 0

    def _failed(self, what: str) -> LabError:
        end = processes.last_lines(self.log.read_text(errors="replace"), 12)
        return LabError(f"the service {what}; its log ends with:\n{end}")
