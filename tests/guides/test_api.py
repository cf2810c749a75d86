"""The API by example: what it shows is asked, and answered as it shows."""

import asyncio
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from bridge import errors
from tests.support.guides import API, README, Command, shown

from .desk import Desk


def test_the_codes_it_lists_have_these_statuses() -> None:
    paragraph = re.search(r"^The codes: .*?\n\n", API.text, re.MULTILINE | re.DOTALL)
    assert paragraph
    listed: dict[str, int] = {}
    waiting: list[str] = []
    for code, status in re.findall(r"`([a-z_]+)`|\b(\d{3})\b", paragraph[0]):
        waiting += [code] if code else []
        if status:
            listed |= dict.fromkeys(waiting, int(status))
            waiting = []
    known = {(kind.code, kind.status) for kind in _below(errors.ApiError)}
    assert len(listed) >= 12
    assert listed.items() <= known


def _below(kind: type[errors.ApiError]) -> Iterator[type[errors.ApiError]]:
    yield kind
    for narrower in kind.__subclasses__():
        yield from _below(narrower)


def examples() -> Iterator[tuple[list[Command], int, Mapping[str, Any]]]:
    """What is typed, with the status the text before gives and the answer the text after shows."""
    *parts, rest = re.split(r"^```json\n(.*?)^```$", API.text, flags=re.M | re.S)
    assert not shown(rest), "an example without its answer"
    for before, answer in zip(parts[::2], parts[1::2], strict=True):
        status = re.search(r"`(\d{3})`", before)
        assert status, before
        yield shown(before), int(status[1]), json.loads(answer)


@pytest.mark.pbx
@pytest.mark.timeout(600)
async def test_the_examples_are_answered_as_it_shows(desk: Desk) -> None:
    tried = 0
    for typed, status, body in examples():
        for command in typed[:-1]:
            assert await desk.run(command) is None
        expected = status, undated(json.loads(desk.live(json.dumps(body))))
        assert await answered(desk, typed[-1], expected) == expected
        tried += 1
    assert tried == 6


async def answered(desk: Desk, command: Command, expected: tuple[int, Any]) -> tuple[int, Any]:
    """Ask until the answer is as expected: a phone needs its time to pick up; a PUT only once."""
    patience = 1 if "PUT" in command.words else 100
    for _ in range(patience):
        answer = await desk.run(command)
        assert answer
        found = answer[0], undated(answer[1])
        if found == expected:
            break
        await asyncio.sleep(0.05)
    return found


def undated(value: Any) -> Any:
    """The same without its dates, which must be dates with an offset, and without its tokens."""
    if isinstance(value, dict):
        return {name: undated(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [undated(inner) for inner in value]
    if not isinstance(value, str):
        return value
    if re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d\d:\d\d", value):
        return "DATE"
    return "TOKEN" if re.fullmatch(r"\w+\.\d{13}\.[\w-]{64}", value) else value


@pytest.mark.pbx
@pytest.mark.timeout(600)
async def test_what_readme_shows_is_taken(desk: Desk) -> None:
    (whisper,) = (command for command in shown(README.text) if command.words[0] == "curl")
    desk.variables |= {
        "TOKEN": await desk.server.token("panel"),
        "CALL": desk.call,
        "CALLS": desk.live("http://127.0.0.1:8480/uapi/phoneCalls/12/0003*210"),
    }
    answer = await desk.run(whisper)
    assert answer
    assert (answer[0], answer[1]["id"]) == (202, desk.call)
    await desk.nobody_whispers()
