"""Requests that wait for an outcome because their clients prefer that (RFC 7240).

They hold connections, so they are at most a share of those; beyond that a preference is passed
over, which the RFC allows. Whoever waits is let go when his client has gone, and when the service
ends.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import TracebackType
from typing import Final

from aiohttp import web

from bridge import uapi
from bridge.api.protocol import when_gone

PREFER: Final = "Prefer"
WAITED: ContextVar[float] = ContextVar("waited", default=0.0)
"""How many seconds the request that is handled waited because its client preferred that."""

SHARE: Final = 4
"""One of so many connections may wait."""


class Patience:
    """How long one request waits: so many seconds from now, or until it is ended.

    As a context it raises TimeoutError then.
    """

    def __init__(self, seconds: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._until = self._loop.time() + seconds
        self._limit: asyncio.Timeout | None = None
        self.seconds = seconds
        self.waited = 0.0

    def end(self) -> None:
        """Let it wait no longer."""
        self._until = self._loop.time()
        if self._limit is not None and not self._limit.expired():
            self._limit.reschedule(self._until)

    async def __aenter__(self) -> None:
        self.waited -= self._loop.time()
        self._limit = await asyncio.timeout_at(self._until).__aenter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.waited += self._loop.time()
        limit, self._limit = self._limit, None
        if limit is not None:
            await limit.__aexit__(kind, error, trace)


class Waiting:
    """The requests that wait, at most ``most`` at a time."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._patient: set[Patience] = set()

    @contextmanager
    def of(self, request: web.Request) -> Iterator[Patience | None]:
        """Give the patience of a request; None where it has none, or none is granted."""
        seconds = uapi.parse_wait(request.headers.getall(PREFER, ()))
        if seconds is None or len(self._patient) >= self._most:
            yield None
            return
        patience = Patience(seconds)
        self._patient.add(patience)
        try:
            with when_gone(request, patience.end):
                yield patience
        finally:
            self._patient.discard(patience)
            WAITED.set(patience.waited)

    def finish(self) -> None:
        """Let nobody wait any longer."""
        self._most = 0
        for patience in self._patient:
            patience.end()


WAITING: Final = web.AppKey("waiting", Waiting)


async def finish_waiting(app: web.Application) -> None:
    """Let the requests that wait be answered, so that the service need not wait for them."""
    app[WAITING].finish()
