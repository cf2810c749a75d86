"""A listener that keeps what the link tells it, and links for tests."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import NamedTuple

from bridge.ami import Address, Link, Listener
from bridge.events import Event, Listed, Seen
from bridge.lab.waiting import Journal

from .fake_pbx import SECRET, USERNAME, AmiServer

PATIENCE = 3.0
"""Seconds for what happens at once, on a busy machine."""


class Restored(NamedTuple):
    """The link told everything there is."""

    listing: tuple[Listed, ...]
    holding: tuple[str, ...]
    version: str = ""


class Lost(NamedTuple):
    """The link told that it is gone, and for how many seconds the PBX had said nothing."""

    quiet: float = 0.0


Heard = Event | Restored | Lost


class Ear:
    """Keeps everything in the order in which it was told."""

    def __init__(self) -> None:
        self.heard: Journal[Heard] = Journal()

    def on_event(self, event: Event) -> None:
        """One event."""
        self.heard.add(event)

    def on_restored(
        self, listing: Sequence[Listed], holding: Sequence[str], version: str = ""
    ) -> None:
        """Everything there is."""
        self.heard.add(Restored(tuple(listing), tuple(holding), version))

    def on_lost(self, quiet: float = 0.0) -> None:
        """The link is gone."""
        self.heard.add(Lost(quiet))

    @property
    def events(self) -> list[Event]:
        """The events so far."""
        return [item for item in self.heard.entries if not isinstance(item, Restored | Lost)]

    def mark(self) -> int:
        """Where the journal ends now."""
        return self.heard.mark()

    async def hears(self, kind: type, *, since: int = 0, within: float = PATIENCE) -> Heard:
        """Wait for something of a kind."""
        return await self.heard.wait(
            lambda item: isinstance(item, kind), kind.__name__, within=within, since=since
        )

    async def hears_of(self, uniqueid: str, *, since: int = 0) -> None:
        """Wait for the first event about a channel."""
        await self.heard.wait(
            lambda item: isinstance(item, Seen) and item.channel.uniqueid == uniqueid,
            f"an event about {uniqueid}",
            within=PATIENCE,
            since=since,
        )

    def count(self, kind: type) -> int:
        """How often something of a kind was told."""
        return sum(isinstance(item, kind) for item in self.heard.entries)


def address(server: AmiServer, secret: str = SECRET) -> Address:
    """Where the server is."""
    return Address("127.0.0.1", server.port, USERNAME, secret)


@asynccontextmanager
async def running(link: Link, listener: Listener) -> AsyncIterator[asyncio.Task[None]]:
    """Keep a link up."""
    task = asyncio.create_task(link.run(listener))
    try:
        yield task
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@asynccontextmanager
async def linked(
    server: AmiServer, *, silence: float = 5.0, action_timeout: float = 5.0
) -> AsyncIterator[tuple[Link, Ear]]:
    """A link that is up, and who listens to it."""
    link, ear = Link(address(server), silence=silence, action_timeout=action_timeout), Ear()
    async with running(link, ear):
        await ear.hears(Restored)
        yield link, ear
