"""Run an Asterisk of our own: its configuration, its start, its end.

It needs no root, listens on 127.0.0.1 only, unless it has a container to itself, and writes below
one directory only.
"""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from bridge.lab import processes, tones
from bridge.lab.errors import LabError
from bridge.lab.observer import Observer
from bridge.lab.packages import AsteriskBuild
from bridge.lab.ports import Ports

PHONE_PASSWORD = "lab-phone"
"""The SIP password of every phone of the lab."""
OBSERVER_SECRET = "lab-observer"
"""The AMI secret of the user `lab`, who may see and do everything."""

_BOOT_LIMIT = 30.0
_STOP_PATIENCE = 5.0
# The defaults will do for these, but a file that is missing is an ERROR in Asterisk's log.
_LEFT_EMPTY = ("acl", "ccss", "pjproject", "queuerules", "stasis", "udptl")
# sockaddr_un has room for 108 bytes, and Asterisk gives up a few earlier.
_LONGEST_SOCKET_PATH = 104


def conf_dir() -> Path:
    """Return where the Asterisk configuration is: in the checkout, or in the installed package.

    Raises:
        LabError: it is in neither place.
    """
    package = Path(__file__).resolve().parent.parent
    for place in (package.parent / "asterisk-conf", package / "_asterisk_conf"):
        if (place / "lab").is_dir():
            return place
    raise LabError(f"the Asterisk configuration is missing beside {package}: install again")


class Asterisk:
    """A running Asterisk.

    Use `async with await Asterisk.start(…) as pbx:`; leaving it stops Asterisk.

    Attributes:
        build: which Asterisk it is.
        run_dir: everything it writes is below.
        ports: what it listens on.
        boot_seconds: how long the last start took until it was fully booted.
    """

    def __init__(self, build: AsteriskBuild, run_dir: Path, ports: Ports) -> None:
        """Describe it; `start` is what makes a running one."""
        self.build = build
        self.run_dir = run_dir.resolve()
        self.ports = ports
        self.boot_seconds = 0.0
        self._process: asyncio.subprocess.Process | None = None

    @classmethod
    async def start(
        cls,
        build: AsteriskBuild,
        run_dir: Path,
        *,
        bridge_secret: str,
        ports: Ports | None = None,
        certificate: Path | None = None,
    ) -> "Asterisk":
        """Write the configuration, start Asterisk and wait until it is fully booted.

        Args:
            build: which Asterisk to run.
            run_dir: where it may write; made if it is not there. Keep the path short.
            bridge_secret: the AMI secret of the user `whisper-bridge`.
            ports: what to listen on; free ones if not given.
            certificate: a PEM file with a key and its certificates, for AMI over TLS as well.

        Raises:
            LabError: it does not come up; the message has the end of its log.
        """
        pbx = cls(build, run_dir, ports or Ports.free())
        render(build, pbx.run_dir, pbx.ports, bridge_secret, certificate=certificate)
        await pbx.boot()
        return pbx

    async def __aenter__(self) -> Self:
        """Return itself."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop Asterisk."""
        await self.stop()

    @property
    def sip_port(self) -> int:
        """Its UDP port for the phones."""
        return self.ports.sip

    @property
    def ami_port(self) -> int:
        """Its TCP port for AMI."""
        return self.ports.ami

    @property
    def ami_tls_port(self) -> int:
        """Its TCP port for AMI over TLS, if it has a certificate."""
        return self.ports.ami_tls

    @property
    def log(self) -> Path:
        """Its log: notices, warnings, errors and the dialplan's steps."""
        return self.run_dir / "log/full"

    @property
    def pid(self) -> int:
        """Its process id; 0 when it is not running."""
        process = self._process
        return process.pid if process is not None and process.returncode is None else 0

    async def boot(self) -> None:
        """Start it, when it is not running, and wait until it is fully booted.

        Raises:
            LabError: it does not come up; the message has the end of its log.
        """
        if self.pid:
            return
        began = time.monotonic()
        self._process = await processes.spawn(
            (*self.build.command, "-f", "-C", str(self.run_dir / "etc/asterisk.conf")),
            cwd=self.run_dir,
            env=self.build.env,
            output=self.run_dir / "log/console",
        )
        try:
            async with asyncio.timeout(_BOOT_LIMIT):
                await self._fully_booted()
        except TimeoutError as error:
            await self.kill()
            raise LabError(self._complaint(f"is not up after {_BOOT_LIMIT:.0f} s")) from error
        except BaseException:
            await self.kill()
            raise
        self.boot_seconds = time.monotonic() - began

    async def stop(self) -> None:
        """End it the orderly way; it hangs up all calls. Insist if it does not go."""
        if self._process is not None:
            await processes.stop(self._process, patience=_STOP_PATIENCE)

    async def kill(self) -> None:
        """End it at once, as a crash would."""
        if self._process is not None and self._process.returncode is None:
            await processes.kill(self._process)

    async def restart(self) -> None:
        """Stop it and start it again on the same ports."""
        await self.stop()
        await self.boot()

    async def observer(self) -> Observer:
        """Return a new AMI connection that sees and may do everything; close it after use."""
        return await Observer.connect(self.ami_port, OBSERVER_SECRET)

    async def _fully_booted(self) -> None:
        while True:
            if not self.pid:
                raise LabError(self._complaint("ended while starting"))
            try:
                observer = await self.observer()
            except LabError:
                await asyncio.sleep(0.02)
                continue
            async with observer:
                await observer.event(
                    lambda e: e.get("Event") == "FullyBooted", "FullyBooted", within=_BOOT_LIMIT
                )
            return

    def _complaint(self, what: str) -> str:
        lines = [f"Asterisk {self.build.version} {what}; {self.log} ends with:"]
        for file in (self.run_dir / "log/console", self.log):
            if file.exists():
                lines.append(processes.last_lines(file.read_text(errors="replace"), 12))
        return "\n".join(lines)


@dataclass(frozen=True)
class Container:
    """What an Asterisk that has a container to itself must know of it.

    Attributes:
        address: the container's own.
        published_address: where phones outside find it.
        published_port: the UDP port there that leads to `Ports.published`.
        phone_password: the SIP password of every phone.
    """

    address: str
    published_address: str
    published_port: int
    phone_password: str


def render(
    build: AsteriskBuild,
    run_dir: Path,
    ports: Ports,
    bridge_secret: str,
    *,
    certificate: Path | None = None,
    container: Container | None = None,
) -> None:
    """Write the lab's configuration for one Asterisk below its directory.

    Args:
        build: which Asterisk will read it.
        run_dir: where it may write.
        ports: what it will listen on.
        bridge_secret: the AMI secret of the user `whisper-bridge`.
        certificate: a PEM file for AMI over TLS; none, no TLS.
        container: its container, if it has one to itself.

    Raises:
        LabError: the directory's path is too long or cannot be written to.
    """
    if len(str(run_dir / "asterisk.ctl").encode()) > _LONGEST_SOCKET_PATH:
        raise LabError(f"{run_dir} is too long a path for a Unix socket: choose a shorter one")
    values = {
        "RUN_DIR": run_dir,
        "MODULE_DIR": build.module_dir,
        "DATA_DIR": build.data_dir,
        "MAJOR": build.major,
        "SIP_PORT": ports.sip,
        "CHAN_SIP_PORT": ports.chan_sip,
        "AMI_PORT": ports.ami,
        "AMI_TLS": _tls(ports, certificate) if certificate else "",
        "RTP_FIRST": ports.rtp_first,
        "RTP_LAST": ports.rtp_last,
        "ADDRESS": container.address if container else "127.0.0.1",
        "LOG": "/proc/self/fd/1" if container else "full",
        "PHONE_PASSWORD": container.phone_password if container else PHONE_PASSWORD,
        "OBSERVER_SECRET": OBSERVER_SECRET,
        "SECRET": bridge_secret,
    }
    try:
        for directory in (
            "etc/manager.d",
            "etc/extensions.d",
            "etc/container",
            "log",
            "spool/tmp",
            "spool/monitor",
            "var",
            "moh",
        ):
            (run_dir / directory).mkdir(parents=True, exist_ok=True)
        _render_all(conf_dir(), run_dir / "etc", values)
        if container:
            _render_container(conf_dir(), run_dir / "etc", values, container, ports)
        tones.write(run_dir / "moh/hold.wav", tones.MUSIC_HZ, 10, dbfs=-12)
    except OSError as error:
        raise LabError(f"cannot write the configuration below {run_dir}: {error}") from error


def _tls(ports: Ports, certificate: Path) -> str:
    settings = {
        "tlsenable": "yes",
        "tlsbindaddr": f"127.0.0.1:{ports.ami_tls}",
        "tlscertfile": certificate,
    }
    return "\n".join(f"{name} = {value}" for name, value in settings.items())


def _render_all(conf: Path, etc: Path, values: Mapping[str, object]) -> None:
    for name in _LEFT_EMPTY:
        (etc / f"{name}.conf").write_text("")
    for template in (conf / "lab").glob("*.conf"):
        _fill_in(template, etc, values)
    for added in ("manager.d", "extensions.d"):
        for template in conf.glob(f"{added}/*.conf"):
            _fill_in(template, etc / added, values)


def _render_container(
    conf: Path, etc: Path, values: Mapping[str, object], container: Container, ports: Ports
) -> None:
    more = {
        "PUBLISHED_ADDRESS": container.published_address,
        "PUBLISHED_PORT": container.published_port,
        "PUBLISHED_BIND": ports.published,
    }
    for template in conf.glob("lab/container/*.conf"):
        _fill_in(template, etc / "container", {**values, **more})


def _fill_in(template: Path, place: Path, values: Mapping[str, object]) -> None:
    text = template.read_text()
    for name, value in values.items():
        text = text.replace(f"@{name}@", str(value))
    (place / template.name).write_text(text)
