"""A call as its parties see it, and which leg may be whispered to."""

from collections.abc import Callable, Iterator

import pytest

from bridge.calls import Picture
from bridge.channels import Channel
from bridge.errors import ViewInvalid
from bridge.events import ChannelState, Entered, Event, Snapshot
from bridge.model import CallerId, Flow, PhoneCallView, Status
from bridge.views import (
    is_joining,
    owner_of,
    peers,
    phone_call,
    talks,
    view_id,
    whisper_target,
    why_unheard,
)
from tests.support.directory import AGENT, COLLEAGUE, NEIGHBOUR
from tests.support.happenings import (
    RINGING,
    UP,
    answer,
    call,
    dials,
    enters,
    held,
    hung_up,
    leaves,
    leg,
    local,
    paired,
    recording,
    seen,
    spies,
    talk,
    unheld,
)
from tests.support.picture import NOW, feed, picture, shown, the_call, view_of

CUSTOMER = leg("7778888", "1.1", exten="0003*210")
AGENT_LEG = leg("0003*210", "1.2", "1.1", connected=("John Doe", "3334444"))
COLLEAGUE_LEG = leg("0003*211", "2.1", exten="0003*210", caller=("Agent 211", "0003*211"))
CALLED = leg("0003*210", "2.2", "2.1", connected=("Agent 211", "0003*211"))
OUTSIDE = leg("7779999", "3.2", "2.1")
WHISPERER = leg("0003*024", "whisper-1", state=UP)
RECORDER = leg("", "7.1", name="CBRec/conf-1", state=UP)
INCOMING, INTERNAL, OUTGOING = (
    (CUSTOMER, AGENT_LEG),
    (COLLEAGUE_LEG, CALLED),
    (COLLEAGUE_LEG, OUTSIDE),
)


def seen_by(found: Picture, number: str) -> PhoneCallView:
    return view_of(the_call(found), number)


def refusal(found: Picture, uniqueid: str) -> str:
    with pytest.raises(ViewInvalid) as error:
        whisper_target(found.channels.get(uniqueid), (AGENT, COLLEAGUE))
    return error.value.message


# Who with whom

SIDES = [
    pytest.param(
        INCOMING, "0003*210", Flow.INCOMING, "7778888", "0003*210", "John Doe <3334444>", id="in"
    ),
    pytest.param(
        INTERNAL,
        "0003*211",
        Flow.LOCAL,
        "0003*211",
        "0003*210",
        "Agent 211 <0003*211>",
        id="caller",
    ),
    pytest.param(
        INTERNAL,
        "0003*210",
        Flow.LOCAL,
        "0003*211",
        "0003*210",
        "Agent 211 <0003*211>",
        id="callee",
    ),
    pytest.param(
        OUTGOING,
        "0003*211",
        Flow.OUTGOING,
        "0003*211",
        "0003*210",
        "Agent 211 <0003*211>",
        id="out",
    ),
]


@pytest.mark.parametrize(("parties", "number", "flow", "source", "destination", "caller"), SIDES)
@pytest.mark.parametrize("story", [call, talk])
def test_each_side_is_shown_who_calls_whom(
    story: Callable[[Snapshot, Snapshot], Iterator[Event]],
    parties: tuple[Snapshot, Snapshot],
    number: str,
    flow: Flow,
    source: str,
    destination: str,
    caller: str,
) -> None:
    view = seen_by(picture(story(*parties)), number)
    assert (view.extension, view.flow) == (number, flow)
    assert (view.source, view.destination) == ((source,), (destination,))
    assert str(view.caller_id) == caller


def test_a_leg_that_was_dialled_shows_itself_until_it_knows_the_caller() -> None:
    found = picture(talk(CUSTOMER, leg("0003*210", "1.2", "1.1", caller=("Agent", "0003*210"))))
    assert seen_by(found, "0003*210").caller_id == CallerId("Agent", "0003*210")


def test_a_caller_who_withholds_his_number_is_known_by_none() -> None:
    anonymous = CUSTOMER._replace(caller_number="", caller_name="")
    found = picture(talk(anonymous, AGENT_LEG._replace(connected_number="", connected_name="")))
    assert seen_by(found, "0003*210").source == ()


def test_an_outsider_is_known_by_the_number_he_came_with_not_by_what_is_displayed() -> None:
    renamed = CUSTOMER._replace(caller_number="3334444", caller_name="John Doe")
    found = picture([*talk(CUSTOMER, AGENT_LEG), seen(renamed)])
    assert seen_by(found, "0003*210").source == ("7778888",)


def test_everybody_in_a_bridge_is_a_source_once() -> None:
    other, same = leg("7779999", "3.1"), leg("7779999", "4.1")
    found = picture([*talk(CUSTOMER, AGENT_LEG), enters(other, "bridge"), enters(same, "bridge")])
    assert seen_by(found, "0003*210").source == ("7778888", "7779999")


def test_a_name_in_any_script_is_shown_as_it_is() -> None:
    named = AGENT_LEG._replace(connected_name='Ж "王" \\ محمد')
    assert str(seen_by(picture(talk(CUSTOMER, named)), "0003*210").caller_id) == (
        'Ж "王" \\ محمد <3334444>'
    )


# Through Local channels

ONE, TWO = local(1, "5.1", "1.1"), local(2, "5.2", "1.1")


def through_local() -> Iterator[Event]:
    """The customer dials one half, the other half dials the agent."""
    yield seen(CUSTOMER, ChannelState.RING)
    yield paired(ONE, TWO)
    yield dials(CUSTOMER, ONE)
    yield from call(TWO, AGENT_LEG)


def test_a_ringing_leg_is_seen_through_a_local_channel() -> None:
    found = picture(through_local())
    assert [peer.uniqueid for peer in peers(found.channels["1.1"])] == ["1.2"]
    assert [peer.uniqueid for peer in peers(found.channels["1.2"])] == ["1.1"]
    assert [view.extension for view in shown(the_call(found)).views] == ["0003*210"]


def test_a_talking_leg_is_seen_through_a_local_channel_that_stays() -> None:
    found = picture([*through_local(), *answer(TWO, AGENT_LEG, "near")])
    feed(found, answer(CUSTOMER, ONE, "far"))
    view = seen_by(found, "0003*210")
    assert (view.source, view.flow, view.status) == (("7778888",), Flow.INCOMING, Status.ON_CALL)


def test_two_local_channels_in_a_row_hide_nobody() -> None:
    three, four = local(1, "6.1", "1.1"), local(2, "6.2", "1.1")
    found = picture([paired(ONE, TWO), paired(three, four), dials(CUSTOMER, ONE)])
    feed(found, [dials(TWO, three), dials(four, AGENT_LEG)])
    assert [peer.uniqueid for peer in peers(found.channels["1.2"])] == ["1.1"]


def test_local_channels_that_lead_back_to_themselves_end() -> None:
    found = picture([paired(ONE, TWO), dials(ONE, TWO), dials(TWO, ONE)])
    assert peers(found.channels["5.1"]) == []


def test_a_whisperer_is_nobodys_peer() -> None:
    found = picture([*talk(CUSTOMER, AGENT_LEG), spies(WHISPERER, AGENT_LEG)])
    assert [peer.uniqueid for peer in peers(found.channels["1.2"])] == ["1.1"]
    assert peers(found.channels["whisper-1"]) == []


def test_who_is_parked_beside_is_nobodys_peer() -> None:
    found = picture([enters(CUSTOMER, "parking"), enters(OUTSIDE, "parking")])
    assert peers(found.channels["1.1"]) == []


# Status


@pytest.mark.parametrize(
    ("events", "number", "status"),
    [
        pytest.param([seen(CALLED)], "0003*210", Status.UNKNOWN, id="just created"),
        pytest.param([seen(COLLEAGUE_LEG, 4)], "0003*211", Status.TRYING, id="dialling plan runs"),
        pytest.param([dials(COLLEAGUE_LEG, CALLED)], "0003*211", Status.TRYING, id="tries"),
        pytest.param([dials(COLLEAGUE_LEG, CALLED)], "0003*210", Status.TRYING, id="is tried"),
        pytest.param(
            list(call(*INTERNAL)), "0003*211", Status.RINGING_OTHER_SIDE, id="hears it ring"
        ),
        pytest.param(list(call(*INTERNAL)), "0003*210", Status.RINGING, id="rings"),
        pytest.param(list(talk(*INTERNAL)), "0003*211", Status.ON_CALL, id="caller talks"),
        pytest.param(list(talk(*INTERNAL)), "0003*210", Status.ON_CALL, id="callee talks"),
        pytest.param([seen(COLLEAGUE_LEG, UP)], "0003*211", Status.ON_CALL, id="hears a menu"),
        pytest.param(
            [seen(COLLEAGUE_LEG, UP), *call(COLLEAGUE_LEG, CALLED)],
            "0003*211",
            Status.RINGING_OTHER_SIDE,
            id="was answered by a menu that dials on",
        ),
    ],
)
def test_status(events: list[Event], number: str, status: Status) -> None:
    assert seen_by(picture(events), number).status is status


@pytest.mark.parametrize("number", ["0003*210", "0003*211"])
def test_ringing_has_one_beginning_for_both_sides_and_ends(number: str) -> None:
    found = picture(call(*INTERNAL))
    assert seen_by(found, number).ringing == NOW + 3
    feed(found, answer(*INTERNAL))
    assert seen_by(found, number).ringing is None


def test_each_side_is_answered_when_its_own_leg_is() -> None:
    found = picture(talk(*INTERNAL))
    assert seen_by(found, "0003*210").answered == NOW + 4
    assert seen_by(found, "0003*211").answered == NOW + 6


# Hold, parking, recording


@pytest.mark.parametrize("holder", INTERNAL)
def test_hold_is_shown_to_both_and_its_holder_named(holder: Snapshot) -> None:
    found = picture([*talk(*INTERNAL)])
    feed(found, [held(holder)], now=NOW + 50)
    views = shown(the_call(found)).views
    assert [view.on_hold for view in views] == [NOW + 50] * 2
    assert [view.holder for view in views] == [view.extension in holder.name for view in views]
    feed(found, [unheld(holder)])
    assert [(view.on_hold, view.holder) for view in shown(the_call(found)).views] == [
        (None, False)
    ] * 2


def test_hold_by_both_began_with_the_first_and_ends_with_the_last() -> None:
    found = picture([*talk(*INTERNAL), held(CALLED), held(COLLEAGUE_LEG)])
    assert seen_by(found, "0003*211").on_hold == seen_by(found, "0003*210").on_hold == NOW + 9
    feed(found, [unheld(CALLED)])
    assert seen_by(found, "0003*210").on_hold == NOW + 10
    assert not seen_by(found, "0003*210").holder


def test_hold_by_an_outsider_is_shown_but_not_as_ours() -> None:
    found = picture([*talk(CUSTOMER, AGENT_LEG), held(CUSTOMER)])
    view = seen_by(found, "0003*210")
    assert (view.on_hold, view.holder) == (NOW + 9, False)


def test_parking_is_shown_while_it_lasts() -> None:
    found = picture([*talk(*INTERNAL), enters(CALLED, "parking")])
    assert seen_by(found, "0003*210").parked == NOW + 9
    assert seen_by(found, "0003*211").parked is None
    feed(found, [enters(CALLED, "bridge")])
    assert seen_by(found, "0003*210").parked is None


def test_a_recording_is_shown_on_the_leg_that_is_recorded() -> None:
    found = picture([*talk(*INTERNAL), recording(CALLED)])
    assert seen_by(found, "0003*210").recording == NOW + 9
    assert seen_by(found, "0003*211").recording is None


# The call


def test_an_extension_is_charged_for_the_call_it_made() -> None:
    assert shown(the_call(picture(talk(*INTERNAL)))).extension == "0003*211"


def test_who_answered_is_charged_for_a_call_from_outside() -> None:
    second = leg("0003*211", "1.3", "1.1")
    found = picture([*call(CUSTOMER, AGENT_LEG), *call(CUSTOMER, second)])
    assert shown(the_call(found)).extension == "0003*210"
    feed(found, answer(CUSTOMER, second))
    call_shown = shown(the_call(found))
    assert (call_shown.extension, call_shown.owner) == ("0003*211", COLLEAGUE.organization)


def test_a_call_of_outsiders_only_is_not_shown() -> None:
    found = picture(talk(CUSTOMER, leg("7779999", "1.9", "1.1")))
    assert phone_call(the_call(found), lambda leg: None) is None


def test_views_are_in_the_order_of_their_numbers() -> None:
    found = picture([seen(leg("0003*210", f"1.{n}", "1.0")) for n in range(120)])
    ids = [view.id for view in shown(the_call(found)).views]
    assert ids[:2] == ["01", "02"]
    assert ids[98:101] == ["99", "100", "101"]


def test_a_spy_leg_is_shown_as_the_view_it_is_given_or_not_at_all() -> None:
    found = picture([*talk(CUSTOMER, AGENT_LEG), spies(WHISPERER, AGENT_LEG)])
    whisper = seen_by(found, "0003*210")
    call_shown = phone_call(the_call(found), lambda leg: whisper if leg.view == 2 else None)
    assert call_shown is not None
    assert call_shown.views == (whisper, whisper)
    assert len(shown(the_call(found)).views) == 1


@pytest.mark.parametrize(("number", "text"), [(1, "01"), (10, "10"), (123, "123")])
def test_a_views_number_has_two_digits(number: int, text: str) -> None:
    assert view_id(number) == text


def test_a_leg_of_nobody_has_no_owner() -> None:
    found = picture([seen(CUSTOMER), seen(AGENT_LEG)])
    assert owner_of(found.channels["1.2"]) == AGENT
    with pytest.raises(LookupError, match=r"1\.1"):
        owner_of(found.channels["1.1"])


# Whom to whisper to


def test_an_extensions_own_leg_on_call_may_be_whispered_to() -> None:
    found = picture(talk(CUSTOMER, AGENT_LEG))
    target = found.channels["1.2"]
    assert whisper_target(target, (AGENT,)) is target
    assert whisper_target(target, (NEIGHBOUR, AGENT)) is target


def test_a_leg_behind_a_local_channel_may_be_whispered_to() -> None:
    found = picture([*through_local(), *answer(TWO, AGENT_LEG, "near")])
    assert whisper_target(found.channels["1.2"], (AGENT,)) is found.channels["1.2"]


def test_a_leg_on_hold_may_be_whispered_to() -> None:
    found = picture([*talk(CUSTOMER, AGENT_LEG), held(AGENT_LEG)])
    assert whisper_target(found.channels["1.2"], (AGENT,)) is found.channels["1.2"]


NO_VIEW = "phoneCallViewId must reference the extension's own view of the phone call."


@pytest.mark.parametrize(
    ("uniqueid", "events"),
    [
        pytest.param("9.9", [], id="no leg"),
        pytest.param("1.1", list(talk(CUSTOMER, AGENT_LEG)), id="an outsider"),
        pytest.param("5.1", [enters(ONE, "b"), enters(AGENT_LEG, "b")], id="a Local half"),
        pytest.param(
            "whisper-1", [*talk(CUSTOMER, AGENT_LEG), spies(WHISPERER, AGENT_LEG)], id="a whisper"
        ),
        pytest.param(
            "4.1",
            [*talk(CUSTOMER, AGENT_LEG), spies(leg("0003*211", "4.1", state=UP), AGENT_LEG)],
            id="a spy of another",
        ),
        pytest.param("8.1", list(talk(CUSTOMER, leg("0003*2100", "8.1", "1.1"))), id="a neighbour"),
        pytest.param(
            "8.1",
            list(talk(CUSTOMER, leg("0003*210", "8.1", name="PJSIP/0003*210-1<ZOMBIE>"))),
            id="a zombie",
        ),
    ],
)
def test_nothing_else_may_be_whispered_to(uniqueid: str, events: list[Event]) -> None:
    assert refusal(picture(events), uniqueid) == NO_VIEW


@pytest.mark.parametrize(
    ("events", "message"),
    [
        pytest.param([seen(AGENT_LEG)], "not on call", id="created"),
        pytest.param(list(call(CUSTOMER, AGENT_LEG)), "not on call", id="rings"),
        pytest.param([seen(AGENT_LEG, UP)], "not on call", id="up, in no bridge"),
        pytest.param([enters(AGENT_LEG, "b")], "not on call", id="alone in its bridge"),
        pytest.param(
            [enters(AGENT_LEG, "b"), enters(RECORDER, "b")], "not on call", id="with a recorder"
        ),
        pytest.param([enters(AGENT_LEG, "holding")], "not on call", id="held"),
        pytest.param([enters(AGENT_LEG, "parking")], "is parked", id="parked"),
        pytest.param([enters(AGENT_LEG, "b"), leaves(AGENT_LEG, "b")], "not on call", id="left"),
    ],
)
def test_a_leg_that_does_not_talk_is_refused_with_the_reason(
    events: list[Event], message: str
) -> None:
    assert message in refusal(picture(events), "1.2")


@pytest.mark.parametrize("event", [hung_up(AGENT_LEG), leaves(AGENT_LEG, "bridge")])
def test_talking_ends(event: Event) -> None:
    found = picture(talk(CUSTOMER, AGENT_LEG))
    agent: Channel = found.channels["1.2"]
    assert talks(agent)
    feed(found, [event])
    assert not talks(agent)


@pytest.mark.parametrize(
    ("events", "joining"),
    [
        pytest.param([seen(AGENT_LEG, RINGING)], False, id="rings"),
        pytest.param([seen(AGENT_LEG, UP)], True, id="answered"),
        pytest.param([enters(AGENT_LEG, "b")], True, id="first in its bridge"),
        pytest.param(list(talk(CUSTOMER, AGENT_LEG)), False, id="talks"),
        pytest.param([enters(AGENT_LEG, "parking")], False, id="parked"),
    ],
)
def test_a_leg_that_was_answered_may_be_bridged_in_a_moment(
    events: list[Event], joining: bool
) -> None:
    assert is_joining(picture(events).channels["1.2"]) is joining


def test_a_leg_that_ended_is_never_bridged() -> None:
    found = picture([seen(AGENT_LEG, UP)])
    agent = found.channels["1.2"]
    feed(found, [hung_up(AGENT_LEG)])
    assert not is_joining(agent)


@pytest.mark.parametrize(
    ("holders", "in_silence", "spied", "heard"),
    [
        pytest.param((), False, None, True, id="nobody holds"),
        pytest.param((AGENT_LEG,), False, None, False, id="the target holds"),
        pytest.param((AGENT_LEG,), True, 0.0, False, id="the target holds, whatever is sent"),
        pytest.param((CUSTOMER,), False, None, False, id="the other side holds"),
        pytest.param((CUSTOMER,), True, None, True, id="the other side holds, in silence"),
        pytest.param((CUSTOMER,), False, 0.0, True, id="the music goes on since before"),
        pytest.param((CUSTOMER,), False, 1e10, False, id="the music was stopped"),
    ],
)
def test_whether_a_whisper_is_heard(
    *, holders: tuple[Snapshot, ...], in_silence: bool, spied: float | None, heard: bool
) -> None:
    target = picture([*talk(CUSTOMER, AGENT_LEG), *map(held, holders)]).channels["1.2"]
    assert (why_unheard(target, in_silence=in_silence, spied=spied) is None) is heard


def test_a_whisper_is_heard_while_one_of_several_others_speaks() -> None:
    found = picture([*talk(CUSTOMER, AGENT_LEG), enters(OUTSIDE, "bridge"), held(CUSTOMER)])
    assert why_unheard(found.channels["1.2"], in_silence=False, spied=None) is None


def test_a_leg_in_a_bridge_that_still_rings_does_not_talk() -> None:
    early = Entered(AGENT_LEG._replace(state=RINGING), "bridge", holding=False, parking=False)
    found = picture([early])
    assert found.channels["1.2"].bridge is not None
    assert not talks(found.channels["1.2"])
