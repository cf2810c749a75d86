"""What the values of the document may be: each reader returns its value or says what it must be."""

import re
from collections.abc import Callable, Iterable
from typing import Any

from bridge.callerid import parse_caller_id
from bridge.directory.patterns import FORM, digits
from bridge.toml_lines import did_you_mean

EXTENDED = re.compile(r"[0-9]+\*[0-9]+")
IDENTIFIER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
ENDPOINT = re.compile(r"[A-Za-z][A-Za-z0-9_]*/[A-Za-z0-9_.*@+#:-]+")
SOUND = re.compile(r"/?[A-Za-z0-9][A-Za-z0-9_.-]*(?:/[A-Za-z0-9_.-]+)*")
PLACE = "{number}"
"""Where the short number stands in what is said of the extensions of a pattern."""

LONGEST = 20
"""Digits of a short number that is found by a pattern; E.164 has room for 15."""

Reader = Callable[[Any], Any]


def identifier(value: Any) -> str:
    """An id: text, or a number taken as its digits."""
    text = str(value) if type(value) is int and 0 <= value < 2**63 else value
    if isinstance(text, str) and IDENTIFIER.fullmatch(text):
        return text
    raise ValueError("must be a number, or letters, digits and . _ -")


def text(value: Any) -> str:
    """Text that can be shown."""
    if isinstance(value, str) and value.strip() and value.isprintable():
        return value
    raise ValueError("must be a string of printable characters")


def sound(value: Any) -> str:
    """Read the name of a sound, as Playback takes it: no list of them, and no way out."""
    if isinstance(value, str) and SOUND.fullmatch(value) and ".." not in value:
        return value
    raise ValueError("must be the name of a sound of Asterisk's, like beep or custom/notice")


def caller_id(value: Any) -> str:
    """``Name <number>``."""
    try:
        return str(parse_caller_id(value))
    except ValueError:
        raise ValueError("must have the form Name <number>, without control characters") from None


def matching(pattern: re.Pattern[str], reason: str) -> Reader:
    """Text of a form, or ``reason``."""

    def read(value: Any) -> str:
        if isinstance(value, str) and pattern.fullmatch(value):
            return value
        raise ValueError(reason)

    return read


def one_of(words: Iterable[str]) -> Reader:
    """One of these words."""
    known = list(words)

    def read(value: Any) -> str:
        if isinstance(value, str) and value in known:
            return value
        raise ValueError(f"must be one of {', '.join(known)}{did_you_mean(value, known)}")

    return read


def flag(value: Any) -> bool:
    """True or false."""
    if isinstance(value, bool):
        return value
    raise ValueError("must be true or false")


def list_of(read: Reader) -> Reader:
    """A list of values, each as ``read`` takes it."""

    def read_all(value: Any) -> tuple[Any, ...]:
        if not isinstance(value, list):
            raise ValueError("must be a list, in [ ]")
        return tuple(map(read, value))

    return read_all


def member(value: Any) -> str:
    """Read who is meant in a rule of supervision: a user, or extended numbers by a pattern."""
    user = isinstance(value, str) and re.fullmatch(f"user:{IDENTIFIER.pattern}", value)
    number = isinstance(value, str) and re.fullmatch(r"[0-9]+\*(.+)", value)
    if number:
        digits(number[1])
    if user or number:
        return str(value)
    raise ValueError(f"must be extended numbers, of {FORM}, or users, like user:12")


def number_pattern(value: Any) -> str:
    """A pattern of a short number."""
    if not isinstance(value, str):
        raise ValueError(f"must be made of {FORM}, in quotes")
    digits(value)
    return value


def with_number(read: Reader) -> Reader:
    """Read what is said of any number, which has {number} in it."""

    def read_any(value: Any) -> str:
        if not isinstance(value, str) or PLACE not in value:
            raise ValueError(f"must have {PLACE} in it, where the short number stands")
        read(value.replace(PLACE, LONGEST * "1"))
        return value

    return read_any


endpoint = matching(ENDPOINT, "must be a technology and a name, like PJSIP/0003*210")

# RFC 6749, appendix A.1: visible ASCII characters and the space.
client_id = matching(re.compile(r"[ -~]+"), "must be a string of ASCII characters")
