"""The header ``Prefer`` (RFC 7240): how long a client would wait for the outcome.

Nothing in it is an error: what is not understood, or not meant for this service, is passed over.
"""

import re
from collections.abc import Iterable
from typing import Final

from pydantic import BaseModel, ConfigDict, Field

LONGEST_PREFERRED: Final = 50
"""Seconds that are waited at most: proxies give up after 60 unless they are told otherwise."""

_ELEMENT: Final = re.compile(r'(?:[^,"]|"(?:[^"\\]|\\.)*+"?+)++')
"""What stands between commas, those in quotes apart (RFC 9110, section 5.6.1)."""

_PREFERENCE: Final = re.compile(
    r"""[ \t]*+([!#$%&'*+.^_`|~0-9A-Za-z-]++)[ \t]*+"""
    r"""(?:=[ \t]*+([^;"\s]*+|"[^"]*+")[ \t]*+)?(?:;.*)?"""
)
"""Name and value; parameters do not matter (RFC 7240, section 2)."""

_SECONDS: Final = re.compile('"?0*([0-9]+)"?')


class Preferences(BaseModel):
    """What a client would like, and can do without."""

    model_config = ConfigDict(frozen=True)

    prefer: str | None = Field(
        default=None,
        alias="Prefer",
        description="`wait=N` (RFC 7240): answer once the supervisor takes part, or as soon as it "
        f"is known that he will not, but after N seconds at the latest; {LONGEST_PREFERRED} of "
        "them at most. Anything else is passed over.",
        examples=["wait=26"],
    )


def parse_wait(fields: Iterable[str]) -> int | None:
    """Read how many seconds a client would wait, from the values of its ``Prefer`` headers.

    At most ``LONGEST_PREFERRED``; None when it would not. Of several the first counts, even where
    it is not understood. Source: RFC 7240, sections 2 and 4.3 (delta-seconds).
    """
    waits = (value for name, value in _preferences(fields) if name == "wait")
    seconds = _SECONDS.fullmatch(next(waits, ""))
    if seconds is None:
        return None
    # Of a number of any length the first digits tell that it is too large.
    return min(int(seconds[1][:9]), LONGEST_PREFERRED) or None


def _preferences(fields: Iterable[str]) -> Iterable[tuple[str, str]]:
    for element in _ELEMENT.findall(",".join(fields)):
        found = _PREFERENCE.fullmatch(element)
        if found:
            yield found[1].lower(), found[2] or ""
