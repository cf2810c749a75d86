"""Client secrets: hashed, checked for their form and cost, compared."""

import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.client_secrets import checked_hash, decoy, hash_secret, matches

SALT = bytes(range(16))
HASH = hash_secret("correct horse", SALT)
HEAD, _, DIGEST = HASH.rpartition("$")
BEGIN, _, SALTED = HEAD.rpartition("$")


def test_a_secret_matches_its_own_hash_only() -> None:
    assert checked_hash(HASH) == HASH
    assert matches(HASH, "correct horse")
    for other in ("", "correct horse ", "Correct horse", "correct hors\u00e8", HASH):
        assert not matches(HASH, other)


def test_the_same_secret_has_another_hash_with_another_salt() -> None:
    other = hash_secret("correct horse", bytes(16))
    assert other != HASH
    assert matches(other, "correct horse")


@settings(max_examples=20, deadline=None)
@given(st.text(st.characters(codec="ascii"), min_size=1, max_size=300))
def test_any_secret_can_be_hashed(secret: str) -> None:
    found = checked_hash(hash_secret(secret, SALT))
    assert matches(found, secret)
    assert not matches(found, secret + "x")


@pytest.mark.parametrize(
    "text",
    [
        *("", "correct horse", None, 3, HASH + "\n", " " + HASH, HASH + "=", HASH[:-1], HASH[1:]),
        HASH.replace("argon2id", "argon2i"),
        HASH.replace("v=19", "v=16"),
        HASH.replace("t=2", "t=0"),
        HASH.replace("m=19456", "m=7"),
        HASH.replace("m=19456", "m=999999999999999"),
        HASH.replace(",p=1", ""),
        f"{BEGIN}$c2FsdA${DIGEST}",
        f"{HEAD}$c2hvcnQ",
        f"{HEAD}${DIGEST[:-1]}V",  # a spare bit that is set: another spelling
        "$2b$12$abcdefghijklmnopqrstuvABCDEFGHIJKLMNOPQRSTUVWXYZ012345",
    ],
)
def test_what_is_no_hash_is_refused_without_being_shown(text: object) -> None:
    with pytest.raises(ValueError, match=r"^must be what whisper-bridge hash-secret prints$"):
        checked_hash(text)


@pytest.mark.parametrize("cost", ["m=65537,t=1,p=1", "m=64,t=5,p=1", "m=64,t=1,p=5"])
def test_a_hash_that_would_stall_the_machine_is_refused(cost: str) -> None:
    with pytest.raises(ValueError, match=r"^would cost too much .*m=65536,t=4,p=4$"):
        checked_hash(HASH.replace("m=19456,t=2,p=1", cost))


def test_a_hash_of_another_program_is_taken() -> None:
    """The example of the PHC string format: $argon2id$v=19$m=65536,t=3,p=4 is a usual default."""
    strong = HASH.replace("m=19456,t=2,p=1", "m=65536,t=3,p=4")
    assert checked_hash(strong) == strong
    assert not matches(strong, "correct horse")


# What an unknown client is compared with


def test_a_decoy_is_like_the_others_and_matches_nothing() -> None:
    other = HASH.replace("t=2", "t=3")
    assert checked_hash(decoy([])).startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert checked_hash(decoy([HASH, other, other])).startswith("$argon2id$v=19$m=19456,t=3,p=1$")
    assert len(decoy([HASH])) == len(HASH)
    for secret in ("", "correct horse", "\x00", "A" * 43):
        assert not matches(decoy([HASH]), secret)


def test_a_decoy_costs_as_much_as_a_hash() -> None:
    costs = {
        name: min(_seconds(text) for _ in range(7))
        for name, text in (("hash", HASH), ("decoy", decoy([HASH])))
    }
    assert costs["decoy"] > 0.002  # not turned away before the work
    assert 0.6 < costs["decoy"] / costs["hash"] < 1.7, costs


def _seconds(secret_hash: str) -> float:
    began = time.thread_time()
    matches(secret_hash, "wrong")
    return time.thread_time() - began


def test_a_hash_has_nothing_of_the_secret() -> None:
    assert re.fullmatch(
        r"\$argon2id\$v=19\$m=19456,t=2,p=1\$[A-Za-z0-9+/]{22}\$[A-Za-z0-9+/]{43}", HASH
    )
