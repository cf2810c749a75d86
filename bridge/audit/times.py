"""Times as the audit writes them."""

from datetime import datetime


def iso(epoch: float) -> str:
    """A time with the machine's offset from UTC, to the millisecond (RFC 3339)."""
    return datetime.fromtimestamp(epoch).astimezone().isoformat(timespec="milliseconds")


def epoch(text: object) -> float | None:
    """The reverse of ``iso``; None if it is none."""
    try:
        return datetime.fromisoformat(str(text)).timestamp()
    except ValueError:
        return None
