"""The wheel has in it whatever the bridge needs to run, the lab included."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from bridge.settings import NAMES

CHECKOUT = Path(__file__).parents[2]
PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check")

pytestmark = pytest.mark.timeout(600)


def run(*command: str | Path, cwd: Path = CHECKOUT) -> str:
    """Run a program that knows of no checkout and no settings, and return what it printed."""
    env = {name: value for name, value in os.environ.items() if name not in NAMES}
    env.pop("PYTHONPATH", None)
    result = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    dist = tmp_path_factory.mktemp("wheel")
    run(*PIP, "wheel", "--quiet", "--no-deps", "--wheel-dir", dist, ".")
    (wheel,) = dist.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def command(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The command, in a virtual environment with nothing but the wheel and what it asks for."""
    home = tmp_path_factory.mktemp("clean")
    run(sys.executable, "-m", "venv", "--without-pip", home)
    run(*PIP, "--python", home / "bin/python", "install", "--quiet", wheel, cwd=home)
    return home / "bin/whisper-bridge"


def test_it_has_every_file_of_the_bridge_and_no_other(wheel: Path) -> None:
    ours = {path.relative_to(CHECKOUT) for path in (CHECKOUT / "bridge").rglob("*.py")}
    conf = (CHECKOUT / "asterisk-conf").rglob("*")
    ours |= {
        "bridge/_asterisk_conf" / path.relative_to(CHECKOUT / "asterisk-conf")
        for path in conf
        if path.is_file()
    }
    names = zipfile.ZipFile(wheel).namelist()
    assert {Path(name) for name in names if ".dist-info/" not in name} == ours


def test_the_command_works_in_a_clean_environment(command: Path) -> None:
    assert "serve the API" in run(command, "--help", cwd=command.parent)


@pytest.mark.pbx
def test_the_lab_works_from_it(command: Path) -> None:
    assert "proven: the agent hears" in run(command, "lab", cwd=command.parent)
