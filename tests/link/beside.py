"""Bridges beside a real Asterisk: in this process, where it is quick, with a client of its API."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp

from bridge.ami import Address, Link
from bridge.api import Site, serving
from bridge.directory import Directory
from bridge.service import Service
from bridge.tokens import TokenBook
from tests.e2e.client import Api
from tests.e2e.stage import Stage

from .ear import running

_TOKENS = TokenBook([b"k" * 64])


@dataclass(frozen=True)
class Beside:
    """A bridge in this process, and a client of it."""

    api: Api
    link: Link
    service: Service


@asynccontextmanager
async def _held(link: Link, service: Service) -> AsyncIterator[None]:
    async with running(link, service):
        yield
        await service.close()


@asynccontextmanager
async def a_bridge(
    address: Address, directory: Directory, *, silence: float = 5.0
) -> AsyncIterator[Beside]:
    """A bridge whose link goes to an address; it need not be up."""
    link = Link(address, silence=silence)
    service = Service(directory, link)
    site = Site(service, _TOKENS, "http://bridge")
    async with (
        serving(site, _held(link, service), "127.0.0.1", 0) as (host, port),
        aiohttp.ClientSession() as http,
    ):
        token = _TOKENS.issue("lab-app", time.time())
        yield Beside(Api(http, f"http://{host}:{port}", token), link, service)


@asynccontextmanager
async def beside(stage: Stage, ami_port: int = 0) -> AsyncIterator[Beside]:
    """A bridge beside the stage's Asterisk, whose picture is complete."""
    address = Address("127.0.0.1", ami_port or stage.pbx.ami_port, "whisper-bridge", stage.secret)
    directory = Directory.parse(stage.directory.read_text())
    async with a_bridge(address, directory) as bridge:
        await bridge.api.until("12/0003*210", lambda a: a.status != 503, "the picture")
        yield bridge
