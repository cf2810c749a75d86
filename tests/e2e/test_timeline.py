"""Every second of a whisper is in the audit: who took part, how, and what nobody can know.

The audit's spans are held against what the phones heard, in windows of 20 ms, and against what
Asterisk itself says of the spy.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from bridge.audit import Doubt, spans
from bridge.lab import tones
from bridge.lab.phone import Phone
from bridge.lab.server import Server
from bridge.model import Mode
from bridge.vouching import EVERY
from tests.support.hearing import WINDOW, Hearing, Window, hearing
from tests.support.timeline import beyond, uncovered, wrong
from tests.support.unlimited import UNLIMITED

from .ami_line import AmiLine
from .client import Api, in_mode
from .stage import AGENT, CUSTOMER, SUPERVISOR, Call, Stage, a_call, a_stage

pytestmark = pytest.mark.pbx

LISTEN, WHISPER, PRIVATE, BARGE = Mode
STAY = 0.7
"""Seconds in each mode."""

Line = dict[str, Any]


@dataclass(frozen=True)
class House:
    """A PBX, and three phones each of which plays its own tone."""

    stage: Stage
    agent: Phone
    customer: Phone
    supervisor: Phone

    @property
    def phones(self) -> dict[str, Phone]:
        """The phones by the roles of who has them."""
        return {"agent": self.agent, "customer": self.customer, "supervisor": self.supervisor}


@pytest.fixture(scope="module", params=["22", "16"])
async def house(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[House]:
    hz = {AGENT: tones.AGENT_HZ, CUSTOMER: tones.CUSTOMER_HZ, SUPERVISOR: tones.SUPERVISOR_HZ}
    async with AsyncExitStack() as stack:
        run_dir = tmp_path_factory.mktemp(f"timeline{request.param}")
        stage = await stack.enter_async_context(a_stage(run_dir, request.param))
        # A second bridge would take the whispers on after a gap, too.
        await stage.server.stop()
        yield House(
            stage,
            *[await stack.enter_async_context(stage.phone(n, tone)) for n, tone in hz.items()],
        )


@dataclass
class Session:
    """One bridge with an audit of its own and a call; ``line`` leads from it to the PBX."""

    house: House
    server: Server
    api: Api
    audit: Path
    line: AmiLine
    call: Call
    heard: Hearing
    mark: int

    def lines(self) -> list[Line]:
        """The audit as it is."""
        return [json.loads(line) for line in self.audit.read_text().splitlines()]

    async def told(self, event: str, count: int = 1, **wanted: object) -> Line:
        """Wait until the audit has so many such lines, and give the last of them."""
        found: list[Line] = []
        async with asyncio.timeout(8):
            while len(found) < count:
                await asyncio.sleep(0.01)
                wants = {"event": event, **wanted}.items()
                found = [line for line in self.lines() if wants <= line.items()]
        return found[-1]

    async def ask(self, mode: Mode) -> None:
        """Have the supervisor take part in a mode, and stay in it."""
        answer = await self.api.put(self.call.path, in_mode(mode), "wait=5")
        assert answer.status == 200, answer
        await asyncio.sleep(STAY)

    async def press(self, key: str, *, unseen: bool = False) -> None:
        """Press a key of the supervisor's phone, and stay in what it led to."""
        changes = sum(line["event"] == "mode" for line in self.lines())
        await self.house.supervisor.press(key)
        if not unseen:
            await self.told("mode", changes + 1)
        await asyncio.sleep(STAY)

    async def over(self) -> None:
        """Wait until the PBX has no spy any more, and the sound has come to its end."""
        await self.house.stage.no_whisper_leg()
        await asyncio.sleep(STAY)

    def truth(self) -> tuple[float, float]:
        """From when to when somebody spied, as Asterisk says."""
        return tuple(  # type: ignore[return-value]
            float(message["Timestamp"])
            for event in ("ChanSpyStart", "ChanSpyStop")
            for message in self.house.stage.observer.events.entries[self.mark :]
            if message["Event"] == event
        )

    def windows(self) -> Callable[[str, str], list[Window]]:
        """What was heard; read once, since it is asked for again and again."""
        pairs = {(a, b) for a in self.house.phones for b in self.house.phones if a != b}
        found = {pair: list(self.heard.windows(*pair)) for pair in pairs}
        return lambda listener, speaker: found[listener, speaker]


@asynccontextmanager
async def a_session(house: House, tmp_path: Path) -> AsyncIterator[Session]:
    """A bridge that follows keys, while the customer talks to the agent."""
    stage, audit = house.stage, tmp_path / "audit.jsonl"
    async with (
        AmiLine(stage.pbx.ami_port) as line,
        await stage.another_server(
            ami_port=line.port,
            BRIDGE_AUDIT=str(audit),
            BRIDGE_AMI_USERNAME="whisper-bridge-keys",
            BRIDGE_FOLLOW_KEYS="true",
            **UNLIMITED,
        ) as server,
    ):
        api = Api(stage.http, server.url, stage.token)
        async with a_call(api, house.customer, house.agent) as call:
            phones = {name: p for name, p in house.phones.items() if name != "supervisor"}
            for phone in phones.values():
                await tones.fresh(phone.recording, 0.2)
            mark = stage.observer.events.mark()
            async with hearing(house.phones) as heard:
                yield Session(house, server, api, audit, line, call, heard, mark)
    await stage.silence()


def at(line: Line, name: str = "time") -> float:
    return datetime.fromisoformat(line[name]).timestamp()


def without(lines: Iterable[Line], *events: str) -> list[Line]:
    return [line for line in lines if line["event"] not in events]


async def test_what_is_heard_is_what_the_audit_says(house: House, tmp_path: Path) -> None:
    async with a_session(house, tmp_path) as session:
        for mode in (WHISPER, LISTEN, BARGE):
            await session.ask(mode)
        for key in "5", "6":
            await session.press(key)
        await session.ask(PRIVATE)
        await session.api.delete(session.call.path, SUPERVISOR)
        await session.over()
        lines, heard, truth = session.lines(), session.windows(), session.truth()
    found = list(spans(lines))
    assert [Mode(span.mode) for span in found] == [WHISPER, LISTEN, BARGE, WHISPER, BARGE, PRIVATE]
    assert not any(span.doubt for span in found)
    assert [span.by.get("key", False) for span in found] == [False] * 3 + [True] * 2 + [False]
    for span in found:
        who = span.line()
        assert (who["supervisor"], who["extension"], who["app"]) == (SUPERVISOR, AGENT, "lab-app")
        assert who["call"] == session.call.id
    assert wrong(heard, found) == []
    assert uncovered(*truth, found) < 0.05
    assert beyond(*truth, found) < 0.05
    # Without any one of the lines that make it up, it would be seen.
    changes = [line for line in lines if line["event"] in ("attached", "mode")]
    assert len(changes) == 6
    for change in changes:
        less = list(spans(line for line in lines if line is not change))
        assert wrong(heard, less) or any(span.doubt for span in less), change
    assert wrong(heard, list(spans(without(lines, "detached", "ended"))))


async def test_what_nobody_watched_is_there_and_told_as_such(house: House, tmp_path: Path) -> None:
    async with a_session(house, tmp_path) as session:
        await session.ask(WHISPER)
        await session.line.cut()
        await session.told("unlinked")
        await session.press("6", unseen=True)
        await session.line.mend()
        await session.told("settled")
        await asyncio.sleep(STAY)
        await session.server.kill()
        await session.press("6", unseen=True)
        await session.server.boot()
        await session.told("settled", 2)
        await session.ask(LISTEN)
        await asyncio.sleep(EVERY)
        await session.server.kill()
        killed = time.time()
        await house.supervisor.hang_up()
        await session.over()
        await session.server.boot()
        ended = await session.told("ended", reason="unseen")
        lines, heard, (begin, end) = session.lines(), session.windows(), session.truth()
    found = list(spans(lines))
    told = [(Mode(span.mode), span.doubt) for span in found]
    mode, presence = Doubt.MODE, Doubt.PRESENCE
    # A bridge that is killed vouches only until the PBX spoke last.
    gaps = [(WHISPER, None), (WHISPER, mode), (WHISPER, mode), (WHISPER, None)]
    assert told == [*gaps, (LISTEN, None), (LISTEN, presence)]
    assert wrong(heard, found) == []
    assert uncovered(begin, end, found) < 0.05
    assert beyond(begin, end, found) < 0.05
    assert killed - EVERY - 1 < at(ended, "not_before") < end < at(ended)
    # It is in the gaps that the customer heard him, which he should not have.
    surely = [replace(span, doubt=None) for span in found]
    assert len(wrong(heard, surely)) > 2 * STAY / WINDOW * 0.8
    assert wrong(heard, list(spans(without(lines, "unlinked"))))
    assert wrong(heard, list(spans(without(lines, "started"))))
