"""README tells the truth: what it shows is run; and all guides lead where they say."""

import re
import subprocess
import sys
import tomllib
from typing import Final

import pytest

from tests.support.guides import API, GUIDES, OPERATING, README, ROOT, TERMINAL, Guide, shown

from .desk import shape

MAKEFILE: Final = (ROOT / "Makefile").read_text("utf-8")


@pytest.mark.parametrize("guide", [README, API, TERMINAL, OPERATING], ids=lambda guide: guide.path)
def test_every_command_it_shows_is_known_here(guide: Guide) -> None:
    """Nobody adds an example that nothing runs."""
    known = (
        r"make (lab|test)",
        r"python3 -m venv \S+|\S+/bin/pip install \.",
        r"export (PATH=\S+|BRIDGE_\w+=\S+)",
        r"whisper-bridge serve",
        r"whisper-bridge (calls|whisper) .*",
        r"TOKEN=\$\(whisper-bridge token \S+\)|CALLS?=\S+",
        r"curl .*",
    )
    for command in shown(guide.text):
        assert re.fullmatch("|".join(known), command.typed, re.DOTALL), command.typed


@pytest.mark.parametrize("guide", GUIDES, ids=lambda guide: guide.path)
def test_its_links_lead_somewhere(guide: Guide) -> None:
    folder = (ROOT / guide.path).parent
    links = re.findall(r"\]\(([^)#]*)(?:#([^)]*))?\)", guide.text)
    for link, part in links:
        target = folder / link if link else ROOT / guide.path
        assert target.exists(), link
        if part:
            assert part in anchors(target.read_text("utf-8")), (link, part)


def anchors(text: str) -> set[str]:
    """What the headings of a Markdown text are linked by."""
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_guide_is_named() -> None:
    linked = {(ROOT / link).resolve() for link in re.findall(r"\]\(([^)#]+)", README.text)}
    assert {(ROOT / guide.path).resolve() for guide in GUIDES} - {ROOT / README.path} <= linked


def test_the_makefile_runs_what_is_tested_here() -> None:
    assert _recipe("lab") == ["@$(RUN) -m bridge lab $(ARGS)"]
    assert _recipe("test") == ["$(RUN) -m pytest --durations=10 $(ARGS)"]
    assert re.search(r"^test: lint$", MAKEFILE, re.MULTILINE)
    assert [line.removeprefix("$(RUN) -m ") for line in _recipe("lint")] == [
        "ruff format --check",
        "ruff check",
        "mypy",
    ]
    config = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]
    assert config["pytest"]["ini_options"]["filterwarnings"] == ["error"]
    assert config["mypy"]["strict"] is True
    assert set(config["mypy"]["packages"]) == {"bridge", "tests"}


def _recipe(target: str) -> list[str]:
    found = re.search(rf"^{target}:[^=\n]*\n((?:\t.*\n)+)", MAKEFILE, re.MULTILINE)
    return [line.strip() for line in found[1].splitlines()] if found else []


@pytest.mark.parametrize("guide", GUIDES, ids=lambda guide: guide.path)
def test_every_make_target_it_names_exists(guide: Guide) -> None:
    for target in set(re.findall(r"`make ([\w-]+)", guide.text)):
        assert _recipe(target), target


@pytest.mark.pbx
@pytest.mark.timeout(600)
def test_make_lab_prints_what_it_shows() -> None:
    (lab,) = (command for command in shown(README.text) if command.typed == "make lab")
    run = subprocess.run(
        (sys.executable, "-m", "bridge", "lab"),
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=580,
        check=False,
    )
    assert (run.returncode, run.stderr) == (0, "")
    printed, expected = shape(run.stdout), shape("\n".join(lab.answer))
    # Before that it says what it brings, if anything.
    assert printed[printed.index(expected[0]) :] == expected
