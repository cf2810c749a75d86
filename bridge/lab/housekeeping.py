"""The folder of a phone, kept fit for whatever length of time the phone runs."""

import asyncio
import contextlib
import time
from dataclasses import dataclass
from pathlib import Path

from bridge.lab import tones

_EVERY = 5.0


@dataclass(frozen=True)
class Kept:
    """How much of what a phone writes is kept: the newest of each.

    Attributes:
        seconds: of each recording.
        recordings: in number.
        log: of its log, in bytes; when there is more, it begins anew.
    """

    seconds: float = 600
    recordings: int = 1000
    log: int = 1 << 28


def recordings(directory: Path) -> list[Path]:
    """Return what the phone heard, oldest first."""
    return sorted(directory.glob("dump-*-dec.wav"))


async def keep(directory: Path, kept: Kept) -> None:
    """Keep a phone's folder in order, until cancelled."""
    while True:
        _forbid_own_voice(directory)
        _clear_out(directory, kept)
        await asyncio.sleep(_EVERY)


def _clear_out(directory: Path, kept: Kept) -> None:
    """Drop what is older than what is kept."""
    heard = recordings(directory)
    for recording in heard[: -kept.recordings]:
        recording.unlink()
    for recording in heard[-kept.recordings :]:
        tones.forget(recording, kept.seconds)
    log = directory / "log"
    # The phone appends to it: it goes on at the new end.
    if log.exists() and log.stat().st_size > kept.log:
        log.open("wb").close()


def _forbid_own_voice(directory: Path) -> None:
    """Make baresip fail to record what the phone says, for the next seconds.

    Its recorder has two halves, and when the phone puts a call on hold baresip drops the half for
    what is heard, and sets up both again only if there is neither (1.0.0, src/audio.c,
    audio_decoder_set and aufilt_setup). So the other half must never come to be: a directory
    stands where its file would be, which is named after the second it starts in.
    """
    now = int(time.time())
    ahead = range(now - 1, now + 3 * int(_EVERY))
    names = [time.strftime("dump-%Y-%m-%d-%H-%M-%S-enc.wav", time.gmtime(t)) for t in ahead]
    for old in directory.glob("dump-*-enc.wav"):
        if old.name not in names and old.is_dir():
            old.rmdir()
    for name in names:
        with contextlib.suppress(FileExistsError):
            (directory / name).mkdir()
