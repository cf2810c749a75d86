"""A link to the PBX for a moment, for commands that ask it something."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from bridge.ami import Link
from bridge.checking import Probe
from bridge.cli.serve import address_of
from bridge.settings import Settings

LIMIT = 15.0
"""Seconds the link may take to come up or to say why it does not."""


class NoLink(Exception):
    """The link does not come up; as text, why."""


@asynccontextmanager
async def linked(settings: Settings) -> AsyncIterator[tuple[Link, Probe]]:
    """Hold a link to the configured PBX, with a probe that listens to it.

    Raises NoLink, and UsageError when what is to be trusted cannot be read.
    """
    link, probe = Link(address_of(settings), silence=settings.ami_silence), Probe()
    task = asyncio.create_task(link.run(probe))
    try:
        if not await _came_up(link, probe):
            where = f"{settings.ami_host}:{settings.ami_port}"
            raise NoLink(link.complaint or f"the PBX at {where} answers too slowly")
        yield link, probe
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def _came_up(link: Link, probe: Probe) -> bool:
    with suppress(TimeoutError):
        async with asyncio.timeout(LIMIT):
            while not link.complaint:
                with suppress(TimeoutError):
                    async with asyncio.timeout(0.05):
                        return await probe.up.wait()
    return False
