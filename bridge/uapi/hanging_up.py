"""The query of a DELETE: whom to hang up.

Source: UnifiedAPI, hang up.
"""

from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from bridge.errors import PhoneNumberInvalid
from bridge.uapi.types import PhoneNumber, phone_number


class HangUpQuery(BaseModel):
    """Whom to hang up."""

    model_config = ConfigDict(title="HangUpQuery", alias_generator=to_camel)

    phone_number: PhoneNumber | None = Field(
        default=None,
        description="The party to hang up: an extension, extended or short, a number outside, or "
        "the extension that whispers, listens or has barged in. Default: all of them.",
        examples=["0003*024", "7778888"],
    )


def parse_hang_up(query: Mapping[str, str]) -> str | None:
    """Read the query of a DELETE: the number to hang up, None for all.

    A plus sign that was not escaped has become a space on the way (HTML, URL-encoded form data),
    and is one again. Raises PhoneNumberInvalid, for a parameter given twice as well.
    """
    found = [value for name, value in query.items() if name == "phoneNumber"]
    if not found:
        return None
    try:
        (written,) = found
        return phone_number(f"+{written[1:]}" if written.startswith(" ") else written)
    except ValueError as cause:
        raise PhoneNumberInvalid from cause
