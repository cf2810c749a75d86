"""What somebody gave as a setting, and how an operator is told that it is wrong."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from bridge.settings.fields import Settings

PREFIX: Final = "BRIDGE_"

NAMES: Mapping[str, str] = {f"{PREFIX}{field.upper()}": field for field in Settings.model_fields}
"""Environment variable to field."""


class SettingsError(Exception):
    """The service cannot start with these settings: ``problems``, one readable line each."""

    def __init__(self, problems: Sequence[str]) -> None:
        """Take the problems, none of which may hold the value of a setting."""
        self.problems = tuple(problems)
        super().__init__("\n".join(problems))


@dataclass(frozen=True, slots=True)
class Given:
    """A value somebody gave, and where."""

    value: Any
    origin: str


def name_of(field: str) -> str:
    """The environment variable of a field."""
    return f"{PREFIX}{field.upper()}"
