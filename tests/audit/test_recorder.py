"""The audit's file: rotated, unlinked, on a full disk, at the end; on real files and real disks."""

import json
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from stat import S_IMODE
from typing import Any

import pytest

from bridge.audit import Recorder
from bridge.audit.files import LineFile
from bridge.happenings import Attempted, Linked, Moment, Responded, Unlinked
from bridge.model import Asker
from tests.support.disks import run_on_a_small_disk

QUICK = 0.02
ASKER = Asker("panel", "12", "127.0.0.1", "c0ffee")


@contextmanager
def recording(path: Path, **more: Any) -> Iterator[Recorder]:
    recorder = Recorder(path, retry=QUICK, **more)
    recorder.start()
    try:
        yield recorder
    finally:
        recorder.stop()


def tell(recorder: Recorder, *calls: object) -> None:
    for call in calls:
        attempt = Attempted(ASKER, "Whisper", "0003*210", str(call))
        recorder(attempt, Moment(time.time(), time.monotonic()))


def lines(path: Path) -> list[Any]:
    """Every line of a file, each of which must be whole."""
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def calls(path: Path) -> list[str]:
    return [line["call"] for line in lines(path) if line["event"] == "attempt"]


def until(condition: Callable[[], object]) -> None:
    for _ in range(1000):
        if condition():
            return
        time.sleep(0.01)
    raise TimeoutError


# The file


def test_it_is_made_for_its_owner_and_group_only(tmp_path: Path) -> None:
    path = tmp_path / "state" / "audit.jsonl"
    with recording(path) as recorder:
        tell(recorder, "ca11")
    assert S_IMODE(path.stat().st_mode) & 0o007 == 0
    assert [line["event"] for line in lines(path)] == ["started", "attempt", "stopped"]
    assert recorder.written == 3


def test_it_is_appended_to(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    for number in range(3):
        with recording(path) as recorder:
            tell(recorder, number)
    assert calls(path) == ["0", "1", "2"]


def test_nothing_told_is_lost_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    with recording(path) as recorder:
        tell(recorder, *range(5000))
    assert calls(path) == [str(number) for number in range(5000)]


def test_a_line_torn_by_a_kill_stays_the_only_one(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    path.write_text('{"event":"attempt","ca')
    with recording(path) as recorder:
        tell(recorder, "ca11")
    torn, *rest = path.read_text().splitlines()
    assert torn == '{"event":"attempt","ca'
    assert [json.loads(line)["event"] for line in rest] == ["started", "attempt", "stopped"]


def test_half_a_character_is_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    with recording(path) as recorder:
        tell(recorder, "\udcff\n\0é", "after")
    assert calls(path) == ["\udcff\n\0é", "after"]
    assert path.read_bytes().isascii()


def test_what_cannot_be_put_into_words_costs_no_line_that_follows(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "audit.jsonl"
    with recording(path) as recorder:
        recorder(Attempted(ASKER, "Whisper", "0003*210", "x"), Moment(1e300, 0.0))
        tell(recorder, "after")
    assert calls(path) == ["after"]
    assert "the audit has no words for Attempted" in caplog.text


def test_answers_over_http_wake_nobody(tmp_path: Path) -> None:
    with recording(tmp_path / "audit.jsonl") as recorder:
        recorder(Responded("/", "GET", 200, 0.1), Moment(0.0, 0.0))
        assert recorder.waiting == 0


@pytest.mark.parametrize("where", ["a directory", "below a file"])
def test_a_place_where_no_file_can_be_is_told_at_the_start(tmp_path: Path, where: str) -> None:
    (tmp_path / "file").touch()
    path = tmp_path if where == "a directory" else tmp_path / "file" / "audit.jsonl"
    with pytest.raises(OSError, match=r"Is a directory|Not a directory|File exists"):
        Recorder(path).start()


# Rotation


def test_a_file_that_was_moved_is_followed_by_a_new_one(tmp_path: Path) -> None:
    path, moved = tmp_path / "audit.jsonl", tmp_path / "audit.jsonl.1"
    with recording(path) as recorder:
        tell(recorder, "before")
        until(lambda: recorder.written == 2)
        path.rename(moved)
        tell(recorder, "after")
    assert (calls(moved), calls(path)) == (["before"], ["after"])


def test_a_file_that_was_unlinked_is_made_again(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    with recording(path) as recorder:
        until(lambda: recorder.written == 1)
        path.unlink()
        tell(recorder, "after")
    assert calls(path) == ["after"]


def test_a_file_that_was_truncated_is_gone_on_with(tmp_path: Path) -> None:
    """As logrotate's copytruncate does it."""
    path = tmp_path / "audit.jsonl"
    with recording(path) as recorder:
        tell(recorder, "before")
        until(lambda: recorder.written == 2)
        os.truncate(path, 0)
        tell(recorder, "after")
    assert calls(path) == ["after"]


def test_asked_to_it_makes_the_new_file_at_once(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    with recording(path) as recorder:
        until(lambda: recorder.written == 1)
        path.unlink()
        recorder.reopen()
        until(path.exists)


def test_nothing_is_lost_while_it_is_moved_again_and_again(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    with recording(path) as recorder:
        for number in range(200):
            tell(recorder, number)
            if number % 10 == 0 and path.exists():
                path.rename(tmp_path / f"moved.{number:03}")
    there = [call for file in sorted(tmp_path.glob("moved.*")) for call in calls(file)]
    assert there + calls(path) == [str(number) for number in range(200)]


# A disk without room


@pytest.fixture
def full(tmp_path: Path) -> Path:
    """A path that has no room until it is replaced: the kernel's own full device."""
    path = tmp_path / "audit.jsonl"
    path.symlink_to("/dev/full")
    return path


def test_lines_wait_in_memory_until_there_is_room(
    full: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with recording(full) as recorder:
        tell(recorder, *range(5))
        until(lambda: recorder.trouble)
        tell(recorder, *range(5, 10))
        time.sleep(5 * QUICK)
        assert (recorder.written, recorder.missing) == (0, 0)
        full.unlink()
        until(lambda: not recorder.trouble)
    assert calls(full) == [str(number) for number in range(10)]
    said = [record.message for record in caplog.records if record.levelno >= logging.WARNING]
    assert ["No space left on device" in line for line in said] == [True, False]
    assert said[1].endswith("is written again")


def test_what_does_not_fit_in_memory_is_counted_in_the_file(full: Path) -> None:
    with recording(full, most=10) as recorder:
        until(lambda: recorder.trouble)
        for number in range(25):
            tell(recorder, number)
        until(lambda: recorder.missing == 16)
        full.unlink()
        until(lambda: not recorder.trouble)
        tell(recorder, "after")
    kept, gap, after, _ = lines(full)[1:10], *lines(full)[10:]
    assert [line["call"] for line in kept] == [str(number) for number in range(9)]
    assert (gap["event"], gap["lines"]) == ("missing", 16)
    assert after["call"] == "after"


def test_what_a_hanging_disk_keeps_waiting_is_bounded_and_counted(tmp_path: Path) -> None:
    """A pipe that nobody reads hangs as a dead network disk does."""
    path = tmp_path / "audit.jsonl"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        with recording(path, most=50) as recorder:
            for number in range(3000):
                tell(recorder, number)
            assert recorder.waiting <= 50 + 50
            emptied = threading.Thread(target=_empty, args=(reader, heard := bytearray()))
            emptied.start()
            until(lambda: recorder.waiting == 0)
            tell(recorder, "after")
        emptied.join()
    finally:
        os.close(reader)
    there = [json.loads(line) for line in heard.splitlines()]
    missing = sum(line["lines"] for line in there if line["event"] == "missing")
    assert missing == recorder.missing > 0
    assert len([line for line in there if line["event"] == "attempt"]) + missing == 3001


def _empty(reader: int, into: bytearray) -> None:
    os.set_blocking(reader, True)
    while piece := os.read(reader, 65536):
        into.extend(piece)


def test_what_is_lost_at_the_end_is_told(full: Path, caplog: pytest.LogCaptureFixture) -> None:
    with recording(full) as recorder:
        tell(recorder, "lost")
    assert caplog.records[-1].message.startswith("3 lines of the audit")
    assert recorder.waiting == 3


def test_a_line_that_fitted_half_is_whole_in_the_end(tmp_path: Path) -> None:
    """On a small disk of its own, in a process that may mount one."""
    became = run_on_a_small_disk("tests.audit.small_disk", tmp_path, size="16k", limit=60)
    assert became == {"short": True, "whole": True}


def test_a_line_goes_on_where_it_stopped(tmp_path: Path) -> None:
    """A limit on the size of files does what a full disk does, and can be raised."""
    file = LineFile(tmp_path / "lines")
    file.follow()
    file.append(b"one\n")
    file.sync()
    file.close()
    file.follow()
    file.append(b"two\n")
    assert (tmp_path / "lines").read_bytes() == b"one\ntwo\n"


# The log


def test_the_log_has_no_numbers_unless_asked_for(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    hexadecimal = "0123456789abcdef0123"
    with recording(tmp_path / "one") as recorder:
        tell(recorder, hexadecimal, "+15550100")
        recorder(Unlinked(), Moment(0.0, 0.0))
        recorder(Linked(frozenset()), Moment(0.0, 0.0))
    assert "0003*210" not in caplog.text
    assert "+15550100" not in caplog.text
    who = "action=Whisper app=panel user=12 address=127.0.0.1 request=c0ffee"
    assert caplog.messages[1:3] == [f"attempt call={hexadecimal} {who}", f"attempt {who}"]
    caplog.clear()
    with recording(tmp_path / "two", numbers=True) as recorder:
        tell(recorder, hexadecimal)
    assert caplog.messages[1].endswith("request=c0ffee extension=0003*210")
