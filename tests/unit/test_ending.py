"""Hanging up on request: whose legs, in which order, and what is told then."""

import asyncio
import logging

import pytest

from bridge.actions import Action, Answer
from bridge.directory import Directory
from bridge.ending import LEAVING
from bridge.errors import ActionForbidden, LinkLost, PbxUnavailable, PhoneNumberInvalid
from bridge.happenings import Decided, Ended
from bridge.model import Extension, PhoneCall, Principal
from bridge.uapi import parse_hang_up
from bridge.whisper import Reason
from tests.support.directory import AGENT, COLLEAGUE, EVERY_ACTION, SUPERVISOR, TEXT
from tests.support.happenings import end, enters, hung_up, leg, talk
from tests.support.pbx import error
from tests.support.scene import AGENT_LEG, CUSTOMER, Scene, scene
from tests.support.timing import in_virtual_time, settle

ALL = 'actions = ["list", "whisper", "hangup"]'
OF_USER = Directory.parse(
    TEXT.replace('client_id = "agent-app"', f'client_id = "agent-app"\n{ALL}')
)
SUPERVISORS_LEG = leg("0003*024", "1.9", "1.1")
COLLEAGUES_LEG = leg("0003*211", "1.5", "1.1")


def hang_up(
    now: Scene,
    call_id: str,
    number: str | None = None,
    *,
    who: str = "lab-app",
    extension: Extension = AGENT,
) -> "asyncio.Task[PhoneCall | None]":
    app = now.service.directory.app(who)
    assert app is not None
    ending = now.service.hang_up(Principal(app), (extension,), call_id, number)
    return asyncio.create_task(ending)


async def asked(
    now: Scene, call_id: str, number: str | None = None, *, who: str = "lab-app"
) -> list[str]:
    """The channels that the PBX was told to hang up, in order."""
    task = hang_up(now, call_id, number, who=who)
    await settle()
    task.cancel()
    return now.pbx.hung_up()


def ids(call: PhoneCall | None) -> list[str] | None:
    return None if call is None else [view.id for view in call.views]


# All of a call


@in_virtual_time
async def test_a_call_is_hung_up_from_its_caller_on_and_shown_as_it_was() -> None:
    async with scene(directory=EVERY_ACTION) as now:
        call_id = now.talk()
        await now.attached(call_id)
        task = hang_up(now, call_id)
        await settle()
        assert now.pbx.hung_up() == ["1.1", "1.2"]
        assert not task.done()
        now.feed(*end(CUSTOMER, AGENT_LEG), hung_up(now.leg, 0))
        call = await task
        assert call is not None
        assert (call.id, ids(call)) == (call_id, ["01", "02"])
        assert now.service.find_call((AGENT,), call_id) is None


@in_virtual_time
async def test_a_call_that_nobody_answered_yet_is_hung_up() -> None:
    async with scene(directory=EVERY_ACTION) as now:
        now.feed(*list(talk(CUSTOMER, AGENT_LEG))[:4])
        (call,) = now.service.picture.calls()
        assert await asked(now, call.id) == ["1.1", "1.2"]


@in_virtual_time
async def test_a_phone_that_rings_for_a_whisper_stops_with_the_call() -> None:
    async with scene(directory=EVERY_ACTION) as now:
        call_id = now.talk()
        ringing = await now.ringing(call_id)
        task = hang_up(now, call_id)
        await settle()
        now.feed(*end(CUSTOMER, AGENT_LEG))
        await task
        await settle()
        assert now.pbx.hung_up() == ["1.1", "1.2", ringing.uniqueid]


# One party


@pytest.mark.parametrize(
    ("number", "channel"),
    [("7778888", "1.1"), ("0003*210", "1.2"), ("210", "1.2")],
)
@in_virtual_time
async def test_a_number_names_one_party(number: str, channel: str) -> None:
    async with scene(directory=EVERY_ACTION) as now:
        assert await asked(now, now.talk(), number) == [channel]


@pytest.mark.parametrize("number", ["0003*024", "024"])
@in_virtual_time
async def test_the_number_of_who_whispers_ends_the_whisper_only(number: str) -> None:
    async with scene(directory=EVERY_ACTION) as now:
        call_id = now.talk()
        spy = await now.attached(call_id)
        task = hang_up(now, call_id, number)
        await settle()
        assert now.pbx.hung_up() == [spy.uniqueid]
        now.feed(hung_up(spy))
        assert ids(await task) == ["02"]
        assert now.views(call_id) == [("01", "7778888")]
        (ended,) = (told for told in now.told if isinstance(told, Ended))
        assert ended.session.reason is Reason.HUNG_UP
        assert Decided(now.principal().asker, "HangUp", call_id, spy.uniqueid) in now.told


@in_virtual_time
async def test_a_whisper_that_still_rings_is_cancelled() -> None:
    async with scene(directory=EVERY_ACTION) as now:
        call_id = now.talk()
        spy = await now.ringing(call_id)
        task = hang_up(now, call_id, "0003*024")
        await settle()
        assert now.pbx.hung_up() == [spy.uniqueid]
        now.feed(hung_up(spy))
        assert ids(await task) == []


@pytest.mark.parametrize("number", ["0003*211", "7779999", "210210", "#*"])
@in_virtual_time
async def test_the_number_of_nobody_on_the_call_ends_nothing(number: str) -> None:
    async with scene(directory=EVERY_ACTION) as now:
        assert await hang_up(now, now.talk(), number) is None
        assert now.pbx.hung_up() == []


# Who may


@in_virtual_time
async def test_it_takes_a_permission_of_its_own() -> None:
    async with scene() as now:
        call_id = now.talk()
        with pytest.raises(ActionForbidden):
            await hang_up(now, call_id)
        assert now.pbx.hung_up() == []
        assert Decided(now.principal().asker, "HangUp", call_id, code="access_denied") in now.told


@in_virtual_time
async def test_who_is_beyond_reach_stays_and_so_does_everybody_outside() -> None:
    async with scene(directory=OF_USER) as now:
        now.feed(*talk(CUSTOMER, AGENT_LEG), enters(SUPERVISORS_LEG, "bridge"))
        (call,) = now.service.picture.calls()
        assert await asked(now, call.id, who="agent-app") == ["1.2"]


@in_virtual_time
async def test_everybody_outside_goes_with_the_last_one_within_reach() -> None:
    async with scene(directory=OF_USER) as now:
        now.feed(*talk(CUSTOMER, AGENT_LEG), enters(COLLEAGUES_LEG, "bridge"))
        (call,) = now.service.picture.calls()
        assert await asked(now, call.id, who="agent-app") == ["1.1", "1.5", "1.2"]


@pytest.mark.parametrize("number", ["0003*024", "024"])
@in_virtual_time
async def test_a_number_beyond_reach_is_nobody(number: str) -> None:
    async with scene(directory=OF_USER) as now:
        now.feed(*talk(SUPERVISORS_LEG, AGENT_LEG))
        (call,) = now.service.picture.calls()
        assert await hang_up(now, call.id, number, who="agent-app") is None
        assert now.pbx.hung_up() == []


@in_virtual_time
async def test_an_agent_does_not_end_the_whisper_of_a_supervisor_beyond_his_reach() -> None:
    async with scene(directory=OF_USER) as now:
        call_id = now.talk()
        await now.attached(call_id)
        assert await hang_up(now, call_id, "0003*024", who="agent-app") is None
        assert now.pbx.hung_up() == []


@pytest.mark.parametrize("extension", [COLLEAGUE, SUPERVISOR])
@in_virtual_time
async def test_a_call_of_somebody_else_is_none(extension: Extension) -> None:
    async with scene(directory=EVERY_ACTION) as now:
        call_id = now.talk()
        assert await hang_up(now, call_id, extension=extension) is None
        assert await hang_up(now, "0" * 20) is None
        assert now.pbx.hung_up() == []


# When the PBX does not do it


@in_virtual_time
async def test_without_the_whole_picture_nothing_is_hung_up() -> None:
    async with scene(directory=EVERY_ACTION) as now:
        call_id = now.talk()
        now.service.on_lost()
        with pytest.raises(PbxUnavailable):
            await hang_up(now, call_id)
        assert now.pbx.hung_up() == []


@in_virtual_time
async def test_a_link_that_goes_meanwhile_is_told_of() -> None:
    async with scene(directory=EVERY_ACTION) as now:
        call_id = now.talk()
        now.pbx.replies["Hangup"] = _lost
        with pytest.raises(LinkLost):
            await hang_up(now, call_id)


@in_virtual_time
async def test_who_has_just_gone_is_as_good_as_hung_up(caplog: pytest.LogCaptureFixture) -> None:
    async with scene(directory=EVERY_ACTION) as now:
        call_id = now.talk()
        now.pbx.answer("Hangup", error("No such channel"))
        task = hang_up(now, call_id)
        await settle()
        now.feed(*end(CUSTOMER, AGENT_LEG))
        assert ids(await task) == ["01"]
        assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


@in_virtual_time
async def test_a_pbx_that_is_slow_is_not_waited_for_for_ever() -> None:
    async with scene(directory=EVERY_ACTION) as now:
        call_id = now.talk()
        began = asyncio.get_running_loop().time()
        assert ids(await hang_up(now, call_id)) == ["01"]
        assert asyncio.get_running_loop().time() - began == pytest.approx(LEAVING, abs=0.1)


def _lost(action: Action) -> Answer:
    raise LinkLost


# The query


@pytest.mark.parametrize(
    ("query", "number"),
    [
        ({}, None),
        ({"phoneNumber": "0003*024"}, "0003*024"),
        ({"phoneNumber": "+3334444"}, "+3334444"),
        ({"phoneNumber": " 3334444"}, "+3334444"),
        ({"phonenumber": "x"}, None),
    ],
)
def test_a_number_in_the_query(query: dict[str, str], number: str | None) -> None:
    assert parse_hang_up(query) == number


@pytest.mark.parametrize(
    "wrong", ["", " ", "x", "0003 024", "1" * 41, "+", "1+1", "٣", "0003*024\n", "1 "]
)
def test_a_number_that_nobody_can_have(wrong: str) -> None:
    with pytest.raises(PhoneNumberInvalid):
        parse_hang_up({"phoneNumber": wrong})
