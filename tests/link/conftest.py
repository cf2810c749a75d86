"""A PBX that does what it is told, and a real one with phones, for the tests that ask for them."""

from collections.abc import AsyncIterator

import pytest

from bridge.lab import tones
from bridge.lab.phone import Phone
from tests.e2e.stage import AGENT, CUSTOMER, SECOND_SUPERVISOR, SUPERVISOR, Stage, a_stage

from .fake_pbx import AmiServer, a_pbx


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # Whichever comes first waits for the packages of Asterisk and the softphone.
    ours = [i for i in items if i.path.parent.name == "link" and i.get_closest_marker("pbx")]
    for item in ours[:1]:
        item.add_marker(pytest.mark.timeout(600))


@pytest.fixture
async def server() -> AsyncIterator[AmiServer]:
    async with a_pbx() as server:
        yield server


@pytest.fixture(scope="package")
async def stage(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    async with a_stage(tmp_path_factory.mktemp("link")) as stage:
        # A second bridge would write down what the one that is tested must.
        await stage.server.stop()
        yield stage


@pytest.fixture(scope="package")
async def agent(stage: Stage) -> AsyncIterator[Phone]:
    async with stage.phone(AGENT, tones.AGENT_HZ) as phone:
        yield phone


@pytest.fixture(scope="package")
async def customer(stage: Stage) -> AsyncIterator[Phone]:
    async with stage.phone(CUSTOMER, tones.CUSTOMER_HZ) as phone:
        yield phone


@pytest.fixture(scope="package")
async def supervisor(stage: Stage) -> AsyncIterator[Phone]:
    """The phone of 0003*024, which picks up by itself."""
    async with stage.phone(SUPERVISOR, tones.SUPERVISOR_HZ) as phone:
        yield phone


@pytest.fixture(scope="package")
async def ringing(stage: Stage) -> AsyncIterator[Phone]:
    """The phone of 0003*025, which rings until somebody does something."""
    async with stage.phone(SECOND_SUPERVISOR, tones.SUPERVISOR_HZ, "manual") as phone:
        yield phone
