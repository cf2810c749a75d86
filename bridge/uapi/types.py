"""The contract's types: numbers, extension numbers, caller ids, call ids and dates.

Source: Whisper specification, Request Payload and Failure; UnifiedAPI, Types.
"""

import math
import re
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Annotated, Final

from pydantic import (
    BeforeValidator,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    PlainValidator,
    StringConstraints,
    WithJsonSchema,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from bridge.callerid import parse_caller_id
from bridge.model import CallerId

_DIGITS: Final = re.compile("[0-9]+")


@dataclass(frozen=True, slots=True)
class WholeNumber:
    """Annotation of an ``int``: a JSON integer or a string of ASCII digits, within the bounds.

    Leading zeros are digits like any other. ``true``, ``1.5``, ``20.0``, ``1e3``, ``" 20"``,
    ``"+5"`` and the digits of other scripts are no numbers (UnifiedAPI, Types).
    """

    minimum: int
    maximum: int

    def __get_pydantic_core_schema__(
        self, source: type[object], handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        """Digits become an integer, anything but an integer fails."""
        bounded = core_schema.int_schema(strict=True, ge=self.minimum, le=self.maximum)
        return core_schema.no_info_before_validator_function(_digits_as_integer, bounded)

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """Both forms a client may send."""
        integer = {"type": "integer", "minimum": self.minimum, "maximum": self.maximum}
        return {"anyOf": [integer, {"type": "string", "pattern": f"^{_DIGITS.pattern}$"}]}


def _digits_as_integer(value: object) -> object:
    if isinstance(value, str) and _DIGITS.fullmatch(value):
        return int(value)
    return value


_FLAGS: Final = (0, 1, "0", "1")


def _flag(value: object) -> bool:
    # By type first: true == 1 and 1.0 == 1 in Python, but neither is a number of the contract.
    if type(value) in (int, str) and value in _FLAGS:
        return value in (1, "1")
    raise ValueError("not a flag")


def _integer_as_digits(value: object) -> object:
    return str(value) if type(value) is int else value


Flag = Annotated[bool, PlainValidator(_flag), WithJsonSchema({"enum": list(_FLAGS)})]
ViewId = Annotated[str, StringConstraints(strict=True, pattern=f"^{_DIGITS.pattern}$")]
CallIdText = Annotated[str, StringConstraints(strict=True, pattern="^[A-Za-z0-9]{1,64}$")]
ExtensionNumber = Annotated[
    str,
    StringConstraints(strict=True, pattern=r"^([0-9]+\*)?[0-9]+$"),
    BeforeValidator(_integer_as_digits),
]
CallerIdText = Annotated[
    CallerId, PlainValidator(parse_caller_id), WithJsonSchema({"type": "string"})
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
