"""How a whisper ends, and what is left then."""

import asyncio

import pytest

from bridge.lab.phone import Phone

from .client import Api, views, whisper
from .stage import Call, Stage, answered

pytestmark = pytest.mark.pbx


@pytest.fixture
async def whispered(api: Api, call: Call, supervisor: Phone) -> Call:
    """A call in which 0003*024 whispers to the agent."""
    await api.put(call.path, whisper())
    await api.until(call.path, lambda a: "02" in views(a), "the whisper in force")
    return call


async def test_when_the_supervisor_hangs_up_the_call_goes_on(
    stage: Stage, api: Api, whispered: Call, supervisor: Phone
) -> None:
    await supervisor.hang_up()
    answer = await api.until(whispered.path, lambda a: list(views(a)) == ["01"], "its end")
    assert views(answer)["01"]["status"] == "5"
    await stage.no_whisper_leg()
    assert len(await stage.channels()) == 2


@pytest.mark.parametrize("leaving", ["agent", "customer"])
async def test_when_a_party_hangs_up_the_whisper_ends_with_the_call(
    stage: Stage, api: Api, whispered: Call, supervisor: Phone, leaving: str
) -> None:
    mark = supervisor.events.mark()
    await {"agent": whispered.callee, "customer": whispered.caller}[leaving].hang_up()
    await supervisor.closed(within=1, since=mark)
    await stage.silence()
    answer = await api.get(whispered.path)
    assert (answer.status, answer.body) == (204, None)


async def test_a_call_that_has_ended_cannot_be_whispered_to(
    stage: Stage, api: Api, call: Call
) -> None:
    await call.caller.hang_up()
    await stage.silence()
    answer = await api.put(call.path, whisper())
    assert answer.refusal == (400, "pc_honecall_invalid")


async def test_a_call_that_ends_while_the_whisper_is_asked_for_leaves_nothing_behind(
    stage: Stage, api: Api, customer: Phone, agent: Phone, supervisor: Phone
) -> None:
    for leaving in (customer, agent) * 5:
        call = await answered(api, customer, agent)
        answer, _ = await asyncio.gather(api.put(call.path, whisper()), leaving.hang_up())
        if answer.status not in (202, 204):
            assert answer.code in ("pc_honecall_invalid", "pc_phonecallview_invalid")
        await stage.silence()
        assert (await api.get(call.path)).status == 204
