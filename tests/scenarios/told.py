"""Calls of the API in a few words, with roles for numbers."""

import re
from collections.abc import Mapping
from typing import Any

from .pbx import CASTS, number

STATUSES = {
    "0": "unknown",
    "1": "off hook",
    "2": "trying",
    "3": "ringing",
    "4": "ringing there",
    "5": "on call",
}
FLOWS = {2: "local", 4: "outgoing", 8: "incoming"}
_ROLES = ("colleague", "agent", "supervisor", "deputy", "busy", "customer", "stranger")
_SERVICE = re.compile(rf"[{''.join(map(str, CASTS))}]\d\d")
_PARKED = re.compile(r"70[1-9]")
_DATES = ("ringing", "onHold", "parked", "recording")


def lines(call: Mapping[str, Any], cast: int) -> list[str]:
    """A call's views, a line each."""
    return [_line(view, cast) for view in call["phoneCallView"]]


def _line(view: Mapping[str, Any], cast: int) -> str:
    people = (_people(view[side], cast) for side in ("source", "destination"))
    words = [
        f"{view['id']} {_roles(view['extension'], cast)} {STATUSES[view['status']]}",
        FLOWS[view["flow"]],
        " > ".join(people),
        _roles(view["callerId"], cast),
        *(name for name in _DATES if name in view),
    ]
    return ", ".join([*words, "holder"] if view.get("holder") == 1 else words)


def _people(numbers: list[str], cast: int) -> str:
    return "+".join(sorted(_roles(each, cast) for each in numbers)) or "nobody"


def _roles(text: str, cast: int) -> str:
    for role in _ROLES:
        text = text.replace(number(role, cast), role)
    if _PARKED.fullmatch(text):
        return "a parking slot"
    return f"service {text[1:]}" if _SERVICE.fullmatch(text) else text
