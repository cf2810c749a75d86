"""Writes down what happened before clients are told of it: much at a time, in its order."""

import asyncio
import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress

from bridge.callevents import Part
from bridge.webhooks.shelf import Shelf
from bridge.webhooks.store import Delivery, Entry, Store, StoreError

log = logging.getLogger(__name__)

RETRY = 1.0
"""Seconds between two attempts to write what could not be written."""


class Intake:
    """Gathers on the event loop what the file is to have, and ``passes`` deliveries on once it has.

    While the file cannot be written, what waits is bounded by the deliveries that are put in and by
    the calls there are.
    """

    def __init__(self, shelf: Shelf, passes: Callable[[Sequence[Delivery]], None]) -> None:
        self._shelf = shelf
        self._passes = passes
        self._legs: set[str] = set()
        self._followed: set[str] = set()
        self._parts: dict[str, Part | None] = {}
        self._unwritten: list[Delivery] = []
        self._postponed: dict[int, tuple[int, float]] = {}
        self._finished: set[int] = set()
        self._came, self._stopping, self._tried = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._in_trouble = False

    def know(self, legs: Iterable[str]) -> None:
        """Of these legs the file has parts, by their Uniqueids."""
        self._legs |= set(legs)

    def put(
        self,
        deliveries: Sequence[Delivery] = (),
        parts: Mapping[str, Part | None] | None = None,
        followed: Collection[str] = (),
    ) -> None:
        """Take in what happened and what it changed, to be written all or none.

        It is for the caller to see that deliveries do not become too many.
        """
        self._unwritten += deliveries
        self._followed |= set(followed)
        for leg, part in (parts or {}).items():
            self._parts[leg] = part
            if part is None and leg not in self._legs:
                del self._parts[leg]
        if deliveries or self._parts or followed:
            self._came.set()

    def postpone(self, delivery: Delivery) -> None:
        """Have it written how often a delivery was tried, and when it is tried again."""
        self._postponed[delivery.number] = delivery.attempts, delivery.due
        self._came.set()

    async def finish(self, delivery: Delivery) -> None:
        """Have a delivery removed from the file, and return once that was tried.

        As long as it is there, the client would be told once more after a restart.
        """
        self._postponed.pop(delivery.number, None)
        self._finished.add(delivery.number)
        self._came.set()
        tried = self._tried
        if not self._in_trouble:
            await tried.wait()

    async def run(self) -> None:
        """Write what comes, until told to stop."""
        while not self._stopping.is_set():
            await self._came.wait()
            self._came.clear()
            if not await self._write():
                self._came.set()
                with suppress(TimeoutError):
                    async with asyncio.timeout(RETRY):
                        await self._stopping.wait()
        if self._came.is_set() and not await self._write():
            log.error("%d events that clients were to be told are lost", len(self._unwritten))

    def stop(self) -> None:
        """Have what there is written once more; nobody must break that off in the middle."""
        self._stopping.set()
        self._came.set()

    async def _write(self) -> bool:
        """Write what there is; False if that cannot be, and it is kept for the next time."""
        entry = Entry(
            list(self._followed),
            dict(self._parts),
            list(self._unwritten),
            dict(self._postponed),
            list(self._finished),
        )
        # From now on, the end of such a part has to be written as well.
        self._legs |= {leg for leg, part in entry.parts.items() if part is not None}
        tried, self._tried = self._tried, asyncio.Event()
        try:
            numbers = await self._shelf.do(Store.write, entry)
        except StoreError:
            self._in_trouble = True
            return False
        finally:
            tried.set()
        self._in_trouble = False
        self._wrote(entry)
        for delivery, number in zip(entry.deliveries, numbers, strict=True):
            delivery.number = number
        self._passes(entry.deliveries)
        return True

    def _wrote(self, entry: Entry) -> None:
        """Forget what was written, but not what came meanwhile."""
        self._followed -= set(entry.followed)
        for leg, part in entry.parts.items():
            if leg in self._parts and self._parts[leg] is part:
                del self._parts[leg]
            if part is None:
                self._legs.discard(leg)
        del self._unwritten[: len(entry.deliveries)]
        for number, tried in entry.postponed.items():
            if self._postponed.get(number) == tried:
                del self._postponed[number]
        self._finished -= set(entry.finished)
