"""How whispers are carried out: signs in any order, deadlines, gaps, and what must never be."""

import asyncio
import logging
from collections.abc import Callable

import pytest

from bridge.actions import Action, Answer
from bridge.errors import InternalServerError, LinkLost, PbxUnavailable, SendCallToInvalid
from bridge.events import Event, Snapshot
from bridge.service import Rules
from bridge.whisper import DEADLINE_SLACK, LATE_EVENTS, Reason, State
from bridge.whispering import FIRST_SIGN_TIMEOUT
from tests.support.happenings import (
    RINGING,
    UP,
    dial_ends,
    dials,
    hung_up,
    leg,
    lets_go,
    listed,
    originated,
    seen,
    spies,
)
from tests.support.pbx import error, rows, success
from tests.support.scene import AGENT_LEG, CUSTOMER, scene
from tests.support.timing import in_virtual_time, settle

OUTSIDER = leg("7779999", "8.1", state=UP)
OTHER_LEG = leg("0003*211", "9.9", state=UP)
EXAMPLE_WAIT = 20


def status(channel: Snapshot, target: str) -> dict[str, str]:
    """A spy as the PBX lists it."""
    return {
        "Uniqueid": channel.uniqueid,
        "Channel": channel.name,
        "ChannelState": str(channel.state),
        "Application": "ChanSpy",
        "Data": f"{target},uqwES",
    }


def alarms(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.message for record in caplog.records if record.levelno == logging.CRITICAL]


# Signs in any order


@in_virtual_time
async def test_the_leg_may_be_heard_of_before_the_answer() -> None:
    async with scene() as now:
        call = now.talk()
        answer = now.pbx.hold_back("Originate")
        asked = await now.requested(call)
        now.feed(seen(asked.leg))
        assert await asked.task is not None
        answer.set()
        await settle()
        assert now.session(asked.leg) is not None
        assert now.pbx.hung_up() == []


@in_virtual_time
async def test_the_answer_may_come_before_the_leg() -> None:
    async with scene() as now:
        call = now.talk()
        asked = await now.requested(call)
        assert not asked.task.done()
        now.feed(seen(asked.leg))
        assert await asked.task is not None


@in_virtual_time
async def test_the_answered_phone_may_be_heard_of_first() -> None:
    async with scene() as now:
        call = now.talk()
        asked = await now.requested(call)
        now.feed(originated(asked.leg.uniqueid, success=True))
        assert await asked.task is not None
        now.feed(seen(asked.leg), dials(None, asked.leg), seen(asked.leg, RINGING))
        now.feed(seen(asked.leg, UP), spies(asked.leg, AGENT_LEG))
        assert now.views(call) == [("01", "7778888"), ("02", "0003*024")]


@in_virtual_time
async def test_the_beginning_of_the_call_may_be_heard_of_first() -> None:
    async with scene() as now:
        asked = await now.requested(now.talk())
        now.feed(dials(None, asked.leg))
        assert await asked.task is not None


@in_virtual_time
async def test_the_connected_spy_may_be_heard_of_first() -> None:
    async with scene() as now:
        call = now.talk()
        asked = await now.requested(call)
        now.feed(spies(asked.leg, AGENT_LEG))
        assert await asked.task is not None
        now.feed(originated(asked.leg.uniqueid, success=True), dial_ends(None, asked.leg))
        assert now.views(call) == [("01", "7778888"), ("02", "0003*024")]


@in_virtual_time
async def test_a_hangup_may_be_heard_of_first() -> None:
    async with scene() as now:
        call = now.talk()
        asked = await now.requested(call)
        now.feed(hung_up(asked.leg, 17))
        assert await asked.task is not None
        assert now.session(asked.leg) is None
        now.feed(originated(asked.leg.uniqueid, success=False), seen(asked.leg, RINGING))
        assert now.views(call) == [("01", "7778888")]
        assert now.pbx.hung_up() == []


@pytest.mark.parametrize(
    "events",
    [
        pytest.param(lambda leg: [seen(leg), seen(leg)], id="created twice"),
        pytest.param(lambda leg: [seen(leg, UP), seen(leg, RINGING)], id="rings after the answer"),
        pytest.param(lambda leg: [spies(leg, AGENT_LEG)] * 2, id="attached twice"),
        pytest.param(lambda leg: [seen(leg), lets_go(leg)], id="lets go of nothing"),
    ],
)
@in_virtual_time
async def test_signs_come_twice_late_or_for_nothing(
    events: Callable[[Snapshot], list[Event]],
) -> None:
    async with scene() as now:
        call = now.talk()
        asked = await now.requested(call)
        now.feed(*events(asked.leg))
        assert await asked.task is not None
        assert now.session(asked.leg) is not None
        assert now.pbx.hung_up() == []


@pytest.mark.parametrize("stop_first", [True, False])
@in_virtual_time
async def test_stop_and_end_in_any_order_leave_nothing(stop_first: bool) -> None:
    async with scene() as now:
        call = now.talk()
        leg = await now.attached(call)
        stop, end = lets_go(leg), hung_up(leg)
        now.feed(*((stop, end) if stop_first else (end, stop)))
        assert now.session(leg) is None
        assert now.views(call) == [("01", "7778888")]


# Phones that are not called, busy, decline or do not answer


@pytest.mark.parametrize(
    ("state", "message"),
    [
        pytest.param("UNAVAILABLE", "The phone of sendCallTo is not registered", id="unregistered"),
        pytest.param("INVALID", "The PBX does not know the phone of sendCallTo", id="unknown"),
        pytest.param("NOT_INUSE", "The PBX cannot call the phone of sendCallTo", id="other"),
        pytest.param("", "The PBX cannot call the phone of sendCallTo", id="silent"),
    ],
)
@in_virtual_time
async def test_a_phone_that_cannot_be_called_is_refused_with_the_reason(
    state: str, message: str
) -> None:
    async with scene() as now:
        call = now.talk()
        now.pbx.answer("Getvar", success(Value=state))
        asked = await now.requested(call)
        now.feed(originated(asked.leg.uniqueid, success=False))
        with pytest.raises(SendCallToInvalid, match=message):
            await asked.task
        assert now.pbx.of("Getvar")[-1]["Variable"] == "DEVICE_STATE(PJSIP/0003*024)"
        assert now.session(asked.leg) is None


@in_virtual_time
async def test_the_reason_is_not_worth_another_error() -> None:
    async with scene() as now:
        call = now.talk()
        now.pbx.lose("Getvar")
        asked = await now.requested(call)
        now.feed(originated(asked.leg.uniqueid, success=False))
        with pytest.raises(SendCallToInvalid, match="The PBX cannot call the phone"):
            await asked.task


@in_virtual_time
async def test_an_originate_that_is_refused_is_our_fault_not_the_clients(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with scene() as now:
        call = now.talk()
        now.pbx.answer("Originate", error("Originate Access Forbidden"))
        with pytest.raises(InternalServerError):
            await now.whisper(call)
        assert "Originate Access Forbidden" in caplog.text
        assert list(now.service.whispering.book) == []


@pytest.mark.parametrize("cause", [16, 17, 19, 21])
@pytest.mark.parametrize("response_first", [True, False])
@in_virtual_time
async def test_a_phone_that_does_not_answer_leaves_nothing(
    cause: int, response_first: bool
) -> None:
    async with scene() as now:
        call = now.talk()
        leg = await now.ringing(call)
        ends: list[Event] = [hung_up(leg, cause), originated(leg.uniqueid, success=False)]
        now.feed(*(reversed(ends) if response_first else ends), dial_ends(None, leg))
        assert now.session(leg) is None
        await asyncio.sleep(60)
        assert now.pbx.hung_up() == []
        assert now.views(call) == [("01", "7778888")]


@in_virtual_time
async def test_a_failure_without_a_hangup_is_cleaned_up() -> None:
    async with scene() as now:
        call = now.talk()
        leg = await now.ringing(call)
        now.feed(originated(leg.uniqueid, success=False))
        await asyncio.sleep(LATE_EVENTS / 2)
        assert now.pbx.hung_up() == []
        await asyncio.sleep(LATE_EVENTS)
        assert now.pbx.hung_up() == [leg.uniqueid]
        await asyncio.sleep(DEADLINE_SLACK + 1)
        assert now.session(leg) is None


# Targets that end


@in_virtual_time
async def test_a_phone_that_rings_for_a_target_that_ended_is_hung_up_once() -> None:
    async with scene() as now:
        call = now.talk()
        leg = await now.ringing(call)
        now.feed(hung_up(AGENT_LEG), hung_up(CUSTOMER))
        await settle()
        assert now.pbx.hung_up() == [leg.uniqueid]
        now.feed(hung_up(leg, 16))
        await asyncio.sleep(60)
        assert now.pbx.hung_up() == [leg.uniqueid]
        assert now.session(leg) is None


@in_virtual_time
async def test_an_answered_phone_whose_target_ended_is_hung_up() -> None:
    async with scene() as now:
        call = now.talk()
        leg = await now.ringing(call)
        now.feed(seen(leg, UP), hung_up(AGENT_LEG))
        await settle()
        assert now.pbx.hung_up() == [leg.uniqueid]


@in_virtual_time
async def test_a_target_that_ends_before_the_phone_rings_is_an_end_not_an_error() -> None:
    async with scene() as now:
        call = now.talk()
        asked = await now.requested(call)
        now.feed(hung_up(AGENT_LEG), hung_up(CUSTOMER))
        assert await asked.task is None
        before = len(now.pbx.hung_up())
        now.feed(seen(asked.leg))
        await settle()
        assert now.pbx.hung_up()[before:] == [asked.leg.uniqueid]


@in_virtual_time
async def test_a_whisper_in_force_ends_by_itself_with_its_target() -> None:
    async with scene() as now:
        call = now.talk()
        leg = await now.attached(call)
        now.feed(lets_go(leg), hung_up(AGENT_LEG), hung_up(leg, 0), hung_up(CUSTOMER))
        await asyncio.sleep(60)
        assert now.pbx.hung_up() == []
        assert list(now.service.whispering.book) == []


@in_virtual_time
async def test_a_target_that_ends_first_and_a_stop_that_never_comes() -> None:
    async with scene() as now:
        call = now.talk()
        leg = await now.attached(call)
        now.feed(hung_up(AGENT_LEG), hung_up(CUSTOMER), hung_up(leg, 0))
        await asyncio.sleep(60)
        assert now.pbx.hung_up() == []
        assert list(now.service.whispering.book) == []


@in_virtual_time
async def test_somebody_elses_end_changes_nothing() -> None:
    async with scene() as now:
        call = now.talk()
        leg = await now.ringing(call)
        now.feed(seen(OTHER_LEG), hung_up(OTHER_LEG), hung_up(CUSTOMER))
        await settle()
        assert now.session(leg) is not None
        assert now.pbx.hung_up() == []


# What must never be


@in_virtual_time
async def test_a_spy_on_somebody_else_is_hung_up_with_an_alarm(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with scene() as now:
        call = now.talk()
        leg = await now.ringing(call)
        now.feed(seen(leg, UP), spies(leg, OTHER_LEG))
        await settle()
        assert now.pbx.hung_up() == [leg.uniqueid]
        assert [leg.uniqueid in alarm and "9.9" in alarm for alarm in alarms(caplog)] == [True]
        assert now.views(call) == [("01", "7778888")]
        now.feed(lets_go(leg), hung_up(leg, 16))
        assert now.session(leg) is None


@in_virtual_time
async def test_a_spy_on_somebody_whose_uniqueid_begins_alike_is_hung_up() -> None:
    async with scene() as now:
        call = now.talk()
        leg = await now.ringing(call)
        now.feed(seen(leg, UP), spies(leg, OTHER_LEG._replace(uniqueid="1.20")))
        await settle()
        assert now.pbx.hung_up() == [leg.uniqueid]


@in_virtual_time
async def test_a_spy_that_attached_to_another_after_the_right_one_is_hung_up(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with scene() as now:
        call = now.talk()
        leg = await now.attached(call)
        now.feed(spies(leg, OTHER_LEG))
        await settle()
        assert now.pbx.hung_up() == [leg.uniqueid]
        assert len(alarms(caplog)) == 1


@in_virtual_time
async def test_a_whisper_that_is_to_end_is_not_shown() -> None:
    async with scene() as now:
        call = now.talk()
        leg = await now.attached(call)
        now.feed(spies(leg, OTHER_LEG))
        assert now.views(call) == [("01", "7778888")]


async def _taken_over(*items: dict[str, str]) -> list[str]:
    """Our leg ends while attached; gives whom the PBX was asked to hang up."""
    async with scene() as now:
        call = now.talk()
        first = await now.attached(call)
        second = await now.attached(call, sendCallTo="0003*025")
        stranger = leg("0003*026", "7.7", state=UP)
        now.feed(seen(stranger), spies(stranger, AGENT_LEG), seen(OUTSIDER))
        known = (status(second, "1.2"), status(stranger, "1.2"))
        now.pbx.replies = {}
        now.pbx.answer("Status", rows(*known, *items))
        now.feed(hung_up(first, 16))
        await settle()
        return now.pbx.hung_up()


@in_virtual_time
async def test_who_took_a_whisper_over_is_hung_up_and_nobody_else(
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert await _taken_over(status(OUTSIDER, "1.2")) == ["8.1"]
    assert ["taken over by 8.1" in alarm for alarm in alarms(caplog)] == [True]


@pytest.mark.parametrize(
    "item",
    [
        pytest.param(status(OUTSIDER, "9.9"), id="spies on another"),
        pytest.param(status(OUTSIDER, "1.20"), id="spies on one that begins alike"),
        pytest.param({**status(OUTSIDER, "1.2"), "Application": "Playback"}, id="is no spy"),
    ],
)
@in_virtual_time
async def test_who_took_nothing_over_is_left_alone(
    item: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    assert await _taken_over(item) == []
    assert alarms(caplog) == []


@in_virtual_time
async def test_a_whisper_that_stopped_first_was_not_taken_over() -> None:
    async with scene() as now:
        call = now.talk()
        leg = await now.attached(call)
        before = len(now.pbx.of("Status"))
        now.feed(lets_go(leg), hung_up(leg, 0))
        await settle()
        assert len(now.pbx.of("Status")) == before


@in_virtual_time
async def test_a_list_that_cannot_be_had_is_no_fault(caplog: pytest.LogCaptureFixture) -> None:
    async with scene() as now:
        call = now.talk()
        leg = await now.attached(call)
        now.pbx.lose("Status")
        now.feed(hung_up(leg, 16))
        await settle()
        assert now.session(leg) is None


# Deadlines


@in_virtual_time
async def test_a_phone_that_rings_beyond_its_time_is_hung_up() -> None:
    async with scene() as now:
        call = now.talk()
        leg = await now.ringing(call)
        await asyncio.sleep(EXAMPLE_WAIT + DEADLINE_SLACK - 0.1)
        assert now.pbx.hung_up() == []
        await asyncio.sleep(0.2)
        assert now.pbx.hung_up() == [leg.uniqueid]
        now.feed(hung_up(leg, 16))
        assert now.session(leg) is None


@in_virtual_time
async def test_an_answered_phone_that_never_whispers_is_hung_up() -> None:
    async with scene() as now:
        call = now.talk()
        leg = await now.ringing(call)
        now.feed(seen(leg, UP))
        await asyncio.sleep(DEADLINE_SLACK + 0.1)
        assert now.pbx.hung_up() == [leg.uniqueid]


@in_virtual_time
async def test_an_end_that_is_never_heard_of_is_taken_for_granted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with scene() as now:
        call = now.talk()
        leg = await now.ringing(call)
        await asyncio.sleep(EXAMPLE_WAIT + 2 * DEADLINE_SLACK + 0.1)
        assert now.session(leg) is None
        assert "its end was never heard of" in caplog.text


@in_virtual_time
async def test_a_whisper_that_let_go_and_never_ended_is_hung_up() -> None:
    async with scene() as now:
        call = now.talk()
        leg = await now.attached(call)
        now.feed(lets_go(leg))
        await asyncio.sleep(DEADLINE_SLACK + 0.1)
        assert now.pbx.hung_up() == [leg.uniqueid]


@in_virtual_time
async def test_a_whisper_in_force_may_last_as_long_as_it_likes() -> None:
    async with scene() as now:
        call = now.talk()
        leg = await now.attached(call)
        await asyncio.sleep(36_000)
        assert now.session(leg) is not None
        assert now.pbx.hung_up() == []


@in_virtual_time
async def test_every_deadline_counts_not_only_the_first() -> None:
    async with scene() as now:
        call = now.talk()
        first = await now.ringing(call, waitForPickup=5)
        second = await now.ringing(call, waitForPickup=9, sendCallTo="0003*025")
        await asyncio.sleep(9 + DEADLINE_SLACK + 0.1)
        assert now.pbx.hung_up() == [first.uniqueid, second.uniqueid]


@in_virtual_time
async def test_a_pbx_that_says_nothing_is_not_waited_for_long() -> None:
    async with scene() as now:
        call = now.talk()
        began = asyncio.get_running_loop().time()
        with pytest.raises(PbxUnavailable):
            await now.whisper(call)
        assert asyncio.get_running_loop().time() - began == pytest.approx(FIRST_SIGN_TIMEOUT)
        await settle()
        before = len(now.pbx.hung_up())
        now.feed(seen(now.leg))
        await settle()
        assert now.pbx.hung_up()[before:] == [now.leg.uniqueid]
        assert len(now.pbx.of("Originate")) == 1


@in_virtual_time
async def test_a_request_nobody_waits_for_any_more_has_its_deadline_too() -> None:
    async with scene() as now:
        asked = await now.requested(now.talk())
        asked.task.cancel()
        await asyncio.sleep(EXAMPLE_WAIT + DEADLINE_SLACK + 0.1)
        assert now.pbx.hung_up() == [asked.leg.uniqueid]
        await asyncio.sleep(DEADLINE_SLACK + 0.1)
        assert now.session(asked.leg) is None


# Links that are lost


@in_virtual_time
async def test_a_link_lost_while_asking_is_an_error_and_nothing_is_asked_again() -> None:
    async with scene() as now:
        call = now.talk()
        now.pbx.replies["Originate"] = _lost
        with pytest.raises(PbxUnavailable):
            await now.whisper(call)
        now.service.on_lost()
        now.restored(*now.listing())
        await asyncio.sleep(60)
        assert len(now.pbx.of("Originate")) == 1
        assert list(now.service.whispering.book) == []


@in_virtual_time
async def test_a_leg_that_comes_after_the_list_did_not_have_it_is_hung_up() -> None:
    async with scene() as now:
        call = now.talk()
        now.pbx.replies["Originate"] = _lost
        with pytest.raises(PbxUnavailable):
            await now.whisper(call)
        now.service.on_lost()
        now.restored(*now.listing())
        await settle()
        before = len(now.pbx.hung_up())
        now.feed(seen(now.leg))
        await settle()
        assert now.pbx.hung_up()[before:] == [now.leg.uniqueid]


@in_virtual_time
async def test_a_leg_whose_request_was_not_answered_in_time_is_hung_up_when_it_comes() -> None:
    async with scene() as now:
        call = now.talk()
        now.pbx.lose("Originate")
        with pytest.raises(PbxUnavailable):
            await now.whisper(call)
        before = len(now.pbx.hung_up())
        now.feed(seen(now.leg), seen(now.leg, RINGING))
        await settle()
        assert set(now.pbx.hung_up()[before:]) == {now.leg.uniqueid}
        now.feed(hung_up(now.leg))
        assert list(now.service.whispering.book) == []


@in_virtual_time
async def test_a_leg_the_list_has_after_the_link_was_lost_while_asking_is_the_same_whisper() -> (
    None
):
    async with scene() as now:
        call = now.talk()
        now.pbx.replies["Originate"] = _lost
        with pytest.raises(PbxUnavailable):
            await now.whisper(call)
        leg = now.leg._replace(state=RINGING)
        now.service.on_lost()
        now.restored(*now.listing(listed(leg, application="AppDial2", age=1)))
        assert await now.whisper(call) is not None
        assert len(now.pbx.of("Originate")) == 1
        assert now.pbx.hung_up() == []


@in_virtual_time
async def test_who_waits_for_the_first_sign_is_told_when_the_link_goes() -> None:
    async with scene() as now:
        call = now.talk()
        now.pbx.hold_back("Originate")
        began = asyncio.get_running_loop().time()
        asked = await now.requested(call)
        now.service.on_lost()
        with pytest.raises(PbxUnavailable):
            await asked.task
        assert asyncio.get_running_loop().time() == began


def _lost(action: Action) -> Answer:
    raise LinkLost


@in_virtual_time
async def test_a_hangup_that_cannot_be_sent_is_made_up_for_after_the_gap() -> None:
    async with scene() as now:
        call = now.talk()
        leg = await now.ringing(call)
        now.pbx.lose("Hangup")
        now.feed(hung_up(AGENT_LEG))
        await settle()
        assert now.pbx.hung_up() == [leg.uniqueid]
        now.pbx.replies.clear()
        now.service.on_lost()
        now.restored(listed(leg._replace(state=RINGING), application="AppDial2"))
        await settle()
        assert now.pbx.hung_up() == [leg.uniqueid] * 2


# Gaps


@in_virtual_time
async def test_a_whisper_that_attached_during_a_gap_is_in_force() -> None:
    async with scene() as now:
        call = now.talk()
        leg = (await now.ringing(call))._replace(state=UP)
        now.service.on_lost()
        now.restored(*now.listing(listed(leg, application="ChanSpy", data="1.2,uqwES", age=2)))
        assert now.views(call) == [("01", "7778888"), ("02", "0003*024")]
        now.feed(lets_go(leg), hung_up(leg, 0))
        assert now.views(call) == [("01", "7778888")]


@in_virtual_time
async def test_a_whisper_in_force_outlives_a_gap() -> None:
    async with scene() as now:
        call = now.talk()
        leg = (await now.attached(call))._replace(state=UP)
        now.service.on_lost()
        now.restored(*now.listing(listed(leg, application="ChanSpy", data="1.2,uqwES", age=2)))
        assert now.views(call) == [("01", "7778888"), ("02", "0003*024")]
        await asyncio.sleep(3600)
        assert now.pbx.hung_up() == []


@pytest.mark.parametrize("attached", [True, False])
@in_virtual_time
async def test_a_whisper_that_ended_during_a_gap_has_ended(attached: bool) -> None:
    async with scene() as now:
        call = now.talk()
        leg = await (now.attached(call) if attached else now.ringing(call))
        now.service.on_lost()
        now.restored(*now.listing())
        assert now.session(leg) is None
        assert now.views(call) == [("01", "7778888")]


@in_virtual_time
async def test_a_target_that_ended_during_a_gap_ends_the_ringing() -> None:
    async with scene() as now:
        call = now.talk()
        leg = (await now.ringing(call))._replace(state=RINGING)
        now.service.on_lost()
        now.restored(listed(leg, application="AppDial2", age=5))
        await settle()
        assert now.pbx.hung_up() == [leg.uniqueid]


@in_virtual_time
async def test_a_whisper_found_on_another_target_after_a_gap_is_hung_up(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with scene() as now:
        call = now.talk()
        leg = (await now.ringing(call))._replace(state=UP)
        now.service.on_lost()
        now.restored(*now.listing(listed(leg, application="ChanSpy", data="9.9,uqwES")))
        await settle()
        assert now.pbx.hung_up() == [leg.uniqueid]
        assert len(alarms(caplog)) == 1


@pytest.mark.parametrize("follow", [True, False])
@in_virtual_time
async def test_a_target_that_talks_to_another_after_a_gap_is_whispered_to_no_more(
    follow: bool,
) -> None:
    async with scene(Rules("lab", follow_target=follow)) as now:
        leg = (await now.attached(now.talk()))._replace(state=UP)
        now.service.on_lost()
        both = AGENT_LEG._replace(state=UP), OUTSIDER
        spy = listed(leg, application="ChanSpy", data="1.2,uqwES")
        now.restored(*(listed(each, bridge="other") for each in both), spy)
        await settle()
        assert now.pbx.hung_up() == ([] if follow else [leg.uniqueid])


@in_virtual_time
async def test_a_phone_that_answered_during_a_gap_must_whisper_soon() -> None:
    async with scene() as now:
        leg = (await now.ringing(now.talk()))._replace(state=UP)
        now.service.on_lost()
        now.restored(*now.listing(listed(leg, application="AppDial2")))
        await asyncio.sleep(DEADLINE_SLACK + 0.1)
        assert now.pbx.hung_up() == [leg.uniqueid]


@in_virtual_time
async def test_a_whisper_that_was_to_end_ended_for_that_reason() -> None:
    async with scene() as now:
        leg = await now.ringing(now.talk())
        now.feed(hung_up(AGENT_LEG))
        now.service.on_lost()
        now.restored()
        await settle()
        assert now.ends() == {leg.uniqueid: Reason.TARGET_GONE}


@in_virtual_time
async def test_the_time_to_pick_up_goes_on_during_a_gap() -> None:
    async with scene() as now:
        call = now.talk()
        leg = (await now.ringing(call))._replace(state=RINGING)
        now.service.on_lost()
        await asyncio.sleep(10)
        now.restored(*now.listing(listed(leg, application="AppDial2", age=10)))
        await asyncio.sleep(EXAMPLE_WAIT + DEADLINE_SLACK - 10 + 0.1)
        assert now.pbx.hung_up() == [leg.uniqueid]


# The end


@in_virtual_time
async def test_closing_leaves_no_task_and_hangs_nobody_up() -> None:
    async with scene() as now:
        call = now.talk()
        await now.attached(call)
        now.pbx.hold_back("Originate")
        asked = await now.requested(call, sendCallTo="0003*025")
        now.feed(seen(asked.leg))
        await asked.task
        await now.service.close()
        assert asyncio.all_tasks() == {asyncio.current_task()}
        assert now.pbx.hung_up() == []


@in_virtual_time
async def test_nothing_comes_due_after_closing() -> None:
    async with scene() as now:
        call = now.talk()
        await now.ringing(call)
        await now.service.close()
        await asyncio.sleep(3600)
        assert now.pbx.hung_up() == []


@in_virtual_time
async def test_a_session_says_why_it_ended() -> None:
    async with scene() as now:
        call = now.talk()
        leg = await now.ringing(call)
        assert (session := now.session(leg)) is not None
        assert (session.state, session.verdict) == (State.RINGING, None)
        now.feed(hung_up(leg, 17))
        await settle()
        assert now.ends() == {leg.uniqueid: Reason.BUSY}
