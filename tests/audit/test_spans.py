"""The timelines that an audit gives: every second, and what of it nobody can know."""

from collections.abc import Iterable
from typing import Any

import pytest

from bridge.audit import Doubt, Span, spans
from bridge.audit.lines import Clerk
from bridge.audit.sight import Line
from bridge.audit.times import iso
from bridge.happenings import (
    Adopted,
    Answered,
    Attached,
    Decided,
    Detached,
    Ended,
    Happening,
    Linked,
    ModeChanged,
    ModeDoubted,
    ModeSettled,
    Requested,
    Ringing,
    Unlinked,
    Vouched,
    WrongTarget,
)
from bridge.model import NOBODY, Asker, Mode
from bridge.whisper import Reason, State
from tests.audit.test_lines import WHO, at, session
from tests.support.scene import EPOCH

LISTEN, WHISPER, PRIVATE, BARGE = Mode
MODE, PRESENCE = Doubt
OTHER = Asker("other", "9", "10.0.0.8", "bead")
LEG = "whisper-1"

Told = tuple[float, Happening]
Row = tuple[float, float | None, Mode, Doubt | None]


class Bridge:
    """Writes an audit as a bridge does, over its own end and new start."""

    def __init__(self) -> None:
        self.lines: list[Line] = []
        self.clerk = Clerk()

    def tells(self, *told: Told) -> "Bridge":
        """These happenings, each so many seconds after the first moment."""
        for seconds, happening in told:
            self.lines += self.clerk.lines(happening, at(seconds))
        return self

    def starts(self, seconds: float) -> "Bridge":
        """It is started, or was killed before and is started anew."""
        self.clerk = Clerk()
        for line in self.lines:
            self.clerk.recall(line)
        self.lines.append(self.clerk.started(EPOCH + seconds))
        return self

    def rows(self) -> list[Row]:
        """The spans of it, in seconds after the first moment."""
        return rows(spans(self.lines))


def rows(found: Iterable[Span]) -> list[Row]:
    return [
        (
            round(span.begin - EPOCH, 3),
            None if span.end is None else round(span.end - EPOCH, 3),
            Mode(span.mode),
            span.doubt,
        )
        for span in found
    ]


def attached(seconds: float, since: float | None = None, **changes: Any) -> Told:
    return seconds, Attached(session(**changes), EPOCH + (seconds if since is None else since))


def changed(seconds: float, before: Mode, mode: Mode, by: Asker | None = None) -> Told:
    keyed = session(mode=mode, options=KEYS, settled=by is not None)
    return seconds, ModeChanged(keyed, before.value, by)


def ended(seconds: float, reason: Reason = Reason.COMPLETED, **changes: Any) -> Told:
    return seconds, Ended(session(state=State.ENDED, reason=reason, **changes))


def linked(seconds: float, *legs: str) -> Told:
    return seconds, Linked(frozenset(legs))


KEYS = "uqwdES"


def begun(**changes: Any) -> Bridge:
    """A bridge that knows of everything from 0 on, and a whisper since 2."""
    return (
        Bridge()
        .starts(-1)
        .tells(
            linked(0),
            (1, Requested(session(**changes))),
            (1.1, Ringing(session(**changes))),
            (1.9, Answered(session(**changes))),
            attached(2, **changes),
        )
    )


# What was seen


def test_a_whisper_in_one_mode() -> None:
    bridge = begun().tells((9, Detached(session())), ended(9.1))
    (span,) = spans(bridge.lines)
    assert rows([span]) == [(2, 9, WHISPER, None)]
    assert span.line() == {
        "from": iso(EPOCH + 2),
        "to": iso(EPOCH + 9),
        "seconds": 7,
        "mode": "whisper",
        "supervisor": "0003*024",
        "extension": "0003*210",
        "target": "1.2",
        "call": "0123456789abcdef0123",
        "leg": LEG,
        "request": "c0ffee",
        "app": "panel",
        "user": "12",
        "address": "10.0.0.9",
    }


def test_every_change_of_mode_and_who_asked_for_it() -> None:
    bridge = begun().tells(
        changed(4, WHISPER, BARGE, OTHER),
        changed(6, BARGE, LISTEN),
        (9, Detached(session(mode=LISTEN))),
        ended(9.1, mode=LISTEN),
    )
    assert bridge.rows() == [
        (2, 4, WHISPER, None),
        (4, 6, BARGE, None),
        (6, 9, LISTEN, None),
    ]
    asked, by_other, by_key = (span.by for span in spans(bridge.lines))
    assert (asked["app"], by_other["app"]) == (WHO.app, OTHER.app)
    assert (by_key["key"], by_key["app"]) == (True, WHO.app)
    assert "key" not in by_other


def test_two_at_once_are_two() -> None:
    bridge = begun().tells(
        attached(3, leg="whisper-2", mode=LISTEN), ended(5), ended(7, leg="whisper-2", mode=LISTEN)
    )
    assert bridge.rows() == [(2, 5, WHISPER, None), (3, 7, LISTEN, None)]


def test_one_that_lasts_has_no_end_yet() -> None:
    bridge = begun().tells((7, Vouched()))
    (span,) = spans(bridge.lines)
    assert rows([span]) == [(2, None, WHISPER, None)]
    assert span.line()["to"] is None
    assert span.line()["known_until"] == iso(EPOCH + 7)


def test_one_that_never_took_part_has_none() -> None:
    bridge = Bridge().starts(-1).tells(linked(0), (1, Requested(session())))
    assert bridge.tells((1.1, Ringing(session())), ended(9, Reason.BUSY)).rows() == []


def test_one_attached_to_a_stranger_is_told_of_him() -> None:
    bridge = Bridge().starts(-1).tells(linked(0), (1, Requested(session())))
    bridge.tells((2, WrongTarget(session(), "9.9")), ended(2.2, Reason.WRONG_TARGET))
    (span,) = spans(bridge.lines)
    assert rows([span]) == [(2, 2.2, WHISPER, None)]
    assert (span.who["target"], span.who["extension"]) == ("9.9", "")


@pytest.mark.parametrize("line", [{}, {"time": "x"}, {"time": iso(EPOCH), "event": "ended"}])
def test_lines_of_somebody_else_are_no_harm(line: Line) -> None:
    assert list(spans([line, {"time": iso(EPOCH), "event": "mode", "leg": 7}])) == []


# The link was away


def test_without_keys_nothing_changes_while_the_link_is_away() -> None:
    bridge = begun().tells((5, Unlinked(2)), linked(7, LEG), ended(9))
    assert bridge.rows() == [(2, 9, WHISPER, None)]


def test_with_keys_the_mode_is_in_doubt_since_the_pbx_was_last_heard_of() -> None:
    bridge = begun(options=KEYS).tells(
        (6, Unlinked(quiet=2)),
        linked(7, LEG),
        (7.1, ModeSettled(session(options=KEYS))),
        ended(9, options=KEYS),
    )
    assert bridge.rows() == [
        (2, 4, WHISPER, None),
        (4, 7.1, WHISPER, MODE),
        (7.1, 9, WHISPER, None),
    ]


def test_a_change_of_which_nothing_was_heard_is_in_doubt_since_it_was_asked_for() -> None:
    barging = session(mode=BARGE, options=KEYS)
    bridge = begun(mode=BARGE, options=KEYS).tells(
        (4, Decided(OTHER, "Whisper", "", LEG)),
        (6, Unlinked(quiet=1)),
        (6, ModeDoubted(barging)),
        (6, ModeChanged(session(options=KEYS, settled=False), "barge", OTHER)),
        linked(7, LEG),
        (7.1, ModeSettled(session(options=KEYS))),
        ended(9, options=KEYS),
    )
    assert bridge.rows() == [
        (2, 4, BARGE, None),
        (4, 5, BARGE, MODE),
        (5, 6, BARGE, MODE),
        (6, 7.1, WHISPER, MODE),
        (7.1, 9, WHISPER, None),
    ]


def test_an_end_in_the_gap_may_have_been_since_the_pbx_was_last_heard_of() -> None:
    bridge = begun().tells((9, Unlinked(quiet=4)), ended(15, Reason.LINK_LOST), linked(15))
    assert bridge.rows() == [(2, 5, WHISPER, None), (5, 15, WHISPER, PRESENCE)]


def test_a_beginning_in_the_gap_may_have_been_since_then() -> None:
    bridge = Bridge().starts(-1).tells(linked(0), (1, Requested(session())))
    bridge.tells((1.1, Ringing(session())), (3, Unlinked(quiet=1)))
    bridge.tells(attached(6, since=5), linked(6, LEG), (6.1, ModeSettled(session())), ended(9))
    assert bridge.rows()[:2] == [(2, 5, WHISPER, PRESENCE), (5, 9, WHISPER, MODE)]


def test_one_that_may_have_begun_and_ended_in_the_gap_is_told() -> None:
    ringing = Bridge().starts(-1).tells(linked(0), (1, Requested(session())))
    ringing.tells((1.1, Ringing(session())), (3, Unlinked(quiet=1)))
    ringing.tells(ended(6, Reason.LINK_LOST), linked(6))
    assert ringing.rows() == [(2, 6, WHISPER, PRESENCE)]
    # Of this one not even the first sign was heard: it is given up only later.
    asked = Bridge().starts(-1).tells(linked(0), (1, Requested(session())), (3, Unlinked(quiet=1)))
    asked.tells(linked(6), ended(9, Reason.LINK_LOST))
    assert asked.rows() == [(2, 6, WHISPER, PRESENCE)]


def test_of_one_that_waits_it_is_told_that_it_may_have_taken_part_as_long_as_that_is_so() -> None:
    asked = Bridge().starts(-1).tells(linked(0), (1, Requested(session())), (3, Unlinked(quiet=1)))
    assert asked.tells(linked(6)).rows() == [(2, 6, WHISPER, PRESENCE)]
    assert asked.tells((6.1, Ringing(session()))).rows() == []


def test_one_that_had_let_go_before_the_gap_did_not() -> None:
    bridge = begun().tells((4, Detached(session())), (5, Unlinked()), linked(7), ended(8))
    assert bridge.rows() == [(2, 4, WHISPER, None)]


def test_one_that_rang_on_through_the_gap_did_not() -> None:
    bridge = Bridge().starts(-1).tells(linked(0), (1, Requested(session())))
    bridge.tells((1.1, Ringing(session())), (3, Unlinked()), linked(4, LEG))
    assert bridge.tells(ended(9, Reason.DECLINED)).rows() == []


# The bridge was away


def test_a_restart_loses_no_second_and_doubts_the_mode() -> None:
    bridge = begun().tells((7, Vouched())).starts(20)
    adopted = session(mode=PRIVATE, settled=False)
    bridge.tells((21, Adopted(adopted)), attached(21, since=2, mode=PRIVATE), linked(21, LEG))
    bridge.tells((21.1, ModeSettled(adopted)), ended(30, mode=PRIVATE))
    assert bridge.rows() == [
        (2, 7, WHISPER, None),
        (7, 21.1, WHISPER, MODE),
        (21.1, 30, PRIVATE, None),
    ]


def test_an_end_while_no_bridge_ran() -> None:
    bridge = begun().tells((7, Vouched())).starts(20).tells(linked(21))
    assert bridge.rows() == [(2, 7, WHISPER, None), (7, 21, WHISPER, PRESENCE)]


def test_an_end_while_one_bridge_after_another_did_not_reach_the_pbx() -> None:
    bridge = begun().tells((7, Vouched())).starts(20).starts(40)
    bridge.tells((45, Unlinked()), linked(50))
    assert bridge.rows() == [(2, 7, WHISPER, None), (7, 50, WHISPER, PRESENCE)]
    assert bridge.lines[-1]["not_before"] == iso(EPOCH + 7)


def test_one_that_was_given_up_and_goes_on_all_the_same_has_no_gap() -> None:
    bridge = begun().tells(ended(9, Reason.HUNG_UP), (9.5, Unlinked(quiet=3)))
    bridge.tells((12, Adopted(session())), attached(12, since=2), linked(12, LEG))
    bridge.tells((12.1, ModeSettled(session())), ended(13))
    assert bridge.rows() == [
        (2, 9, WHISPER, None),
        (9, 12.1, WHISPER, MODE),
        (12.1, 13, WHISPER, None),
    ]


def test_the_mode_of_an_end_that_nobody_saw_is_the_last() -> None:
    bridge = begun(options=KEYS).tells(changed(4, WHISPER, BARGE, OTHER), (7, Vouched()))
    bridge.starts(20).tells(linked(21))
    assert bridge.lines[-1]["mode"] == "barge"
    assert bridge.rows()[1:] == [(4, 7, BARGE, None), (7, 21, BARGE, PRESENCE)]


def test_the_mode_is_that_of_the_leg_where_it_does_not_say_who_asked() -> None:
    bridge = begun(options=KEYS).tells(changed(4, WHISPER, BARGE, OTHER), (7, Vouched()))
    unknown = session(asker=NOBODY, mode=BARGE, options=KEYS)
    bridge.starts(20).tells((21, Adopted(unknown)))
    assert (bridge.lines[-1]["mode"], bridge.lines[-1]["app"]) == ("barge", "panel")


# Lines that are not there


def test_what_was_before_the_first_line_is_known_by_its_length() -> None:
    whole = begun().tells((9, Detached(session())), ended(9.1))
    assert rows(spans(whole.lines[-2:])) == [(2, 9, WHISPER, MODE)]


def test_where_lines_are_missing_all_is_in_doubt_until_one_says_more() -> None:
    bridge = begun().tells((5, Vouched()))
    bridge.lines.append({"time": iso(EPOCH + 6), "event": "missing", "lines": 3})
    assert bridge.rows() == [(2, 5, WHISPER, None), (5, None, WHISPER, PRESENCE)]
    bridge.tells((8, Detached(session())), ended(8.1))
    assert bridge.rows() == [(2, 5, WHISPER, None), (5, 8, WHISPER, MODE)]
