"""The audit as timelines: who took part in whose call, from when to when, in which mode.

A pure reading of the lines in their order. What the bridge could not see is told as such: the time
in which somebody may have taken part, and that in which his mode may have been another.
"""

from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final

from bridge.audit.sight import Line, Sight
from bridge.audit.times import epoch, iso

_WHO: Final = ("supervisor", "extension", "target", "call", "leg")
_BY: Final = ("request", "app", "user", "address", "key")


class Doubt(StrEnum):
    """What is not certain of a span."""

    MODE = "mode"
    """He took part, but perhaps in another mode."""
    PRESENCE = "presence"
    """He took part in none or in a part of it: his beginning or end was not seen."""


@dataclass(frozen=True, slots=True)
class Span:
    """A time in which a supervisor took part in one mode, in epoch seconds.

    ``end`` is None while it lasts; it is known to have lasted until ``known``, at least. ``who``
    has the supervisor, the extension and its channel, the call and the leg, ``by`` who asked for
    the mode; it has ``key`` where a key of the phone did it, and then who asked for the whisper.
    """

    begin: float
    end: float | None
    mode: str
    who: Line
    by: Line
    doubt: Doubt | None = None
    known: float | None = None

    def line(self) -> Line:
        """It as a line, as a terminal or a script is shown it."""
        until: Line = {"to": None if self.end is None else iso(self.end)}
        if self.end is not None:
            until["seconds"] = round(self.end - self.begin, 3)
        elif self.known is not None:
            until["known_until"] = iso(self.known)
        doubt = {"doubt": self.doubt.value} if self.doubt else {}
        return {"from": iso(self.begin), **until, "mode": self.mode, **self.who, **self.by, **doubt}


def spans(lines: Iterable[Line]) -> Iterator[Span]:
    """The spans of an audit: those of each whisper once its end is read, what lasts at the end."""
    reader = _Reader()
    for line in lines:
        yield from reader.take(line)
    yield from reader.rest()


@dataclass(slots=True)
class _Leg:
    """A whisper that has not ended: its ``spans``, and since when it is in one, if it is.

    ``told`` is until when its spans reach; ``unseen`` has the times in which it may have begun.
    """

    who: Line
    by: Line
    mode: str
    keys: bool
    begun: float
    told: float
    begin: float | None = None
    doubt: Doubt | None = None
    spans: list[Span] = field(default_factory=list)
    unseen: list[tuple[float, float]] = field(default_factory=list)

    def add(self, begin: float, end: float, doubt: Doubt | None) -> None:
        """A span from one to the other, unless that is nothing."""
        if end > begin:
            self.spans.append(Span(begin, end, self.mode, self.who, self.by, doubt))
            self.told = max(self.told, end)

    def cut(self, at: float, doubt: Doubt | None) -> None:
        """End the span it is in and begin the next."""
        if self.begin is None:
            return
        at = max(at, self.begin)
        self.add(self.begin, at, self.doubt)
        self.begin, self.doubt = at, doubt

    def stop(self, at: float) -> None:
        """End the span it is in."""
        self.cut(at, None)
        self.begin = None

    def become(self, line: Line) -> None:
        """Take on the mode of a line, and whose it is."""
        self.mode = str(line.get("mode", self.mode))
        self.by = _some(line, _BY)

    def reveal(self) -> None:
        """It was not seen to take part: that it may have is told."""
        for begin, end in self.unseen:
            self.add(max(begin, self.begun, self.told), end, Doubt.PRESENCE)
        self.unseen = []

    def doubt_mode(self, since: float) -> None:
        """Its mode was in doubt since then, and goes on to be."""
        before, self.spans = self.spans, []
        for span in before:
            self.spans += _doubted(span, since)
        if self.doubt is None:
            self.cut(since, Doubt.MODE)


def _doubted(span: Span, since: float) -> Iterator[Span]:
    """A span whose mode is in doubt since then."""
    if span.doubt is not None or span.end is None or span.end <= since:
        yield span
        return
    if span.begin < since:
        yield replace(span, end=since)
    yield replace(span, begin=max(span.begin, since), doubt=Doubt.MODE)


class _Reader:
    """Reads line after line."""

    def __init__(self) -> None:
        self._sight = Sight()
        self._legs: dict[str, _Leg] = {}
        self._told: dict[str, float] = {}

    def take(self, line: Line) -> Sequence[Span]:
        """Read the next line; gives what has ended by it."""
        at = epoch(line.get("time"))
        if at is None:
            return ()
        known, blind = self._sight.known, self._sight.blind
        self._sight.take(line)
        if line.get("event") == "missing":
            self._missed(at if known is None else known)
        elif blind is None and self._sight.blind is not None:
            self._blinded(self._sight.blind, linked=line["event"] == "unlinked")
        elif blind is not None and self._sight.blind is None:
            self._seeing(blind, at, line.get("legs") or ())
        return self._of_leg(line, at)

    def rest(self) -> Iterator[Span]:
        """What lasts at the end of the audit."""
        for leg in self._legs.values():
            leg.reveal()
            yield from leg.spans
            if leg.begin is not None:
                known = self._sight.known
                yield Span(leg.begin, None, leg.mode, leg.who, leg.by, leg.doubt, known)

    # What is told of nobody in particular

    def _blinded(self, since: float, *, linked: bool) -> None:
        """Since then nobody watched: who may press keys may be in another mode.

        And when there was no bridge, what it was about to change last has no line, perhaps.
        """
        for leg in self._legs.values():
            if leg.keys or not linked:
                leg.doubt_mode(since)

    def _seeing(self, since: float, at: float, legs: Container[str]) -> None:
        """A leg that waits and that the PBX does not have may have taken part meanwhile."""
        for name, leg in self._legs.items():
            if leg.begin is None and not leg.spans and name not in legs:
                leg.unseen.append((since, at))

    def _missed(self, since: float) -> None:
        """Lines were lost: from the last one before them on, all may have been otherwise."""
        for leg in self._legs.values():
            leg.cut(since, Doubt.PRESENCE)

    # What is told of a whisper

    def _of_leg(self, line: Line, at: float) -> Sequence[Span]:
        name, step = line.get("leg"), _STEPS.get(str(line.get("event")))
        if not isinstance(name, str) or not name or step is None:
            return ()
        leg = self._legs.get(name)
        if leg is None:
            leg = self._legs[name] = _leg_of(line, at, self._told.get(name, 0.0))
        leg.keys = leg.keys or line.get("keys") is True
        step(self, leg, line, at)
        if line["event"] != "ended":
            return ()
        self._told[name] = at
        return self._legs.pop(name).spans

    def _waits(self, leg: _Leg, line: Line, at: float) -> None:
        """It takes part in nothing yet, whatever was not seen."""
        leg.unseen.clear()

    def _attached(self, leg: _Leg, line: Line, at: float) -> None:
        if leg.begin is not None:
            return
        since = min(max(epoch(line.get("since")) or at, leg.told), at)
        blind, leg.unseen = self._sight.blind, []
        leg.become(line)
        if blind is not None:
            leg.add(max(blind, leg.begun, leg.told), since, Doubt.PRESENCE)
        leg.begin, leg.doubt = since, None if blind is None else Doubt.MODE

    def _mode(self, leg: _Leg, line: Line, at: float) -> None:
        leg.cut(at, Doubt.MODE if line.get("doubt") else None)
        leg.become(line)

    def _settled(self, leg: _Leg, line: Line, at: float) -> None:
        leg.cut(at, None)
        leg.mode = str(line.get("mode", leg.mode))

    def _doubted(self, leg: _Leg, line: Line, at: float) -> None:
        leg.doubt_mode(epoch(line.get("since")) or at)

    def _wrong(self, leg: _Leg, line: Line, at: float) -> None:
        """It is attached to somebody else's channel, until it is hung up."""
        if line.get("reason") == "wrong_target":
            leg.who = {**leg.who, "extension": "", "target": line.get("attached_to", "")}
            leg.begin = at

    def _over(self, leg: _Leg, line: Line, at: float) -> None:
        last_seen, seconds = epoch(line.get("not_before")), line.get("seconds")
        if leg.begin is not None:
            if last_seen is not None:
                leg.cut(last_seen, Doubt.PRESENCE)
            elif leg.doubt is Doubt.PRESENCE:
                leg.doubt = Doubt.MODE
            leg.stop(at)
        elif not leg.spans and isinstance(seconds, int | float):
            # The line of its beginning is not in what was read.
            leg.add(at - seconds, at, Doubt.MODE)
        else:
            if last_seen is not None and not leg.spans:
                leg.unseen.append((last_seen, at))
            leg.reveal()


_STEPS: Final[dict[str, Callable[[_Reader, _Leg, Line, float], None]]] = {
    "requested": _Reader._waits,
    "adopted": lambda *_: None,
    "ringing": _Reader._waits,
    "answered": _Reader._waits,
    "attached": _Reader._attached,
    "mode": _Reader._mode,
    "settled": _Reader._settled,
    "doubt": _Reader._doubted,
    "alarm": _Reader._wrong,
    "detached": _Reader._over,
    "ended": _Reader._over,
}


def _leg_of(line: Line, at: float, told: float) -> _Leg:
    begun = epoch(line.get("since")) if line["event"] == "adopted" else None
    mode, keys = str(line.get("mode", "")), line.get("keys") is True
    return _Leg(_some(line, _WHO), _some(line, _BY), mode, keys, begun or at, told)


def _some(line: Line, names: Iterable[str]) -> Line:
    return {name: line[name] for name in names if name in line}
