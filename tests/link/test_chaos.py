"""Whatever is done to the link: once it is whole again, the bridge knows what Asterisk knows.

And the audit has every second in which somebody spied, or that he may have.

A run is repeated by its seed: ``CHAOS_SEED=17 pytest tests/link/test_chaos.py``.
"""

import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from random import Random

import pytest

from bridge.ami import Address, Link
from bridge.lab import packages
from bridge.lab.asterisk import Asterisk
from bridge.service import Service
from tests.support.directory import DIRECTORY

from .chaos import AGENTS, CUSTOMERS, FOUND, SUPERVISORS, House, Run, Written
from .ear import running
from .proxy import Proxy
from .silent_phone import SilentPhone

pytestmark = pytest.mark.pbx

RUNS = 200
SEEDS = [int(os.environ["CHAOS_SEED"])] if "CHAOS_SEED" in os.environ else range(RUNS)
SECRET = "a-secret-for-chaos"
SILENCE = 0.5


@pytest.fixture(scope="module")
async def house(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    build = await packages.asterisk("22", print)
    async with AsyncExitStack() as stack:
        starting = Asterisk.start(build, tmp_path_factory.mktemp("chaos"), bridge_secret=SECRET)
        pbx = await stack.enter_async_context(await starting)
        phones = {}
        for number in (*(agent.number for agent in AGENTS), *CUSTOMERS, *SUPERVISORS):
            phone = SilentPhone(number, pbx.sip_port, answers=number != SUPERVISORS[1])
            phones[number] = await stack.enter_async_context(phone)
        house = House(pbx, await pbx.observer(), phones)
        yield house
        await house.observer.close()


@pytest.mark.parametrize("seed", SEEDS)
async def test_after_whatever_was_done_to_the_link_all_is_known_again(
    house: House, seed: int
) -> None:
    dice = Random(seed)
    async with Proxy(house.pbx.ami_port, Random(seed)) as proxy:
        link = Link(Address("127.0.0.1", proxy.port, "whisper-bridge", SECRET), silence=SILENCE)
        written = Written()
        service = Service(DIRECTORY, link, listeners=[written])
        async with running(link, service):
            run = Run(house, proxy, service, written, seed, dice, Random(seed), SILENCE)
            await run.play(dice.randint(6, 20), kill=seed % 40 == 7)
            await run.settle()
            await run.end()
            await service.close()
        assert max(run.unaudited().values(), default=0) < run.late
        assert max(run.invented().values(), default=0) < run.late + FOUND
