"""The whispers promised: what became of each, from the request to its end.

A session is named by the Uniqueid its leg will have, so it is known before the PBX says the
first word about it. Signs may come in any order; a sign that is no move of the table raises and
changes nothing.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from enum import Enum

from bridge.memory import SessionMemo
from bridge.model import (
    NOBODY,
    PERMISSIONS,
    SUPERVISION,
    Asker,
    CallerId,
    Extension,
    Mode,
    Permission,
)
from bridge.modes import has_keys


class State(Enum):
    """How far a whisper has come."""

    REQUESTED = "requested"
    REFUSED = "refused"
    RINGING = "ringing"
    ANSWERED = "answered"
    ATTACHED = "attached"
    DETACHED = "detached"
    ENDED = "ended"


class Sign(Enum):
    """What was heard of a whisper's leg."""

    REFUSED = "the PBX says the call failed; what else it says of it may come later"
    CREATED = "the leg exists: its phone is being called"
    ANSWERED = "the phone was answered"
    ATTACHED = "the spy is connected to the target"
    DETACHED = "the spy let go of the target"
    ENDED = "the leg is gone, or will never be"


class Reason(Enum):
    """Why a whisper ended."""

    COMPLETED = "completed"
    UNREGISTERED = "the phone is not registered"
    UNKNOWN = "the PBX does not know the phone"
    BUSY = "busy"
    DECLINED = "declined"
    NO_ANSWER = "no answer"
    LEFT = "hung up before it was in force"
    REFUSED = "the PBX cannot call the phone"
    FAILED = "failed"
    TARGET_GONE = "the target's call ended"
    OTHERS_CHANGED = "the target talks to somebody else now"
    WRONG_TARGET = "wrong target"
    FORBIDDEN = "not allowed any more"
    NO_NOTICE = "the notice to the agent could not be played"
    LINK_LOST = "link lost"
    HUNG_UP = "hung up on request"


MOVES: dict[tuple[State, Sign], State] = {
    (State.REQUESTED, Sign.CREATED): State.RINGING,
    (State.REQUESTED, Sign.ANSWERED): State.ANSWERED,
    (State.REQUESTED, Sign.ATTACHED): State.ATTACHED,
    (State.REQUESTED, Sign.ENDED): State.ENDED,
    (State.REQUESTED, Sign.REFUSED): State.REFUSED,
    (State.REFUSED, Sign.REFUSED): State.REFUSED,
    (State.REFUSED, Sign.CREATED): State.RINGING,
    (State.REFUSED, Sign.ENDED): State.ENDED,
    (State.RINGING, Sign.CREATED): State.RINGING,
    (State.RINGING, Sign.REFUSED): State.RINGING,
    (State.RINGING, Sign.ANSWERED): State.ANSWERED,
    (State.RINGING, Sign.ATTACHED): State.ATTACHED,
    (State.RINGING, Sign.ENDED): State.ENDED,
    (State.ANSWERED, Sign.CREATED): State.ANSWERED,
    (State.ANSWERED, Sign.ANSWERED): State.ANSWERED,
    (State.ANSWERED, Sign.ATTACHED): State.ATTACHED,
    (State.ANSWERED, Sign.ENDED): State.ENDED,
    (State.ATTACHED, Sign.CREATED): State.ATTACHED,
    (State.ATTACHED, Sign.ANSWERED): State.ATTACHED,
    (State.ATTACHED, Sign.ATTACHED): State.ATTACHED,
    (State.ATTACHED, Sign.DETACHED): State.DETACHED,
    (State.ATTACHED, Sign.ENDED): State.ENDED,
    (State.DETACHED, Sign.ENDED): State.ENDED,
}

_ENDING = frozenset({State.REFUSED, State.DETACHED, State.ENDED})

MOST_OTHERS = 4
"""Others of a whisper that its leg remembers: in a conference one who stays is enough."""

LATE_EVENTS = 0.5
"""Seconds in which the rest of the events of a failed call arrive, in whatever order."""

DEADLINE_SLACK = 3.0
"""Seconds a leg may take beyond its time before it is hung up: the PBX's own timer comes first."""

_NO_CAUSE = 0
"""What Asterisk 16 gives when the time in which a phone may ring is over; 22 gives 19."""

_CAUSES = {
    16: Reason.NO_ANSWER,
    17: Reason.BUSY,
    19: Reason.NO_ANSWER,
    21: Reason.DECLINED,
}


class IllegalMove(Exception):
    """A sign that a session in this state cannot be given."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """One whisper. ``leg`` and ``target`` are Uniqueids, ``call_id`` is as the client named it.

    ``mode`` is how the supervisor takes part, or will once he picks up; it is ``settled`` when the
    PBX is known to have it so. ``options`` are those its ChanSpy starts with.

    ``others`` are the Uniqueids of those the target talked to when it was asked for, which was by
    ``asker`` and at the epoch second ``requested``; by ``until`` the phone has been answered.

    It is ``noticed`` once the target was given the notice of its organization, and has ``left``
    when the supervisor has hung up: a spy ends with the same cause, whoever or whatever ends it.

    ``deadline`` is when its next sign is overdue, in seconds of a steady clock, and ``verdict``
    why the bridge itself ends it, if it does.
    """

    leg: str
    target: str
    call_id: str
    extension: Extension
    supervisor: Extension
    caller_id: CallerId
    mode: Mode
    options: str
    deadline: float | None
    others: frozenset[str] = frozenset()
    asker: Asker = NOBODY
    requested: float = 0.0
    until: float = 0.0
    settled: bool = True
    noticed: bool = False
    left: bool = False
    state: State = State.REQUESTED
    verdict: Reason | None = None
    reason: Reason | None = None

    @property
    def permissions(self) -> frozenset[Permission]:
        """What the directory must allow for it: with keys all that they can do."""
        return SUPERVISION if has_keys(self.options) else frozenset({PERMISSIONS[self.mode]})

    @property
    def is_live(self) -> bool:
        """Whether it is under way or in force, rather than about to end."""
        return self.verdict is None and self.state not in _ENDING

    def memo(self) -> SessionMemo:
        """What its leg is to remember of it."""
        return SessionMemo(
            target=self.target,
            extension=self.extension.number,
            supervisor=self.supervisor.number,
            caller_name=self.caller_id.name,
            caller_number=self.caller_id.number,
            private=self.mode is Mode.PRIVATE,
            until=round(self.until, 3),
            others=tuple(sorted(self.others))[:MOST_OTHERS],
            requested=round(self.requested, 3),
            app=self.asker.app,
            user=self.asker.user,
            address=self.asker.address,
            request=self.asker.request,
            mode=self.mode,
            options=self.options,
            noticed=self.noticed,
        )


def reason_of(session: Session, cause: int) -> Reason:
    """Why a session's leg ended, by the Q.850 ``cause`` of its hangup and how far it had come."""
    if session.verdict is not None:
        return session.verdict
    if session.state in (State.ATTACHED, State.DETACHED):
        return Reason.COMPLETED
    if session.state is State.ANSWERED:
        return Reason.LEFT if session.left else Reason.FAILED
    if session.state is State.RINGING and cause == _NO_CAUSE:
        return Reason.NO_ANSWER
    return _CAUSES.get(cause, Reason.REFUSED)


@dataclass(slots=True)
class Book:
    """All whispers under way; one that has ended is struck out at once."""

    _sessions: dict[str, Session] = field(default_factory=dict)

    def __iter__(self) -> Iterator[Session]:
        return iter(tuple(self._sessions.values()))

    def __len__(self) -> int:
        return len(self._sessions)

    def __contains__(self, leg: str) -> bool:
        return leg in self._sessions

    def get(self, leg: str) -> Session | None:
        """The session of that leg."""
        return self._sessions.get(leg)

    def find(self, target: str, supervisor: Extension) -> Session | None:
        """The session of this supervisor on this target, unless it is about to end."""
        on_target = self.on_target(target)
        same = (s for s in on_target if s.supervisor.number == supervisor.number)
        return next(same, None)

    def on_target(self, target: str) -> list[Session]:
        """The sessions on this target that are not about to end."""
        return [s for s in self if s.target == target and s.is_live]

    def open(self, session: Session) -> None:
        """Write down a new session. Raises IllegalMove when its leg is known already."""
        if session.leg in self._sessions:
            raise IllegalMove(f"{session.leg} exists")
        self._sessions[session.leg] = session

    def move(
        self, session: Session, sign: Sign, now: float, reason: Reason | None = None
    ) -> Session:
        """Take a session along by one sign and return what it is now.

        ``reason`` goes with ``Sign.ENDED``. Raises IllegalMove, with nothing changed.
        """
        current = self._sessions.get(session.leg)
        if current is None or (current.state, sign) not in MOVES:
            state = current.state if current else State.ENDED
            raise IllegalMove(f"{session.leg} is {state.value}: not {sign.name}")
        state = MOVES[current.state, sign]
        moved = replace(current, state=state, deadline=_deadline(current, state, sign, now))
        if state is State.ENDED:
            del self._sessions[session.leg]
            return replace(moved, reason=reason or Reason.FAILED)
        self._sessions[session.leg] = moved
        return moved

    def change(self, session: Session, mode: Mode, *, settled: bool) -> Session:
        """Give a session another mode, or find it settled in one, and return what it is now.

        Raises IllegalMove, with nothing changed, for one that is about to end or has ended.
        """
        current = self._sessions.get(session.leg)
        if current is None or not current.is_live:
            raise IllegalMove(f"{session.leg} is about to end: not {mode.value}")
        changed = replace(current, mode=mode, settled=settled)
        self._sessions[session.leg] = changed
        return changed

    def note(self, session: Session) -> Session:
        """Note that the target was given its notice, and return what the session is now."""
        current = self._sessions.get(session.leg, session)
        noticed = replace(current, noticed=True)
        if session.leg in self._sessions:
            self._sessions[session.leg] = noticed
        return noticed

    def leave(self, session: Session) -> None:
        """Note that the supervisor has hung up."""
        current = self._sessions.get(session.leg)
        if current is not None:
            self._sessions[session.leg] = replace(current, left=True)

    def adopt(self, session: Session) -> None:
        """Write down a session that was under way before this book was."""
        self._sessions.setdefault(session.leg, session)

    def condemn(self, session: Session, verdict: Reason, now: float) -> Session | None:
        """Note that the bridge ends a session, and why; None when it had been said before."""
        current = self._sessions.get(session.leg)
        if current is None or current.verdict is not None:
            return None
        condemned = replace(current, verdict=verdict, deadline=now + DEADLINE_SLACK)
        self._sessions[session.leg] = condemned
        return condemned

    def due(self, now: float) -> list[Session]:
        """Sessions whose deadline has passed."""
        return [s for s in self if s.deadline is not None and s.deadline <= now]

    def next_deadline(self) -> float | None:
        """When to look for due sessions next."""
        return min((s.deadline for s in self if s.deadline is not None), default=None)


def _deadline(session: Session, state: State, sign: Sign, now: float) -> float | None:
    if session.verdict is not None:
        return session.deadline
    if sign is Sign.REFUSED:
        return now + LATE_EVENTS
    if state is session.state or session.state is State.REFUSED:
        return session.deadline
    if state in (State.ANSWERED, State.DETACHED):
        return now + DEADLINE_SLACK
    return None if state is State.ATTACHED else session.deadline
