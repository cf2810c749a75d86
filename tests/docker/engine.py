"""A Docker engine of our own, and images made from Debian's packages: nothing is pulled.

Needs root. The engine lives in namespaces of its own, for processes and for mounts: when it ends,
or whoever started it, the kernel ends all its containers and takes its mounts along.
"""

import asyncio
import os
import re
import shlex
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from bridge.lab import processes
from bridge.lab.errors import LabError
from bridge.lab.packages import cache_dir
from bridge.lab.waiting import until

NEEDED = {"dockerd": "docker.io", "docker": "docker.io", "debootstrap": "debootstrap"}
"""Program to the package of Debian that has it."""

_START_LIMIT, _INSTALL_LIMIT, _BUILD_LIMIT = 60.0, 600.0, 600.0


async def install_missing(needed: dict[str, str] = NEEDED) -> None:
    """Install programs that are not on this machine from its Debian.

    Raises:
        LabError: we are not root, or apt fails.
    """
    if os.getuid() != 0:
        raise LabError("needs root: a Docker engine is started")
    missing = sorted({package for name, package in needed.items() if not shutil.which(name)})
    if not missing:
        return
    apt = ("apt-get", "-qq", "-o", "DPkg::Lock::Timeout=300", "-o", "Acquire::Retries=3")
    env = {"DEBIAN_FRONTEND": "noninteractive"}
    update = (*apt, "-o", "Acquire::Check-Valid-Until=false", "update")
    await processes.run(update, limit=_INSTALL_LIMIT)
    install = (*apt, "install", "--yes", "--no-install-recommends", *missing)
    await processes.run(install, limit=_INSTALL_LIMIT, env=env)


class Engine:
    """A running engine.

    Use `async with Engine() as engine:`; leaving it ends the engine, its containers and its images.
    """

    def __init__(self, *, network: Sequence[str] = ("--iptables=false", "--bridge=none")) -> None:
        """Describe it.

        Args:
            network: dockerd's options for its networks; without any of its own, containers have
                this machine's network or none.
        """
        self._network = network
        self._process: asyncio.subprocess.Process | None = None
        self.folder = Path()

    async def __aenter__(self) -> Self:
        """Install what is missing and start the engine.

        Raises:
            LabError: it does not come up; the message has the end of its log.
        """
        await install_missing()
        self.folder = Path(tempfile.mkdtemp(prefix="whisper-engine-"))
        here = self.folder
        self._process = await processes.spawn(
            (
                *("unshare", "--pid", "--fork", "--kill-child", "--mount", "--mount-proc"),
                *("dockerd", "--host", self.host, "--data-root", f"{here}/data"),
                *("--exec-root", f"{here}/exec", "--pidfile", f"{here}/docker.pid"),
                *self._network,
            ),
            cwd=here,
            env={},
            output=here / "log",
        )
        try:
            await until(self._is_up, "dockerd is up", within=_START_LIMIT, every=0.1)
        except BaseException as error:
            log = processes.last_lines((here / "log").read_text(errors="replace"), 12)
            await self.__aexit__(None, None, None)
            raise LabError(f"dockerd does not start; its log ends with:\n{log}") from error
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the engine and remove whatever it had."""
        if self._process is not None and self._process.returncode is None:
            for container in (await self.docker("ps", "--all", "--quiet", may_fail=True)).split():
                await self.docker("rm", "--force", container, may_fail=True)
            await processes.kill(self._process)
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def host(self) -> str:
        """Its address, as DOCKER_HOST has it."""
        return f"unix://{self.folder}/docker.sock"

    async def docker(self, *arguments: str, limit: float = 60, may_fail: bool = False) -> str:
        """Run the `docker` command and return what it printed.

        Raises:
            LabError: it failed or took longer than `limit` seconds.
        """
        command = ("docker", "--host", self.host, *arguments)
        return await processes.run(command, limit=limit, may_fail=may_fail)

    async def image(self, suite: str, packages: Sequence[str] = ()) -> str:
        """Make an image of a release of Debian with some packages more, and return its name.

        What it is made from is kept beside the lab's programs.
        """
        root = await debian_root(suite, packages)
        name = re.sub(r"[^a-z0-9]+", "-", root.name.removesuffix(".tar"))
        await self.docker("import", str(root), name, limit=_BUILD_LIMIT)
        return name

    def _is_up(self) -> bool:
        if self._process is None or self._process.returncode is not None:
            raise LabError("dockerd has ended")
        return "API listen on" in (self.folder / "log").read_text(errors="replace")


async def debian_root(suite: str, packages: Sequence[str] = ()) -> Path:
    """Return a root file system as a tar file: Debian's smallest, with some packages more."""
    name = "-".join((suite, *sorted(packages)))
    tar = cache_dir() / "roots" / f"{name}.tar"
    if tar.exists():
        return tar
    tar.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="whisper-root-") as folder:
        include = (f"--include={','.join(packages)}",) if packages else ()
        command = ("debootstrap", "--variant=minbase", *include, suite, f"{folder}/root")
        await processes.run((*command, await mirror(suite)), limit=_BUILD_LIMIT)
        draft = f"{folder}/root.tar"
        whole = ("tar", "--numeric-owner", "--exclude=./var/cache/apt/archives/*.deb")
        await processes.run((*whole, "-C", f"{folder}/root", "-cf", draft, "."), limit=120)
        shutil.move(draft, tar.with_suffix(f".{os.getpid()}"))
    tar.with_suffix(f".{os.getpid()}").rename(tar)
    return tar


async def mirror(suite: str) -> str:
    """Return where this machine's apt takes a release of Debian from.

    Raises:
        LabError: it knows of no such place.
    """
    form = ("--format", "$(RELEASE) $(REPO_URI)", "Created-By: Packages")
    listed = await processes.run(("apt-get", "indextargets", *form), limit=60)
    places = [line.split()[1] for line in listed.splitlines() if line.split()[:1] == [suite]]
    if not places:
        raise LabError(f"this machine's apt has no source for {suite}")
    return places[0]


@dataclass(frozen=True)
class Container:
    """A container that runs."""

    engine: Engine
    name: str

    async def run(self, script: str, *, limit: float = 60, may_fail: bool = False) -> str:
        """Have a shell in it run a script, and return what that printed.

        Raises:
            LabError: the script failed or took longer than `limit` seconds.
        """
        command = ("exec", self.name, "sh", "-ec", script)
        return await self.engine.docker(*command, limit=limit, may_fail=may_fail)

    async def write(self, path: str, text: str) -> None:
        """Put a text into a file that is there already or is made."""
        await self.run(f"printf %s {shlex.quote(text)} > {shlex.quote(path)}")
