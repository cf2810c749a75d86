"""``Prefer: wait=N``: clients that wait until the supervisor takes part, or for why he does not."""

import asyncio
import time
from itertools import pairwise

import pytest

from bridge.lab import proof
from bridge.lab.phone import Phone
from bridge.model import Mode
from tests.link.proxy import Proxy
from tests.support.modes import HEARS
from tests.support.unlimited import UNLIMITED

from .client import PATIENCE, Answer, Api, in_mode, views, whisper
from .stage import Call, Stage, heard, rings

pytestmark = pytest.mark.pbx

WAIT = "wait=20"
APPLIED = "Preference-Applied"
LISTEN, WHISPER, PRIVATE, BARGE = Mode
SLOWLY = whisper(sendCallTo="0003*025")
"""The whisper of a supervisor whose phone rings until somebody does something."""


def waits(api: Api, call: Call, body: object = None) -> "asyncio.Task[Answer]":
    """Ask, and wait."""
    return asyncio.create_task(api.put(call.path, body or SLOWLY, WAIT))


async def waited(api: Api, call: Call, phone: Phone) -> "asyncio.Task[Answer]":
    """The same, until the phone rings."""
    mark = phone.events.mark()
    task = waits(api, call)
    await phone.incoming(since=mark)
    assert not task.done()
    return task


async def nothing_behind(stage: Stage, api: Api, call: Call) -> None:
    """The call is as it was."""
    await stage.no_whisper_leg()
    assert list(views(await api.get(call.path))) == ["01"]


# He takes part


@pytest.mark.parametrize("mode", Mode)
async def test_the_answer_is_there_when_he_is_heard_as_he_should(
    api: Api, call: Call, supervisor: Phone, mode: Mode
) -> None:
    answer = await api.put(call.path, in_mode(mode), WAIT)
    assert (answer.status, answer.headers[APPLIED]) == (200, WAIT)
    assert answer.body == (await api.get(call.path)).body
    assert views(answer)["02"]["source"] == ["0003*024"]
    await _hear(call, supervisor, mode)


async def test_the_answer_comes_when_he_picks_up_and_not_before(
    api: Api, call: Call, ringing: Phone
) -> None:
    task = await waited(api, call, ringing)
    await asyncio.sleep(1)
    assert not task.done()
    began = time.monotonic()
    await ringing.pick_up()
    answer = await task
    assert time.monotonic() - began < PATIENCE
    assert answer.status == 200
    assert list(views(answer)) == ["01", "02"]


async def test_a_change_is_in_place_when_it_is_answered(
    stage: Stage, api: Api, call: Call, supervisor: Phone
) -> None:
    seen = stage.observer.events.mark()
    for before, after in pairwise((WHISPER, LISTEN, PRIVATE, WHISPER)):
        await api.put(call.path, in_mode(before), WAIT)
        began = time.monotonic()
        answer = await api.put(call.path, in_mode(after), WAIT)
        assert time.monotonic() - began < PATIENCE
        assert answer.status == 200
        assert list(views(answer)) == ["01", "02"]
        await _hear(call, supervisor, after)
    assert len(stage.rung(seen)) == 1


async def test_a_change_that_cannot_be_made_is_refused(
    api: Api, call: Call, supervisor: Phone
) -> None:
    await api.put(call.path, in_mode(WHISPER), WAIT)
    answer = await api.put(call.path, in_mode(BARGE), WAIT)
    assert answer.refusal == (409, "pc_action_conflict")
    assert list(views(await api.get(call.path))) == ["01", "02"]


async def test_one_who_may_barge_in_is_heard_by_both_when_it_is_answered(
    stage: Stage, call: Call, supervisor: Phone
) -> None:
    async with await stage.another_server(
        BRIDGE_AMI_USERNAME="whisper-bridge-keys", BRIDGE_FOLLOW_KEYS="true", **UNLIMITED
    ) as server:
        api = Api(stage.http, server.url, stage.token)
        for mode in (WHISPER, BARGE, WHISPER):
            answer = await api.put(call.path, in_mode(mode), WAIT)
            assert answer.status == 200
            await _hear(call, supervisor, mode)
        assert (await api.delete(call.path, "0003*024")).status == 200


async def test_the_same_again_waits_on_the_same_phone_and_rings_nothing(
    stage: Stage, api: Api, call: Call, ringing: Phone
) -> None:
    mark, seen = ringing.events.mark(), stage.observer.events.mark()
    tasks = [await waited(api, call, ringing), waits(api, call), waits(api, call)]
    await asyncio.sleep(0.5)
    assert not any(task.done() for task in tasks)
    await ringing.pick_up()
    answers = [await task for task in tasks]
    answers.append(await api.put(call.path, SLOWLY, WAIT))
    assert [answer.status for answer in answers] == [200] * 4
    assert all(answer.body == answers[0].body for answer in answers)
    assert rings(ringing, mark) == len(stage.rung(seen)) == 1


# He does not


@pytest.mark.parametrize(
    ("code", "refusal"),
    [
        (486, (409, "pc_sendcallto_busy")),
        (603, (409, "pc_sendcallto_declined")),
        (480, (409, "pc_sendcallto_no_answer")),
        (488, (400, "pc_sendcallto_invalid")),
    ],
)
async def test_a_phone_that_refuses_is_told_as_it_refuses(
    stage: Stage, api: Api, call: Call, code: int, refusal: tuple[int, str]
) -> None:
    async with stage.refusing_phone("0003*211", code) as phone:
        for called in (1, 2):
            answer = await api.put(call.path, whisper(sendCallTo="0003*211"), WAIT)
            assert answer.refusal == refusal
            assert len(phone.calls.entries) == called
            await nothing_behind(stage, api, call)


async def test_a_supervisor_who_rejects_the_call_is_busy(
    stage: Stage, api: Api, call: Call, ringing: Phone
) -> None:
    task = await waited(api, call, ringing)
    await ringing.hang_up()
    assert (await task).refusal == (409, "pc_sendcallto_busy")
    await nothing_behind(stage, api, call)


async def test_a_supervisor_who_picks_up_and_hangs_up_at_once(
    stage: Stage, api: Api, call: Call, ringing: Phone
) -> None:
    task = await waited(api, call, ringing)
    await ringing.pick_up()
    await ringing.hang_up()
    assert (await task).refusal == (409, "pc_sendcallto_hung_up")
    await nothing_behind(stage, api, call)


async def test_nobody_picks_up(stage: Stage, api: Api, call: Call, ringing: Phone) -> None:
    began = time.monotonic()
    answer = await api.put(call.path, {**SLOWLY, "waitForPickup": 2}, WAIT)
    assert answer.refusal == (409, "pc_sendcallto_no_answer")
    assert 1.5 < time.monotonic() - began < 2 + PATIENCE
    await nothing_behind(stage, api, call)


async def test_a_phone_that_is_not_registered(stage: Stage, api: Api, call: Call) -> None:
    await stage.device_state("0003*211", "UNAVAILABLE")
    answer = await api.put(call.path, whisper(sendCallTo="0003*211"), WAIT)
    assert answer.refusal == (400, "pc_sendcallto_invalid")
    assert "not registered" in answer.message
    await nothing_behind(stage, api, call)


@pytest.mark.parametrize("leaving", ["customer", "agent"])
async def test_the_call_ends_while_the_phone_rings(
    stage: Stage, api: Api, call: Call, ringing: Phone, leaving: str
) -> None:
    task = await waited(api, call, ringing)
    await {"customer": call.caller, "agent": call.callee}[leaving].hang_up()
    assert (await task).refusal == (409, "pc_phonecallview_gone")
    await stage.silence()


async def test_somebody_has_the_ringing_phone_hung_up(
    stage: Stage, api: Api, call: Call, ringing: Phone
) -> None:
    task = await waited(api, call, ringing)
    assert (await api.delete(call.path, "0003*025")).status == 200
    assert (await task).refusal == (409, "pc_sendcallto_hung_up")
    await nothing_behind(stage, api, call)


async def test_the_link_goes_while_the_phone_rings(
    stage: Stage, call: Call, ringing: Phone
) -> None:
    mark = ringing.events.mark()
    async with (
        Proxy(stage.pbx.ami_port) as line,
        await stage.another_server(ami_port=line.port, **UNLIMITED) as server,
    ):
        api = Api(stage.http, server.url, stage.token)
        task = await waited(api, call, ringing)
        line.cut()
        assert (await task).refusal == (503, "pbx_unavailable")
        await api.until(call.path, lambda a: a.status == 200, "the link is back")
        task = waits(api, call)
        await asyncio.sleep(0.5)
        assert not task.done()
        await ringing.pick_up()
        answer = await task
        assert answer.status == 200
        assert list(views(answer)) == ["01", "02"]
        assert rings(ringing, mark) == 1


# Nobody waits


async def test_when_the_time_is_up_the_phone_rings_on(
    stage: Stage, api: Api, call: Call, ringing: Phone
) -> None:
    mark, seen = ringing.events.mark(), stage.observer.events.mark()
    began = time.monotonic()
    answer = await api.put(call.path, SLOWLY, "wait=1")
    assert 1 <= time.monotonic() - began < 1 + PATIENCE
    without = await api.put(call.path, SLOWLY)
    assert (answer.status, answer.body) == (without.status, without.body)
    assert answer.status == 202
    assert APPLIED in answer.headers
    assert APPLIED not in without.headers
    await ringing.pick_up()
    await api.until(call.path, lambda a: "02" in views(a), "the whisper in force")
    assert rings(ringing, mark) == len(stage.rung(seen)) == 1


async def test_a_client_that_goes_away_changes_nothing(
    stage: Stage, api: Api, call: Call, ringing: Phone
) -> None:
    seen = stage.observer.events.mark()
    task = await waited(api, call, ringing)
    task.cancel()
    await asyncio.sleep(0.5)
    assert await stage.whisper_legs() == stage.rung(seen)
    await ringing.pick_up()
    answer = await api.put(call.path, SLOWLY, WAIT)
    assert answer.status == 200
    assert len(stage.rung(seen)) == 1


async def _hear(call: Call, supervisor: Phone, mode: Mode) -> None:
    table = await heard(
        agent=(call.callee, HEARS[mode]["agent"]),
        customer=(call.caller, HEARS[mode]["customer"]),
        supervisor=(supervisor, HEARS[mode]["supervisor"]),
    )
    assert proof.is_right(table), proof.render(table)
