"""A stream of calls as Server-Sent Events.

Source: WHATWG HTML, Server-sent events, "Parsing an event stream".
"""

import json
from collections.abc import Mapping
from typing import Final

RECONNECT: Final = 2000
"""Milliseconds after which a client that lost the stream tries again."""

HEARTBEAT: Final = b": still here\n\n"
"""A comment: clients pass over it, and know that the stream lives."""


def present_beginning() -> bytes:
    """Return what a stream begins with."""
    return b"retry: %d\n\n" % RECONNECT


def present_change(
    call_id: str, call: Mapping[str, object] | None, mark: str | None = None
) -> bytes:
    """Return a call as it is now, or with None that it is not to be seen any more.

    ``mark`` is what the client may send as Last-Event-ID to go on from here.
    """
    if call is None:
        return _event("phoneCallEnded", {"id": call_id}, mark)
    return _event("phoneCall", call, mark)


def present_ready(total: int, mark: str) -> bytes:
    """Return that every call there is has been told: so many."""
    return _event("ready", {"totalResults": total}, mark)


def present_unavailable() -> bytes:
    """Return that the PBX cannot be reached, so that what was told may not be so any more."""
    return _event("unavailable", {}, None)


def _event(name: str, data: Mapping[str, object], mark: str | None) -> bytes:
    # JSON in one line: a line break in data would begin another line of the stream.
    lines = [f"event: {name}", f"data: {json.dumps(data)}"]
    if mark is not None:
        lines.append(f"id: {mark}")
    return ("\n".join(lines) + "\n\n").encode()
