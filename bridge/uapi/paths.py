"""The parameters in the paths of phone calls (UnifiedAPI, Types).

They describe only: the directory resolves users and extensions, the live picture calls.
"""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from bridge.uapi.types import CallIdText

UserId = Annotated[
    str,
    Field(
        description="The user who owns the extension: an id, `@me` or `@viewer` (the user the "
        "token belongs to), `@owner` (whoever owns the extension).",
        examples=["12", "@me", "@owner"],
        json_schema_extra={
            "pattern": "^([A-Za-z0-9][A-Za-z0-9._-]*|@me|@viewer|@owner)$",
        },
    ),
]
PathExtension = Annotated[
    str,
    Field(
        description="The extension: extended (`0003*210`), short inside the organization of the "
        "token's user (`210`), or `@self` (all extensions of the user).",
        examples=["0003*210", "210", "@self"],
        json_schema_extra={"pattern": r"^(([0-9]+\*)?[0-9]+|@self)$"},
    ),
]


class CallsPath(BaseModel):
    """Whose calls."""

    model_config = ConfigDict(title="CallsPath", alias_generator=to_camel)

    user_id: UserId
    extension: PathExtension


class CallPath(CallsPath):
    """Which call."""

    model_config = ConfigDict(title="CallPath", alias_generator=to_camel)

    phone_call_id: CallIdText = Field(
        description="The id of the call.", examples=["b817d2618fe6f1804333"]
    )
