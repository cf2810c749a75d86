"""Who hears whom, measured by the tones the phones play."""

from collections.abc import AsyncIterator

import pytest

from bridge.lab import proof, tones
from bridge.lab.phone import Phone
from bridge.model import Mode
from tests.support.modes import HEARS

from .client import Api, in_mode, views, whisper
from .stage import Call, Stage, a_call, heard, level

pytestmark = pytest.mark.pbx


@pytest.mark.parametrize("mode", Mode)
async def test_everybody_hears_whom_he_should(
    api: Api, call: Call, supervisor: Phone, mode: Mode
) -> None:
    assert (await api.put(call.path, in_mode(mode))).status == 202
    await api.until(call.path, lambda a: "02" in views(a), "the supervisor takes part")
    hears = HEARS[mode]
    table = await heard(
        agent=(call.callee, hears["agent"]),
        customer=(call.caller, hears["customer"]),
        supervisor=(supervisor, hears["supervisor"]),
    )
    assert proof.is_right(table), proof.render(table)


async def test_after_the_whisper_the_call_goes_on_and_the_supervisor_is_heard_no_more(
    api: Api, call: Call, supervisor: Phone
) -> None:
    await api.put(call.path, whisper())
    await api.until(call.path, lambda a: "02" in views(a), "the whisper in force")
    assert await level(call.callee, supervisor) > tones.HEARD_DB
    await supervisor.hang_up()
    await api.until(call.path, lambda a: "02" not in views(a), "the end of the whisper")
    assert await level(call.callee, supervisor) < tones.SILENT_DB
    assert await level(call.callee, call.caller) > tones.HEARD_DB
    assert await level(call.caller, call.callee) > tones.HEARD_DB


async def test_a_number_that_begins_like_another_is_never_taken_for_it(
    stage: Stage, api: Api, call: Call, supervisor: Phone, other: Call
) -> None:
    for whispered, apart in ((call, other), (other, call)):
        await api.put(whispered.path, whisper())
        await api.until(whispered.path, lambda a: len(views(a)) == 2, "the whisper in force")
        assert await _spied(stage) == f"PJSIP/{whispered.callee.number}"
        await _only_the_agent_hears_the_supervisor(supervisor, whispered, apart)
        await supervisor.hang_up()
        await api.until(whispered.path, lambda a: len(views(a)) == 1, "the whisper's end")


async def test_no_key_of_the_supervisor_lets_the_customer_hear_him(
    api: Api, call: Call, supervisor: Phone, other: Call
) -> None:
    await api.put(call.path, whisper())
    await api.until(call.path, lambda a: "02" in views(a), "the whisper in force")
    await supervisor.press("#456")
    await _only_the_agent_hears_the_supervisor(supervisor, call, other)


@pytest.mark.parametrize("keys", ["*", "2100#"])
async def test_the_keys_for_another_channel_end_the_whisper_instead(
    stage: Stage, api: Api, call: Call, supervisor: Phone, other: Call, keys: str
) -> None:
    mark = stage.observer.events.mark()
    await api.put(call.path, whisper())
    await api.until(call.path, lambda a: "02" in views(a), "the whisper in force")
    await supervisor.press(keys)
    await api.until(call.path, lambda a: list(views(a)) == ["01"], "the end of the whisper")
    await stage.no_whisper_leg()
    events = stage.observer.events.entries[mark:]
    assert [event["Event"] for event in events].count("ChanSpyStart") == 1


@pytest.fixture
async def other(
    api: Api, call: Call, second_customer: Phone, agent_2100: Phone
) -> AsyncIterator[Call]:
    """Another call at the same time, of an agent whose number begins like the first one's."""
    async with a_call(api, second_customer, agent_2100) as other:
        yield other


async def _only_the_agent_hears_the_supervisor(
    supervisor: Phone, whispered: Call, apart: Call
) -> None:
    table = await heard(
        agent=(whispered.callee, frozenset({"customer", "supervisor"})),
        customer=(whispered.caller, frozenset({"agent"})),
        supervisor=(supervisor, frozenset({"agent", "customer"})),
        other_agent=(apart.callee, frozenset({"other_customer"})),
        other_customer=(apart.caller, frozenset({"other_agent"})),
    )
    assert proof.is_right(table), proof.render(table)


async def _spied(stage: Stage) -> str:
    """The endpoint of the channel that the only whisper is bound to by its Uniqueid."""
    channels = await stage.channels()
    (leg,) = await stage.whisper_legs()
    target, _, options = channels[leg]["ApplicationData"].partition(",")
    assert options == "uqwES"
    return channels[target]["Channel"].rpartition("-")[0]
