"""The Debian package as it is built, by anybody; what it does on a machine is told elsewhere."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    dist = tmp_path_factory.mktemp("dist")
    env = {**os.environ, "PIP": f"{sys.executable} -m pip", "DIST": str(dist)}
    subprocess.run((CHECKOUT / "packaging/deb/build",), env=env, check=True)
    (package,) = dist.glob("whisper-bridge_*.deb")
    return package


def told(*command: str | Path) -> str:
    """What a program prints."""
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_its_files_are_roots_and_nobody_else_can_write_them(package: Path) -> None:
    for line in told("dpkg-deb", "--contents", package).splitlines():
        mode, owner, *_ = line.split()
        assert owner == "root/root", line
        assert mode[5] == mode[8] == "-" or mode[0] == "l", line


def test_it_brings_what_an_operator_needs(package: Path) -> None:
    listed = told("dpkg-deb", "--contents", package)
    modes = {line.split()[5]: line.split()[0] for line in listed.splitlines()}
    assert modes["./usr/bin/whisper-bridge"] == "-rwxr-xr-x"
    assert modes["./lib/systemd/system/whisper-bridge.service"] == "-rw-r--r--"
    assert modes["./etc/whisper-bridge/bridge.env"] == "-rw-r-----"
    assert modes["./etc/whisper-bridge/directory.toml"] == "-rw-r-----"
    doc = "./usr/share/doc/whisper-bridge"
    for guide in ("Debian", "Asterisk", "API", "Terminal", "md"):
        assert f"{doc}/README.{guide}" in modes
    for added in ("manager.d", "extensions.d"):
        assert f"{doc}/examples/{added}/whisper-bridge.conf" in modes
    assert not any("ami-secret" in path for path in modes)


def test_whatever_is_in_etc_is_the_operators(package: Path, tmp_path: Path) -> None:
    told("dpkg-deb", "--control", package, tmp_path / "control")
    kept = (tmp_path / "control/conffiles").read_text().splitlines()
    listed = told("dpkg-deb", "--contents", package)
    assert kept == sorted(re.findall(r" \.(/etc/.*[^/])$", listed, re.MULTILINE))


def test_nothing_in_it_tells_where_it_was_built(package: Path, tmp_path: Path) -> None:
    told("dpkg-deb", "--raw-extract", package, tmp_path / "root")
    found = subprocess.run(
        ("grep", "--recursive", "--files-with-matches", "whisper-bridge-deb.", tmp_path / "root"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (found.stdout, found.returncode) == ("", 1)
