"""The one rule for a caller id written as text, ``John Doe <+3334444>``."""

import re
import unicodedata
from typing import Final

from bridge.model import CallerId

_CALLER_ID: Final = re.compile(r'(?P<name>[^<>"\\]+) <(?P<number>[0-9+*]{1,40})>')
_NAME_BYTES: Final = 80
_JOINERS: Final = "\u200c\u200d"


def parse_caller_id(value: object) -> CallerId:
    """Read ``Name <number>``: spaces around the whole and around the name do not count.

    The number is 1 to 40 of digits, ``+`` and ``*``; the name 1 to 80 bytes of UTF-8, any
    characters but ``<``, ``>``, ``"``, ``\\`` and those nobody sees: controls, line and paragraph
    separators, private and unassigned code points, and formats (bidirectional overrides, zero
    width spaces). Two formats are part of how names are spelled, the joiners of Persian, the
    Indic scripts and emoji (Unicode Standard, 23.2): they pass between two letters, marks or
    symbols, where they join something, and nowhere else.

    Source: Whisper specification, Failure; UnifiedAPI, Types. Raises ValueError, without the text.
    """
    # Before anything is trimmed: str.strip() would drop a line break rather than refuse it.
    if not isinstance(value, str) or _hides_something(value):
        raise ValueError("not a caller id")
    match = _CALLER_ID.fullmatch(value.strip())
    if match is None:
        raise ValueError("not a caller id")
    name = match["name"].rstrip()
    if len(name.encode()) > _NAME_BYTES:
        raise ValueError("the name is too long")
    return CallerId(name, match["number"])


def _hides_something(text: str) -> bool:
    if text.isascii():
        return not text.isprintable()
    before, after = " " + text, text[1:] + " "
    return any(
        not (_shows(char) or (char in _JOINERS and _joinable(left) and _joinable(right)))
        for left, char, right in zip(before, text, after, strict=False)
    )


def _shows(char: str) -> bool:
    category = unicodedata.category(char)
    return category[0] != "C" and category not in ("Zl", "Zp")


def _joinable(char: str) -> bool:
    return unicodedata.category(char)[0] in "LMS"
