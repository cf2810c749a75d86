"""What a client knows of calls, as a stream tells it over restarts and lost connections."""

from collections.abc import Sequence

import pytest

from bridge.client import (
    Ambiguous,
    Begun,
    Board,
    Changed,
    Complete,
    Ended,
    Lost,
    News,
    PbxAway,
    Target,
    supervisors_view,
    targets,
)
from bridge.uapi import PhoneCallBody

TALKS, RINGS = "5", "3"
View = tuple[str, str, str, str]
"""Id, extension, status and source."""


def call(call_id: str, *views: View) -> PhoneCallBody:
    shown = [
        {"id": view, "extension": number, "status": status, "source": [source], "destination": []}
        for view, number, status, source in views
    ]
    link = {"self": "http://x"}
    return PhoneCallBody.model_validate(
        {"id": call_id, "extension": "0003*210", "phoneCallView": shown, "link": link}
    )


FIRST = call("a", ("01", "0003*210", TALKS, "7778888"))
WHISPERED = call("a", ("01", "0003*210", TALKS, "7778888"), ("02", "0003*210", TALKS, "0003*024"))
SECOND = call("b", ("01", "0003*211", RINGS, "7779999"))


def board(*news: News) -> Board:
    made = Board()
    for each in news:
        made.take(each)
    return made


def steps(known: Board, news: News) -> list[tuple[str, str, bool]]:
    return [(step.call_id, step.view.id, step.over) for step in known.take(news)]


# The board


def test_every_change_of_a_view_is_a_step() -> None:
    known = board(Begun(), Complete(0))
    assert steps(known, Changed(FIRST)) == [("a", "01", False)]
    assert steps(known, Changed(WHISPERED)) == [("a", "02", False)]
    assert steps(known, Changed(WHISPERED)) == []
    assert steps(known, Changed(FIRST)) == [("a", "02", True)]
    assert steps(known, Ended("a")) == [("a", "01", True)]
    assert steps(known, Ended("a")) == []
    assert known.calls == {}


@pytest.mark.parametrize(
    ("told", "total", "left"),
    [
        ([], 2, ["a", "b"]),
        ([Changed(WHISPERED)], 2, ["a", "b"]),
        ([Ended("a")], 1, ["b"]),
        ([Changed(FIRST), Changed(SECOND)], 2, ["a", "b"]),
        ([Changed(SECOND)], 1, ["b"]),
        ([Changed(call("c"))], 1, ["c"]),
        ([], 0, []),
        ([Changed(FIRST), Ended("a")], 0, []),
    ],
)
def test_after_a_loss_what_ended_unseen_is_forgotten(
    told: Sequence[News], total: int, left: list[str]
) -> None:
    known = board(Begun(), Changed(FIRST), Changed(SECOND), Complete(2), Lost("cut", 2))
    for each in (Begun(), *told, Complete(total)):
        known.take(each)
    assert list(known.calls) == left
    assert known.complete


def test_trouble_is_known_until_everything_is_known_again() -> None:
    known = board(Begun(), Changed(FIRST), Complete(1), PbxAway())
    assert (known.complete, known.trouble) == (False, "the service cannot reach its PBX")
    known.take(Lost("cut", 4))
    assert known.trouble == "cut; trying again in 4 s"
    known.take(Begun())
    assert known.trouble
    known.take(Complete(1))
    assert (known.complete, known.trouble) == (True, "")
    assert list(known.calls) == ["a"]


# Who is on call, and who takes part


def test_a_target_talks_by_its_own_view() -> None:
    found = targets([SECOND, WHISPERED], "0003*210")
    assert [(target.call.id, target.view.id) for target in found] == [("a", "01")]
    assert targets([FIRST], "210") == targets([FIRST], "0003*210")
    assert targets([FIRST, SECOND], "0003*211") == []
    assert targets([FIRST], "10") == []
    assert targets([FIRST], "0004*210") == []


def test_views_are_read_by_their_number_whatever_their_order() -> None:
    many = call("a", ("100", "0003*210", TALKS, "0003*024"), ("99", "0003*210", TALKS, "7778888"))
    (target,) = targets([many], "210")
    assert target.view.id == "99"
    assert supervisors_view(many, target, "024") is not None


def test_a_short_number_of_two_organizations_must_be_written_in_full() -> None:
    others = call("c", ("01", "0004*210", TALKS, "7778888"))
    with pytest.raises(Ambiguous, match=r"210 may be 0003\*210 or 0004\*210"):
        targets([FIRST, others], "210")
    assert len(targets([FIRST, others], "0004*210")) == 1


@pytest.mark.parametrize(
    ("view", "number", "takes_part"),
    [
        (("02", "0003*210", TALKS, "0003*024"), "0003*024", True),
        (("02", "0003*210", TALKS, "0003*024"), "024", True),
        (("02", "0003*210", TALKS, "0003*024"), "0003*025", False),
        (("02", "0003*210", RINGS, "0003*024"), "024", False),
        (("02", "0003*211", TALKS, "0003*024"), "024", False),
        (("00", "0003*210", TALKS, "0003*024"), "024", False),
    ],
)
def test_a_supervisor_takes_part_by_a_later_view_of_the_target(
    view: View, number: str, *, takes_part: bool
) -> None:
    target = Target(FIRST, (FIRST.phone_call_view or [])[0])
    shown = call("a", ("01", "0003*210", TALKS, "7778888"), view)
    assert (supervisors_view(shown, target, number) is not None) is takes_part
