"""One Asterisk, one bridge and their phones for the session; a clean PBX after every test."""

from collections.abc import AsyncIterator

import pytest

from bridge.lab import tones
from bridge.lab.phone import Phone
from tests.support.terminal import Shell

from .client import Api
from .stage import (
    AGENT,
    CUSTOMER,
    SECOND_AGENT_HZ,
    SECOND_CUSTOMER_HZ,
    SECOND_SUPERVISOR,
    SUPERVISOR,
    Call,
    Stage,
    a_call,
    a_stage,
)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # Whichever comes first waits for the packages of Asterisk and the softphone.
    ours = [item for item in items if item.path.parent.name == "e2e"]
    for item in ours[:1]:
        item.add_marker(pytest.mark.timeout(600))


@pytest.fixture(scope="session")
async def stage(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    async with a_stage(tmp_path_factory.mktemp("e2e")) as stage:
        yield stage
    assert not stage.faults(stage.server.log.read_text())


@pytest.fixture(autouse=True)
async def _clean(stage: Stage) -> AsyncIterator[None]:
    """Every test leaves the PBX as it was, and a log without errors, numbers and secrets."""
    begin, before = stage.server.log.stat().st_size, await stage.channels()
    yield
    try:
        await stage.silence(but=before)
    except TimeoutError:
        left = await stage.channels()
        await stage.hang_up_all()
        pytest.fail(f"left behind on the PBX: {left}")
    log = stage.server.log.read_bytes()[begin:].decode()
    assert not stage.faults(log)


@pytest.fixture
def api(stage: Stage) -> Api:
    return stage.api


@pytest.fixture
def shell(stage: Stage) -> Shell:
    """Somebody with the token of the app that reaches the whole organization."""
    return Shell({"WHISPER_URL": stage.server.url, "WHISPER_TOKEN": stage.token})


@pytest.fixture(scope="session")
async def agent(stage: Stage) -> AsyncIterator[Phone]:
    async with stage.phone(AGENT, tones.AGENT_HZ) as phone:
        yield phone


@pytest.fixture(scope="session")
async def customer(stage: Stage) -> AsyncIterator[Phone]:
    async with stage.phone(CUSTOMER, tones.CUSTOMER_HZ) as phone:
        yield phone


@pytest.fixture(scope="session")
async def supervisor(stage: Stage) -> AsyncIterator[Phone]:
    """The phone of 0003*024, which picks up by itself."""
    async with stage.phone(SUPERVISOR, tones.SUPERVISOR_HZ) as phone:
        yield phone


@pytest.fixture(scope="session")
async def ringing(stage: Stage) -> AsyncIterator[Phone]:
    """The phone of 0003*025, which rings until somebody does something."""
    async with stage.phone(SECOND_SUPERVISOR, tones.SUPERVISOR_HZ, "manual") as phone:
        yield phone


@pytest.fixture(scope="session")
async def second_customer(stage: Stage) -> AsyncIterator[Phone]:
    async with stage.phone("7779999", SECOND_CUSTOMER_HZ) as phone:
        yield phone


@pytest.fixture
async def agent_2100(stage: Stage) -> AsyncIterator[Phone]:
    async with stage.phone("0003*2100", SECOND_AGENT_HZ) as phone:
        yield phone


@pytest.fixture
async def agent_211(stage: Stage) -> AsyncIterator[Phone]:
    async with stage.phone("0003*211", SECOND_AGENT_HZ) as phone:
        yield phone


@pytest.fixture
async def call(api: Api, customer: Phone, agent: Phone) -> AsyncIterator[Call]:
    """The customer talks to the agent."""
    async with a_call(api, customer, agent) as call:
        yield call
