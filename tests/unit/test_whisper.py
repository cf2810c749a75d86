"""The book of whispers: which sign moves which state, and when each is overdue."""

from dataclasses import replace
from itertools import product

import pytest

from bridge.model import CallerId, Mode
from bridge.whisper import (
    DEADLINE_SLACK,
    LATE_EVENTS,
    MOVES,
    Book,
    IllegalMove,
    Reason,
    Session,
    Sign,
    State,
    reason_of,
)
from tests.support.directory import AGENT, SECOND, SUPERVISOR

NOW = 100.0
PATH_TO = {
    State.REQUESTED: [],
    State.REFUSED: [Sign.REFUSED],
    State.RINGING: [Sign.CREATED],
    State.ANSWERED: [Sign.ANSWERED],
    State.ATTACHED: [Sign.ATTACHED],
    State.DETACHED: [Sign.ATTACHED, Sign.DETACHED],
}
LIVE = list(PATH_TO)
LEGAL = [pytest.param(*key, to, id=f"{key[0].name}-{key[1].name}") for key, to in MOVES.items()]
ILLEGAL = [
    pytest.param(state, sign, id=f"{state.name}-{sign.name}")
    for state, sign in product(LIVE, Sign)
    if (state, sign) not in MOVES
]
NEW = Session(
    leg="whisper-1",
    target="1.2",
    call_id="0123",
    extension=AGENT,
    supervisor=SUPERVISOR,
    caller_id=CallerId("Whisper To Me", "42420042"),
    mode=Mode.WHISPER,
    options="uqwES",
    deadline=NOW + 23,
)


def book_at(state: State) -> tuple[Book, Session]:
    """A book with one session that has come as far as ``state``."""
    book, session = Book(), NEW
    book.open(session)
    for sign in PATH_TO[state]:
        session = book.move(session, sign, NOW)
    return book, session


def snapshot(book: Book) -> list[Session]:
    return list(book)


# Moves


@pytest.mark.parametrize(("state", "sign", "to"), LEGAL)
def test_every_move_of_the_table(state: State, sign: Sign, to: State) -> None:
    book, session = book_at(state)
    moved = book.move(session, sign, NOW)
    assert moved.state is to
    assert snapshot(book) == ([] if to is State.ENDED else [moved])


@pytest.mark.parametrize(("state", "sign"), ILLEGAL)
def test_a_move_that_is_not_in_the_table_changes_nothing(state: State, sign: Sign) -> None:
    book, session = book_at(state)
    before = snapshot(book)
    with pytest.raises(IllegalMove, match=f"whisper-1 is {state.value}: not {sign.name}"):
        book.move(session, sign, NOW)
    assert snapshot(book) == before


@pytest.mark.parametrize("sign", Sign)
def test_a_session_that_has_ended_never_moves(sign: Sign) -> None:
    book, session = book_at(State.RINGING)
    book.move(session, Sign.ENDED, NOW)
    with pytest.raises(IllegalMove):
        book.move(session, sign, NOW)
    assert session.leg not in book


def test_every_state_can_end() -> None:
    assert all(MOVES[state, Sign.ENDED] is State.ENDED for state in LIVE)


def test_a_move_starts_from_what_the_book_has_not_from_what_the_caller_holds() -> None:
    book, _ = book_at(State.ATTACHED)
    assert book.move(NEW, Sign.CREATED, NOW).state is State.ATTACHED


def test_the_reason_goes_with_the_end() -> None:
    book, session = book_at(State.RINGING)
    assert book.move(session, Sign.ENDED, NOW, Reason.BUSY).reason is Reason.BUSY


def test_a_session_is_opened_once() -> None:
    book, session = book_at(State.RINGING)
    with pytest.raises(IllegalMove, match="whisper-1 exists"):
        book.open(NEW)
    assert snapshot(book) == [session]


# Finding


UNDER_WAY = [State.REQUESTED, State.RINGING, State.ANSWERED, State.ATTACHED]


@pytest.mark.parametrize("state", UNDER_WAY)
def test_the_same_supervisor_on_the_same_target_is_found(state: State) -> None:
    book, session = book_at(state)
    assert book.find("1.2", SUPERVISOR) == session
    assert book.on_target("1.2") == [session]
    assert book.find("1.2", SECOND) is None
    assert book.find("1.20", SUPERVISOR) is None
    assert book.on_target("1.20") == []


@pytest.mark.parametrize("state", [State.REFUSED, State.DETACHED])
def test_one_that_is_about_to_end_is_not_found_again(state: State) -> None:
    book, session = book_at(state)
    assert book.find("1.2", SUPERVISOR) is None
    assert book.on_target("1.2") == []
    assert book.get(session.leg) == session


def test_one_that_is_condemned_is_not_found_again() -> None:
    book, session = book_at(State.RINGING)
    book.condemn(session, Reason.TARGET_GONE, NOW)
    assert book.find("1.2", SUPERVISOR) is None
    assert book.on_target("1.2") == []
    assert "whisper-1" in book


def test_a_leg_nobody_asked_for_has_no_session() -> None:
    book, session = book_at(State.RINGING)
    assert book.get("whisper-1") == session
    assert book.get("whisper-2") is None


def test_the_book_may_change_while_it_is_read() -> None:
    book, session = book_at(State.RINGING)
    book.open(replace(NEW, leg="whisper-2"))
    for each in book:
        book.move(each, Sign.ENDED, NOW)
    assert snapshot(book) == []
    assert session.leg not in book


# Deadlines


@pytest.mark.parametrize(
    ("state", "deadline"),
    [
        pytest.param(State.REQUESTED, NOW + 23, id="requested"),
        pytest.param(State.REFUSED, NOW + LATE_EVENTS, id="refused: what else is said comes now"),
        pytest.param(State.RINGING, NOW + 23, id="ringing: the time to pick up goes on"),
        pytest.param(State.ANSWERED, NOW + DEADLINE_SLACK, id="answered: must attach soon"),
        pytest.param(State.ATTACHED, None, id="attached: as long as it likes"),
        pytest.param(State.DETACHED, NOW + DEADLINE_SLACK, id="detached: must end soon"),
    ],
)
def test_the_next_sign_is_due(state: State, deadline: float | None) -> None:
    book, session = book_at(state)
    assert session.deadline == deadline
    assert book.next_deadline() == deadline


@pytest.mark.parametrize(
    ("state", "sign"),
    [
        pytest.param(State.RINGING, Sign.CREATED, id="ringing"),
        pytest.param(State.ANSWERED, Sign.ANSWERED, id="answered"),
        pytest.param(State.ANSWERED, Sign.CREATED, id="a late sign"),
    ],
)
def test_a_repeated_sign_puts_nothing_off(state: State, sign: Sign) -> None:
    book, session = book_at(state)
    assert book.move(session, sign, NOW + 2).deadline == session.deadline


def test_a_session_is_due_at_its_deadline_not_before() -> None:
    book, session = book_at(State.RINGING)
    assert book.due(NOW + 22.9) == []
    assert book.due(NOW + 23) == [session]


def test_the_next_deadline_is_the_first_of_all() -> None:
    book, _ = book_at(State.RINGING)
    book.open(replace(NEW, leg="whisper-2", deadline=NOW + 7))
    book.open(replace(NEW, leg="whisper-3", deadline=None))
    assert book.next_deadline() == NOW + 7


def test_nothing_is_due_in_an_empty_book() -> None:
    assert Book().next_deadline() is None
    assert Book().due(NOW) == []


def test_a_call_that_failed_while_it_rang_has_only_a_moment_left() -> None:
    book, session = book_at(State.RINGING)
    book.move(session, Sign.REFUSED, NOW + 7)
    assert book.next_deadline() == NOW + 7 + LATE_EVENTS


def test_a_leg_that_comes_after_its_refusal_has_only_the_rest_of_that_moment() -> None:
    book, session = book_at(State.REFUSED)
    book.move(session, Sign.CREATED, NOW + 0.1)
    assert book.next_deadline() == NOW + LATE_EVENTS


def test_a_session_from_before_is_taken_on_once() -> None:
    book, _ = book_at(State.RINGING)
    before = snapshot(book)
    book.adopt(NEW)
    assert snapshot(book) == before
    book.adopt(replace(NEW, leg="whisper-2"))
    assert "whisper-2" in book


# Verdicts


@pytest.mark.parametrize("state", LIVE)
def test_a_condemned_session_has_a_moment_to_end(state: State) -> None:
    book, session = book_at(state)
    condemned = book.condemn(session, Reason.WRONG_TARGET, NOW + 5)
    assert condemned == replace(
        session, verdict=Reason.WRONG_TARGET, deadline=NOW + 5 + DEADLINE_SLACK
    )
    assert snapshot(book) == [condemned]


def test_the_first_verdict_stands() -> None:
    book, session = book_at(State.RINGING)
    condemned = book.condemn(session, Reason.TARGET_GONE, NOW)
    assert book.condemn(session, Reason.WRONG_TARGET, NOW + 1) is None
    assert snapshot(book) == [condemned]


def test_nobody_who_has_ended_is_condemned() -> None:
    book, session = book_at(State.RINGING)
    book.move(session, Sign.ENDED, NOW)
    assert book.condemn(session, Reason.TARGET_GONE, NOW) is None
    assert snapshot(book) == []


@pytest.mark.parametrize("sign", [Sign.REFUSED, Sign.CREATED, Sign.ANSWERED, Sign.ATTACHED])
def test_no_sign_saves_the_condemned(sign: Sign) -> None:
    book, session = book_at(State.REQUESTED)
    condemned = book.condemn(session, Reason.LINK_LOST, NOW)
    moved = book.move(session, sign, NOW + 1)
    assert condemned is not None
    assert (moved.verdict, moved.deadline) == (Reason.LINK_LOST, condemned.deadline)


# Modes

CHANGEABLE = [State.REQUESTED, State.RINGING, State.ANSWERED, State.ATTACHED]


@pytest.mark.parametrize("state", CHANGEABLE)
def test_a_mode_is_changed_while_it_is_under_way_or_in_force(state: State) -> None:
    book, session = book_at(state)
    changed = book.change(session, Mode.BARGE, settled=False)
    assert changed == replace(session, mode=Mode.BARGE, settled=False)
    assert snapshot(book) == [changed]


@pytest.mark.parametrize("state", [state for state in LIVE if state not in CHANGEABLE])
def test_the_mode_of_one_about_to_end_stays(state: State) -> None:
    book, session = book_at(state)
    with pytest.raises(IllegalMove, match="whisper-1 is about to end: not barge"):
        book.change(session, Mode.BARGE, settled=True)
    assert snapshot(book) == [session]


def test_the_mode_of_the_condemned_stays() -> None:
    book, session = book_at(State.ATTACHED)
    condemned = book.condemn(session, Reason.TARGET_GONE, NOW)
    with pytest.raises(IllegalMove):
        book.change(session, Mode.LISTEN, settled=True)
    assert snapshot(book) == [condemned]


def test_who_has_ended_has_no_mode() -> None:
    book, session = book_at(State.ATTACHED)
    book.move(session, Sign.ENDED, NOW)
    with pytest.raises(IllegalMove):
        book.change(session, Mode.LISTEN, settled=True)
    assert snapshot(book) == []


def test_no_sign_changes_the_mode() -> None:
    book, session = book_at(State.RINGING)
    book.change(session, Mode.BARGE, settled=False)
    moved = book.move(session, Sign.ATTACHED, NOW)
    assert (moved.mode, moved.settled) == (Mode.BARGE, False)


# Reasons


@pytest.mark.parametrize(
    ("state", "cause", "reason"),
    [
        pytest.param(State.RINGING, 17, Reason.BUSY, id="busy"),
        pytest.param(State.RINGING, 21, Reason.DECLINED, id="declined"),
        pytest.param(State.RINGING, 19, Reason.NO_ANSWER, id="rang out"),
        pytest.param(State.RINGING, 0, Reason.NO_ANSWER, id="rang out, on Asterisk 16"),
        pytest.param(State.RINGING, 16, Reason.NO_ANSWER, id="hung up while ringing"),
        pytest.param(State.RINGING, 1, Reason.REFUSED, id="404"),
        pytest.param(State.RINGING, 58, Reason.REFUSED, id="488: no common codec"),
        pytest.param(State.RINGING, 38, Reason.REFUSED, id="500"),
        pytest.param(State.REQUESTED, 20, Reason.REFUSED, id="not registered"),
        pytest.param(State.REFUSED, 17, Reason.BUSY, id="busy, and the failure came first"),
        pytest.param(State.REFUSED, 0, Reason.REFUSED, id="failed"),
        pytest.param(State.ANSWERED, 0, Reason.FAILED, id="answered, never attached"),
        pytest.param(State.ATTACHED, 0, Reason.COMPLETED, id="the target ended"),
        pytest.param(State.ATTACHED, 16, Reason.COMPLETED, id="hung up by us"),
        pytest.param(State.DETACHED, 0, Reason.COMPLETED, id="let go"),
    ],
)
def test_why_a_leg_ended(state: State, cause: int, reason: Reason) -> None:
    _, session = book_at(state)
    assert reason_of(session, cause) is reason


def test_who_picks_up_and_hangs_up_has_left() -> None:
    book, session = book_at(State.ANSWERED)
    book.leave(session)
    (left,) = book
    assert reason_of(left, 0) is Reason.LEFT


@pytest.mark.parametrize("state", LIVE)
def test_a_verdict_is_the_reason_whatever_the_cause(state: State) -> None:
    _, session = book_at(state)
    condemned = replace(session, verdict=Reason.TARGET_GONE)
    assert reason_of(condemned, 17) is Reason.TARGET_GONE
