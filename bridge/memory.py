"""What must outlive the bridge, written on the channels themselves: the PBX is the database.

Each lasting leg of a call with views carries a CallMemo and a LegMemo, each leg of a whisper a
SessionMemo from its birth on. A value that cannot be read is as if it were not there.
"""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from typing import Annotated, Any, NamedTuple, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, TypeAdapter, ValidationError

from bridge.model import Mode

LEG_VARIABLE = "WHISPER_BRIDGE_LEG"
"""The channel variable that holds a Memo."""

SESSION_VARIABLE = "WHISPER_BRIDGE_SESSION"
"""The channel variable that holds a SessionMemo."""

MAX_VALUE = 500
"""Characters of a value; what Status prints of a variable ends after 511."""

Moment = Annotated[float, AfterValidator(lambda seconds: round(seconds, 3))]


class _Memo(BaseModel):
    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)


class CallMemo(_Memo):
    """A call: its id, times, views given so far, the calls it absorbed, and whom it charges."""

    id: str
    published: Moment
    answered: Moment | None = None
    views_given: int = 0
    absorbed: dict[str, dict[int, int]] = {}
    charged: str | None = None


class LegMemo(_Memo):
    """A leg: its view in its call, the numbers it was born with, and its times."""

    view: int = 0
    own_number: str = ""
    dialed_number: str = ""
    was_dialed: bool = False
    ringing: Moment | None = None
    answered: Moment | None = None
    holding: Moment | None = None
    parked: Moment | None = None
    recording: Moment | None = None
    spying: Moment | None = None


class Memo(_Memo):
    """What is remembered on a leg of a call."""

    call: CallMemo
    leg: LegMemo


class SessionMemo(NamedTuple):
    """A whisper; ``until`` is the epoch second by which its phone has been answered.

    ``others`` are the Uniqueids of those the target talks to; then comes who asked for it, and at
    which epoch second. ``options`` are those its ChanSpy starts with; one of an earlier version has
    none and no ``mode``, but may be ``private``. It is ``noticed`` once the target was given the
    notice of its organization. Written as an array, since a whisper waits for it:
    new fields come last.
    """

    target: str
    extension: str
    supervisor: str
    caller_name: str
    caller_number: str
    private: bool
    until: float
    others: tuple[str, ...] = ()
    requested: float = 0.0
    app: str = ""
    user: str = ""
    address: str = ""
    request: str = ""
    mode: Mode | None = None
    options: str = ""
    noticed: bool = False


AnyMemo = TypeVar("AnyMemo", Memo, SessionMemo)

_ARRAY = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False)
_READERS: Mapping[type, TypeAdapter[Any]] = {
    Memo: TypeAdapter(Memo),
    SessionMemo: TypeAdapter(SessionMemo),
}


def pack_leg(call: CallMemo, leg: LegMemo) -> str:
    """The value for a leg. The oldest former ids of its call are left out if it grows too long."""
    former = list(call.absorbed.items())
    while True:
        kept = call.model_copy(update={"absorbed": dict(former)})
        value = _value(Memo(call=kept, leg=leg).model_dump_json(exclude_defaults=True))
        if len(value) <= MAX_VALUE or not former:
            return value
        former = former[1:]


def pack_session(memo: SessionMemo) -> str:
    """The value for the leg of a whisper. Who asked for it is left out if it grows too long."""
    value = _value(_ARRAY.encode(memo))
    if len(value) <= MAX_VALUE:
        return value
    return _value(_ARRAY.encode(memo._replace(app="", user="", address="", request="")))


def unpack(kind: type[AnyMemo], value: str) -> AnyMemo | None:
    """The memo of that kind in a variable's value; None if there is none."""
    try:
        memo: AnyMemo = _READERS[kind].validate_json(urlsafe_b64decode(value.encode()))
    except (ValidationError, ValueError):
        return None
    return memo


def _value(text: str) -> str:
    """A text as the value of a variable: no comma, quote or space, which Originate would split."""
    return urlsafe_b64encode(text.encode()).decode()
