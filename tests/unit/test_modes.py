"""What a PBX is told of a mode: with what a spy starts, and what changes it."""

from itertools import product

import pytest

from bridge import modes
from bridge.actions import Direction
from bridge.model import Mode

LISTEN, WHISPER, PRIVATE, BARGE = Mode
KEYLESS = {mode: modes.options(mode, keys=False) for mode in Mode}
KEYED = {mode: modes.options(mode, keys=True) for mode in Mode}
EARLIER_PRIVATE = "uqWES"
"""A private whisper that was begun by a version that could not change it."""


def test_with_what_a_spy_starts() -> None:
    assert KEYLESS == {LISTEN: "uqwES", WHISPER: "uqwES", PRIVATE: "uqwES", BARGE: "uqBES"}
    assert KEYED == {LISTEN: "uqdES", WHISPER: "uqwdES", PRIVATE: "uqwdES", BARGE: "uqBdES"}


@pytest.mark.parametrize("options", [*KEYLESS.values(), *KEYED.values()])
def test_a_spy_is_bound_to_its_target_and_leaves_no_way_out(options: str) -> None:
    assert {"u", "E", "S"} <= set(options)
    assert not {"X", "o", "n", "c", "e", "g"} & set(options)


@pytest.mark.parametrize("options", {*KEYLESS.values(), EARLIER_PRIVATE})
def test_a_spy_without_keys_is_never_changed_by_one(options: str) -> None:
    assert "d" not in options
    for mode, digit in product(Mode, "0123456789*#"):
        assert modes.key_of(options, mode) is None
        assert modes.after_key(options, mode, digit) is mode


@pytest.mark.parametrize("options", KEYED.values())
def test_the_keys_of_a_spy(options: str) -> None:
    assert [modes.key_of(options, mode) for mode in Mode] == ["4", "5", "5", "6"]
    for mode in Mode:
        assert modes.after_key(options, mode, "4") is LISTEN
        assert modes.after_key(options, mode, "5") is (PRIVATE if mode is PRIVATE else WHISPER)
        assert modes.after_key(options, mode, "6") is BARGE
        assert modes.after_key(options, mode, "7") is mode


@pytest.mark.parametrize(
    ("options", "reached"),
    [
        ("uqwES", {LISTEN, WHISPER, PRIVATE}),
        ("uqBES", {LISTEN, BARGE}),
        (EARLIER_PRIVATE, {PRIVATE}),
        *((options, set(Mode)) for options in KEYED.values()),
    ],
)
def test_which_modes_are_reached_in_place(options: str, reached: set[Mode]) -> None:
    assert {mode for mode in Mode if modes.reaches(options, mode)} == reached


@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize("options", [KEYLESS, KEYED], ids=["no keys", "keys"])
def test_a_spy_starts_in_its_mode_once_that_is_silenced_which_must_be(
    options: dict[Mode, str], mode: Mode
) -> None:
    silenced = modes.silenced(options[mode], mode)
    starts_as = modes.starts_as(options[mode])
    if starts_as is mode:
        assert silenced == set()
    else:
        assert (starts_as, mode) in ((WHISPER, LISTEN), (WHISPER, PRIVATE))
        assert silenced == {Direction.FROM_PHONE if mode is LISTEN else Direction.TO_PHONE}


def test_an_earlier_private_whisper_has_nothing_to_be_silenced() -> None:
    assert modes.starts_as(EARLIER_PRIVATE) is PRIVATE
    assert modes.silenced(EARLIER_PRIVATE, PRIVATE) == set()


@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize("began", Mode)
def test_nobody_hears_a_spy_with_keys_that_has_yet_to_be_brought_into_its_mode(
    began: Mode, mode: Mode
) -> None:
    early = modes.silenced(KEYED[began], mode)
    same = modes.key_of(KEYED[began], mode) == modes.key_of(KEYED[began], began)
    assert (Direction.FROM_PHONE in early) is not same
    assert Direction.FROM_PHONE not in modes.silenced(KEYED[began], mode, attached=True)
