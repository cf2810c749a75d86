"""The audit read back: by call, supervisor, target and time, over its rotated files."""

import bz2
import gzip
import json
import lzma
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bridge.audit import Archive, Wanted, table
from bridge.audit.times import iso
from tests.support.scene import EPOCH

CALL, OTHER = "0123456789abcdef0123", "fedcba98765432100123"


def line(seconds: float, event: str, **more: Any) -> dict[str, Any]:
    return {"time": iso(EPOCH + seconds), "event": event, **more}


def written(path: Path, *lines: dict[str, Any], age: float = 0.0) -> Path:
    text = "".join(json.dumps(line) + "\n" for line in lines).encode()
    pack: dict[str, Callable[[bytes], bytes]] = {
        ".gz": gzip.compress,
        ".bz2": bz2.compress,
        ".xz": lzma.compress,
    }
    path.write_bytes(pack.get(path.suffix, bytes)(text))
    os.utime(path, (EPOCH - age, EPOCH - age))
    return path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A refused attempt, and a whisper that was asked for in the same hour."""
    whisper = {"leg": "whisper-1", "call": CALL}
    both = {"supervisor": "0003*024", "extension": "0003*210"}
    return written(
        tmp_path / "audit.jsonl",
        line(0, "attempt", request="r1", call=OTHER, supervisor="025", extension="0003*211"),
        line(0, "decision", request="r1", call=OTHER, outcome="refused"),
        line(1, "attempt", request="r2", call=CALL, supervisor="024", extension="@self"),
        line(1, "decision", request="r2", outcome="allowed", **whisper),
        line(1, "requested", request="r2", **whisper, **both),
        line(2, "linked"),
        line(3600, "ended", request="r2", **whisper, **both, reason="completed"),
        age=-3600,
    )


def found(path: Path, **wanted: Any) -> list[tuple[str, str]]:
    lines = Archive(path).lines(Wanted(**wanted))
    return [(line.get("request", ""), line["event"]) for line in lines]


REFUSED = [("r1", "attempt"), ("r1", "decision")]
WHISPERED = [("r2", event) for event in ("attempt", "decision", "requested", "ended")]


@pytest.mark.parametrize(
    ("wanted", "lines"),
    [
        ({"call": CALL}, WHISPERED),
        ({"call": OTHER}, REFUSED),
        ({"call": "0" * 20}, []),
        ({"supervisor": "0003*024"}, WHISPERED),
        ({"supervisor": "024"}, WHISPERED),
        ({"supervisor": "0003*025"}, REFUSED),
        ({"supervisor": "24"}, []),
        ({"target": "0003*210"}, WHISPERED),
        ({"target": "0003*210", "supervisor": "0003*025"}, []),
        ({"call": CALL, "since": EPOCH + 3000}, WHISPERED),
        ({"call": CALL, "since": EPOCH + 4000}, []),
        ({"since": EPOCH + 2}, [("", "linked"), ("r2", "ended")]),
    ],
)
def test_what_belongs_to_what_is_wanted_is_found(
    path: Path, wanted: dict[str, Any], lines: list[tuple[str, str]]
) -> None:
    assert found(path, **wanted) == lines


def test_with_nothing_wanted_everything_is_shown(path: Path) -> None:
    assert len(found(path)) == 7


@pytest.mark.parametrize(
    "names",
    [
        ("audit.jsonl.2.gz", "audit.jsonl.1"),
        ("audit.jsonl-20261101.xz", "audit.jsonl-20261108"),
        ("audit.jsonl.10.bz2", "audit.jsonl.9.bz2"),
    ],
)
def test_rotated_files_are_read_the_oldest_first(path: Path, names: tuple[str, str]) -> None:
    written(path.with_name(names[0]), line(-9, "one", request="r0", call=CALL), age=9000)
    written(path.with_name(names[1]), line(-5, "two", request="r0", call=CALL), age=5000)
    written(path.with_name("audit.jsonl.bak"), line(0, "no", request="r0", call=CALL))
    assert found(path, call=CALL)[:2] == [("r0", "one"), ("r0", "two")]
    assert [line["event"] for line in Archive(path).recent()][:2] == ["two", "attempt"]


def test_files_older_than_what_is_wanted_are_not_opened(path: Path) -> None:
    old = path.with_name("audit.jsonl.1")
    old.write_bytes(b"\0")
    os.utime(old, (1, 1))
    archive = Archive(path)
    assert len(list(archive.lines(Wanted(since=EPOCH)))) == 7
    assert archive.damaged == 0
    assert len(list(archive.lines(Wanted()))) == 7
    assert archive.damaged == 1


def test_damaged_lines_are_counted_and_left_out(path: Path) -> None:
    with path.open("a") as file:
        file.write('{"event": "torn\n[1]\n\n')
    archive = Archive(path)
    assert len(list(archive.lines(Wanted(call=CALL)))) == 4
    assert archive.damaged == 2


def test_a_table_of_it(path: Path) -> None:
    head, *rows = table(Archive(path).lines(Wanted(call=CALL)))
    assert head.split() == ["TIME", "EVENT", "WHO", "WHOM", "CALL", "WHAT"]
    assert "0003*024 > 0003*210" in rows[-1]
    assert rows[-1].endswith("completed")
    assert len({row.index(CALL) for row in rows}) == 1


def test_nothing_in_a_table_moves_the_cursor() -> None:
    _, row = table([line(0, "attempt", call="\x1b[2J", supervisor="a\nb")])
    assert "\x1b" not in row
    assert "a?b" in row
