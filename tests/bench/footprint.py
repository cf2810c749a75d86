"""What the picture of calls costs in memory: full, and after a long time."""

import gc
import sys
import tracemalloc
from dataclasses import dataclass

from bridge import events
from bridge.calls import Picture
from bridge.directory import Directory
from bridge.lab.asterisk import conf_dir
from tests.bench.stream import numbered, one_call

CHANNELS = 10_000
CYCLES = 100_000


@dataclass(frozen=True)
class Footprint:
    """Bytes a live channel costs, and blocks of memory more than before the soak after it."""

    per_channel: float
    left_over: int


def measure(channels: int = CHANNELS, cycles: int = CYCLES) -> Footprint:
    """Fill a picture with calls that go on; then let calls begin and end in another."""
    tracemalloc.start()
    try:
        full = _full(channels)
    finally:
        tracemalloc.stop()
    return Footprint(full / channels, _soak(cycles))


def _picture() -> Picture:
    directory = Directory.parse((conf_dir() / "lab" / "directory.toml").read_text())
    return Picture("bench", directory.by_endpoint, directory.extension)


def _used() -> int:
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


def _full(channels: int) -> int:
    picture, before = _picture(), _used()
    template = [event for event in one_call() if not event.startswith(b"Event: Hangup\r\n")]
    answered = template[: next(i for i, event in enumerate(template) if b"BridgeLeave" in event)]
    for call in range(channels // 2):
        _feed(picture, answered, call)
        picture.take_touched()
    cost = _used() - before
    if len(picture.channels) != channels:
        raise RuntimeError(f"{len(picture.channels)} channels in the place of {channels}")
    return cost


def _soak(cycles: int) -> int:
    picture, template = _picture(), one_call()
    for call in range(cycles // 50):
        _feed(picture, template, call)
    gc.collect()
    before = sys.getallocatedblocks()
    for call in range(cycles // 50, cycles):
        _feed(picture, template, call)
    if picture.channels or picture.bridges or picture.calls() or picture.touched:
        raise RuntimeError("something is left of calls that ended")
    gc.collect()
    return sys.getallocatedblocks() - before


def _feed(picture: Picture, template: list[bytes], call: int) -> None:
    for event in template:
        if event[7:12] in events.BEGINNINGS:
            known = events.parse(numbered(event, call))
            if known is not None:
                picture.feed(known, float(call))
