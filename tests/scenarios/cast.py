"""A cast: the people of one scenario at a time, what they see in the API and what they hear."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bridge.lab import tones
from bridge.lab.errors import LabError
from bridge.lab.observer import Message, Observer
from bridge.lab.phone import Phone
from bridge.lab.refusal import RefusingPhone
from bridge.model import WHISPER_LEG_PREFIX
from tests.e2e.client import Answer, Api, Json
from tests.recordings.record import Tap
from tests.support.terminal import Shell

from .pbx import ROLES, Kind, number
from .told import lines

HZ = {
    "agent": tones.AGENT_HZ,
    "colleague": 613,
    "customer": tones.CUSTOMER_HZ,
    "stranger": 1361,
    "supervisor": tones.SUPERVISOR_HZ,
    "deputy": 2579,
}
"""Everybody's tone; none falls on another one, nor on the distortion of one."""

SOUNDS = {**HZ, "music": tones.MUSIC_HZ}
PATIENCE = 6.0
"""Seconds in which what was done shows, on a machine busy with several casts."""

_LISTENING = 1.0
_ATTEMPTS = 4
_SCANNED = 0.25


@dataclass
class Cast:
    """The phones of one cast by role, its clients of the API, and what was noted of the scenario.

    ``following`` is a client of a bridge that follows targets and keys, ``shell`` somebody at a
    terminal. ``refusing`` is the phone of who is busy. ``barged`` says that the customer may hear a
    supervisor.

    All pick up by themselves until told otherwise with ``manual``, but those ``heeding`` what
    their INVITE says of it.
    """

    kind: Kind
    version: str
    number: int
    phones: dict[str, Phone]
    api: Api
    following: Api
    shell: Shell
    refusing: RefusingPhone
    observer: Observer
    log: Path
    log_of_follower: Path
    notes: list[str] = field(default_factory=list)
    tap: Tap | None = None
    barged: bool = False
    heeding: Collection[str] = ()
    _before: dict[Path, float] = field(default_factory=dict)
    _logged: int = 0

    def __getattr__(self, role: str) -> Phone:
        try:
            return self.phones[role]
        except KeyError:
            raise AttributeError(role) from None

    def no(self, role: str) -> str:
        """Somebody's number."""
        return number(role, self.number)

    def service(self, suffix: str) -> str:
        """The number of one of the cast's services."""
        return f"{self.number}{suffix}"

    def note(self, text: str) -> None:
        """Keep something observed for the page of results."""
        self.notes.append(text)

    # The scenario's frame

    async def enter(self) -> None:
        """Begin a scenario: nothing noted, and every recording as long as it is now."""
        self.notes, self.barged = [], False
        self._before = {
            file: tones.length(file) for phone in self.phones.values() for file in phone.recordings
        }
        self._logged = self.log.stat().st_size

    async def clear(self) -> None:
        """End whatever the scenario left, and have every phone pick up by itself again."""
        for channel in await self.channels():
            with contextlib.suppress(LabError):
                await self.observer.action("Hangup", Channel=channel["Uniqueid"], Cause="16")
        async with asyncio.timeout(PATIENCE):
            while await self.channels():
                await asyncio.sleep(0.05)
        async with asyncio.timeout(PATIENCE):
            while any([await self._is_busy(phone) for phone in self.phones.values()]):
                await asyncio.sleep(0.05)
        usual = [phone for role, phone in self.phones.items() if role not in self.heeding]
        await asyncio.gather(*(phone.do("answermode", "auto") for phone in usual))
        async with asyncio.timeout(PATIENCE):
            while await self.shown():
                await asyncio.sleep(0.05)

    async def _is_busy(self, phone: Phone) -> bool:
        return phone.number in (listed := await phone.do("listcalls")) and "sip:" in listed

    def logged(self) -> str:
        """What the bridge has logged since the scenario began."""
        with self.log.open("rb") as file:
            file.seek(self._logged)
            return file.read().decode(errors="replace")

    @contextlib.contextmanager
    def asking_the_follower(self) -> Iterator[None]:
        """Ask the bridge that follows targets and keys, and look at what it shows."""
        plain = self.api, self.log, self._logged
        self.api, self.log = self.following, self.log_of_follower
        self._logged = self.log.stat().st_size
        try:
            yield
        finally:
            self.api, self.log, self._logged = plain

    # Phones

    async def manual(self, *roles: str) -> None:
        """These do not pick up by themselves any more."""
        for role in roles:
            await self.phones[role].do("answermode", "manual")

    async def dial(self, caller: str, called: str) -> None:
        """Somebody calls somebody, or a service by its suffix, and is answered."""
        mark = self.phones[caller].events.mark()
        await self.phones[caller].dial(self._number(called))
        await self.phones[caller].established(since=mark, within=PATIENCE)

    async def ring(self, caller: str, called: str, *rings: str) -> None:
        """Somebody calls, and these phones ring."""
        marks = {role: self.phones[role].events.mark() for role in rings or (called,)}
        await self.phones[caller].dial(self._number(called))
        for role, mark in marks.items():
            await self.phones[role].incoming(PATIENCE, since=mark)

    async def pick_up(self, role: str) -> None:
        """Somebody answers."""
        mark = self.phones[role].events.mark()
        await self.phones[role].pick_up()
        await self.phones[role].established(since=mark, within=PATIENCE)

    async def consult(self, role: str, other: str) -> tuple[str, str]:
        """Somebody holds his call and calls somebody else; gives the two calls' Call-IDs."""
        phone = self.phones[role]
        held = await phone.established_call()
        await phone.hold()
        await self.next_recording(role)
        await self.dial(role, other)
        return held, await phone.established_call()

    async def next_recording(self, role: str) -> None:
        """Wait until a new recording will not have the name of the last one."""
        async with asyncio.timeout(3):
            while self.phones[role].recordings and _named_now(self.phones[role].recording):
                await asyncio.sleep(0.02)

    def _number(self, called: str) -> str:
        return self.no(called) if called in ROLES else self.service(called)

    # The PBX

    async def channels(self) -> list[Message]:
        """What the PBX lists of this cast."""
        rows = await self.observer.rows("CoreShowChannels")
        return [row for row in rows if self._is_ours(row)]

    async def channel(self, role: str) -> Message:
        """Somebody's channel."""
        endpoint = f"{self.kind.technology}/{self.no(role)}-"
        if role in ("customer", "stranger"):
            endpoint = f"{self.kind.technology}/{self.kind.trunk(self.number, self.no(role))}-"
        rows = [row for row in await self.channels() if row["Channel"].startswith(endpoint)]
        # Two people may have come through one trunk.
        return next((row for row in rows if row["CallerIDNum"] == self.no(role)), rows[0])

    async def legs(self) -> list[Message]:
        """The whispers' legs of this cast."""
        return [c for c in await self.channels() if c["Uniqueid"].startswith(WHISPER_LEG_PREFIX)]

    async def no_legs(self, within: float = PATIENCE) -> None:
        """Wait until there is no whisper's leg."""
        async with asyncio.timeout(within):
            while await self.legs():
                await asyncio.sleep(0.02)

    def _is_ours(self, row: Message) -> bool:
        names = (f"/0003*{self.number}", f"/777{self.number}", f"/itsp-{self.number}-")
        conference = f"cast-{self.number}60"
        return any(name in row["Channel"] for name in names) or conference in row["Channel"]

    # What the API shows

    async def shown(self, path: str = "") -> list[list[str]]:
        """The calls of agent and colleague, or of a path: each view a line, roles for numbers."""
        answer = await self.api.get(path or f"{self.number}1/@self")
        if answer.status == 204:
            return []
        assert answer.status == 200, answer
        calls = answer.body.get("entry", [answer.body])
        return sorted(lines(call, self.number) for call in calls)

    async def expect(self, moment: str, *calls: Iterable[str]) -> None:
        """Wait until the API shows exactly these calls of agent and colleague, and note it."""
        wanted = sorted(list(call) for call in calls)
        found: list[list[str]] = []
        try:
            async with asyncio.timeout(PATIENCE):
                while (found := await self.shown()) != wanted:
                    await asyncio.sleep(0.03)
        except TimeoutError:
            raise AssertionError(f"{moment}:\nwanted {wanted}\nfound  {found}") from None
        told = " / ".join("; ".join(call) for call in wanted) or "no call"
        self.note(f"{moment}: {told}")
        if self.tap is not None:
            await self.tap.quiet()
            seen = json.dumps(wanted, ensure_ascii=False)
            self.tap.story.append(f"# = {moment}: {seen}\n\n")

    async def call_of(self, role: str = "agent") -> Json:
        """The only call of an extension, or the newest."""
        async with asyncio.timeout(PATIENCE):
            while (answer := await self.api.get(self._path(role))).status != 200:
                await asyncio.sleep(0.02)
        call: Json = answer.body["entry"][0]
        return call

    def _path(self, role: str) -> str:
        user = f"{self.number}1" if role in ("agent", "colleague") else f"{self.number}2"
        return f"{user}/{self.no(role)}"

    # Whispers

    async def ask(
        self,
        by: str = "supervisor",
        to: str = "agent",
        *,
        call: Json | None = None,
        view: str = "",
        prefer: str = "",
        **fields: Any,
    ) -> Answer:
        """PUT a whisper on the call of an extension, to the view of it unless another is named.

        ``prefer`` is what its client can do without.
        """
        call = call or await self.call_of(to)
        body = {
            "action": "Whisper",
            "sendCallTo": self.no(by),
            "phoneCallViewId": view or self._view(call, to),
            **fields,
        }
        return await self.api.put(f"{self._path(to)}/{call['id']}", body, prefer)

    async def whisper(self, by: str = "supervisor", to: str = "agent", **fields: Any) -> Answer:
        """Ask for a whisper and wait until it is in force."""
        answer = await self.ask(by, to, **fields)
        assert answer.status == 202, answer
        call = answer.body["id"]
        async with asyncio.timeout(PATIENCE):
            while not await self._in_force(f"{self._path(to)}/{call}", by):
                await asyncio.sleep(0.02)
        return answer

    async def _in_force(self, path: str, by: str) -> bool:
        answer = await self.api.get(path)
        if answer.status != 200:
            return False
        return any(view["source"] == [self.no(by)] for view in answer.body["phoneCallView"][1:])

    async def hang_up(self, party: str = "", of: str = "agent") -> Answer:
        """Ask for the end of a call of an extension, or of a party's part in it."""
        call = await self.call_of(of)
        return await self.api.delete(
            f"{self._path(of)}/{call['id']}", self.no(party) if party else ""
        )

    async def refused(
        self, what: str, code: str, by: str = "supervisor", to: str = "agent", **fields: Any
    ) -> None:
        """Ask for a whisper that must be refused with a code, and note it."""
        answer = await self.ask(by, to, **fields)
        assert answer.refusal == (400, code), answer
        self.note(f"{what}: 400 {code}")

    def _view(self, call: Json, to: str) -> str:
        views = (v for v in call["phoneCallView"] if v["extension"] == self.no(to))
        return str(next(views)["id"])

    # What they hear

    async def hears(self, moment: str, **who: str) -> None:
        """Everybody named hears exactly these sounds, separated by spaces; note it."""
        results = await asyncio.gather(
            *(self._hears(role, set(wanted.split())) for role, wanted in who.items())
        )
        wrong = [text for text in results if text]
        assert not wrong, f"{moment}: {'; '.join(wrong)}"
        told = (f"{role}: {', '.join(s.split()) or 'nothing'}" for role, s in who.items())
        self.note(f"{moment}, heard by {'; '.join(told)}")

    async def _hears(self, role: str, wanted: set[str]) -> str:
        levels: dict[str, float] = {}
        for _ in range(_ATTEMPTS):
            levels = await self.levels(role)
            # A mixer leaves a little of one's own voice: nothing to be learnt from that.
            levels.pop(role)
            loud = {sound for sound, level in levels.items() if level > tones.HEARD_DB}
            if loud == wanted and not _faint(levels):
                return ""
        return f"{role} should hear {sorted(wanted)}: {levels}"

    async def levels(self, role: str) -> dict[str, float]:
        """How loud every sound is at a phone from now on, in any of its calls, in dBFS."""
        phone = self.phones[role]
        begun = {file: tones.length(file) for file in phone.recordings}
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LISTENING + 0.6):
                while not any(_grown(file, begun) >= _LISTENING for file in phone.recordings):
                    await asyncio.sleep(0.05)
        levels = dict.fromkeys(SOUNDS, -120.0)
        for file in phone.recordings:
            seconds = min(_LISTENING, _grown(file, begun))
            if seconds < _LISTENING / 2:
                continue
            end = tones.length(file)
            for sound, hz in SOUNDS.items():
                loudness = tones.level(file, hz, seconds, end)
                levels[sound] = max(levels[sound], round(loudness))
            await asyncio.sleep(0)
        return levels

    async def never_heard(self, listener: str, *speakers: str) -> None:
        """Since the scenario began, not even for a moment has anybody of these been heard."""
        for file in self.phones[listener].recordings:
            end = tones.length(file)
            at = self._before.get(file, 0.0) + _SCANNED
            while at < end:
                for speaker in speakers:
                    level = tones.level(file, SOUNDS[speaker], _SCANNED, at)
                    assert level < tones.SILENT_DB + 6, f"{listener} heard {speaker}: {level}"
                at += _SCANNED
                await asyncio.sleep(0)


def _grown(file: Path, begun: dict[Path, float]) -> float:
    return tones.length(file) - begun.get(file, 0.0)


def _faint(levels: dict[str, float]) -> bool:
    return any(tones.SILENT_DB < level <= tones.HEARD_DB for level in levels.values())


def _named_now(recording: Path) -> bool:
    return recording.name >= time.strftime("dump-%Y-%m-%d-%H-%M-%S", time.gmtime())


@contextlib.asynccontextmanager
async def playing(cast: Cast) -> AsyncIterator[None]:
    """A scenario's frame: afterwards nobody is left, and no customer has heard a supervisor."""
    await cast.enter()
    try:
        yield
        for outsider in ("stranger",) if cast.barged else ("customer", "stranger"):
            await cast.never_heard(outsider, "supervisor", "deputy")
    finally:
        await cast.clear()
