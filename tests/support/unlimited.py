"""A service whose clients may ask, and be wrong, as often as they like: tests do both."""

from typing import Any, Final

UNLIMITED: Final[dict[str, Any]] = dict.fromkeys(
    ("BRIDGE_RATE_PER_APP", "BRIDGE_RATE_PER_ADDRESS", "BRIDGE_FAILURES_PER_MINUTE"), "0"
)
"""Its settings."""
