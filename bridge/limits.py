"""How often each of many may do something: a token bucket each, kept as one number."""

from collections.abc import Hashable
from heapq import nsmallest
from typing import Final

KEPT: Final = 4096
"""Buckets that are kept: those of who was here last and is not full again."""

_TINY: Final = 1e-6


class Buckets:
    """Token buckets by key, as the generic cell rate algorithm has them (ITU-T I.371, annex A).

    Of each it keeps the time at which it will be full again; one that is full is none.
    """

    def __init__(self, rate: float, burst: float, kept: int = KEPT) -> None:
        """Take the tokens that come a second, those a bucket holds, and how many are kept.

        Raises ValueError unless each of them is positive, and ``burst`` at least 1.
        """
        if rate <= 0 or burst < 1 or kept < 1:
            raise ValueError("a bucket needs a rate and room for one token")
        self._interval = 1 / rate
        self._tolerance = (burst - 1) * self._interval + _TINY
        self._kept = kept
        self._full: dict[Hashable, float] = {}

    def __len__(self) -> int:
        """Return how many buckets are kept."""
        return len(self._full)

    def take(self, key: Hashable, now: float) -> float:
        """Take a token at ``now``, in seconds of a steady clock, and return 0.

        Where there is none, nothing is taken, and the seconds until there is one are returned.
        """
        full = self._full.get(key, now)
        if full <= now:
            full = now
            if len(self._full) >= self._kept:
                self._forget(now)
        elif full - now > self._tolerance:
            return full - now - self._tolerance
        self._full[key] = full + self._interval
        return 0.0

    def give_back(self, key: Hashable) -> None:
        """Put a token back that was taken."""
        if key in self._full:
            self._full[key] -= self._interval

    def _forget(self, now: float) -> None:
        """Drop the buckets that are full, and if that is too few, those that are full soonest."""
        self._full = {key: full for key, full in self._full.items() if full > now}
        surplus = len(self._full) - self._kept * 3 // 4
        if surplus > 0:
            for key, _ in nsmallest(surplus, self._full.items(), key=lambda item: item[1]):
                del self._full[key]
