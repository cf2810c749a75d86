"""Hanging up over HTTP."""

import pytest

from bridge.actions import Action, Answer
from bridge.directory import Directory
from tests.support.directory import DIRECTORY, EVERY_ACTION
from tests.support.happenings import end, hung_up
from tests.support.pbx import Reply, success
from tests.support.scene import AGENT_LEG, CUSTOMER

from .house import PUBLIC, House


@pytest.fixture
def people(request: pytest.FixtureRequest) -> Directory:
    found: Directory = getattr(request, "param", EVERY_ACTION)
    return found


@pytest.mark.parametrize("slash", ["", "/"])
async def test_a_call_that_is_hung_up(house: House, slash: str) -> None:
    house.pbx.replies["Hangup"] = _ends(house)
    answer = await house.ask("DELETE", house.path(house.call_id) + slash)
    assert answer.status == 200
    (call,) = answer.json
    assert (call["id"], call["extension"]) == (house.call_id, "0003*210")
    assert [view["id"] for view in call["phoneCallView"]] == ["01"]
    assert call["link"]["self"] == f"{PUBLIC}{house.path(house.call_id)}"
    again = await house.ask("DELETE", house.path(house.call_id))
    assert (again.status, again.body) == (204, b"")


@pytest.mark.parametrize("number", ["0003*024", "0003%2A024", "024"])
async def test_a_whisper_that_is_hung_up(house: House, number: str) -> None:
    house.pbx.replies["Originate"] = house.whispers
    await house.put()
    house.pbx.replies["Hangup"] = _ends(house)
    path = f"{house.path(house.call_id)}?phoneNumber={number}"
    answer = await house.ask("DELETE", path)
    assert answer.status == 200
    (call,) = answer.json
    assert [view["source"] for view in call["phoneCallView"]] == [["0003*024"]]
    assert (await house.ask("DELETE", path)).status == 204
    assert (await house.get(house.path(house.call_id))).status == 200


async def test_a_plus_sign_may_be_written_raw(house: House) -> None:
    for plus in ("+", "%2B"):
        path = f"{house.path(house.call_id)}?phoneNumber={plus}3334444"
        assert (await house.ask("DELETE", path)).status == 204


@pytest.mark.parametrize(
    "query", ["phoneNumber=", "phoneNumber=x", "phoneNumber=1&phoneNumber=1", "phoneNumber=1%0A"]
)
async def test_a_wrong_number_has_its_code(house: House, query: str) -> None:
    answer = await house.ask("DELETE", f"{house.path(house.call_id)}?{query}")
    assert (answer.status, answer.code) == (400, "pc_phonenumber_invalid")
    assert house.pbx.hung_up() == []


async def test_a_wrong_id_of_a_call_has_its_code(house: House) -> None:
    answer = await house.ask("DELETE", house.path("no-call"))
    assert (answer.status, answer.code) == (400, "pc_honecall_invalid")


async def test_of_no_call_there_is_nothing_to_hang_up(house: House) -> None:
    for path in (house.path("0" * 20), "/uapi/phoneCalls/12/0003*211/" + house.call_id):
        assert (await house.ask("DELETE", path)).status == 204
    assert house.pbx.hung_up() == []


@pytest.mark.parametrize("people", [DIRECTORY], indirect=True)
async def test_who_lacks_the_action_hangs_up_nobody(house: House) -> None:
    for path in (house.path(house.call_id), house.path("0" * 20)):
        answer = await house.ask("DELETE", path)
        assert (answer.status, answer.code) == (403, "access_denied")
    assert house.pbx.hung_up() == []


async def test_without_a_token_nobody_is_hung_up(house: House) -> None:
    answer = await house.ask("DELETE", house.path(house.call_id), token=None)
    assert (answer.status, answer.code) == (401, "access_denied")
    assert house.pbx.hung_up() == []


async def test_while_the_link_is_down_nobody_is_hung_up(house: House) -> None:
    house.service.on_lost()
    answer = await house.ask("DELETE", house.path(house.call_id))
    assert (answer.status, answer.code) == (503, "pbx_unavailable")


def _ends(house: House) -> Reply:
    """Reply to a Hangup: the channel ends at once."""

    def reply(action: Action) -> Answer:
        channel = action.headers["Channel"]
        for leg in (CUSTOMER, AGENT_LEG):
            if leg.uniqueid == channel:
                for event in end(leg):
                    house.service.on_event(event)
        if channel.startswith("whisper-"):
            house.service.on_event(hung_up(house.spy()))
        return success()

    return reply
