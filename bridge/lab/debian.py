"""Packages from Debian's archive, whatever this machine runs, without root.

apt does it with sources, lists and a cache of our own: it finds the archive where the machine's
own sources say it is, and checks signatures and hashes with Debian's keyring. dpkg-deb unpacks.
Nothing is installed and none of the packages' scripts are run.
"""

import asyncio
import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from bridge.lab.errors import LabError
from bridge.lab.processes import run

_RELEASES = "bullseye|bookworm|trixie|forky|duke|sid|stable|oldstable|testing|unstable"
_KEYRINGS = (
    "/usr/share/keyrings/debian-archive-keyring.gpg",
    "/usr/share/keyrings/debian-archive-keyring.pgp",
)


@dataclass(frozen=True)
class Site:
    """One line of a machine's apt sources: an address, a release there, a component of it."""

    address: str
    release: str
    component: str


@dataclass(frozen=True)
class Sources:
    """Where Debian's archive and its security archive may be, likeliest first."""

    archives: tuple[str, ...]
    security: tuple[str, ...]

    @classmethod
    def among(cls, sites: Iterable[Site]) -> "Sources":
        """Pick Debian's own archives out of all that a machine gets packages from."""
        main = [s for s in sites if s.component == "main"]
        security = [s.address for s in main if _is_release(s, "-security")]
        # Others call their own release bookworm too, but have no bookworm-updates beside it.
        sure = [s.address for s in main if _is_release(s, "-updates")]
        likely = [s.address for s in main if re.search(r"/debian(/|$)", s.address)]
        archives = [a for a in (*sure, *likely) if a not in security]
        beside = [re.sub(r"debian/?$", "debian-security", a) for a in archives]
        return cls(_unique(archives), _unique(a for a in (*security, *beside) if a not in archives))

    def lists(self, release: str) -> Iterator[tuple[str, ...]]:
        """Yield sources.list files to try for a release, one after the other.

        Args:
            release: e.g. `sid`; `bullseye+security` is bullseye with its security updates.
        """
        name, _, updates = release.partition("+")
        for archive in self.archives:
            if not updates:
                yield (_line(archive, name),)
                continue
            for security in self.security:
                yield _line(archive, name), _line(security, f"{name}-security")


def _is_release(site: Site, suffix: str) -> bool:
    return re.fullmatch(f"({_RELEASES}){suffix}", site.release) is not None


def _unique(items: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(items))


def _line(address: str, release: str) -> str:
    keyring = next((k for k in _KEYRINGS if Path(k).exists()), None)
    # Without one of these files apt goes by the keys in /etc/apt/trusted.gpg.d.
    signed = f"[signed-by={keyring}] " if keyring else ""
    return f"deb {signed}{address} {release} main"


async def sources() -> Sources:
    """Ask apt where this machine gets Debian's packages from.

    Raises:
        LabError: there is no apt, or it knows no Debian archive.
    """
    # Without --no-release-info apt leaves out what it has no lists of yet: on a fresh machine, all.
    words = ("apt-get", "indextargets", "--no-release-info", "--format")
    form = ("$(SITE) $(RELEASE) $(COMPONENT)", "Created-By: Packages")
    said = await run((*words, *form), limit=30)
    found = Sources.among(Site(*w) for line in said.splitlines() if len(w := line.split()) == 3)
    if not found.archives:
        raise LabError("no Debian archive among this machine's apt sources")
    return found


# Read last, so it wins over the machine's own settings; those stay in force where they say how to
# reach the archive (proxies). #clear: what the machine does after an update is not for us.
_APT_CONF = """
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear DPkg::Pre-Invoke;
#clear DPkg::Pre-Install-Pkgs;
#clear DPkg::Post-Invoke;
#clear APT::Architectures;
APT::Architecture "@ARCH@";
APT::Architectures { "@ARCH@"; };
APT::Default-Release "";
APT::Install-Recommends "0";
APT::Install-Suggests "0";
APT::Sandbox::User "";
APT::Update::Error-Mode "any";
Dir::Etc::sourcelist "@HERE@/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
Dir::State "@HERE@/state";
Dir::State::lists "lists/";
Dir::State::status "@HERE@/status";
Dir::Cache "@HERE@/cache";
Dir::Cache::archives "archives/";
Dir::Cache::pkgcache "pkgcache.bin";
Dir::Cache::srcpkgcache "srcpkgcache.bin";
Dir::Log "@HERE@/log";
Acquire::Check-Valid-Until "0";
Acquire::Languages "none";
Acquire::PDiffs "0";
Acquire::Retries "3";
Acquire::http::Timeout "20";
Acquire::https::Timeout "20";
Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "0";
Acquire::IndexTargets::deb::Contents-deb::DefaultEnabled "0";
"""


@dataclass(frozen=True)
class Apt:
    """An apt of our own: its sources, and the directory its lists and cache are in."""

    here: Path
    sources: tuple[str, ...]

    async def update(self) -> None:
        """Start afresh and fetch the lists.

        Raises:
            LabError: one of the sources cannot be reached or is not signed by Debian.
        """
        architecture = (await run(("dpkg", "--print-architecture"), limit=10)).strip()
        self._prepare(architecture)
        await self._get("update", limit=300)

    async def closure(self, packages: Iterable[str]) -> dict[str, str]:
        """Return name and version of these packages and of all they depend on.

        Raises:
            LabError: one of them is not there.
        """
        said = await self._get("--yes", "--print-uris", "install", *packages, limit=60)
        # 'http://…/libc6_2.36-9_amd64.deb' libc6_2.36-9_amd64.deb 2757884 SHA256:…
        files = re.findall(r"^'[^']*' ([^_\s]+)_([^_\s]+)_\S+\.deb ", said, re.MULTILINE)
        return {name: version.replace("%3a", ":") for name, version in files}

    async def download(self, packages: Iterable[str]) -> list[Path]:
        """Fetch these packages, checked against the signed lists, and return the files.

        Raises:
            LabError: one of them cannot be had.
        """
        target = Path(tempfile.mkdtemp(dir=self.here))
        await self._get("download", *packages, limit=600, cwd=target)
        return sorted(target.glob("*.deb"))

    def _prepare(self, architecture: str) -> None:
        shutil.rmtree(self.here, ignore_errors=True)
        for directory in ("state/lists/partial", "cache/archives/partial", "log"):
            (self.here / directory).mkdir(parents=True)
        text = _APT_CONF.replace("@ARCH@", architecture).replace("@HERE@", str(self.here))
        (self.here / "apt.conf").write_text(text)
        (self.here / "sources.list").write_text("\n".join(self.sources) + "\n")
        (self.here / "status").touch()

    async def _get(self, *words: str, limit: float, cwd: Path | None = None) -> str:
        command = ("apt-get", "-c", str(self.here / "apt.conf"), "-q", *words)
        return await run(command, limit=limit, env={"LC_ALL": "C"}, cwd=cwd)


async def unpack(files: Iterable[Path], root: Path) -> None:
    """Unpack packages into a directory, as many at once as there are processors.

    Absolute symbolic links are made relative: as they are they would lead out of the directory.

    Raises:
        LabError: one of them cannot be unpacked.
    """
    slots = asyncio.Semaphore(os.cpu_count() or 1)

    async def one(file: Path) -> None:
        async with slots:
            await run(("dpkg-deb", "--extract", str(file), str(root)), limit=120)

    try:
        async with asyncio.TaskGroup() as group:
            for file in files:
                group.create_task(one(file))
    except ExceptionGroup as errors:
        raise LabError(str(errors.exceptions[0])) from errors
    _keep_links_inside(root)


def _keep_links_inside(root: Path) -> None:
    for directory, names, files in os.walk(root):
        for link in (Path(directory, name) for name in (*names, *files)):
            if link.is_symlink() and (target := link.readlink()).is_absolute():
                link.unlink()
                link.symlink_to(os.path.relpath(root / target.relative_to("/"), directory))


def upstream(version: str) -> str:
    """Return the upstream part of a version (deb-version(7)): of `1:22.1.0+dfsg-3` it is 22.1.0."""
    return re.sub(r"[+~-].*", "", version.rpartition(":")[2])


def stem(package: str) -> str:
    """Return a package's name up to its digits, which change from release to release.

    Of `libssl3t64` it is `libssl`, of `libgcc-s1` it is `libgcc-s`.
    """
    return re.split(r"-?[0-9]", package, maxsplit=1)[0]
