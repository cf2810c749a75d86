"""What the phone of the supervisor shows and does, and what becomes of the whisper then."""

import asyncio
from collections.abc import Callable

import pytest

from bridge.lab import proof
from bridge.lab.phone import Phone
from bridge.model import Mode
from tests.support.modes import HEARS

from .client import PATHS, PATIENCE, Api, in_mode, views, whisper
from .stage import STRANGER, Call, Stage, heard, rings

pytestmark = pytest.mark.pbx

# What it displays


@pytest.mark.parametrize(
    ("caller_id", "name", "number"),
    [
        ("Whisper To Me <42420042>", "Whisper To Me", "42420042"),
        ("Boss <+3334444>", "Boss", "+3334444"),
        ("Desk <0003*024>", "Desk", "0003*024"),
        ("Анна Каренина <42420042>", "Анна Каренина", "42420042"),
        ("O'Brien, Ann (Sales) <42420042>", "O'Brien, Ann (Sales)", "42420042"),
        (None, "Supervisor 024", "0003*024"),
    ],
)
async def test_the_phone_and_the_view_show_the_caller_id(
    api: Api, call: Call, supervisor: Phone, caller_id: str | None, name: str, number: str
) -> None:
    mark = supervisor.events.mark()
    assert (await api.put(call.path, whisper(callerId=caller_id))).status == 202
    shown = await supervisor.incoming(since=mark)
    assert (shown.name, shown.number) == (name, number)
    answer = await api.until(call.path, lambda a: "02" in views(a), "the whisper in force")
    assert views(answer)["02"]["callerId"] == f"{name} <{number}>"


# How long it rings


async def test_the_phone_is_being_called_when_the_request_is_accepted(
    stage: Stage, api: Api, call: Call, ringing: Phone
) -> None:
    answer = await api.put(call.path, whisper(sendCallTo="0003*025"))
    assert answer.status == 202
    (leg,) = await stage.whisper_legs()
    assert (await stage.channels())[leg]["Channel"].startswith("PJSIP/0003*025-")


@pytest.mark.parametrize("wait", ["1", 2], ids=["a string", "a number"])
async def test_the_phone_rings_as_long_as_asked(
    stage: Stage, api: Api, call: Call, ringing: Phone, wait: str | int
) -> None:
    mark = ringing.events.mark()
    asked = whisper(sendCallTo="0003*025", waitForPickup=wait)
    assert (await api.put(call.path, asked)).status == 202
    rings = await ringing.event("CALL_INCOMING", since=mark)
    ends = await ringing.event("CALL_CLOSED", since=mark)
    assert int(wait) - 0.7 < ends.at - rings.at < int(wait) + 1.5
    await nothing_behind(stage, api, call)


@pytest.mark.parametrize("leaving", ["customer", "agent"])
async def test_the_phone_stops_ringing_when_the_call_ends(
    stage: Stage, api: Api, call: Call, ringing: Phone, leaving: str
) -> None:
    mark = ringing.events.mark()
    await api.put(call.path, whisper(sendCallTo="0003*025"))
    await ringing.incoming(since=mark)
    await {"customer": call.caller, "agent": call.callee}[leaving].hang_up()
    await ringing.closed(within=1, since=mark)
    await stage.silence()
    assert (await api.get(call.path)).status == 204


# When nobody picks up


async def test_a_supervisor_who_rejects_the_call_leaves_nothing_behind(
    stage: Stage, api: Api, call: Call, ringing: Phone
) -> None:
    mark = ringing.events.mark()
    for _ in range(2):
        await called(api, call, "0003*025", lambda: rings(ringing, mark))
        await ringing.hang_up()
        await nothing_behind(stage, api, call)


@pytest.mark.parametrize("code", [486, 603, 480, 404, 488, 500])
async def test_a_phone_that_refuses_the_call_leaves_nothing_behind(
    stage: Stage, api: Api, call: Call, code: int
) -> None:
    async with stage.refusing_phone("0003*211", code) as phone:
        for _ in range(2):
            await called(api, call, "0003*211", lambda: len(phone.calls.entries))
            await nothing_behind(stage, api, call)


async def test_a_phone_that_is_not_registered_is_named_as_the_reason(
    stage: Stage, api: Api, call: Call
) -> None:
    await stage.device_state("0003*211", "UNAVAILABLE")
    answer = await api.put(call.path, whisper(sendCallTo="0003*211"))
    assert answer.refusal == (400, "pc_sendcallto_invalid")
    assert "not registered" in answer.message
    await nothing_behind(stage, api, call)


async def test_a_phone_the_pbx_does_not_know_is_named_as_the_reason(
    stage: Stage, api: Api, call: Call
) -> None:
    answer = await api.put(call.path, whisper(sendCallTo=STRANGER))
    assert answer.refusal == (400, "pc_sendcallto_invalid")
    assert "does not know" in answer.message
    await nothing_behind(stage, api, call)


# The same whisper again


async def test_the_same_whisper_again_rings_nothing(
    stage: Stage, api: Api, call: Call, ringing: Phone
) -> None:
    mark, seen = ringing.events.mark(), stage.observer.events.mark()
    asked = whisper(sendCallTo="0003*025", private=1)
    first = await api.put(call.path, asked)
    await ringing.incoming(since=mark)
    while_it_rings = await api.put(call.path, asked)
    await ringing.pick_up()
    await api.until(call.path, lambda a: "02" in views(a), "the whisper in force")
    while_it_runs = await api.put(call.path, asked)
    for again in (while_it_rings, while_it_runs):
        assert (again.status, again.body) == (202, first.body)
    assert list(views(await api.get(call.path))) == ["01", "02"]
    assert await stage.whisper_legs() == stage.rung(seen)
    assert rings(ringing, mark) == len(stage.rung(seen)) == 1


async def test_the_same_whisper_from_several_clients_at_once_rings_once(
    stage: Stage, api: Api, call: Call, ringing: Phone
) -> None:
    mark, seen = ringing.events.mark(), stage.observer.events.mark()
    asked = whisper(sendCallTo="0003*025")
    answers = await asyncio.gather(*(api.put(call.path, asked) for _ in range(5)))
    assert [a.status for a in answers] == [202] * 5
    assert len({a.body["id"] for a in answers}) == 1
    await ringing.incoming(since=mark)
    assert await stage.whisper_legs() == stage.rung(seen)
    assert rings(ringing, mark) == len(stage.rung(seen)) == 1


async def test_asked_for_in_another_way_while_it_rings_it_is_the_same_leg(
    stage: Stage, api: Api, call: Call, ringing: Phone
) -> None:
    mark, seen = ringing.events.mark(), stage.observer.events.mark()
    for mode in (Mode.WHISPER, Mode.PRIVATE, Mode.LISTEN):
        answer = await api.put(call.path, in_mode(mode, sendCallTo="0003*025"))
        assert answer.status == 202
    await ringing.incoming(since=mark)
    await ringing.pick_up()
    await api.until(call.path, lambda a: "02" in views(a), "the supervisor takes part")
    assert rings(ringing, mark) == len(stage.rung(seen)) == 1
    hears = HEARS[Mode.LISTEN]
    table = await heard(
        agent=(call.callee, hears["agent"]),
        customer=(call.caller, hears["customer"]),
        supervisor=(ringing, hears["supervisor"]),
    )
    assert proof.is_right(table), proof.render(table)


async def test_every_way_to_write_the_path_names_the_same_whisper(
    stage: Stage, api: Api, call: Call, supervisor: Phone
) -> None:
    seen = stage.observer.events.mark()
    for path in PATHS:
        answer = await api.put(path.format(call.id), whisper())
        assert (answer.status, answer.body["id"]) == (202, call.id)
        await api.until(call.path, lambda a: "02" in views(a), "the whisper in force")
        followed = await api.request("GET", answer.body["link"]["self"])
        assert list(views(followed)) == ["01", "02"]
    assert await stage.whisper_legs() == stage.rung(seen)
    assert len(stage.rung(seen)) == 1


async def test_two_supervisors_whisper_at_once(
    api: Api, call: Call, supervisor: Phone, ringing: Phone
) -> None:
    mark = ringing.events.mark()
    await api.put(call.path, whisper(sendCallTo="0003*024"))
    await api.until(call.path, lambda a: "02" in views(a), "the first whisper in force")
    await api.put(call.path, whisper(sendCallTo="0003*025"))
    await ringing.incoming(since=mark)
    await ringing.pick_up()
    both = views(await api.until(call.path, lambda a: "03" in views(a), "the second in force"))
    assert [both[view]["source"] for view in ("02", "03")] == [["0003*024"], ["0003*025"]]
    await supervisor.hang_up()
    await api.until(call.path, lambda a: list(views(a)) == ["01", "03"], "the end of the first")


async def called(api: Api, call: Call, supervisor: str, times: Callable[[], int]) -> None:
    """Ask until the phone rings once more: the last whisper's end may not be known at once."""
    before = times()
    async with asyncio.timeout(PATIENCE):
        while times() == before:
            assert (await api.put(call.path, whisper(sendCallTo=supervisor))).status == 202
            await asyncio.sleep(0.02)


async def nothing_behind(stage: Stage, api: Api, call: Call) -> None:
    """No leg of a whisper is left, and the call is as if there had been none."""
    await stage.no_whisper_leg()
    assert list(views(await api.get(call.path))) == ["01"]
