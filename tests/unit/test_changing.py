"""Changes of mode: what the PBX is told, in which order, and what stands when it fails."""

import asyncio
import logging
from collections.abc import Iterable
from itertools import permutations
from typing import Any

import pytest

from bridge.actions import Action, Answer
from bridge.changing import KEY_TIMEOUT
from bridge.directory import Directory
from bridge.errors import (
    ActionConflict,
    ActionForbidden,
    InternalServerError,
    LinkLost,
    PbxUnavailable,
)
from bridge.events import Listed, Snapshot
from bridge.happenings import ModeChanged, ModeDoubted, ModeSettled, OfWhisper
from bridge.memory import SESSION_VARIABLE, SessionMemo, pack_session, unpack
from bridge.model import PERMISSIONS, SUPERVISION, Mode, Permission
from bridge.service import Rules
from tests.support.directory import EVERY_ACTION, TEXT
from tests.support.happenings import UP, hung_up, listed, presses, seen, spies
from tests.support.pbx import error
from tests.support.scene import AGENT_LEG, EPOCH, Scene, scene
from tests.support.timing import in_virtual_time, settle

LISTEN, WHISPER, PRIVATE, BARGE = Mode
KEYS = Rules("lab", follow_keys=True)
ASKED: dict[Mode, dict[str, Any]] = {
    LISTEN: {"action": "Monitor"},
    WHISPER: {"action": "Whisper", "private": 0},
    PRIVATE: {"action": "Whisper", "private": 1},
    BARGE: {"action": "BargeIn"},
}
SILENT = "-32767"


def told(now: Scene, leg: Snapshot, since: int = 0) -> list[str]:
    """What the PBX was told of a leg's mode: volumes by direction, keys, and memos by mode."""
    words = []
    for action in now.pbx.sent[since:]:
        headers = action.headers
        if headers.get("Channel") != leg.uniqueid:
            continue
        if headers.get("Variable") == SESSION_VARIABLE:
            memo = unpack(SessionMemo, headers["Value"])
            assert memo is not None
            assert memo.mode is not None
            words.append(memo.mode.value)
        elif action.name == "Setvar" and headers["Variable"].startswith("VOLUME"):
            loud = "silent" if headers["Value"] == SILENT else "loud"
            words.append(f"{headers['Variable'][7:9]} {loud}")
        elif action.name == "PlayDTMF":
            words.append(headers["Digit"])
    return words


async def taking(now: Scene, leg: Snapshot, task: "asyncio.Task[object]") -> None:
    """Let the PBX take the one key that is pressed for a task, which is done then."""
    await settle()
    _, headers = now.pbx.of("PlayDTMF")
    now.feed(presses(leg, headers["Digit"]))
    await settle()
    assert task.done()
    await task


async def keyed(now: Scene, call_id: str, mode: Mode) -> Snapshot:
    """A spy with keys in force, that has proved that it tells of them."""
    leg = await now.attached(call_id, **ASKED[mode])
    await settle()
    now.feed(presses(leg, now.pbx.of("PlayDTMF")[-1]["Digit"]))
    await settle()
    session = now.session(leg)
    assert session is not None
    assert session.settled
    return leg


def mode_of(now: Scene, leg: Snapshot) -> Mode:
    session = now.session(leg)
    assert session is not None
    return session.mode


# Without keys


@pytest.mark.parametrize(("before", "after"), list(permutations([LISTEN, WHISPER, PRIVATE], 2)))
@in_virtual_time
async def test_a_spy_without_keys_changes_by_what_is_silenced(before: Mode, after: Mode) -> None:
    async with scene(directory=EVERY_ACTION) as now:
        call_id = now.talk()
        leg = await now.attached(call_id, **ASKED[before])
        await settle()
        since = len(now.pbx.sent)
        assert await now.whisper(call_id, **ASKED[after]) is not None
        to_phone = "silent" if after is PRIVATE else "loud"
        from_phone = "silent" if after is LISTEN else "loud"
        assert told(now, leg, since) == [f"TX {to_phone}", f"RX {from_phone}", after]
        assert mode_of(now, leg) is after
        assert len(now.pbx.of("Originate")) == 1
        assert now.views(call_id) == [("01", "7778888"), ("02", "0003*024")]


@pytest.mark.parametrize("mode", [LISTEN, PRIVATE])
@in_virtual_time
async def test_what_must_be_silenced_is_so_from_the_start_and_seen_to_while_it_rings(
    mode: Mode,
) -> None:
    async with scene(directory=EVERY_ACTION) as now:
        leg = await now.ringing(now.talk(), **ASKED[mode])
        silenced = "VOLUME(RX)" if mode is LISTEN else "VOLUME(TX)"
        assert now.pbx.of("Originate")[0]["Variable"].endswith(f",{silenced}={SILENT}")
        await settle()
        assert f"{silenced[7:9]} silent" in told(now, leg)


@pytest.mark.parametrize("mode", [LISTEN, PRIVATE])
@in_virtual_time
async def test_a_pbx_that_silences_nothing_gets_no_such_spy(
    mode: Mode, caplog: pytest.LogCaptureFixture
) -> None:
    async with scene(directory=EVERY_ACTION) as now:
        now.pbx.replies["Setvar"] = _refuses_volumes
        leg = await now.ringing(now.talk(), **ASKED[mode])
        await settle()
        assert now.pbx.hung_up() == [leg.uniqueid]
        assert any("refuses Setvar VOLUME" in text for text in caplog.messages)


@in_virtual_time
async def test_a_change_that_the_pbx_refuses_changes_nothing() -> None:
    async with scene(directory=EVERY_ACTION) as now:
        call_id = now.talk()
        leg = await now.attached(call_id)
        now.pbx.replies["Setvar"] = _refuses_volumes
        with pytest.raises(ActionConflict, match="the log of the bridge says why"):
            await now.whisper(call_id, **ASKED[LISTEN])
        assert mode_of(now, leg) is WHISPER
        assert now.pbx.hung_up() == []


@pytest.mark.parametrize(
    ("before", "after"), [(WHISPER, BARGE), (LISTEN, BARGE), (PRIVATE, BARGE), (BARGE, WHISPER)]
)
@in_virtual_time
async def test_barging_in_is_neither_begun_nor_left_off_without_keys(
    before: Mode, after: Mode
) -> None:
    async with scene(directory=EVERY_ACTION) as now:
        call_id = now.talk()
        leg = await now.attached(call_id, **ASKED[before])
        await settle()
        since = len(now.pbx.sent)
        with pytest.raises(ActionConflict):
            await now.whisper(call_id, **ASKED[after])
        assert told(now, leg, since) == []
        assert mode_of(now, leg) is before


@in_virtual_time
async def test_the_keys_of_a_spy_without_keys_are_passed_over() -> None:
    async with scene(directory=EVERY_ACTION) as now:
        leg = await now.attached(now.talk())
        now.feed(presses(leg, "6"), presses(AGENT_LEG, "6"))
        await settle()
        assert told(now, leg) == []
        assert mode_of(now, leg) is WHISPER


# With keys


@pytest.mark.parametrize(("before", "after"), list(permutations(Mode, 2)))
@in_virtual_time
async def test_a_spy_with_keys_changes_once_it_has_taken_one(before: Mode, after: Mode) -> None:
    async with scene(KEYS, EVERY_ACTION) as now:
        call_id = now.talk()
        leg = await keyed(now, call_id, before)
        since = len(now.pbx.sent)
        task = now.ask(call_id, **ASKED[after])
        await settle()
        assert not task.done()
        await taking(now, leg, task)
        digit = {LISTEN: "4", WHISPER: "5", PRIVATE: "5", BARGE: "6"}[after]
        to_phone = "silent" if after is PRIVATE else "loud"
        assert told(now, leg, since) == [f"TX {to_phone}", digit, "RX loud", after]
        assert mode_of(now, leg) is after


@pytest.mark.parametrize("mode", Mode)
@in_virtual_time
async def test_a_spy_that_does_not_tell_of_keys_is_hung_up(
    mode: Mode, caplog: pytest.LogCaptureFixture
) -> None:
    async with scene(KEYS, EVERY_ACTION) as now:
        leg = await now.attached(now.talk(), **ASKED[mode])
        await asyncio.sleep(KEY_TIMEOUT - 0.1)
        assert now.pbx.hung_up() == []
        await asyncio.sleep(0.2)
        assert now.pbx.hung_up() == [leg.uniqueid]
        assert any("read = call,dtmf" in text for text in caplog.messages)


@pytest.mark.parametrize(("before", "after"), list(permutations(Mode, 2)))
@in_virtual_time
async def test_while_it_rings_nobody_hears_a_spy_that_would_start_in_another_mode(
    before: Mode, after: Mode
) -> None:
    async with scene(KEYS, EVERY_ACTION) as now:
        call_id = now.talk()
        leg = await now.ringing(call_id, **ASKED[before])
        await settle()
        assert await now.whisper(call_id, **ASKED[after]) is not None
        *_, from_phone, _ = told(now, leg)
        same_key = {before, after} == {WHISPER, PRIVATE}
        assert from_phone == ("RX loud" if same_key else "RX silent")
        now.feed(seen(leg, UP), spies(leg, AGENT_LEG))
        await settle()
        assert told(now, leg)[-1] in "456"
        now.feed(presses(leg, now.pbx.of("PlayDTMF")[-1]["Digit"]))
        await settle()
        assert told(now, leg)[-2:] == ["RX loud", after]
        assert mode_of(now, leg) is after


@in_virtual_time
async def test_a_key_of_the_supervisor_is_followed_and_not_pressed_again() -> None:
    async with scene(KEYS, EVERY_ACTION) as now:
        leg = await keyed(now, now.talk(), PRIVATE)
        since = len(now.pbx.sent)
        now.feed(presses(leg, "6"))
        assert mode_of(now, leg) is BARGE
        await settle()
        assert told(now, leg, since) == ["TX loud", "RX loud", "barge"]


@in_virtual_time
async def test_of_two_who_press_the_later_key_counts(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    for keys, mode in (("65", WHISPER), ("56", BARGE)):
        async with scene(KEYS, EVERY_ACTION) as now:
            call_id = now.talk()
            leg = await keyed(now, call_id, LISTEN)
            task = now.ask(call_id, **ASKED[WHISPER])
            await settle()
            now.feed(*(presses(leg, key) for key in keys))
            await task
            await settle()
            assert mode_of(now, leg) is mode
    assert any("barge now, by a key" in text for text in caplog.messages)


# Who may


@pytest.mark.parametrize("lacking", SUPERVISION)
@in_virtual_time
async def test_keys_are_only_for_who_may_do_all_that_they_do(lacking: Permission) -> None:
    may = [permission for permission in Permission if permission is not lacking]
    async with scene(KEYS, _with_actions(may)) as now:
        mode = next(mode for mode in Mode if PERMISSIONS[mode] in may)
        await now.ringing(now.talk(), **ASKED[mode])
        assert "d" not in now.pbx.of("Originate")[0]["Data"].partition(",")[2]


@pytest.mark.parametrize("mode", Mode)
@in_virtual_time
async def test_each_action_is_asked_for_by_its_own_permission(mode: Mode) -> None:
    async with scene(directory=_with_actions([PERMISSIONS[mode]])) as now:
        call_id = now.talk()
        await now.ringing(call_id, **ASKED[mode])
        for other in Mode:
            if PERMISSIONS[other] is not PERMISSIONS[mode]:
                with pytest.raises(ActionForbidden):
                    await now.whisper(call_id, **ASKED[other])
        assert len(now.pbx.of("Originate")) == 1


@pytest.mark.parametrize("lost", SUPERVISION)
@in_virtual_time
async def test_a_spy_with_keys_ends_when_it_may_not_do_all_that_they_do(lost: Permission) -> None:
    async with scene(KEYS, EVERY_ACTION) as now:
        leg = await keyed(now, now.talk(), WHISPER)
        left = [permission for permission in Permission if permission is not lost]
        now.service.replace_directory(_with_actions(left))
        await settle()
        assert now.pbx.hung_up() == [leg.uniqueid]


# What is reported


@in_virtual_time
async def test_a_change_is_reported_with_who_asked_for_it() -> None:
    async with scene(KEYS, EVERY_ACTION) as now:
        call_id = now.talk()
        leg = await keyed(now, call_id, LISTEN)
        await taking(now, leg, now.ask(call_id, **ASKED[PRIVATE]))
        await now.whisper(call_id, **ASKED[PRIVATE])
        now.feed(presses(leg, "5"), presses(leg, "6"))
        await settle()
        changes = [told for told in now.told if isinstance(told, ModeChanged)]
        assert [(told.before, told.session.mode, told.by) for told in changes] == [
            ("listen", PRIVATE, now.principal().asker),
            ("private", BARGE, None),
        ]


# Who asks when


@in_virtual_time
async def test_changes_take_turns_and_each_is_told_whole() -> None:
    async with scene(directory=EVERY_ACTION) as now:
        call_id = now.talk()
        leg = await now.attached(call_id)
        held = now.pbx.hold_back("Setvar")
        asked = [now.ask(call_id, **ASKED[mode]) for mode in (LISTEN, PRIVATE, LISTEN, LISTEN)]
        await settle()
        held.set()
        await asyncio.gather(*asked)
        assert told(now, leg) == [
            *("TX loud", "RX silent", "listen"),
            *("TX silent", "RX loud", "private"),
            *("TX loud", "RX silent", "listen"),
        ]


@in_virtual_time
async def test_asked_before_the_leg_is_there_it_is_changed_once_it_is() -> None:
    async with scene(directory=EVERY_ACTION) as now:
        call_id = now.talk()
        asked = await now.requested(call_id)
        later = now.ask(call_id, **ASKED[LISTEN])
        await settle()
        assert told(now, asked.leg) == []
        now.feed(seen(asked.leg))
        await asyncio.gather(asked.task, later)
        assert told(now, asked.leg) == ["TX loud", "RX silent", "listen"]


@in_virtual_time
async def test_a_spy_that_ends_meanwhile_needs_no_change() -> None:
    async with scene(directory=EVERY_ACTION) as now:
        call_id = now.talk()
        leg = await now.attached(call_id)
        held = now.pbx.hold_back("Setvar")
        now.pbx.answer("Setvar", error("No such channel"))
        asked = now.ask(call_id, **ASKED[LISTEN])
        await settle()
        now.feed(hung_up(leg, 0))
        held.set()
        assert await asked is not None
        assert now.views(call_id) == [("01", "7778888")]


@in_virtual_time
async def test_a_key_that_is_never_taken_because_the_spy_ended_is_not_waited_for() -> None:
    async with scene(KEYS, EVERY_ACTION) as now:
        call_id = now.talk()
        leg = await keyed(now, call_id, WHISPER)
        asked = now.ask(call_id, **ASKED[BARGE])
        await settle()
        now.feed(hung_up(leg, 0))
        await settle()
        assert asked.done()
        assert await asked is not None


# When the link goes, and after a restart


@pytest.mark.parametrize(
    ("before", "after", "then"),
    [
        (WHISPER, LISTEN, WHISPER),
        (PRIVATE, WHISPER, PRIVATE),
        (WHISPER, BARGE, WHISPER),
        (BARGE, WHISPER, WHISPER),
        (BARGE, LISTEN, LISTEN),
    ],
)
@in_virtual_time
async def test_after_a_lost_link_it_is_what_it_was_and_the_customer_hears_nobody(
    before: Mode, after: Mode, then: Mode
) -> None:
    async with scene(KEYS, EVERY_ACTION) as now:
        call_id = now.talk()
        leg = await keyed(now, call_id, before)
        asked = now.ask(call_id, **ASKED[after])
        await settle()
        now.service.on_lost()
        with pytest.raises(LinkLost):
            await asked
        since = len(now.pbx.sent)
        now.restored(*now.listing(spying(leg)))
        await settle()
        key = {LISTEN: "4", WHISPER: "5", PRIVATE: "5"}[then]
        assert told(now, leg, since) == [f"TX {'silent' if then is PRIVATE else 'loud'}", key]
        assert mode_of(now, leg) is then


@pytest.mark.parametrize("before", [WHISPER, BARGE])
@in_virtual_time
async def test_that_a_mode_is_unknown_is_told_and_when_it_is_known_again(before: Mode) -> None:
    async with scene(KEYS, EVERY_ACTION) as now:
        call_id = now.talk()
        leg = await keyed(now, call_id, before)
        asked = now.ask(call_id, **ASKED[LISTEN])
        await settle()
        now.told.clear()
        now.service.on_lost()
        with pytest.raises(LinkLost):
            await asked
        await settle()
        doubted, *changed = (each for each in now.told if isinstance(each, OfWhisper))
        assert isinstance(doubted, ModeDoubted)
        assert doubted.session.mode is before
        assert [type(each) for each in changed] == ([ModeChanged] if before is BARGE else [])
        now.restored(*now.listing(spying(leg)))
        await settle()
        now.feed(presses(leg, now.pbx.of("PlayDTMF")[-1]["Digit"]))
        await settle()
        assert isinstance(now.told[-1], ModeSettled)
        assert now.told[-1].session.mode is mode_of(now, leg)


@in_virtual_time
async def test_a_key_that_was_never_told_of_leaves_the_mode_in_doubt() -> None:
    async with scene(KEYS, EVERY_ACTION) as now:
        call_id = now.talk()
        await keyed(now, call_id, WHISPER)
        with pytest.raises(InternalServerError):
            await now.whisper(call_id, **ASKED[BARGE])
        await settle()
        assert any(isinstance(each, ModeDoubted) for each in now.told)


@in_virtual_time
async def test_a_change_is_unknown_when_the_pbx_does_not_answer() -> None:
    async with scene(directory=EVERY_ACTION) as now:
        call_id = now.talk()
        leg = await now.attached(call_id)
        now.pbx.lose("Setvar")
        with pytest.raises(PbxUnavailable):
            await now.whisper(call_id, **ASKED[LISTEN])
        assert mode_of(now, leg) is WHISPER


@in_virtual_time
async def test_keys_pressed_in_a_gap_are_undone() -> None:
    async with scene(KEYS, EVERY_ACTION) as now:
        leg = await keyed(now, now.talk(), WHISPER)
        now.service.on_lost()
        since = len(now.pbx.sent)
        now.restored(*now.listing(spying(leg)))
        await settle()
        assert told(now, leg, since) == ["TX loud", "5"]


@pytest.mark.parametrize("mode", Mode)
@in_virtual_time
async def test_a_restart_finds_a_spy_in_the_mode_it_was_changed_to(mode: Mode) -> None:
    async with scene(KEYS, EVERY_ACTION) as now:
        call_id = now.talk()
        leg = await keyed(now, call_id, LISTEN if mode is WHISPER else WHISPER)
        await taking(now, leg, now.ask(call_id, **ASKED[mode]))
        value = next(
            headers["Value"]
            for headers in reversed(now.pbx.of("Setvar"))
            if headers["Variable"] == SESSION_VARIABLE
        )
        later = Scene(directory=EVERY_ACTION)
        later.restored(*now.listing(spying(leg)._replace(session=value)))
        await settle()
        assert mode_of(later, leg) is mode
        digit = {LISTEN: "4", WHISPER: "5", PRIVATE: "5", BARGE: "6"}[mode]
        assert later.pbx.of("PlayDTMF")[-1]["Digit"] == digit
        await later.service.close()


@pytest.mark.parametrize("private", [False, True])
@in_virtual_time
async def test_a_whisper_of_an_earlier_version_goes_on(private: bool) -> None:
    async with scene(directory=EVERY_ACTION) as now:
        leg = await now.attached(now.talk())
        memo = SessionMemo(
            target="1.2",
            extension="0003*210",
            supervisor="0003*024",
            caller_name="",
            caller_number="1",
            private=private,
            until=EPOCH,
        )
        later = Scene(directory=EVERY_ACTION)
        later.restored(*now.listing(spying(leg)._replace(session=pack_session(memo))))
        await settle()
        assert mode_of(later, leg) is (PRIVATE if private else WHISPER)
        assert told(later, leg)[:2] == ["TX loud", "RX loud"]
        (call,) = later.service.picture.calls()
        if private:
            with pytest.raises(ActionConflict):
                await later.whisper(call.id, **ASKED[WHISPER])
        else:
            await later.whisper(call.id, **ASKED[PRIVATE])
            assert mode_of(later, leg) is PRIVATE
        await later.service.close()


@in_virtual_time
async def test_a_change_after_a_key_that_was_never_told_of_is_an_error() -> None:
    async with scene(KEYS, EVERY_ACTION) as now:
        call_id = now.talk()
        leg = await keyed(now, call_id, WHISPER)
        with pytest.raises(InternalServerError):
            await now.whisper(call_id, **ASKED[BARGE])
        await settle()
        assert now.pbx.hung_up() == [leg.uniqueid]


def _with_actions(actions: Iterable[Permission]) -> Directory:
    written = f'client_id = "lab-app"\nactions = {[str(action) for action in actions]}'
    return Directory.parse(TEXT.replace('client_id = "lab-app"', written))


def _refuses_volumes(action: Action) -> Answer:
    if action.headers["Variable"].startswith("VOLUME"):
        return error("Variable not set")
    return Answer(True, "", {})


def spying(leg: Snapshot) -> Listed:
    """A spy as the PBX lists it."""
    return listed(leg._replace(state=UP), application="ChanSpy", data="1.2,uqwES", age=9)
