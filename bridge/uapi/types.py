"""The contract's types: numbers, extension numbers, caller ids, call ids and dates.

Each is a plain function from what a client sent to a value, and an annotation that describes it:
whoever needs one field calls the function, pydantic reads whole models. No ValueError repeats
what was sent: it may hold callers' numbers.

Source: Whisper specification, Request Payload and Failure; UnifiedAPI, Types.
"""

import math
import re
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Annotated, Final

from pydantic import (
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    PlainValidator,
    WithJsonSchema,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from bridge.callerid import parse_caller_id
from bridge.model import CallerId

_DIGITS: Final = re.compile("[0-9]+")
_VIEW_ID: Final = re.compile("[0-9]{1,9}")
_CALL_ID: Final = re.compile("[A-Za-z0-9]{1,64}")
_PHONE: Final = re.compile("[+]?[0-9*#]{1,40}")
_EXTENSION: Final = re.compile(r"([0-9]+\*)?[0-9]+")


@dataclass(frozen=True, slots=True)
class WholeNumber:
    """Annotation of an ``int``: a JSON integer or a string of ASCII digits, within the bounds.

    Leading zeros are digits like any other. ``true``, ``1.5``, ``20.0``, ``1e3``, ``" 20"``,
    ``"+5"`` and the digits of other scripts are no numbers (UnifiedAPI, Types).
    """

    minimum: int
    maximum: int

    def __call__(self, value: object) -> int:
        """Return the number. Raises ValueError."""
        if isinstance(value, str) and _DIGITS.fullmatch(value):
            value = int(value)
        if type(value) is not int or not self.minimum <= value <= self.maximum:
            raise ValueError("not a whole number within the bounds")
        return value

    def __get_pydantic_core_schema__(
        self, source: type[object], handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        """Read as the call does."""
        return core_schema.no_info_plain_validator_function(self)

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """Both forms a client may send."""
        integer = {"type": "integer", "minimum": self.minimum, "maximum": self.maximum}
        digits = "0*[1-9][0-9]*" if self.minimum else _DIGITS.pattern
        return {"anyOf": [integer, {"type": "string", "pattern": f"^{digits}$"}]}


_FLAGS: Final = (0, 1, "0", "1")


def flag(value: object) -> bool:
    """Return a 0 or 1, as number or text, as a truth. Raises ValueError."""
    # By type first: true == 1 and 1.0 == 1 in Python, but neither is a number of the contract.
    if type(value) in (int, str) and value in _FLAGS:
        return value in (1, "1")
    raise ValueError("not a flag")


def view_id(value: object) -> str:
    """Return a text of 1 to 9 digits. Raises ValueError."""
    return _spelled(_VIEW_ID, value)


def call_id(value: object) -> str:
    """Return a text of 1 to 64 ASCII letters and digits. Raises ValueError."""
    return _spelled(_CALL_ID, value)


def extension_number(value: object) -> str:
    """Return an extension's number, extended or short; an integer is short. Raises ValueError."""
    return _spelled(_EXTENSION, str(value) if type(value) is int else value)


def phone_number(value: object) -> str:
    """Return a number that can be dialled, anybody's. Raises ValueError."""
    return _spelled(_PHONE, value)


def _spelled(pattern: re.Pattern[str], value: object) -> str:
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise ValueError("not spelled as the contract says")
    return value


def _described(pattern: re.Pattern[str]) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "pattern": f"^{pattern.pattern}$"})


Flag = Annotated[bool, PlainValidator(flag), WithJsonSchema({"enum": list(_FLAGS)})]
ViewId = Annotated[str, PlainValidator(view_id), _described(_VIEW_ID)]
CallIdText = Annotated[str, PlainValidator(call_id), _described(_CALL_ID)]
PhoneNumber = Annotated[str, PlainValidator(phone_number), _described(_PHONE)]
ExtensionNumber = Annotated[
    str,
    PlainValidator(extension_number),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "pattern": f"^{_EXTENSION.pattern}$"},
                {"type": "integer", "minimum": 0},
            ]
        }
    ),
]
# What cannot be seen is refused in the name as well, and more than 80 bytes.
CallerIdText = Annotated[
    CallerId,
    PlainValidator(parse_caller_id),
    WithJsonSchema({"type": "string", "pattern": '^ *[^<>"\\\\]+ <[0-9+*]{1,40}> *$'}),
]


def present_date(seconds: float, zone: tzinfo) -> str:
    """Write epoch seconds as an XML Schema dateTime in whole seconds with the zone's offset.

    ``2012-06-27T16:08:55+03:00``; the second that has begun, as clocks show it. Source: Whisper
    specification, Example; XML Schema 1.1 Part 2 §3.3.7.
    """
    return datetime.fromtimestamp(whole_second(seconds), zone).isoformat()


def whole_second(seconds: float) -> int:
    """Return the second that has begun: the precision of every date a client sees."""
    return math.floor(seconds)


_DATE: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?"
    r"(Z|[+-](0[0-9]|1[0-3]):[0-5][0-9]|[+-]14:00)"
)


def parse_date(text: str) -> float:
    """Read an XML Schema dateTime as epoch seconds.

    What it shares with RFC 3339 is taken: a year of four digits, an offset or ``Z`` (a time
    without one names no instant), no hour 24. Digits beyond microseconds are dropped. Source: XML
    Schema 1.1 Part 2 §3.3.7, RFC 3339 section 5.6. Raises ValueError.
    """
    if not _DATE.fullmatch(text):
        raise ValueError("not a date with an offset")
    return datetime.fromisoformat(text).timestamp()
