"""How many streams there are: none keep others from theirs, and all leave room for requests."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import aiohttp
import pytest

from bridge.api import Manners
from tests.support.happenings import talk
from tests.support.scene import AGENT_LEG, CUSTOMER

from .house import LIMIT, TOKENS, Answered, House, served
from .test_streams import STREAM, Reader

CONNECTIONS = 16
IN_ALL, OF_ONE_APP = 8, 4


class Apps:
    """A house of few connections, and the streams that its apps follow."""

    def __init__(self, house: House, following: AsyncExitStack) -> None:
        self.house = house
        self._following = following

    async def follow(self, app: str, count: int = 1) -> list[Reader]:
        """Have an app follow so many streams more, to where each is ready."""
        return [await self._one(app) for _ in range(count)]

    async def _one(self, app: str) -> Reader:
        headers = {"Authorization": f"Bearer {token(app)}"}
        asked = self.house.http.get(self.house.url + STREAM, headers=headers)
        answer = await self._following.enter_async_context(asked)
        assert answer.status == 200
        reader = Reader(answer)
        assert [name for name, _ in await reader.events(2)] == ["phoneCall", "ready"]
        return reader

    async def refused(self, app: str) -> Answered:
        """An app asks for a stream it does not get."""
        answer = await self.house.get(STREAM, token=token(app))
        assert 1 <= int(answer.headers["Retry-After"]) <= 60
        return answer

    async def left(self, count: int) -> None:
        """Wait until so many are followed, much less long than until a heartbeat."""
        async with asyncio.timeout(3):
            while self.house.service.following.subscribers != count:
                await asyncio.sleep(0.01)


def token(app: str) -> str:
    return TOKENS.issue(app, time.time())


@pytest.fixture
async def apps() -> AsyncIterator[Apps]:
    async with crowded() as apps:
        yield apps


@asynccontextmanager
async def crowded(connections: int = CONNECTIONS) -> AsyncIterator[Apps]:
    async with (
        served(manners=Manners(connections)) as (url, service, pbx),
        aiohttp.ClientSession(timeout=LIMIT) as http,
        AsyncExitStack() as following,
    ):
        service.on_restored([], [])
        for event in talk(CUSTOMER, AGENT_LEG):
            service.on_event(event)
        (call,) = service.picture.calls()
        yield Apps(House(url, service, pbx, http, token("lab-app"), call.id), following)


async def test_an_app_has_its_share_and_no_more(apps: Apps) -> None:
    await apps.follow("lab-app", OF_ONE_APP)
    answer = await apps.refused("lab-app")
    assert (answer.status, answer.code) == (429, "too_many_requests")
    # Others have theirs, and it has the rest of what the service does.
    await apps.follow("system-app")
    assert (await apps.house.get(apps.house.path())).status == 200
    apps.house.pbx.replies["Originate"] = apps.house.rings
    assert (await apps.house.put()).status == 202


async def test_streams_leave_connections_for_requests(apps: Apps) -> None:
    for app in ("lab-app", "system-app"):
        await apps.follow(app, OF_ONE_APP)
    answer = await apps.refused("agent-app")
    assert (answer.status, answer.code) == (503, "too_many_connections")
    asked = [apps.house.get(apps.house.path()) for _ in range(CONNECTIONS - IN_ALL - 1)]
    assert {each.status for each in await asyncio.gather(*asked)} == {200}


async def test_who_goes_makes_room_at_once(apps: Apps) -> None:
    readers = await apps.follow("lab-app", OF_ONE_APP)
    for reader in readers:
        assert (await apps.refused("lab-app")).status == 429
        reader.answer.close()
        await apps.left(OF_ONE_APP - 1)
        await apps.follow("lab-app")


async def test_who_is_refused_anything_else_takes_no_room(apps: Apps) -> None:
    for _ in range(2 * IN_ALL):
        assert (await apps.house.get(STREAM.replace("210", "999"))).status == 400
    await apps.follow("lab-app", OF_ONE_APP)


async def test_where_there_are_few_connections_there_is_one_stream() -> None:
    async with crowded(3) as apps:
        await apps.follow("lab-app")
        assert (await apps.refused("lab-app")).status == 429
        assert (await apps.refused("system-app")).status == 503


async def test_the_operator_is_told_once_in_a_while_of_whom(
    apps: Apps, caplog: pytest.LogCaptureFixture
) -> None:
    await apps.follow("lab-app", OF_ONE_APP)
    await apps.follow("system-app", OF_ONE_APP)
    with caplog.at_level(logging.WARNING):
        for app in ("lab-app", "agent-app", "lab-app", "agent-app"):
            await apps.refused(app)
    assert caplog.messages == [
        f"refused a stream of app {app}, which has {has} of 4; there are 8 of 8 in all"
        " (BRIDGE_MAX_CONNECTIONS)"
        for app, has in (("lab-app", 4), ("agent-app", 0))
    ]
