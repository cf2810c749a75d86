"""The bodies of the answers, by the contract's JSON names.

Source: Whisper specification, Example; UnifiedAPI, PhoneCall, PhoneCallView, List parameters and
Errors. A field that is null is left out of every one of them.
"""

from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel
from pydantic.main import IncEx

from bridge.model import Flow, Status

_CALL_ID: Final = "b817d2618fe6f1804333"

# An XML Schema dateTime with an offset is a date-time of RFC 3339.
Date = Annotated[
    str,
    Field(examples=["2012-06-27T16:08:55+03:00"], json_schema_extra={"format": "date-time"}),
]


def _nothing_required(schema: dict[str, Any]) -> None:
    """Of a PhoneCall a client may ask for any fields."""
    del schema["required"]


class Shape(BaseModel):
    """A JSON object of the contract."""

    model_config = ConfigDict(alias_generator=to_camel, validate_by_name=True, frozen=True)

    def body(self, *, exclude: IncEx | None = None) -> dict[str, object]:
        """Return the object as JSON types, without what does not apply and what ``exclude`` names.

        ``exclude`` is by attribute, as pydantic takes it.
        """
        return self.model_dump(by_alias=True, exclude_none=True, exclude=exclude)


class PhoneCallViewBody(Shape):
    """The call as one extension sees it; the dates are present while they apply."""

    model_config = ConfigDict(title="PhoneCallView")

    id: str = Field(
        description="Two digits, unique in the call.",
        examples=["01"],
        json_schema_extra={"pattern": "^[0-9]{2,}$"},
    )
    extension: str = Field(
        description="The extension whose view this is; for a whisper the one whispered to.",
        examples=["0003*210"],
    )
    answered: Date | None = None
    status: str = Field(
        description="0 unknown, 1 off hook, 2 trying, 3 ringing, 4 the other side is ringing, "
        "5 on call.",
        examples=["5"],
        json_schema_extra={"enum": [str(status.value) for status in Status]},
    )
    caller_id: str | None = Field(default=None, examples=["John Doe <3334444>"])
    source: list[str] = Field(
        description="Extensions or public numbers; for a whisper the extension that whispers.",
        examples=[["7778888"]],
    )
    destination: list[str] = Field(
        description="Extensions or public numbers; for a whisper the extension whispered to.",
        examples=[["0003*210"]],
    )
    flow: int | None = Field(
        default=None,
        description="2 local, 4 outgoing public, 8 incoming public.",
        examples=[8],
        json_schema_extra={"enum": [flow.value for flow in Flow]},
    )
    ringing: Date | None = None
    on_hold: Date | None = None
    parked: Date | None = None
    recording: Date | None = None
    holder: int | None = Field(
        default=None, description="1 on the view that put the call on hold.", examples=[1]
    )


class SelfLink(Shape):
    """Where the call is listed."""

    model_config = ConfigDict(title="Link")

    self_: str = Field(
        alias="self",
        examples=["https://pbx.example.com/uapi/phoneCalls/12/0003*210/b817d2618fe6f1804333"],
    )


class PhoneCallBody(Shape):
    """A call with its views; with ``fields`` in the request only those it names."""

    model_config = ConfigDict(title="PhoneCall", json_schema_extra=_nothing_required)

    id: str = Field(examples=[_CALL_ID])
    extension: str = Field(description="The extension charged for the call.", examples=["0003*210"])
    owner_id: str | None = Field(default=None, examples=["3"])
    owner_name: str | None = Field(
        default=None, description="The organization.", examples=["Default Organization"]
    )
    answered: Date | None = None
    published: Date | None = Field(default=None, description="When the call entered the system.")
    phone_call_view: list[PhoneCallViewBody] | None = Field(default=None)
    link: SelfLink


PHONE_CALL_FIELDS: Final = {
    str(field.alias): name for name, field in PhoneCallBody.model_fields.items()
}
"""JSON name to attribute of the fields a client may choose from."""


_WARNING: Final = Field(
    default=None, description="Why the whisper might not be heard, where that is known."
)


class AttachedBody(PhoneCallBody):
    """A call in which the supervisor takes part as he was asked to."""

    model_config = ConfigDict(title="AttachedPhoneCall")

    warning: str | None = _WARNING


class AcceptedBody(Shape):
    """A whisper that is under way: its call, and where to follow it."""

    model_config = ConfigDict(title="AcceptedPhoneCall")

    id: str = Field(examples=[_CALL_ID])
    extension: str = Field(description="The extension charged for the call.", examples=["0003*210"])
    link: SelfLink
    warning: str | None = _WARNING


class PageLinks(Shape):
    """The pages before and after this one, where there are any."""

    model_config = ConfigDict(title="PageLinks")

    next: str | None = None
    prev: str | None = None


class CollectionBody(Shape):
    """One page of phone calls."""

    model_config = ConfigDict(title="Collection")

    entry: list[PhoneCallBody]
    total_results: int = Field(description="Calls on all pages.")
    start_index: int = Field(description="Position of the first entry among them, from 0.")
    items_per_page: int = Field(description="The count asked for, or its default.")
    link: PageLinks | None = Field(default=None, description="Absent when this is the only page.")


class ErrorDetail(Shape):
    """What went wrong."""

    model_config = ConfigDict(title="ErrorDetail")

    code: str = Field(examples=["pc_timeout_invalid"])
    message: str


class ErrorBody(Shape):
    """The body of every answer from 400 on."""

    model_config = ConfigDict(title="Error")

    error: ErrorDetail
