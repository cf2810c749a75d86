"""The images built once, and the lab of compose.yaml up for the session."""

import asyncio
import json
import shutil
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bridge.lab import packages, processes
from bridge.lab.errors import LabError
from bridge.lab.packages import BaresipBuild
from tests.docker.engine import NEEDED, Engine, install_missing

from .network import own_network

CHECKOUT = Path(__file__).parents[2]
SUITE = "bookworm"
IMAGES = {
    "bridge": "whisper-bridge",
    "asterisk": "whisper-bridge-asterisk",
    "phone": "whisper-bridge-phone",
}
"""What the Dockerfile makes, and the names that compose.yaml knows it by."""

_CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
_UP_LIMIT = 240.0


@dataclass
class Lab:
    """The lab, up."""

    engine: Engine
    seconds: float = 0.0

    async def compose(self, *words: str, limit: float = 120, may_fail: bool = False) -> str:
        """Run `docker-compose`, and return what it printed.

        Raises:
            LabError: it failed; the message ends with its last words.
        """
        command = ("docker-compose", "--project-name", "lab", *words)
        env = {"DOCKER_HOST": self.engine.host}
        return await processes.run(command, limit=limit, env=env, cwd=CHECKOUT, may_fail=may_fail)

    async def proof(self, *words: str, alone: bool = False) -> tuple[int, str]:
        """Run the proof, and return its exit code and what it said.

        Args:
            words: its command, if another than compose.yaml has.
            alone: whether to start nothing that it depends on.
        """
        options = ("-T", "--no-deps") if alone else ("-T",)
        script = 'docker-compose --project-name lab run --rm "$@" 2>&1; echo "exit $?"'
        said = await processes.run(
            ("sh", "-c", script, "sh", *options, "proof", *words),
            limit=120,
            env={"DOCKER_HOST": self.engine.host},
            cwd=CHECKOUT,
        )
        text, _, code = said.rstrip().rpartition("exit ")
        return int(code), text

    async def container(self, service: str) -> str:
        """The name of a service's container."""
        of = ("--filter", f"label=com.docker.compose.service={service}")
        once = ("--filter", "label=com.docker.compose.oneoff=False")
        return (await self.engine.docker("ps", "--all", "--quiet", *of, *once)).strip()

    async def inspect(self, service: str) -> dict[str, Any]:
        """What the engine knows of a service's container."""
        name = await self.container(service)
        found: dict[str, Any] = json.loads(await self.engine.docker("inspect", name))[0]
        return found

    async def run(self, service: str, script: str) -> str:
        """Have a shell in a service's container run a script, and return all it said."""
        name = await self.container(service)
        return await self.engine.docker("exec", name, "sh", "-c", f"({script}) 2>&1; true")

    async def healthy(self, *services: str, within: float = 60) -> None:
        """Wait until services are."""
        async with asyncio.timeout(within):
            for service in services:
                while (await self.inspect(service))["State"]["Health"]["Status"] != "healthy":
                    await asyncio.sleep(0.3)


@pytest.fixture(scope="session")
async def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The images, as `docker save` writes them."""
    await install_missing({**NEEDED, "docker-compose": "docker-compose"})
    folder = tmp_path_factory.mktemp("images")
    async with Engine() as engine:
        base = await engine.image(SUITE)
        for target, name in IMAGES.items():
            await _build(engine, target, name, base, folder)
        await engine.docker("save", "--output", f"{folder}/images.tar", *IMAGES.values(), limit=300)
    return folder / "images.tar"


async def _build(engine: Engine, target: str, name: str, base: str, folder: Path) -> None:
    """Build an image with this machine's own ways to packages, of which nothing stays in it."""
    # BuildKit is part of the engine's own client; a later one may want a plugin for it.
    docker = next(path for path in ("/usr/bin/docker", shutil.which("docker")) if path)
    await processes.run(
        (
            *(docker, "build", "--network", "host", "--build-arg", f"BASE={base}"),
            *await _secrets(folder),
            *("--file", "packaging/docker/Dockerfile", "--target", target, "--tag", name, "."),
        ),
        limit=600,
        env={"DOCKER_HOST": engine.host, "DOCKER_BUILDKIT": "1"},
        cwd=CHECKOUT,
    )


async def _secrets(folder: Path) -> list[str]:
    """How to hand in where this machine's pip looks, and whom it trusts."""
    (folder / "pip.conf").write_text(await _pip_configuration())
    found = {"pip": folder / "pip.conf"}
    if _CERTIFICATES.exists():
        found["ca"] = _CERTIFICATES
    return [w for name, path in found.items() for w in ("--secret", f"id={name},src={path}")]


async def _pip_configuration() -> str:
    """Return a pip.conf that says what is true in a container as well: no path of this machine."""
    said = await processes.run(
        (str(CHECKOUT / ".venv/bin/python"), "-m", "pip", "config", "list"), limit=30
    )
    lines = ["[global]"]
    if _CERTIFICATES.exists():
        lines.append("cert = /run/ca.pem")
    for line in said.splitlines():
        name, _, value = line.partition("=")
        places = [word for word in value.strip("'\"").split() if word.startswith("http")]
        if name.rpartition(".")[2] in ("index-url", "extra-index-url") and places:
            lines.append(f"{name.rpartition('.')[2]} = {' '.join(places)}")
        if name.endswith(".trusted-host"):
            lines.append(f"trusted-host = {value.strip(chr(39))}")
    return "\n".join(lines) + "\n"


@pytest.fixture(scope="session")
async def baresip() -> BaresipBuild:
    """A softphone for whoever sits before this machine."""
    return await packages.baresip(print)


@pytest.fixture(scope="session")
async def lab(images: Path, baresip: BaresipBuild) -> AsyncIterator[Lab]:
    """The lab, up and well, from images alone."""
    async with AsyncExitStack() as stack:
        stack.enter_context(own_network())
        await processes.run(("ip", "link", "set", "lo", "up"), limit=10)
        engine = await stack.enter_async_context(Engine(network=()))
        await engine.docker("load", "--input", str(images), limit=300)
        lab = Lab(engine)
        began = time.monotonic()
        try:
            await lab.compose("up", "--detach", "--no-build", limit=_UP_LIMIT)
            await lab.healthy("asterisk", "bridge", "customer", "agent", "supervisor")
        except (LabError, TimeoutError) as error:
            log = await lab.compose("logs", "--no-color", "--tail", "20", may_fail=True)
            raise LabError(f"the lab does not come up: {error}\n{log}") from error
        lab.seconds = time.monotonic() - began
        yield lab
        await lab.compose("down", "--volumes", may_fail=True)
