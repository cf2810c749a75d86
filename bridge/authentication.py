"""Tells whether a client is who it says, without holding anybody else up."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from hashlib import sha256
from hmac import digest
from secrets import token_bytes
from typing import Final

from bridge.client_secrets import matches
from bridge.errors import TooManyRequests
from bridge.tokens import LIFETIME

AT_ONCE: Final = 1
"""Secrets compared at the same time: the PBX beside the service needs the other cores."""

WAITING: Final = 32
"""Comparisons that may wait for their turn, less than a second altogether."""

REMEMBERED: Final = LIFETIME + 300.0
"""Seconds after its last use in which a secret that was right need not be compared again.

Longer than a token lives: who asks for the next one in time is known, whoever else guesses.
"""

KEPT: Final = 256
"""Right secrets that are remembered."""


class Authenticator:
    """Compares client secrets with their hashes, in a thread and few at a time."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Take the clock that ages what is remembered, in seconds."""
        self._clock = clock
        self._turn = asyncio.Semaphore(AT_ONCE)
        self._waiting = 0
        # What was right is remembered by an HMAC under a key of this process, not as it is.
        self._key = token_bytes(32)
        self._right: OrderedDict[bytes, float] = OrderedDict()

    def remembers(self, secret_hash: str, secret: str) -> bool:
        """Tell whether ``secret`` was the one behind ``secret_hash`` a little while ago."""
        mark = self._mark(secret_hash, secret)
        found = self._right.get(mark, 0.0) > self._clock()
        if found:
            self._remember(mark)
        return found

    async def compare(self, secret_hash: str, secret: str) -> bool:
        """Tell whether ``secret`` is the one behind ``secret_hash``.

        Raises TooManyRequests while too many others wait for the same.
        """
        if self._waiting >= WAITING:
            raise TooManyRequests(retry_after=1)
        self._waiting += 1
        try:
            async with self._turn:
                found = await asyncio.to_thread(matches, secret_hash, secret)
        finally:
            self._waiting -= 1
        if found:
            self._remember(self._mark(secret_hash, secret))
        return found

    def _mark(self, secret_hash: str, secret: str) -> bytes:
        return digest(self._key, f"{secret_hash}\n{secret}".encode(), sha256)

    def _remember(self, mark: bytes) -> None:
        self._right[mark] = self._clock() + REMEMBERED
        self._right.move_to_end(mark)
        if len(self._right) > KEPT:
            self._right.popitem(last=False)
