"""What the audit says of a whisper, whatever happened to the bridge in between."""

from datetime import datetime
from typing import Any

import pytest

from bridge.audit.lines import Clerk
from bridge.audit.sight import Line
from bridge.audit.times import epoch, iso
from bridge.happenings import (
    Adopted,
    Answered,
    Attached,
    Attempted,
    Decided,
    Detached,
    Ended,
    Happening,
    Linked,
    ModeChanged,
    Moment,
    Requested,
    Responded,
    Ringing,
    TakenOver,
    TokenAsked,
    Unlinked,
    WrongTarget,
)
from bridge.model import NOBODY, Asker, CallerId, Mode
from bridge.whisper import Reason, Session, State
from tests.support.directory import AGENT, SUPERVISOR
from tests.support.scene import EPOCH

WHO = Asker("panel", "12", "10.0.0.9", "c0ffee")
CALL = "0123456789abcdef0123"


def session(**changes: Any) -> Session:
    given: dict[str, Any] = {
        "leg": "whisper-1",
        "target": "1.2",
        "call_id": CALL,
        "extension": AGENT,
        "supervisor": SUPERVISOR,
        "caller_id": CallerId("Whisper", "42420042"),
        "mode": Mode.WHISPER,
        "options": "uqwES",
        "deadline": None,
        "asker": WHO,
        "requested": EPOCH,
    }
    return Session(**given | changes)


def at(seconds: float, clock: float = 0.0) -> Moment:
    """So many seconds after the first moment; the wall clock was set by ``clock`` in between."""
    return Moment(EPOCH + seconds + clock, 50 + seconds)


def told(clerk: Clerk, *happenings: tuple[Happening, Moment]) -> list[Line]:
    return [line for happening, moment in happenings for line in clerk.lines(happening, moment)]


def events(lines: list[Line]) -> list[str]:
    return [line["event"] for line in lines]


ENDED = session(state=State.ENDED, reason=Reason.COMPLETED)


def test_a_time_has_the_offset_and_reads_back() -> None:
    text = iso(EPOCH + 0.25)
    assert datetime.fromisoformat(text).utcoffset() is not None
    assert text[19:23] == ".250"
    assert epoch(text) == EPOCH + 0.25
    assert epoch("no time") is None
    assert epoch(None) is None


def test_an_attempt_and_its_decision() -> None:
    attempt, refused, allowed = told(
        Clerk(),
        (Attempted(WHO, "Whisper", "0003*210", CALL, "01", "024"), at(0)),
        (Decided(WHO, "Whisper", CALL, code="pc_sendcallto_invalid"), at(0)),
        (Decided(WHO, "Whisper", CALL, leg="whisper-1"), at(0)),
    )
    who = {"request": "c0ffee", "app": "panel", "user": "12", "address": "10.0.0.9"}
    asked = {"time": iso(EPOCH), **who, "action": "Whisper", "call": CALL}
    numbers = {"view": "01", "supervisor": "024", "extension": "0003*210"}
    assert attempt == {**asked, "event": "attempt", **numbers}
    why = {"outcome": "refused", "reason": "pc_sendcallto_invalid"}
    assert refused == {**asked, "event": "decision", **why}
    assert allowed == {**asked, "event": "decision", "outcome": "allowed", "leg": "whisper-1"}


def test_a_whisper_from_request_to_end_with_its_durations() -> None:
    lines = told(
        Clerk(),
        (Requested(session()), at(0)),
        (Ringing(session()), at(0.01)),
        (Answered(session()), at(2)),
        (Attached(session(), EPOCH + 2.1), at(2.1)),
        (Detached(session()), at(62.3)),
        (Ended(ENDED), at(62.4)),
    )
    assert events(lines) == ["requested", "ringing", "answered", "attached", "detached", "ended"]
    assert [line.get("after") for line in lines] == [None, 0.01, 2, 2.1, 62.3, 62.4]
    assert [line.get("seconds") for line in lines] == [None] * 4 + [60.2, 60.2]
    for line in lines:
        assert line["supervisor"] == "0003*024"
        assert line["extension"] == "0003*210"
        assert (line["leg"], line["target"], line["call"]) == ("whisper-1", "1.2", CALL)
        assert (line["app"], line["address"], line["request"]) == ("panel", "10.0.0.9", "c0ffee")
    assert lines[-1]["reason"] == "completed"
    assert lines[-1]["time"] == iso(EPOCH + 62.4)


def test_a_clock_that_is_set_does_not_change_a_duration() -> None:
    (*_, ended) = told(
        Clerk(),
        (Requested(session()), at(0)),
        (Attached(session(), EPOCH + 1), at(1)),
        (Ended(ENDED), at(11, clock=-7200)),
    )
    assert (ended["seconds"], ended["after"]) == (10, 11)


def test_one_that_was_never_attached_has_no_seconds() -> None:
    busy = session(state=State.ENDED, reason=Reason.BUSY)
    _, ended = told(Clerk(), (Requested(session()), at(0)), (Ended(busy), at(0.2)))
    assert ended["reason"] == "busy"
    assert "seconds" not in ended


def test_a_change_of_mode_says_who_did_it() -> None:
    clerk = Clerk()
    by_api, by_key = told(
        clerk,
        (ModeChanged(session(), "whisper", Asker("other", "9", "::1", "bead")), at(1)),
        (ModeChanged(session(), "barge"), at(2)),
    )
    assert (by_api["before"], by_api["app"], by_api["request"]) == ("whisper", "other", "bead")
    assert (by_key["before"], by_key["key"], by_key["app"]) == ("barge", True, "panel")
    assert (by_api["mode"], by_key["mode"]) == ("whisper", "whisper")


def test_who_asked_for_a_token() -> None:
    issued, refused = told(
        Clerk(), (TokenAsked(WHO), at(0)), (TokenAsked(WHO, "invalid_client"), at(0))
    )
    assert (issued["event"], issued["app"], issued["outcome"]) == ("token", "panel", "issued")
    assert (refused["outcome"], refused["reason"]) == ("refused", "invalid_client")


def test_alarms() -> None:
    wrong, taken = told(
        Clerk(), (WrongTarget(session(), "9.9"), at(1)), (TakenOver(session(), "8.1"), at(2))
    )
    assert (wrong["event"], wrong["reason"], wrong["attached_to"]) == (
        "alarm",
        "wrong_target",
        "9.9",
    )
    assert (taken["event"], taken["reason"], taken["successor"]) == ("alarm", "taken_over", "8.1")


def test_answers_over_http_are_none_of_it() -> None:
    assert told(Clerk(), (Responded("/", "GET", 200, 0.1), at(0)), (Happening(), at(0))) == []


# A bridge that was started anew


def before_the_restart() -> list[Line]:
    return told(
        Clerk(),
        (Requested(session()), at(0)),
        (Attached(session(), EPOCH + 2), at(2)),
    )


def test_a_whisper_that_goes_on_over_a_restart_has_its_whole_length() -> None:
    clerk = Clerk()
    for line in before_the_restart():
        clerk.recall(line)
    adopted, attached, _, ended = told(
        clerk,
        (Adopted(session()), at(100)),
        (Attached(session(), EPOCH + 2), at(100)),
        (Linked(frozenset({"whisper-1"})), at(100)),
        (Ended(ENDED), at(130)),
    )
    assert adopted["since"] == iso(EPOCH)
    assert attached["since"] == iso(EPOCH + 2)
    assert (ended["seconds"], ended["after"]) == (128, 130)
    assert "not_before" not in ended


def test_the_same_without_the_earlier_lines() -> None:
    *_, ended = told(
        Clerk(),
        (Adopted(session()), at(100)),
        (Attached(session(), EPOCH + 2), at(100)),
        (Ended(ENDED), at(130)),
    )
    assert (ended["seconds"], ended["after"]) == (128, 130)


def test_who_asked_is_known_from_the_earlier_lines_if_the_leg_does_not_say() -> None:
    clerk = Clerk()
    for line in before_the_restart():
        clerk.recall(line)
    unknown = session(asker=NOBODY)
    adopted, ended = told(
        clerk,
        (Adopted(unknown), at(100)),
        (Ended(session(asker=NOBODY, reason=Reason.COMPLETED)), at(130)),
    )
    assert (adopted["app"], adopted["request"]) == ("panel", "c0ffee")
    assert (ended["app"], ended["request"]) == ("panel", "c0ffee")


def test_one_that_ended_while_no_bridge_ran_gets_its_end_at_the_next_start() -> None:
    clerk = Clerk()
    for line in before_the_restart():
        clerk.recall(line)
    clerk.started(EPOCH + 99)
    linked, ended = told(clerk, (Linked(frozenset()), at(100)))
    assert linked["event"] == "linked"
    assert (ended["event"], ended["reason"], ended["leg"]) == ("ended", "unseen", "whisper-1")
    assert (ended["not_before"], ended["time"]) == (iso(EPOCH + 2), iso(EPOCH + 100))
    assert (ended["seconds"], ended["app"]) == (98, "panel")
    assert told(clerk, (Linked(frozenset()), at(101)))[1:] == []


def test_one_that_ended_before_is_not_ended_again() -> None:
    clerk = Clerk()
    lines = [*before_the_restart(), *told(Clerk(), (Ended(ENDED), at(5)))]
    for line in lines:
        clerk.recall(line)
    assert events(told(clerk, (Linked(frozenset()), at(100)))) == ["linked"]


@pytest.mark.parametrize("line", [{}, {"leg": 7}, {"event": "ended"}, {"leg": "x", "time": "y"}])
def test_lines_of_somebody_else_are_no_harm(line: Line) -> None:
    Clerk().recall(line)


def test_one_that_nobody_took_on_ended_after_it_was_listed_last() -> None:
    clerk = Clerk()
    for line in before_the_restart():
        clerk.recall(line)
    clerk.started(EPOCH + 99)
    *_, ended = told(
        clerk,
        (Linked(frozenset({"whisper-1"})), at(100)),
        (Unlinked(), at(200)),
        (Linked(frozenset()), at(210)),
    )
    assert (ended["reason"], ended["not_before"]) == ("unseen", iso(EPOCH + 100))


# A gap


def test_one_of_which_nothing_is_heard_has_one_end() -> None:
    lost = session(state=State.ENDED, reason=Reason.LINK_LOST)
    lines = told(
        Clerk(),
        (Requested(session()), at(0)),
        (Unlinked(), at(1)),
        (Linked(frozenset()), at(2)),
        (Ended(lost), at(5)),
    )
    assert events(lines) == ["requested", "unlinked", "linked", "ended"]


def test_an_end_within_a_gap_says_since_when_it_may_have_been() -> None:
    lost = session(state=State.ENDED, reason=Reason.LINK_LOST)
    *_, ended, linked, later = told(
        Clerk(),
        (Requested(session()), at(0)),
        (Attached(session(), EPOCH + 1), at(1)),
        (Unlinked(), at(10)),
        (Ended(lost), at(15)),
        (Linked(frozenset()), at(15)),
        (Ended(session(leg="whisper-2", reason=Reason.COMPLETED)), at(20)),
    )
    assert (ended["not_before"], ended["seconds"]) == (iso(EPOCH + 10), 14)
    assert linked["event"] == "linked"
    assert "not_before" not in later
