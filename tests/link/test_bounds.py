"""What the picture of a busy PBX costs, and that nothing stays behind or holds the link up."""

import asyncio
import gc
import logging
import socket
import sys
import time
import tracemalloc
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager

import aiohttp
import pytest

from bridge import actions, events
from bridge.actions import Action, Answer
from bridge.ami import Link
from bridge.api import Site, serving
from bridge.model import WHISPER_LEG_PREFIX
from bridge.service import Service
from bridge.tokens import TokenBook
from tests.support.directory import AGENT, DIRECTORY, principal
from tests.support.scene import form

from .ear import PATIENCE, address, running
from .fake_pbx import AmiServer, channel, event, hangup, new_channel

CHANNELS = 10_000
CYCLES = 20_000
WHISPERED = 10
"""Every so many calls somebody whispers."""

WARMING = 1_500
"""Calls after which the picture remembers as many ended channels as it ever does."""

TOKENS = TokenBook([b"k" * 64])


class Forgetful:
    """A PBX that does whatever it is asked, and keeps the last leg it was asked to originate."""

    leg = ""

    async def send(self, action: Action) -> Answer:
        """Take an action."""
        self.leg = action.headers.get("ChannelId", self.leg)
        return Answer(True, "", {})


def begins(number: int) -> Iterator[bytes]:
    """A customer calls the agent, and both talk."""
    caller = channel(f"{number}.1", "7778888", CallerIDNum="3334444", CallerIDName="John Doe")
    callee = channel(f"{number}.2", Linkedid=f"{number}.1", ConnectedLineNum="3334444")
    dest = {f"Dest{key}": value for key, value in callee.items()}
    bridge = {"BridgeUniqueid": f"bridge-{number}", "BridgeTechnology": "simple_bridge"}
    yield event("Newchannel", **{**caller, "ChannelState": "4"})
    yield event("Newchannel", **{**callee, "ChannelState": "0"})
    yield event("DialBegin", **caller, **dest)
    yield event("Newstate", **{**callee, "ChannelState": "5"})
    yield event("Newstate", **callee)
    yield event("DialEnd", **caller, **dest, DialStatus="ANSWER")
    yield event("BridgeEnter", **bridge, **callee)
    yield event("BridgeEnter", **bridge, **caller)


def ends(number: int) -> Iterator[bytes]:
    """Both hang up."""
    for part, who in (("1", "7778888"), ("2", "0003*210")):
        gone = channel(f"{number}.{part}", who, Linkedid=f"{number}.1")
        yield event("BridgeLeave", BridgeUniqueid=f"bridge-{number}", **gone)
        yield hangup(f"{number}.{part}", who)


def feed(service: Service, said: Iterator[bytes]) -> None:
    """Have a service take in what the PBX said, as the link would."""
    for message in said:
        parsed = events.parse(message)
        assert parsed is not None
        service.on_event(parsed)


@asynccontextmanager
async def a_service() -> AsyncIterator[tuple[Service, Forgetful]]:
    """A service with an empty picture, and its PBX."""
    pbx = Forgetful()
    service = Service(DIRECTORY, pbx)
    service.on_restored([], [])
    yield service, pbx
    await service.close()


@pytest.fixture
def memory() -> Iterator[None]:
    """Keep account of memory."""
    tracemalloc.start()
    yield
    tracemalloc.stop()


def in_use() -> int:
    """Bytes in use."""
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


@pytest.mark.usefixtures("memory")
async def test_a_channel_costs_two_kilobytes_at_most() -> None:
    async with a_service() as (service, _):
        before = in_use()
        for number in range(CHANNELS // 2):
            feed(service, begins(number))
        legs = service.picture.channels.values()
        async with asyncio.timeout(60):
            while not all(leg.remembered for leg in legs):
                await asyncio.sleep(0.01)
        each = (in_use() - before) / CHANNELS
        assert len(service.picture.channels) == CHANNELS
    print(f"{each:.0f} bytes per channel, its memo included")
    assert each <= 2048


async def test_calls_that_ended_leave_nothing_behind() -> None:
    async with a_service() as (service, pbx):
        await _cycle(service, pbx, range(WARMING))
        before = _blocks()
        await _cycle(service, pbx, range(WARMING, WARMING + CYCLES))
        left = _blocks() - before
        assert not service.picture.channels
        assert not service.picture.bridges
        assert not service.picture.calls()
        assert not list(service.whispering.book)
    print(f"{left} blocks of memory more after {CYCLES} calls")
    # The loop keeps some hundred timers that were cancelled; one piece per whisper were 2,000.
    assert left < CYCLES / WHISPERED / 2


def _blocks() -> int:
    """How many pieces of memory Python has given out."""
    gc.collect()
    return sys.getallocatedblocks()


async def _cycle(service: Service, pbx: Forgetful, numbers: range) -> None:
    for number in numbers:
        feed(service, begins(number))
        if number % WHISPERED == 0:
            await _whisper(service, pbx)
        feed(service, ends(number))
        await asyncio.sleep(0)
    async with asyncio.timeout(PATIENCE):
        while service.picture.touched:
            await asyncio.sleep(0.01)


async def _whisper(service: Service, pbx: Forgetful) -> None:
    """The supervisor whispers, until the call ends."""
    (call,) = service.list_calls([AGENT])
    asking = asyncio.create_task(service.whisper(principal(), [AGENT], call.id, form()))
    before = pbx.leg
    async with asyncio.timeout(PATIENCE):
        while pbx.leg == before:
            await asyncio.sleep(0)
    assert pbx.leg.startswith(WHISPER_LEG_PREFIX)
    spy, target = channel(pbx.leg, "0003*024"), channel("1.2")
    feed(service, iter([new_channel(pbx.leg, "0003*024")]))
    assert await asking is not None
    parts = {f"Spyer{k}": v for k, v in spy.items()} | {f"Spyee{k}": v for k, v in target.items()}
    parts["SpyeeUniqueid"] = next(iter(service.whispering.book)).target
    feed(service, iter([event("ChanSpyStart", **parts), hangup(pbx.leg, "0003*024")]))


# A client that does not read

CLIENTS, REQUESTS = 4, 400


async def test_a_client_that_does_not_read_never_slows_the_link(
    server: AmiServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "bridge.api")
    server.channels = [channel(f"0.{n}") for n in range(300)]
    link = Link(address(server))
    service = Service(DIRECTORY, link)
    site = Site(service, TOKENS, "http://bridge")
    async with AsyncExitStack() as stack:
        resource = _held(link, service)
        host, port = await stack.enter_async_context(serving(site, resource, "127.0.0.1", 0))
        url = f"http://{host}:{port}/uapi/phoneCalls/12/0003*210?count=300"
        http = await stack.enter_async_context(aiohttp.ClientSession())
        headers = {"Authorization": f"Bearer {TOKENS.issue('lab-app', time.time())}"}
        await _complete(service)
        deaf = [_deaf(port, url, headers["Authorization"]) for _ in range(CLIENTS)]
        served = await _stuck(caplog)
        assert CLIENTS <= served < CLIENTS * REQUESTS
        taken = len(service.picture.channels)
        server.line.say(b"".join(new_channel(f"9.{n}") for n in range(5_000)))
        async with asyncio.timeout(30):
            while "9.4999" not in service.picture.channels:
                await asyncio.sleep(0)
        assert len(service.picture.channels) == taken + 5_000
        assert (await link.send(actions.ping())).success
        async with http.get(url.partition("?")[0], headers=headers) as answer:
            assert answer.status == 200
        assert len(caplog.records) == served + 1
        for client in deaf:
            client.close()


@asynccontextmanager
async def _held(link: Link, service: Service) -> AsyncIterator[None]:
    async with running(link, service):
        yield
        await service.close()


async def _complete(service: Service) -> None:
    async with asyncio.timeout(PATIENCE):
        while not service.complete:
            await asyncio.sleep(0)


def _deaf(port: int, url: str, authorization: str) -> socket.socket:
    """A client that asks many times in a row and reads no answer."""
    path = url.partition(str(port))[2]
    request = f"GET {path} HTTP/1.1\r\nHost: h\r\nAuthorization: {authorization}\r\n\r\n"
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.connect(("127.0.0.1", port))
    client.setblocking(False)
    client.send(request.encode() * REQUESTS)
    return client


async def _stuck(caplog: pytest.LogCaptureFixture) -> int:
    """Wait until no request is answered any more; return how many were."""
    served = -1
    while served != len(caplog.records) or not served:
        served = len(caplog.records)
        await asyncio.sleep(0.5)
    return served
