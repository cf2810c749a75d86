"""One Docker engine, one package and one machine for the session."""

import platform
import shutil
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bridge.lab import processes
from bridge.lab.ports import free_tcp

from .engine import Engine
from .machine import Machine, a_machine

CHECKOUT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
async def engine() -> AsyncIterator[Engine]:
    async with Engine() as engine:
        yield engine


@pytest.fixture(scope="session")
def suite() -> str:
    """The release of Debian that this machine has: the package is for the same one."""
    return platform.freedesktop_os_release()["VERSION_CODENAME"]


async def build(dist: Path, **env: str) -> Path:
    """Build the package into a folder."""
    pip = f"{sys.executable} -m pip"
    env = {"PIP": pip, "DIST": str(dist), **env}
    await processes.run((str(CHECKOUT / "packaging/deb/build"),), limit=600, env=env)
    (package,) = dist.glob("*.deb")
    return package


@pytest.fixture(scope="session")
async def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Debian package."""
    return await build(tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="session")
async def machine(engine: Engine, suite: str, package: Path) -> AsyncIterator[Machine]:
    """A machine with the package in its operator's home, and nothing done with it yet."""
    async with a_machine(engine, suite, free_tcp()) as machine:
        shutil.copy(package, machine.home)
        yield machine
