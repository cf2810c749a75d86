"""Clients are told of every call once, in webhooks and streams, whatever happens to the link.

A run is repeated by its seed: ``TELLING_SEED=7 pytest tests/link/test_telling.py``.
"""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from random import Random

import aiohttp
import pytest

from bridge.lab import packages
from bridge.lab.asterisk import Asterisk, conf_dir
from bridge.lab.server import Server
from tests.e2e.client import Api
from tests.support.receiver import Receiver, receiving
from tests.support.unlimited import UNLIMITED

from .chaos import CUSTOMERS, House
from .follower import Follower
from .proxy import Proxy
from .silent_phone import SilentPhone
from .telling import AGENTS, Run

pytestmark = [pytest.mark.pbx, pytest.mark.timeout(120)]

RUNS = 8
ROUNDS = 6
SEEDS = [int(os.environ["TELLING_SEED"])] if "TELLING_SEED" in os.environ else range(RUNS)
SECRET = "a-secret-for-telling"


@pytest.fixture(scope="module")
async def house(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    build = await packages.asterisk("22", print)
    async with AsyncExitStack() as stack:
        starting = Asterisk.start(build, tmp_path_factory.mktemp("telling"), bridge_secret=SECRET)
        pbx = await stack.enter_async_context(await starting)
        phones = {}
        for number in (*AGENTS, *CUSTOMERS):
            phone = SilentPhone(number, pbx.sip_port, answers=number != AGENTS[1])
            phones[number] = await stack.enter_async_context(phone)
        house = House(pbx, await pbx.observer(), phones)
        yield house
        await house.observer.close()


async def hooks(api: Api, url: str, receiver: Receiver) -> None:
    """Ask to be told of everything."""
    for number in AGENTS:
        for kind in range(5):
            body = {"type": kind, "url": receiver.url(f"/{number}/{kind}"), "method": 1}
            path = f"{url}/uapi/extensions/@owner/{number}/phoneCallEvents"
            assert (await api.request("POST", path, json=body)).status == 200


@asynccontextmanager
async def a_run(house: House, run_dir: Path, dice: Random) -> AsyncIterator[Run]:
    """A bridge behind the proxy, and clients told of everything; at the end no call is left."""
    async with AsyncExitStack() as stack:
        proxy = await stack.enter_async_context(Proxy(house.pbx.ami_port, Random(dice.random())))
        receiver = await stack.enter_async_context(receiving())
        server = await stack.enter_async_context(
            await Server.start(
                run_dir,
                ami_port=proxy.port,
                ami_secret=SECRET,
                directory=conf_dir() / "lab" / "directory.toml",
                BRIDGE_AMI_SILENCE="1",
                BRIDGE_WEBHOOKS_DB=str(run_dir / "webhooks.sqlite"),
                BRIDGE_WEBHOOKS_ALLOW="127.0.0.0/8",
                **UNLIMITED,
            )
        )
        http = await stack.enter_async_context(aiohttp.ClientSession())
        token = await server.token("lab-app")
        api = Api(http, server.url, token)
        await hooks(api, server.url, receiver)
        path = f"/uapi/phoneCallStream/@owner/{AGENTS[0]}"
        follower = Follower(http, server.url + path, token)
        following = asyncio.create_task(follower.run())
        try:
            yield Run(house, proxy, server, receiver, api, follower, dice)
        finally:
            await house.silence()
            following.cancel()
            with suppress(asyncio.CancelledError):
                await following


@pytest.mark.parametrize("seed", SEEDS)
async def test_every_call_is_told_once_over_gaps_and_restarts(
    house: House, tmp_path: Path, seed: int
) -> None:
    async with a_run(house, tmp_path, Random(seed)) as run:
        await run.play(ROUNDS)
        assert len(run.truth.legs) > ROUNDS
        assert run.follower.gaps > 0
        assert run.follower.resumed > 0


async def test_when_the_pbx_is_killed_every_call_is_told_to_have_ended(
    house: House, tmp_path: Path
) -> None:
    async with a_run(house, tmp_path, Random(0)) as run:
        for called in AGENTS:
            await run.call(called)
        begun = [one.path for one in await run.receiver.events(3)]
        assert sorted(begun) == [f"/{AGENTS[0]}/0", f"/{AGENTS[0]}/3", f"/{AGENTS[1]}/0"]
        await house.restart()
        ended = (await run.receiver.events(5))[3:]
        assert sorted(one.path for one in ended) == [f"/{number}/2" for number in AGENTS]
        statuses = [one.parameters["CallStatus"] for one in ended]
        assert sorted(statuses) == ["ANSWER", "UNKNOWN"]
        await run.call(AGENTS[0])
        anew = (await run.receiver.events(7))[5:]
        assert sorted(one.path for one in anew) == [f"/{AGENTS[0]}/0", f"/{AGENTS[0]}/3"]
