"""Programs that tests need and this machine may lack, from Debian's packages, without root."""

import os
import platform
import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from bridge.lab import debian
from bridge.lab.errors import LabError
from bridge.lab.packages import cache_dir
from bridge.lab.processes import run

_CACHE = "tools-1"


@dataclass(frozen=True)
class Tool:
    """A program, and what must be in its environment."""

    path: Path
    env: dict[str, str] = field(default_factory=dict)

    async def run(self, *arguments: str, limit: float = 60) -> str:
        """Run it to its end and return what it said. Raises LabError when it fails."""
        return await run((str(self.path), *arguments), limit=limit, env=self.env)


async def tool(name: str, package: str, *libraries: str) -> Tool:
    """The installed program, or that of a Debian package; the test is skipped if neither is had."""
    installed = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if installed:
        return Tool(Path(installed))
    tree = cache_dir() / _CACHE / package
    try:
        if not tree.exists():
            await _bring(tree, package, *libraries)
    except LabError as error:
        pytest.skip(f"{package} cannot be had: {error}")
    found = next(path for path in tree.glob(f"usr/*bin/{name}"))
    return Tool(found, {"LD_LIBRARY_PATH": ":".join(map(str, tree.glob("usr/lib/*-linux-*")))})


async def _bring(tree: Path, *packages: str) -> None:
    release = platform.freedesktop_os_release().get("VERSION_CODENAME", "bookworm")
    tree.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=tree.parent) as folder:
        work = Path(folder)
        sources = await debian.sources()
        apt = debian.Apt(work / "apt", next(iter(sources.lists(release))))
        await apt.update()
        await debian.unpack(await apt.download(packages), work / "root")
        # Whoever was faster brought the same.
        if not tree.exists():
            (work / "root").rename(tree)
