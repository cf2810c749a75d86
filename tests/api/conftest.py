"""A house for every test of the API."""

import time
from collections.abc import AsyncIterator

import aiohttp
import pytest

from bridge.directory import Directory
from tests.support.directory import DIRECTORY
from tests.support.happenings import talk
from tests.support.scene import AGENT_LEG, CUSTOMER

from .house import LIMIT, TOKENS, House, served


@pytest.fixture
def people() -> Directory:
    """Who exists in the house."""
    return DIRECTORY


@pytest.fixture
async def house(people: Directory) -> AsyncIterator[House]:
    async with (
        served(directory=people) as (url, service, pbx),
        aiohttp.ClientSession(timeout=LIMIT) as http,
    ):
        service.on_restored([], [])
        for event in talk(CUSTOMER, AGENT_LEG):
            service.on_event(event)
        (call,) = service.picture.calls()
        token = TOKENS.issue("lab-app", time.time())
        found = House(url, service, pbx, http, token, call.id)
        pbx.replies["Originate"] = found.rings
        yield found
