"""The file as the event loop asks for it: what waits for a disk does so in a thread of its own."""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Concatenate, ParamSpec, TypeVar

from bridge.webhooks.store import Kept, Store, StoreError

log = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")


class Shelf:
    """Calls the methods of a store one after the other, in the order in which it is asked to.

    ``opens`` gives the store. ``well`` says whether the last thing that was asked for was done.
    """

    def __init__(self, opens: Callable[[], Store]) -> None:
        self.well = False
        self._opens = opens
        self._store: Store | None = None
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="webhooks")
        self._trouble = ""

    async def open(self) -> Kept:
        """Open the store and return what it has. Raises StoreError; then it is not open."""
        return await self._run(self._open)

    async def do(
        self, method: Callable[Concatenate[Store, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Call a method of the store and return what it does. Raises StoreError."""
        return await self._run(lambda: method(self._opened(), *args, **kwargs))

    def close(self) -> None:
        """Wait for what is under way, and close the store."""
        self._thread.shutdown()
        if self._store is not None:
            self._store.close()

    def _open(self) -> Kept:
        store = self._opens()
        try:
            kept = store.kept()
        except StoreError:
            store.close()
            raise
        self._store = store
        return kept

    def _opened(self) -> Store:
        if self._store is None:
            raise StoreError("it is not open")
        return self._store

    async def _run(self, does: Callable[[], T]) -> T:
        try:
            found = await asyncio.get_running_loop().run_in_executor(self._thread, does)
        except StoreError as error:
            self._complain(str(error))
            raise
        self._complain("")
        return found

    def _complain(self, trouble: str) -> None:
        if trouble and trouble != self._trouble:
            log.error(
                "the file of BRIDGE_WEBHOOKS_DB cannot be used: %s; clients are told of no call"
                " events that come from now on until it can",
                trouble,
            )
        if self._trouble and not trouble:
            log.warning("the file of BRIDGE_WEBHOOKS_DB is used again")
        self._trouble, self.well = trouble, not trouble
