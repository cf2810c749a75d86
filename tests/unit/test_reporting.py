"""What listeners are told: everything, in order, and never before the PBX."""

import asyncio
import logging

import pytest

from bridge.errors import InternalServerError, SendCallToInvalid
from bridge.happenings import (
    Adopted,
    Answered,
    Attached,
    Decided,
    Detached,
    Ended,
    Happening,
    Linked,
    ModeSettled,
    Moment,
    OfWhisper,
    Requested,
    Ringing,
    TakenOver,
    Unlinked,
    WrongTarget,
    refusal,
)
from bridge.memory import MAX_VALUE, SESSION_VARIABLE, SessionMemo, pack_session, unpack
from bridge.model import Asker, Principal
from bridge.reporting import Reporting
from bridge.service import Service
from bridge.whisper import Reason
from tests.support.directory import DIRECTORY, principal
from tests.support.happenings import UP, hung_up, leg, lets_go, listed, seen, spies
from tests.support.pbx import FakePbx, rows
from tests.support.scene import AGENT_LEG, EPOCH, Scene, scene
from tests.support.timing import in_virtual_time, settle

WHO = Principal(principal().app, "127.0.0.9", "c0ffee")
ASKER = Asker("lab-app", "12", "127.0.0.9", "c0ffee")


def of_whispers(told: list[Happening]) -> list[OfWhisper]:
    return [happening for happening in told if isinstance(happening, OfWhisper)]


def kinds(told: list[Happening]) -> list[type[Happening]]:
    return [type(happening) for happening in told]


# One whisper


@in_virtual_time
async def test_a_whisper_is_told_from_the_decision_to_its_end() -> None:
    async with scene() as now:
        call = now.talk()
        leg = await now.attached(call, who=WHO)
        now.feed(lets_go(leg), hung_up(leg))
        await settle()
        linked, decided, *rest = now.told
        assert linked == Linked(frozenset())
        assert decided == Decided(ASKER, "Whisper", call, leg.uniqueid)
        assert kinds(rest) == [Requested, Ringing, Answered, Attached, Detached, Ended]
        sessions = [happening.session for happening in of_whispers(rest)]
        assert {session.leg for session in sessions} == {leg.uniqueid}
        assert {session.asker for session in sessions} == {ASKER}
        assert {session.requested for session in sessions} == {EPOCH}
        assert sessions[-1].reason is Reason.COMPLETED


@in_virtual_time
async def test_nobody_is_told_before_the_pbx() -> None:
    """The Originate is written by the time a listener hears of it."""
    async with scene() as now:
        call = now.talk()
        await settle()
        now.told.clear()
        now.ask(call)
        await asyncio.sleep(0)
        assert now.pbx.of("Originate")
        assert now.told == []
        await asyncio.sleep(0)
        assert kinds(now.told) == [Decided, Requested]


@in_virtual_time
async def test_the_same_whisper_again_is_decided_again_and_not_requested() -> None:
    async with scene() as now:
        call = now.talk()
        leg = await now.ringing(call)
        await settle()
        now.told.clear()
        await now.whisper(call, who=WHO)
        await settle()
        assert now.told == [Decided(ASKER, "Whisper", call, leg.uniqueid)]


@in_virtual_time
async def test_a_refusal_is_told_once_with_its_code() -> None:
    async with scene() as now:
        call = now.talk()
        with pytest.raises(SendCallToInvalid):
            await now.whisper(call, who=WHO, sendCallTo="0003*999")
        await settle()
        assert now.told[1:] == [Decided(ASKER, "Whisper", call, code="pc_sendcallto_invalid")]


@in_virtual_time
async def test_a_phone_that_cannot_be_called_was_allowed_and_ends() -> None:
    async with scene() as now:
        asked = await now.requested(now.talk())
        now.feed(hung_up(asked.leg, 17))
        await asked.task
        decided, *rest = now.told[1:]
        assert isinstance(decided, Decided)
        assert not decided.code
        assert kinds(rest) == [Requested, Ended]
        assert of_whispers(rest)[-1].session.reason is Reason.BUSY


def test_a_fault_of_ours_is_a_refusal_without_details() -> None:
    told = refusal(ASKER, "Whisper", "ca11", ValueError("0003*210"))
    assert told == Decided(ASKER, "Whisper", "ca11", code=InternalServerError.code)


# Alarms


@in_virtual_time
async def test_a_wrong_target_is_told() -> None:
    async with scene() as now:
        whisper = await now.ringing(now.talk())
        now.feed(seen(whisper, UP), spies(whisper, leg("0003*211", "9.9", state=UP)))
        await settle()
        alarm = next(told for told in now.told if isinstance(told, WrongTarget))
        assert (alarm.session.leg, alarm.attached_to) == (whisper.uniqueid, "9.9")


@in_virtual_time
async def test_who_takes_a_leg_over_is_told() -> None:
    async with scene() as now:
        whisper = await now.attached(now.talk())
        successor = {
            "Uniqueid": "8.1",
            "Channel": "PJSIP/7779999-8.1",
            "ChannelState": str(UP),
            "Application": "ChanSpy",
            "Data": f"{AGENT_LEG.uniqueid},uqwES",
        }
        now.pbx.answer("Status", rows(successor))
        now.feed(hung_up(whisper))
        await settle()
        alarm = next(told for told in now.told if isinstance(told, TakenOver))
        assert (alarm.session.leg, alarm.successor) == (whisper.uniqueid, "8.1")


# Restarts and gaps


def remembered(of: Scene) -> str:
    """What the last Originate wrote on its leg."""
    variable = of.pbx.of("Originate")[-1]["Variable"]
    return variable.partition(f"{SESSION_VARIABLE}=")[2].partition(",")[0]


@in_virtual_time
async def test_who_asked_is_known_after_a_restart() -> None:
    async with scene() as now, scene() as later:
        whisper = await now.attached(now.talk(), who=WHO)
        spy = listed(whisper._replace(state=UP), application="ChanSpy", data="1.2,uqwES")
        later.restored(*now.listing(spy._replace(session=remembered(now))))
        await settle()
        adopted, attached, linked, settled = later.told[1:]
        assert isinstance(adopted, Adopted)
        assert isinstance(attached, Attached)
        assert attached.session.asker == ASKER
        assert attached.session.requested == EPOCH
        assert linked == Linked(frozenset({whisper.uniqueid}))
        assert isinstance(settled, ModeSettled)


@in_virtual_time
async def test_the_gap_is_told() -> None:
    async with scene() as now:
        now.service.on_lost()
        now.restored()
        await settle()
        assert kinds(now.told) == [Linked, Unlinked, Linked]


def test_who_asked_is_left_out_where_it_does_not_fit() -> None:
    memo = SessionMemo(
        target="1.2",
        extension="0003*210",
        supervisor="0003*024",
        caller_name="n" * 80,
        caller_number="4" * 40,
        private=False,
        until=EPOCH,
        app="a" * 200,
        request="c0ffee",
    )
    value = pack_session(memo)
    assert len(value) <= MAX_VALUE
    kept = unpack(SessionMemo, value)
    assert kept
    assert (kept.target, kept.caller_number, kept.app) == ("1.2", "4" * 40, "")


# Listeners


@in_virtual_time
async def test_a_fault_of_a_listener_costs_nobody_else(caplog: pytest.LogCaptureFixture) -> None:
    told: list[tuple[Happening, Moment]] = []

    def faulty(happening: Happening, moment: Moment) -> None:
        raise ValueError("no")

    loop = asyncio.get_running_loop()
    listeners = [faulty, lambda *what: told.append(what)]
    service = Service(
        DIRECTORY, FakePbx(), listeners=listeners, wall=lambda: EPOCH, steady=loop.time
    )
    service.on_restored([], [])
    assert told == []
    await service.close()
    assert told == [(Linked(frozenset()), Moment(EPOCH, loop.time()))]
    (record,) = (record for record in caplog.records if record.levelno == logging.ERROR)
    assert record.message == "a listener could not take in Linked"


def test_with_nobody_to_tell_nothing_waits() -> None:
    """Not even for an event loop."""
    Reporting([], lambda: 0.0, lambda: 0.0)(Unlinked())
