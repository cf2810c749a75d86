"""The proof by ear: who hears whose tone, and who should."""

from dataclasses import dataclass

from bridge.lab import tones
from bridge.lab.handset import Handset

LISTENING = 1.5
"""Seconds of sound that are looked at."""


@dataclass(frozen=True)
class Party:
    """Somebody in the proof: a name for the table, a phone, and whom it should hear."""

    name: str
    phone: Handset
    hears: frozenset[str]


@dataclass(frozen=True)
class Cell:
    """How loud one party's tone is at another's phone, in dBFS, and whether it should be heard."""

    level: float
    expected: bool

    @property
    def heard(self) -> bool:
        """Whether it is loud enough to be heard."""
        return self.level > tones.HEARD_DB

    @property
    def right(self) -> bool:
        """Whether it is as it should be: clearly heard, or clearly silent."""
        return self.heard if self.expected else self.level < tones.SILENT_DB

    def __str__(self) -> str:
        sound = "heard" if self.heard else "silent" if self.level < tones.SILENT_DB else "faint"
        return f"{self.level:4.0f} dBFS {sound:6} {'ok' if self.right else 'WRONG'}"


Table = dict[str, dict[str, Cell]]
"""Listener to speaker to cell."""


def expected(*, private: bool) -> dict[str, frozenset[str]]:
    """Who hears whom in a whisper (Asterisk documentation, ChanSpy, options w and W)."""
    return {
        "agent": frozenset({"customer", "supervisor"}),
        "customer": frozenset({"agent"}),
        "supervisor": frozenset() if private else frozenset({"agent", "customer"}),
    }


async def listen(parties: tuple[Party, ...]) -> Table:
    """Measure every party's tone at every party's phone, from now on.

    Raises LabError when a phone hears nothing at all, not even silence.
    """
    begun = {party.name: tones.length(party.phone.recording) for party in parties}
    table: Table = {}
    for listener in parties:
        recording = listener.phone.recording
        end = await tones.fresh(recording, LISTENING, since=begun[listener.name])
        table[listener.name] = {
            speaker.name: Cell(
                tones.level(recording, speaker.phone.tone_hz, LISTENING, end),
                speaker.name in listener.hears,
            )
            for speaker in parties
        }
    return table


def is_right(table: Table) -> bool:
    """Whether every cell is as it should be."""
    return all(cell.right for row in table.values() for cell in row.values())


def render(table: Table) -> str:
    """The table as text, listeners down and speakers across."""
    names = list(table)
    width = max(len(str(cell)) for row in table.values() for cell in row.values())
    lines = [" " * 17 + "".join(f"{f'the {name}':<{width + 3}}" for name in names).rstrip()]
    for listener, row in table.items():
        cells = "   ".join(f"{row[name]!s:<{width}}" for name in names)
        lines.append(f"{listener + ' hears':<17}{cells}".rstrip())
    return "\n".join(lines)
