"""What phones heard around a change, cut into windows of 20 ms."""

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bridge.lab import tones
from bridge.lab.phone import Phone

WINDOW = 0.02
"""Seconds; the sound of one packet."""

Hears = Mapping[str, Collection[str]]
"""Who hears whom: listener to speakers."""

BEFORE, AFTER = 0.3, 0.7
"""Seconds that are looked at before a change begins and after it is done."""

FAINT = tones.SILENT_DB + 6
"""What is louder than this, in dBFS, is not silence: in 20 ms a tone cannot be told better."""


@dataclass(frozen=True)
class Track:
    """How loud one tone was at one phone, window by window; at ``end`` the change was done."""

    levels: list[float]
    end: int

    @property
    def gap(self) -> float:
        """The longest time it was not heard, in seconds."""
        longest = run = 0
        for level in self.levels:
            run = 0 if level > tones.HEARD_DB else run + 1
            longest = max(longest, run)
        return longest * WINDOW

    @property
    def heard(self) -> float:
        """How long it was heard, however faintly, in seconds."""
        return WINDOW * sum(level > FAINT for level in self.levels)

    @property
    def lingered(self) -> float:
        """For how long it went on to be heard once the change was done, in seconds."""
        after = [index for index, level in enumerate(self.levels) if level > FAINT]
        return max(0, after[-1] + 1 - self.end) * WINDOW if after else 0.0

    @property
    def delayed(self) -> float:
        """How long it took to be heard once the change was done, in seconds."""
        heard = (index for index, level in enumerate(self.levels) if level > tones.HEARD_DB)
        return max(0, next(heard, len(self.levels)) - self.end) * WINDOW


@dataclass
class Through:
    """A change; once it is over, ``tracks`` has what was heard, by listener and speaker."""

    tracks: dict[tuple[str, str], Track] = field(default_factory=dict)

    def between(self, before: Hears, after: Hears) -> list[str]:
        """What was wrong with a change from one to another "who hears whom"; nothing, if right."""
        found = {
            (listener, speaker): _wrong(
                track, before=speaker in before[listener], after=speaker in after[listener]
            )
            for (listener, speaker), track in self.tracks.items()
        }
        return [f"{' of '.join(pair)}: {wrong}" for pair, wrong in found.items() if wrong]


INTERRUPTION = 0.2
"""Seconds for which a sound that goes on may be gone."""

PIPELINE = 0.1
"""Seconds that sound takes through the PBX and the phones of the lab, with all their buffers."""


def _track(recording: Path, hz: int, begin: float, end: float) -> Track:
    first, last = round((begin - BEFORE) / WINDOW), round((end + AFTER) / WINDOW)
    levels = [
        tones.level(recording, hz, WINDOW, (window + 1) * WINDOW)
        for window in range(max(first, 0), last)
    ]
    return Track(levels, round(end / WINDOW) - first)


def _wrong(track: Track, *, before: bool, after: bool) -> str:
    if before and after and track.gap >= INTERRUPTION:
        return f"interrupted for {track.gap:.2f} s"
    if not before and not after and track.heard:
        return f"heard for {track.heard:.2f} s"
    if before and not after and track.lingered > PIPELINE:
        return f"still heard {track.lingered:.2f} s later"
    if after and not before and track.delayed > PIPELINE:
        return f"heard only after {track.delayed:.2f} s"
    return ""


@asynccontextmanager
async def through(phones: Mapping[str, Phone]) -> AsyncIterator[Through]:
    """Watch what these phones hear of one another through what is done in this context."""
    recordings = {name: phone.recording for name, phone in phones.items()}
    begin = {name: tones.length(file) for name, file in recordings.items()}
    change = Through()
    yield change
    end = {name: tones.length(file) for name, file in recordings.items()}
    for name, file in recordings.items():
        await tones.fresh(file, AFTER, since=end[name])
    for listener, file in recordings.items():
        for speaker, phone in phones.items():
            if listener != speaker:
                track = _track(file, phone.tone_hz, begin[listener], end[listener])
                change.tracks[listener, speaker] = track
                await asyncio.sleep(0)
