"""The notice to agents: given once to each who begins, and never done without."""

import asyncio
import logging

import pytest

from bridge.actions import NOTICE_CONTEXT
from bridge.directory import Directory, DirectoryError
from bridge.errors import InternalServerError, SupervisorHungUp
from bridge.events import Snapshot
from bridge.happenings import Noticed
from bridge.memory import SESSION_VARIABLE, SessionMemo, pack_session, unpack
from bridge.notifying import LONGEST, LOOK, PLAYED
from bridge.service import Whispered
from bridge.whisper import Reason
from tests.support.directory import instead
from tests.support.happenings import (
    UP,
    dials,
    hung_up,
    leg,
    lets_go,
    listed,
    local,
    originated,
    paired,
    seen,
    spies,
)
from tests.support.pbx import error, rows
from tests.support.scene import AGENT_LEG, Scene, scene
from tests.support.timing import in_virtual_time, settle

PREFIX = 'prefix = "0003"\n'
BEEP = Directory.parse(instead(PREFIX, f'{PREFIX}notice = "beep"\n'))
AGENT = next(one for one in BEEP.extensions() if one.number == "0003*210")
OUTSIDER = leg("7779999", "8.1", state=UP)


def notices(now: Scene) -> list[tuple[Snapshot, Snapshot]]:
    """The halves of each notice that was asked for: who spies, who plays."""
    asked = (a for a in now.pbx.of("Originate") if a["Channel"].startswith("Local/"))
    return [(local(1, a["ChannelId"]), local(2, a["OtherChannelId"])) for a in asked]


async def begun(now: Scene) -> tuple[Snapshot, Snapshot, Snapshot]:
    """A whisper is in force and its notice being played: its leg and both halves."""
    of = await now.attached(now.talk())
    await settle()
    ((spy, player),) = notices(now)
    now.feed(seen(spy), seen(player), paired(spy, player), dials(None, spy))
    now.feed(seen(player, UP), seen(spy, UP), originated(spy.uniqueid, success=True))
    now.feed(spies(spy, AGENT_LEG))
    return of, spy, player


def told(now: Scene) -> list[str]:
    """The sounds that were told to have been played."""
    now.service.report.flush()
    return [each.sound for each in now.told if isinstance(each, Noticed)]


@in_virtual_time
async def test_it_is_whispered_to_the_agent_once_and_never_shown() -> None:
    async with scene(directory=BEEP) as now:
        of, spy, player = await begun(now)
        (asked,) = (a for a in now.pbx.of("Originate") if a["Channel"].startswith("Local/"))
        assert asked["Channel"] == f"Local/s@{NOTICE_CONTEXT}"
        assert (asked["Application"], asked["Data"]) == ("ChanSpy", f"{AGENT_LEG.uniqueid},uqwES")
        assert asked["Variable"] == "WHISPER_BRIDGE_NOTICE=beep,CDR_PROP(disable)=1"
        (call,) = now.service.list_calls([AGENT])
        assert [view.source for view in call.views] == [("7778888",), ("0003*024",)]
        assert len(now.service.picture.calls()) == 1
        assert told(now) == []
        now.feed(hung_up(player, PLAYED), lets_go(spy), hung_up(spy, 0))
        await settle()
        assert told(now) == ["beep"]
        assert (now.pbx.hung_up(), len(notices(now))) == ([], 1)
        memo = unpack(SessionMemo, now.pbx.of("Setvar")[-1]["Value"])
        assert now.pbx.of("Setvar")[-1]["Variable"] == SESSION_VARIABLE
        assert memo is not None
        assert memo.noticed
        assert now.session(of) is not None


@in_virtual_time
async def test_an_organization_without_one_has_none() -> None:
    async with scene() as now:
        await now.attached(now.talk())
        await settle()
        assert notices(now) == []


@in_virtual_time
async def test_what_the_directory_says_when_somebody_begins_counts() -> None:
    async with scene() as now:
        of = await now.ringing(now.talk())
        now.reads(instead(PREFIX, f'{PREFIX}notice = "beep"\n'))
        now.feed(seen(of, UP), spies(of, AGENT_LEG))
        await settle()
        assert len(notices(now)) == 1


@pytest.mark.parametrize("way", ["cause", "not originated", "refused", "too long", "wrong target"])
@in_virtual_time
async def test_who_has_none_has_to_leave(way: str, caplog: pytest.LogCaptureFixture) -> None:
    async with scene(directory=BEEP) as now:
        of = await now.ringing(now.talk())
        if way == "refused":
            now.pbx.answer("Originate", error("no"))
        now.feed(seen(of, UP), spies(of, AGENT_LEG))
        await settle()
        ((spy, player),) = notices(now)
        match way:
            case "cause":
                now.feed(spies(spy, AGENT_LEG), hung_up(player, 38))
            case "not originated":
                now.feed(originated(spy.uniqueid, success=False))
            case "wrong target":
                now.feed(spies(spy, OUTSIDER))
            case "too long":
                await asyncio.sleep(LONGEST + 1)
        await settle()
        assert now.pbx.hung_up()[-1] == of.uniqueid
        now.feed(hung_up(of))
        await settle()
        assert (now.ends(), told(now)) == ({of.uniqueid: Reason.NO_NOTICE}, [])
        assert [r.levelno for r in caplog.records if "was not played" in r.message] == [
            logging.ERROR
        ]


@in_virtual_time
async def test_one_that_never_reached_the_agent_was_not_played() -> None:
    async with scene(directory=BEEP) as now:
        of = await now.attached(now.talk())
        await settle()
        ((_, player),) = notices(now)
        now.feed(hung_up(player, PLAYED))
        await settle()
        assert now.pbx.hung_up()[-1] == of.uniqueid


@in_virtual_time
async def test_one_of_which_nothing_was_heard_is_given_again() -> None:
    async with scene(directory=BEEP) as now:
        of, _, _ = await begun(now)
        now.service.on_lost()
        await settle()
        assert now.pbx.hung_up() == []
        spy = listed(of._replace(state=UP), application="ChanSpy", data=f"{AGENT_LEG.uniqueid},uq")
        now.restored(*now.listing(spy))
        await settle()
        assert len(notices(now)) == 2


@pytest.mark.parametrize("noticed", [True, False])
@in_virtual_time
async def test_after_a_restart_it_is_given_to_whom_it_was_not(noticed: bool) -> None:
    async with scene(directory=BEEP) as now:
        memo = SessionMemo(
            *(AGENT_LEG.uniqueid, "0003*210", "0003*024", "", "1", False, 0.0),
            options="uqwES",
            noticed=noticed,
        )
        channel = leg("0003*024", "whisper-1", state=UP)
        spy = listed(channel, application="ChanSpy", data=f"{AGENT_LEG.uniqueid},uqwES")
        now.restored(*now.listing(spy._replace(session=pack_session(memo))))
        await settle()
        assert len(notices(now)) == (0 if noticed else 1)


# Who waits


async def awaited(now: Scene) -> tuple["asyncio.Task[Whispered]", Snapshot, str]:
    """Somebody waits until the supervisor takes part, who is connected: its leg, the call's id."""
    call_id = now.talk()
    task = now.waits(call_id)
    await settle()
    of = now.leg
    now.feed(seen(of, UP), spies(of, AGENT_LEG))
    await settle()
    assert not task.done()
    return task, of, call_id


def is_in(now: Scene, application: str) -> None:
    """The half that plays is in this application of the dialplan."""
    row = {"Uniqueid": "notice-2", "Channel": "Local/s-1;2", "Application": application}
    now.pbx.answer("Status", rows(row))


@in_virtual_time
async def test_who_waits_is_told_once_it_has_begun_and_not_when_it_is_over() -> None:
    async with scene(directory=BEEP) as now:
        is_in(now, "Wait")
        task, _, call_id = await awaited(now)
        ((spy, player),) = notices(now)
        await asyncio.sleep(LOOK * 5)
        assert now.pbx.of("Status") == []
        now.feed(spies(spy, AGENT_LEG))
        await asyncio.sleep(LOOK * 5)
        assert not task.done()
        is_in(now, "Playback")
        await asyncio.sleep(LOOK * 3)
        assert task.done()
        assert (await task).attached
        assert {asked["Channel"] for asked in now.pbx.of("Status")} == {player.uniqueid}
        assert told(now) == []
        repeat = now.waits(call_id)
        await asyncio.sleep(LOOK * 3)
        assert (await repeat).attached


@in_virtual_time
async def test_who_waits_need_not_ask_once_it_was_played() -> None:
    async with scene(directory=BEEP) as now:
        task, _, call_id = await awaited(now)
        ((spy, player),) = notices(now)
        now.feed(spies(spy, AGENT_LEG), hung_up(player, PLAYED))
        await settle()
        assert (await task).attached
        repeat = now.waits(call_id)
        await settle()
        assert (await repeat).attached


@pytest.mark.parametrize("found", ["Playback", "Wait"])
@in_virtual_time
async def test_who_waits_is_told_that_it_could_not_be_played(found: str) -> None:
    """Even if it was just about to begin when that was looked at."""
    async with scene(directory=BEEP) as now:
        is_in(now, found)
        task, of, _ = await awaited(now)
        ((spy, player),) = notices(now)
        now.feed(spies(spy, AGENT_LEG))
        await asyncio.sleep(LOOK * 1.5)
        now.feed(hung_up(player, 38))
        await settle()
        assert not task.done()
        now.feed(hung_up(of))
        with pytest.raises(InternalServerError, match="notice"):
            await task


@in_virtual_time
async def test_who_waits_is_told_when_the_supervisor_hangs_up_during_it() -> None:
    async with scene(directory=BEEP) as now:
        is_in(now, "Wait")
        task, of, _ = await awaited(now)
        ((spy, _),) = notices(now)
        now.feed(spies(spy, AGENT_LEG))
        now.feed(hung_up(of, 0))
        await asyncio.sleep(LOOK * 2)
        with pytest.raises(SupervisorHungUp):
            await task


@in_virtual_time
async def test_it_is_nobody_who_took_a_leg_over(caplog: pytest.LogCaptureFixture) -> None:
    async with scene(directory=BEEP) as now:
        of = await now.attached(now.talk())
        await settle()
        ((spy, _),) = notices(now)
        row = {"Uniqueid": spy.uniqueid, "Channel": spy.name, "ChannelState": "6"}
        spying = {"Application": "ChanSpy", "Data": f"{AGENT_LEG.uniqueid},uqwES"}
        now.pbx.answer("Status", rows(row | spying))
        now.feed(hung_up(of))
        await settle()
        assert "ALARM" not in caplog.text
        assert spy.uniqueid not in now.pbx.hung_up()


@pytest.mark.parametrize(
    "sound", ["", "a&b", "a,b", "../a", "a/../b", "a b", "${A}", "a\nb", "é", "a//b", "-"]
)
def test_what_is_no_sound(sound: str) -> None:
    written = sound.replace("\n", "\\n")
    with pytest.raises(DirectoryError, match="organization 3: notice must be the name of a sound"):
        Directory.parse(instead(PREFIX, f'{PREFIX}notice = "{written}"\n'))
