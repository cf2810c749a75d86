"""Real Asterisk and baresip without root: installed ones, or unpacked from Debian's packages.

The unpacked ones are kept in a cache and run from there with the C library they were built for,
so it does not matter which release of Debian the machine has.
"""

import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from bridge.lab import debian
from bridge.lab.errors import LabError
from bridge.lab.processes import run
from bridge.lab.waiting import until

Say = Callable[[str], None]
"""Tells whoever waits what is happening, one line at a time."""


@dataclass(frozen=True)
class AsteriskBuild:
    """An Asterisk that can be run.

    Attributes:
        command: what to exec; arguments are appended.
        module_dir: where its `.so` modules are.
        data_dir: where `sounds/` is.
        env: what it needs in the environment.
        version: as `asterisk -V` says it, e.g. `22.10.1`.
    """

    command: tuple[str, ...]
    module_dir: Path
    data_dir: Path
    env: Mapping[str, str]
    version: str

    @property
    def major(self) -> str:
        """The number before the first dot, e.g. `22`."""
        return self.version.partition(".")[0]


@dataclass(frozen=True)
class BaresipBuild:
    """A baresip that can be run: what to exec, its modules, its environment, its version."""

    command: tuple[str, ...]
    module_dir: Path
    env: Mapping[str, str]
    version: str


@dataclass(frozen=True)
class _Recipe:
    """What to take from Debian.

    Attributes:
        name: what its directory's name begins with.
        releases: where to look, best first, as `debian.Sources.lists` takes them.
        packages: what we are after, the one with the program first.
        libraries: what else the program needs, as `debian.stem` gives it: not all that its
            package depends on, by far.
        version: how the first package's version begins.
        program: the program's path in the package.
        modules: where its modules are, below a lib directory.
        needed: modules that must be there and find all their libraries.
    """

    name: str
    releases: tuple[str, ...]
    packages: tuple[str, ...]
    libraries: str
    version: str
    program: str
    modules: str
    needed: tuple[str, ...]


_ASTERISK_22 = _Recipe(
    name="asterisk-22",
    releases=("forky", "sid"),
    packages=(
        "asterisk",
        "asterisk-modules",
        "asterisk-core-sounds-en",
        "asterisk-core-sounds-en-gsm",
    ),
    libraries=(
        "libc libgcc-s libstdc++ libssl zlib libzstd libsqlite libxml libxslt libsystemd libcap"
        " libcrypt libedit libtinfo libbsd libmd libjansson liburiparser libuuid libgsm"
    ),
    version="22.",
    program="usr/sbin/asterisk",
    modules="asterisk/modules",
    needed=("chan_pjsip", "app_chanspy", "app_queue", "res_rtp_asterisk", "codec_gsm"),
)
_ASTERISK_16 = _Recipe(
    name="asterisk-16",
    releases=("bullseye+security", "bullseye"),
    packages=_ASTERISK_22.packages,
    libraries=f"{_ASTERISK_22.libraries} libicu liblzma liblz libgcrypt libgpg-error",
    version="16.",
    program=_ASTERISK_22.program,
    modules=_ASTERISK_22.modules,
    needed=(*_ASTERISK_22.needed, "chan_sip"),
)
_ASTERISK = {"22": _ASTERISK_22, "16": _ASTERISK_16}
_BARESIP = _Recipe(
    name="baresip",
    releases=("bookworm",),
    packages=("baresip-core",),
    libraries=(
        "libc libgcc-s libre librem libssl zlib libsndfile libflac libvorbis libvorbisenc libogg"
        " libopus libmpg libmp"
    ),
    version="1.",
    program="usr/bin/baresip",
    modules="baresip/modules",
    needed=("account", "aubridge", "ausine", "ctrl_tcp", "g711", "menu", "sndfile"),
)
_BARESIP_1_1 = replace(
    _BARESIP,
    name="baresip-1.1",
    releases=("trixie", "forky", "sid"),
    libraries=f"{_BARESIP.libraries} libzstd",
    version="1.1.",
)
_BARESIPS = {"1": _BARESIP, "1.1": _BARESIP_1_1}

_LAYOUT = 1
"""To be raised when what is done with the packages changes."""
_UNREAD = ("usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/lintian")


def cache_dir() -> Path:
    """Return where the programs are kept: `$XDG_CACHE_HOME` or `~/.cache`, + `whisper-bridge`.

    An `XDG_CACHE_HOME` that is not absolute is ignored (XDG Base Directory Specification 0.8).
    """
    configured = Path(os.environ.get("XDG_CACHE_HOME", ""))
    base = configured if configured.is_absolute() else Path.home() / ".cache"
    return base / "whisper-bridge"


async def asterisk(version: str, say: Say) -> AsteriskBuild:
    """Return an Asterisk of that major version: the installed one, or Debian's.

    Args:
        version: "22" or "16".
        say: is told about anything that takes time.

    Raises:
        LabError: there is none and it cannot be had; the message says why.
    """
    recipe = _ASTERISK.get(version)
    if recipe is None:
        raise LabError(f"the lab has no Asterisk {version}: choose {' or '.join(_ASTERISK)}")
    installed = await _installed_asterisk(recipe)
    if installed is not None:
        say(f"using the installed Asterisk {installed.version}")
        return installed
    tree = await _tree(recipe, say)
    return AsteriskBuild(
        command=_command(recipe, tree),
        module_dir=_modules(recipe, tree / "usr"),
        data_dir=tree / "usr/share/asterisk",
        env=_environment(tree),
        version=(tree / "version").read_text(),
    )


async def baresip(say: Say, version: str = "1") -> BaresipBuild:
    """Return a baresip of that version: the installed one, or Debian's.

    Args:
        say: is told about anything that takes time.
        version: "1", or "1.1", which can be told by a header to pick up (its CHANGELOG, 1.1.0).

    Raises:
        LabError: there is none and it cannot be had; the message says why.
    """
    recipe = _BARESIPS.get(version)
    if recipe is None:
        raise LabError(f"the lab has no baresip {version}: choose {' or '.join(_BARESIPS)}")
    installed = await _installed_baresip(recipe)
    if installed is not None:
        say(f"using the installed baresip {installed.version}")
        return installed
    tree = await _tree(recipe, say)
    return BaresipBuild(
        command=_command(recipe, tree),
        module_dir=_modules(recipe, tree / "usr"),
        env=_environment(tree),
        version=(tree / "version").read_text(),
    )


# Installed


async def _installed_asterisk(recipe: _Recipe) -> AsteriskBuild | None:
    program = _which("asterisk")
    if program is None:
        return None
    version = await _version_of(program, "-V", r"Asterisk (?:certified/)?(\d\S*)")
    places = (Path("/usr/share/asterisk"), Path("/var/lib/asterisk"))
    data = next((place for place in places if (place / "sounds").is_dir()), None)
    if not version.startswith(recipe.version) or data is None:
        return None
    with contextlib.suppress(LabError):
        modules = _modules(recipe, Path("/usr"))
        return AsteriskBuild((program,), modules, data, {"LC_ALL": "C"}, version)
    return None


async def _installed_baresip(recipe: _Recipe) -> BaresipBuild | None:
    program = _which("baresip")
    if program is None:
        return None
    version = await _version_of(program, "-h", r"baresip v?(\d\S*)")
    if not version.startswith(recipe.version):
        return None
    with contextlib.suppress(LabError):
        return BaresipBuild((program,), _modules(recipe, Path("/usr")), {}, version)
    return None


def _which(program: str) -> str | None:
    # sbin is not on everybody's PATH.
    return shutil.which(program) or shutil.which(program, path="/usr/sbin:/usr/local/sbin")


async def _version_of(program: str, option: str, pattern: str) -> str:
    """Return what a program says its version is, or nothing."""
    # baresip -h says it and then fails.
    said = await run((program, option), limit=5, may_fail=True)
    found = re.search(pattern, said)
    return found.group(1) if found else ""


# Unpacked


def _command(recipe: _Recipe, tree: Path) -> tuple[str, ...]:
    """Return how to run the tree's program with the tree's own loader and libraries."""
    places = ("usr/lib64", "lib64", "usr/lib", "lib")
    loaders = (found for place in places for found in (tree / place).glob("ld-linux*.so.?"))
    loader = next(loaders, None)
    if loader is None:
        raise LabError(f"no dynamic loader in {tree}")
    libraries = ":".join(str(directory) for directory in _library_dirs(tree))
    # --inhibit-cache: the host's ld.so.cache would find the host's libraries (ld.so(8)).
    return str(loader), "--inhibit-cache", "--library-path", libraries, str(tree / recipe.program)


def _library_dirs(tree: Path) -> Iterator[Path]:
    for lib in (tree / "usr/lib", tree / "lib"):
        yield from sorted(lib.glob("*-linux-gnu*"))
        yield lib


def _environment(tree: Path) -> dict[str, str]:
    # These libraries would otherwise read the host's files, which are for other versions of them.
    return {"LC_ALL": "C", "OPENSSL_CONF": "/dev/null", "GCONV_PATH": str(tree / "none")}


def _modules(recipe: _Recipe, prefix: Path) -> Path:
    """Return the directory with the modules that are needed.

    Raises:
        LabError: there is none with all of them.
    """
    for place in (*sorted(prefix.glob("lib/*-linux-gnu*")), prefix / "lib", prefix / "lib64"):
        directory = place / recipe.modules
        if all((directory / f"{module}.so").exists() for module in recipe.needed):
            return directory
    raise LabError(f"no {recipe.modules} with {', '.join(recipe.needed)} in {prefix}")


# The cache


async def _tree(recipe: _Recipe, say: Say) -> Path:
    """Return the directory with what the recipe gives, made now if it is not there yet."""
    cache = cache_dir()
    # Another recipe or another processor is another directory: none is ever changed in place.
    key = hashlib.sha256(f"{_LAYOUT} {os.uname().machine} {recipe}".encode()).hexdigest()[:8]
    tree = cache / f"{recipe.name}-{key}"
    if tree.exists():
        return tree
    try:
        cache.mkdir(parents=True, exist_ok=True)
        async with _lock(cache / f".{tree.name}.lock", say):
            if not tree.exists():
                await _make(recipe, tree, say)
    except OSError as error:
        raise LabError(f"cannot fill {cache} ({error}): XDG_CACHE_HOME may name another") from error
    return tree


@contextlib.asynccontextmanager
async def _lock(path: Path, say: Say) -> AsyncIterator[None]:
    """Hold a file's lock, so that of two runs at once one downloads and the other waits."""
    with path.open("w") as file:
        if not _locked(file.fileno()):
            say("another run is bringing the same; waiting for it")
            await until(lambda: _locked(file.fileno()), f"lock on {path}", within=600, every=0.1)
        yield


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


async def _make(recipe: _Recipe, tree: Path, say: Say) -> None:
    """Build the tree beside its place, under its lock, and move it there whole."""
    for abandoned in tree.parent.glob(f".{tree.name}-*"):
        shutil.rmtree(abandoned, ignore_errors=True)
    work = Path(tempfile.mkdtemp(prefix=f".{tree.name}-", dir=tree.parent))
    try:
        await _bring(recipe, work, say)
        (work / "root").rename(tree)
    except LabError as error:
        raise LabError(
            f"cannot bring {recipe.name} from Debian's packages; apt's sources must name a Debian"
            f" archive, or {recipe.packages[0]} {recipe.version}x must be installed:\n{error}"
        ) from error
    finally:
        shutil.rmtree(work, ignore_errors=True)


async def _bring(recipe: _Recipe, work: Path, say: Say) -> None:
    """Try one source after the other until one has what we want; leave it in `work/root`."""
    sources = await debian.sources()
    attempts = [(release, lines) for release in recipe.releases for lines in sources.lists(release)]
    failures: list[str] = []
    for release, lines in attempts:
        say(f"{recipe.name}: looking in Debian {release}")
        try:
            return await _unpack(recipe, debian.Apt(work / "apt", lines), work / "root", say)
        except LabError as error:
            failures.append(f"{release}: {error}")
            shutil.rmtree(work / "root", ignore_errors=True)
    raise LabError("\n".join(failures))


async def _unpack(recipe: _Recipe, apt: debian.Apt, root: Path, say: Say) -> None:
    await apt.update()
    closure = await apt.closure(recipe.packages)
    version = debian.upstream(closure.get(recipe.packages[0], ""))
    if not version.startswith(recipe.version):
        raise LabError(f"{recipe.packages[0]} is {version or 'missing'}, not {recipe.version}x")
    libraries = recipe.libraries.split()
    wanted = [n for n in closure if n in recipe.packages or debian.stem(n) in libraries]
    say(f"{recipe.name}: downloading {version}, {len(wanted)} packages")
    await debian.unpack(await apt.download(wanted), root)
    if await _lacking(recipe, root):
        say(f"{recipe.name}: it needs more than was expected, downloading {len(closure)} packages")
        await debian.unpack(await apt.download(closure), root)
    if lacking := await _lacking(recipe, root):
        raise LabError(f"libraries missing: {', '.join(lacking)}")
    _tidy(root)
    (root / "version").write_text(version)


async def _lacking(recipe: _Recipe, root: Path) -> list[str]:
    """Return the libraries the program and its modules do not find in the tree."""
    *loader, program = _command(recipe, root)
    modules = _modules(recipe, root / "usr")
    lacking: set[str] = set()
    for file in (program, *(str(modules / f"{module}.so") for module in recipe.needed)):
        # What ldd does. A library that is missing makes the loader fail, after it has listed it.
        listing = await run((*loader, "--list", file), limit=20, may_fail=True)
        lacking.update(_outside(listing, root))
    return sorted(lacking)


def _outside(listing: str, root: Path) -> Iterator[str]:
    """Yield the libraries of a listing that are not found, or are the host's."""
    for name, place in re.findall(r"^\s*(\S+) => (.+)$", listing, re.MULTILINE):
        if not place.startswith(f"{root}/"):
            yield name


def _tidy(root: Path) -> None:
    """Remove what nobody reads here, and do what the packages' scripts would have done."""
    for unread in (*(root / name for name in _UNREAD), *root.glob("**/gconv")):
        shutil.rmtree(unread, ignore_errors=True)
    sounds = root / "usr/share/asterisk/sounds"
    if (sounds / "en_US_f_Allison").is_dir() and not (sounds / "en").exists():
        (sounds / "en").symlink_to("en_US_f_Allison")
