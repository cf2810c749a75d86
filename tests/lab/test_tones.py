"""How loud a tone is in a recording, finished or still growing."""

import asyncio
import math
import random
import struct
from pathlib import Path

import pytest

from bridge.lab import tones
from bridge.lab.errors import LabError

TONES = (tones.AGENT_HZ, tones.CUSTOMER_HZ, tones.SUPERVISOR_HZ, tones.MUSIC_HZ)


def append(path: Path, samples: list[float]) -> None:
    """Add samples to a recording as a phone does while a call lasts: the header stays as it is."""
    with path.open("ab") as file:
        file.write(b"".join(struct.pack("<h", round(s)) for s in samples))


def sine(hz: float, seconds: float, dbfs: float) -> list[float]:
    peak = 32767 * 10 ** (dbfs / 20)
    count = round(seconds * tones.RATE)
    return [peak * math.sin(2 * math.pi * hz * n / tones.RATE) for n in range(count)]


def mixed(*parts: list[float]) -> list[float]:
    return [sum(column) for column in zip(*parts, strict=True)]


def mu_law(sample: float) -> float:
    """What is left of a sample after G.711, which cuts off what is too loud."""
    magnitude = min(abs(sample) / 32767, 1)
    code = round(127 * math.log1p(255 * magnitude) / math.log(256))
    return math.copysign(32767 * (256 ** (code / 127) - 1) / 255, sample)


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """A recording whose header was written when nothing had been heard yet."""
    path = tmp_path / "heard.wav"
    tones.write(path, 1000, 0)
    return path


@pytest.mark.parametrize("hz", TONES)
@pytest.mark.parametrize("dbfs", [0.0, -6.0, -40.0])
def test_a_sine_has_the_level_it_was_written_with(tmp_path: Path, hz: float, dbfs: float) -> None:
    path = tmp_path / "tone.wav"
    tones.write(path, hz, 1, dbfs=dbfs)
    assert tones.level(path, hz, 0.5) == pytest.approx(dbfs, abs=0.1)


@pytest.mark.parametrize("hz", TONES)
def test_no_tone_is_taken_for_another_even_after_mixing_and_mu_law(
    recording: Path, hz: float
) -> None:
    others = [sine(other, 1, -6) for other in TONES if other != hz]
    append(recording, [mu_law(s) for s in mixed(*others)])
    assert tones.level(recording, hz, 0.8) < tones.SILENT_DB


def test_a_tone_is_found_in_noise(recording: Path) -> None:
    source = random.Random(1)
    noise = [source.gauss(0, 1000) for _ in range(tones.RATE)]
    append(recording, mixed(sine(1013, 1, -20), noise))
    assert tones.level(recording, 1013, 1) > tones.HEARD_DB
    assert tones.level(recording, 437, 1) < tones.HEARD_DB


def test_silence_has_a_level_too(recording: Path) -> None:
    append(recording, [0.0] * tones.RATE)
    assert tones.level(recording, 437, 1) <= -119


def test_only_the_last_seconds_count(recording: Path) -> None:
    append(recording, sine(437, 1, -6) + sine(1013, 1, -6))
    assert tones.level(recording, 437, 0.9) < tones.SILENT_DB
    assert tones.level(recording, 1013, 0.9) > tones.HEARD_DB


def test_the_end_can_be_chosen(recording: Path) -> None:
    append(recording, sine(437, 1, -6) + sine(1013, 1, -6))
    assert tones.level(recording, 437, 0.9, end=1.0) > tones.HEARD_DB


def test_a_growing_recording_is_as_long_as_its_file(recording: Path) -> None:
    assert tones.length(recording) == 0
    append(recording, sine(437, 0.25, -6))
    assert tones.length(recording) == 0.25


def test_what_is_forgotten_is_silent_and_the_rest_as_before(recording: Path) -> None:
    append(recording, sine(437, 10, -6))
    before = tones.level(recording, 437, 1)
    tones.forget(recording, keep=2)
    assert tones.length(recording) == 10
    assert tones.level(recording, 437, 1) == before
    assert tones.level(recording, 437, 1, end=5) <= -119


def test_a_short_recording_is_not_forgotten(recording: Path) -> None:
    append(recording, sine(437, 1, -6))
    tones.forget(recording, keep=2)
    assert tones.level(recording, 437, 0.9) > tones.HEARD_DB


def test_too_short_a_recording_is_an_error(recording: Path) -> None:
    append(recording, sine(437, 0.5, -6))
    with pytest.raises(LabError, match="too short"):
        tones.level(recording, 437, 1)


def test_an_end_that_has_not_come_yet_is_an_error(recording: Path) -> None:
    append(recording, sine(437, 1, -6))
    with pytest.raises(LabError, match="too short"):
        tones.level(recording, 437, 0.5, end=1.5)


def test_no_recording_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="no recording"):
        tones.length(tmp_path / "none.wav")


def test_another_file_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "notes.wav"
    path.write_text("not sound at all, but long enough to be taken for a header of some kind")
    with pytest.raises(LabError, match="not a WAV file"):
        tones.length(path)


def test_another_kind_of_sound_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "stereo.wav"
    tones.write(path, 437, 0.1)
    header = bytearray(path.read_bytes())
    struct.pack_into("<H", header, header.find(b"fmt ") + 10, 2)
    path.write_bytes(header)
    with pytest.raises(LabError, match="not mono 16 at 8000"):
        tones.length(path)


async def test_waiting_for_fresh_sound_ends_when_there_is_enough(recording: Path) -> None:
    append(recording, sine(437, 1, -6))
    waiting = asyncio.create_task(tones.fresh(recording, 0.5))
    await asyncio.sleep(0)
    append(recording, sine(1013, 0.4, -6))
    done, _ = await asyncio.wait([waiting], timeout=0.1)
    assert not done
    append(recording, sine(1013, 0.2, -6))
    end = await waiting
    assert end == 1.5
    assert tones.level(recording, 1013, 0.45, end) > tones.HEARD_DB


async def test_fresh_sound_can_be_counted_from_a_moment_in_the_past(recording: Path) -> None:
    append(recording, sine(437, 2, -6))
    assert await tones.fresh(recording, 0.5, since=1.0) == 1.5


async def test_waiting_for_sound_that_never_comes_is_an_error(recording: Path) -> None:
    with pytest.raises(LabError, match="of sound in"):
        await tones.fresh(recording, 0.1, patience=0.1)
