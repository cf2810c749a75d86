"""Whatever order, repetition or loss of events: the picture agrees with itself."""

from collections.abc import Iterable
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.calls import Picture, call_id
from bridge.events import Event, Listed, Snapshot
from tests.support.happenings import (
    dial_ends,
    dials,
    enters,
    held,
    hung_up,
    leaves,
    leg,
    lets_go,
    listed,
    local,
    paired,
    recording,
    renamed,
    seen,
    spies,
    unheld,
)
from tests.support.picture import NOW, check, picture
from tests.support.recordings import NAMES, load

FEW, SOME = settings(max_examples=6, deadline=None), settings(max_examples=100, deadline=None)


def watched(events: Iterable[Event]) -> Picture:
    """A picture that is checked after every event."""
    new = picture()
    for event in events:
        new.feed(event, NOW)
        check(new)
    return new


def is_empty(found: Picture) -> bool:
    return not (found.channels or found.bridges or found.calls())


# Recordings, disturbed

reach = st.sampled_from([0.0, 2.0, 10.0, 1000.0])
"""How many places an event may come too early or too late."""
share = st.sampled_from([0.0, 0.1, 0.5])


def disordered(events: list[Event], places: float, random: Random) -> list[Event]:
    order = sorted(range(len(events)), key=lambda n: n + random.uniform(0, places))
    return [events[n] for n in order]


def lossy(events: list[Event], lost: float, random: Random) -> list[Event]:
    return [event for event in events if random.random() >= lost]


def repetitive(events: list[Event], repeated: float, random: Random) -> list[Event]:
    return events + [event for event in events if random.random() < repeated]


@pytest.mark.parametrize("name", NAMES)
@FEW
@given(places=reach, lost=share, repeated=share, random=st.randoms(use_true_random=False))
def test_a_disturbed_recording(
    name: str, places: float, lost: float, repeated: float, random: Random
) -> None:
    events = lossy(load(name).events(), lost, random)
    watched(disordered(repetitive(events, repeated, random), places, random))


@pytest.mark.parametrize("name", NAMES)
@FEW
@given(places=reach, repeated=share, random=st.randoms(use_true_random=False))
def test_after_all_hangups_nothing_is_left(
    name: str, places: float, repeated: float, random: Random
) -> None:
    recording = load(name)
    events = disordered(repetitive(recording.events(), repeated, random), places, random)
    found = watched([*events, *recording.hangups()])
    assert is_empty(found)


@pytest.mark.parametrize("name", NAMES)
@FEW
@given(random=st.randoms(use_true_random=False))
def test_a_gap_is_healed_by_an_empty_list(name: str, random: Random) -> None:
    events = load(name).events()
    found = watched(events[: random.randrange(len(events))])
    found.reconcile([], [], NOW)
    check(found)
    assert is_empty(found)


@pytest.mark.parametrize("name", NAMES)
def test_every_event_twice_is_every_event_once(name: str) -> None:
    once, twice = picture(), picture()
    for event in load(name).events():
        once.feed(event, NOW)
        twice.feed(event, NOW)
        twice.feed(event, NOW)
        assert outline(once) == outline(twice)


def outline(of: Picture) -> list[object]:
    return [
        (call.id, sorted(call.channels), [(leg.uniqueid, leg.view) for leg in call.views()])
        for call in of.calls()
    ]


# Random stories of a small world

CHANNELS = (
    leg("7778888", "1.1", exten="0003*210"),
    leg("0003*210", "1.2", "1.1"),
    leg("0003*211", "1.3", "1.1"),
    leg("0003*210", "2.1"),
    leg("0003*2100", "2.2", "2.1"),
    local(1, "3.1", "1.1"),
    local(2, "3.2", "1.1"),
    leg("0003*024", "whisper-1"),
    leg("0003*025", "4.1"),
    leg("", "5.1", name="AsyncGoto/PJSIP/0003*210-1.2"),
)
NAMES_TO_TAKE = (
    "PJSIP/0003*210-1.2",
    "PJSIP/0003*211-1.3",
    "PJSIP/7778888-1.1",
    "PJSIP/0003*210-1.2<ZOMBIE>",
    "AsyncGoto/PJSIP/0003*210-1.2",
    "Local/agent@context-1;1",
)

channel = st.builds(
    Snapshot._replace,
    st.sampled_from(CHANNELS),
    state=st.sampled_from([0, 4, 5, 6]),
    linkedid=st.sampled_from(["1.1", "2.1", "whisper-1", "unheard-of"]),
)
bridge = st.sampled_from(["one", "two", "holding", "parking"])
event = st.one_of(
    st.builds(seen, channel),
    st.builds(hung_up, channel),
    st.builds(dials, st.none() | channel, channel),
    st.builds(dial_ends, st.none() | channel, channel),
    st.builds(enters, channel, bridge),
    st.builds(enters, channel, bridge),
    st.builds(leaves, channel, bridge),
    st.builds(paired, channel, channel),
    st.builds(renamed, channel, st.sampled_from(NAMES_TO_TAKE)),
    st.builds(held, channel),
    st.builds(unheld, channel),
    st.builds(recording, channel),
    st.builds(spies, channel, channel),
    st.builds(lets_go, channel),
)
item = st.builds(
    listed,
    channel,
    bridge=st.just("") | bridge,
    application=st.sampled_from(["", "Dial", "AppDial", "AppQueue", "ChanSpy"]),
    data=st.sampled_from(["", "1.2,uqwES", "2.1,uqWES", "gone,uqwES"]),
    age=st.integers(0, 3600),
)


@SOME
@given(st.lists(event, max_size=60))
def test_a_random_story(story: list[Event]) -> None:
    watched(story)


@SOME
@given(st.lists(event, max_size=40), st.lists(item, max_size=10), st.lists(event, max_size=20))
def test_a_random_story_with_a_gap(
    before: list[Event], listing: list[Listed], after: list[Event]
) -> None:
    found = watched(before)
    found.reconcile(listing, ["holding", "parking"], NOW)
    check(found)
    for happening in after:
        found.feed(happening, NOW)
        check(found)


@SOME
@given(st.lists(event, max_size=60))
def test_a_random_story_ends_with_nothing(story: list[Event]) -> None:
    found = watched([*story, *map(hung_up, CHANNELS)])
    assert is_empty(found)
    assert found.call(call_id("lab", "1.1")) is None


@SOME
@given(st.lists(event, max_size=60))
def test_a_view_keeps_its_number_and_nobody_gets_it_after_him(story: list[Event]) -> None:
    found, owners = picture(), dict[tuple[str, int], str]()
    for happening in story:
        found.feed(happening, NOW)
        for call in found.calls():
            for view in call.views():
                assert owners.setdefault((call.id, view.view), view.uniqueid) == view.uniqueid
        live = {call.id for call in found.calls()}
        owners = {key: owner for key, owner in owners.items() if key[0] in live}


@SOME
@given(st.lists(event, max_size=60))
def test_an_id_leads_to_a_live_call_or_to_none(story: list[Event]) -> None:
    found, ids = picture(), set[str]()
    for happening in story:
        found.feed(happening, NOW)
        ids |= {call.id for call in found.calls()}
        assert all(found.call(each) in (None, *found.calls()) for each in ids)
