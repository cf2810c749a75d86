"""What phones heard, by the clock on the wall: recordings cut into windows of 20 ms."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from bridge.lab import tones
from bridge.lab.errors import LabError
from bridge.lab.phone import Phone

WINDOW = 0.02
"""Seconds; the sound of one packet."""

_LOOKING = 0.01
_NEAR = 1.0
"""Seconds around a sound in which what was noted of its recording tells when it was heard."""


class Window(NamedTuple):
    """How loud a tone was, in dBFS, from one epoch second to another."""

    begin: float
    end: float
    level: float


class Hearing:
    """What some phones hear, each in the last call it is in."""

    def __init__(self, phones: Mapping[str, Phone]) -> None:
        self._phones = phones
        self._grown: dict[str, list[tuple[float, float]]] = {name: [] for name in phones}
        self._files: dict[str, Path] = {}

    def look(self) -> None:
        """Note how long the recordings are now."""
        for name, phone in self._phones.items():
            with suppress(LabError):
                file, noted = phone.recording, self._grown[name]
                if self._files.get(name) != file:
                    self._files[name] = file
                    noted.clear()
                length = tones.length(file)
                if not noted or length > noted[-1][1]:
                    noted.append((time.time(), length))

    def windows(self, listener: str, speaker: str) -> Iterator[Window]:
        """How loud one phone's tone was at another, window by window."""
        noted, hz = self._grown[listener], self._phones[speaker].tone_hz
        # The first look finds what was heard long before.
        first, last = noted[0][1], noted[-1][1]
        for number in range(round(first / WINDOW) + 1, int(last / WINDOW)):
            end = number * WINDOW
            heard = _when(noted, end)
            level = tones.level(self._files[listener], hz, WINDOW, end)
            yield Window(heard - WINDOW, heard, level)


def _when(noted: list[tuple[float, float]], place: float) -> float:
    """When a place of a recording was heard: as it grew nearby, but for looks that came late."""
    near = [at - length for at, length in noted if abs(length - place) < _NEAR]
    return min(near) + place


@asynccontextmanager
async def hearing(phones: Mapping[str, Phone]) -> AsyncIterator[Hearing]:
    """Listen to these phones while the context lasts, each in the call it is in then."""
    heard = Hearing(phones)

    async def look() -> None:
        while True:
            heard.look()
            await asyncio.sleep(_LOOKING)

    task = asyncio.create_task(look())
    try:
        yield heard
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
