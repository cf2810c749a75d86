"""Brings running spies into the mode they are to have, and follows the keys their phones press.

Changes of one session take turns. The PBX is always told a mode whole, so that to tell it once
more does no harm: after a lost link, after a restart, when two clients ask at once.
"""

import asyncio
import logging
from collections.abc import Callable, Collection, Coroutine
from contextlib import suppress
from dataclasses import replace
from typing import NamedTuple

from bridge import actions, events, modes
from bridge.actions import Action, Direction, Pbx
from bridge.errors import ActionConflict, ApiError, InternalServerError, LinkLost, PbxUnavailable
from bridge.happenings import ModeChanged, ModeDoubted, ModeSettled
from bridge.memory import pack_session
from bridge.model import NOBODY, Asker, Mode
from bridge.reporting import Reporting
from bridge.whisper import Book, Session, State

log = logging.getLogger(__name__)

KEY_TIMEOUT = 1.0
"""Seconds in which the PBX tells that a spy has taken a key; it does within milliseconds."""


class _Change(NamedTuple):
    """A mode that a session is to come into, who asked for it, and the key that does it.

    ``taken`` is for who waits until the spy has taken the key.
    """

    mode: Mode
    by: Asker
    key: str
    taken: "asyncio.Future[None]"


class Changing:
    """Changes the modes of the sessions in ``book``.

    ``spawn`` runs what needs no waiting for; ``broken`` is told of a session that cannot be brought
    into its mode, and has to end. Changes are reported through ``report``.
    """

    def __init__(
        self,
        pbx: Pbx,
        book: Book,
        report: Reporting,
        spawn: Callable[[Coroutine[None, None, None]], object],
        broken: Callable[[Session], None],
    ) -> None:
        self._pbx = pbx
        self._book = book
        self._report = report
        self._spawn = spawn
        self._broken = broken
        self._locks: dict[str, asyncio.Lock] = {}
        self._under_way: dict[str, _Change] = {}

    async def change(self, session: Session, mode: Mode, by: Asker) -> None:
        """Bring a session into a mode, unless it ends meanwhile.

        One that still rings will be in it once its phone is answered. Raises ActionConflict when
        it cannot be brought into that mode in place; LinkLost, PbxUnavailable and
        InternalServerError when it is unknown whether it was.
        """
        if self._is_in(session.leg, mode):
            return
        async with self._turn(session.leg):
            current = self._live(session.leg)
            if current is None or self._is_in(session.leg, mode):
                return
            if not modes.reaches(current.options, mode):
                raise ActionConflict
            await self._bring(current, mode, by)

    async def settle(self, leg: str) -> None:
        """See to it that a session is in its mode; where that cannot be, it is broken."""
        async with self._turn(leg):
            current = self._live(leg)
            if current is None or current.settled or current.state is State.REQUESTED:
                return
            try:
                await self._bring(current, current.mode, NOBODY)
            except PbxUnavailable:
                log.warning("%s is not settled: the link is down", leg)
            except ApiError:
                self._broken(current)

    def on_key(self, event: events.KeyPressed) -> None:
        """A phone's key was taken: one pressed from here, or by the supervisor himself."""
        session = self._live(event.channel.uniqueid)
        if session is None or session.state is not State.ATTACHED:
            return
        change = self._under_way.get(session.leg)
        if change is not None and change.key == event.digit and not change.taken.done():
            self._set(session, change.mode, change.by)
            change.taken.set_result(None)
            return
        mode = modes.after_key(session.options, session.mode, event.digit)
        if mode is not session.mode:
            self._set(session, mode, None)
            self._spawn(self._follow(session.leg))

    def on_lost(self) -> None:
        """The link is gone: whoever waits to hear of a key need not wait on."""
        for change in self._under_way.values():
            if not change.taken.done():
                change.taken.set_exception(LinkLost())

    def forget(self, leg: str) -> None:
        """A session has ended."""
        self._locks.pop(leg, None)
        change = self._under_way.get(leg)
        if change is not None and not change.taken.done():
            change.taken.set_result(None)

    # What becomes of a session

    async def _bring(self, session: Session, mode: Mode, by: Asker) -> None:
        before = self._book.change(session, session.mode, settled=False)
        try:
            await self._tell(before, mode, by, press=True)
        except PbxUnavailable:
            self._report(ModeDoubted(before))
            if before.mode is Mode.BARGE:
                # Nobody knows which of the two it is: the customer shall not go on hearing him.
                self._set(before, mode, by)
            raise
        except InternalServerError:
            self._report(ModeDoubted(before))
            self._broken(before)
            raise
        except ActionConflict:
            with suppress(ApiError):
                await self._tell(before, before.mode, by, press=False)
            raise

    async def _follow(self, leg: str) -> None:
        """Have the rest be as it belongs to the mode into which the supervisor's own key led.

        The key is not pressed once more: he may have pressed another one since.
        """
        async with self._turn(leg):
            session = self._live(leg)
            try:
                if session is not None:
                    await self._tell(session, session.mode, None, press=False)
            except ApiError:
                log.warning("%s is not settled after a key of its phone", leg)

    def _set(
        self, session: Session, mode: Mode, by: Asker | None, *, settled: bool = False
    ) -> None:
        current = self._live(session.leg)
        if current is None:
            return
        changed = self._book.change(current, mode, settled=settled)
        if mode is not current.mode:
            who = "a key of its phone" if by is None else "request"
            log.info("%s: %s now, by %s", changed.leg, mode.value, who)
            self._report(ModeChanged(changed, current.mode.value, by))
        elif settled and not current.settled:
            self._report(ModeSettled(changed))

    # How the PBX is told

    async def _tell(self, session: Session, mode: Mode, by: Asker | None, *, press: bool) -> None:
        """Tell all that makes up a mode; what lets the supervisor be heard comes after the key."""
        attached = session.state is State.ATTACHED
        key = modes.key_of(session.options, mode) if attached else None
        silenced = modes.silenced(session.options, mode, attached=attached)
        await self._set_volume(session, Direction.TO_PHONE, silenced)
        if key is not None and press:
            await self._press(session, _Change(mode, by or NOBODY, key, _future()))
        await self._set_volume(session, Direction.FROM_PHONE, silenced)
        memo = pack_session(replace(session, mode=mode).memo())
        await self._do(session, actions.remember_session(session.leg, memo))
        current = self._live(session.leg)
        # With a key it has been in its mode since the spy took it, and may have left it by another.
        if current is not None and (key is None or current.mode is mode):
            self._set(current, mode, by, settled=True)

    async def _set_volume(
        self, session: Session, direction: Direction, silenced: Collection[Direction]
    ) -> None:
        loud = direction not in silenced
        await self._do(session, actions.set_volume(session.leg, direction, loud=loud))

    async def _press(self, session: Session, change: _Change) -> None:
        self._under_way[session.leg] = change
        try:
            await self._do(session, actions.press(session.leg, change.key))
            async with asyncio.timeout(KEY_TIMEOUT):
                await change.taken
        except TimeoutError:
            log.error(
                "%s: the PBX took a key and tells nothing of it; to follow keys, the AMI user needs"
                " read = call,dtmf",
                session.leg,
            )
            raise InternalServerError from None
        finally:
            del self._under_way[session.leg]

    async def _do(self, session: Session, action: Action) -> None:
        answer = await self._pbx.send(action)
        if not answer.success and answer.message not in actions.GONE and self._live(session.leg):
            what = action.headers.get("Variable", "")
            log.error("the PBX refuses %s %s: %s", action.name, what, answer.message)
            raise ActionConflict("The PBX refuses the change; the log of the bridge says why.")

    # Whose turn it is

    def _turn(self, leg: str) -> asyncio.Lock:
        return self._locks.setdefault(leg, asyncio.Lock()) if leg in self._book else asyncio.Lock()

    def _live(self, leg: str) -> Session | None:
        session = self._book.get(leg)
        return session if session is not None and session.is_live else None

    def _is_in(self, leg: str, mode: Mode) -> bool:
        session = self._live(leg)
        return session is None or (session.mode is mode and session.settled)


def _future() -> "asyncio.Future[None]":
    return asyncio.get_running_loop().create_future()
