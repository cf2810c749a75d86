"""Calls and whispers that come and go while the link is hurt, all by one throw of the dice."""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random
from time import time

from bridge.audit import Span, spans
from bridge.audit.lines import Clerk
from bridge.errors import ApiError, PbxUnavailable
from bridge.happenings import Happening, Moment
from bridge.lab.asterisk import Asterisk
from bridge.lab.errors import LabError
from bridge.lab.observer import Message, Observer
from bridge.model import WHISPER_LEG_PREFIX, Extension, Status, Technology
from bridge.service import Service
from bridge.whisper import Session, State
from tests.support.directory import AGENT, COLLEAGUE, NEIGHBOUR, principal
from tests.support.picture import check
from tests.support.scene import form
from tests.support.timeline import beyond, uncovered

from .proxy import Proxy
from .silent_phone import SilentPhone

CUSTOMERS, SUPERVISORS = ("7778888", "7779999"), ("0003*024", "0003*025")
AGENTS = (AGENT, COLLEAGUE, NEIGHBOUR)
CALLED = ("0003*210", "0003*211", "0003*2100", "610", "620", "621")
PROMPT = 0.15
"""Seconds in which word of the PBX comes, on a busy machine, through pieces that are late."""

FOUND = 0.1
"""Seconds that ChanSpy waits before it spies; one found in a list is told as since its answer."""

_SETTLED = 5.0
"""Seconds in which everything has come to rest once nobody hurts the link any more."""


@dataclass
class House:
    """An Asterisk with phones that make no sound; its eyes are renewed when it restarts."""

    pbx: Asterisk
    observer: Observer
    phones: dict[str, SilentPhone]
    past: list[Message] = field(default_factory=list)

    def spies(self) -> Iterator[tuple[str, float, float]]:
        """Each leg that ever spied, and from when to when, as Asterisk says."""
        begun: dict[str, float] = {}
        for message in (*self.past, *self.observer.events.entries):
            at, leg = float(message.get("Timestamp", 0)), message.get("SpyerUniqueid", "")
            if message["Event"] == "ChanSpyStart":
                begun[leg] = at
            elif message["Event"] == "ChanSpyStop" and leg in begun:
                yield leg, begun.pop(leg), at
            elif message["Event"] == "Killed":
                yield from ((leg, begin, at) for leg, begin in begun.items())
                begun.clear()

    async def restart(self) -> None:
        """Kill Asterisk and start it again."""
        await self.pbx.kill()
        self.past += [*self.observer.events.entries, {"Event": "Killed", "Timestamp": f"{time()}"}]
        await self.observer.close()
        await self.pbx.boot()
        self.observer = await self.pbx.observer()
        for phone in self.phones.values():
            await phone.stop()
            await phone.start()

    async def silence(self) -> None:
        """End every call."""
        async with asyncio.timeout(_SETTLED):
            while await self.channels():
                await self.observer.action("Hangup", Channel="/.*/")
                await asyncio.sleep(0.02)

    async def channels(self) -> dict[str, Message]:
        """What Asterisk lists, by Uniqueid."""
        rows = await self.observer.rows("CoreShowChannels")
        return {row["Uniqueid"]: row for row in rows}


class Written:
    """An audit that is kept in memory; a listener."""

    def __init__(self) -> None:
        self._clerk = Clerk()
        self.lines = [self._clerk.started(time())]

    def __call__(self, happening: Happening, moment: Moment) -> None:
        """Write what happened."""
        self.lines += self._clerk.lines(happening, moment)

    def spans(self, leg: str) -> list[Span]:
        """When a leg took part, as far as is known."""
        return [span for span in spans(self.lines) if span.who["leg"] == leg]


@dataclass
class Wish:
    """A whisper that was asked for, as often as it took; its token is the caller's number.

    It is ``dropped`` when the supervisor hung up meanwhile.
    """

    token: str
    agent: Extension
    supervisor: str
    target: str = ""
    outcome: str = ""
    dropped: bool = False


@dataclass
class Run:
    """One run, repeatable by its seed; ``dice`` say what is done, ``taste`` to which call."""

    house: House
    proxy: Proxy
    service: Service
    written: Written
    seed: int
    dice: Random
    taste: Random
    silence: float
    wishes: list[Wish] = field(default_factory=list)
    _asking: list[asyncio.Task[None]] = field(default_factory=list)
    _said: list[str] = field(default_factory=list)

    async def play(self, steps: int, *, kill: bool) -> None:
        """Let things happen, then let them come to rest."""
        await self._begin()
        for step in range(steps):
            if kill and step == steps // 2:
                await self.house.restart()
            await self._step()
            await asyncio.sleep(self.dice.uniform(0, 0.03))
        self._heal()
        async with asyncio.timeout(_SETTLED):
            await asyncio.gather(*self._asking)

    async def _begin(self) -> None:
        """Two calls, at least one of which the bridge knows before the link is hurt."""
        await self._call()
        await self._call()
        async with asyncio.timeout(_SETTLED):
            while not (self.service.complete and any(map(self._choose, AGENTS))):
                await asyncio.sleep(0.01)

    async def _step(self) -> None:
        doings: Mapping[Callable[[], object], int] = {
            self._call: 4,
            self._whisper: 6,
            self._hang_up: 2,
            self._drop_whispers: 1,
            self._pick_up: 2,
            self.proxy.cut: 3,
            self._toggle_open: 2,
            self._toggle_flow: 2,
            self._toggle_splitting: 1,
            self._toggle_delaying: 1,
        }
        (doing,) = self.dice.choices(list(doings), list(doings.values()))
        self._said.append(doing.__name__)
        done = doing()
        if asyncio.iscoroutine(done):
            with suppress(LabError):
                await done

    # What people do

    async def _call(self) -> None:
        await self.house.observer.action(
            "Originate",
            Channel=f"PJSIP/{self.dice.choice(CUSTOMERS)}",
            Context="extensions",
            Exten=self.dice.choice(CALLED),
            Priority="1",
            Async_="true",
        )

    def _whisper(self) -> None:
        token = f"42{self.seed:04d}{len(self.wishes):02d}"
        wish = Wish(token, self.dice.choice(AGENTS), self.dice.choice(SUPERVISORS))
        self.wishes.append(wish)
        self._asking.append(asyncio.create_task(self._ask(wish)))

    async def _ask(self, wish: Wish) -> None:
        """What a client does: ask, and ask again as long as the answer is 503."""
        choice: tuple[str, str] | None = None
        while not wish.outcome:
            try:
                choice = choice or self._choose(wish.agent)
                wish.outcome = await self._put(wish, *choice) if choice else "nobody is talking"
            except PbxUnavailable:
                await asyncio.sleep(0.02)
            except ApiError as error:
                wish.outcome = error.code

    def _choose(self, agent: Extension) -> tuple[str, str] | None:
        """A call of the agent's, and his view of it, as GET shows them."""
        shown = [
            (call.id, view.id)
            for call in self.service.list_calls([agent])
            for view in call.views
            if view.extension == agent.number and view.status is Status.ON_CALL
        ]
        return self.taste.choice(shown) if shown else None

    async def _put(self, wish: Wish, call_id: str, view: str) -> str:
        caller_id = f"Wish <{wish.token}>"
        asked = form(sendCallTo=wish.supervisor, phoneCallViewId=view, callerId=caller_id)
        call = self.service.picture.call(call_id)
        target = call.view(call_id, int(view)) if call else None
        shown = await self.service.whisper(principal(), [wish.agent], call_id, asked)
        wish.target = target.uniqueid if target else ""
        return "promised" if shown else "gone"

    async def _hang_up(self) -> None:
        calls = [c for c in await self.house.channels() if not c.startswith(WHISPER_LEG_PREFIX)]
        if calls:
            await self.house.observer.action("Hangup", Channel=self.dice.choice(sorted(calls)))

    def _drop_whispers(self) -> None:
        """A supervisor hangs up, and refuses what rings."""
        supervisor = self.dice.choice(SUPERVISORS)
        for wish in self.wishes:
            wish.dropped |= wish.supervisor == supervisor
        self.house.phones[supervisor].hang_up()

    def _pick_up(self) -> None:
        self.house.phones[SUPERVISORS[1]].pick_up()

    # What is done to the link

    async def _toggle_open(self) -> None:
        if self.dice.random() < 0.5:
            self.proxy.shut()
        else:
            await self.proxy.open()

    def _toggle_flow(self) -> None:
        if self.dice.random() < 0.5:
            self.proxy.stall()
        else:
            self.proxy.flow()

    def _toggle_splitting(self) -> None:
        self.proxy.splitting = not self.proxy.splitting

    def _toggle_delaying(self) -> None:
        self.proxy.delaying = not self.proxy.delaying

    def _heal(self) -> None:
        self.proxy.flow()
        self.proxy.splitting = self.proxy.delaying = False
        self._asking.append(asyncio.create_task(self.proxy.open()))

    # What must be true in the end

    async def settle(self) -> None:
        """Wait until the picture is what Asterisk lists. Raises AssertionError if it never is."""
        problems = ["nothing was looked at"]
        try:
            async with asyncio.timeout(_SETTLED):
                while problems:
                    await asyncio.sleep(0.01)
                    problems = await self._problems()
        except TimeoutError:
            raise AssertionError("\n".join([*problems, f"after {self._said}"])) from None
        check(self.service.picture)
        self._nobody_rang_twice()

    async def end(self) -> None:
        """End every call; nothing is left."""
        for phone in self.house.phones.values():
            phone.hang_up()
        await self.house.observer.action("Hangup", Channel="/.*/")
        async with asyncio.timeout(_SETTLED):
            while await self.house.channels() or self.service.picture.channels or self._sessions():
                await self.house.observer.action("Hangup", Channel="/.*/")
                await asyncio.sleep(0.01)
        assert not self.service.picture.bridges
        assert not self.service.picture.calls()

    def unaudited(self) -> dict[str, float]:
        """Legs that spied, and for how many seconds without that, or its doubt, in the audit."""
        ours = {line["leg"] for line in self.written.lines if "leg" in line}
        return {
            leg: uncovered(begin, end, self.written.spans(leg))
            for leg, begin, end in self.house.spies()
            if leg in ours
        }

    def invented(self) -> dict[str, float]:
        """For how many seconds the audit says that a leg took part when it did not.

        One that is listed in ChanSpy may end in the moment that passes before it spies.
        """
        truth = {leg: (begin, end) for leg, begin, end in self.house.spies()}
        found: dict[str, float] = {}
        for span in spans(self.written.lines):
            begin, end = truth.get(span.who["leg"], (span.begin, span.begin))
            found[span.who["leg"]] = found.get(span.who["leg"], 0) + beyond(begin, end, [span])
        return found

    @property
    def late(self) -> float:
        """By how many seconds word of the PBX may have been late."""
        return PROMPT + (0 if "_toggle_flow" not in self._said else self.silence * 1.5)

    async def _problems(self) -> list[str]:
        if not self.service.complete:
            return ["the picture is not complete"]
        listed = await self.house.channels()
        return [*self._wrong_channels(listed), *self._wrong_whispers(listed)]

    def _wrong_channels(self, listed: Mapping[str, Message]) -> list[str]:
        channels = self.service.picture.channels
        if channels.keys() != listed.keys():
            return [f"pictured {sorted(channels)}, listed {sorted(listed)}"]
        problems = []
        for uniqueid, row in listed.items():
            channel = channels[uniqueid]
            pictured = (channel.state, channel.bridge.id if channel.bridge else "")
            real = (int(row["ChannelState"]), row["BridgeId"])
            if pictured != real:
                problems.append(f"{uniqueid}: pictured {pictured}, listed {real}")
        return problems + self._wrong_calls(listed)

    def _wrong_calls(self, listed: Mapping[str, Message]) -> list[str]:
        """Who is with whom: one Linkedid is one call, because nobody is transferred here."""
        calls = {
            uniqueid: channel.call.id
            for uniqueid, channel in self.service.picture.channels.items()
            if channel.call is not None and channel.kind is not Technology.SPY
        }
        linked = {u: row["Linkedid"] for u, row in listed.items() if u in calls}
        pairs = {(calls[u], linked[u]) for u in calls}
        if len({a for a, _ in pairs}) == len({b for _, b in pairs}) == len(pairs):
            return []
        return [f"calls {calls}, Linkedids {linked}"]

    def _wrong_whispers(self, listed: Mapping[str, Message]) -> list[str]:
        real = {leg: row for leg, row in listed.items() if leg.startswith(WHISPER_LEG_PREFIX)}
        sessions = self._sessions()
        if real.keys() != sessions.keys():
            return [f"sessions {sessions}, legs {sorted(real)}"]
        problems = []
        for leg, row in real.items():
            session = sessions[leg]
            spying = row["Application"] == "ChanSpy" and row["ChannelState"] == "6"
            if spying is not (session.state is State.ATTACHED):
                problems.append(f"{leg} is {session.state}, listed as {row['Application']}")
            if spying and row["ApplicationData"].partition(",")[0] != session.target:
                problems.append(f"{leg} spies on {row['ApplicationData']}, not {session.target}")
            if session.target not in listed:
                problems.append(f"{leg} has no target any more")
        return problems + self._lost_whispers() + self._doubled_whispers()

    def _sessions(self) -> dict[str, Session]:
        """The whispers the bridge stands by, by their legs."""
        return {s.leg: s for s in self.service.whispering.book if s.verdict is None}

    def _lost_whispers(self) -> list[str]:
        """Whispers that were promised, and that neither their supervisor nor their call ended."""
        kept = {(s.supervisor.number, s.target) for s in self._sessions().values()}
        return [
            f"{wish} is lost"
            for wish in self.wishes
            if wish.outcome == "promised"
            and not wish.dropped
            and wish.target in self.service.picture.channels
            and (wish.supervisor, wish.target) not in kept
        ]

    def _doubled_whispers(self) -> list[str]:
        pairs = [(s.supervisor.number, s.target) for s in self._sessions().values()]
        return [f"{pair} twice" for pair in pairs if pairs.count(pair) > 1]

    def _nobody_rang_twice(self) -> None:
        rung = [r.number for phone in self.house.phones.values() for r in phone.rung]
        for wish in self.wishes:
            if wish.dropped:
                continue
            assert rung.count(wish.token) <= 1, f"{wish} rang {rung.count(wish.token)} times"
