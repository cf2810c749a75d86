"""Writes down what is to be sent, before it is: many events at a time, in their order."""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress

from bridge.webhooks.shelf import Shelf
from bridge.webhooks.store import Delivery, StoreError

log = logging.getLogger(__name__)

RETRY = 1.0
"""Seconds between two attempts to write what could not be written."""


class Intake:
    """Takes in deliveries on the event loop, and ``passes`` them on once they are in the file."""

    def __init__(self, shelf: Shelf, passes: Callable[[Sequence[Delivery]], None]) -> None:
        self._shelf = shelf
        self._passes = passes
        self._unwritten: list[Delivery] = []
        self._came, self._stopping = asyncio.Event(), asyncio.Event()
        self.waiting: Counter[str] = Counter()
        """How many wait to be written, by hook."""

    def put(self, delivery: Delivery) -> None:
        """Take one in; it is for the caller to see that they do not become too many."""
        self._unwritten.append(delivery)
        self.waiting[delivery.hook] += 1
        self._came.set()

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
        if self._unwritten and not await self._write():
            log.error("%d events that clients were to be told are lost", len(self._unwritten))

    def stop(self) -> None:
        """Have what there is written once more; nobody must break that off in the middle."""
        self._stopping.set()
        self._came.set()

    async def _write(self) -> bool:
        """Write what there is; False if that cannot be, and it is kept for the next time."""
        batch = list(self._unwritten)
        try:
            numbers = await self._shelf.do(self._shelf.store.add, batch)
        except StoreError:
            return False
        del self._unwritten[: len(batch)]
        self.waiting -= Counter(delivery.hook for delivery in batch)
        for delivery, number in zip(batch, numbers, strict=True):
            delivery.number = number
        self._passes([delivery for delivery in batch if delivery.number])
        return True
