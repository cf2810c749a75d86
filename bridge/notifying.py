"""Tells agents that somebody listens: plays them the notice of their organization, and nobody else.

A second, short ChanSpy whispers it to the agent's own leg: one half of a Local channel spies, the
other plays in a context of the dialplan that says by its hangup cause whether it did. Generators,
as PlayTones, stay silent in such a half, so a notice is a sound file. A supervisor whose notice
cannot be played has to leave: no request and no fault of the PBX takes it away.

Who waits for a supervisor to take part waits for the notice to begin, not for its end. That he may
stay is known as soon as the sound has been found and is under way: half a second after he was
connected, however long a prompt goes on, through which both can talk already. Should it break off
later, he is hung up as anybody may be after he came to take part.
"""

import asyncio
import logging
import secrets
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, field

from bridge import actions, events
from bridge.actions import Pbx
from bridge.authority import Authority
from bridge.errors import PbxUnavailable
from bridge.happenings import Noticed
from bridge.memory import pack_session
from bridge.model import NOTICE_PREFIX
from bridge.reporting import Reporting
from bridge.whisper import Book, Session, State

log = logging.getLogger(__name__)

LONGEST = 30.0
"""Seconds within which a notice has been played."""

LOOK = 0.1
"""Seconds between two looks whether a sound is being played."""

PLAYED = 16
"""Cause (ITU-T Q.850, normal clearing) with which the half that plays hangs up when it has."""


@dataclass(slots=True)
class _Notice:
    """One that is under way; ``played`` becomes whether the target was played it, if known."""

    name: str
    session: Session
    played: "asyncio.Future[bool | None]"
    attached: bool = False
    over: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def spy(self) -> str:
        """The Uniqueid of the half that whispers."""
        return f"{self.name}-1"

    @property
    def player(self) -> str:
        """The Uniqueid of the half that plays."""
        return f"{self.name}-2"

    def end(self, *, played: bool | None) -> None:
        """It is over."""
        if not self.played.done():
            self.played.set_result(played)


class Notifying:
    """Gives the notices of the sessions in ``book``, once to each.

    ``authority`` knows the sound of each organization. ``spawn`` runs what needs no waiting for;
    ``failed`` is told of a session whose notice could not be played, and has to end.
    """

    def __init__(
        self,
        pbx: Pbx,
        book: Book,
        authority: Authority,
        report: Reporting,
        spawn: Callable[[Coroutine[None, None, None]], object],
        failed: Callable[[Session], None],
    ) -> None:
        self._pbx = pbx
        self._book = book
        self._authority = authority
        self._report = report
        self._spawn = spawn
        self._failed = failed
        self._halves: dict[str, _Notice] = {}

    def attend(self, session: Session) -> None:
        """Have the notice of a session given if it is in force and owes one."""
        sound = self._sound(session)
        owed = session.state is State.ATTACHED and session.is_live and not session.noticed
        if sound is None or not owed or self._under_way(session.leg) is not None:
            return
        future = asyncio.get_running_loop().create_future()
        notice = _Notice(NOTICE_PREFIX + secrets.token_hex(8), session, future)
        self._halves |= {notice.spy: notice, notice.player: notice}
        self._spawn(self._give(notice, sound))

    async def begun(self, leg: str) -> None:
        """Wait until the notice of a session is being played, if one is under way, or is over.

        Whoever could not be given it is about to be hung up when this returns. Raises
        PbxUnavailable.
        """
        notice, playing = self._under_way(leg), 0
        while notice is not None and not notice.over.is_set() and self._is_live(leg):
            playing += await self._is_playing(notice)
            # Once may have been in the moment before the sound is found to be missing.
            if playing > 1:
                return
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK):
                    await notice.over.wait()

    def on_spy_started(self, event: events.SpyStarted) -> None:
        """A spy was connected: it may be a half of a notice."""
        notice = self._halves.get(event.spyer.uniqueid)
        if notice is None:
            return
        notice.attached = event.spyee.uniqueid == notice.session.target
        if not notice.attached:
            notice.end(played=False)

    def on_hung_up(self, event: events.HungUp) -> None:
        """A channel has ended: it may be the half that plays."""
        notice = self._halves.get(event.channel.uniqueid)
        if notice is not None and event.channel.uniqueid == notice.player:
            notice.end(played=notice.attached and event.cause == PLAYED)

    def on_originated(self, event: events.Originated) -> None:
        """A call has been set up or has failed: it may be that of a notice."""
        notice = self._halves.get(event.uniqueid)
        if notice is not None and not event.success:
            notice.end(played=False)

    def on_lost(self) -> None:
        """The link is gone: what becomes of a notice is not heard, so it is given again."""
        for notice in self._halves.values():
            notice.end(played=None)

    def _under_way(self, leg: str) -> _Notice | None:
        return next((one for one in self._halves.values() if one.session.leg == leg), None)

    def _is_live(self, leg: str) -> bool:
        session = self._book.get(leg)
        return session is not None and session.is_live

    async def _is_playing(self, notice: _Notice) -> bool:
        if not notice.attached:
            return False
        answer = await self._pbx.send(actions.application(notice.player))
        return any(item.get("Application") == "Playback" for item in answer.items)

    def _sound(self, session: Session) -> str | None:
        extension = self._authority.by_number(session.extension.number)
        return None if extension is None else extension.organization.notice

    async def _give(self, notice: _Notice, sound: str) -> None:
        try:
            await self._see_to(notice, sound)
        finally:
            notice.over.set()

    async def _see_to(self, notice: _Notice, sound: str) -> None:
        try:
            played = await self._play(notice, sound)
        except PbxUnavailable:
            return
        finally:
            del self._halves[notice.spy], self._halves[notice.player]
        current = self._book.get(notice.session.leg)
        if played is None or current is None or not current.is_live:
            return
        if played:
            await self._given(current, sound)
            return
        log.error(
            "%s: the notice %s was not played within %g s; is the sound there, and the context %s?",
            current.leg,
            sound,
            LONGEST,
            actions.NOTICE_CONTEXT,
        )
        self._failed(current)

    async def _play(self, notice: _Notice, sound: str) -> bool | None:
        asked = actions.originate_notice(notice.spy, notice.player, notice.session.target, sound)
        answer = await self._pbx.send(asked)
        if not answer.success:
            log.error("the PBX refuses to originate a notice: %s", answer.message)
            return False
        with suppress(TimeoutError):
            async with asyncio.timeout(LONGEST):
                if await notice.played is not False:
                    return notice.played.result()
        await self._pbx.send(actions.hang_up(notice.spy))
        return False

    async def _given(self, session: Session, sound: str) -> None:
        noticed = self._book.note(session)
        self._report(Noticed(noticed, sound))
        try:
            await self._pbx.send(
                actions.remember_session(noticed.leg, pack_session(noticed.memo()))
            )
        except PbxUnavailable:
            log.warning("%s: that the notice was given is not remembered", noticed.leg)
