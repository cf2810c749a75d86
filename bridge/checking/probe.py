"""Listens to a link on behalf of the checks."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Final

from bridge.events import Event, HungUp, Listed, Originated

ANSWER_LIMIT: Final = 3.0
"""Seconds within which the PBX tells what became of something."""


class Probe:
    """Knows whether the link came up, and what it was told."""

    def __init__(self) -> None:
        self.up = asyncio.Event()
        self.channels = 0
        self._originated: dict[str, bool] = {}
        self._ended: dict[str, int] = {}
        self._heard = asyncio.Event()

    def on_event(self, event: Event) -> None:
        """One event."""
        if isinstance(event, Originated):
            self._originated[event.uniqueid] = event.success
        elif isinstance(event, HungUp):
            self._ended[event.channel.uniqueid] = event.cause
        else:
            return
        self._heard.set()

    def on_restored(
        self, listing: Sequence[Listed], holding: Iterable[str], version: str = ""
    ) -> None:
        """The picture is complete."""
        self.channels = len(listing)
        self.up.set()

    def on_lost(self, quiet: float = 0.0) -> None:
        """The link is gone."""
        self.up.clear()

    async def originated(self, leg: str) -> bool | None:
        """Wait a while for the outcome of a call: whether it was set up, None if nobody told."""
        await self._wait_for(lambda: leg in self._originated)
        return self._originated.get(leg)

    async def ended(self, uniqueid: str) -> int | None:
        """Wait a while for the end of a channel; its cause (ITU-T Q.850), None if it lives on."""
        await self._wait_for(lambda: uniqueid in self._ended)
        return self._ended.get(uniqueid)

    async def _wait_for(self, heard: Callable[[], bool]) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(ANSWER_LIMIT):
                while not heard():
                    self._heard.clear()
                    await self._heard.wait()
