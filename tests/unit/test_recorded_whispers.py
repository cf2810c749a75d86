"""Whispers asked of the service while a real PBX tells what it told when they were recorded."""

import logging
from collections.abc import Iterator

import pytest

from bridge.errors import SendCallToInvalid, ViewInvalid
from bridge.events import Event
from bridge.service import Rules
from tests.recordings.record import SECOND_WHISPER, WHISPER
from tests.support.directory import AGENT
from tests.support.pbx import rows, success
from tests.support.recordings import load, told
from tests.support.scene import Scene, scene
from tests.support.timing import in_virtual_time, settle

TALK = ("01", "7778888")
MINE, SECOND = ("02", "0003*024"), ("03", "0003*025")


class Story:
    """A recording that is told to a scene, moment by moment."""

    def __init__(self, now: Scene, name: str) -> None:
        self.now, self.name = now, name
        self.legs: dict[str, str] = {}
        self._moment = "talking"
        now.feed(*(event for _, event in load(name).until("talking")))
        self.call_id = now.service.list_calls((AGENT,))[0].id

    async def ask(self, recorded: str = WHISPER, **changes: object) -> None:
        """Ask for the whisper whose leg was recorded under this Uniqueid."""
        asked = await self.now.requested(self.call_id, **changes)
        self.task = asked.task
        self.legs[recorded] = asked.leg.uniqueid

    async def tell(self, until: str) -> None:
        """Go on with the story until this moment."""
        for event in self._events(until):
            self.now.feed(event)
        await settle()

    def _events(self, until: str) -> Iterator[Event]:
        since, self._moment = self._moment, until
        yield from told(self.name, since, until, self.legs)

    @property
    def views(self) -> list[tuple[str, str]]:
        """Number and source of each view."""
        return self.now.views(self.call_id)

    @property
    def whispers(self) -> int:
        """How many are under way."""
        return len(list(self.now.service.whispering.book))


def complaints(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


@in_virtual_time
async def test_from_the_request_to_its_end(caplog: pytest.LogCaptureFixture) -> None:
    async with scene() as now:
        story = Story(now, "whisper")
        await story.ask()
        await story.tell("ringing")
        assert await story.task is not None
        assert story.views == [TALK]
        await story.tell("whispering")
        assert story.views == [TALK, MINE]
        await story.tell("talking again")
        assert story.views == [TALK]
        await story.tell("over")
        assert (story.whispers, now.pbx.hung_up(), complaints(caplog)) == (0, [], [])


@pytest.mark.parametrize(
    ("name", "moments"),
    [
        ("whisper-target-gone", ["whispering", "over"]),
        ("attended-by-agent", ["whispering", "consulting", "transferred", "over"]),
        ("redirected", ["whispering", "redirected", "over"]),
    ],
)
@in_virtual_time
async def test_a_whisper_that_ends_by_itself_is_never_hung_up(
    name: str, moments: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    async with scene() as now:
        story = Story(now, name)
        await story.ask()
        await story.tell(moments[0])
        assert MINE in story.views
        for moment in moments[1:]:
            await story.tell(moment)
        assert (story.whispers, now.pbx.hung_up(), complaints(caplog)) == (0, [], [])


@in_virtual_time
async def test_a_whisper_goes_on_while_its_target_holds_and_consults() -> None:
    async with scene() as now:
        story = Story(now, "attended-by-agent")
        await story.ask()
        await story.tell("consulting")
        assert story.views == [TALK, MINE]


@pytest.mark.parametrize("name", ["whisper-busy", "whisper-declined"])
@in_virtual_time
async def test_a_phone_that_refuses_leaves_no_view(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with scene() as now:
        story = Story(now, name)
        await story.ask()
        await story.tell("refused")
        assert await story.task is not None
        assert story.views == [TALK]
        assert (story.whispers, now.pbx.hung_up(), complaints(caplog)) == (0, [], [])


@in_virtual_time
async def test_a_phone_that_is_not_registered_is_an_error_that_says_so() -> None:
    async with scene() as now:
        now.pbx.answer("Getvar", success(Value="UNAVAILABLE"))
        story = Story(now, "whisper-unregistered")
        await story.ask()
        await story.tell("refused")
        with pytest.raises(SendCallToInvalid, match="not registered"):
            await story.task
        assert story.whispers == 0


@in_virtual_time
async def test_a_ringing_phone_that_is_hung_up_leaves_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with scene() as now:
        story = Story(now, "whisper-cancelled")
        await story.ask()
        await story.tell("ringing")
        await story.tell("cancelled")
        assert (story.views, story.whispers, complaints(caplog)) == ([TALK], 0, [])


@in_virtual_time
async def test_two_supervisors(caplog: pytest.LogCaptureFixture) -> None:
    async with scene() as now:
        story = Story(now, "whisper-two")
        await story.ask()
        await story.tell("one")
        await story.ask(SECOND_WHISPER, sendCallTo="0003*025")
        await story.tell("two")
        assert story.views == [TALK, MINE, SECOND]
        await story.tell("one again")
        assert story.views == [TALK, SECOND]
        await story.tell("over")
        assert (story.whispers, now.pbx.hung_up(), complaints(caplog)) == (0, [], [])


@pytest.mark.parametrize(("follow", "hung_up"), [(False, True), (True, False)])
@in_virtual_time
async def test_a_whisper_whose_target_comes_to_talk_to_another_is_ended_unless_it_may_follow(
    follow: bool, hung_up: bool
) -> None:
    async with scene(Rules("lab", follow_target=follow)) as now:
        story = Story(now, "blind-by-customer")
        await story.ask()
        await story.tell("whispering")
        await story.tell("transferred")
        assert now.pbx.hung_up() == [story.legs[WHISPER]] * hung_up
        assert (MINE in story.views) is follow
        await story.tell("over")
        assert story.whispers == 0


@in_virtual_time
async def test_an_outsider_who_takes_the_whisper_over_is_hung_up(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with scene() as now:
        story = Story(now, "whisper-taken-over")
        await story.ask()
        await story.tell("consulting")
        channels = now.service.picture.channels.values()
        (outsider,) = (each for each in channels if "7779999" in each.name)
        spy = {
            "Uniqueid": outsider.uniqueid,
            "Channel": outsider.name,
            "ChannelState": "6",
            "Application": "ChanSpy",
            "Data": now.pbx.of("Originate")[0]["Data"],
        }
        now.pbx.answer("Status", rows(spy))
        await story.tell("taken over")
        assert now.pbx.hung_up() == [outsider.uniqueid]
        assert "ALARM" in caplog.text
        assert story.views == [TALK]
        await story.tell("over")
        assert story.whispers == 0


@in_virtual_time
async def test_a_whisper_to_210_is_never_one_to_2100() -> None:
    async with scene() as now:
        now.feed(*(event for _, event in load("neighbours").until("whispering")))
        agent, neighbour = (
            next(each for each in now.service.picture.channels.values() if number in each.name)
            for number in ("0003*210-", "0003*2100-")
        )
        await now.requested(now.service.list_calls((AGENT,))[0].id)
        data = now.pbx.of("Originate")[0]["Data"]
        assert data.partition(",")[0] == agent.uniqueid != neighbour.uniqueid


@pytest.mark.parametrize(
    ("name", "moment", "message"),
    [
        ("answered", "ringing", "not on call"),
        ("agent-parked", "parked", "is parked"),
        ("redirected", "redirected", "not on call"),
        ("both-redirected", "one left", "not on call"),
    ],
)
@in_virtual_time
async def test_a_view_that_does_not_talk_is_refused(name: str, moment: str, message: str) -> None:
    async with scene() as now:
        now.feed(*(event for _, event in load(name).until(moment)))
        (call,) = now.service.list_calls((AGENT,))
        (view,) = (view.id for view in call.views if view.extension == "0003*210")
        with pytest.raises(ViewInvalid, match=message):
            await now.whisper(call.id, phoneCallViewId=view)


@pytest.mark.parametrize(
    ("name", "moment"),
    [
        ("queue", "talking"),
        ("local-kept", "talking"),
        ("local-optimised", "talking"),
        ("conference", "7778888 is in"),
        ("hold", "held"),
        ("hold-by-customer", "held"),
        ("both-redirected", "redirected"),
        ("attended-to-agent", "transferred"),
    ],
)
@in_virtual_time
async def test_whatever_the_call_the_agents_own_leg_is_the_target(name: str, moment: str) -> None:
    async with scene() as now:
        now.feed(*(event for _, event in load(name).until(moment)))
        (call,) = now.service.list_calls((AGENT,))
        (view,) = (view.id for view in call.views if view.extension == "0003*210")
        await now.requested(call.id, phoneCallViewId=view)
        target = now.pbx.of("Originate")[0]["Data"].partition(",")[0]
        assert now.service.picture.channels[target].name.startswith("PJSIP/0003*210-")
