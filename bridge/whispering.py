"""Carries the whispers out: rings, follows and ends their legs, and keeps their deadlines.

Owns the book of whispers, every task that acts for one, and who waits for the first sign of one.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from bridge import actions, events, modes
from bridge.actions import Answer, Pbx, Spy
from bridge.authority import Authority
from bridge.calls import Picture
from bridge.changing import Changing
from bridge.channels import Channel, spied
from bridge.errors import LinkLost, PbxUnavailable
from bridge.events import Event, Listed
from bridge.happenings import MOVED, Adopted, Attached, TakenOver, WrongTarget
from bridge.memory import SessionMemo, pack_session, unpack
from bridge.model import NOTICE_PREFIX, WHISPER_LEG_PREFIX, Asker, CallerId, Mode
from bridge.notifying import Notifying
from bridge.reporting import Reporting
from bridge.views import peers
from bridge.vouching import Vouching
from bridge.whisper import (
    DEADLINE_SLACK,
    Book,
    IllegalMove,
    Reason,
    Session,
    Sign,
    State,
    reason_of,
)

log = logging.getLogger(__name__)

FIRST_SIGN_TIMEOUT = 5.0
"""Seconds the PBX has to begin calling a phone, or to say that it cannot."""

_UNCALLABLE = {"UNAVAILABLE": Reason.UNREGISTERED, actions.NO_DEVICE: Reason.UNKNOWN}
"""States of a device that cannot be called, and what they say of the phone."""


class Whispering:
    """The whispers under way on one PBX.

    ``picture`` is read, never written; ``authority`` says what is allowed; ``follow`` keeps a
    whisper when its target comes to talk to somebody else, rather than end it; ``wall`` gives epoch
    seconds, ``steady`` seconds that never jump. What happens to whispers is reported through
    ``report``.
    """

    def __init__(
        self,
        pbx: Pbx,
        picture: Picture,
        authority: Authority,
        report: Reporting,
        *,
        follow: bool,
        wall: Callable[[], float],
        steady: Callable[[], float],
    ) -> None:
        self.book = Book()
        self.changing = Changing(pbx, self.book, report, self._spawn, self._broken)
        self.notifying = Notifying(pbx, self.book, authority, report, self._spawn, self._unnoticed)
        self.vouching = Vouching(pbx, self.book, report, self._spawn)
        self._pbx = pbx
        self._picture = picture
        self._authority = authority
        self._report = report
        self._follow = follow
        self._wall, self._steady = wall, steady
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
        # Nothing of it can be heard before this function ends: a fault here leaves no trace.
        silenced = () if session.settled else modes.silenced(session.options, session.mode)
        spy = Spy(session.target, session.options, silenced)
        phone, memo = session.supervisor, pack_session(session.memo())
        sent = self._pbx.send(
            actions.originate_spy(
                session.leg,
                phone.endpoint,
                spy,
                session.caller_id,
                seconds,
                memo,
                phone.auto_answer,
            )
        )
        self.book.open(session)
        self._first_signs[session.leg] = asyncio.get_running_loop().create_future()
        # Closed in this moment, the task would never come to await what was sent.
        self._spawn(self._originate(session, sent)).add_done_callback(lambda _: sent.close())
        self.vouching.attend()
        self._set_timer()

    async def first_sign(self, session: Session) -> Session:
        """Wait until the phone is being called, or never will be.

        Returns the session as it then is. Raises LinkLost when the link goes first: what became
        of the phone is found out when it is back. Raises PbxUnavailable when the PBX says nothing
        in time; the leg, should it still come, is hung up.
        """
        waiting = self._first_signs.get(session.leg)
        if waiting is None:
            return session
        try:
            async with asyncio.timeout(FIRST_SIGN_TIMEOUT):
                session = await asyncio.shield(waiting)
        except TimeoutError:
            self._condemn(session, Reason.LINK_LOST)
            raise PbxUnavailable("The PBX did not begin to call the phone.") from None
        if session.state is State.REQUESTED and session.verdict is None:
            raise LinkLost
        return session

    async def settled(self, leg: str) -> bool:
        """Return whether a session is in force, in its mode and not without its notice.

        That has then been seen to, but for the end of a notice that has begun. What is under way
        goes on when nobody waits for it any more. Raises PbxUnavailable.
        """
        await asyncio.shield(self._spawn(self.changing.settle(leg)))
        await self.notifying.begun(leg)
        session = self.book.get(leg)
        if session is None or session.state is not State.ATTACHED:
            return False
        return session.is_live and session.settled

    def hang_up(self, session: Session) -> None:
        """End a session because somebody asked for that."""
        self._condemn(session, Reason.HUNG_UP)

    def uphold(self) -> None:
        """End whatever is not allowed any more, after the directory or the picture changed."""
        for session in self.book:
            target = self._picture.channels.get(session.target)
            if target is not None:
                self._uphold(session, target)

    def _uphold(self, session: Session, target: Channel) -> None:
        current = self.book.get(session.leg)
        if current is None or current.verdict is not None:
            return
        objection = self._authority.objection(session, target)
        if objection is not None:
            log.warning("%s is not allowed any more: %s", session.leg, objection)
            self._condemn(session, Reason.FORBIDDEN)

    def on_event(self, event: Event) -> None:
        """Take in one event, after the picture has."""
        react = _REACTIONS.get(type(event))
        if react is not None:
            react(self, event)

    def on_lost(self) -> None:
        """The link is gone: whoever waits for a first sign need not wait on."""
        for session in self.book:
            self._wake(session)
        self.changing.on_lost()
        self.notifying.on_lost()

    def reconcile(self, items: Mapping[str, Listed]) -> None:
        """Take in what the PBX lists, by Uniqueid, after the picture has."""
        for leg, item in items.items():
            if leg not in self.book and leg.startswith(WHISPER_LEG_PREFIX):
                self._adopt(item)
        for session in self.book:
            self._reconcile(session, items.get(session.leg))
        for session in self.book:
            self._settle(session)
            self.notifying.attend(session)
        self.vouching.attend()
        self._set_timer()

    # What is done to a leg

    async def _originate(self, session: Session, sent: Coroutine[None, None, Answer]) -> None:
        try:
            answer = await sent
        except LinkLost:
            # It may have been carried out: the PBX's list will tell, it is never asked again.
            self._wake(session)
            return
        except PbxUnavailable:
            self._condemn(session, Reason.LINK_LOST)
            return
        if not answer.success:
            log.error("the PBX refuses to originate %s: %s", session.leg, answer.message)
            self._sign(session, Sign.ENDED, Reason.FAILED)

    async def _find_out_why(self, session: Session) -> None:
        """End a session at once whose phone cannot be called: nothing more will be said of it."""
        try:
            answer = await self._pbx.send(actions.device_state(session.supervisor.endpoint))
        except PbxUnavailable:
            return
        reason = _UNCALLABLE.get(answer.headers.get("Value", ""))
        current = self.book.get(session.leg)
        if reason is not None and current is not None and current.state is State.REFUSED:
            self._sign(current, Sign.ENDED, reason)

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
                self._report(TakenOver(session, uniqueid))
                await self._hang_up(uniqueid)

    def _is_known_spy(self, uniqueid: str) -> bool:
        """Whether a spy was one from its beginning, rather than took over somebody's."""
        channel = self._picture.channels.get(uniqueid)
        spying = channel is not None and channel.spying is not None
        return spying or uniqueid in self.book or uniqueid.startswith(NOTICE_PREFIX)

    # How a session moves

    def _sign(self, session: Session, sign: Sign, reason: Reason | None = None) -> None:
        try:
            moved = self.book.move(session, sign, self._steady(), reason)
        except IllegalMove as illegal:
            log.warning("unexpected on the AMI: %s", illegal)
            return
        self._tell(moved)
        self._set_timer()
        if moved.state is State.ENDED:
            self.changing.forget(moved.leg)
        elif moved.state is not session.state:
            self._settle(moved)
        if moved.state is not session.state:
            self._report_move(moved)
            self.notifying.attend(moved)
        if moved.verdict is not None and moved.state is not State.ENDED:
            self._spawn(self._hang_up(moved.leg))

    def _report_move(self, session: Session) -> None:
        if session.state is State.ATTACHED:
            spy = self._picture.channels.get(session.leg)
            since = spy.spying if spy is not None and spy.spying else self._wall()
            self._report(Attached(session, since))
        elif session.state in MOVED:
            self._report(MOVED[session.state](session))

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
        undecided = session.state in (State.REQUESTED, State.REFUSED)
        if not undecided or session.verdict is not None:
            self._wake(session)

    def _wake(self, session: Session) -> None:
        waiting = self._first_signs.pop(session.leg, None)
        if waiting is not None and not waiting.done():
            waiting.set_result(session)

    def _broken(self, session: Session) -> None:
        self._condemn(session, Reason.FAILED)

    def _unnoticed(self, session: Session) -> None:
        self._condemn(session, Reason.NO_NOTICE)

    def _wrong_target(self, session: Session, attached_to: str) -> None:
        log.critical(
            "ALARM: %s was to whisper to %s and is attached to %s; it is hung up",
            session.leg,
            session.target,
            attached_to,
        )
        self._report(WrongTarget(session, attached_to))
        self._condemn(session, Reason.WRONG_TARGET)

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

    def _on_entered(self, event: events.Entered) -> None:
        """Whoever enters a bridge may be a new party for somebody who is whispered to."""
        self._look_again(event.channel.uniqueid)

    def _on_renamed(self, event: events.Renamed) -> None:
        """By another name a channel is somebody else's phone."""
        self._look_again(event.uniqueid)

    def _look_again(self, uniqueid: str) -> None:
        """Look at the whispers on the call of a channel that may have changed who talks there."""
        changed = self._picture.channels.get(uniqueid)
        if changed is None or changed.call is None:
            return
        for session in self.book:
            target = self._picture.channels.get(session.target)
            if target is not None and target.call is changed.call:
                self._check_others(session, target)
                self._uphold(session, target)

    def _check_others(self, session: Session, target: Channel) -> None:
        if self._follow:
            return
        now = {party.uniqueid for party in peers(target)}
        if session.others and now and now.isdisjoint(session.others):
            self._condemn(session, Reason.OTHERS_CHANGED)

    def _on_spy_started(self, event: events.SpyStarted) -> None:
        self.notifying.on_spy_started(event)
        session = self.book.get(event.spyer.uniqueid)
        if session is None:
            return
        if event.spyee.uniqueid == session.target:
            self._sign(session, Sign.ATTACHED)
        else:
            self._wrong_target(session, event.spyee.uniqueid)

    def _on_spy_stopped(self, event: events.SpyStopped) -> None:
        session = self.book.get(event.spyer.uniqueid)
        if session is not None and session.state is State.ATTACHED:
            self._sign(session, Sign.DETACHED)

    def _on_leaving(self, event: events.Leaving) -> None:
        session = self.book.get(event.channel.uniqueid)
        if session is not None:
            self.book.leave(session)

    def _on_hung_up(self, event: events.HungUp) -> None:
        self.notifying.on_hung_up(event)
        uniqueid = event.channel.uniqueid
        session = self.book.get(uniqueid)
        if session is not None:
            self._sign(session, Sign.ENDED, reason_of(session, event.cause))
            if session.state is State.ATTACHED:
                self._spawn(self._hang_up_successor(session))
        for waiting in self.book:
            # One that is in force ends by itself: ChanSpy has the option E.
            in_force = waiting.state in (State.ATTACHED, State.DETACHED)
            if waiting.target == uniqueid and not in_force:
                self._condemn(waiting, Reason.TARGET_GONE)

    def _on_key(self, event: events.KeyPressed) -> None:
        self.changing.on_key(event)

    def _on_originated(self, event: events.Originated) -> None:
        self.notifying.on_originated(event)
        session = self.book.get(event.uniqueid)
        if session is None:
            return
        self._sign(session, Sign.ANSWERED if event.success else Sign.REFUSED)
        if not event.success:
            self._spawn(self._find_out_why(session))

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
            if session.state is State.REFUSED:
                self._sign(session, Sign.ENDED, session.verdict or Reason.REFUSED)
            elif session.verdict is not None:
                log.warning("%s: its end was never heard of", session.leg)
                self._sign(session, Sign.ENDED, session.verdict)
            else:
                answered = session.state is State.ANSWERED
                self._condemn(session, Reason.FAILED if answered else Reason.NO_ANSWER)
        self._set_timer()

    def _adopt(self, item: Listed) -> None:
        """Take on a whisper that was under way before, by what its leg remembers."""
        leg, memo = item.channel.uniqueid, unpack(SessionMemo, item.session)
        extension = self._authority.by_number(memo.extension) if memo else None
        supervisor = self._authority.by_number(memo.supervisor) if memo else None
        if memo is None or extension is None or supervisor is None:
            log.warning("%s is a whisper of which nothing is known here; it is left alone", leg)
            return
        answered = item.channel.state == events.ChannelState.UP
        session = Session(
            leg=leg,
            target=memo.target,
            call_id=self._call_id(memo.target),
            extension=extension,
            supervisor=supervisor,
            caller_id=CallerId(memo.caller_name, memo.caller_number),
            mode=memo.mode or (Mode.PRIVATE if memo.private else Mode.WHISPER),
            options=memo.options or ("uqWES" if memo.private else "uqwES"),
            deadline=memo.until - self._wall() + self._steady() + DEADLINE_SLACK,
            others=frozenset(memo.others),
            asker=Asker(memo.app, memo.user, memo.address, memo.request),
            requested=memo.requested,
            until=memo.until,
            settled=False,
            noticed=memo.noticed,
            state=State.ANSWERED if answered else State.RINGING,
        )
        self.book.adopt(session)
        self._report(Adopted(session))

    def _call_id(self, target: str) -> str:
        channel = self._picture.channels.get(target)
        return channel.call.id if channel is not None and channel.call is not None else ""

    def _reconcile(self, session: Session, item: Listed | None) -> None:
        if item is None:
            self._reconcile_missing(session)
        elif session.verdict is not None:
            self._spawn(self._hang_up(session.leg))
        elif item.application == "ChanSpy" and item.channel.state == events.ChannelState.UP:
            self._reconcile_spy(session, spied(item.data))
        elif session.target not in self._picture.channels:
            self._condemn(session, Reason.TARGET_GONE)
        else:
            self._on_leg(item.channel)
        target = self._picture.channels.get(session.target)
        if target is not None:
            self._check_others(session, target)
            self._uphold(session, target)

    def _settle(self, session: Session) -> None:
        """See to the mode of a session; one with keys is heard of only once it is attached.

        That it tells of a key is proof that no other key will go unnoticed.
        """
        attached = session.state is State.ATTACHED
        if attached and session.is_live and modes.has_keys(session.options):
            session = self.book.change(session, session.mode, settled=False)
        if not session.settled:
            self._spawn(self.changing.settle(session.leg))

    def _reconcile_missing(self, session: Session) -> None:
        if session.state is State.REQUESTED:
            # Should it come after all, late and unasked for, it is hung up at once.
            self._condemn(session, Reason.LINK_LOST)
        else:
            self._sign(session, Sign.ENDED, session.verdict or Reason.LINK_LOST)

    def _reconcile_spy(self, session: Session, target: str) -> None:
        if target == session.target:
            self._sign(session, Sign.ATTACHED)
        else:
            self._wrong_target(session, target)

    def _spawn(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


_REACTIONS: dict[type, Callable[[Whispering, Any], None]] = {
    events.Seen: Whispering._on_seen,
    events.DialBegun: Whispering._on_dial_begun,
    events.Renamed: Whispering._on_renamed,
    events.Entered: Whispering._on_entered,
    events.SpyStarted: Whispering._on_spy_started,
    events.SpyStopped: Whispering._on_spy_stopped,
    events.Leaving: Whispering._on_leaving,
    events.HungUp: Whispering._on_hung_up,
    events.KeyPressed: Whispering._on_key,
    events.Originated: Whispering._on_originated,
}
