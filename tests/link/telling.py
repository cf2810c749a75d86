"""What clients are told while the link is hurt and the bridge killed, against what really happened.

Calls begin, are answered and end by one throw of the dice; the lab's own eyes see all of them. A
call counts as hidden where its whole life fell into one gap: nobody can know of it.
"""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random
from typing import NamedTuple

from bridge.calls import call_id
from bridge.lab.errors import LabError
from bridge.lab.observer import Message
from bridge.lab.server import Server
from tests.e2e.client import Api
from tests.support.receiver import Receiver

from .chaos import CUSTOMERS, House
from .follower import Follower
from .proxy import Proxy

AGENTS = ("0003*210", "0003*211")
"""The first answers by itself, the second when it is told to."""

DIAL_IN, DIAL_OUT, HANGUP, ANSWERED_IN, ANSWERED_OUT = range(5)
_CALLED = ("0003*210", "0003*211", "0003*211", "610")
_PATIENCE = 15.0
_IN_FLIGHT = 0.05
"""Seconds in which what the PBX says arrives, unless the link is cut just then."""

_TOGETHER = 0.1
"""Seconds between two events whose order is to be seen."""


@dataclass
class Leg:
    """An agent's leg: whose, in which call, and when it was born, answered and over."""

    extension: str
    call: str
    born: float
    answered: float | None = None
    ended: float | None = None

    @property
    def moments(self) -> Mapping[int, float | None]:
        """When what happened, by the types of events."""
        return {DIAL_IN: self.born, ANSWERED_IN: self.answered, HANGUP: self.ended}


class Gap(NamedTuple):
    """From when until when the bridge may have seen nothing (seconds)."""

    begin: float
    end: float

    def hides(self, first: float, last: float | None) -> bool:
        """Whether all that happened between two moments fell into it."""
        return last is not None and self.begin <= first and last <= self.end


class Truth:
    """The agents' legs, as the PBX tells of them to somebody who misses nothing."""

    def __init__(self) -> None:
        self.legs: dict[str, Leg] = {}

    async def watch(self, house: House) -> None:
        """Look at what happens from now on, until cancelled."""
        journal = house.observer.events
        async for event in journal.follow(journal.mark()):
            self._see(event, asyncio.get_running_loop().time())

    def _see(self, event: Message, now: float) -> None:
        uniqueid, kind = event.get("Uniqueid", ""), event["Event"]
        number = event.get("Channel", "").removeprefix("PJSIP/").rpartition("-")[0]
        if kind == "Newchannel" and number in AGENTS:
            self.legs[uniqueid] = Leg(number, call_id("asterisk", event["Linkedid"]), now)
        leg = self.legs.get(uniqueid)
        if leg is not None and kind == "Newstate" and event["ChannelState"] == "6":
            leg.answered = now
        if leg is not None and kind == "Hangup":
            leg.ended = now

    def live(self, extension: str) -> set[str]:
        """The calls of an extension that go on."""
        return {
            leg.call
            for leg in self.legs.values()
            if leg.extension == extension and leg.ended is None
        }


class Told(NamedTuple):
    """Something a client was told: the hook by its extension and type, and the call."""

    extension: str
    kind: int
    call: str
    status: str


def told(receiver: Receiver) -> list[Told]:
    """What came, each once: an event that came again has its EventID, and all else, again."""
    found: dict[str, Told] = {}
    for taken in receiver.taken:
        _, extension, kind = taken.path.split("/")
        given = taken.parameters
        one = Told(extension, int(kind), given["CallID"], given["CallStatus"])
        assert found.setdefault(given["EventID"], one) == one
    return list(found.values())


@dataclass
class Run:
    """One run, repeatable by its seed."""

    house: House
    proxy: Proxy
    server: Server
    receiver: Receiver
    api: Api
    follower: Follower
    dice: Random
    truth: Truth = field(default_factory=Truth)
    gaps: list[Gap] = field(default_factory=list)
    said: list[str] = field(default_factory=list)

    async def play(self, rounds: int) -> None:
        """Let things happen with the link whole and hurt, in turn, and end every call."""
        watching = asyncio.create_task(self.truth.watch(self.house))
        try:
            await self._gap(self._shut, drop=False)
            await self._gap(self._shut, drop=True)
            for _ in range(rounds):
                await self._some(self.dice.randint(1, 4))
                hurts = self._cut, self._shut, self._stall, self._pieces, self._kill
                await self._gap(self.dice.choice(hurts), drop=self.dice.random() < 0.5)
            await self._all_end()
        finally:
            watching.cancel()

    # What people do

    async def _some(self, count: int) -> None:
        doings: Mapping[Callable[[], Awaitable[object]], int] = {
            self.call: 5,
            self._pick_up: 3,
            self._hang_up: 4,
        }
        for doing in self.dice.choices(list(doings), list(doings.values()), k=count):
            self.said.append(doing.__name__)
            with suppress(LabError):
                await doing()
            await asyncio.sleep(self.dice.uniform(0, 0.1))

    async def call(self, called: str = "") -> None:
        """A customer calls a number, or one by the dice."""
        await self.house.observer.action(
            "Originate",
            Channel=f"PJSIP/{self.dice.choice(CUSTOMERS)}",
            Context="extensions",
            Exten=called or self.dice.choice(_CALLED),
            Priority="1",
            Async_="true",
        )

    async def _pick_up(self) -> None:
        self.house.phones[AGENTS[1]].pick_up()

    async def _hang_up(self) -> None:
        channels = sorted(await self.house.channels())
        if channels:
            await self.house.observer.action("Hangup", Channel=self.dice.choice(channels))

    # Gaps

    async def _gap(self, hurt: Callable[[], Awaitable[None]], *, drop: bool) -> None:
        self.said.append(hurt.__name__)
        begin = asyncio.get_running_loop().time() - _IN_FLIGHT
        await hurt()
        if drop:
            self.follower.drop()
        await self._some(self.dice.randint(1, 6))
        self.proxy.flow()
        self.proxy.splitting = self.proxy.delaying = False
        await self.proxy.open()
        if not self.server.pid:
            await self.server.boot()
        await self._until(self._whole, "the link is whole")
        await self._seen()
        self.gaps.append(Gap(begin, asyncio.get_running_loop().time()))
        await self._until(self._nothing_wrong, "all is told")

    async def _cut(self) -> None:
        self.proxy.cut()

    async def _shut(self) -> None:
        self.proxy.shut()

    async def _stall(self) -> None:
        self.proxy.stall()

    async def _pieces(self) -> None:
        self.proxy.splitting = self.proxy.delaying = True
        self.proxy.cut()

    async def _kill(self) -> None:
        await self.server.kill()

    async def _seen(self) -> None:
        """A call that begins now is seen: the link is whole."""
        before = self.truth.live(AGENTS[0])
        await self.call(AGENTS[0])
        await self._until(lambda: _true(self.truth.live(AGENTS[0]) - before), "a call begins")
        await self._until(self._whole, "the call is seen")

    async def _all_end(self) -> None:
        self.said.append("all end")
        await self.house.silence()
        await self._until(self._whole, "no call is left")
        await self._until(self._nothing_wrong, "all is told")

    # What must be true

    async def _until(self, holds: Callable[[], Awaitable[object]], what: str) -> None:
        try:
            async with asyncio.timeout(_PATIENCE):
                while not await holds():
                    await asyncio.sleep(0.02)
        except TimeoutError:
            wrong = "\n".join([what, *self.wrong(), f"after {self.said}"])
            raise AssertionError(wrong) from None

    async def _whole(self) -> bool:
        """Whether requests and the stream show the calls there are."""
        for extension in AGENTS:
            answer = await self.api.get(f"@owner/{extension}?count=5000")
            if answer.status not in (200, 204):
                return False
            entries = answer.body["entry"] if answer.body else []
            shown = {call["id"]: call for call in entries}
            if shown.keys() != self.truth.live(extension):
                return False
            if extension == AGENTS[0] and not self.follower.shows(shown):
                return False
        return True

    async def _nothing_wrong(self) -> bool:
        return not self.wrong()

    def wrong(self) -> list[str]:
        """What was not told, told twice, or told although it was not so."""
        counts: dict[tuple[str, str], Counter[int]] = defaultdict(Counter)
        statuses = {}
        for one in told(self.receiver):
            counts[one.extension, one.call][one.kind] += 1
            if one.kind == HANGUP:
                statuses[one.extension, one.call] = one.status
        known = {(leg.extension, leg.call) for leg in self.truth.legs.values()}
        strangers = [f"{key} is no call" for key in counts.keys() - known]
        problems = [
            problem
            for leg in self.truth.legs.values()
            for problem in self._wrong(leg, counts[leg.extension, leg.call])
        ]
        answers = [
            f"{key} ended as {status}"
            for key, status in statuses.items()
            if (status == "ANSWER") != bool(counts[key][ANSWERED_IN])
        ]
        return [*strangers, *problems, *answers, *self._out_of_order(), *self.follower.wrong]

    def _wrong(self, leg: Leg, count: Counter[int]) -> Iterator[str]:
        begun, answered, ended = (count[kind] for kind in (DIAL_IN, ANSWERED_IN, HANGUP))
        unknown = self._hidden(leg.born, leg.ended)
        if begun != 1 and not (unknown and begun == 0):
            yield f"{leg} began {begun} times"
        if ended != (begun if leg.ended is not None else 0):
            yield f"{leg} ended {ended} times"
        unanswered = leg.answered is not None and self._hidden(leg.answered, leg.ended)
        wanted = begun if leg.answered is not None else 0
        if answered != wanted and not (unanswered and answered == 0):
            yield f"{leg} was answered {answered} times"
        if count[DIAL_OUT] or count[ANSWERED_OUT]:
            yield f"{leg} called nobody"

    def _hidden(self, first: float, last: float | None) -> bool:
        return any(gap.hides(first, last) for gap in self.gaps)

    def _out_of_order(self) -> Iterator[str]:
        """Of what was seen as it happened, whatever came to a hook before what was earlier."""
        latest: dict[tuple[str, int], float] = {}
        times = {(leg.extension, leg.call): leg for leg in self.truth.legs.values()}
        for one in told(self.receiver):
            leg = times.get((one.extension, one.call))
            moment = leg.moments.get(one.kind) if leg else None
            if moment is None or any(gap.begin <= moment <= gap.end for gap in self.gaps):
                continue
            before = latest.get((one.extension, one.kind), 0.0)
            if moment < before - _TOGETHER:
                yield f"{one} came {before - moment:.3f} s too late"
            latest[one.extension, one.kind] = max(moment, before)


async def _true(value: object) -> bool:
    return bool(value)
