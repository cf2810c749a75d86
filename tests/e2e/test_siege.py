"""Whispers go on while strangers drip, crowd the door, and guess secrets and tokens."""

import asyncio
import socket
from collections import deque
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest
from yarl import URL

from bridge.lab import tones
from bridge.lab.phone import Phone
from tests.support.terminal import Shell
from tests.support.unlimited import UNLIMITED

from .client import Api, views, whisper
from .stage import Call, Stage, level

pytestmark = pytest.mark.pbx

STRANGER = ("127.0.0.66", 0)
"""Where strangers come from; everybody else in these tests is at 127.0.0.1."""

PLACES = 60
HALF = b"PUT /uapi/phoneCalls/12/0003*210/1 HTTP/1.1\r\nX-Slow: "
FORM = {"grant_type": "client_credentials", "client_id": "lab-app"}
SECRET = "lab-only-not-a-secret-1"


@dataclass
class Siege:
    """Strangers at the door of a bridge, and what they were told so far."""

    url: str
    came: int = 0
    told: set[int] = field(default_factory=set)

    async def drip(self) -> None:
        """Come with half a request, again and again, and stay with many more than find room."""
        loop, port = asyncio.get_running_loop(), int(self.url.rpartition(":")[2])
        crowd: deque[socket.socket] = deque()
        try:
            while True:
                crowd.append(socket.socket())
                crowd[-1].setblocking(False)
                crowd[-1].bind(STRANGER)
                with suppress(OSError):
                    await loop.sock_connect(crowd[-1], ("127.0.0.1", port))
                    await loop.sock_sendall(crowd[-1], HALF)
                    self.came += 1
                if len(crowd) > 3 * PLACES:
                    crowd.popleft().close()
                await asyncio.sleep(0.005)
        finally:
            for stranger in crowd:
                stranger.close()

    async def guess(self, http: aiohttp.ClientSession) -> None:
        """Guess the secret of the app, and its tokens."""
        number = 0
        while True:
            number += 1
            form = FORM | {"client_secret": f"guess {number}"}
            bad = {"Authorization": f"Bearer bGFiLWFwcA.1700000000000.{number:064}"}
            with suppress(aiohttp.ClientConnectionError):
                async with http.post(f"{self.url}/oauth/token.php", data=form) as answer:
                    self.told.add(answer.status)
                async with http.get(f"{self.url}/uapi/phoneCalls/12/210", headers=bad) as answer:
                    self.told.add(answer.status)


@asynccontextmanager
async def busy(*work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Have strangers at work, who do not give up before the end."""
    tasks = [asyncio.create_task(stranger) for stranger in work]
    try:
        yield
        assert not any(task.done() for task in tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_a_whisper_from_the_token_to_its_end(
    stage: Stage, call: Call, supervisor: Phone
) -> None:
    starting = stage.another_server(BRIDGE_MAX_CONNECTIONS=str(PLACES))
    async with await starting as server, server.client() as ours:
        siege, elsewhere = Siege(server.url), aiohttp.TCPConnector(local_addr=STRANGER)
        first = await token(ours, server.url)
        async with (
            aiohttp.ClientSession(connector=elsewhere) as theirs,
            busy(siege.drip(), siege.guess(theirs), siege.guess(theirs)),
        ):
            while siege.came < 4 * PLACES or siege.told != {401, 429}:
                await asyncio.sleep(0.05)
            api = Api(ours, server.url, first)
            assert (await api.put(call.path, whisper())).status == 202
            await api.until(call.path, lambda a: "02" in views(a), "the whisper in force")
            assert await level(call.callee, supervisor) > tones.HEARD_DB
            # The next token too, though the app's secret is being guessed all the time.
            assert await token(ours, server.url)
            await supervisor.hang_up()
            await api.until(call.path, lambda a: "02" not in views(a), "the end of the whisper")
    assert not stage.faults(server.log.read_text())


async def test_an_app_that_follows_all_it_can_keeps_nobody_else_out(
    stage: Stage, call: Call, supervisor: Phone
) -> None:
    statuses: list[int] = []

    async def follow(http: aiohttp.ClientSession) -> None:
        stream = URL(f"{server.url}/uapi/phoneCallStream/12/@self", encoded=True)
        async with http.get(stream, headers={"Authorization": f"Bearer {stage.token}"}) as answer:
            statuses.append(answer.status)
            if answer.ok:
                await asyncio.Event().wait()

    async def follow_on(http: aiohttp.ClientSession) -> None:
        while True:
            await follow(http)

    starting = stage.another_server(BRIDGE_MAX_CONNECTIONS=str(PLACES), **UNLIMITED)
    async with await starting as server, server.client() as ours, server.client() as theirs:
        async with busy(*(follow_on(theirs) for _ in range(PLACES // 4 + 5))):
            while statuses.count(429) < PLACES:
                await asyncio.sleep(0.05)
            other = await server.token("system-app")
            shell = Shell({"WHISPER_URL": server.url, "WHISPER_TOKEN": other})
            async with shell.running("watch", call.callee.number) as watching:
                assert call.id in await watching.until("on call")
                api = Api(ours, server.url, other)
                assert (await api.put(call.path, whisper(), "wait=20")).status == 200
                assert call.id in await watching.until(" 02 ")
            await supervisor.hang_up()
            await api.until(call.path, lambda a: "02" not in views(a), "the end of the whisper")
        assert set(statuses) == {200, 429}
        assert statuses.count(200) == PLACES // 4
        log = server.log.read_text()
    assert log.count("refused a stream of app lab-app, which has 15 of 15") == 1
    assert not stage.faults(log)


async def token(http: aiohttp.ClientSession, url: str) -> str:
    """A token, for the right secret."""
    form = FORM | {"client_secret": SECRET}
    async with http.post(f"{url}/oauth/token.php", data=form) as answer:
        assert answer.status == 200
        return str((await answer.json())["access_token"])
