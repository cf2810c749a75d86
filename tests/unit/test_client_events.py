"""Server-Sent Events as the HTML standard has them, however the stream is cut."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.client.events import LONGEST, Event, Parser

STREAM = (
    "\ufeffretry: 2000\n\n: still here\n\n"
    "event: phoneCall\ndata: {\ndata:  1}\nid: a-1\n\n"
    "data\n\nevent: nothing\n\nid: bad\0\ndata: ü\n\n"
    "unknown: 1\ndata:x\nretry: -1\n\ndata: unfinished"
).encode()
EVENTS = [
    Event("phoneCall", "{\n 1}", "a-1"),
    Event("message", ""),
    Event("message", "ü"),
    Event("message", "x"),
]


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
@given(cuts=st.lists(st.integers(0, len(STREAM) * 2), max_size=20))
def test_events_are_the_same_however_the_stream_is_cut(end: bytes, cuts: list[int]) -> None:
    stream = STREAM.replace(b"\n", end)
    places = [0, *sorted(cuts), len(stream)]
    parser = Parser()
    pieces = (stream[a:b] for a, b in pairwise(places))
    assert [event for piece in pieces for event in parser.feed(piece)] == EVENTS
    assert parser.retry == 2000


@pytest.mark.parametrize("piece", [b"x" * 100_000, b"data: " + b"x" * 100_000 + b"\n"])
def test_what_never_ends_is_given_up(piece: bytes) -> None:
    parser = Parser()
    for _ in range(LONGEST // 100_000 - 1):
        assert parser.feed(piece) == []
    with pytest.raises(ValueError, match="too large"):
        parser.feed(piece * 2)
