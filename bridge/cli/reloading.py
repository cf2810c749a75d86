"""What is read anew on SIGHUP, part by part; a part that is broken keeps what was in force."""

import asyncio
import logging
import signal
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from bridge.cli.common import MISTAKES

log = logging.getLogger(__name__)

T = TypeVar("T")

READ_LIMIT = 30.0
"""Seconds that reading a part may take: its disk may be somebody else's."""


@dataclass(frozen=True, slots=True)
class Reloadable(Generic[T]):
    """A part that can be read anew, called ``name`` in the log.

    ``read`` runs in a thread, so that no request waits for a disk or a parser, and raises one of
    MISTAKES when the part is broken. ``apply`` then runs on the loop, with what was read.
    """

    name: str
    read: Callable[[], T]
    apply: Callable[[T], None]


class Reloader:
    """Reads ``parts`` anew in their order whenever asked to.

    ``begun`` and ``done`` are called around each round (systemd's notifications hang on them).
    """

    def __init__(
        self,
        parts: Sequence[Reloadable[Any]],
        *,
        begun: Callable[[], None] = lambda: None,
        done: Callable[[], None] = lambda: None,
    ) -> None:
        self._parts = parts
        self._begun, self._done = begun, done
        self._asked = asyncio.Event()

    def ask(self) -> None:
        """Ask for a round; asked during one, another follows it."""
        self._asked.set()

    async def run(self) -> None:
        """Do rounds as they are asked for, until cancelled."""
        while True:
            await self._asked.wait()
            self._asked.clear()
            self._begun()
            try:
                for part in self._parts:
                    await _reload(part)
            finally:
                self._done()


async def _reload(part: Reloadable[Any]) -> None:
    try:
        async with asyncio.timeout(READ_LIMIT):
            fresh = await asyncio.to_thread(part.read)
        part.apply(fresh)
    except MISTAKES as error:
        why = str(error) or f"not read within {READ_LIMIT:g} s"
        log.error("reload: %s: %s; what was in force stays", part.name, why)
    # A fault in one part must not cost the others, nor the next round.
    except Exception:
        log.exception("reload: %s failed; what was in force stays", part.name)
    else:
        log.info("reload: %s is in force", part.name)


@asynccontextmanager
async def on_sighup(reloader: Reloader) -> AsyncIterator[None]:
    """Have SIGHUP ask for a round while the context lasts."""
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGHUP, reloader.ask)
    task = loop.create_task(reloader.run())
    try:
        yield
    finally:
        # Left without a handler, one more SIGHUP would end the process in the middle of its end.
        loop.add_signal_handler(signal.SIGHUP, _too_late)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def _too_late() -> None:
    log.warning("SIGHUP: nothing is read anew any more, the service is ending")
