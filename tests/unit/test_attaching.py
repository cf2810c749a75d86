"""Who waits for a supervisor learns that he is attached, or why he is not, and disturbs nothing."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from bridge.errors import (
    ActionConflict,
    ApiError,
    InternalServerError,
    LinkLost,
    NotPickedUp,
    SendCallToInvalid,
    SupervisorBusy,
    SupervisorDeclined,
    SupervisorHungUp,
    TargetGone,
)
from bridge.events import Leaving, Snapshot
from bridge.model import PhoneCall
from bridge.outcomes import failure
from bridge.service import Rules, Whispered
from bridge.whisper import DEADLINE_SLACK, Reason
from tests.support.directory import AGENT, EVERY_ACTION
from tests.support.happenings import (
    RINGING,
    UP,
    end,
    hung_up,
    leg,
    originated,
    presses,
    seen,
    spies,
)
from tests.support.pbx import error, success
from tests.support.scene import AGENT_LEG, CUSTOMER, Scene, scene
from tests.support.timing import in_virtual_time, settle

OTHER_LEG = leg("0003*211", "9.9", state=UP)


async def rings(now: Scene, call_id: str, **changes: Any) -> "asyncio.Task[Whispered]":
    """The same, until the phone rings."""
    task = now.waits(call_id, **changes)
    await settle()
    now.feed(seen(now.leg), seen(now.leg, RINGING))
    await settle()
    assert not task.done()
    return task


def shown(call: PhoneCall | None) -> list[tuple[str, str]]:
    assert call is not None
    return [(view.id, view.source[0]) for view in call.views]


async def why(task: "asyncio.Task[Whispered]") -> ApiError:
    """The error a client is told, at once."""
    await settle()
    assert task.done()
    with pytest.raises(ApiError) as raised:
        await task
    return raised.value


@in_virtual_time
async def test_it_ends_once_the_supervisor_is_attached_and_not_before() -> None:
    async with scene() as now:
        task = await rings(now, now.talk())
        now.feed(seen(now.leg, UP))
        await settle()
        assert not task.done()
        now.feed(spies(now.leg, AGENT_LEG))
        await settle()
        assert task.done()
        call, attached = await task
        assert attached
        assert shown(call) == [("01", "7778888"), ("02", "0003*024")]


@pytest.mark.parametrize(
    ("cause", "kind"),
    [
        pytest.param(17, SupervisorBusy, id="busy"),
        pytest.param(21, SupervisorDeclined, id="declined"),
        pytest.param(19, NotPickedUp, id="no answer"),
        pytest.param(58, SendCallToInvalid, id="no common codec"),
    ],
)
@pytest.mark.parametrize("rung", [True, False], ids=["rung", "refused at once"])
@in_virtual_time
async def test_it_ends_with_why_he_is_not(cause: int, kind: type[ApiError], rung: bool) -> None:
    async with scene() as now:
        task = await rings(now, now.talk()) if rung else now.waits(now.talk())
        await settle()
        now.feed(hung_up(now.leg, cause))
        assert type(await why(task)) is kind


@in_virtual_time
async def test_a_phone_that_is_not_registered() -> None:
    async with scene() as now:
        now.pbx.answer("Getvar", success(Value="UNAVAILABLE"))
        task = now.waits(now.talk())
        await settle()
        now.feed(originated(now.leg.uniqueid, success=False))
        told = await why(task)
        assert isinstance(told, SendCallToInvalid)
        assert "not registered" in told.message


@in_virtual_time
async def test_a_target_that_goes_while_the_phone_rings() -> None:
    async with scene() as now:
        task = await rings(now, now.talk())
        now.feed(*end(CUSTOMER, AGENT_LEG))
        await settle()
        assert now.pbx.hung_up() == [now.leg.uniqueid]
        assert not task.done()
        now.feed(hung_up(now.leg, 16))
        assert isinstance(await why(task), TargetGone)


@in_virtual_time
async def test_a_phone_that_is_hung_up_on_request() -> None:
    async with scene(directory=EVERY_ACTION) as now:
        call_id = now.talk()
        task = await rings(now, call_id)
        asking = now.principal()
        extensions = now.service.directory.resolve(asking, "@owner", AGENT.number)
        ending = asyncio.create_task(now.service.hang_up(asking, extensions, call_id, "0003*024"))
        await settle()
        now.feed(hung_up(now.leg, 16))
        await ending
        assert isinstance(await why(task), SupervisorHungUp)


@in_virtual_time
async def test_the_link_goes_while_the_phone_rings() -> None:
    async with scene() as now:
        task = await rings(now, now.talk())
        now.service.on_lost()
        assert isinstance(await why(task), LinkLost)
        assert now.pbx.hung_up() == []


@in_virtual_time
async def test_a_leg_that_is_attached_to_somebody_else() -> None:
    async with scene() as now:
        task = await rings(now, now.talk())
        now.feed(spies(now.leg, OTHER_LEG))
        now.feed(hung_up(now.leg, 16))
        assert isinstance(await why(task), InternalServerError)


@in_virtual_time
async def test_a_supervisor_who_picks_up_and_hangs_up() -> None:
    async with scene() as now:
        task = await rings(now, now.talk())
        now.feed(seen(now.leg, UP), Leaving(now.leg), hung_up(now.leg, 0))
        assert isinstance(await why(task), SupervisorHungUp)
        assert now.ends() == {now.leg.uniqueid: Reason.LEFT}


@in_virtual_time
async def test_a_supervisor_whom_the_pbx_does_not_connect() -> None:
    async with scene() as now:
        task = await rings(now, now.talk())
        now.feed(seen(now.leg, UP), hung_up(now.leg, 0))
        assert isinstance(await why(task), InternalServerError)
        assert now.ends() == {now.leg.uniqueid: Reason.FAILED}


@in_virtual_time
async def test_a_supervisor_who_is_gone_at_once() -> None:
    async with scene() as now:
        task = await rings(now, now.talk())
        now.feed(spies(now.leg, AGENT_LEG), hung_up(now.leg, 16))
        assert isinstance(await why(task), SupervisorHungUp)


@in_virtual_time
async def test_a_phone_that_rings_on_when_the_time_is_up() -> None:
    async with scene() as now:
        task = now.waits(now.talk(), seconds=3)
        await settle()
        now.feed(seen(now.leg))
        call, attached = await task
        assert asyncio.get_running_loop().time() - now.began == pytest.approx(3)
        assert not attached
        assert shown(call) == [("01", "7778888")]
        now.feed(spies(now.leg, AGENT_LEG))
        assert now.session(now.leg) is not None
        assert now.pbx.hung_up() == []


@in_virtual_time
async def test_a_pbx_that_tells_of_no_end() -> None:
    async with scene() as now:
        task = await rings(now, now.talk(), waitForPickup=5)
        with pytest.raises(NotPickedUp):
            await task
        # Its own timer first, then the bridge's, then what is never heard of.
        over = asyncio.get_running_loop().time() - now.began
        assert over == pytest.approx(5 + 2 * DEADLINE_SLACK)


@in_virtual_time
async def test_nobody_waits_for_ever_when_the_client_goes() -> None:
    async with scene() as now:
        task = await rings(now, now.talk())
        task.cancel()
        await settle()
        assert task.cancelled()
        now.feed(spies(now.leg, AGENT_LEG))
        await settle()
        assert now.session(now.leg) is not None
        assert now.pbx.hung_up() == []


# The same again


@in_virtual_time
async def test_a_repeat_waits_for_the_same_phone() -> None:
    async with scene() as now:
        call_id = now.talk()
        first = await rings(now, call_id)
        second = now.waits(call_id)
        await settle()
        assert not second.done()
        now.feed(spies(now.leg, AGENT_LEG))
        assert (await first) == (await second)
        assert len(now.pbx.of("Originate")) == 1


@in_virtual_time
async def test_a_repeat_is_told_why_as_well() -> None:
    async with scene() as now:
        call_id = now.talk()
        await now.ringing(call_id)
        task = now.waits(call_id)
        await settle()
        now.feed(hung_up(now.leg, 17))
        assert isinstance(await why(task), SupervisorBusy)


@in_virtual_time
async def test_a_repeat_while_he_takes_part_need_not_wait() -> None:
    async with scene() as now:
        call_id = now.talk()
        await now.attached(call_id)
        task = now.waits(call_id)
        await settle()
        assert task.done()
        assert (await task).attached
        assert len(now.pbx.of("Originate")) == 1


# Ways to take part

CHANGES = [
    pytest.param({"action": "Monitor"}, id="listen"),
    pytest.param({"private": 1}, id="private"),
]


@pytest.mark.parametrize("changes", CHANGES)
@in_virtual_time
async def test_it_ends_once_he_takes_part_in_the_way_that_was_asked_for(
    changes: dict[str, Any],
) -> None:
    async with scene(directory=EVERY_ACTION) as now:
        answer = now.pbx.hold_back("Setvar")
        task = await rings(now, now.talk(), **changes)
        now.feed(spies(now.leg, AGENT_LEG))
        await settle()
        assert not task.done()
        answer.set()
        await settle()
        assert (await task).attached


@pytest.mark.parametrize("changes", CHANGES)
@in_virtual_time
async def test_a_change_ends_once_it_is_made(changes: dict[str, Any]) -> None:
    async with scene(directory=EVERY_ACTION) as now:
        call_id = now.talk()
        await now.attached(call_id)
        await settle()
        answer = now.pbx.hold_back("Setvar")
        task = now.waits(call_id, **changes)
        await settle()
        assert not task.done()
        answer.set()
        await settle()
        assert task.done()
        assert (await task).attached


@in_virtual_time
async def test_a_phone_with_keys_has_taken_its_key_first() -> None:
    async with scene(Rules("lab", follow_keys=True), EVERY_ACTION) as now:
        task = await rings(now, now.talk(), action="BargeIn")
        now.feed(spies(now.leg, AGENT_LEG))
        await settle()
        assert not task.done()
        now.feed(presses(now.leg, now.pbx.of("PlayDTMF")[-1]["Digit"]))
        await settle()
        assert (await task).attached


@in_virtual_time
async def test_a_wait_that_ends_leaves_the_change_alone() -> None:
    async with scene(Rules("lab", follow_keys=True), EVERY_ACTION) as now:
        task = await rings(now, now.talk(), action="BargeIn")
        now.feed(spies(now.leg, AGENT_LEG))
        await settle()
        task.cancel()
        await settle()
        now.feed(presses(now.leg, now.pbx.of("PlayDTMF")[-1]["Digit"]))
        await settle()
        session = now.session(now.leg)
        assert session is not None
        assert session.settled


@in_virtual_time
async def test_a_change_that_cannot_be_made_is_refused_at_once() -> None:
    async with scene(directory=EVERY_ACTION) as now:
        call_id = now.talk()
        await now.attached(call_id)
        assert isinstance(await why(now.waits(call_id, action="BargeIn")), ActionConflict)


@in_virtual_time
async def test_a_mode_that_the_pbx_refuses() -> None:
    async with scene(directory=EVERY_ACTION) as now:
        now.pbx.answer("Setvar", error("no"))
        task = now.waits(now.talk(), private=1)
        await settle()
        now.feed(seen(now.leg), spies(now.leg, AGENT_LEG))
        await settle()
        now.feed(hung_up(now.leg, 16))
        assert isinstance(await why(task), InternalServerError)


# What there is to say


@pytest.mark.parametrize("reason", Reason)
def test_there_is_an_answer_for_every_reason(reason: Reason) -> None:
    told = failure(reason)
    assert 400 <= told.status < 600
    assert told.message


@pytest.mark.parametrize(
    "happens",
    [
        pytest.param(lambda leg: [hung_up(leg, 17)], id="it ends"),
        pytest.param(lambda leg: [spies(leg, AGENT_LEG)], id="it is attached"),
    ],
)
@in_virtual_time
async def test_nothing_is_kept_of_who_has_waited(
    happens: Callable[[Snapshot], list[Any]],
) -> None:
    async with scene() as now:
        task = await rings(now, now.talk())
        now.feed(*happens(now.leg))
        await asyncio.wait([task])
        task.exception()
        assert not now.service.attaching.awaited
