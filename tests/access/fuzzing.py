"""Sends hostile requests by the thousand, and judges every answer."""

import asyncio
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from urllib.parse import urlsplit

from tests.support.described import Description
from tests.support.raw_http import Pipe, RawAnswer, answers

from .hostile import Case

BATCH = 24
PIPES = 3
WILD = 24
PATIENCE = 0.25
"""Seconds to wait for the answer to what may be no whole request."""

_LAST = b"GET /nowhere HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
_NEVER = {500, 502, 503, 504}
_CALLED = {200, 202, 409}
"""How a PUT is answered that has a phone called, to who waits and who does not."""
_NOT_REACHED = (
    b"is not registered at the PBX",
    b"does not know the phone",
    b"cannot call the phone",
)
"""How a whisper is refused once the PBX was asked to call the phone."""


class Judge:
    """Compares answers with the description; of the same answers only the first one.

    ``tried`` are the cases for which the PBX was to call a phone, or may have been: those that
    were not waited for.
    """

    def __init__(self, description: Description) -> None:
        self.statuses: Counter[int] = Counter()
        self.tried: list[Case] = []
        self._description = description
        self._known: set[tuple[object, ...]] = set()
        self._ids: set[str] = set()

    def judge(self, case: Case, answer: RawAnswer) -> None:
        """Raises AssertionError when an answer is not what the case may get."""
        self.statuses[answer.status] += 1
        assert answer.status not in _NEVER, (case, answer)
        if answer.status == 501:
            assert _other_action(case.body), (case, answer)
        self._note(case, answer)
        key = (case.method, case.path, answer.status, *answer.headers, answer.body)
        if key not in self._known:
            self._known.add(key)
            self._compare(case, answer)

    def judge_wild(self, case: Case, answer: RawAnswer) -> None:
        """The same, as far as it can be told without knowing what was understood."""
        self.statuses[answer.status] += 1
        assert answer.status not in _NEVER, (case, answer)
        self._note(case, answer)
        if answer.status >= 400 and answer.body:
            schema = self._description.document["components"]["schemas"]["Error"]
            key = (answer.status, answer.body)
            if key not in self._known:
                self._known.add(key)
                self._description.require(schema, answer.json, repr(case))

    def _compare(self, case: Case, answer: RawAnswer) -> None:
        try:
            self._description.check(
                case.method, case.path, answer.status, answer.headers, answer.body
            )
        except Exception as error:
            raise AssertionError(f"{error}: {case} got {answer}") from error

    def _note(self, case: Case, answer: RawAnswer) -> None:
        called = case.method != "GET" and answer.status in _CALLED
        if called or any(words in answer.body for words in _NOT_REACHED):
            self.tried.append(case)
        request_id = answer.headers["X-Request-Id"]
        assert request_id not in self._ids
        self._ids.add(request_id)


def _other_action(body: bytes) -> bool:
    """Whether a body asks for an action that is not there."""
    action = json.loads(body)["action"]
    return isinstance(action, str) and action not in ("Whisper", "Monitor", "BargeIn")


async def attack(url: str, cases: Sequence[Case], judge: Judge) -> None:
    """Send them all, several at a time. Raises AssertionError."""
    tame = iter(_batches([case for case in cases if case.tame]))
    wild = iter([case for case in cases if not case.tame])
    async with asyncio.TaskGroup() as group:
        for _ in range(PIPES):
            group.create_task(_many(url, tame, judge))
        for _ in range(WILD):
            group.create_task(_each(url, wild, judge))


def _batches(cases: Sequence[Case]) -> Iterator[Sequence[Case]]:
    for start in range(0, len(cases), BATCH):
        yield cases[start : start + BATCH]


async def _many(url: str, batches: Iterable[Sequence[Case]], judge: Judge) -> None:
    async with Pipe.to(url) as pipe:
        for batch in batches:
            try:
                got = await asyncio.wait_for(pipe.ask(*(case.raw for case in batch)), 30)
            except (OSError, asyncio.IncompleteReadError, TimeoutError) as error:
                raise AssertionError(f"one of these ended the connection: {batch}") from error
            for case, answer in zip(batch, got, strict=True):
                judge.judge(case, answer)


async def _each(url: str, cases: Iterable[Case], judge: Judge) -> None:
    for case in cases:
        ended, came = await _alone(url, case.raw + _LAST)
        got = answers(came, ["HEAD"] if case.raw.startswith(b"HEAD") else []) if ended else []
        for answer in got:
            judge.judge_wild(case, answer)
        if not ended:
            judge.tried.append(case)


async def _alone(url: str, raw: bytes) -> tuple[bool, bytes]:
    """Send something on a connection of its own: whether it was ended in time, and what came."""
    where, came = urlsplit(url), bytearray()
    reader, writer = await asyncio.open_connection(where.hostname, where.port)
    writer.write(raw)
    try:
        async with asyncio.timeout(PATIENCE):
            while data := await reader.read(1 << 16):
                came += data
    except TimeoutError:
        return False, bytes(came)
    except ConnectionResetError:
        pass
    finally:
        writer.close()
    return True, bytes(came)
