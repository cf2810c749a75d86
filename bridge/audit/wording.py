"""A line of the audit in words: for the log, without numbers, and as a row of a table."""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from bridge.audit.sight import Line

_DISCREET: Final = (
    *("event", "leg", "call", "action", "app", "user", "address", "request"),
    *("outcome", "reason", "before", "mode", "after", "seconds", "since", "not_before", "lines"),
    *("sound", "hook", "type", "keys", "doubt"),
)
"""What a log may hold: no number, and no text that a client wrote as it liked."""

_NUMBERS: Final = ("supervisor", "extension")
_CALL_ID: Final = re.compile("[0-9a-f]{20}")

_COLUMNS: Final = ("TIME", "EVENT", "WHO", "WHOM", "CALL", "WHAT")
_SPAN_COLUMNS: Final = ("FROM", "TO", "SECONDS", "MODE", "WHOM", "CALL", "WHO", "IN DOUBT")


def for_log(line: Line, *, numbers: bool) -> Line:
    """What the log tells of a line; ``numbers`` lets those of extensions in."""
    names = (*_DISCREET, *_NUMBERS) if numbers else _DISCREET
    told = {name: line[name] for name in names if line.get(name) not in (None, "")}
    # What a client wrote in the place of a call's id may be anything.
    if not _CALL_ID.fullmatch(str(told.get("call", ""))):
        told.pop("call", None)
    return told


def sentence(line: Line) -> str:
    """A line of the log: the event, then what is known of it."""
    rest = " ".join(f"{name}={value}" for name, value in line.items() if name != "event")
    return f"{line['event']} {rest}".rstrip()


def table(lines: Iterable[Line]) -> Iterator[str]:
    """Rows under a head, as wide as what they hold."""
    yield from _aligned([_COLUMNS, *map(_row, lines)])


def span_table(lines: Iterable[Line]) -> Iterator[str]:
    """Rows of spans under a head, as wide as what they hold."""
    yield from _aligned([_SPAN_COLUMNS, *map(_span_row, lines)])


def _aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        yield "  ".join(cells).rstrip()


def _row(line: Line) -> tuple[str, ...]:
    get = _texts(line).get
    return (
        get("time", "").replace("T", " "),
        get("event", ""),
        _who(line),
        _whom(line),
        get("call", ""),
        " ".join(_details(line)),
    )


def _span_row(line: Line) -> tuple[str, ...]:
    get = _texts(line).get
    return (
        get("from", "").replace("T", " "),
        "" if line.get("to") is None else get("to", "").replace("T", " "),
        get("seconds", ""),
        get("mode", ""),
        _whom(line),
        get("call", ""),
        "a key of the phone" if line.get("key") else _who(line),
        get("doubt", ""),
    )


def _who(line: Line) -> str:
    return "/".join(_printable(line[name]) for name in ("app", "user", "address") if line.get(name))


def _whom(line: Line) -> str:
    return " > ".join(_printable(line[name]) for name in _NUMBERS if line.get(name))


def _texts(line: Line) -> dict[str, str]:
    return {name: _printable(value) for name, value in line.items()}


def _details(line: Line) -> Iterator[str]:
    """What is particular about a line."""
    if line.get("before"):
        yield f"{_printable(line['before'])} to"
    for name in ("mode" if "mode" in line else "action", "outcome", "reason"):
        if line.get(name):
            yield _printable(line[name])
    for name in (
        "hook",
        "type",
        "sound",
        "number",
        "after",
        "seconds",
        "not_before",
        "lines",
        "attached_to",
        "successor",
    ):
        if name in line:
            unit = " s" if name in ("after", "seconds") else ""
            yield f"{name.replace('_', ' ')} {_printable(line[name])}{unit}"


def _printable(value: object) -> str:
    """A value as text that is safe on a terminal."""
    return "".join(char if char.isprintable() else "?" for char in str(value))
