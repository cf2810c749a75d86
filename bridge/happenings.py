"""What happens to requests and whispers, as listeners are told of it: the audit, the metrics.

A happening is a fact and carries no time; the moment it was reported at goes with it. Whispers are
told of with their session as it then is, so a listener needs no memory of its own to know who
whispers to whom.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from bridge.errors import ApiError, InternalServerError
from bridge.hooks import Hook
from bridge.model import Asker
from bridge.whisper import Session, State

HANG_UP = "HangUp"
"""What hanging up is called as an action; the contract has it as a method of HTTP."""


class Moment(NamedTuple):
    """When: ``wall`` in epoch seconds, ``steady`` in seconds of a clock that never jumps."""

    wall: float
    steady: float


@dataclass(frozen=True, slots=True)
class Happening:
    """Anything a listener is told."""


Listener = Callable[[Happening, Moment], None]
"""Who is told, on the event loop: it must be quick and not wait for anything."""


# Requests


@dataclass(frozen=True, slots=True)
class Attempted(Happening):
    """Somebody asked for something to be done with a call; texts are as the client wrote them.

    ``action`` and what follows are empty where the request does not say or could not be read;
    ``number`` is whom to hang up.
    """

    asker: Asker
    action: str
    extension: str
    call_id: str
    view: str = ""
    supervisor: str = ""
    number: str = ""


@dataclass(frozen=True, slots=True)
class Decided(Happening):
    """What was attempted is allowed, or refused with the ``code`` of an error.

    ``leg`` is the whisper's, where there is one: a new one, or one under way already.
    """

    asker: Asker
    action: str
    call_id: str
    leg: str = ""
    code: str = ""


@dataclass(frozen=True, slots=True)
class Responded(Happening):
    """A request over HTTP was answered; ``route`` is the template of its path.

    A stream was answered when it is over, and has no ``seconds``: it lasts as long as it is wanted.
    What a client preferred to wait for an outcome is not among them.
    """

    route: str
    method: str
    status: int
    seconds: float | None


@dataclass(frozen=True, slots=True)
class TokenAsked(Happening):
    """A client asked for a token and has one, or was refused with the ``code`` of an error.

    The asker is without an app where none of the directory was named.
    """

    asker: Asker
    code: str = ""


class HookStep(StrEnum):
    """What is done with a hook."""

    CREATED = "created"
    CHANGED = "changed"
    REMOVED = "removed"


@dataclass(frozen=True, slots=True)
class HookManaged(Happening):
    """A client made, changed or removed a hook."""

    asker: Asker
    step: HookStep
    hook: Hook


class Outcome(StrEnum):
    """What became of an attempt to tell a client of a call event, or of all further attempts.

    ``DROPPED``: too many waited already; ``WITHDRAWN``: the client may not, or would not, be told
    any more.
    """

    DELIVERED = "delivered"
    FAILED = "failed"
    GIVEN_UP = "given_up"
    DROPPED = "dropped"
    WITHDRAWN = "withdrawn"


@dataclass(frozen=True, slots=True)
class Told(Happening):
    """A client was told of a call event, or was not."""

    outcome: Outcome


def refusal(asker: Asker, action: str, call_id: str, error: Exception) -> Decided:
    """The decision not to do what was attempted."""
    code = error.code if isinstance(error, ApiError) else InternalServerError.code
    return Decided(asker, action, call_id, code=code)


# Whispers


@dataclass(frozen=True, slots=True)
class OfWhisper(Happening):
    """Something happened to a whisper; ``session`` is what it is since."""

    session: Session


class Requested(OfWhisper):
    """The PBX was told to call the supervisor's phone."""


class Adopted(OfWhisper):
    """It was under way before the bridge was."""


class Ringing(OfWhisper):
    """The supervisor's phone is being called."""


class Answered(OfWhisper):
    """The supervisor picked up."""


@dataclass(frozen=True, slots=True)
class Attached(OfWhisper):
    """The supervisor is connected to the target, ``since`` that epoch second."""

    since: float


class Detached(OfWhisper):
    """The supervisor is no longer connected to the target; the end follows."""


class Ended(OfWhisper):
    """It is over; the session's ``reason`` says why."""


@dataclass(frozen=True, slots=True)
class ModeChanged(OfWhisper):
    """Who hears whom changed from ``before``; nobody is ``by`` when a key on the phone did it."""

    before: str
    by: Asker | None = None


class ModeDoubted(OfWhisper):
    """The PBX was told another mode, and it is not known whether it heard: until it is settled."""


class ModeSettled(OfWhisper):
    """The PBX has confirmed its mode, whatever was known of it before."""


@dataclass(frozen=True, slots=True)
class Noticed(OfWhisper):
    """The target was played the notice of its organization, the ``sound`` of that name."""

    sound: str


@dataclass(frozen=True, slots=True)
class WrongTarget(OfWhisper):
    """Alarm: it is attached to another channel (a Uniqueid) than its target."""

    attached_to: str


@dataclass(frozen=True, slots=True)
class TakenOver(OfWhisper):
    """Alarm: another channel (a Uniqueid) took its leg over."""

    successor: str


MOVED: dict[State, type[OfWhisper]] = {
    State.RINGING: Ringing,
    State.ANSWERED: Answered,
    State.DETACHED: Detached,
    State.ENDED: Ended,
}
"""What is told of a whisper that came to a state, where the session says it all."""


# The link


@dataclass(frozen=True, slots=True)
class Linked(Happening):
    """The picture of the PBX is complete; ``legs`` are those of whispers it has."""

    legs: frozenset[str]


@dataclass(frozen=True, slots=True)
class Unlinked(Happening):
    """The link to the PBX is lost: nothing is known for sure until it is back.

    The PBX had not been heard of for ``quiet`` seconds by then.
    """

    quiet: float = 0.0


class Vouched(Happening):
    """The PBX has answered: whatever happened before this has been told of."""
