"""After a gap or a restart the PBX's list, and what is written on its channels, tell the rest."""

import asyncio
from collections.abc import Mapping

import pytest

from bridge.actions import Action
from bridge.calls import Picture, call_id
from bridge.events import Listed, Snapshot
from bridge.memory import LEG_VARIABLE, MAX_VALUE, SESSION_VARIABLE, SessionMemo, pack_session
from bridge.remembering import DELAY
from bridge.service import Rules, Service
from bridge.views import phone_call
from bridge.whisper import State
from tests.support.directory import AGENT, COLLEAGUE, DIRECTORY, SUPERVISOR
from tests.support.happenings import (
    RINGING,
    UP,
    dials,
    enters,
    held,
    hung_up,
    leg,
    lets_go,
    listed,
    recording,
    seen,
    talk,
)
from tests.support.pbx import FakePbx
from tests.support.picture import check, picture
from tests.support.recordings import NAMES, Ledger, Recording, load, played
from tests.support.scene import AGENT_LEG, CUSTOMER, EPOCH, Scene, scene
from tests.support.timing import in_virtual_time, settle

MOMENTS = [
    pytest.param(name, moment, id=f"{name}: {moment}")
    for name in NAMES
    for moment in load(name).moments
    if moment != "over"
]
OTHER = leg("7779999", "2.1", exten="0003*210")
SECOND_LEG = leg("0003*210", "2.2", "2.1")


def ledger(name: str, moment: str) -> Ledger:
    return Ledger(load(name).until(moment))


def grouped(of: Picture) -> list[object]:
    """Which channels are a call, and who has which view of it."""
    return [
        (call.id, sorted(call.channels), [(view.uniqueid, view.view) for view in call.views()])
        for call in of.calls()
    ]


def shown(of: Picture) -> list[object]:
    return [phone_call(call, lambda leg: None) for call in of.calls()]


# A gap in which nothing happened


@pytest.mark.parametrize("name", NAMES)
def test_a_list_that_tells_nothing_new_moves_nobody(name: str) -> None:
    recording, found = load(name), picture()
    for count, (at, event) in enumerate(recording.happenings, start=1):
        found.feed(event, at)
        before, listing = grouped(found), Ledger(recording.happenings[:count])
        found.reconcile(listing.listing(), listing.holding, at)
        check(found)
        assert grouped(found) == before


@pytest.mark.parametrize(("name", "moment"), MOMENTS)
def test_a_list_that_tells_nothing_new_changes_nothing_that_is_shown(
    name: str, moment: str
) -> None:
    found, listing = played(name, moment), ledger(name, moment)
    before = shown(found)
    found.reconcile(listing.listing(), listing.holding, listing.now)
    assert shown(found) == before


# A gap in which everything happened


@pytest.mark.parametrize("name", NAMES)
def test_whatever_was_missed_the_end_is_the_same(name: str) -> None:
    recording = load(name)
    for moment, count in recording.moments.items():
        found, listing = picture(), ledger(name, moment)
        for at, event in recording.happenings[: count // 2]:
            found.feed(event, at)
        found.reconcile(listing.listing(), listing.holding, listing.now)
        check(found)
        for at, event in recording.after(moment):
            found.feed(event, at)
        assert (found.channels, found.bridges, found.calls()) == ({}, {}, [])


# A start in the middle, with nothing remembered


@pytest.mark.parametrize(("name", "moment"), MOMENTS)
def test_who_starts_in_the_middle_sees_the_same_people_on_the_same_calls(
    name: str, moment: str
) -> None:
    known, listing, found = played(name, moment), ledger(name, moment), picture()
    found.reconcile(listing.listing(), listing.holding, listing.now)
    check(found)
    assert people(found) == people(known)


def people(of: Picture) -> list[list[tuple[str, str]]]:
    """The extensions of each call that talk, ring or are parked."""
    talking = [
        sorted(
            (view.name, "parked" if view.parked else str(view.state))
            for view in call.views()
            if view.bridge is not None or view.dialer is not None
        )
        for call in of.calls()
    ]
    return sorted(call for call in talking if call)


# A restart


class Written:
    """What is written on the channels of a PBX."""

    def __init__(self, pbx: FakePbx) -> None:
        self.memos: dict[str, tuple[str, str]] = {}
        for action in pbx.sent:
            self._take(action)

    def _take(self, action: Action) -> None:
        headers = action.headers
        if action.name == "Originate":
            name, _, value = headers["Variable"].partition(",")[0].partition("=")
            assert name == SESSION_VARIABLE
            self.memos[headers["ChannelId"]] = ("", value)
        if action.name == "Setvar":
            leg, session = self.memos.get(headers["Channel"], ("", ""))
            kept = {LEG_VARIABLE: leg, SESSION_VARIABLE: session}
            kept[headers["Variable"]] = headers["Value"]
            self.memos[headers["Channel"]] = (kept[LEG_VARIABLE], kept[SESSION_VARIABLE])

    def on(self, *listing: Listed) -> list[Listed]:
        """A list of channels with what is written on them."""
        blank = ("", "")
        return [
            item._replace(
                memo=self.memos.get(item.channel.uniqueid, blank)[0],
                session=self.memos.get(item.channel.uniqueid, blank)[1],
            )
            for item in listing
        ]


class Moved:
    """The clock of a recording."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


async def lived_through(
    recording: Recording, count: int
) -> tuple[Service, Mapping[str, tuple[str, str]]]:
    """A service that was told so much of a recording, and what it wrote on the channels."""
    clock, pbx = Moved(), FakePbx()
    service = Service(
        DIRECTORY, pbx, Rules("lab"), wall=clock, steady=asyncio.get_running_loop().time
    )
    service.on_restored([], [])
    for at, event in recording.happenings[:count]:
        clock.now = round(at, 3)
        service.on_event(event)
        await asyncio.sleep(DELAY * 2)
    await service.close()
    return service, Written(pbx).memos


@pytest.mark.parametrize(("name", "moment"), MOMENTS)
@in_virtual_time
async def test_a_restart_changes_nothing_that_is_shown(name: str, moment: str) -> None:
    recording, listing = load(name), ledger(name, moment)
    before, memos = await lived_through(recording, recording.moments[moment])
    after = picture()
    after.reconcile(listing.listing(memos), listing.holding, listing.now)
    check(after)
    assert grouped(after) == grouped(before.picture)
    assert shown(after) == shown(before.picture)


@in_virtual_time
async def test_nothing_is_written_twice() -> None:
    async with scene() as now:
        call = now.talk()
        await now.attached(call)
        await asyncio.sleep(1)
        written = len(now.pbx.of("Setvar"))
        now.feed(seen(CUSTOMER, UP), seen(AGENT_LEG, UP))
        now.restored(*Written(now.pbx).on(*now.listing(spying(now.leg))))
        await asyncio.sleep(1)
        assert len(now.pbx.of("Setvar")) == written


@in_virtual_time
async def test_what_was_written_before_a_restart_is_not_written_after_it() -> None:
    async with scene() as now:
        now.talk()
        await asyncio.sleep(1)
        async with restarted(now) as later:
            await asyncio.sleep(1)
            assert later.pbx.of("Setvar") == []


@in_virtual_time
async def test_what_is_known_counts_more_than_what_was_written() -> None:
    async with scene() as now:
        call = now.talk()
        await asyncio.sleep(1)
        now.feed(held(AGENT_LEG))
        before = now.service.find_call((AGENT,), call)
        now.restored(*Written(now.pbx).on(*now.listing()))
        assert now.service.find_call((AGENT,), call) == before


@in_virtual_time
async def test_what_could_not_be_written_is_written_after_the_gap() -> None:
    async with scene() as now:
        now.pbx.lose("Setvar")
        now.talk()
        await asyncio.sleep(1)
        now.pbx.replies.clear()
        tried = len(now.pbx.of("Setvar"))
        now.restored(*now.listing())
        await asyncio.sleep(1)
        channels = {headers["Channel"] for headers in now.pbx.of("Setvar")[tried:]}
        assert channels == {"1.1", "1.2"}


@in_virtual_time
async def test_a_value_is_never_longer_than_the_pbx_prints() -> None:
    async with scene() as now:
        now.talk()
        for n in range(30):
            stranger, guest = leg("7770000", f"9.{n}"), leg("0003*210", f"8.{n}", f"9.{n}")
            now.feed(*talk(stranger, guest, f"b{n}"), enters(stranger, "bridge"), held(guest))
            await asyncio.sleep(1)
        values = [headers["Value"] for headers in now.pbx.of("Setvar")]
        assert values
        assert max(map(len, values)) <= MAX_VALUE
        assert not any(set(value) & set(' ,"\\') for value in values)


@in_virtual_time
async def test_a_call_without_extensions_is_nothing_to_remember() -> None:
    async with scene() as now:
        now.feed(*talk(CUSTOMER, leg("7779999", "1.9", "1.1")))
        await asyncio.sleep(1)
        assert now.pbx.of("Setvar") == []


@in_virtual_time
async def test_times_and_numbers_outlive_a_restart() -> None:
    async with scene() as now:
        call = now.talk()
        await asyncio.sleep(30)
        now.feed(held(AGENT_LEG), recording(AGENT_LEG))
        await asyncio.sleep(30)
        before = now.service.find_call((AGENT,), call)
        async with restarted(now) as later:
            assert later.service.find_call((AGENT,), call) == before
        assert before is not None
        assert before.published == EPOCH
        assert before.views[0].on_hold == before.views[0].recording == EPOCH + 30


@in_virtual_time
async def test_a_view_keeps_its_number_while_the_directory_does_not_have_its_extension() -> None:
    async with scene() as now:
        legs = leg("0003*211", "1.1"), AGENT_LEG
        now.feed(*talk(*legs))
        await asyncio.sleep(1)
        up = (listed(each._replace(state=UP), bridge="bridge") for each in legs)
        listing = Written(now.pbx).on(*up)
    owners = {"PJSIP/0003*210": AGENT}
    found = Picture("lab", owners.get)
    found.reconcile(listing, [], EPOCH)
    assert [leg.view for call in found.calls() for leg in call.views()] == [2]
    owners["PJSIP/0003*211"] = COLLEAGUE
    found.reassign()
    assert [leg.view for call in found.calls() for leg in call.views()] == [1, 2]


@in_virtual_time
async def test_both_ids_and_all_numbers_of_a_merged_call_outlive_a_restart() -> None:
    async with scene() as now:
        first = now.talk()
        now.feed(*talk(OTHER, SECOND_LEG, "second"), dials(OTHER, AGENT_LEG))
        await asyncio.sleep(1)
        second = call_id("lab", "2.1")
        more = (listed(each._replace(state=UP), bridge="second") for each in (OTHER, SECOND_LEG))
        async with restarted(now, *more) as later:
            found = later.service.picture.call(second)
            assert found is not None
            assert found.id == first
            assert (leg := found.view(second, 1)) is not None
            assert leg.uniqueid == "2.2"


@in_virtual_time
async def test_a_number_given_before_a_restart_is_not_given_after_it() -> None:
    async with scene() as now:
        call = now.talk()
        now.feed(hung_up(await now.attached(call)))
        await asyncio.sleep(1)
        async with restarted(now) as later:
            await later.attached(call)
            assert later.views(call) == [("01", "7778888"), ("03", "0003*024")]


@pytest.mark.parametrize("value", ["x", "bWVtbw==", "e30=", "\udcff", "a" * 500])
@in_virtual_time
async def test_a_value_that_cannot_be_read_is_as_if_it_were_not_there(value: str) -> None:
    async with scene() as now:
        now.restored(*(item._replace(memo=value, session=value) for item in now.listing()))
        (found,) = now.service.list_calls((AGENT,))
        assert [view.id for view in found.views] == ["01"]


# Whispers


def spying(leg: Snapshot) -> Listed:
    """A whisper in force, as the PBX lists it."""
    return listed(leg._replace(state=UP), application="ChanSpy", data="1.2,uqwES")


class restarted:  # noqa: N801
    """Another service that takes over the PBX of a scene while customer and agent talk."""

    def __init__(self, before: Scene, *more: Listed) -> None:
        self._before, self._more = before, more

    async def __aenter__(self) -> Scene:
        await self._before.service.close()
        later = Scene()
        later.began = self._before.began
        listing = self._before.listing(*self._more)
        later.restored(*Written(self._before.pbx).on(*listing))
        self._later = later
        return later

    async def __aexit__(self, *_: object) -> None:
        await self._later.service.close()


@in_virtual_time
async def test_a_whisper_in_force_outlives_a_restart() -> None:
    async with scene() as now:
        call = now.talk()
        leg = (await now.attached(call))._replace(state=UP)
        await asyncio.sleep(60)
        before = now.service.find_call((AGENT,), call)
        async with restarted(now, spying(leg)) as later:
            assert later.service.find_call((AGENT,), call) == before
            assert await later.whisper(call) is not None
            assert later.pbx.of("Originate") == []
            await asyncio.sleep(3600)
            assert later.pbx.hung_up() == []
            assert (session := later.session(leg)) is not None
            assert session.call_id == call
            later.feed(lets_go(leg), hung_up(leg, 0))
            assert later.views(call) == [("01", "7778888")]


@in_virtual_time
async def test_a_phone_that_rings_through_a_restart_may_still_answer() -> None:
    async with scene() as now:
        call = now.talk()
        leg = await now.ringing(call)
        ringing = listed(leg._replace(state=RINGING), application="AppDial2")
        async with restarted(now, ringing) as later:
            assert await later.whisper(call) is not None
            assert later.pbx.of("Originate") == []
            session = later.session(leg)
            assert session is not None
            assert (session.state, session.supervisor) == (State.RINGING, SUPERVISOR)


@in_virtual_time
async def test_a_phone_that_rings_through_a_restart_does_not_ring_for_ever() -> None:
    async with scene() as now:
        call = now.talk()
        leg = await now.ringing(call)
        await asyncio.sleep(10)
        ringing = listed(leg._replace(state=RINGING), application="AppDial2", age=10)
        async with restarted(now, ringing) as later:
            await asyncio.sleep(12)
            assert later.pbx.hung_up() == []
            await asyncio.sleep(2)
            assert later.pbx.hung_up() == [leg.uniqueid]


@in_virtual_time
async def test_a_phone_that_rings_for_a_target_that_ended_meanwhile_is_hung_up() -> None:
    async with scene() as now:
        leg = await now.ringing(now.talk())
        ringing = listed(leg._replace(state=RINGING), application="AppDial2", age=10)
        written = Written(now.pbx)
        now.service.on_lost()
        later = Scene()
        later.restored(*written.on(ringing))
        await settle()
        assert later.pbx.hung_up() == [leg.uniqueid]
        await later.service.close()


@in_virtual_time
async def test_a_whisper_of_which_nothing_is_known_is_left_alone(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with scene() as now:
        stranger = leg("0003*024", "whisper-of-another", state=UP)
        now.restored(*now.listing(spying(stranger)))
        (warning,) = caplog.messages
        assert "whisper-of-another" in warning
        await asyncio.sleep(60)
        assert now.pbx.hung_up() == []
        (call,) = now.service.list_calls((AGENT,))
        assert [view.id for view in call.views] == ["01"]


@pytest.mark.parametrize("gone", ["extension", "supervisor"])
@in_virtual_time
async def test_a_whisper_of_extensions_that_exist_no_more_is_left_alone(gone: str) -> None:
    async with scene() as now:
        known = SessionMemo(
            target="1.2",
            extension="0003*210",
            supervisor="0003*024",
            caller_name="",
            caller_number="1",
            private=False,
            until=EPOCH,
        )
        stranger = leg("0003*024", "whisper-of-before", state=UP)
        for changes, sessions in (({}, 1), ({gone: "0003*999"}, 0)):
            later = Scene()
            memo = pack_session(SessionMemo(**(known._asdict() | changes)))
            later.restored(*now.listing(spying(stranger)._replace(session=memo)))
            assert len(list(later.service.whispering.book)) == sessions
            await later.service.close()
