"""The log as it is written: for people, in JSON, and for systemd's journal."""

import asyncio
import io
import json
import logging
import os
from collections.abc import Iterator
from contextvars import ContextVar
from datetime import datetime
from typing import Any

import pytest

from bridge.logs import JournalFormatter, JsonFormatter, OfRequest, TextFormatter, goes_to

REQUEST: ContextVar[str] = ContextVar("request")


class Log:
    """A logger whose lines can be read."""

    def __init__(self, formatter: logging.Formatter) -> None:
        self.lines = io.StringIO()
        self._handler = logging.StreamHandler(self.lines)
        self._handler.setFormatter(formatter)
        self._handler.addFilter(OfRequest(REQUEST))
        self.logger = logging.Logger("bridge.part", logging.DEBUG)
        self.logger.addHandler(self._handler)

    @property
    def text(self) -> str:
        """What was written."""
        return self.lines.getvalue()

    @property
    def json(self) -> Any:
        """The only line, read."""
        (line,) = self.text.splitlines()
        return json.loads(line)


@pytest.fixture
def request_id() -> Iterator[str]:
    mark = REQUEST.set("c0ffee")
    yield "c0ffee"
    REQUEST.reset(mark)


def failing(logger: logging.Logger) -> None:
    try:
        raise ValueError("a fault")
    except ValueError:
        logger.exception("it failed")


def test_a_line_for_people_ends_with_its_request(request_id: str) -> None:
    log = Log(TextFormatter())
    log.logger.info("%d calls", 3)
    assert log.text.endswith(" INFO     bridge.part: 3 calls [c0ffee]\n")


def test_a_line_of_no_request_says_nothing_of_one() -> None:
    log = Log(TextFormatter())
    log.logger.warning("trouble")
    assert log.text.endswith(" WARNING  bridge.part: trouble\n")


def test_a_line_that_names_its_request_names_it_once() -> None:
    log = Log(TextFormatter())
    log.logger.info("ringing request=bead", extra={"data": {"request": "bead"}})
    assert log.text.endswith(" ringing request=bead\n")


def test_an_exception_follows_its_line(request_id: str) -> None:
    log = Log(TextFormatter())
    failing(log.logger)
    first, *rest = log.text.splitlines()
    assert first.endswith(" ERROR    bridge.part: it failed [c0ffee]")
    assert (rest[0], rest[-1]) == ("Traceback (most recent call last):", "ValueError: a fault")


def test_json_has_fields(request_id: str) -> None:
    log = Log(JsonFormatter())
    log.logger.error("é: %s", "x\ny")
    line = log.json
    assert datetime.fromisoformat(line.pop("time")).utcoffset() is not None
    assert line == {
        "level": "ERROR",
        "logger": "bridge.part",
        "message": "é: x\ny",
        "request": "c0ffee",
    }


def test_json_has_what_is_said_in_data_beside_them() -> None:
    log = Log(JsonFormatter())
    data = {"event": "ringing", "after": 0.02, "request": "bead", "message": "not this"}
    log.logger.info("ringing", extra={"data": data})
    assert log.json.items() >= {"event": "ringing", "after": 0.02, "request": "bead"}.items()
    assert log.json["message"] == "ringing"


def test_json_has_an_exception_in_one_line() -> None:
    log = Log(JsonFormatter())
    failing(log.logger)
    assert log.json["exception"].endswith("ValueError: a fault")


@pytest.mark.parametrize(
    ("level", "priority"),
    [
        (logging.CRITICAL, 2),
        (logging.ERROR, 3),
        (logging.WARNING, 4),
        (logging.INFO, 6),
        (logging.DEBUG, 7),
    ],
)
def test_the_journal_is_told_the_priority_of_every_line(level: int, priority: int) -> None:
    log = Log(JournalFormatter(TextFormatter()))
    log.logger.log(level, "one\ntwo")
    assert [line[:3] for line in log.text.splitlines()] == [f"<{priority}>"] * 2


async def test_what_a_request_has_begun_is_logged_under_it(request_id: str) -> None:
    log = Log(TextFormatter())

    async def later() -> None:
        await asyncio.sleep(0)
        log.logger.info("later")

    await asyncio.create_task(later())
    assert log.text.endswith("later [c0ffee]\n")


def test_the_journal_is_known_by_its_stream() -> None:
    read, write = os.pipe()
    status = os.fstat(write)
    with os.fdopen(read), os.fdopen(write, "w") as stream:
        assert goes_to(f"{status.st_dev}:{status.st_ino}", stream)
        assert not goes_to(f"{status.st_dev}:{status.st_ino + 1}", stream)
        assert not goes_to("", stream)
    assert not goes_to("", io.StringIO())
