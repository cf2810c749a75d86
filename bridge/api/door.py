"""The connections that are open: so many, and none that keeps the service waiting for long."""

import asyncio
import logging
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self

from bridge.addresses import network_of

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Manners:
    """What is asked of clients: at most so many ``connections``, and not to be slow.

    ``patience`` is how many seconds a handshake, the head of a request, its body, and the reading
    of an answer may take, each; ``idle`` how many a connection may rest between requests.
    """

    connections: int = 512
    patience: float = 10.0
    idle: float = 75.0


class Visitor(Protocol):
    """Who holds a connection open."""

    @property
    def home(self) -> str:
        """The network it comes from."""
        ...

    def is_overdue(self, since: float) -> bool:
        """Tell whether it has kept the service waiting since that time of the loop or longer."""
        ...

    def hurry(self) -> None:
        """Tell it that it was too slow, and close."""
        ...

    def dismiss(self) -> None:
        """Close."""
        ...


class Door:
    """Lets visitors in while there is room, and sees out those who are too slow."""

    def __init__(self, manners: Manners) -> None:
        self.manners = manners
        self._inside: set[Visitor] = set()
        self._resting: dict[str, dict[Visitor, None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._refused = 0

    async def __aenter__(self) -> Self:
        self.own(self._watch())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for task in set(self._tasks):
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    def own(self, work: Coroutine[object, object, None]) -> None:
        """Do some work of a visitor's; it ends with the door at the latest."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def enter(self, visitor: Visitor) -> bool:
        """Let somebody in, if need be in the place of who rests; at first he rests himself."""
        if len(self._inside) >= self.manners.connections and not self._make_room():
            self._refused += 1
            return False
        self._inside.add(visitor)
        self.resting(visitor)
        return True

    def leave(self, visitor: Visitor) -> None:
        """Note that somebody is gone, if he was ever there."""
        self._inside.discard(visitor)
        self.busy(visitor)

    def busy(self, visitor: Visitor) -> None:
        """Note that a request of somebody's is being answered."""
        from_there = self._resting.get(visitor.home, {})
        from_there.pop(visitor, None)
        if not from_there:
            self._resting.pop(visitor.home, None)

    def resting(self, visitor: Visitor) -> None:
        """Note that it has been answered."""
        if visitor in self._inside:
            self._resting.setdefault(visitor.home, {})[visitor] = None

    def _make_room(self) -> bool:
        """See out who has rested longest, of those who have come in the greatest number.

        So a crowd from one place takes its own places, and nobody else's.
        """
        crowd = max(self._resting.values(), key=len, default=None)
        if crowd is None:
            return False
        longest = next(iter(crowd))
        self.leave(longest)
        longest.dismiss()
        return True

    async def _watch(self) -> None:
        loop = asyncio.get_running_loop()
        pause = min(1.0, self.manners.patience / 4)
        while True:
            began = loop.time()
            await asyncio.sleep(pause)
            if loop.time() - began < 2 * pause:  # else it was the service that kept them waiting
                self._hurry_on(loop.time() - self.manners.patience)
            self._tell_of_refused()

    def _hurry_on(self, since: float) -> None:
        slow = [visitor for visitor in self._inside if visitor.is_overdue(since)]
        for visitor in slow:
            self.leave(visitor)
            visitor.hurry()
        if slow:
            seconds = self.manners.patience
            log.warning("closed %d connections that were too slow for %g s", len(slow), seconds)

    def _tell_of_refused(self) -> None:
        if self._refused:
            log.warning(
                "refused %d connections: %d are busy already (BRIDGE_MAX_CONNECTIONS)",
                self._refused,
                len(self._inside),
            )
            self._refused = 0


def home_of(transport: asyncio.BaseTransport) -> str:
    """The network that a connection comes from."""
    peer = transport.get_extra_info("peername")
    return network_of(peer[0]) if isinstance(peer, tuple) else ""
