"""Compares the spans of an audit with what was heard, window by window."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from bridge.audit import Doubt, Span
from bridge.lab import tones
from bridge.model import Mode
from tests.support.hearing import WINDOW, Window
from tests.support.modes import HEARS
from tests.support.windows import FAINT, INTERRUPTION

Pair = tuple[str, str]
"""Who listens, and whom he may hear."""

PAIRS: Sequence[Pair] = (
    ("agent", "supervisor"),
    ("customer", "supervisor"),
    ("supervisor", "customer"),
    ("supervisor", "agent"),
)
"""Whatever a supervisor who takes part changes."""

TOLERANCE = 0.15
"""Seconds around a change in which either may be: the sound's way, and that of the word of it."""


def wrong(
    heard: Callable[[str, str], Iterable[Window]],
    spans: Sequence[Span],
    tolerance: float = TOLERANCE,
) -> list[str]:
    """What was heard and should not have been by the spans, or not heard and should have been."""
    return [
        f"{listener} {what} {speaker} at {window.begin:.2f} ({window.level:.0f} dBFS)"
        for listener, speaker in PAIRS
        for window, what in _contradicting(heard(listener, speaker), spans, listener, tolerance)
    ]


def _contradicting(
    windows: Iterable[Window], spans: Sequence[Span], listener: str, tolerance: float
) -> Iterator[tuple[Window, str]]:
    silent: list[Window] = []
    for window in windows:
        wanted = _wanted(window, spans, listener, tolerance)
        if wanted is False and window.level > FAINT:
            yield window, "hears"
        silent = [*silent, window] if wanted and window.level <= tones.HEARD_DB else []
        # A packet or two that are lost say nothing of who takes part.
        if len(silent) * WINDOW >= INTERRUPTION:
            yield silent[0], "does not hear"
            silent = []


def _wanted(window: Window, spans: Sequence[Span], listener: str, tolerance: float) -> bool | None:
    """Whether a tone is to be heard in a window; None if either may be."""
    begin, end = window.begin - tolerance, window.end + tolerance
    touched = [span for span in spans if span.begin < end and (span.end or end) > begin]
    if not touched:
        return False
    (span, *more) = touched
    whole = span.begin <= begin and (span.end is None or span.end >= end)
    if more or not whole or span.doubt is Doubt.PRESENCE:
        return None
    hears = _hears(listener)
    return hears[Mode(span.mode)] if span.doubt is None else _agreed(hears)


def _hears(listener: str) -> Mapping[Mode, bool]:
    """In which modes a supervisor is heard by a listener, or hears if it is he who listens."""
    others = {"agent", "customer"} if listener == "supervisor" else {"supervisor"}
    return {mode: bool(HEARS[mode][listener] & others) for mode in Mode}


def _agreed(hears: Mapping[Mode, bool]) -> bool | None:
    found = set(hears.values())
    return found.pop() if len(found) == 1 else None


def uncovered(begin: float, end: float, spans: Iterable[Span]) -> float:
    """How many seconds from one to the other are in no span, be it a doubtful one."""
    missing, reached = 0.0, begin
    for span in sorted(spans, key=lambda span: span.begin):
        missing += max(0.0, min(span.begin, end) - reached)
        reached = max(reached, end if span.end is None else span.end)
    return missing + max(0.0, end - reached)


def beyond(begin: float, end: float, spans: Iterable[Span]) -> float:
    """How many seconds of spans that say somebody took part are not from one to the other."""
    sure = [span for span in spans if span.doubt is not Doubt.PRESENCE]
    return sum(max(0.0, begin - span.begin) + max(0.0, (span.end or end) - end) for span in sure)
