"""The file as the event loop asks for it: what waits for a disk does so in a thread of its own."""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from bridge.webhooks.store import Store, StoreError

log = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")


class Shelf:
    """Calls the methods of a store one after the other, in the order in which it is asked to."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="webhooks")
        self._trouble = ""

    async def do(self, method: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a method and return what it does. Raises StoreError."""
        loop = asyncio.get_running_loop()
        try:
            found = await loop.run_in_executor(self._thread, lambda: method(*args, **kwargs))
        except StoreError as error:
            self._complain(str(error))
            raise
        self._complain("")
        return found

    def close(self) -> None:
        """Wait for what is under way; the store is closed by whoever opened it."""
        self._thread.shutdown()

    def _complain(self, trouble: str) -> None:
        if trouble and trouble != self._trouble:
            log.error("the file of BRIDGE_WEBHOOKS_DB cannot be used: %s", trouble)
        if self._trouble and not trouble:
            log.warning("the file of BRIDGE_WEBHOOKS_DB is used again")
        self._trouble = trouble
