"""Until when the audit is known to be complete: what a bridge did not see, it did not write."""

from typing import Any, Final

from bridge.audit.times import epoch

Line = dict[str, Any]
"""One line of the audit."""

_FROM_PBX: Final = frozenset(
    {"ringing", "answered", "attached", "mode", "settled", "notice", "detached", "vouched"}
)
"""Lines that the PBX caused: nothing that happened before them is still to be told."""


class Sight:
    """Follows the lines of an audit, in their order.

    ``known`` is the last moment (epoch second) until which nothing was missed; ``blind`` is since
    when something may have been, None while the PBX is watched.
    """

    def __init__(self) -> None:
        self.known: float | None = None
        self.blind: float | None = None

    def take(self, line: Line) -> None:
        """Take in the next line."""
        at = epoch(line.get("time"))
        if at is None:
            return
        if self.known is None:
            self.known = at
        match line.get("event"):
            case "started" | "stopped" if self.blind is None:
                self.blind = self.known
            case "unlinked" if self.blind is None:
                self.blind = epoch(line.get("since")) or at
            case "linked":
                self.known, self.blind = at, None
            case event if event in _FROM_PBX and self.blind is None:
                self.known = at
