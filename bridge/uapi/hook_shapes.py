"""Phone call events: the shapes of paths, queries, bodies and answers, as they are described.

Source: UnifiedAPI, PhoneCallEvents service and resource.
"""

from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema
from pydantic.alias_generators import to_camel
from pydantic.config import JsonDict

from bridge.uapi.listing import LARGEST_COUNT, LARGEST_START
from bridge.uapi.paths import CallsPath
from bridge.uapi.shapes import Date, PageLinks, SelfLink, Shape
from bridge.uapi.types import Flag, WholeNumber

LONGEST_URL: Final = 2000
LONGEST_NOTE: Final = 1000

_TYPES: Final = "0 dial-in, 1 dial-out, 2 hangup, 3 incoming call answered, 4 outgoing one answered"
_EXAMPLE_ID: Final = "5f1c3e0a9b7d42680c1d"


def _one_of(last: int) -> WithJsonSchema:
    values = range(last + 1)
    return WithJsonSchema({"enum": [*values, *map(str, values)]})


class HookTypePath(CallsPath):
    """Which type of event."""

    model_config = ConfigDict(title="PhoneCallEventTypePath", alias_generator=to_camel)

    event_type: Annotated[str, WithJsonSchema({"type": "string", "enum": list("01234")})] = Field(
        description=f"The type of event: {_TYPES}.", examples=["0"]
    )


class HookPath(HookTypePath):
    """Which phone call event."""

    model_config = ConfigDict(title="PhoneCallEventPath", alias_generator=to_camel)

    event_id: Annotated[
        str, WithJsonSchema({"type": "string", "pattern": "^[A-Za-z0-9]{1,64}$"})
    ] = Field(description="The id of the phone call event.", examples=[_EXAMPLE_ID])


class HookListQuery(BaseModel):
    """Which page of a list."""

    model_config = ConfigDict(
        title="HookListQuery", alias_generator=to_camel, hide_input_in_errors=True
    )

    count: Annotated[int, WholeNumber(1, LARGEST_COUNT)] = Field(
        default=20, description=f"Phone call events per page, 1 to {LARGEST_COUNT}."
    )
    start_index: Annotated[int, WholeNumber(0, LARGEST_START)] = Field(
        default=0, description=f"Position of the page's first one, 0 to {LARGEST_START}."
    )


_EXAMPLE: Final[JsonDict] = {
    "type": "0",
    "method": "1",
    "url": "https://crm.example.com/calls",
    "status": "1",
    "note": "For the panel",
}


class HookChanges(BaseModel):
    """What is to be changed of a phone call event; the rest stays."""

    model_config = ConfigDict(
        title="PhoneCallEventChanges",
        alias_generator=to_camel,
        json_schema_extra={"examples": [{"method": "1", "status": "0"}]},
    )

    method: Annotated[int, _one_of(1)] | None = Field(
        default=None, description="How the URL is asked for: 0 GET, 1 POST."
    )
    url: Annotated[str, WithJsonSchema({"type": "string", "format": "uri"})] | None = Field(
        default=None,
        description="Where an event is told, http or https. What it was signed with stays.",
        examples=["https://crm.example.com/calls"],
    )
    status: Flag | None = Field(default=None, description="0 disabled, 1 enabled.")
    note: Annotated[str, Field(max_length=LONGEST_NOTE)] | None = Field(
        default=None, description="For whoever reads it."
    )


class NewHook(BaseModel):
    """An event to be told of, and where."""

    model_config = ConfigDict(
        title="NewPhoneCallEvent",
        alias_generator=to_camel,
        json_schema_extra={"examples": [_EXAMPLE]},
    )

    type: Annotated[int, _one_of(4)] = Field(description=f"{_TYPES}.")
    method: Annotated[int, _one_of(1)] = Field(
        default=0,
        description="How the URL is asked for: 0 GET, with the parameters in the query; 1 POST, "
        "with the parameters as a form.",
    )
    url: Annotated[str, WithJsonSchema({"type": "string", "format": "uri"})] = Field(
        description="Where the event is told, http or https.",
        examples=["https://crm.example.com/calls"],
    )
    status: Flag = Field(
        default=True, description="0 disabled, 1 enabled.", json_schema_extra={"default": 1}
    )
    note: Annotated[str, Field(max_length=LONGEST_NOTE)] | None = Field(
        default=None, description="For whoever reads it."
    )


class HookBody(Shape):
    """A phone call event: of what a client is told, and where."""

    model_config = ConfigDict(title="PhoneCallEvent")

    id: str = Field(examples=[_EXAMPLE_ID])
    type: str = Field(description=f"{_TYPES}.", json_schema_extra={"enum": list("01234")})
    method: str = Field(description="0 GET, 1 POST.", json_schema_extra={"enum": ["0", "1"]})
    url: str = Field(examples=["https://crm.example.com/calls"])
    status: str = Field(
        description="0 disabled, 1 enabled.", json_schema_extra={"enum": ["0", "1"]}
    )
    note: str | None = None
    modified: Date
    link: SelfLink


class NewHookBody(HookBody):
    """A phone call event that was made; its secret is shown this once."""

    model_config = ConfigDict(title="CreatedPhoneCallEvent")

    secret: str = Field(
        description="What requests are signed with: `whsec_`, then the key in base64.",
        examples=["whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"],
    )


class HookCollectionBody(Shape):
    """One page of phone call events."""

    model_config = ConfigDict(title="PhoneCallEvents")

    entry: list[HookBody]
    total_results: int = Field(description="Phone call events on all pages.")
    start_index: int = Field(description="Position of the first entry among them, from 0.")
    items_per_page: int = Field(description="The count asked for, or its default.")
    link: PageLinks | None = Field(default=None, description="Absent when this is the only page.")
