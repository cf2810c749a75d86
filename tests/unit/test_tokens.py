"""Tokens and the keys that sign them."""

import re
import stat
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from itsdangerous import Signer

from bridge.errors import AccessDenied
from bridge.keyring import KeyringError, rotate, signing_keys
from bridge.tokens import LIFETIME, SKEW, TokenBook

NOW = 1_700_000_000.25
OLD, NEW = b"o" * 64, b"n" * 64
BOOK = TokenBook([NEW])
TOKEN = BOOK.issue("lab-app", NOW)


@given(st.text(st.characters(codec="utf-8"), max_size=80), st.floats(0, 1e11))
def test_a_token_names_its_client(client_id: str, now: float) -> None:
    token = BOOK.issue(client_id, now)
    if client_id:
        assert BOOK.verify(token, now) == client_id
    assert re.fullmatch(r"[A-Za-z0-9_.-]{10,}", token)


def test_a_token_lives_one_hour() -> None:
    assert LIFETIME == 3600
    assert BOOK.verify(TOKEN, NOW + 3599.9) == "lab-app"
    with pytest.raises(AccessDenied):
        BOOK.verify(TOKEN, NOW + 3600)


def test_a_clock_may_be_a_little_behind() -> None:
    assert BOOK.verify(TOKEN, NOW - SKEW) == "lab-app"
    with pytest.raises(AccessDenied):
        BOOK.verify(TOKEN, NOW - SKEW - 1)


def test_a_restart_voids_no_token() -> None:
    assert TokenBook([NEW]).verify(TOKEN, NOW) == "lab-app"


def test_keys_rotate() -> None:
    old, both, new = TokenBook([OLD]), TokenBook([NEW, OLD]), TokenBook([NEW])
    assert both.verify(old.issue("app", NOW), NOW) == "app"
    assert new.verify(both.issue("app", NOW), NOW) == "app"
    with pytest.raises(AccessDenied):
        new.verify(old.issue("app", NOW), NOW)


def test_there_is_no_book_without_a_key() -> None:
    with pytest.raises(ValueError, match="at least one key"):
        TokenBook([])


@given(st.integers(0, len(TOKEN) - 1), st.characters())
def test_a_token_changed_anywhere_is_refused(place: int, char: str) -> None:
    changed = TOKEN[:place] + char + TOKEN[place + 1 :]
    if changed != TOKEN:
        with pytest.raises(AccessDenied):
            BOOK.verify(changed, NOW)


@given(st.integers(0, len(TOKEN) - 1))
def test_a_token_cut_short_is_refused(length: int) -> None:
    with pytest.raises(AccessDenied):
        BOOK.verify(TOKEN[:length], NOW)


@given(st.text())
@example("")
@example("..")
@example("\x00")
@example("a" * 1_000_000)
@example(TOKEN + "\n")
@example(" " + TOKEN)
@example(TOKEN + TOKEN)
@example("é" + TOKEN[1:])
@example("\ud800" + TOKEN)
@example("A.\u0661." + "a" * 64)
@example("A.9999999999999999." + "a" * 64)
def test_garbage_is_refused(garbage: str) -> None:
    with pytest.raises(AccessDenied):
        BOOK.verify(garbage, NOW)


def test_a_signature_made_for_something_else_is_refused() -> None:
    payload = TOKEN.rpartition(".")[0]
    other = Signer(NEW, salt=b"other").sign(payload).decode()
    with pytest.raises(AccessDenied):
        BOOK.verify(other, NOW)


# The keys


def test_the_first_start_makes_a_key_for_the_owner_only(tmp_path: Path) -> None:
    state = tmp_path / "not" / "yet"
    keys = signing_keys(state)
    file = state / "token.key"
    assert [len(key) for key in keys] == [64]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [path.name for path in state.iterdir()] == ["token.key"]


def test_later_starts_find_the_same_key(tmp_path: Path) -> None:
    assert signing_keys(tmp_path) == signing_keys(tmp_path)


def test_two_directories_have_different_keys(tmp_path: Path) -> None:
    assert signing_keys(tmp_path / "a") != signing_keys(tmp_path / "b")


def test_processes_that_start_at_once_agree(tmp_path: Path) -> None:
    with ProcessPoolExecutor(4) as pool:
        for number in range(10):
            found = list(pool.map(signing_keys, [tmp_path / str(number)] * 8))
            assert all(keys == found[0] for keys in found)


def write_keys(directory: Path, text: str, mode: int = 0o600) -> Path:
    file = directory / "token.key"
    file.write_text(text)
    file.chmod(mode)
    return file


def test_lines_are_keys_newest_first(tmp_path: Path) -> None:
    write_keys(tmp_path, f"{'n' * 40}\n\n{'o' * 40}\r\n")
    assert signing_keys(tmp_path) == [b"n" * 40, b"o" * 40]


@pytest.mark.parametrize(
    ("text", "mode", "reason"),
    [
        ("", 0o600, "holds no key"),
        ("\n \n", 0o600, "holds no key"),
        (f"{'n' * 40}\nshort-key\n", 0o600, "one key of 32 characters or more"),
        ("n" * 40, 0o604, "chmod 600"),
        ("n" * 40, 0o602, "chmod 600"),
    ],
)
def test_a_bad_key_file_is_told_in_one_line(
    tmp_path: Path, text: str, mode: int, reason: str
) -> None:
    file = write_keys(tmp_path, text, mode)
    with pytest.raises(KeyringError, match=reason) as caught:
        signing_keys(tmp_path)
    assert str(caught.value).startswith(f"{file}: ")
    assert len(str(caught.value).splitlines()) == 1
    assert "nnn" not in str(caught.value)
    assert "short-key" not in str(caught.value)
    assert file.read_text() == text


def test_a_directory_that_cannot_be_made_is_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(KeyringError, match=r"^/.*file.*: Not a directory$"):
        signing_keys(tmp_path / "file" / "state")


def test_a_directory_that_cannot_be_written_is_told_in_one_line() -> None:
    with pytest.raises(KeyringError, match=r"^/proc/.*: "):
        signing_keys(Path("/proc/self"))


# Rotation


def test_a_rotation_signs_anew_and_keeps_the_file_as_it_was_otherwise(tmp_path: Path) -> None:
    file = write_keys(tmp_path, f"{'o' * 40}\n", 0o640)
    before = file.stat()
    assert rotate(tmp_path, NOW) == 1
    new, old = signing_keys(tmp_path)
    assert (len(new), old) == (64, b"o" * 40)
    after = file.stat()
    assert (after.st_mode, after.st_uid, after.st_gid) == (
        before.st_mode,
        before.st_uid,
        before.st_gid,
    )
    assert [path.name for path in tmp_path.iterdir()] == ["token.key"]


def test_rotations_within_the_life_of_a_token_drop_no_key(tmp_path: Path) -> None:
    first = signing_keys(tmp_path)[0]
    now = (tmp_path / "token.key").stat().st_mtime
    for number in range(1, 6):
        assert rotate(tmp_path, now + 60 * number) == number
    assert signing_keys(tmp_path)[-1] == first


def test_the_first_rotation_makes_the_key_it_replaces(tmp_path: Path) -> None:
    assert rotate(tmp_path / "new", NOW) == 1
    assert len(signing_keys(tmp_path / "new")) == 2


def test_a_file_that_cannot_be_replaced_is_told_and_stays(tmp_path: Path) -> None:
    file = write_keys(tmp_path, "short\n")
    with pytest.raises(KeyringError, match="32 characters"):
        rotate(tmp_path, NOW)
    assert file.read_text() == "short\n"


def test_a_book_takes_other_keys_while_it_works() -> None:
    book = TokenBook([OLD])
    token = book.issue("app", NOW)
    assert book.verify(token, NOW) == "app"
    book.take([NEW, OLD])
    assert book.verify(token, NOW) == "app"
    fresh = book.issue("app", NOW)
    book.take([NEW])
    assert book.verify(fresh, NOW) == "app"
    with pytest.raises(AccessDenied):
        book.verify(token, NOW)
