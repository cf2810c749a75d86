"""Calls between extensions: each has its view, and who may whisper to whom."""

from collections.abc import AsyncIterator

import pytest

from bridge.lab import tones
from bridge.lab.phone import Phone

from .client import Api, views, whisper
from .stage import Call, Stage, a_call, level

pytestmark = pytest.mark.pbx


@pytest.fixture
async def internal(api: Api, agent_211: Phone, agent: Phone) -> AsyncIterator[Call]:
    """Agent 211 has called agent 210."""
    async with a_call(api, agent_211, agent) as call:
        yield call


async def test_each_extension_has_a_view_of_its_own(api: Api, internal: Call) -> None:
    shown = views(await api.get(internal.path))
    for view in shown.values():
        del view["answered"]
    both = {
        "status": "5",
        "callerId": "Agent 211 <0003*211>",
        "source": ["0003*211"],
        "destination": ["0003*210"],
        "flow": 2,
    }
    assert shown == {
        "01": {"id": "01", "extension": "0003*211", **both},
        "02": {"id": "02", "extension": "0003*210", **both},
    }


async def test_each_extension_is_whispered_to_by_its_own_view(
    api: Api, internal: Call, supervisor: Phone
) -> None:
    sides = [("02", internal.callee, internal.caller), ("01", internal.caller, internal.callee)]
    for number, (view, target, other) in enumerate(sides, start=3):
        path = f"12/{target.number}/{internal.id}"
        assert (await api.put(path, whisper(phoneCallViewId=view))).status == 202
        answer = await api.until(path, lambda a: len(views(a)) == 3, "the whisper in force")
        shown = views(answer)[f"{number:02d}"]
        assert shown["extension"] == target.number
        assert (shown["source"], shown["destination"]) == (["0003*024"], [target.number])
        assert await level(target, supervisor) > tones.HEARD_DB
        assert await level(other, supervisor) < tones.SILENT_DB
        await supervisor.hang_up()
        await api.until(path, lambda a: len(views(a)) == 2, "the end of the whisper")


async def test_the_view_of_the_other_side_is_refused(api: Api, internal: Call) -> None:
    for extension, other_view in (("0003*210", "01"), ("0003*211", "02")):
        path = f"12/{extension}/{internal.id}"
        answer = await api.put(path, whisper(phoneCallViewId=other_view))
        assert answer.refusal == (400, "pc_phonecallview_invalid")


async def test_the_view_of_a_whisper_cannot_be_whispered_to(
    api: Api, call: Call, supervisor: Phone
) -> None:
    await api.put(call.path, whisper())
    await api.until(call.path, lambda a: "02" in views(a), "the whisper in force")
    answer = await api.put(call.path, whisper(phoneCallViewId="02", sendCallTo="0003*025"))
    assert answer.refusal == (400, "pc_phonecallview_invalid")


async def test_a_phone_that_still_rings_cannot_be_whispered_to(
    stage: Stage, api: Api, customer: Phone, supervisor: Phone
) -> None:
    async with stage.phone("0003*211", tones.AGENT_HZ, "manual") as phone:
        await customer.dial("0003*211")
        answer = await api.until("12/0003*211", lambda a: "01" in views(a), "the call")
        path = f"12/0003*211/{answer.body['entry'][0]['id']}"
        view = views(
            await api.until(
                path,
                lambda a: "01" in views(a) and views(a)["01"]["status"] == "3",
                "the phone rings",
            )
        )["01"]
        assert view["ringing"]
        assert "answered" not in view
        refused = await api.put(path, whisper())
        assert refused.refusal == (400, "pc_phonecallview_invalid")
        await phone.pick_up()
        answer = await api.until(path, lambda a: views(a)["01"]["status"] == "5", "on call")
        assert "ringing" not in views(answer)["01"]
        assert (await api.put(path, whisper())).status == 202
        await customer.hang_up()
        await stage.silence()


async def test_a_party_of_the_call_cannot_whisper_in_it(
    stage: Stage, api: Api, supervisor: Phone, agent: Phone, ringing: Phone
) -> None:
    async with a_call(api, supervisor, agent) as call:
        refused = await api.put(call.path, whisper(phoneCallViewId="02"))
        assert refused.refusal == (400, "pc_sendcallto_invalid")
        assert not await stage.whisper_legs()
        other = whisper(phoneCallViewId="02", sendCallTo="0003*025")
        assert (await api.put(call.path, other)).status == 202


@pytest.mark.parametrize(
    "fields",
    [
        {"sendCallTo": "0003*024", "waitForPickup": "20", "private": "1"},
        {"sendCallTo": "024", "waitForPickup": 20, "private": 1},
        {"sendCallTo": "024", "waitForPickup": "0020", "callerId": "  Spaced   <1>  "},
    ],
)
async def test_numbers_count_in_both_forms(
    api: Api, call: Call, supervisor: Phone, fields: dict[str, object]
) -> None:
    assert (await api.put(call.path, whisper(**fields))).status == 202
    answer = await api.until(call.path, lambda a: "02" in views(a), "the whisper in force")
    assert views(answer)["02"]["source"] == ["0003*024"]


async def test_a_short_number_may_be_a_json_number(
    stage: Stage, api: Api, call: Call, agent_211: Phone
) -> None:
    assert (await api.put(call.path, whisper(sendCallTo=211))).status == 202
    answer = await api.until(call.path, lambda a: "02" in views(a), "the whisper in force")
    assert views(answer)["02"]["source"] == ["0003*211"]
