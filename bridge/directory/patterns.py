"""Patterns of numbers, as Asterisk's dialplan writes them.

``X`` is any digit, ``Z`` 1 to 9, ``N`` 2 to 9, ``[1-37]`` one of 1, 2, 3 and 7, and ``.`` at the
end one digit or more (Asterisk documentation, Pattern Matching). A digit stands for itself.
"""

import re

_PIECE = re.compile(r"[0-9XZN]|\[(?:[0-9]-[0-9]|[0-9])+\]")
_CLASSES = {"X": "[0-9]", "Z": "[1-9]", "N": "[2-9]"}

FORM = "digits, X, Z, N and [1-5], with a . at the end for any more"


def digits(pattern: str) -> str:
    """The regular expression of a pattern of a short number.

    Raises ValueError when it is none.
    """
    body = pattern.removesuffix(".")
    pieces = _PIECE.findall(body)
    if "".join(pieces) != body or not pattern:
        raise ValueError(f"must be made of {FORM}")
    more = "[0-9]+" if body != pattern else ""
    expression = "".join(_CLASSES.get(piece, piece) for piece in pieces) + more
    _compiled(expression)
    return expression


def _compiled(expression: str) -> None:
    """Refuse a range that runs backwards."""
    try:
        re.compile(expression)
    except re.error:
        raise ValueError("must have ranges that run upwards, like [1-5]") from None
