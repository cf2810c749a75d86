"""What clients ask of the service, and what they get."""

import asyncio
import gc
from typing import Any

import pytest

from bridge.actions import Action, Answer
from bridge.calls import call_id as id_of
from bridge.errors import (
    ApiError,
    CallerIdInvalid,
    PbxUnavailable,
    PhoneCallInvalid,
    PrivateInvalid,
    SendCallToInvalid,
    TimeoutInvalid,
    ViewInvalid,
)
from bridge.events import Snapshot
from bridge.model import CallerId, Flow, Status
from bridge.service import JOINING, Rules
from bridge.versions import heard_in_silence
from tests.support.directory import (
    AGENT,
    COLLEAGUE,
    EVERY_ACTION,
    NEIGHBOUR,
    SUPERVISOR,
    principal,
)
from tests.support.happenings import (
    UP,
    call,
    dials,
    enters,
    held,
    hung_up,
    leg,
    listed,
    originated,
    seen,
    spies,
    talk,
)
from tests.support.scene import AGENT_LEG, CUSTOMER, EPOCH, scene
from tests.support.timing import in_virtual_time, settle

OTHER = leg("7779999", "2.1", exten="0003*210")
SECOND_LEG = leg("0003*210", "2.2", "2.1")
COLLEAGUE_LEG = leg("0003*211", "3.1", exten="0003*210")


# Asking for a whisper


@in_virtual_time
async def test_the_example_of_the_specification() -> None:
    async with scene() as now:
        call_id = now.talk()
        asked = await now.requested(call_id)
        now.feed(seen(asked.leg))
        answered = await asked.task
        assert answered is not None
        assert (answered.id, answered.extension) == (call_id, "0003*210")
        (headers,) = now.pbx.of("Originate")
        assert headers["Channel"] == "PJSIP/0003*024"
        assert headers["Application"] == "ChanSpy"
        assert headers["Data"] == "1.2,uqwES"
        assert headers["CallerID"] == "Whisper To Me <42420042>"
        assert headers["Timeout"] == "20000"


@pytest.mark.parametrize(
    ("changes", "header", "value"),
    [
        pytest.param({"waitForPickup": None}, "Timeout", "25000", id="25 s by default"),
        pytest.param({"waitForPickup": "7"}, "Timeout", "7000", id="time to pick up"),
        pytest.param(
            {"callerId": None}, "CallerID", "Supervisor 024 <0003*024>", id="own caller id"
        ),
        pytest.param({"private": "1"}, "Data", "1.2,uqwES", id="private"),
        pytest.param({"action": "Monitor"}, "Data", "1.2,uqwES", id="monitor"),
        pytest.param({"action": "BargeIn"}, "Data", "1.2,uqBES", id="barge in"),
        pytest.param({"private": None}, "Data", "1.2,uqwES", id="not private by default"),
        pytest.param({"sendCallTo": "025"}, "Channel", "PJSIP/0003*025", id="short number"),
    ],
)
@in_virtual_time
async def test_what_the_pbx_is_asked(changes: dict[str, Any], header: str, value: str) -> None:
    async with scene(directory=EVERY_ACTION) as now:
        asked = await now.requested(now.talk(), **changes)
        assert now.pbx.of("Originate")[0][header] == value
        now.feed(seen(asked.leg))
        await asked.task


@in_virtual_time
async def test_every_whisper_has_a_leg_of_its_own() -> None:
    async with scene() as now:
        call_id = now.talk()
        legs = {
            (await now.ringing(call_id, sendCallTo=number)).uniqueid for number in ("024", "025")
        }
        assert len(legs) == 2
        assert all(each.startswith("whisper-") for each in legs)


# Asking again


@in_virtual_time
async def test_the_same_at_the_same_time_rings_once() -> None:
    async with scene() as now:
        call_id = now.talk()
        tasks = [now.ask(call_id) for _ in range(5)]
        await settle()
        assert len(now.pbx.of("Originate")) == 1
        now.feed(seen(now.leg))
        answers = [await task for task in tasks]
        assert {answer.id for answer in answers if answer} == {call_id}


@in_virtual_time
async def test_the_same_while_it_rings_or_is_in_force_rings_nothing() -> None:
    async with scene() as now:
        call_id = now.talk()
        leg = await now.ringing(call_id)
        assert await now.whisper(call_id) is not None
        now.feed(seen(leg, UP), spies(leg, AGENT_LEG))
        again = await now.whisper(call_id, waitForPickup=3, callerId="Other <1>")
        assert again is not None
        assert [view.id for view in again.views] == ["01", "02"]
        assert len(now.pbx.of("Originate")) == 1


@in_virtual_time
async def test_the_same_after_its_end_rings_again() -> None:
    async with scene() as now:
        call_id = now.talk()
        now.feed(hung_up(await now.attached(call_id), 0))
        await now.attached(call_id)
        assert now.views(call_id) == [("01", "7778888"), ("03", "0003*024")]
        assert len(now.pbx.of("Originate")) == 2


@in_virtual_time
async def test_all_who_asked_get_the_same_refusal() -> None:
    async with scene() as now:
        call_id = now.talk()
        tasks = [now.ask(call_id), now.ask(call_id)]
        await settle()
        now.feed(originated(now.leg.uniqueid, success=False))
        for task in tasks:
            with pytest.raises(SendCallToInvalid):
                await task


@in_virtual_time
async def test_who_goes_away_while_asking_does_not_stop_the_others() -> None:
    async with scene() as now:
        call_id = now.talk()
        impatient, patient = now.ask(call_id), now.ask(call_id)
        await settle()
        impatient.cancel()
        await settle()
        now.feed(seen(now.leg))
        assert await patient is not None


@in_virtual_time
async def test_two_supervisors_whisper_to_one_agent() -> None:
    async with scene() as now:
        call_id = now.talk()
        await now.attached(call_id)
        await now.attached(call_id, sendCallTo="0003*025")
        assert now.views(call_id) == [("01", "7778888"), ("02", "0003*024"), ("03", "0003*025")]


# What is wrong with a request

FAULTS: list[tuple[type[ApiError], dict[str, object]]] = [
    (TimeoutInvalid, {"waitForPickup": 0}),
    (CallerIdInvalid, {"callerId": "nobody"}),
    (PhoneCallInvalid, {"call_id": "unknown"}),
    (ViewInvalid, {"phoneCallViewId": "99"}),
    (PrivateInvalid, {"private": 2}),
    (SendCallToInvalid, {"sendCallTo": "0003*650"}),
]


@pytest.mark.parametrize("first", range(len(FAULTS)), ids=[error.code for error, _ in FAULTS])
@in_virtual_time
async def test_of_several_faults_the_first_of_the_table_is_reported(first: int) -> None:
    async with scene() as now:
        fields: dict[str, Any] = {"call_id": now.talk()}
        for _, fault in FAULTS[first:]:
            fields.update(fault)
        with pytest.raises(FAULTS[first][0]):
            await now.whisper(**fields)
        assert now.pbx.sent_of_client() == []


@pytest.mark.parametrize("view", ["1", "001", "00", "02", "99"])
@in_virtual_time
async def test_a_view_has_exactly_its_two_digits(view: str) -> None:
    async with scene() as now:
        with pytest.raises(ViewInvalid):
            await now.whisper(now.talk(), phoneCallViewId=view)


@pytest.mark.parametrize(
    ("number", "message"),
    [
        pytest.param("0003*210", "must differ from the extension whispered to", id="himself"),
        pytest.param("0003*650", "must be a phone terminal", id="queue"),
        pytest.param("0004*410", "same organization", id="other organization"),
        pytest.param("0003*999", "same organization", id="unknown"),
        pytest.param("0003*211", "is a party of the call", id="party of the call"),
    ],
)
@in_virtual_time
async def test_who_may_not_whisper(number: str, message: str) -> None:
    async with scene() as now:
        now.feed(*talk(COLLEAGUE_LEG, AGENT_LEG._replace(linkedid="3.1")))
        (found,) = now.service.picture.calls()
        with pytest.raises(SendCallToInvalid, match=message):
            await now.whisper(found.id, sendCallTo=number, phoneCallViewId="02")
        assert now.pbx.of("Originate") == []


@in_virtual_time
async def test_a_call_of_another_extension_does_not_exist() -> None:
    async with scene() as now:
        call_id = now.talk()
        with pytest.raises(PhoneCallInvalid):
            await now.whisper(call_id, extensions=(COLLEAGUE,))
        with pytest.raises(PhoneCallInvalid):
            await now.whisper(call_id, extensions=(NEIGHBOUR,))
        with pytest.raises(PhoneCallInvalid):
            await now.whisper(call_id, extensions=())


@in_virtual_time
async def test_a_view_of_another_extension_is_refused() -> None:
    async with scene() as now:
        now.feed(*talk(COLLEAGUE_LEG, AGENT_LEG._replace(linkedid="3.1")))
        (found,) = now.service.picture.calls()
        with pytest.raises(ViewInvalid):
            await now.whisper(found.id, phoneCallViewId="01")


@in_virtual_time
async def test_a_whispers_own_view_is_refused() -> None:
    async with scene() as now:
        call_id = now.talk()
        await now.attached(call_id)
        with pytest.raises(ViewInvalid):
            await now.whisper(call_id, extensions=(AGENT, SUPERVISOR), phoneCallViewId="02")


@in_virtual_time
async def test_a_ringing_view_is_refused() -> None:
    async with scene() as now:
        now.feed(*call(CUSTOMER, AGENT_LEG))
        (found,) = now.service.picture.calls()
        with pytest.raises(ViewInvalid, match="not on call"):
            await now.whisper(found.id)


@in_virtual_time
async def test_a_view_that_was_just_answered_is_given_a_moment_to_talk() -> None:
    async with scene() as now:
        first, *others, last = talk(CUSTOMER, AGENT_LEG)
        now.feed(first, *others)
        task = now.ask(now.service.picture.calls()[0].id)
        await settle()
        assert now.pbx.of("Originate") == []
        now.feed(last)
        await settle()
        now.feed(seen(now.leg))
        assert await task is not None


@in_virtual_time
async def test_a_view_that_does_not_come_to_talk_is_refused_after_that_moment() -> None:
    async with scene() as now:
        *others, _ = talk(CUSTOMER, AGENT_LEG)
        now.feed(*others)
        began = asyncio.get_running_loop().time()
        with pytest.raises(ViewInvalid, match="not on call"):
            await now.whisper(now.service.picture.calls()[0].id)
        assert asyncio.get_running_loop().time() - began == pytest.approx(JOINING)


@in_virtual_time
async def test_a_view_that_ends_in_that_moment_is_refused() -> None:
    async with scene() as now:
        *others, _ = talk(CUSTOMER, AGENT_LEG)
        now.feed(*others)
        task = now.ask(now.service.picture.calls()[0].id)
        await settle()
        now.feed(hung_up(AGENT_LEG))
        with pytest.raises(ViewInvalid):
            await task


@in_virtual_time
async def test_of_two_calls_the_one_that_is_named_is_whispered_to() -> None:
    async with scene() as now:
        now.talk()
        now.feed(*talk(OTHER, SECOND_LEG, "second"))
        second = now.service.picture.calls()[1].id
        await now.ringing(second)
        assert now.pbx.of("Originate")[0]["Data"].startswith("2.2,")


@in_virtual_time
async def test_with_all_extensions_of_a_user_the_view_decides() -> None:
    async with scene() as now:
        now.feed(*talk(COLLEAGUE_LEG, AGENT_LEG._replace(linkedid="3.1")))
        (found,) = now.service.picture.calls()
        await now.ringing(found.id, extensions=(AGENT, COLLEAGUE))
        assert now.pbx.of("Originate")[0]["Data"].startswith("3.1,")


@in_virtual_time
async def test_a_short_number_belongs_to_the_organization_of_who_asks() -> None:
    async with scene() as now:
        call_id = now.talk()
        with pytest.raises(SendCallToInvalid):
            await now.whisper(call_id, who=principal("system-app"), sendCallTo="024")
        await now.ringing(call_id, who=principal("system-app"), sendCallTo="0003*024")


# What is shown


@in_virtual_time
async def test_a_call_with_its_whisper_is_shown_as_in_the_specification() -> None:
    async with scene() as now:
        call_id = now.talk()
        await now.attached(call_id)
        shown = now.service.find_call((AGENT,), call_id)
        assert shown is not None
        assert (shown.extension, shown.owner.name) == ("0003*210", "Default Organization")
        agent, whisper = shown.views
        assert (agent.source, agent.destination) == (("7778888",), ("0003*210",))
        assert (whisper.source, whisper.destination) == (("0003*024",), ("0003*210",))
        assert (whisper.id, whisper.extension) == ("02", "0003*210")
        assert whisper.caller_id == CallerId("Whisper To Me", "42420042")
        assert (whisper.status, whisper.flow) == (Status.ON_CALL, Flow.LOCAL)
        assert whisper.answered == EPOCH


@in_virtual_time
async def test_no_view_of_the_whisper_while_the_phone_rings() -> None:
    async with scene() as now:
        call_id = now.talk()
        leg = await now.ringing(call_id)
        assert now.views(call_id) == [("01", "7778888")]
        now.feed(seen(leg, UP))
        assert now.views(call_id) == [("01", "7778888")]


@in_virtual_time
async def test_the_supervisor_has_no_call_by_whispering() -> None:
    async with scene() as now:
        call_id = now.talk()
        await now.attached(call_id)
        assert now.service.list_calls((SUPERVISOR,)) == []
        assert now.service.find_call((SUPERVISOR,), call_id) is None


@in_virtual_time
async def test_calls_are_listed_for_their_extensions_only() -> None:
    async with scene() as now:
        first = now.talk()
        now.feed(*talk(OTHER, SECOND_LEG, "second"))
        assert [each.id for each in now.service.list_calls((AGENT, NEIGHBOUR))] == [
            first,
            id_of("lab", "2.1"),
        ]
        assert len(now.service.list_calls((AGENT,))) == 2
        assert now.service.list_calls((NEIGHBOUR,)) == []
        assert now.service.list_calls(()) == []


@in_virtual_time
async def test_a_call_that_became_part_of_another_is_found_by_both_ids() -> None:
    async with scene() as now:
        first = now.talk()
        now.feed(*talk(OTHER, SECOND_LEG, "second"))
        second = now.service.picture.calls()[1].id
        now.feed(enters(OTHER, "bridge"))
        found = [now.service.find_call((AGENT,), each) for each in (first, second)]
        assert [each.id for each in found if each] == [first, first]


@in_virtual_time
async def test_a_whisper_is_found_under_the_id_and_view_it_had_before_a_merger() -> None:
    async with scene() as now:
        now.talk()
        now.feed(*talk(OTHER, SECOND_LEG, "second"))
        second = now.service.picture.calls()[1].id
        now.feed(enters(OTHER, "bridge"), enters(SECOND_LEG, "bridge"))
        await now.ringing(second)
        assert now.pbx.of("Originate")[0]["Data"].startswith("2.2,")


@in_virtual_time
async def test_a_call_among_outsiders_is_not_shown() -> None:
    async with scene() as now:
        now.feed(*talk(CUSTOMER, OTHER))
        assert now.service.list_calls((AGENT,)) == []


# While the picture is not complete


@in_virtual_time
async def test_nothing_is_said_while_the_picture_is_not_complete() -> None:
    async with scene() as now:
        call_id = now.talk()
        now.service.on_lost()
        with pytest.raises(PbxUnavailable):
            now.service.list_calls((AGENT,))
        with pytest.raises(PbxUnavailable):
            now.service.find_call((AGENT,), call_id)
        with pytest.raises(PbxUnavailable):
            await now.whisper(call_id, waitForPickup=0)
        now.restored(*now.listing())
        assert now.service.find_call((AGENT,), call_id) is not None


@in_virtual_time
async def test_a_call_that_began_during_a_gap_is_shown_after_it() -> None:
    async with scene() as now:
        now.service.on_lost()
        now.restored(*now.listing())
        (shown,) = now.service.list_calls((AGENT,))
        assert shown.published == EPOCH - 60
        assert [view.status for view in shown.views] == [Status.ON_CALL]


@in_virtual_time
async def test_events_between_loss_and_list_lose_nothing() -> None:
    async with scene() as now:
        call_id = now.talk()
        now.service.on_lost()
        now.feed(hung_up(AGENT_LEG))
        now.restored(listed(CUSTOMER._replace(state=UP), age=60))
        assert now.service.find_call((AGENT,), call_id) is None


@in_virtual_time
async def test_who_is_dialled_after_the_list_joins_the_call() -> None:
    async with scene() as now:
        now.service.on_lost()
        now.restored(listed(CUSTOMER._replace(state=4), application="Dial"))
        now.feed(seen(AGENT_LEG), dials(CUSTOMER, AGENT_LEG))
        (shown,) = now.service.list_calls((AGENT,))
        assert shown.views[0].status is Status.TRYING


@in_virtual_time
async def test_the_call_may_end_while_the_phone_is_being_called() -> None:
    async with scene() as now:
        call_id = now.talk()

        def end_first(action: Action) -> Answer:
            now.feed(hung_up(AGENT_LEG), hung_up(CUSTOMER))
            return Answer(True, "", {})

        now.pbx.replies["Originate"] = end_first
        assert await now.whisper(call_id) is None


# What the operator decides, and what the PBX can do


@in_virtual_time
async def test_no_more_may_whisper_to_a_view_than_the_operator_allows() -> None:
    async with scene(Rules("lab", max_whispers_per_view=2)) as now:
        call_id = now.talk()
        first = await now.attached(call_id)
        await now.ringing(call_id, sendCallTo="0003*025")
        with pytest.raises(ViewInvalid, match="As many extensions as may whisper"):
            await now.whisper(call_id, sendCallTo="0003*026")
        assert await now.whisper(call_id, sendCallTo="0003*025") is not None
        now.feed(hung_up(first, 0))
        await now.ringing(call_id, sendCallTo="0003*026")
        assert len(now.pbx.of("Originate")) == 3


@in_virtual_time
async def test_three_may_whisper_to_a_view_unless_the_operator_says_otherwise() -> None:
    async with scene(Rules()) as now:
        call_id = now.talk()
        for number in ("0003*024", "0003*025", "0003*026"):
            await now.ringing(call_id, sendCallTo=number)
        with pytest.raises(ViewInvalid):
            await now.whisper(call_id, sendCallTo="0003*2100")


@pytest.mark.parametrize(
    ("version", "holder", "warned"),
    [
        pytest.param("22.10.1~dfsg", AGENT_LEG, True, id="held by the agent"),
        pytest.param("22.10.1", CUSTOMER, True, id="held by the customer"),
        pytest.param("16.28.0", CUSTOMER, True, id="16"),
        pytest.param("", CUSTOMER, True, id="unknown version"),
        pytest.param("22.11.0", CUSTOMER, False, id="heard all the same"),
        pytest.param("22.11.0", AGENT_LEG, True, id="a phone that holds is sent nothing, ever"),
        pytest.param("22.10.1", None, False, id="not on hold"),
    ],
)
@in_virtual_time
async def test_who_whispers_where_it_is_not_heard_is_warned(
    version: str, holder: Snapshot | None, warned: bool
) -> None:
    async with scene() as now:
        call_id = now.talk()
        now.service.on_restored(now.listing(), [], version)
        if holder is not None:
            now.feed(held(holder))
        asked = await now.requested(call_id)
        now.feed(seen(asked.leg))
        answered = await asked.task
        assert answered is not None
        assert bool(answered.warning) is warned
        shown = now.service.find_call((AGENT,), call_id)
        assert shown is not None
        assert shown.warning is None


@pytest.mark.parametrize("before", [True, False], ids=["before the hold", "during it"])
@in_virtual_time
async def test_a_whisper_keeps_the_music_going_where_it_came_before_the_hold(before: bool) -> None:
    async with scene() as now:
        call_id = now.talk()
        now.service.on_restored(now.listing(), [], "22.10.1")
        if not before:
            now.feed(held(CUSTOMER))
        await asyncio.sleep(1)
        await now.attached(call_id)
        await asyncio.sleep(1)
        if before:
            now.feed(held(CUSTOMER))
        answered = (await now.whisper(call_id), (await now.waits(call_id)).call)
        assert [bool(call and call.warning) is not before for call in answered] == [True, True]


@pytest.mark.parametrize(
    ("version", "heard"),
    [
        ("16.28.0", False),
        ("20.20.0", False),
        ("20.21.0", True),
        ("21.99.0", False),
        ("22.10.1~dfsg+~cs6.15", False),
        ("22.11.0", True),
        ("23.4.9", False),
        ("23.5.0-rc1", True),
        ("24.0.0", True),
        ("certified/20.7-cert9", False),
        ("GIT-master-abc", False),
        ("", False),
    ],
)
def test_which_versions_let_a_whisper_be_heard_in_silence(version: str, heard: bool) -> None:
    assert heard_in_silence(version) is heard


@in_virtual_time
async def test_a_fault_while_asking_leaves_nothing_to_wait_for() -> None:
    async with scene() as now:
        call_id = now.talk()
        now.pbx.broken["Originate"] = RuntimeError("a fault nobody thought of")
        with pytest.raises(RuntimeError):
            await now.whisper(call_id)
        assert list(now.service.whispering.book) == []
        now.pbx.broken.clear()
        await now.ringing(call_id)


@in_virtual_time
async def test_closing_while_asking_leaves_nothing_behind() -> None:
    async with scene() as now:
        task = now.ask(now.talk())
        await asyncio.sleep(0)
        await now.service.close()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        gc.collect()
