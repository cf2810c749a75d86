"""The Debian package in a clean root file system, where systemd does not run."""

import hashlib
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from bridge.lab import processes

from .conftest import build
from .engine import Container, Engine, install_missing
from .machine import PACKAGES

# Whichever comes first waits for an engine, an image and a package.
pytestmark = [pytest.mark.docker, pytest.mark.timeout(1500)]

_ELSEWHERE = ("/proc", "/sys", "/work", "/var/lib/dpkg", "/var/lib/apt", "/var/log", "/var/cache")
_OF_OTHERS = (*(f"-path '{folder}/*'" for folder in _ELSEWHERE), "-name '*.pyc'", "-name '*-'")
EVERYTHING = f"find / -xdev -not \\( {' -o '.join((*_OF_OTHERS, '-name __pycache__'))} \\) | sort"
"""Lists every file but what Python, dpkg and useradd keep for themselves."""


@asynccontextmanager
async def clean_root(
    engine: Engine, suite: str, package: Path, name: str = "root"
) -> AsyncIterator[Container]:
    """A Debian with nothing but what the package depends on, and no network at all."""
    image = await engine.image(suite, PACKAGES)
    root = Container(engine, name)
    await engine.docker(
        *("run", "--detach", "--name", root.name, "--network", "none", "--workdir", "/work"),
        *("--volume", f"{package.parent}:/work:ro", image, "sleep", "infinity"),
    )
    try:
        yield root
    finally:
        await engine.docker("rm", "--force", root.name)


@pytest.fixture(scope="module")
async def root(engine: Engine, suite: str, package: Path) -> AsyncIterator[Container]:
    async with clean_root(engine, suite, package) as root:
        yield root


async def test_the_same_commit_gives_the_same_package(package: Path, tmp_path: Path) -> None:
    again = await build(tmp_path, TZ="Asia/Tokyo", LC_ALL="C", PYTHONHASHSEED="1")
    first, second = (hashlib.sha256(file.read_bytes()).hexdigest() for file in (package, again))
    assert first == second


async def test_lintian_has_nothing_to_say(package: Path, tmp_path: Path) -> None:
    await install_missing({"lintian": "lintian"})
    command = ("lintian", "--allow-root", "--profile", "debian", "--fail-on", "warning")
    env = {"TMPDIR": str(tmp_path)}
    said = await processes.run((*command, str(package)), limit=300, env=env)
    assert said == ""


async def test_it_installs_and_runs_without_any_network(root: Container) -> None:
    await root.run("apt-get install ./whisper-bridge_*.deb", limit=120)
    assert "serve the API" in await root.run("whisper-bridge --help")
    assert await root.run("whisper-bridge serve --check") == ""
    token = "whisper-bridge token nobody 2>&1 || true"
    said = "whisper-bridge: the directory has no app 'nobody'\n"
    assert await root.run(token) == said


async def test_who_may_read_its_files(root: Container) -> None:
    listed = await root.run("cd /etc/whisper-bridge; stat --format '%n %U %G %a' *")
    assert listed.splitlines() == [
        "ami-secret root root 600",
        "bridge.env root whisper-bridge-conf 640",
        "directory.toml root whisper-bridge-conf 640",
    ]
    assert re.fullmatch("[0-9a-f]{48}\n", await root.run("cat /etc/whisper-bridge/ami-secret"))


async def test_it_has_nothing_that_others_can_write(root: Container) -> None:
    files = "dpkg --listfiles whisper-bridge | xargs stat --format '%n %U %A' | sort -u"
    for line in (await root.run(files)).splitlines():
        assert re.fullmatch(r"\S+ root [-dl].{4}-..-.", line) or line.split()[2][0] == "l", line


async def test_its_libraries_are_all_there_and_of_this_machine(root: Container) -> None:
    compiled = "find /usr/lib/whisper-bridge -name '*.so*' -exec ldd {} + 2>&1"
    assert "not found" not in await root.run(compiled)


async def test_a_second_installation_keeps_what_is_the_operators(root: Container) -> None:
    etc = "/etc/whisper-bridge"
    await root.run(f"echo 'BRIDGE_PBX_NAME=mine' >> {etc}/bridge.env; chmod 600 {etc}/bridge.env")
    before = await root.run(f"cd {etc}; stat --format '%n %U %G %a' *; cat *")
    await root.run("apt-get install --reinstall ./whisper-bridge_*.deb", limit=120)
    assert await root.run(f"cd {etc}; stat --format '%n %U %G %a' *; cat *") == before


async def test_removed_it_keeps_them_and_purged_it_leaves_nothing(
    engine: Engine, suite: str, package: Path, root: Container
) -> None:
    await root.run("apt-get remove --yes whisper-bridge", limit=120)
    left = await root.run("ls /etc/whisper-bridge; ls -d /usr/*/whisper-bridge || true")
    assert left.split() == ["ami-secret", "bridge.env", "directory.toml"]
    await root.run("apt-get purge --yes whisper-bridge", limit=120)
    async with clean_root(engine, suite, package, "untouched") as untouched:
        before = set((await untouched.run(EVERYTHING)).splitlines())
    assert set((await root.run(EVERYTHING)).splitlines()) - before == set()
    assert "whisper" not in await root.run("cat /etc/group /etc/passwd")
