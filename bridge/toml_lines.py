"""Where in a TOML document something is wrong, and what was probably meant.

tomllib gives values without their lines, and an operator looks for a mistake by its line.
"""

import re
import tomllib
from bisect import bisect_left
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any

TomlPath = tuple[str | int, ...]
"""Keys and indexes from the top of a document to a value."""


def line_of(text: str, path: TomlPath) -> int | None:
    """Return the line (from 1) on which the value at ``path`` begins in the TOML ``text``.

    A path that is not there gives the line of the closest table around it, an empty one None.
    The value begins right after the longest run of whole statements that does not hold it, so
    the parser itself finds it, however the document is written.
    """
    if not path:
        return None
    lines = text.replace("\r\n", "\n").split("\n")
    line = bisect_left(range(len(lines)), True, key=lambda n: _holds(_head(lines, n), path))
    return line if _holds(_head(lines, line), path) else line_of(text, path[:-1])


def syntax_error(text: str, error: ValueError) -> tuple[int | None, str]:
    """Return line and reason of an ``error`` of tomllib, which has both in its message only."""
    reason, _, place = str(error).partition(" (at ")
    if place.startswith("end of document"):
        return text.count("\n") + 1, f"{reason} at the end of the document"
    found = re.match(r"line (\d+)", place)
    return (int(found[1]) if found else None), reason


def did_you_mean(word: Any, known: Iterable[str]) -> str:
    """Return ``; did you mean 'number'?`` if ``word`` is close to a known one, else nothing."""
    close = get_close_matches(str(word), map(str, known), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def _head(lines: list[str], count: int) -> dict[str, Any]:
    """Parse the first ``count`` lines, and as many more as complete the last statement.

    An array of several lines is complete at each line that a bracket could close.
    """
    for end in range(count, len(lines) + 1):
        for closing in ("", "\n]"):
            try:
                return tomllib.loads("\n".join(lines[:end]) + closing)
            except ValueError:
                continue
    return {}


def _holds(value: Any, path: TomlPath) -> bool:
    for step in path:
        try:
            value = value[step]
        except (KeyError, IndexError, TypeError):
            return False
    return True
