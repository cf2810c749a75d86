"""Tells systemd how the service is, for as long as there is something alive to tell of."""

import asyncio
import logging
from contextlib import suppress

from bridge.ami import Link
from bridge.service import Service
from bridge.systemd import Notifier

log = logging.getLogger(__name__)

_PAUSE = 1.0
"""Seconds between two looks at how the service is."""


class Supervision:
    """Ready is when the picture of the PBX is complete for the first time.

    ``watchdog`` is within how many seconds systemd wants a sign of life, 0 for never.
    """

    def __init__(
        self, notifier: Notifier, link: Link, service: Service, *, watchdog: float = 0.0
    ) -> None:
        self._notifier = notifier
        self._link = link
        self._service = service
        self._watchdog = watchdog
        # Two signs may be lost before the third is too late.
        self._pause = min(_PAUSE, watchdog / 3) if watchdog else _PAUSE
        self._ready = False

    async def run(self, link_task: asyncio.Task[None]) -> None:
        """Tell systemd, and go on until the task of the link ends: no sign of life after that."""
        while not link_task.done():
            self._tell()
            await self._wait()
        log.critical("the task of the link to the PBX has ended: without it nothing is known")

    def reload_begun(self) -> None:
        """The configuration is read anew."""
        if self._ready:
            self._notifier.reloading()

    def reload_done(self) -> None:
        """The configuration has been read anew."""
        if self._ready:
            self._notifier.ready()

    def _tell(self) -> None:
        self._notifier.status(self._words())
        if self._service.complete and not self._ready:
            self._ready = True
            self._notifier.ready()
        if self._watchdog:
            self._notifier.alive()

    async def _wait(self) -> None:
        if self._ready:
            await asyncio.sleep(self._pause)
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(self._pause):
                await self._service.until_complete()

    def _words(self) -> str:
        if not self._service.complete:
            return self._link.complaint or "waiting for the picture of the PBX"
        channels = len(self._service.picture.channels)
        whispers = sum(1 for _ in self._service.whispering.book)
        return f"linked to the PBX; channels: {channels}, whispers: {whispers}"
