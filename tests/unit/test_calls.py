"""The picture of calls: what belongs together, what a view is, what is left behind."""

from collections.abc import Callable, Iterator

import pytest

from bridge.calls import Picture, call_id
from bridge.channels import Call, endpoint_of, spied
from bridge.events import Event, Listed, Snapshot
from bridge.model import Extension, Status, Technology
from bridge.views import phone_call
from tests.support.directory import AGENT, COLLEAGUE, DIRECTORY, NEIGHBOUR
from tests.support.happenings import (
    RINGING,
    UP,
    answer,
    call,
    dial_ends,
    dials,
    end,
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
    talk,
    unheld,
)
from tests.support.picture import NOW, check, feed, picture, shown, the_call

CUSTOMER = leg("7778888", "1.1", exten="0003*210")
AGENT_LEG = leg("0003*210", "1.2", "1.1")
COLLEAGUE_LEG = leg("0003*211", "1.3", "1.1")
NEIGHBOUR_LEG = leg("0003*2100", "1.4", "1.1")
OTHER = leg("7779999", "2.1")
OTHER_AGENT = leg("0003*211", "2.2", "2.1")
WHISPERER = leg("0003*024", "whisper-1", state=UP)
SPY = leg("0003*024", "3.1", state=UP)


def legs(of: Call) -> set[str]:
    return set(of.channels)


def numbers(of: Call) -> dict[str, int]:
    return {view.uniqueid: view.view for view in of.views()}


def talking() -> Picture:
    return picture(talk(CUSTOMER, AGENT_LEG))


def two_calls() -> Picture:
    return picture([*talk(CUSTOMER, AGENT_LEG), *talk(OTHER, OTHER_AGENT, "second")])


# Names and ids


@pytest.mark.parametrize(
    ("name", "endpoint"),
    [
        pytest.param("PJSIP/0003*210-000001ed", "PJSIP/0003*210", id="usual"),
        pytest.param("PJSIP/0003*2100-000001ed", "PJSIP/0003*2100", id="longer number"),
        pytest.param("PJSIP/berlin-desk-2-0000000a", "PJSIP/berlin-desk-2", id="dashes in it"),
        pytest.param("SIP/0003*210-000001ed", "SIP/0003*210", id="chan_sip"),
        pytest.param("PJSIP/0003*210", "", id="no suffix"),
    ],
)
def test_the_endpoint_is_all_of_the_name_but_its_suffix(name: str, endpoint: str) -> None:
    assert endpoint_of(name) == endpoint


def test_a_spy_names_exactly_its_target() -> None:
    assert spied("1795402445.443,uqwES") == "1795402445.443"
    assert spied("whisper-1,uqWES") == "whisper-1"


@pytest.mark.parametrize(
    ("channel", "extension"),
    [
        pytest.param(AGENT_LEG, AGENT, id="210"),
        pytest.param(NEIGHBOUR_LEG, NEIGHBOUR, id="2100"),
        pytest.param(leg("0003*21", "9"), None, id="21"),
        pytest.param(leg("0003*210", "9", name="SIP/0003*210-1"), None, id="other technology"),
        pytest.param(leg("0003*210", "9", name="PJSIP/0003*210"), None, id="no suffix"),
        pytest.param(leg("", "9", name="PJSIP/0003*210-x-1"), None, id="longer endpoint"),
        pytest.param(leg("", "9", name="Local/PJSIP/0003*210-1;1"), None, id="Local"),
    ],
)
def test_an_endpoint_is_matched_as_a_whole(channel: Snapshot, extension: object) -> None:
    assert picture([seen(channel)]).channels[channel.uniqueid].extension == extension


def test_the_id_of_a_call_is_the_same_in_every_instance() -> None:
    assert the_call(talking()).id == the_call(talking()).id == call_id("lab", "1.1")


def test_the_id_of_a_call_is_20_hex_digits_of_its_own() -> None:
    ids = {call_id("lab", "1.1"), call_id("lab", "1.2"), call_id("other", "1.1")}
    assert len(ids) == 3
    assert all(len(each) == 20 and int(each, 16) >= 0 for each in ids)


def test_the_id_does_not_depend_on_which_channel_is_seen_first() -> None:
    late = picture([seen(AGENT_LEG), seen(CUSTOMER)])
    assert the_call(late).id == the_call(talking()).id


# What a call is


def test_a_call_is_published_with_its_first_channel_and_answered_with_its_view() -> None:
    found = the_call(talking())
    assert found.published == NOW
    assert found.answered == NOW + 4


def test_a_party_outside_has_no_view() -> None:
    assert numbers(the_call(talking())) == {"1.2": 1}
    assert legs(the_call(talking())) == {"1.1", "1.2"}


def test_a_linkedid_joins_a_channel_to_its_call_at_birth() -> None:
    found = picture([seen(CUSTOMER), seen(AGENT_LEG), seen(COLLEAGUE_LEG)])
    assert legs(the_call(found)) == {"1.1", "1.2", "1.3"}


def test_a_linkedid_that_changes_later_joins_nothing() -> None:
    found = picture([seen(CUSTOMER), seen(OTHER), seen(OTHER._replace(linkedid="1.1"))])
    assert [legs(each) for each in found.calls()] == [{"1.1"}, {"2.1"}]


@pytest.mark.parametrize(
    "link",
    [
        pytest.param([dials(CUSTOMER, OTHER)], id="dial"),
        pytest.param([enters(CUSTOMER, "b"), enters(OTHER, "b")], id="bridge"),
        pytest.param([enters(OTHER, "b"), enters(CUSTOMER, "b")], id="bridge, other order"),
    ],
)
def test_calls_become_one(link: list[Event]) -> None:
    found = picture([seen(CUSTOMER), seen(OTHER), *link])
    assert legs(the_call(found)) == {"1.1", "2.1"}
    check(found)


def test_halves_of_a_local_channel_make_calls_one() -> None:
    one, two = local(1, "5.1"), local(2, "5.2")
    found = picture([seen(one), seen(two), paired(one, two)])
    assert legs(the_call(found)) == {"5.1", "5.2"}
    assert found.channels["5.1"].pair is found.channels["5.2"]


@pytest.mark.parametrize("bridge", ["parking", "holding"])
def test_strangers_in_a_holding_bridge_stay_strangers(bridge: str) -> None:
    found = picture([seen(CUSTOMER), seen(OTHER), enters(CUSTOMER, bridge), enters(OTHER, bridge)])
    assert [legs(each) for each in found.calls()] == [{"1.1"}, {"2.1"}]
    assert set(found.bridges[bridge].members) == {"1.1", "2.1"}


@pytest.mark.parametrize(("bridge", "parked"), [("parking", NOW + 2), ("holding", None)])
def test_only_a_parking_bridge_parks(bridge: str, parked: float | None) -> None:
    found = picture([seen(CUSTOMER), seen(AGENT_LEG), enters(AGENT_LEG, bridge)])
    assert found.channels["1.2"].parked == parked


def test_who_is_fetched_back_is_parked_no_more() -> None:
    found = picture([enters(AGENT_LEG, "parking"), enters(AGENT_LEG, "bridge")])
    assert found.channels["1.2"].parked is None
    assert set(found.bridges) == {"bridge"}


def test_who_was_in_a_bridge_alone_is_joined_by_who_comes_later() -> None:
    found = picture([enters(CUSTOMER, "b"), leaves(CUSTOMER, "b"), enters(OTHER, "b")])
    assert len(found.calls()) == 2


def test_a_channel_is_in_one_bridge() -> None:
    found = picture([enters(AGENT_LEG, "one"), enters(AGENT_LEG, "two"), leaves(AGENT_LEG, "one")])
    assert found.channels["1.2"].bridge is found.bridges["two"]
    assert set(found.bridges) == {"two"}


@pytest.mark.parametrize(
    "name",
    ["AsyncGoto/PJSIP/0003*210-1", "Bridge/PJSIP/0003*210-1", "Message/ast_msg_queue", "CBAnn/1"],
)
def test_channels_of_the_pbx_itself_are_no_calls(name: str) -> None:
    found = picture([seen(leg("", "9", name=name))])
    assert found.calls() == []
    assert found.channels["9"].kind is Technology.INTERNAL


def test_a_whisper_of_ours_is_no_call_from_its_first_event_on() -> None:
    found = picture([seen(WHISPERER), dials(None, WHISPERER), seen(WHISPERER, RINGING)])
    assert found.calls() == []
    assert found.channels["whisper-1"].kind is Technology.SPY


def test_a_whisper_of_ours_joins_nothing() -> None:
    found = picture([*talk(CUSTOMER, AGENT_LEG), enters(WHISPERER, "bridge")])
    assert legs(the_call(found)) == {"1.1", "1.2"}
    check(found)


# Merging


def test_the_older_call_lives_on() -> None:
    found = two_calls()
    older, younger = found.calls()
    feed(found, [dials(OTHER, AGENT_LEG)])
    assert found.calls() == [older]
    assert found.call(younger.id) is older
    assert legs(older) == {"1.1", "1.2", "2.1", "2.2"}
    check(found)


def test_the_older_call_is_the_one_published_first_whoever_joins() -> None:
    found = two_calls()
    older, _ = found.calls()
    feed(found, [enters(OTHER, "bridge")])
    assert found.calls() == [older]


def test_of_two_calls_of_the_same_second_every_instance_keeps_the_same() -> None:
    one, two = picture(), picture()
    for event in (seen(CUSTOMER), seen(OTHER), dials(CUSTOMER, OTHER)):
        one.feed(event, NOW)
    for event in (seen(OTHER), seen(CUSTOMER), dials(OTHER, CUSTOMER)):
        two.feed(event, NOW)
    assert the_call(one).id == the_call(two).id


def test_views_of_the_younger_call_get_new_numbers_and_answer_to_the_old() -> None:
    found = two_calls()
    older, younger = found.calls()
    feed(found, [dials(OTHER, AGENT_LEG)])
    assert numbers(older) == {"1.2": 1, "2.2": 2}
    assert older.view(younger.id, 1) is found.channels["2.2"]
    assert older.view(older.id, 1) is found.channels["1.2"]
    assert older.view(older.id, 2) is found.channels["2.2"]


def test_a_number_the_younger_call_never_gave_names_nothing_under_its_id() -> None:
    found = two_calls()
    older, younger = found.calls()
    feed(found, [dials(OTHER, AGENT_LEG)])
    assert older.view(younger.id, 2) is None
    assert older.view(younger.id, 9) is None


def test_numbers_are_translated_through_two_mergers() -> None:
    third, third_agent = leg("7770000", "4.1"), leg("0003*2100", "4.2", "4.1")
    found = two_calls()
    feed(found, talk(third, third_agent, "third"), now=NOW + 100)
    first, second, youngest = found.calls()
    feed(found, [dials(OTHER, third)])
    feed(found, [dials(CUSTOMER, OTHER)])
    assert found.calls() == [first]
    assert first.view(youngest.id, 1) is found.channels["4.2"]
    assert first.view(second.id, 1) is found.channels["2.2"]
    assert first.view(second.id, 2) is found.channels["4.2"]
    check(found)


def test_the_earlier_answer_counts() -> None:
    found = two_calls()
    older, younger = found.calls()
    answers = older.answered, younger.answered
    feed(found, [dials(OTHER, AGENT_LEG)])
    assert answers == (NOW + 4, NOW + 13)
    assert older.answered == NOW + 4


def test_an_answer_of_the_younger_call_counts_if_it_is_the_only_one() -> None:
    found = picture([*call(CUSTOMER, AGENT_LEG), *talk(OTHER, OTHER_AGENT, "second")])
    older, _ = found.calls()
    feed(found, [dials(OTHER, AGENT_LEG)])
    assert older.answered == NOW + 8


def test_every_id_a_call_has_had_is_forgotten_with_it() -> None:
    found = two_calls()
    ids = [each.id for each in found.calls()]
    feed(found, [dials(OTHER, AGENT_LEG)])
    feed(found, map(hung_up, (CUSTOMER, OTHER, AGENT_LEG, OTHER_AGENT)))
    assert [found.call(each) for each in ids] == [None, None]


# View numbers


def test_views_are_numbered_by_birth() -> None:
    found = picture([seen(CUSTOMER), seen(COLLEAGUE_LEG), seen(AGENT_LEG)])
    assert numbers(the_call(found)) == {"1.3": 1, "1.2": 2}


def test_a_number_is_never_given_again() -> None:
    found = picture([*talk(CUSTOMER, AGENT_LEG), hung_up(AGENT_LEG), seen(COLLEAGUE_LEG)])
    assert numbers(the_call(found)) == {"1.3": 2}


def test_a_number_of_a_whisper_is_never_given_again() -> None:
    found = talking()
    feed(found, [spies(WHISPERER, AGENT_LEG), hung_up(WHISPERER), seen(COLLEAGUE_LEG)])
    assert numbers(the_call(found)) == {"1.2": 1, "1.3": 3}


# Spies


def test_a_whisper_gets_a_view_in_the_call_it_listens_to() -> None:
    found = talking()
    feed(found, [seen(WHISPERER), spies(WHISPERER, AGENT_LEG)])
    whisper = found.channels["whisper-1"]
    assert (whisper.call, whisper.view, whisper.spying) == (the_call(found), 2, NOW + 1)
    assert numbers(the_call(found)) == {"1.2": 1}
    check(found)


def test_a_whisper_heard_of_twice_has_one_view() -> None:
    found = talking()
    feed(found, [spies(WHISPERER, AGENT_LEG), spies(WHISPERER, AGENT_LEG)])
    assert found.channels["whisper-1"].view == 2
    assert found.channels["whisper-1"].spying == NOW


def test_a_spy_of_somebody_else_is_no_party_and_has_no_view() -> None:
    found = talking()
    feed(found, [seen(SPY), spies(SPY, AGENT_LEG)])
    assert legs(the_call(found)) == {"1.1", "1.2"}
    assert found.channels["3.1"].call is None
    check(found)


def test_a_spy_ends_and_the_call_goes_on() -> None:
    found = talking()
    feed(found, [spies(WHISPERER, AGENT_LEG), lets_go(WHISPERER), hung_up(WHISPERER)])
    assert legs(the_call(found)) == {"1.1", "1.2"}
    assert "whisper-1" not in found.channels


@pytest.mark.parametrize(
    "happening",
    [
        pytest.param(enters(WHISPERER, "second"), id="bridge"),
        pytest.param(dials(WHISPERER, OTHER_AGENT), id="dial"),
        pytest.param(dials(OTHER, WHISPERER), id="dialled"),
    ],
)
def test_a_spy_never_makes_two_calls_one(happening: Event) -> None:
    found = two_calls()
    feed(found, [spies(WHISPERER, AGENT_LEG), happening])
    assert [legs(each) - {"whisper-1"} for each in found.calls()] == [
        {"1.1", "1.2"},
        {"2.1", "2.2"},
    ]
    check(found)


# Names that change


def test_a_rename_moves_a_channel_to_its_new_extension() -> None:
    found = talking()
    feed(found, [renamed(AGENT_LEG, "PJSIP/0003*211-00000009")])
    assert found.channels["1.2"].extension == COLLEAGUE
    check(found)


def test_a_name_that_changed_unheard_is_learned_from_the_next_event() -> None:
    found = talking()
    feed(found, [held(AGENT_LEG._replace(name="PJSIP/0003*211-00000009"))])
    assert found.channels["1.2"].name == "PJSIP/0003*211-00000009"
    assert found.channels["1.2"].extension == COLLEAGUE


def test_a_half_that_is_paired_anew_leaves_its_old_half() -> None:
    one, two, three = local(1, "5.1"), local(2, "5.2"), local(2, "5.3")
    found = picture([paired(one, two), paired(one, three)])
    assert found.channels["5.2"].pair is None
    assert found.channels["5.1"].pair is found.channels["5.3"]
    feed(found, [paired(two, three)])
    assert found.channels["5.1"].pair is None
    check(found)


def test_a_leg_renamed_to_nobodys_endpoint_is_no_view() -> None:
    found = talking()
    feed(found, [renamed(AGENT_LEG, "PJSIP/7770000-00000009")])
    assert numbers(the_call(found)) == {}
    assert legs(the_call(found)) == {"1.1", "1.2"}
    check(found)


def test_a_leg_renamed_to_an_extensions_endpoint_is_a_view() -> None:
    found = talking()
    feed(found, [renamed(CUSTOMER, "PJSIP/0003*211-00000009")])
    assert numbers(the_call(found)) == {"1.2": 1, "1.1": 2}
    check(found)


def test_a_channel_that_becomes_a_zombie_leaves_its_call() -> None:
    found = talking()
    feed(found, [renamed(AGENT_LEG, "PJSIP/0003*210-00000002<ZOMBIE>")])
    assert legs(the_call(found)) == {"1.1"}
    assert found.channels["1.2"].kind is Technology.INTERNAL
    check(found)


def masqueraded() -> Iterator[Event]:
    """What Asterisk says of a masquerade: a stand-in takes the name of the leg it replaces."""
    stand_in = leg("", "8", name="AsyncGoto/PJSIP/0003*210-1.2", state=UP)
    yield seen(stand_in)
    yield renamed(AGENT_LEG, "PJSIP/0003*210-1.2<MASQ>")
    yield renamed(stand_in, "PJSIP/0003*210-1.2")
    yield renamed(AGENT_LEG, "AsyncGoto/PJSIP/0003*210-1.2<ZOMBIE>")
    yield hung_up(AGENT_LEG._replace(name="AsyncGoto/PJSIP/0003*210-1.2<ZOMBIE>"))


def test_after_a_masquerade_the_extension_has_one_view_and_it_is_alive() -> None:
    found = talking()
    feed(found, masqueraded())
    views = [view for each in found.calls() for view in each.views()]
    assert [view.uniqueid for view in views] == ["8"]
    assert views[0].extension == AGENT
    check(found)


def test_a_stand_in_joins_whom_it_talks_to() -> None:
    found = talking()
    feed(found, masqueraded())
    stand_in = leg("0003*210", "8", state=UP, name="PJSIP/0003*210-1.2")
    feed(found, [enters(stand_in, "bridge")])
    assert legs(the_call(found)) == {"1.1", "8"}
    check(found)


@pytest.mark.parametrize(
    "link",
    [
        pytest.param(lambda other: paired(CUSTOMER, other), id="pair"),
        pytest.param(lambda other: dials(CUSTOMER, other), id="dialled"),
        pytest.param(lambda other: dials(other, CUSTOMER), id="dialling"),
        pytest.param(lambda other: enters(other, "bridge"), id="bridge"),
    ],
)
def test_a_stand_in_joins_whom_it_was_linked_to_before(link: Callable[[Snapshot], Event]) -> None:
    stand_in = leg("", "8", name="AsyncGoto/PJSIP/0003*211-9", state=UP)
    found = talking()
    feed(found, [seen(stand_in), link(stand_in), renamed(stand_in, "PJSIP/0003*211-9")])
    assert legs(the_call(found)) == {"1.1", "1.2", "8"}
    check(found)


def test_a_whisper_stays_a_spy_under_any_name() -> None:
    found = talking()
    feed(found, [spies(WHISPERER, AGENT_LEG), renamed(WHISPERER, "PJSIP/0003*211-1")])
    assert found.channels["whisper-1"].kind is Technology.SPY
    assert numbers(the_call(found)) == {"1.2": 1}


def test_a_rename_of_nobody_is_nothing() -> None:
    found = talking()
    feed(found, [renamed(leg("1", "77"), "PJSIP/0003*211-1")])
    assert set(found.channels) == {"1.1", "1.2"}


# Times and states


def test_a_state_never_goes_back() -> None:
    found = picture([seen(AGENT_LEG, UP), seen(AGENT_LEG, RINGING), seen(AGENT_LEG, 0)])
    agent = found.channels["1.2"]
    assert agent.is_up
    assert (agent.ringing, agent.answered) == (None, NOW)


def test_a_state_heard_of_twice_keeps_its_first_time() -> None:
    found = picture([seen(AGENT_LEG, state) for state in (RINGING, RINGING, UP, UP)])
    agent = found.channels["1.2"]
    assert (agent.ringing, agent.answered) == (NOW, NOW + 2)


def test_hold_keeps_its_first_time_and_ends() -> None:
    found = picture([seen(AGENT_LEG), held(AGENT_LEG), held(AGENT_LEG)])
    assert found.channels["1.2"].holding == NOW + 1
    feed(found, [unheld(AGENT_LEG)])
    assert found.channels["1.2"].holding is None


def test_a_recording_keeps_its_first_time_and_ends() -> None:
    found = picture([seen(AGENT_LEG), recording(AGENT_LEG), recording(AGENT_LEG)])
    assert found.channels["1.2"].recording == NOW + 1
    feed(found, [recording(AGENT_LEG, running=False)])
    assert found.channels["1.2"].recording is None


def test_what_phones_display_follows_the_events() -> None:
    named = CUSTOMER._replace(caller_name='Joe "Big"', caller_number="3334444")
    found = picture([seen(CUSTOMER), seen(named)])
    assert str(found.channels["1.1"].caller) == 'Joe "Big" <3334444>'
    assert found.channels["1.1"].own_number == "7778888"


# The end


@pytest.mark.parametrize(
    "before",
    [
        pytest.param(list(talk(CUSTOMER, AGENT_LEG)), id="talking"),
        pytest.param(list(call(CUSTOMER, AGENT_LEG)), id="ringing"),
        pytest.param([*talk(CUSTOMER, AGENT_LEG), held(AGENT_LEG)], id="held"),
        pytest.param([enters(CUSTOMER, "parking"), enters(AGENT_LEG, "parking")], id="parked"),
        pytest.param([dials(CUSTOMER, AGENT_LEG), dials(CUSTOMER, AGENT_LEG)], id="dialled twice"),
        pytest.param([paired(CUSTOMER, AGENT_LEG)], id="paired"),
    ],
)
@pytest.mark.parametrize("order", [(CUSTOMER, AGENT_LEG), (AGENT_LEG, CUSTOMER)])
def test_a_hangup_leaves_nothing_behind(
    before: list[Event], order: tuple[Snapshot, Snapshot]
) -> None:
    found = picture(before)
    feed(found, [hung_up(order[0])])
    check(found)
    feed(found, [hung_up(order[1])])
    assert (found.channels, found.bridges, found.calls()) == ({}, {}, [])
    assert found.call(call_id("lab", "1.1")) is None


@pytest.mark.parametrize(
    "straggler",
    [
        pytest.param(seen(AGENT_LEG, UP), id="state"),
        pytest.param(dials(CUSTOMER, AGENT_LEG), id="dial"),
        pytest.param(dial_ends(CUSTOMER, AGENT_LEG), id="end of a dial"),
        pytest.param(enters(AGENT_LEG, "b"), id="enter"),
        pytest.param(leaves(AGENT_LEG, "b"), id="leave"),
        pytest.param(held(AGENT_LEG), id="hold"),
        pytest.param(spies(WHISPERER, AGENT_LEG), id="spied upon"),
        pytest.param(renamed(AGENT_LEG, "PJSIP/0003*211-1"), id="rename"),
        pytest.param(hung_up(AGENT_LEG), id="hangup"),
    ],
)
def test_a_straggler_brings_nobody_back(straggler: Event) -> None:
    found = talking()
    feed(found, [hung_up(AGENT_LEG), straggler])
    assert "1.2" not in found.channels
    assert numbers(the_call(found)) == {}
    check(found)


def test_a_hangup_before_everything_else_counts() -> None:
    found = picture([hung_up(AGENT_LEG), *talk(CUSTOMER, AGENT_LEG)])
    assert set(found.channels) == {"1.1"}
    check(found)


def test_losers_of_a_fork_vanish_and_the_winner_stays() -> None:
    ringing = [*call(CUSTOMER, AGENT_LEG), *call(CUSTOMER, COLLEAGUE_LEG)]
    found = picture([*ringing, dial_ends(CUSTOMER, AGENT_LEG), hung_up(AGENT_LEG, 26)])
    feed(found, answer(CUSTOMER, COLLEAGUE_LEG))
    assert numbers(the_call(found)) == {"1.3": 2}
    assert found.channels["1.1"].dialing == ()
    check(found)


def test_the_end_of_who_dialled_frees_who_was_dialled() -> None:
    found = picture([*call(CUSTOMER, AGENT_LEG), hung_up(CUSTOMER)])
    assert found.channels["1.2"].dialer is None
    assert found.channels["1.2"].was_dialed
    check(found)


def test_an_originate_dials_from_nobody() -> None:
    found = picture([dials(None, AGENT_LEG), dial_ends(None, AGENT_LEG)])
    assert found.channels["1.2"].was_dialed
    check(found)


def test_ends_are_forgotten_only_after_many_more() -> None:
    found = picture([hung_up(AGENT_LEG)])
    feed(found, [hung_up(leg("1", f"9.{n}")) for n in range(500)])
    feed(found, [seen(AGENT_LEG)])
    assert found.channels == {}


# The PBX's own list


def test_what_the_list_has_not_has_ended() -> None:
    found = two_calls()
    found.reconcile(
        [listed(CUSTOMER, bridge="bridge"), listed(AGENT_LEG, bridge="bridge")], [], NOW
    )
    assert set(found.channels) == {"1.1", "1.2"}
    assert legs(the_call(found)) == {"1.1", "1.2"}
    check(found)


def test_an_empty_list_empties_the_picture() -> None:
    found = two_calls()
    found.reconcile([], [], NOW)
    assert (found.channels, found.bridges, found.calls()) == ({}, {}, [])


def test_what_is_known_of_the_living_is_kept() -> None:
    found = talking()
    feed(found, [held(AGENT_LEG)], now=NOW + 50)
    before = the_call(found)
    up = [leg._replace(state=UP) for leg in (CUSTOMER, AGENT_LEG)]
    found.reconcile([listed(each, bridge="bridge", age=99) for each in up], [], NOW + 100)
    assert the_call(found) is before
    assert (before.published, before.answered) == (NOW, NOW + 4)
    assert found.channels["1.2"].holding == NOW + 50
    assert numbers(before) == {"1.2": 1}


def restored(*items: Listed) -> Picture:
    found = picture()
    found.reconcile(items, [], NOW)
    check(found)
    return found


def test_a_call_found_in_the_list_is_as_old_as_the_list_says() -> None:
    found = restored(
        listed(AGENT_LEG._replace(state=UP), bridge="b", age=58),
        listed(CUSTOMER._replace(state=UP), bridge="b", age=60),
    )
    assert the_call(found).published == NOW - 60
    assert numbers(the_call(found)) == {"1.2": 1}
    assert the_call(found).id == call_id("lab", "1.1")
    assert set(found.bridges["b"].members) == {"1.1", "1.2"}


def test_a_call_found_in_the_list_has_the_times_of_the_pbx_where_it_keeps_them() -> None:
    items = (listed(each._replace(state=UP), bridge="b", age=60) for each in (CUSTOMER, AGENT_LEG))
    found = restored(*(each._replace(started=NOW - 61.5, answered=NOW - 58.25) for each in items))
    assert the_call(found).published == NOW - 61.5
    assert the_call(found).answered == found.channels["1.2"].answered == NOW - 58.25


def test_an_answer_during_a_gap_is_as_old_as_the_pbx_says() -> None:
    found = picture(call(CUSTOMER, AGENT_LEG))
    up = [each._replace(state=UP) for each in (CUSTOMER, AGENT_LEG)]
    items = [listed(each, bridge="b")._replace(answered=NOW + 20) for each in up]
    found.reconcile(items, [], NOW + 60)
    assert the_call(found).answered == NOW + 20
    assert the_call(found).published == NOW


def test_calls_bridged_in_the_list_are_one() -> None:
    found = restored(
        listed(OTHER, bridge="b", age=5), listed(CUSTOMER, bridge="b", age=60), listed(SPY)
    )
    assert [legs(each) for each in found.calls()] == [{"1.1", "2.1"}, {"3.1"}]
    assert found.calls()[0].id == call_id("lab", "1.1")


def test_a_holding_bridge_of_the_list_joins_nobody() -> None:
    found = picture()
    found.reconcile([listed(CUSTOMER, bridge="h"), listed(OTHER, bridge="h")], ["h"], NOW)
    assert len(found.calls()) == 2
    assert found.bridges["h"].holding
    check(found)


@pytest.mark.parametrize("application", ["AppDial", "AppDial2", "AppQueue"])
def test_a_call_that_rings_is_found_in_the_list(application: str) -> None:
    found = restored(
        listed(CUSTOMER._replace(state=4), application="Dial", age=3),
        listed(AGENT_LEG._replace(state=RINGING), application=application, age=2),
    )
    agent, customer = found.channels["1.2"], found.channels["1.1"]
    assert (agent.dialer, customer.dialing) == (customer, (agent,))
    assert agent.was_dialed
    assert legs(the_call(found)) == {"1.1", "1.2"}


def test_an_answered_call_of_the_list_rings_no_more() -> None:
    found = restored(
        listed(CUSTOMER._replace(state=UP), bridge="b", application="Dial"),
        listed(AGENT_LEG._replace(state=UP), bridge="b", application="AppDial"),
    )
    assert found.channels["1.2"].dialer is None
    assert found.channels["1.2"].was_dialed


@pytest.mark.parametrize("uniqueid", ["whisper-1", "3.1"])
def test_a_spy_of_the_list_is_no_party(uniqueid: str) -> None:
    spy = leg("0003*024", uniqueid, state=UP)
    found = restored(
        listed(CUSTOMER, bridge="b", age=60),
        listed(AGENT_LEG, bridge="b", age=60),
        listed(spy, application="ChanSpy", data="1.2,uqwES", age=30),
    )
    assert found.channels[uniqueid].kind is Technology.SPY
    assert numbers(the_call(found)) == {"1.2": 1}


def test_a_whisper_of_the_list_is_in_the_call_it_listens_to() -> None:
    found = restored(
        listed(CUSTOMER, bridge="b", age=60),
        listed(AGENT_LEG, bridge="b", age=60),
        listed(WHISPERER, application="ChanSpy", data="1.2,uqwES", age=30),
    )
    whisper = found.channels["whisper-1"]
    assert (whisper.call, whisper.view) == (the_call(found), 2)


def test_a_whisper_of_the_list_is_in_its_call_though_it_is_listed_as_older() -> None:
    found = restored(
        listed(WHISPERER, application="ChanSpy", data="1.2,uqwES", age=61),
        listed(CUSTOMER, bridge="b", age=60),
        listed(AGENT_LEG, bridge="b", age=60),
    )
    assert found.channels["whisper-1"].call is the_call(found)


def test_who_left_his_bridge_meanwhile_has_left_it() -> None:
    found = talking()
    found.reconcile([listed(CUSTOMER), listed(AGENT_LEG, bridge="other")], [], NOW)
    assert found.channels["1.1"].bridge is None
    assert set(found.bridges) == {"other"}
    check(found)


def test_a_dial_that_was_answered_during_a_gap_is_over() -> None:
    found = picture(call(CUSTOMER, AGENT_LEG))
    up = [each._replace(state=UP) for each in (CUSTOMER, AGENT_LEG)]
    found.reconcile([listed(each, bridge="b", application="AppDial") for each in up], [], NOW)
    assert found.channels["1.1"].dialing == ()
    check(found)


def test_a_hold_that_began_before_the_list_is_unknown_but_its_end_is_not() -> None:
    found = restored(listed(AGENT_LEG._replace(state=UP), bridge="b"))
    feed(found, [unheld(AGENT_LEG)])
    assert found.channels["1.2"].holding is None


def test_the_story_goes_on_after_the_list() -> None:
    found = restored(
        listed(CUSTOMER._replace(state=UP), bridge="bridge", age=9),
        listed(AGENT_LEG._replace(state=UP), bridge="bridge", age=9),
    )
    feed(found, end(CUSTOMER, AGENT_LEG))
    assert (found.channels, found.bridges, found.calls()) == ({}, {}, [])


def test_the_directory_says_whose_a_channel_is() -> None:
    found = Picture("lab", lambda endpoint: DIRECTORY.by_endpoint("PJSIP/0003*211"))
    feed(found, [seen(leg("anything", "1"))])
    assert found.channels["1"].extension == COLLEAGUE


# Another directory


class Owners:
    """Whose the endpoints are, until somebody else's."""

    def __init__(self, **endpoints: Extension) -> None:
        self.by_endpoint = {f"PJSIP/{name}": extension for name, extension in endpoints.items()}

    def picture(self) -> Picture:
        """A picture that asks here."""
        return Picture("lab", lambda endpoint: self.by_endpoint.get(endpoint), DIRECTORY.extension)


def test_a_leg_that_comes_to_be_an_extensions_is_a_view_of_the_running_call() -> None:
    owners = Owners()
    found = owners.picture()
    feed(found, talk(CUSTOMER, leg("phone", "1.2", "1.1")))
    assert phone_call(the_call(found), lambda leg: None) is None
    found.take_touched()
    owners.by_endpoint["PJSIP/phone"] = AGENT
    found.reassign()
    (view,) = shown(the_call(found)).views
    assert (view.id, view.extension, view.status) == ("01", AGENT.number, Status.ON_CALL)
    assert shown(the_call(found)).answered == view.answered
    assert found.take_touched() == [the_call(found)]


def test_a_leg_that_changes_hands_keeps_its_number_and_shows_its_new_owner() -> None:
    owners = Owners(phone=AGENT, other=COLLEAGUE)
    found = owners.picture()
    feed(found, talk(leg("other", "1.1"), leg("phone", "1.2", "1.1")))
    before = {view.id: view.extension for view in shown(the_call(found)).views}
    owners.by_endpoint["PJSIP/phone"] = NEIGHBOUR
    found.reassign()
    after = {view.id: view.extension for view in shown(the_call(found)).views}
    assert before == {"01": COLLEAGUE.number, "02": AGENT.number}
    assert after == {"01": COLLEAGUE.number, "02": NEIGHBOUR.number}


def test_a_leg_that_is_nobodys_any_more_is_not_shown_and_its_number_not_given_again() -> None:
    owners = Owners(phone=AGENT, other=COLLEAGUE)
    found = owners.picture()
    feed(found, talk(leg("phone", "1.1"), leg("trunk", "1.2", "1.1")))
    owners.by_endpoint = {"PJSIP/trunk": COLLEAGUE}
    found.reassign()
    (view,) = shown(the_call(found)).views
    assert (view.id, view.extension) == ("02", COLLEAGUE.number)
