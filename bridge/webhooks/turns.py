"""Who may send now: so many in all, fewer to one server, one to a server that does not answer."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

IN_ALL: Final = 64
"""Requests that may be under way at a time."""

TO_ONE: Final = 8
"""Of these, to one server."""


class Turn:
    """A request that may be sent; ``answered`` is to say whether there was an answer at all."""

    answered = True


class _Server:
    """One client's server, as long as somebody sends to it or waits to: first come, first served.

    ``dead`` says that it did not answer the last time.
    """

    def __init__(self, most: int) -> None:
        self.dead = False
        self._most = most
        self._busy = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    @property
    def idle(self) -> bool:
        """Whether nobody sends to it or waits to."""
        return not (self._busy or self._waiting)

    async def enter(self) -> None:
        """Wait for room."""
        granted = asyncio.get_running_loop().create_future()
        self._waiting.append(granted)
        self._admit()
        try:
            await granted
        except asyncio.CancelledError:
            if not granted.cancelled():
                self.leave()
            elif granted in self._waiting:
                self._waiting.remove(granted)
            raise

    def leave(self) -> None:
        """Make room for the next one."""
        self._busy -= 1
        self._admit()

    def _admit(self) -> None:
        while self._waiting and self._busy < (1 if self.dead else self._most):
            granted = self._waiting.popleft()
            if not granted.cancelled():
                self._busy += 1
                granted.set_result(None)


class Turns:
    """Turns for requests to servers, each known by a text of its own."""

    def __init__(self, in_all: int = IN_ALL, to_one: int = TO_ONE) -> None:
        self._all = asyncio.Semaphore(in_all)
        self._to_one = to_one
        self._servers: dict[str, _Server] = {}

    @asynccontextmanager
    async def turn(self, server: str) -> AsyncIterator[Turn]:
        """Wait for a turn and have it as long as the context lasts."""
        known = self._servers.setdefault(server, _Server(self._to_one))
        try:
            await known.enter()
            try:
                async with self._all:
                    yield (turn := Turn())
                known.dead = not turn.answered
            finally:
                known.leave()
        finally:
            if known.idle:
                self._servers.pop(server, None)
