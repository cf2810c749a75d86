"""Tones: what a phone plays into its microphone, and how loud one is in what another heard.

Agent, customer and supervisor each have a tone, so that a recording tells who was heard. The
frequencies are chosen so that the distortion that mu-law and mixing add to one never falls on
another, and so that none is a harmonic of another.
"""

import ctypes
import math
import struct
import wave
from array import array
from pathlib import Path

from bridge.lab.errors import LabError
from bridge.lab.waiting import until

AGENT_HZ = 437
CUSTOMER_HZ = 1013
SUPERVISOR_HZ = 1733
MUSIC_HZ = 2203
"""What music on hold is in the lab."""

SILENT_DB = -50.0
"""What must not be heard is below this, in dBFS."""
HEARD_DB = -25.0
"""What must be heard is above this, in dBFS."""

RATE = 8000
"""Samples per second, of the phones and of all their recordings."""
_BYTES = 2

_LIBC = ctypes.CDLL(None)
_PUNCH_HOLE_KEEP_SIZE = 0x02 | 0x01  # linux/falloc.h
_FIRST_BLOCK = 4096  # has the header


def write(path: Path, hz: float, seconds: float, *, dbfs: float = -6.0) -> None:
    """Write a tone as a 16-bit mono WAV file.

    Args:
        path: the file.
        hz: its frequency.
        seconds: its length; whole periods make it loop without a click.
        dbfs: its level; 0 is a sine that just does not clip.
    """
    peak = 32767 * 10 ** (dbfs / 20)
    step = 2 * math.pi * hz / RATE
    samples = array("h", (round(peak * math.sin(step * n)) for n in range(round(seconds * RATE))))
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(_BYTES)
        file.setframerate(RATE)
        file.writeframes(samples.tobytes())


def level(recording: Path, hz: float, seconds: float, end: float | None = None) -> float:
    """Return how loud a tone is in a recording that may still be growing.

    Args:
        recording: a WAV file, 16-bit mono at 8 kHz.
        hz: the tone's frequency.
        seconds: how much of the recording to look at.
        end: where to stop looking, in seconds from its start; now, if not given.

    Returns:
        dBFS: 0 is a sine that fills the 16 bits, -120 is nothing at all.

    Raises:
        LabError: the recording is not there, is something else or is too short.
    """
    start, size = _data(recording)
    last = size // _BYTES if end is None else round(end * RATE)
    first = last - round(seconds * RATE)
    if first < 0 or last * _BYTES > size or first == last:
        raise LabError(f"{recording} has {size / _BYTES / RATE:.2f} s, too short for {seconds} s")
    with recording.open("rb") as file:
        file.seek(start + first * _BYTES)
        raw = file.read((last - first) * _BYTES)
    return _goertzel(struct.unpack(f"<{last - first}h", raw), hz)


def length(recording: Path) -> float:
    """Return how many seconds a recording has so far.

    Raises:
        LabError: it is not there, or is something else.
    """
    return _data(recording)[1] / _BYTES / RATE


async def fresh(
    recording: Path, seconds: float, *, since: float | None = None, patience: float = 3.0
) -> float:
    """Wait until a recording has grown, instead of guessing how long that takes.

    Args:
        recording: a WAV file that is being written.
        seconds: how much it shall have grown.
        since: from where, in seconds from its start; from its present end if not given.
        patience: how many seconds longer than the sound itself it may take.

    Returns:
        Where the fresh part ends, in seconds from the start: `end` for `level`.

    Raises:
        LabError: it does not grow as time goes by.
    """
    end = (length(recording) if since is None else since) + seconds
    await until(
        lambda: length(recording) >= end,
        f"{seconds:g} s of sound in {recording}",
        within=max(0.0, end - length(recording)) + patience,
        every=0.02,
    )
    return end


def forget(recording: Path, keep: float) -> None:
    """Give the disk back what is older than the last `keep` seconds of a recording.

    The file keeps its length, so that whoever writes or reads it notices nothing; the old sound
    becomes silence. Where the file system cannot do that, nothing happens.
    """
    old = recording.stat().st_size - round(keep * RATE) * _BYTES
    if old <= _FIRST_BLOCK:
        return
    with recording.open("r+b") as file:
        _LIBC.fallocate(
            file.fileno(),
            _PUNCH_HOLE_KEEP_SIZE,
            ctypes.c_int64(_FIRST_BLOCK),
            ctypes.c_int64(old - _FIRST_BLOCK),
        )


def _data(recording: Path) -> tuple[int, int]:
    """Return where the samples of a WAV file start and how many bytes of them there are.

    The lengths in the header are only right once the file is closed: go by the file's size.
    """
    try:
        with recording.open("rb") as file:
            head = file.read(512)
            size = file.seek(0, 2)
    except OSError as error:
        raise LabError(f"no recording: {error}") from error
    mark = head.find(b"data")
    if not head:
        return 0, 0
    if head[:4] != b"RIFF" or mark < 0:
        raise LabError(f"{recording} is not a WAV file")
    channels, rate, bits = struct.unpack_from("<2xHI6xH", head, head.find(b"fmt ") + 8)
    if (channels, rate, bits) != (1, RATE, 8 * _BYTES):
        raise LabError(f"{recording} is {channels} x {bits} bits at {rate} Hz, not mono 16 at 8000")
    return mark + 8, size - mark - 8


def _goertzel(samples: tuple[int, ...], hz: float) -> float:
    """Return the level of one frequency in dBFS (Goertzel's algorithm under a Hann window).

    The window keeps a loud neighbour 100 Hz away from leaking in at the length we look at.
    """
    count = len(samples)
    turn = 2 * math.pi / count
    coefficient = 2 * math.cos(2 * math.pi * hz / RATE)
    older = old = 0.0
    for n, sample in enumerate(samples):
        windowed = sample * (0.5 - 0.5 * math.cos(turn * n))
        older, old = old, windowed + coefficient * old - older
    power = max(0.0, old * old + older * older - coefficient * old * older)
    # The Hann window halves the sum; a sine's power is split between +hz and -hz.
    amplitude = 4 * math.sqrt(power) / count / 32768
    return 20 * math.log10(max(amplitude, 1e-6))
