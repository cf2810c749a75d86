"""Where the lab's programs come from."""

import asyncio
import stat
from pathlib import Path

import pytest

from bridge.lab import packages
from bridge.lab.debian import Site, Sources, stem, unpack, upstream
from bridge.lab.errors import LabError
from bridge.lab.processes import run

MIRROR = "http://mirror.example/debian"
SECURITY = "http://security.example/debian-security"


def heard() -> tuple[list[str], packages.Say]:
    lines: list[str] = []
    return lines, lines.append


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "whisper-bridge"


@pytest.fixture
def no_programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A PATH on which a test puts the only programs there are."""
    directory = tmp_path / "bin"
    directory.mkdir()
    monkeypatch.setenv("PATH", str(directory))
    return directory


def program(directory: Path, name: str, script: str) -> None:
    file = directory / name
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(file.stat().st_mode | stat.S_IXUSR)


# Which of a machine's sources are Debian's


def test_the_archive_and_its_security_updates_are_found() -> None:
    sources = Sources.among(
        [
            Site(MIRROR, "bookworm", "main"),
            Site(MIRROR, "bookworm-updates", "main"),
            Site(SECURITY, "bookworm-security", "main"),
        ]
    )
    assert sources.archives == (MIRROR,)
    assert sources.security[0] == SECURITY


def test_others_who_name_a_release_like_debian_does_come_last() -> None:
    sources = Sources.among(
        [
            Site("https://vendor.example/linux/debian", "bookworm", "main"),
            Site("https://packages.example/apt", "bookworm", "main"),
            Site("https://vendor.example/debian", "stable", "contrib"),
            Site(MIRROR, "bookworm", "main"),
            Site(MIRROR, "bookworm-updates", "main"),
        ]
    )
    assert sources.archives == (MIRROR, "https://vendor.example/linux/debian")


def test_a_list_of_mirrors_in_a_file_will_do() -> None:
    listed = "mirror+file:/etc/apt/mirrors/debian.list"
    sources = Sources.among([Site(listed, "trixie-updates", "main")])
    assert sources.archives == (listed,)


def test_without_security_sources_the_directory_beside_is_tried() -> None:
    sources = Sources.among([Site(MIRROR, "bookworm", "main")])
    assert sources.security == ("http://mirror.example/debian-security",)


def test_another_distribution_has_none() -> None:
    assert Sources.among([Site("http://ubuntu.example/ubuntu", "noble-updates", "main")]) == (
        Sources((), ())
    )


def test_each_archive_is_tried_with_each_security_archive() -> None:
    sources = Sources(("http://a.example/debian",), ("http://b.example/s", "http://c.example/s"))
    tried = [
        [line.split("] ")[-1].removeprefix("deb ") for line in lines]
        for lines in sources.lists("bullseye+security")
    ]
    assert tried == [
        ["http://a.example/debian bullseye main", "http://b.example/s bullseye-security main"],
        ["http://a.example/debian bullseye main", "http://c.example/s bullseye-security main"],
    ]


# Names and versions of packages


@pytest.mark.parametrize(
    ("package", "expected"),
    [
        ("libssl3t64", "libssl"),
        ("libgcc-s1", "libgcc-s"),
        ("libstdc++6", "libstdc++"),
        ("libxml2-16", "libxml"),
        ("zlib1g", "zlib"),
        ("asterisk", "asterisk"),
    ],
)
def test_the_stem_of_a_name_outlives_its_version(package: str, expected: str) -> None:
    assert stem(package) == expected


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        ("1:22.10.1+dfsg+~cs6.17-1", "22.10.1"),
        ("1:16.28.0~dfsg-0+deb11u4", "16.28.0"),
        ("1.0.0-4+b5", "1.0.0"),
        ("", ""),
    ],
)
def test_the_upstream_version_is_what_the_program_says_of_itself(
    version: str, expected: str
) -> None:
    assert upstream(version) == expected


# Unpacking


async def make_package(directory: Path, name: str, links: dict[str, str]) -> Path:
    """Build a real package with nothing in it but symbolic links."""
    tree = directory / name
    (tree / "DEBIAN").mkdir(parents=True)
    (tree / "DEBIAN/control").write_text(
        f"Package: {name}\nVersion: 1\nArchitecture: all\nMaintainer: none\nDescription: none\n"
    )
    for place, target in links.items():
        (tree / place).parent.mkdir(parents=True, exist_ok=True)
        (tree / place).symlink_to(target)
    await run(("dpkg-deb", "--build", str(tree), str(directory)), limit=20)
    return directory / f"{name}_1_all.deb"


async def test_no_link_leads_out_of_the_directory(tmp_path: Path) -> None:
    package = await make_package(
        tmp_path, "links", {"lib64/loader": "/etc/hostname", "usr/lib/near": "far"}
    )
    root = tmp_path / "root"
    await unpack([package], root)
    assert str((root / "lib64/loader").readlink()) == "../etc/hostname"
    assert str((root / "usr/lib/near").readlink()) == "far"


async def test_a_broken_package_is_one_error_of_the_lab(tmp_path: Path) -> None:
    broken = tmp_path / "broken.deb"
    broken.write_text("no package")
    with pytest.raises(LabError, match="dpkg-deb"):
        await unpack([broken, broken], tmp_path / "root")


# The cache


def test_the_cache_is_where_the_user_wants_his_caches(cache: Path) -> None:
    assert packages.cache_dir() == cache


def test_a_relative_cache_home_is_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "here")
    assert packages.cache_dir() == Path.home() / ".cache/whisper-bridge"


async def test_only_two_asterisks_are_offered() -> None:
    with pytest.raises(LabError, match="choose 22 or 16"):
        await packages.asterisk("13", print)


async def test_only_two_baresips_are_offered() -> None:
    with pytest.raises(LabError, match=r"choose 1 or 1\.1"):
        await packages.baresip(print, "2")


async def test_a_baresip_that_is_installed_is_used_if_it_is_of_that_version(
    cache: Path, no_programs: Path
) -> None:
    program(no_programs, "baresip", "echo baresip v1.0.0 Copyright; exit 1")
    with pytest.raises(LabError, match=r"baresip-core 1\.1\.x must be installed"):
        await packages.baresip(print, "1.1")


async def test_a_machine_without_apt_is_told_what_to_do(cache: Path, no_programs: Path) -> None:
    with pytest.raises(LabError, match=r"must be installed(.|\n)*apt-get"):
        await packages.baresip(print)
    assert left_in(cache) == []


async def test_a_machine_that_knows_no_debian_is_told_what_to_do(
    cache: Path, no_programs: Path
) -> None:
    program(no_programs, "apt-get", "echo http://ubuntu.example/ubuntu noble-updates main")
    with pytest.raises(LabError, match="no Debian archive"):
        await packages.baresip(print)
    assert left_in(cache) == []


async def test_an_interrupted_download_leaves_nothing_behind(
    cache: Path, no_programs: Path
) -> None:
    started = cache.parent / "started"
    # It answers where the archive is, and then downloads for ever.
    program(
        no_programs,
        "apt-get",
        f'[ "$1" = indextargets ] && echo {MIRROR} bookworm-updates main && exit\n'
        f': > "{started}"\nexec /bin/sleep 60',
    )
    program(no_programs, "dpkg", "echo amd64")
    bringing = asyncio.create_task(packages.baresip(print))
    async with asyncio.timeout(5):
        while not started.exists():
            await asyncio.sleep(0.01)
    bringing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await bringing
    assert left_in(cache) == []


async def test_what_a_killed_run_left_is_swept_up(cache: Path, no_programs: Path) -> None:
    program(no_programs, "apt-get", "exit 1")
    with pytest.raises(LabError):
        await packages.baresip(print)
    lock = next(cache.glob(".baresip-*.lock"))
    half = cache / f"{lock.name.removesuffix('.lock')}-half"
    (half / "root").mkdir(parents=True)
    with pytest.raises(LabError):
        await packages.baresip(print)
    assert not half.exists()


async def test_a_cache_that_cannot_be_written_to_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(LabError, match="XDG_CACHE_HOME"):
        await packages.baresip(print)


def left_in(cache: Path) -> list[str]:
    return [path.name for path in cache.iterdir() if path.suffix != ".lock"]


# The real thing


@pytest.mark.pbx
@pytest.mark.parametrize("version", ["1", "1.1"])
async def test_two_runs_at_once_download_once_and_what_they_get_runs(
    cache: Path, version: str
) -> None:
    first, first_say = heard()
    second, second_say = heard()
    builds = await asyncio.gather(
        packages.baresip(first_say, version), packages.baresip(second_say, version)
    )
    assert builds[0] == builds[1]
    assert builds[0].version.startswith(version)
    downloads = [line for line in first + second if "downloading" in line]
    assert len(downloads) <= 1

    again, say = heard()
    build = await packages.baresip(say, version)
    assert build == builds[0]
    assert not [line for line in again if "downloading" in line]

    said = await run((*build.command, "-h"), limit=5, env=build.env, may_fail=True)
    assert f"baresip v{build.version}" in said
    links = [path for path in cache.rglob("*") if path.is_symlink()]
    assert not [link for link in links if link.readlink().is_absolute()]
