"""The body of a PUT: which action, and its fields, read one by one.

Source: Whisper specification, Request Payload and Failure.
"""

import json
from collections.abc import Callable, Mapping
from typing import Annotated, Final, Generic, Literal, NamedTuple, NoReturn, TypeVar

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel
from pydantic.config import JsonDict

from bridge.callerid import parse_caller_id
from bridge.errors import (
    ApiError,
    CallerIdInvalid,
    NotImplementedYet,
    PhoneCallInvalid,
    PrivateInvalid,
    RequestInvalid,
    SendCallToInvalid,
    TimeoutInvalid,
    ViewInvalid,
)
from bridge.model import PERMISSIONS, CallerId, Mode, Permission
from bridge.uapi.types import (
    CallerIdText,
    ExtensionNumber,
    Flag,
    ViewId,
    WholeNumber,
    call_id,
    extension_number,
    flag,
    view_id,
)

T = TypeVar("T")

Action = Literal["Whisper", "Monitor", "BargeIn"]
_MODES: Final[Mapping[str, Mode]] = {
    mode.action: mode for mode in (Mode.WHISPER, Mode.LISTEN, Mode.BARGE)
}

# AMI takes the time in milliseconds, as a signed number of 32 bits.
LONGEST_WAIT: Final = (2**31 - 1) // 1000

_SECONDS: Final = WholeNumber(1, LONGEST_WAIT)


_EXAMPLE: Final[JsonDict] = {
    "action": "Whisper",
    "sendCallTo": "0003*024",
    "private": 0,
    "callerId": "Whisper To Me <42420042>",
    "waitForPickup": "20",
    "phoneCallViewId": "01",
}


class WhisperAction(BaseModel):
    """Whisper to a party of a phone call, listen to it, or barge in.

    Source: Whisper specification, Request Payload; UnifiedAPI, monitor and barge in.
    """

    model_config = ConfigDict(
        title="PhoneCallAction",
        alias_generator=to_camel,
        extra="ignore",
        frozen=True,
        json_schema_extra={"examples": [_EXAMPLE]},
    )

    action: Action = Field(
        description="Whisper: the extension in the path hears the one of sendCallTo, the others do "
        "not. Monitor: nobody does. BargeIn: everybody does."
    )
    send_call_to: ExtensionNumber = Field(
        description="Number of the extension that will take part: a phone terminal extension in "
        "the organization of the extension in the path; extended or short.",
        examples=["0003*024", "024"],
    )
    caller_id: CallerIdText | None = Field(
        default=None,
        description="Caller name and number displayed to the extension of sendCallTo. "
        "Default: its own caller id.",
        examples=["Whisper To Me <42420042>"],
    )
    wait_for_pickup: Annotated[int, _SECONDS] = Field(
        default=25,
        description="Seconds to wait until the extension of sendCallTo picks up; then the call "
        "is cancelled.",
        examples=["20", 20],
    )
    phone_call_view_id: ViewId = Field(
        description="The view of the phone call to whisper to.", examples=["01"]
    )
    private: Flag = Field(
        default=False,
        description="1: the extension that whispers does not hear the conversation. Of Whisper "
        "only.",
        examples=[0, "1"],
        json_schema_extra={"default": 0},
    )


class _Field(NamedTuple, Generic[T]):
    """A field as it is read: by its JSON name, with what stands for an absent one."""

    name: str
    read: Callable[[object], T]
    error: type[ApiError]
    required: bool
    default: T


def _field(attribute: str, read: Callable[[object], T], error: type[ApiError]) -> _Field[T]:
    described = WhisperAction.model_fields[attribute]
    return _Field(
        str(described.alias), read, error, described.is_required(), described.get_default()
    )


_WAIT: Final = _field("wait_for_pickup", _SECONDS, TimeoutInvalid)
_CALLER_ID: Final[_Field[CallerId | None]] = _field("caller_id", parse_caller_id, CallerIdInvalid)
_VIEW_ID: Final = _field("phone_call_view_id", view_id, ViewInvalid)
_PRIVATE: Final = _field("private", flag, PrivateInvalid)
_SEND_CALL_TO: Final = _field("send_call_to", extension_number, SendCallToInvalid)


class WhisperForm:
    """The fields of a request to whisper, monitor or barge in, each checked when it is read.

    Between reading one field and the next the caller resolves the path against the live calls,
    so that of several faults the one reported is the first of the specification's table. JSON
    ``null`` counts as an absent field.
    """

    __slots__ = ("_fields", "_mode", "action")

    def __init__(self, action: str, fields: Mapping[str, object]) -> None:
        self.action, self._fields = action, fields
        self._mode = _MODES[action]

    def written(self, alias: str) -> str:
        """A field as the client wrote it, right or wrong, for the audit; cut to 64 characters."""
        return str(self._fields.get(alias, ""))[:64]

    @property
    def wait_for_pickup(self) -> int:
        """Seconds to wait for the supervisor's phone; raises TimeoutInvalid."""
        return self._read(_WAIT)

    @property
    def caller_id(self) -> CallerId | None:
        """What the supervisor's phone displays, None for its own; raises CallerIdInvalid."""
        return self._read(_CALLER_ID)

    @property
    def view_id(self) -> str:
        """The view to whisper to, as the client wrote it; raises ViewInvalid."""
        return self._read(_VIEW_ID)

    @property
    def permission(self) -> Permission:
        """What the directory must allow for it."""
        return PERMISSIONS[self._mode]

    @property
    def mode(self) -> Mode:
        """How the supervisor is to take part; raises PrivateInvalid, for a whisper only."""
        mode = self._mode
        return Mode.PRIVATE if mode is Mode.WHISPER and self._read(_PRIVATE) else mode

    @property
    def send_call_to(self) -> str:
        """The extension that whispers, extended or short; raises SendCallToInvalid."""
        return self._read(_SEND_CALL_TO)

    def _read(self, field: _Field[T]) -> T:
        value = self._fields.get(field.name)
        if value is None and not field.required:
            return field.default
        try:
            return field.read(value)
        except ValueError as cause:
            raise field.error from cause


def parse_action(body: bytes) -> WhisperForm:
    """Read the body of a PUT.

    Takes UTF-8 JSON (RFC 8259): an object with a string ``action``; unknown fields are ignored.
    Returns the form of an action, its fields still to be read. Raises RequestInvalid when the
    body is none of that or says a thing twice, NotImplementedYet for any other action.
    """
    fields = json_object(body)
    action = fields.get("action")
    if not isinstance(action, str):
        raise RequestInvalid
    if action not in _MODES:
        raise NotImplementedYet
    return WhisperForm(action, fields)


def parse_call_id(text: str) -> str:
    """Return a phoneCallId of the path, 1 to 64 ASCII letters and digits.

    Source: Whisper specification, Failure. Raises PhoneCallInvalid.
    """
    try:
        return call_id(text)
    except ValueError as cause:
        raise PhoneCallInvalid from cause


def json_object(body: bytes) -> dict[str, object]:
    """Return the fields of a JSON object, none of them twice. Raises RequestInvalid."""
    try:
        document = _READER.decode(body.decode())
        if b"\\u" in body:
            # Escapes can name half a surrogate pair (RFC 8259 section 8.2), which no text can hold.
            json.dumps(document, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as cause:
        raise RequestInvalid from cause
    if not isinstance(document, dict):
        raise RequestInvalid
    return document


def _each_name_once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    # Which of two would count differs between readers (RFC 8259 section 4): neither is safe.
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise ValueError("a name occurs twice")
    return fields


def _no_constant(_: str) -> NoReturn:
    # NaN and Infinity: Python reads them, RFC 8259 section 6 does not.
    raise ValueError("not a JSON number")


# Built once: json.loads would build it for every body, which takes three times as long.
_READER: Final = json.JSONDecoder(object_pairs_hook=_each_name_once, parse_constant=_no_constant)
