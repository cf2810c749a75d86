"""Real Asterisk and baresip without root: unpacked from Debian's packages into a cache.

Nothing is installed. apt reads its own lists, checks signatures and hashes with Debian's keyring,
and downloads; dpkg-deb unpacks into a directory. The programs run from there with the C library
they were built for, so the host's Debian release does not matter.
"""

import asyncio
import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

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
        version: as `asterisk -V` prints it, e.g. `22.10.1`.
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
        name: how we call the result; also the start of its directory's name.
        suites: Debian releases to try, best first. `x+security` is x with its security updates.
        packages: what we are after.
        libraries: names of packages it needs to run, up to their version digits.
        package: the one whose version must match.
        version: how that version starts.
        program: the program's path in the package.
        modules: names of modules that must be there and must find all their libraries.
    """

    name: str
    suites: tuple[str, ...]
    packages: tuple[str, ...]
    libraries: str
    package: str
    version: str
    program: str
    modules: tuple[str, ...]


_ASTERISK_MODULES = ("chan_pjsip", "app_chanspy", "app_queue", "res_rtp_asterisk", "codec_gsm")
_ASTERISK_LIBRARIES = (
    "libc libgcc-s libstdc++ libssl zlib libzstd liblzma liblz libsqlite libxml libicu libxslt"
    " libsystemd libgcrypt libgpg-error libcap libcrypt libedit libtinfo libbsd libmd libjansson"
    " liburiparser libuuid libgsm"
)
_ASTERISK_PACKAGES = (
    "asterisk",
    "asterisk-modules",
    "asterisk-core-sounds-en",
    "asterisk-core-sounds-en-gsm",
)
_RECIPES = {
    "22": _Recipe(
        name="asterisk-22",
        suites=("forky", "sid"),
        packages=_ASTERISK_PACKAGES,
        libraries=_ASTERISK_LIBRARIES,
        package="asterisk",
        version="22.",
        program="usr/sbin/asterisk",
        modules=_ASTERISK_MODULES,
    ),
    "16": _Recipe(
        name="asterisk-16",
        suites=("bullseye+security", "bullseye"),
        packages=_ASTERISK_PACKAGES,
        libraries=_ASTERISK_LIBRARIES,
        package="asterisk",
        version="16.",
        program="usr/sbin/asterisk",
        modules=(*_ASTERISK_MODULES, "chan_sip"),
    ),
}
_BARESIP = _Recipe(
    name="baresip",
    suites=("bookworm",),
    packages=("baresip-core",),
    libraries="libc libgcc-s libre librem libssl zlib libsndfile libflac libvorbis libvorbisenc"
    " libogg libopus libmpg libmp",
    package="baresip-core",
    version="1.",
    program="usr/bin/baresip",
    modules=("account", "ausine", "aubridge", "ctrl_tcp", "g711", "menu", "sndfile"),
)

_KEYRINGS = (
    "/usr/share/keyrings/debian-archive-keyring.gpg",
    "/usr/share/keyrings/debian-archive-keyring.pgp",
)
_UNUSED = ("usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/lintian")


_LAYOUT = 1  # to be raised when what is done with the packages changes


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
    recipe = _RECIPES.get(version)
    if recipe is None:
        raise LabError(f"no Asterisk {version} here: choose {' or '.join(_RECIPES)}")
    installed = await _installed_asterisk(recipe)
    if installed is not None:
        say(f"using the installed Asterisk {installed.version}")
        return installed
    return _unpacked_asterisk(await _tree(recipe, say))


async def baresip(say: Say) -> BaresipBuild:
    """Return a baresip 1.x: the installed one, or Debian's.

    Args:
        say: is told about anything that takes time.

    Raises:
        LabError: there is none and it cannot be had; the message says why.
    """
    installed = await _installed_baresip()
    if installed is not None:
        say(f"using the installed baresip {installed.version}")
        return installed
    return _unpacked_baresip(await _tree(_BARESIP, say))


# The installed ones


async def _installed_asterisk(recipe: _Recipe) -> AsteriskBuild | None:
    program = _which("asterisk")
    if program is None:
        return None
    version = await _version_of(program, "-V", r"Asterisk (?:certified/)?(\S+)")
    modules = _module_dir(Path("/usr"), "asterisk/modules", recipe.modules)
    data = next((d for d in map(Path, _DATA_DIRS) if (d / "sounds").is_dir()), None)
    if not version.startswith(recipe.version) or modules is None or data is None:
        return None
    return AsteriskBuild((program,), modules, data, {"LC_ALL": "C"}, version)


_DATA_DIRS = ("/usr/share/asterisk", "/var/lib/asterisk")


async def _installed_baresip() -> BaresipBuild | None:
    program = _which("baresip")
    if program is None:
        return None
    # baresip has no option for its version; it prints it, with the help, on an unknown one.
    version = await _version_of(program, "-h", r"baresip v?(\d\S*)")
    modules = _module_dir(Path("/usr"), "baresip/modules", _BARESIP.modules)
    if not version.startswith(_BARESIP.version) or modules is None:
        return None
    return BaresipBuild((program,), modules, {}, version)


def _which(program: str) -> str | None:
    # /usr/sbin is not on everybody's PATH.
    return shutil.which(program) or shutil.which(program, path="/usr/sbin:/usr/local/sbin")


async def _version_of(program: str, option: str, pattern: str) -> str:
    """Return what a program says its version is, or nothing."""
    try:
        said = await run((program, option), limit=5)
    except LabError as error:
        said = str(error)
    found = re.search(pattern, said)
    return found.group(1) if found else ""


# The unpacked ones


def _unpacked_asterisk(tree: Path) -> AsteriskBuild:
    modules = _module_dir(tree / "usr", "asterisk/modules", ())
    if modules is None:
        raise LabError(f"{tree} is damaged: remove it and run again")
    return AsteriskBuild(
        command=_command(tree, "usr/sbin/asterisk"),
        module_dir=modules,
        data_dir=tree / "usr/share/asterisk",
        env=_environment(tree),
        version=(tree / "version").read_text(),
    )


def _unpacked_baresip(tree: Path) -> BaresipBuild:
    modules = _module_dir(tree / "usr", "baresip/modules", ())
    if modules is None:
        raise LabError(f"{tree} is damaged: remove it and run again")
    return BaresipBuild(
        command=_command(tree, "usr/bin/baresip"),
        module_dir=modules,
        env=_environment(tree),
        version=(tree / "version").read_text(),
    )


def _command(tree: Path, program: str) -> tuple[str, ...]:
    """Return how to run a program of the tree with the tree's own loader and libraries."""
    places = ("usr/lib64", "lib64", "usr/lib", "lib")
    loaders = (found for place in places for found in (tree / place).glob("ld-linux*.so.?"))
    loader = next(loaders, None)
    if loader is None:
        raise LabError(f"{tree} has no dynamic loader: remove it and run again")
    libraries = ":".join(str(directory) for directory in _library_dirs(tree))
    # --inhibit-cache: the host's ld.so.cache would find the host's libraries (ld.so(8)).
    return (str(loader), "--inhibit-cache", "--library-path", libraries, str(tree / program))


def _library_dirs(tree: Path) -> Iterator[Path]:
    for lib in (tree / "usr/lib", tree / "lib"):
        yield from sorted(lib.glob("*-linux-gnu*"))
        yield lib


def _environment(tree: Path) -> dict[str, str]:
    # These libraries would otherwise read the host's configuration, written for other versions.
    return {
        "LC_ALL": "C",
        "OPENSSL_CONF": "/dev/null",
        "GCONV_PATH": str(tree / "none"),
    }


def _module_dir(prefix: Path, inside: str, modules: tuple[str, ...]) -> Path | None:
    """Return the first directory of modules that has all of these."""
    places = (*sorted(prefix.glob("lib/*-linux-gnu*")), prefix / "lib", prefix / "lib64")
    for place in places:
        directory = place / inside
        if directory.is_dir() and all((directory / f"{m}.so").exists() for m in modules):
            return directory
    return None


# The cache


async def _tree(recipe: _Recipe, say: Say) -> Path:
    """Return the directory with the recipe's result, made now if it is not there yet."""
    cache = cache_dir()
    # Another recipe or another processor is another directory: none is ever changed in place.
    key = hashlib.sha256(f"{_LAYOUT} {os.uname().machine} {recipe}".encode()).hexdigest()[:8]
    tree = cache / f"{recipe.name}-{key}"
    if tree.exists():
        return tree
    try:
        cache.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LabError(f"cannot write to {cache}: set XDG_CACHE_HOME to elsewhere") from error
    async with _lock(cache / f".{tree.name}.lock", say):
        if not tree.exists():
            await _make(recipe, tree, say)
    return tree


@contextlib.asynccontextmanager
async def _lock(path: Path, say: Say) -> AsyncIterator[None]:
    """Hold a file's lock, so that of two runs at once one downloads and the other waits."""
    with path.open("w") as file:
        if not _locked(file.fileno()):
            say("another run is already bringing it; waiting")
            await until(lambda: _locked(file.fileno()), f"the lock {path}", within=600, every=0.1)
        yield


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


async def _make(recipe: _Recipe, tree: Path, say: Say) -> None:
    """Build the tree beside its place and move it there whole."""
    for left_over in tree.parent.glob(f".{tree.name}-*"):
        shutil.rmtree(left_over, ignore_errors=True)
    work = Path(tempfile.mkdtemp(prefix=f".{tree.name}-", dir=tree.parent))
    try:
        await _build(recipe, work, say)
        (work / "root").rename(tree)
    except OSError as error:
        raise LabError(f"cannot unpack {recipe.name}: {error}") from error
    finally:
        shutil.rmtree(work, ignore_errors=True)


async def _build(recipe: _Recipe, work: Path, say: Say) -> None:
    """Try one source after the other until one has what we want; leave it in `work/root`."""
    sources = _Sources.of(await _configured_sites())
    failures: list[str] = []
    for suite, lines in sources.to_try(recipe.suites):
        say(f"{recipe.name}: looking in Debian {suite}")
        apt = _Apt(work / "apt", lines)
        try:
            await _build_from(recipe, apt, work / "root", say)
        except LabError as error:
            failures.append(f"{suite}: {error}")
            shutil.rmtree(work / "root", ignore_errors=True)
            continue
        return
    raise LabError(f"cannot bring {recipe.name} from Debian's packages:\n" + "\n".join(failures))


async def _build_from(recipe: _Recipe, apt: "_Apt", root: Path, say: Say) -> None:
    await apt.update()
    closure = await apt.closure(recipe.packages)
    version = _upstream(closure.get(recipe.package, ""))
    if not version.startswith(recipe.version):
        raise LabError(f"{recipe.package} is {version or 'missing'}, not {recipe.version}x")
    libraries = recipe.libraries.split()
    wanted = [n for n in closure if n in recipe.packages or _stem(n) in libraries]
    say(f"{recipe.name}: downloading {version}, {len(wanted)} packages")
    await _unpack(await apt.download(wanted), root)
    if await _missing_libraries(recipe, root):
        say(f"{recipe.name}: it needs more than expected, taking all {len(closure)} packages")
        await _unpack(await apt.download(sorted(set(closure) - set(wanted))), root)
    if missing := await _missing_libraries(recipe, root):
        raise LabError(f"libraries missing: {', '.join(missing)}")
    _tidy(root)
    (root / "version").write_text(version)


def _upstream(version: str) -> str:
    """Return the upstream part of a Debian version (deb-version(7)): `1:22.1+dfsg-3` is 22.1."""
    return re.sub(r"[+~-].*", "", version.partition(":")[2] or version)


def _stem(package: str) -> str:
    """Return a package's name up to its first digit, which changes from release to release."""
    return re.split(r"-?[0-9]", package, maxsplit=1)[0]


# Where Debian is


@dataclass(frozen=True)
class _Site:
    """One place of the machine's own apt sources: its address, and a release it serves."""

    address: str
    release: str
    component: str


@dataclass(frozen=True)
class _Sources:
    """Where Debian's archive and its security archive may be, likeliest first."""

    archives: tuple[str, ...]
    security: tuple[str, ...]

    @classmethod
    def of(cls, sites: list[_Site]) -> "_Sources":
        main = [s for s in sites if s.component == "main"]
        security = _unique(s.address for s in main if s.release.endswith("-security"))
        # Only Debian itself has an -updates release; others call their own release bookworm too.
        sure = [s.address for s in main if s.release.endswith("-updates")]
        likely = [s.address for s in main if re.search(r"debian(/|$)", s.address)]
        archives = tuple(a for a in _unique([*sure, *likely]) if a not in security)
        siblings = [re.sub(r"debian/?$", "debian-security", a) for a in archives]
        beside = [s for s, a in zip(siblings, archives, strict=True) if s != a]
        return cls(archives, _unique([*security, *beside]))

    def to_try(self, suites: tuple[str, ...]) -> Iterator[tuple[str, list[str]]]:
        """Yield (what it is, the lines of a sources.list), one attempt after the other."""
        for suite in suites:
            release, _, security = suite.partition("+")
            for archive in self.archives:
                line = _source_line(archive, release)
                if not security:
                    yield suite, [line]
                    continue
                for extra in self.security:
                    yield suite, [line, _source_line(extra, f"{release}-security")]


def _unique(items: "Iterator[str] | list[str]") -> tuple[str, ...]:
    return tuple(dict.fromkeys(items))


def _source_line(address: str, release: str) -> str:
    keyring = next((k for k in _KEYRINGS if Path(k).exists()), None)
    signed = f"[signed-by={keyring}] " if keyring else ""
    return f"deb {signed}{address} {release} main"


async def _configured_sites() -> list[_Site]:
    """Ask apt which places this machine gets its packages from, in whatever format they are kept.

    `--no-release-info` answers even on a machine whose lists were never fetched.
    """
    asked = ("apt-get", "indextargets", "--no-release-info", "--format")
    said = await run((*asked, "$(SITE) $(RELEASE) $(COMPONENT)", "Created-By: Packages"), limit=30)
    sites = [_Site(*words) for line in said.splitlines() if len(words := line.split()) == 3]
    if not _Sources.of(sites).archives:
        raise LabError(
            "apt knows no Debian archive on this machine: run the lab on Debian, or install"
            " Asterisk and baresip 1.x so that they are on PATH"
        )
    return sites


# apt and dpkg

# #clear (apt.conf(5)): what this machine does after an update or an installation is not for us.
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
class _Apt:
    """An apt of our own under one directory: its sources, lists and cache.

    The machine's settings stay in force where they are about reaching the archive (proxies).
    """

    here: Path
    sources: list[str]

    async def update(self) -> None:
        """Fetch the lists of our sources."""
        shutil.rmtree(self.here, ignore_errors=True)
        for directory in ("state/lists/partial", "cache/archives/partial", "log"):
            (self.here / directory).mkdir(parents=True)
        architecture = (await run(("dpkg", "--print-architecture"), limit=10)).strip()
        text = _APT_CONF.replace("@ARCH@", architecture).replace("@HERE@", str(self.here))
        (self.here / "apt.conf").write_text(text)
        (self.here / "sources.list").write_text("\n".join(self.sources) + "\n")
        (self.here / "status").touch()
        await self._get("update", "-o", "APT::Update::Error-Mode=any", limit=300)

    async def closure(self, packages: tuple[str, ...]) -> dict[str, str]:
        """Return name and version of these packages and of all they depend on."""
        said = await self._get("--yes", "--print-uris", "install", *packages, limit=60)
        # 'http://…/libc6_2.36-9_amd64.deb' libc6_2.36-9_amd64.deb 2757884 SHA256:…
        files = re.findall(r"^'[^']*' ([^_\s]+)_([^_\s]+)_\S+\.deb ", said, re.MULTILINE)
        return {name: version.replace("%3a", ":") for name, version in files}

    async def download(self, packages: list[str]) -> list[Path]:
        """Fetch these packages, checked against the signed lists, and return the files."""
        target = Path(tempfile.mkdtemp(dir=self.here))
        await self._get("download", *packages, limit=600, cwd=target)
        return _packages_in(target)

    async def _get(self, *words: str, limit: float, cwd: Path | None = None) -> str:
        # -c is read last and so wins over the machine's own files (apt.conf(5)).
        command = ("apt-get", "-c", str(self.here / "apt.conf"), "-q", *words)
        return await run(command, limit=limit, env={"LC_ALL": "C"}, cwd=cwd)


def _packages_in(directory: Path) -> list[Path]:
    return sorted(directory.glob("*.deb"))


async def _unpack(files: list[Path], root: Path) -> None:
    """Unpack packages into `root`, as many at once as there are processors."""
    slots = asyncio.Semaphore(os.cpu_count() or 1)

    async def one(file: Path) -> None:
        async with slots:
            await run(("dpkg-deb", "--extract", str(file), str(root)), limit=120)

    async with asyncio.TaskGroup() as group:
        for file in files:
            group.create_task(one(file))
    _keep_links_inside(root)


def _keep_links_inside(root: Path) -> None:
    """Make absolute symbolic links relative: as they are they would lead into the host."""
    for directory, names, files in os.walk(root):
        for name in (*names, *files):
            link = Path(directory, name)
            if link.is_symlink() and (target := link.readlink()).is_absolute():
                inside = root / target.relative_to("/")
                link.unlink()
                link.symlink_to(os.path.relpath(inside, directory))


async def _missing_libraries(recipe: _Recipe, root: Path) -> list[str]:
    """Return the libraries the program and its modules look for and do not find in `root`."""
    command = _command(root, recipe.program)
    inside = f"{recipe.name.partition('-')[0]}/modules"
    modules = _module_dir(root / "usr", inside, recipe.modules)
    if modules is None:
        raise LabError(f"the package lacks one of {', '.join(recipe.modules)}")
    files = [command[-1], *(str(modules / f"{m}.so") for m in recipe.modules)]
    missing: set[str] = set()
    for file in files:
        # --list is what ldd does; with a library missing it still lists the others (ld.so(8)).
        said = await run((*command[:-1], "--list", file), limit=20)
        missing.update(_not_inside(said, root))
    return sorted(missing)


def _not_inside(listing: str, root: Path) -> Iterator[str]:
    """Yield the libraries of an ld.so listing that are missing, or are the host's."""
    for name, place in re.findall(r"^\s*(\S+) => (.+)$", listing, re.MULTILINE):
        if not place.startswith(f"{root}/"):
            yield name


def _tidy(root: Path) -> None:
    """Remove what nobody reads here, and put in place what the packages' scripts would."""
    for unused in _UNUSED:
        shutil.rmtree(root / unused, ignore_errors=True)
    for converters in root.glob("**/gconv"):
        shutil.rmtree(converters)
    sounds = root / "usr/share/asterisk/sounds"
    if (sounds / "en_US_f_Allison").is_dir() and not (sounds / "en").exists():
        (sounds / "en").symlink_to("en_US_f_Allison")
