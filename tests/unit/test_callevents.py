"""Call events out of what a PBX tells: recordings of a real one, and what it may tell besides."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Container, Mapping
from contextlib import asynccontextmanager
from urllib.parse import parse_qsl

import pytest

from bridge.callevents import Part, Tracker
from bridge.calls import Picture
from bridge.channels import Call
from bridge.events import DialEnded, Event, HungUp, Left
from bridge.following import GATHERING
from bridge.hooks import CallEvent, EventType
from bridge.uapi import present_event
from tests.support.directory import DIRECTORY, instead
from tests.support.happenings import RINGING, UP, dials, end, hung_up, leg, listed, seen, talk
from tests.support.picture import picture
from tests.support.recordings import NAMES, load
from tests.support.scene import AGENT_LEG, CUSTOMER, Scene, scene
from tests.support.timing import in_virtual_time

JOHN = "John Doe <3334444>"

STORIES = {
    "answered": [
        f"DIAL_IN 0003*210 CALLING IN, {JOHN}: > 0003*210",
        f"ANSWERED_IN 0003*210 ANSWER IN, {JOHN}: > 0003*210",
        f"HANGUP 0003*210 ANSWER IN, {JOHN}: > 0003*210",
    ],
    "outgoing": [
        "DIAL_OUT 0003*210 CALLING OUT, Agent 210 <0003*210>: 0003*210 > 7778888",
        "ANSWERED_OUT 0003*210 ANSWER OUT, Agent 210 <0003*210>: 0003*210 > 7778888",
        "HANGUP 0003*210 ANSWER OUT, Agent 210 <0003*210>: 0003*210 > 7778888",
    ],
    "extensions": [
        "DIAL_OUT 0003*211 CALLING OUT, Agent 211 <0003*211>: 0003*211 > 0003*210",
        "DIAL_IN 0003*210 CALLING IN, Agent 211 <0003*211>: 0003*211 > 0003*210",
        "ANSWERED_IN 0003*210 ANSWER IN, Agent 211 <0003*211>: 0003*211 > 0003*210",
        "ANSWERED_OUT 0003*211 ANSWER OUT, Agent 211 <0003*211>: 0003*211 > 0003*210",
        "HANGUP 0003*210 ANSWER IN, Agent 211 <0003*211>: 0003*211 > 0003*210",
        "HANGUP 0003*211 ANSWER OUT, Agent 211 <0003*211>: 0003*211 > 0003*210",
    ],
    "busy": [
        f"DIAL_IN 0003*210 CALLING IN, {JOHN}: > 0003*210",
        f"HANGUP 0003*210 UNKNOWN IN, {JOHN}: > 0003*210",
    ],
    "cancelled": [
        f"DIAL_IN 0003*210 CALLING IN, {JOHN}: > 0003*210",
        f"HANGUP 0003*210 UNKNOWN IN, {JOHN}: > 0003*210",
    ],
    "fork": [
        f"DIAL_IN 0003*210 CALLING IN, {JOHN}: > 0003*210, dialed 610",
        f"DIAL_IN 0003*211 CALLING IN, {JOHN}: > 0003*211, dialed 610",
        f"ANSWERED_IN 0003*211 ANSWER IN, {JOHN}: > 0003*211, dialed 610",
        f"HANGUP 0003*210 UNKNOWN IN, {JOHN}: > 0003*210, dialed 610",
        f"HANGUP 0003*211 ANSWER IN, {JOHN}: > 0003*211, dialed 610",
    ],
    "queue": [
        f"DIAL_IN 0003*210 CALLING IN, {JOHN}: > 0003*210, dialed 650",
        f"ANSWERED_IN 0003*210 ANSWER IN, {JOHN}: > 0003*210, dialed 650",
        f"HANGUP 0003*210 ANSWER IN, {JOHN}: > 0003*210, dialed 650",
    ],
    "conference": [
        "DIAL_OUT 0003*210 CALLING OUT, Agent 210 <0003*210>: 0003*210 > 660",
        "ANSWERED_OUT 0003*210 ANSWER OUT, Agent 210 <0003*210>: 0003*210 > 660",
        "HANGUP 0003*210 ANSWER OUT, Agent 210 <0003*210>: 0003*210 > 660",
    ],
    "attended-to-agent": [
        f"DIAL_IN 0003*211 CALLING IN, {JOHN}: > 0003*211",
        f"ANSWERED_IN 0003*211 ANSWER IN, {JOHN}: > 0003*211",
        "DIAL_OUT 0003*211 CALLING OUT, Agent 211 <0003*211>: 0003*211 > 0003*210",
        "DIAL_IN 0003*210 CALLING IN, Agent 211 <0003*211>: 0003*211 > 0003*210",
        "ANSWERED_IN 0003*210 ANSWER IN, Agent 211 <0003*211>: 0003*211 > 0003*210",
        "ANSWERED_OUT 0003*211 ANSWER OUT, Agent 211 <0003*211>: 0003*211 > 0003*210",
        f"HANGUP 0003*211 ANSWER IN, {JOHN}: > 0003*211",
        "HANGUP 0003*211 ANSWER OUT, Agent 211 <0003*211>: 0003*211 > 0003*210",
        f"HANGUP 0003*210 ANSWER IN, {JOHN}: > 0003*210",
    ],
}
"""Type, extension, status and flow; the caller's id; caller and called; what was dialed outside."""

STORIES["whisper"] = STORIES["whisper-two"] = STORIES["hold"] = STORIES["answered"]


def told(event: CallEvent) -> str:
    """An event as its client is told it, in short."""
    p = dict(parse_qsl(present_event(event, "x"), keep_blank_values=True))
    called = p["CalledExtension"] or p["CalledNumber"]
    dialed = f", dialed {p['CalledDID']}" if p["CalledDID"] else ""
    assert p["CalledNumber"] == (p["CalledDID"] or called)
    who = f"{p['CallerIDName']} <{p['CallerIDNum']}>: {p['CallerExtension']} > {called}{dialed}"
    how = f"{event.extension} {p['CallStatus']} {p['CallFlow']}"
    return f"{event.type.name} {how}, {who}".replace(":  >", ": >")


class Looking:
    """Whoever looks at the calls of a picture."""

    def __init__(self, calls: Picture) -> None:
        self._picture, calls.changed = calls, {}
        self._tracker = Tracker(calls.channels, DIRECTORY.written, {})
        self._tracker.begin((), ())
        self.events: list[CallEvent] = []

    def look(self) -> None:
        changed, self._picture.changed = self._picture.changed or {}, {}
        for call_id in changed:
            call = self._picture.call(call_id)
            there = call is not None and call.id == call_id
            self.events += self._tracker.look(call_id, call if there else None)


def events_of(name: str, *, seldom: bool = False) -> list[CallEvent]:
    """The call events of a recording, looked at after each event or just before some part."""
    calls = picture()
    looking = Looking(calls)
    for at, event in load(name).happenings:
        if isinstance(event, HungUp | DialEnded | Left):
            looking.look()
        calls.feed(event, at)
        if not seldom:
            looking.look()
    looking.look()
    return looking.events


@pytest.mark.parametrize("name", STORIES)
def test_what_a_client_is_told_of_a_call(name: str) -> None:
    assert [told(event) for event in events_of(name)] == STORIES[name]


@pytest.mark.parametrize("name", NAMES)
def test_however_seldom_it_is_looked_at_nothing_is_missed(name: str) -> None:
    often, seldom = (
        Counter(told(event) for event in events)
        for events in (events_of(name), events_of(name, seldom=True))
    )
    assert often == seldom


@pytest.mark.parametrize("name", NAMES)
def test_each_part_in_a_call_begins_once_and_ends_once(name: str) -> None:
    kinds = Counter(event.type for event in events_of(name))
    begun = kinds[EventType.DIAL_IN] + kinds[EventType.DIAL_OUT]
    assert begun == kinds[EventType.HANGUP] > 0
    assert kinds[EventType.ANSWERED_IN] <= kinds[EventType.DIAL_IN]
    assert kinds[EventType.ANSWERED_OUT] <= kinds[EventType.DIAL_OUT]


@pytest.mark.parametrize("name", NAMES)
def test_a_part_ends_under_the_id_of_the_call_with_which_it_began(name: str) -> None:
    events = events_of(name)
    begun = Counter((e.call_id, e.extension) for e in events if e.type in (0, 1))
    ended = Counter((e.call_id, e.extension) for e in events if e.type is EventType.HANGUP)
    assert begun == ended


# What the service has looked at


class Watcher:
    """An observer of a service that knows of some extensions what was told of them before."""

    def __init__(
        self, now: Scene, parts: Mapping[str, Part] | None = None, known: Container[str] = ()
    ) -> None:
        self.service, self.known = now.service, known
        self.tracker = Tracker(self.service.picture.channels, DIRECTORY.written, parts or {})
        self.events: list[CallEvent] = []
        self.service.observe(self)

    def look(self, call_id: str, call: Call | None) -> None:
        self.events += self.tracker.look(call_id, call)

    def begin(self) -> None:
        self.events += self.tracker.begin(self.service.picture.calls(), self.known)

    @property
    def kinds(self) -> list[str]:
        return [f"{event.type.name} {event.extension}" for event in self.events]


async def a_moment() -> None:
    await asyncio.sleep(2 * GATHERING)


@in_virtual_time
async def test_a_call_that_lasts_no_moment_is_told_whole() -> None:
    async with scene() as now:
        watcher = Watcher(now)
        now.feed(*talk(CUSTOMER, AGENT_LEG), *end(AGENT_LEG, CUSTOMER))
        await a_moment()
        assert watcher.kinds == ["DIAL_IN 0003*210", "ANSWERED_IN 0003*210", "HANGUP 0003*210"]


@in_virtual_time
async def test_what_there_was_before_is_not_told() -> None:
    async with scene() as now:
        now.talk()
        watcher = Watcher(now)
        await a_moment()
        assert watcher.kinds == []
        now.feed(*end(AGENT_LEG, CUSTOMER))
        await a_moment()
        assert watcher.kinds == ["HANGUP 0003*210"]


@in_virtual_time
async def test_before_all_calls_are_known_none_is_told() -> None:
    async with scene() as now:
        now.service.on_lost()
        watcher = Watcher(now)
        now.feed(*talk(CUSTOMER, AGENT_LEG))
        now.service.replace_directory(DIRECTORY)
        await a_moment()
        now.restored(*now.listing())
        assert watcher.kinds == []
        now.feed(*end(AGENT_LEG, CUSTOMER))
        await a_moment()
        assert watcher.kinds == ["HANGUP 0003*210"]


@in_virtual_time
async def test_what_happened_while_the_link_was_lost_is_told_afterwards() -> None:
    async with scene() as now:
        watcher = Watcher(now)
        now.talk()
        await a_moment()
        now.service.on_lost()
        new = leg("0003*211", "9.1", state=RINGING)
        now.restored(listed(new, application="AppDial", age=1))
        assert watcher.kinds[2:] == ["HANGUP 0003*210", "DIAL_IN 0003*211"]


@in_virtual_time
async def test_a_leg_that_is_born_a_moment_before_it_is_dialed_is_no_caller() -> None:
    async with scene() as now:
        watcher = Watcher(now)
        now.feed(seen(AGENT_LEG))
        await a_moment()
        assert watcher.kinds == []
        now.feed(dials(CUSTOMER, AGENT_LEG))
        await a_moment()
        assert watcher.kinds == ["DIAL_IN 0003*210"]


@in_virtual_time
async def test_a_leg_that_is_neither_called_nor_calls_is_not_told() -> None:
    async with scene() as now:
        watcher = Watcher(now)
        now.feed(seen(AGENT_LEG))
        await a_moment()
        now.feed(hung_up(AGENT_LEG))
        await a_moment()
        assert watcher.kinds == []


@in_virtual_time
async def test_whose_extension_is_gone_from_the_directory_was_not_hung_up() -> None:
    async with scene() as now:
        watcher = Watcher(now)
        now.talk()
        await a_moment()
        now.reads(instead('number = "0003*210"', 'number = "0003*219"'))
        await a_moment()
        assert "HANGUP 0003*210" not in watcher.kinds


# What was told before


BOTH = ("0003*210", "0003*211")
COLLEAGUE_LEG = leg("0003*211", "9.1", "9.0", state=RINGING)


@asynccontextmanager
async def starting() -> AsyncIterator[Scene]:
    """A service that does not know the calls of the PBX yet."""
    async with scene() as now:
        now.service.on_lost()
        yield now


async def parts_after(*events: Event) -> dict[str, Part]:
    """The parts that are known when the bridge ends."""
    async with scene() as now:
        watcher = Watcher(now)
        now.feed(*events)
        await a_moment()
        return {u: part for u, part in watcher.tracker.take_changed().items() if part is not None}


@in_virtual_time
async def test_what_ended_while_the_bridge_was_away_is_told_as_it_was_known() -> None:
    parts = await parts_after(*talk(CUSTOMER, AGENT_LEG), dials(None, COLLEAGUE_LEG))
    async with starting() as now:
        watcher = Watcher(now, parts, BOTH)
        now.restored()
        told = [(event.extension, event.type, event.answered) for event in watcher.events]
        assert sorted(told) == [
            ("0003*210", EventType.HANGUP, True),
            ("0003*211", EventType.HANGUP, False),
        ]
        assert watcher.events[0].caller == parts[AGENT_LEG.uniqueid].caller
        assert dict.fromkeys(parts) == watcher.tracker.take_changed()
        assert watcher.tracker.parts_of("0003*210") == {}


@in_virtual_time
async def test_what_was_answered_or_began_meanwhile_is_told_and_nothing_twice() -> None:
    parts = await parts_after(dials(CUSTOMER, AGENT_LEG._replace(state=RINGING)))
    async with starting() as now:
        watcher = Watcher(now, parts, BOTH)
        now.restored(
            listed(CUSTOMER._replace(state=UP), bridge="b"),
            listed(AGENT_LEG._replace(state=UP), bridge="b", application="AppDial"),
            listed(COLLEAGUE_LEG, application="AppDial"),
        )
        assert sorted(watcher.kinds) == ["ANSWERED_IN 0003*210", "DIAL_IN 0003*211"]
        now.service.on_lost()
        now.restored(listed(COLLEAGUE_LEG, application="AppDial"))
        assert watcher.kinds[2:] == ["HANGUP 0003*210"]


@in_virtual_time
async def test_of_an_extension_of_which_nothing_was_told_what_there_is_is_not_told() -> None:
    async with starting() as now:
        watcher = Watcher(now, {}, ["0003*211"])
        now.restored(*now.listing(), listed(COLLEAGUE_LEG, application="AppDial"))
        assert watcher.kinds == ["DIAL_IN 0003*211"]


@in_virtual_time
async def test_a_part_changes_when_something_of_it_does() -> None:
    async with scene() as now:
        watcher = Watcher(now)
        now.feed(*talk(CUSTOMER, AGENT_LEG))
        await a_moment()
        changed = watcher.tracker.take_changed()
        assert [part and part.answered for part in changed.values()] == [True]
        now.feed(seen(AGENT_LEG))
        await a_moment()
        assert watcher.tracker.take_changed() == {}
        assert watcher.tracker.parts_of("0003*210") == changed
        now.feed(*end(AGENT_LEG))
        await a_moment()
        assert watcher.tracker.take_changed() == {AGENT_LEG.uniqueid: None}
