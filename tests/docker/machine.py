"""A machine for an operator: Debian with systemd, and an Asterisk 22 that is a service of it."""

import asyncio
import re
import shlex
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from bridge.lab import packages
from bridge.lab.asterisk import OBSERVER_SECRET, render
from bridge.lab.errors import LabError
from bridge.lab.observer import Observer
from bridge.lab.packages import AsteriskBuild, cache_dir
from bridge.lab.ports import Ports

from .engine import Container, Engine

PACKAGES = ("python3", "systemd-sysv")
"""What the machine has beside Debian's smallest."""

_INIT = "mount --make-rshared / && exec /sbin/init"
"""Mounts are shared on a machine that systemd boots; credentials are mounted, and need it."""

_GRANTED = (
    *("--cap-add", "SYS_ADMIN", "--cap-add", "SYS_PTRACE", "--cgroupns", "private"),
    *("--security-opt", "seccomp=unconfined"),
    *("--tmpfs", "/run", "--tmpfs", "/run/lock", "--tmpfs", "/tmp", "--env", "container=docker"),
)
"""What systemd needs of a container to apply all that a unit asks for.

SYS_PTRACE is for PrivateUsers= together with ProtectProc=: whoever maps the users of another
process must be able to see it.
"""

_ASTERISK = """\
[Unit]
Description=Asterisk PBX

[Service]
{environment}
ExecStart={command} -f -C {conf}

[Install]
WantedBy=multi-user.target
"""


@dataclass(frozen=True)
class Machine:
    """It runs; its network is this machine's, so that phones here reach its Asterisk.

    `home` is the folder of whoever works on it, as it is found from here.
    """

    container: Container
    home: Path
    ports: Ports
    http_port: int

    async def run(self, script: str, *, limit: float = 60, may_fail: bool = False) -> str:
        """Have a root's shell run a script, and return what that printed.

        Raises:
            LabError: it failed or took too long; the message ends with the log of the service.
        """
        try:
            return await self.container.run(script, limit=limit, may_fail=may_fail)
        except LabError as error:
            log = "journalctl --no-pager --unit whisper-bridge --output cat --lines 20"
            raise LabError(f"{error}\n{await self.container.run(log, may_fail=True)}") from error

    async def fails(self, script: str) -> str:
        """Have a script run that must fail, and return all that it said."""
        said = await self.run(f"if ({script}) 2>&1; then echo IT-WORKED; fi")
        assert "IT-WORKED" not in said, said
        return said

    async def show(self, name: str, unit: str = "whisper-bridge") -> str:
        """Return a property of a unit, as `systemctl show` has it."""
        return (await self.run(f"systemctl show {unit} --property {name} --value")).strip()

    async def until(self, name: str, wanted: str, *, within: float = 30) -> str:
        """Wait until a property of the unit begins so, and return it."""
        found = ""
        try:
            async with asyncio.timeout(within):
                while not found.startswith(wanted):
                    await asyncio.sleep(0.1)
                    found = await self.show(name)
        except TimeoutError:
            log = await self.journal("--lines", "12")
            said = f"{name} is {found!r} and not {wanted!r} after {within:g} s; {log}"
            raise AssertionError(said) from None
        return found

    async def journal(self, *options: str) -> str:
        """Return what the unit and systemd logged of it, without dates."""
        words = shlex.join(("--unit", "whisper-bridge", "--output", "cat", *options))
        return await self.run(f"journalctl --no-pager {words}")

    async def start_asterisk(self) -> None:
        """Start Asterisk and wait until it is fully booted."""
        await self.run("systemctl start asterisk")
        async with asyncio.timeout(30):
            while True:
                try:
                    async with await Observer.connect(self.ports.ami, OBSERVER_SECRET) as observer:
                        await observer.event(
                            lambda e: e.get("Event") == "FullyBooted", "it is booted", within=30
                        )
                        return
                except LabError:
                    await asyncio.sleep(0.1)

    async def reboot(self) -> None:
        """Shut the machine down and boot it again."""
        await self.container.engine.docker("restart", "--time", "30", self.container.name)
        await self.booted()

    async def booted(self) -> None:
        """Wait until it has booted."""
        async with asyncio.timeout(60):
            asked = "systemctl is-active multi-user.target"
            while (await self.run(asked, may_fail=True)).strip() != "active":
                await asyncio.sleep(0.2)


@asynccontextmanager
async def a_machine(engine: Engine, suite: str, http_port: int) -> AsyncIterator[Machine]:
    """Boot a machine whose Asterisk does not run yet."""
    build, image = await asyncio.gather(
        packages.asterisk("22", print), engine.image(suite, PACKAGES)
    )
    # Not below /tmp: a Debian that boots empties it. Nor deep: there is a socket in it.
    usual = Path(tempfile.gettempdir())
    place = usual if not usual.is_relative_to("/tmp") else Path("/var/tmp")
    folder = Path(tempfile.mkdtemp(prefix="whisper-pbx-", dir=place))
    ports = Ports.free()
    render(build, folder, ports, "not the secret that the bridge was given")
    container, home = Container(engine, "machine"), folder / "home"
    home.mkdir()
    try:
        await engine.docker(
            *("run", "--detach", "--name", container.name, "--network", "host", *_GRANTED),
            *("--stop-signal", "SIGRTMIN+3", "--workdir", str(home)),
            *("--volume", f"{folder}:{folder}", "--volume", f"{folder}/etc:/etc/asterisk"),
            *("--volume", f"{cache_dir()}:{cache_dir()}:ro"),
            *(image, "/bin/sh", "-c", _INIT),
        )
        machine = Machine(container, home, ports, http_port)
        await machine.booted()
        await _install_asterisk(machine, build, folder / "etc")
        yield machine
    finally:
        await engine.docker("rm", "--force", container.name, may_fail=True)
        shutil.rmtree(folder, ignore_errors=True)


async def _install_asterisk(machine: Machine, build: AsteriskBuild, etc: Path) -> None:
    """Do what Debian's package would: a service, a command, a group, a folder for AMI users."""
    conf, manager = etc / "asterisk.conf", etc / "manager.conf"
    included = re.sub(
        r"^#include .*$", '#include "manager.d/*.conf"', manager.read_text(), flags=re.M
    )
    manager.write_text(included)
    # Debian has one there too: Asterisk takes an #include without any file for a mistake.
    (etc / "manager.d/README.conf").write_text("; AMI users\n")
    command = shlex.join(build.command)
    variables = [shlex.quote(f"{name}={value}") for name, value in build.env.items()]
    environment = "\n".join(f"Environment={variable}" for variable in variables)
    unit = _ASTERISK.format(environment=environment, command=command, conf=conf)
    await machine.container.write("/etc/systemd/system/asterisk.service", unit)
    script = f'#!/bin/sh\nexec env {" ".join(variables)} {command} -C {conf} "$@"\n'
    await machine.container.write("/usr/sbin/asterisk", script)
    await machine.run("chmod 755 /usr/sbin/asterisk; groupadd --system asterisk")
    await machine.run("systemctl daemon-reload")
