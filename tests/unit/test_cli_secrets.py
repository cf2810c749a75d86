"""Secrets and keys as an operator handles them: hashed, rotated, never on a command line."""

import json
import os
import pty
import re
import subprocess
import sys
import time

import pytest

from bridge.client_secrets import matches
from bridge.keyring import signing_keys
from tests.support.clients import SECRET, SECRET_HASH
from tests.support.operator import CHECKOUT, DIRECTORY, Operator, Serving

# hash-secret


@pytest.mark.parametrize("end", ["", "\n", "\r\n", "\nmore\n"])
def test_a_secret_comes_by_a_pipe(operator: Operator, end: str) -> None:
    code, out, err = operator.run("hash-secret", typed="a secret of some length" + end)
    assert (code, err) == (0, "")
    (line,) = out.splitlines()
    assert matches(line, "a secret of some length")


def test_a_hash_needs_no_settings(operator: Operator) -> None:
    operator.settings = {}
    assert operator.run("hash-secret", typed="a secret of some length")[0] == 0


@pytest.mark.parametrize(
    "typed", ["", "\n", "se\u00e9cret of some length", "a\x07secret of a length"]
)
def test_what_is_no_secret_is_told(operator: Operator, typed: str) -> None:
    (line,) = operator.told("hash-secret", typed=typed)
    assert line == "whisper-bridge: a secret must be one line of ASCII characters"


def test_a_short_secret_is_worth_a_word(operator: Operator) -> None:
    code, out, err = operator.run("hash-secret", typed="short")
    assert code == 0
    assert err == "whisper-bridge: this secret is short; --new makes one of 43 characters\n"
    assert matches(out.strip(), "short")


def test_a_secret_on_the_command_line_is_refused(operator: Operator) -> None:
    said = operator.told("hash-secret", "a-secret-others-see")
    assert said[0].startswith("usage: whisper-bridge")


def test_a_new_secret_is_made_with_its_hash(operator: Operator) -> None:
    made = set()
    for _ in range(2):
        code, out, err = operator.run("hash-secret", "--new")
        secret = re.fullmatch(r"client_secret: (\S{43})\n", err)
        assert code == 0
        assert secret
        assert matches(out.strip(), secret[1])
        made.add(secret[1])
    assert len(made) == 2


@pytest.mark.parametrize(
    ("again", "code"), [("a secret of some length", 0), ("another of some length", 2)]
)
def test_on_a_terminal_it_asks_twice_and_shows_nothing(
    operator: Operator, again: str, code: int
) -> None:
    ours, its = pty.openpty()
    with (
        os.fdopen(ours, "r+b", buffering=0) as terminal,
        subprocess.Popen(
            (sys.executable, "-m", "bridge", "hash-secret"),
            cwd=CHECKOUT,
            env={"PATH": os.environ["PATH"], "HOME": str(operator.home)},
            stdin=its,
            stdout=subprocess.PIPE,
            stderr=its,
            start_new_session=True,
        ) as process,
    ):
        os.close(its)
        shown = b""
        for prompt, typed in ((b"client_secret: ", "a secret of some length"), (b"again: ", again)):
            while not shown.endswith(prompt):
                shown += terminal.read(1)
            terminal.write(typed.encode() + b"\n")
        out, _ = process.communicate(timeout=20)
    assert process.returncode == code
    assert b"length" not in shown
    assert matches(out.decode().strip(), again) if code == 0 else not out


# The directory


def test_a_secret_in_plain_stops_the_start_with_the_line_to_change(operator: Operator) -> None:
    plain = DIRECTORY.replace(
        f'client_secret_hash = "{SECRET_HASH}"', 'client_secret = "zq9secret"'
    )
    operator.directory.write_text(plain)
    assert operator.told("serve") == [
        "whisper-bridge: directory.toml:16: app panel: client_secret is kept in plain; write"
        " client_secret_hash and what whisper-bridge hash-secret prints for it"
    ]


# Tokens over HTTP


def test_a_token_outlives_the_service(operator: Operator) -> None:
    with operator.serving() as serving:
        status, text = serving.asks(client_id="panel", client_secret=SECRET)
        assert status == 200
        token = json.loads(text)["access_token"]
        assert serving.status(token) == 503
        serving.ends()
    with operator.serving() as serving:
        assert serving.status(token) == 503
        assert serving.status(token[:-1]) == 401


def test_another_secret_counts_from_the_reload_on(operator: Operator, serving: Serving) -> None:
    fresh = operator.run("hash-secret", typed="another secret of the app")[1].strip()
    assert serving.asks(client_id="panel", client_secret=SECRET)[0] == 200
    serving.reads_anew(DIRECTORY.replace(SECRET_HASH, fresh))
    assert serving.asks(client_id="panel", client_secret=SECRET)[0] == 401
    assert serving.asks(client_id="panel", client_secret="another secret of the app")[0] == 200


# rotate-key


def test_a_new_key_signs_after_sighup_and_old_tokens_stay_good(
    operator: Operator, serving: Serving
) -> None:
    old = operator.run("token", "panel")[1].strip()
    code, out, err = operator.run("rotate-key")
    assert (code, err) == (0, "")
    assert out.endswith("by SIGHUP; tokens of 1 older key stay good\n")
    new = operator.run("token", "panel")[1].strip()
    assert (serving.status(old), serving.status(new)) == (503, 401)
    assert "the keyring is in force" in serving.hang_up("the keyring")
    assert (serving.status(old), serving.status(new)) == (503, 503)


def test_a_broken_key_file_keeps_the_old_keys_in_force(
    operator: Operator, serving: Serving
) -> None:
    token = operator.run("token", "panel")[1].strip()
    key = operator.home / "state/token.key"
    key.write_text("short\n")
    said = serving.hang_up("the keyring")
    assert " ERROR " in said
    assert f"{key}: each line must be one key of 32 characters or more; what was in force" in said
    assert serving.status(token) == 503


def test_a_key_goes_when_no_token_can_need_it(operator: Operator) -> None:
    state = operator.home / "state"
    seen = signing_keys(state)
    for day in range(1, 5):
        yesterday = time.time() - 86400 * day
        os.utime(state / "token.key", (yesterday, yesterday))
        assert operator.run("rotate-key")[0] == 0
        keys = signing_keys(state)
        assert keys[1:] == seen[: min(day, 2)]
        seen = [keys[0], *seen]
    operator.run("rotate-key")
    assert signing_keys(state)[1:] == seen[:3]
