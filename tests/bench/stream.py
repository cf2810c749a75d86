"""The recorded call, multiplied: a stream of as many events as one likes, all of distinct calls."""

import re
from collections.abc import Iterator

from tests.bench.record import RECORDING

END = b"\r\n\r\n"
AT_ONCE = 50
"""Calls that are under way at the same time."""

_UNIQUEID = re.compile(rb"\b\d{10}\.\d+\b(?!\+)")
_CHANNEL = re.compile(rb"(PJSIP/[^\s,;]+?)-([0-9a-f]{8})\b")
_BRIDGE = re.compile(rb"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b")
_TIMESTAMP = re.compile(rb"Timestamp: [\d.]+\n")


def one_call() -> list[bytes]:
    """The events of the recorded call, in order, as templates for ``numbered``."""
    text = _TIMESTAMP.sub(b"", RECORDING.read_bytes())
    return [event.replace(b"\n", b"\r\n") for event in text.strip().split(b"\n\n")]


def numbered(event: bytes, call: int) -> bytes:
    """One event of the recorded call as an event of call number ``call``."""
    event = _UNIQUEID.sub(lambda found: b"%s%06d" % (found[0], call), event)
    event = _CHANNEL.sub(lambda found: b"%s-%s%06x" % (found[1], found[2][6:], call), event)
    return _BRIDGE.sub(lambda found: b"%s-%012x" % (found[0][:23], call), event)


def stream(events: int) -> Iterator[bytes]:
    """At least that many events, whole calls, ``AT_ONCE`` of them interleaved."""
    template = one_call()
    sent = first = 0
    while sent < events:
        block = [
            numbered(event, first + call) + END for event in template for call in range(AT_ONCE)
        ]
        yield b"".join(block)
        sent += len(block)
        first += AT_ONCE
