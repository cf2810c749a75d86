"""The comparison of an audit with what was heard finds whatever does not fit."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from bridge.audit import Doubt, Span
from bridge.model import Mode
from tests.support.hearing import WINDOW, Window
from tests.support.modes import HEARS
from tests.support.timeline import TOLERANCE, beyond, uncovered, wrong

LOUD, SILENT = -6.0, -90.0
MODES = [Mode.WHISPER, Mode.LISTEN, Mode.BARGE, Mode.PRIVATE]
TRUTH = [
    Span(float(begin), float(begin + 2), mode.value, {}, {})
    for begin, mode in zip((10, 12, 14, 16), MODES, strict=True)
]


def heard(listener: str, speaker: str) -> list[Window]:
    """What is heard from 0 to 30 s if the truth is the truth."""
    edges = [number * WINDOW for number in range(int(30 / WINDOW))]
    return [
        Window(edge, edge + WINDOW, LOUD if _hears(edge, listener, speaker) else SILENT)
        for edge in edges
    ]


def _hears(at: float, listener: str, speaker: str) -> bool:
    modes = [Mode(span.mode) for span in TRUTH if span.begin <= at < (span.end or 0)]
    return bool(modes) and speaker in HEARS[modes[0]][listener]


def late(seconds: float) -> Callable[[str, str], list[Window]]:
    """The same, heard that much later."""
    return lambda *pair: [
        window._replace(begin=window.begin + seconds, end=window.end + seconds)
        for window in heard(*pair)
    ]


def test_the_truth_is_not_wrong() -> None:
    assert wrong(heard, TRUTH) == []
    assert wrong(late(TOLERANCE - 2 * WINDOW), TRUTH) == []


def test_what_is_heard_too_late_is_wrong() -> None:
    assert wrong(late(TOLERANCE + 2 * WINDOW), TRUTH)


@pytest.mark.parametrize("number", range(4))
def test_a_span_that_is_left_out_is_wrong(number: int) -> None:
    assert wrong(heard, [*TRUTH[:number], *TRUTH[number + 1 :]])


@pytest.mark.parametrize("number", range(4))
@pytest.mark.parametrize("mode", Mode)
def test_a_span_of_another_mode_is_wrong(number: int, mode: Mode) -> None:
    others = [*TRUTH]
    others[number] = replace(others[number], mode=mode.value)
    assert bool(wrong(heard, others)) is (mode is not MODES[number])


def test_a_span_without_end_or_too_long_is_wrong() -> None:
    for end in (None, 19.0):
        assert wrong(heard, [*TRUTH[:3], replace(TRUTH[3], end=end)])


@pytest.mark.parametrize(("lost", "is_wrong"), [(3, False), (15, True)])
def test_a_lost_packet_is_not_wrong_and_a_lost_sound_is(lost: int, is_wrong: bool) -> None:
    def lossy(listener: str, speaker: str) -> list[Window]:
        windows = heard(listener, speaker)
        for number in range(lost):
            place = round(11 / WINDOW) + number
            windows[place] = windows[place]._replace(level=SILENT)
        return windows

    assert bool(wrong(lossy, TRUTH)) is is_wrong


def test_a_doubtful_mode_may_be_any_but_somebody_may_not_be_missing() -> None:
    doubted = [replace(span, doubt=Doubt.MODE, mode="listen") for span in TRUTH]
    assert wrong(heard, doubted) == []
    assert uncovered(10, 18, doubted) == 0
    assert uncovered(9, 19, doubted[1:]) == 4


def test_a_doubtful_presence_may_be_none() -> None:
    perhaps = Span(18.0, 25.0, "private", {}, {}, Doubt.PRESENCE)
    assert wrong(heard, [*TRUTH, perhaps]) == []
    assert beyond(10, 18, [*TRUTH, perhaps]) == 0
    assert beyond(11, 17.5, [*TRUTH, perhaps]) == 1.5
