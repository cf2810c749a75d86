"""What a real PBX told, and what the calls look like at each moment of it."""

import pytest

from bridge.calls import Picture
from bridge.channels import Call, Channel
from bridge.model import CallerId, Flow, PhoneCallView, Status, Technology
from bridge.views import phone_call, view_id
from tests.recordings.record import SCENARIOS, SECOND_WHISPER, WHISPER
from tests.support.picture import check, picture
from tests.support.recordings import FOLDER, NAMES, load, messages, played

FLOWS = {Flow.LOCAL: "local", Flow.OUTGOING: "out", Flow.INCOMING: "in"}
STATUSES = {
    Status.UNKNOWN: "is there",
    Status.TRYING: "tries",
    Status.RINGING: "rings",
    Status.RINGING_OTHER_SIDE: "rings there",
    Status.ON_CALL: "talks",
}

AGENT_IN = "01 0003*210 talks, in 7778888 > 0003*210, John Doe <3334444>"
AGENT_RINGS = "01 0003*210 rings, in 7778888 > 0003*210, John Doe <3334444>; ringing"
ALONE = "01 0003*210 talks"
"""Who he talks to is nobody, so what he is shown with is only what was."""

STORIES: dict[str, dict[str, list[list[str]]]] = {
    "answered": {"ringing": [[AGENT_RINGS]], "talking": [[AGENT_IN]]},
    "outgoing": {
        "ringing": [
            ["01 0003*210 rings there, out 0003*210 > 7778888, Agent 210 <0003*210>; ringing"]
        ],
        "talking": [["01 0003*210 talks, out 0003*210 > 7778888, Agent 210 <0003*210>"]],
    },
    "cancelled": {"ringing": [[AGENT_RINGS]]},
    "busy": {},
    "extensions": {
        "ringing": [
            [
                "01 0003*211 rings there, local 0003*211 > 0003*210, Agent 211 <0003*211>; ringing",
                "02 0003*210 rings, local 0003*211 > 0003*210, Agent 211 <0003*211>; ringing",
            ]
        ],
        "talking": [
            [
                "01 0003*211 talks, local 0003*211 > 0003*210, Agent 211 <0003*211>",
                "02 0003*210 talks, local 0003*211 > 0003*210, Agent 211 <0003*211>",
            ]
        ],
    },
    "two-calls": {
        "one": [[AGENT_IN]],
        "two": [
            [AGENT_IN],
            ["01 0003*210 talks, in 7779999 > 0003*210, 7779999 <7779999>"],
        ],
        "one again": [["01 0003*210 talks, in 7779999 > 0003*210, 7779999 <7779999>"]],
    },
    "neighbours": {
        "whispering": [
            ["01 0003*2100 talks, in 7779999 > 0003*2100, 7779999 <7779999>"],
            [AGENT_IN, "02 whisper"],
        ],
        "one over": [["01 0003*2100 talks, in 7779999 > 0003*2100, 7779999 <7779999>"]],
    },
    "whisper": {
        "talking": [[AGENT_IN]],
        "ringing": [[AGENT_IN]],
        "whispering": [[AGENT_IN, "02 whisper"]],
        "talking again": [[AGENT_IN]],
    },
    "whisper-target-gone": {"talking": [[AGENT_IN]], "whispering": [[AGENT_IN, "02 whisper"]]},
    "whisper-cancelled": {
        "talking": [[AGENT_IN]],
        "ringing": [[AGENT_IN]],
        "cancelled": [[AGENT_IN]],
    },
    "whisper-busy": {"talking": [[AGENT_IN]], "refused": [[AGENT_IN]]},
    "whisper-declined": {"talking": [[AGENT_IN]], "refused": [[AGENT_IN]]},
    "whisper-unregistered": {"talking": [[AGENT_IN]], "refused": [[AGENT_IN]]},
    "whisper-two": {
        "talking": [[AGENT_IN]],
        "one": [[AGENT_IN, "02 whisper"]],
        "two": [[AGENT_IN, "02 whisper", "03 whisper"]],
        "one again": [[AGENT_IN, "03 whisper"]],
    },
    "whisper-taken-over": {
        "talking": [[AGENT_IN]],
        "whispering": [[AGENT_IN, "02 whisper"]],
        "consulting": [
            [AGENT_IN, "02 whisper"],
            ["01 0003*024 talks, out 0003*024 > 7779999, Supervisor 024 <0003*024>"],
        ],
        "taken over": [[AGENT_IN]],
    },
    "queue": {"ringing": [[AGENT_RINGS]], "talking": [[AGENT_IN]]},
    "fork": {
        "ringing": [
            [
                AGENT_RINGS,
                "02 0003*211 rings, in 7778888 > 0003*211, John Doe <3334444>; ringing",
            ]
        ],
        "talking": [["02 0003*211 talks, in 7778888 > 0003*211, John Doe <3334444>"]],
    },
    "local-optimised": {"ringing": [[AGENT_RINGS]], "talking": [[AGENT_IN]]},
    "local-kept": {"ringing": [[AGENT_RINGS]], "talking": [[AGENT_IN]]},
    "hold": {
        "talking": [[AGENT_IN]],
        "held": [[AGENT_IN + "; held by it"]],
        "talking again": [[AGENT_IN]],
    },
    "hold-by-customer": {
        "talking": [[AGENT_IN]],
        "held": [[AGENT_IN + "; held"]],
        "talking again": [[AGENT_IN]],
    },
    "recorded": {
        "talking": [[AGENT_IN]],
        "recording": [[AGENT_IN + "; recorded"]],
        "talking again": [[AGENT_IN]],
    },
    "blind-by-agent": {
        "talking": [[AGENT_IN]],
        "transferred": [["02 0003*211 talks, in 7778888 > 0003*211, John Doe <3334444>"]],
    },
    "blind-by-customer": {
        "talking": [[AGENT_IN]],
        "whispering": [[AGENT_IN, "02 whisper"]],
        "transferred": [
            [
                "01 0003*210 talks, local 0003*211 > 0003*210, Agent 211 <0003*211>",
                "02 whisper",
                "03 0003*211 talks, local 0003*210 > 0003*211, Agent 210 <0003*210>",
            ]
        ],
    },
    "attended-by-agent": {
        "talking": [[AGENT_IN]],
        "whispering": [[AGENT_IN, "02 whisper"]],
        "consulting": [
            [AGENT_IN + "; held by it", "02 whisper"],
            [
                "01 0003*210 talks, local 0003*210 > 0003*211, Agent 210 <0003*210>",
                "02 0003*211 talks, local 0003*210 > 0003*211, Agent 210 <0003*210>",
            ],
        ],
        "transferred": [["04 0003*211 talks, in 7778888 > 0003*211, John Doe <3334444>"]],
    },
    "attended-to-agent": {
        "talking": [["01 0003*211 talks, in 7778888 > 0003*211, John Doe <3334444>"]],
        "consulting": [
            ["01 0003*211 talks, in 7778888 > 0003*211, John Doe <3334444>; held by it"],
            [
                "01 0003*211 talks, local 0003*211 > 0003*210, Agent 211 <0003*211>",
                "02 0003*210 talks, local 0003*211 > 0003*210, Agent 211 <0003*211>",
            ],
        ],
        "transferred": [["03 0003*210 talks, in 7778888 > 0003*210, John Doe <3334444>"]],
    },
    "redirected": {
        "talking": [[AGENT_IN]],
        "whispering": [[AGENT_IN, "02 whisper"]],
        "redirected": [[ALONE, "02 whisper"]],
    },
    "both-redirected": {
        "talking": [[AGENT_IN]],
        "redirected": [[AGENT_IN]],
        "one left": [[ALONE]],
    },
    "conference": {
        moment: [["01 0003*210 talks, local 0003*210 > 660, Agent 210 <0003*210>"]]
        for moment in ("0003*210 is in", "7778888 is in", "7779999 is in", "7778888 has left")
    },
    "parked": {
        "talking": [
            [AGENT_IN],
            ["01 0003*211 talks, in 7779999 > 0003*211, 7779999 <7779999>"],
        ],
        "one parked": [
            [ALONE],
            ["01 0003*211 talks, in 7779999 > 0003*211, 7779999 <7779999>"],
        ],
        "two parked": [[ALONE], ["01 0003*211 talks"]],
        "fetched": [[ALONE, "02 0003*210 talks"], ["01 0003*211 talks"]],
    },
    "agent-parked": {
        "talking": [
            [
                "01 0003*211 talks, local 0003*211 > 0003*210, Agent 211 <0003*211>",
                "02 0003*210 talks, local 0003*211 > 0003*210, Agent 211 <0003*211>",
            ]
        ],
        "parked": [
            [
                "01 0003*211 talks, local 0003*211 > 0003*210, Agent 211 <0003*211>",
                "02 0003*210 talks, local 0003*211 > 0003*210, Agent 211 <0003*211>; parked",
            ]
        ],
    },
}
MOMENTS = [
    pytest.param(name, moment, calls, id=f"{name}: {moment}")
    for name, moments in STORIES.items()
    for moment, calls in moments.items()
]


def line(view: PhoneCallView) -> str:
    """A view in one line."""
    if view.flow is None:
        return f"{view.id} whisper"
    more = {
        "; ringing": view.ringing,
        "; held by it": view.on_hold if view.holder else None,
        "; held": None if view.holder else view.on_hold,
        "; parked": view.parked,
        "; recorded": view.recording,
    }
    words = (
        f"{view.id} {view.extension} {STATUSES[view.status]}",
        f"{FLOWS[view.flow]} {'+'.join(view.source)} > {'+'.join(view.destination)}",
        str(view.caller_id),
    )
    return ", ".join(words) + "".join(word for word, since in more.items() if since is not None)


def cut(view: str, wanted: str) -> str:
    """A view in as many words as are wanted of it."""
    return view if ", " in wanted else view.partition(", ")[0]


def lines(call: Call) -> list[str]:
    shown = phone_call(call, whisper)
    return [line(view) for view in shown.views] if shown else []


def whisper(leg: Channel) -> PhoneCallView:
    return PhoneCallView(
        id=view_id(leg.view),
        extension="",
        source=(),
        destination=(),
        caller_id=CallerId("", ""),
        status=Status.ON_CALL,
    )


@pytest.mark.parametrize(("name", "moment", "calls"), MOMENTS)
def test_the_calls_at_a_moment(name: str, moment: str, calls: list[list[str]]) -> None:
    found = [lines(call) for call in played(name, moment).calls()]
    seen = [views for views in found if views]
    assert [len(views) for views in seen] == [len(views) for views in calls], seen
    assert [
        [cut(*pair) for pair in zip(*views, strict=True)] for views in zip(seen, calls, strict=True)
    ] == calls


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_left_of_it(name: str) -> None:
    found = played(name, "over")
    assert (found.channels, found.bridges, found.calls()) == ({}, {}, [])


@pytest.mark.parametrize("name", NAMES)
def test_the_picture_agrees_with_itself_after_every_event(name: str) -> None:
    found = picture()
    for at, event in load(name).happenings:
        found.feed(event, at)
        check(found)


def test_every_scenario_is_recorded_and_told() -> None:
    assert set(NAMES) == set(SCENARIOS) == set(STORIES)


@pytest.mark.parametrize("name", NAMES)
def test_every_moment_is_told(name: str) -> None:
    hardly_of_interest = {"over", "0003*210 has left"}
    assert set(load(name).moments) - hardly_of_interest == set(STORIES[name])


@pytest.mark.parametrize("name", NAMES)
def test_a_recording_is_small_and_names_nobody_but_the_lab(name: str) -> None:
    text = (FOLDER / f"{name}.txt").read_text("utf-8")
    assert len(text) < 60_000
    assert text.startswith("# ")
    assert all(raw.startswith(b"Event: ") for raw in messages(name))
    assert b"VarSet" not in b"".join(raw[:20] for raw in messages(name))


# What the moments do not tell


def channel(found: Picture, number: str) -> Channel:
    """The only channel of an endpoint."""
    (only,) = (each for each in found.channels.values() if f"PJSIP/{number}-" in each.name)
    return only


def test_a_call_is_published_when_it_enters_and_answered_when_the_agent_answers() -> None:
    recording, found = load("answered"), played("answered", "talking")
    (call,) = found.calls()
    assert call.published == recording.happenings[0].at
    assert call.answered == channel(found, "0003*210").answered
    assert call.answered is not None
    assert call.answered > call.published


def test_a_queue_answers_the_customer_but_not_the_call() -> None:
    (ringing,), (talking,) = (played("queue", at).calls() for at in ("ringing", "talking"))
    assert ringing.answered is None
    assert talking.answered is not None


@pytest.mark.parametrize("name", ["local-kept", "local-optimised"])
def test_local_channels_are_no_parties(name: str) -> None:
    found = played(name, "ringing")
    kinds = [each.kind for each in found.channels.values()]
    assert kinds.count(Technology.LOCAL) == 2
    assert [view.name.partition("/")[0] for view in found.calls()[0].views()] == ["PJSIP"]


def test_a_whisper_follows_the_agents_leg_through_a_transfer() -> None:
    before, after = (played("blind-by-customer", at) for at in ("whispering", "transferred"))
    assert channel(before, "0003*210").uniqueid == channel(after, "0003*210").uniqueid
    assert channel(after, "0003*024").call is channel(after, "0003*210").call


def test_a_consultation_becomes_part_of_the_call_it_was_for() -> None:
    before, after = (played("attended-by-agent", at) for at in ("consulting", "transferred"))
    first, consultation = before.calls()
    (call,) = after.calls()
    assert call.id == first.id
    assert after.call(consultation.id) is call
    assert call.view(consultation.id, 2) is channel(after, "0003*211")


def test_strangers_who_are_parked_at_once_are_in_two_calls() -> None:
    found = played("parked", "two parked")
    first, second = channel(found, "7778888"), channel(found, "7779999")
    assert first.parked is not None
    assert second.parked is not None
    assert first.bridge is second.bridge
    assert first.call is not second.call


@pytest.mark.parametrize("leg", [WHISPER, SECOND_WHISPER])
def test_a_whisper_of_ours_is_a_spy_from_its_first_event(leg: str) -> None:
    found, kinds = picture(), set[Technology]()
    for at, event in load("whisper-two").happenings:
        found.feed(event, at)
        kinds |= {each.kind for each in found.channels.values() if each.uniqueid == leg}
    assert kinds == {Technology.SPY}


def test_who_takes_a_spy_leg_over_is_told_of_by_its_end_alone() -> None:
    after = [type(event).__name__ for _, event in load("whisper-taken-over").after("consulting")]
    assert "SpyStarted" not in after
    assert after.index("HungUp") < after.index("SpyStopped")
