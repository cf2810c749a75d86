"""Carries the whispers out: rings, follows and ends their legs, and keeps their deadlines.

Owns the book of whispers, every task that acts for one, and who waits for the first sign of one.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Protocol

from bridge import actions, events
from bridge.actions import Action, Answer
from bridge.calls import Picture, spied
from bridge.errors import PbxUnavailable
from bridge.events import Event, Listed
from bridge.whisper import Book, IllegalMove, Reason, Session, Sign, State, reason_of

log = logging.getLogger(__name__)

FIRST_SIGN_TIMEOUT = 5.0
"""Seconds the PBX has to begin calling a phone, or to say that it cannot."""

LATE_EVENTS = 0.5
"""Seconds in which the rest of the events of a failed call arrive, in whatever order."""


class Pbx(Protocol):
    """The link to a PBX."""

    async def send(self, action: Action) -> Answer:
        """Send an action, once, and return the answer.

        Raises PbxUnavailable when the link is down, goes, or stays silent too long; whether the
        action was carried out is then unknown.
        """


class Whispering:
    """The whispers under way on one PBX.

    ``picture`` is read, never written; ``steady`` gives seconds that never jump.
    """

    def __init__(self, pbx: Pbx, picture: Picture, steady: Callable[[], float]) -> None:
        self.book = Book()
        self._pbx = pbx
        self._picture = picture
        self._steady = steady
        self._first_signs: dict[str, asyncio.Future[Session]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None

    async def close(self) -> None:
        """Stop everything under way here; whispers in force go on in the PBX."""
        if self._timer is not None:
            self._timer.cancel()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def begin(self, session: Session, seconds: int) -> None:
        """Have the supervisor's phone called for this many seconds; the session is new."""
        self.book.open(session)
        self._first_signs[session.leg] = asyncio.get_running_loop().create_future()
        self._spawn(self._originate(session, seconds))
        self._set_timer()
        log.info("%s requested on call %s", session.leg, session.call_id)

    async def first_sign(self, session: Session) -> Session:
        """Wait until the phone is being called, or never will be.

        Returns the session as it then is. Raises PbxUnavailable when the PBX says nothing in
        time; the leg, should it still come, is hung up.
        """
        waiting = self._first_signs.get(session.leg)
        if waiting is None:
            return session
        try:
            async with asyncio.timeout(FIRST_SIGN_TIMEOUT):
                return await asyncio.shield(waiting)
        except TimeoutError:
            self._condemn(session, Reason.LINK_LOST)
            raise PbxUnavailable("The PBX did not begin to call the phone.") from None

    def on_event(self, event: Event) -> None:
        """Take in one event, after the picture has."""
        react = _REACTIONS.get(type(event))
        if react is not None:
            react(self, event)

    def reconcile(self, items: Mapping[str, Listed]) -> None:
        """Take in what the PBX lists, by Uniqueid, after the picture has."""
        for session in self.book:
            self._reconcile(session, items.get(session.leg))

    # What is done to a leg

    async def _originate(self, session: Session, seconds: int) -> None:
        action = actions.originate_whisper(
            session.leg,
            session.supervisor.endpoint,
            session.target,
            session.caller_id,
            seconds,
            private=session.private,
        )
        try:
            answer = await self._pbx.send(action)
        except PbxUnavailable:
            # It may have been carried out: should the leg appear, it is hung up.
            self._condemn(session, Reason.LINK_LOST)
            return
        if not answer.success:
            log.error("the PBX refuses to originate %s: %s", session.leg, answer.message)
            self._sign(session, Sign.ENDED, Reason.FAILED)

    async def _hang_up(self, uniqueid: str) -> None:
        try:
            await self._pbx.send(actions.hang_up(uniqueid))
        except PbxUnavailable:
            log.warning("%s could not be hung up: the link is down", uniqueid)

    async def _hang_up_successor(self, session: Session) -> None:
        """Hang up whoever took a leg over that ended while attached: it may have been transferred.

        Nothing but the list of channels tells, and he was not admitted.
        """
        try:
            answer = await self._pbx.send(actions.list_channels())
        except PbxUnavailable:
            return
        for item in map(events.listed, answer.items):
            uniqueid = item.channel.uniqueid
            took_over = item.application == "ChanSpy" and spied(item.data) == session.target
            if took_over and not self._is_known_spy(uniqueid):
                log.critical("ALARM: %s was taken over by %s; it is hung up", session.leg, uniqueid)
                await self._hang_up(uniqueid)

    def _is_known_spy(self, uniqueid: str) -> bool:
        """Whether a spy was one from its beginning, rather than took over somebody's."""
        channel = self._picture.channels.get(uniqueid)
        return uniqueid in self.book or (channel is not None and channel.spying is not None)

    # How a session moves

    def _sign(self, session: Session, sign: Sign, reason: Reason | None = None) -> None:
        try:
            moved = self.book.move(session, sign, self._steady(), reason)
        except IllegalMove as illegal:
            log.warning("unexpected on the AMI: %s", illegal)
            return
        self._tell(moved)
        self._set_timer()
        if moved.state is not session.state:
            log.info("%s %s%s", moved.leg, moved.state.value, _because(moved))
        if moved.verdict is not None and moved.state is not State.ENDED:
            self._spawn(self._hang_up(moved.leg))

    def _condemn(self, session: Session, verdict: Reason) -> None:
        condemned = self.book.condemn(session, verdict, self._steady())
        if condemned is None:
            return
        log.info("%s is to end: %s", condemned.leg, verdict.value)
        self._tell(condemned)
        self._set_timer()
        self._spawn(self._hang_up(condemned.leg))

    def _tell(self, session: Session) -> None:
        """Wake who waits for the first sign of a session."""
        if session.state is State.REQUESTED and session.verdict is None:
            return
        waiting = self._first_signs.pop(session.leg, None)
        if waiting is not None and not waiting.done():
            waiting.set_result(session)

    # Reactions, one for each kind of event that can be a sign

    def _on_seen(self, event: events.Seen) -> None:
        self._on_leg(event.channel)

    def _on_dial_begun(self, event: events.DialBegun) -> None:
        self._on_leg(event.dialed)

    def _on_leg(self, leg: events.Snapshot) -> None:
        session = self.book.get(leg.uniqueid)
        if session is None:
            return
        answered = leg.state == events.ChannelState.UP
        self._sign(session, Sign.ANSWERED if answered else Sign.CREATED)

    def _on_spy_started(self, event: events.SpyStarted) -> None:
        session = self.book.get(event.spyer.uniqueid)
        if session is None:
            return
        if event.spyee.uniqueid == session.target:
            self._sign(session, Sign.ATTACHED)
            return
        log.critical(
            "ALARM: %s was to whisper to %s and is attached to %s; it is hung up",
            session.leg,
            session.target,
            event.spyee.uniqueid,
        )
        self._condemn(session, Reason.WRONG_TARGET)

    def _on_spy_stopped(self, event: events.SpyStopped) -> None:
        session = self.book.get(event.spyer.uniqueid)
        if session is not None and session.state is State.ATTACHED:
            self._sign(session, Sign.DETACHED)

    def _on_hung_up(self, event: events.HungUp) -> None:
        uniqueid = event.channel.uniqueid
        session = self.book.get(uniqueid)
        if session is not None:
            self._sign(session, Sign.ENDED, reason_of(session, event.cause))
            if session.state is State.ATTACHED:
                self._spawn(self._hang_up_successor(session))
        for waiting in self.book:
            # One that is attached ends by itself: ChanSpy has the option E.
            if waiting.target == uniqueid and waiting.state is not State.ATTACHED:
                self._condemn(waiting, Reason.TARGET_GONE)

    def _on_originated(self, event: events.Originated) -> None:
        session = self.book.get(event.uniqueid)
        if session is None:
            return
        if event.success:
            self._sign(session, Sign.ANSWERED)
        elif session.state is State.REQUESTED:
            self._sign(session, Sign.ENDED, session.verdict or Reason.REFUSED)
        else:
            self.book.postpone(session, self._steady() + LATE_EVENTS)
            self._set_timer()

    # Deadlines and resync

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        deadline = self.book.next_deadline()
        if deadline is not None:
            delay = max(0.0, deadline - self._steady())
            self._timer = asyncio.get_running_loop().call_later(delay, self._overdue)

    def _overdue(self) -> None:
        for session in self.book.due(self._steady()):
            if session.verdict is not None:
                log.warning("%s: its end was never heard of", session.leg)
                self._sign(session, Sign.ENDED, session.verdict)
            else:
                answered = session.state is State.ANSWERED
                self._condemn(session, Reason.FAILED if answered else Reason.NO_ANSWER)
        self._set_timer()

    def _reconcile(self, session: Session, item: Listed | None) -> None:
        if item is None:
            if session.state is not State.REQUESTED:
                self._sign(session, Sign.ENDED, session.verdict or Reason.LINK_LOST)
        elif session.verdict is not None:
            self._spawn(self._hang_up(session.leg))
        elif session.target not in self._picture.channels:
            self._condemn(session, Reason.TARGET_GONE)
        elif item.application == "ChanSpy" and spied(item.data) == session.target:
            self._sign(session, Sign.ATTACHED)

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _because(session: Session) -> str:
    return f": {session.reason.value}" if session.reason else ""


_REACTIONS: dict[type, Callable[[Whispering, Any], None]] = {
    events.Seen: Whispering._on_seen,
    events.DialBegun: Whispering._on_dial_begun,
    events.SpyStarted: Whispering._on_spy_started,
    events.SpyStopped: Whispering._on_spy_stopped,
    events.HungUp: Whispering._on_hung_up,
    events.Originated: Whispering._on_originated,
}
