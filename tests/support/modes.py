"""Who hears whom in each mode: listener to speakers."""

from collections.abc import Mapping
from typing import Final

from bridge.lab import proof
from bridge.model import Mode

_WHISPER: Final = proof.expected(private=False)

HEARS: Final[Mapping[Mode, Mapping[str, frozenset[str]]]] = {
    Mode.LISTEN: {**_WHISPER, "agent": frozenset({"customer"})},
    Mode.WHISPER: _WHISPER,
    Mode.PRIVATE: proof.expected(private=True),
    Mode.BARGE: {**_WHISPER, "customer": frozenset({"agent", "supervisor"})},
}
