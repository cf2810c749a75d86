"""Reads the recordings of a real PBX in ``tests/recordings``."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple

from bridge import events
from bridge.calls import Picture
from bridge.events import Event, HungUp, Listed, Snapshot
from tests.support.picture import picture

FOLDER = Path(__file__).parents[1] / "recordings"
NAMES = tuple(sorted(path.stem for path in FOLDER.glob("*.txt")))
_MOMENT = "# = "


class Happening(NamedTuple):
    """An event and the time the PBX gave it."""

    at: float
    event: Event


@dataclass(frozen=True)
class Recording:
    """What the PBX told, and after how many events each moment was reached."""

    happenings: tuple[Happening, ...]
    moments: dict[str, int]

    def events(self) -> list[Event]:
        """All events the bridge needs."""
        return [event for _, event in self.happenings]

    def hangups(self) -> list[Event]:
        """The ends of all channels."""
        return [event for event in self.events() if isinstance(event, HungUp)]

    def until(self, moment: str) -> tuple[Happening, ...]:
        """What was told until the scenario had reached a moment."""
        return self.happenings[: self.moments[moment]]

    def after(self, moment: str) -> tuple[Happening, ...]:
        """What was told after the scenario had reached a moment."""
        return self.happenings[self.moments[moment] :]


def messages(name: str, until: str = "") -> Iterator[bytes]:
    """The raw messages of a recording as the AMI sends them, without the closing blank line.

    All of them, or those until a moment.
    """
    for text in _paragraphs(name):
        if until and text == _MOMENT + until:
            return
        if not text.startswith("#"):
            yield text.replace("\n", "\r\n").encode()


@cache
def load(name: str) -> Recording:
    """The recording ``NAME.txt``."""
    happenings: list[Happening] = []
    moments: dict[str, int] = {}
    for text in _paragraphs(name):
        if text.startswith(_MOMENT):
            moments[text.removeprefix(_MOMENT)] = len(happenings)
        elif not text.startswith("#"):
            happenings += _happening(text.replace("\n", "\r\n").encode())
    return Recording(tuple(happenings), moments)


def told(name: str, since: str, until: str, legs: Mapping[str, str]) -> list[Event]:
    """The events between two moments, with other Uniqueids for the recorded legs of whispers."""
    texts = _paragraphs(name)
    between = "\n\n".join(texts[texts.index(_MOMENT + since) : texts.index(_MOMENT + until)])
    for recorded, leg in legs.items():
        between = between.replace(recorded, leg)
    parsed = (events.parse(text.replace("\n", "\r\n").encode()) for text in between.split("\n\n"))
    return [event for event in parsed if event is not None]


def played(name: str, moment: str) -> Picture:
    """The picture of the recording ``NAME.txt`` at a moment."""
    new = picture()
    for at, event in load(name).until(moment):
        new.feed(event, at)
    return new


def _paragraphs(name: str) -> list[str]:
    return (FOLDER / f"{name}.txt").read_text("utf-8").strip().split("\n\n")


def _happening(message: bytes) -> Iterator[Happening]:
    event = events.parse(message)
    if event is not None:
        yield Happening(float(events.headers_of(message)["Timestamp"]), event)


class Ledger:
    """What the PBX would list after these happenings; kept apart from the bridge's own picture."""

    def __init__(self, happenings: tuple[Happening, ...]) -> None:
        self.now = happenings[-1].at if happenings else 0.0
        self._channels: dict[str, Snapshot] = {}
        self._born: dict[str, float] = {}
        self._bridges: dict[str, str] = {}
        self._applications: dict[str, tuple[str, str]] = {}
        self.holding: set[str] = set()
        for at, event in happenings:
            self._enter(at, event)

    def listing(self, memos: Mapping[str, tuple[str, str]] | None = None) -> list[Listed]:
        """The channels there are, with the memos (of legs and of whispers) written on them."""
        return [
            Listed(
                channel,
                self._bridges.get(uniqueid, ""),
                *self._applications.get(uniqueid, ("", "")),
                round(self.now - self._born[uniqueid]),
                *(memos or {}).get(uniqueid, ("", "")),
            )
            for uniqueid, channel in self._channels.items()
        ]

    def _enter(self, at: float, event: Event) -> None:
        match event:
            case events.Seen(channel):
                self._channels[channel.uniqueid] = channel
                self._born.setdefault(channel.uniqueid, at)
            case events.HungUp(channel):
                del self._channels[channel.uniqueid]
                self._bridges.pop(channel.uniqueid, None)
            case events.DialBegun(caller, dialed):
                if caller is not None:
                    self._applications[caller.uniqueid] = ("Dial", "")
                self._applications[dialed.uniqueid] = (
                    "AppDial2" if caller is None else "AppDial",
                    "",
                )
            case events.Entered(channel, bridge, holding):
                self._channels[channel.uniqueid] = channel
                self._bridges[channel.uniqueid] = bridge
                self.holding |= {bridge} if holding else set()
            case events.Left(channel):
                self._bridges.pop(channel.uniqueid, None)
            case events.SpyStarted(spyer, spyee):
                self._applications[spyer.uniqueid] = ("ChanSpy", f"{spyee.uniqueid},uqwES")
