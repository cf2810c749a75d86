"""The command as an operator meets it, in a process of its own."""

import re
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge.cli import main
from bridge.keyring import signing_keys
from bridge.tokens import TokenBook
from tests.support.operator import DIRECTORY, Operator, Serving

# Arguments


def test_help_names_the_commands(operator: Operator) -> None:
    code, out, err = operator.run("--help")
    assert (code, err) == (0, "")
    assert re.findall(r"^    ([a-z-]+)(?: |$)", out, re.MULTILINE) == [
        "serve",
        "check",
        "selftest",
        "token",
        "hash-secret",
        "rotate-key",
        "may",
        "audit",
        "whisper",
        "calls",
        "watch",
        "lab",
        "container",
    ]


@pytest.mark.parametrize("arguments", [(), ("srve",), ("token",), ("lab", "--asterisk", "1")])
def test_a_wrong_argument_is_told_with_the_usage(
    operator: Operator, arguments: tuple[str, ...]
) -> None:
    said = operator.told(*arguments)
    assert said[0].startswith("usage: whisper-bridge")
    assert re.match("whisper-bridge( [a-z]+)?: error: ", said[-1])


# Settings


@pytest.mark.parametrize(
    ("setting", "value", "said"),
    [
        ("BRIDGE_AMI_SECRET", "", "BRIDGE_AMI_SECRET: missing; set it in the environment or in"),
        ("BRIDGE_DIRECTORY", "", "BRIDGE_DIRECTORY: missing; set it in the environment or in"),
        ("BRIDGE_HTTP_PORT", "http", "BRIDGE_HTTP_PORT (environment): must be a whole number"),
        ("BRIDGE_CONFIG", "/none", "BRIDGE_CONFIG (environment): /none: No such file or dir"),
        ("BRIDGE_DIRECTORY", "/none", "BRIDGE_DIRECTORY cannot be read: [Errno 2] No such file"),
        ("BRIDGE_AMI_HSOT", "x", "BRIDGE_AMI_HSOT (environment): unknown; did you mean BRIDGE_AMI"),
    ],
)
def test_a_wrong_setting_is_one_line(
    operator: Operator, setting: str, value: str, said: str
) -> None:
    operator.settings[setting] = value
    (line,) = operator.told("serve")
    assert line.startswith(f"whisper-bridge: {said}")


def test_a_token_needs_the_same_settings(operator: Operator) -> None:
    operator.settings["BRIDGE_AMI_SECRET"] = ""
    (line,) = operator.told("token", "panel")
    assert line.startswith("whisper-bridge: BRIDGE_AMI_SECRET: missing; set it")


def test_a_check_says_nothing_of_what_is_right_and_makes_nothing(operator: Operator) -> None:
    assert operator.run("serve", "--check") == (0, "", "")
    assert not (operator.home / "state").exists()


@pytest.mark.parametrize("setting", ["BRIDGE_DIRECTORY", "BRIDGE_TLS_CERT", "BRIDGE_AMI_CA"])
def test_a_check_tells_of_a_file_that_is_not_there(operator: Operator, setting: str) -> None:
    operator.settings |= {setting: "/none", "BRIDGE_AMI_TLS": "true"}
    (line,) = operator.told("serve", "--check")
    assert re.match("whisper-bridge: .*No such file", line)
    assert "/none" in line


def test_every_wrong_setting_has_its_line(operator: Operator) -> None:
    operator.settings = {"BRIDGE_HTTP_PORT": "0"}
    said = operator.told("serve")
    assert [line.removeprefix("whisper-bridge: ").split(":")[0] for line in said] == [
        "BRIDGE_AMI_SECRET",
        "BRIDGE_HTTP_PORT (environment)",
        "BRIDGE_DIRECTORY",
    ]


def test_settings_may_stand_in_a_file(operator: Operator, tmp_path: Path) -> None:
    lines = [f'{name} = "{value}"' for name, value in operator.settings.items()]
    config = tmp_path / "bridge.toml"
    config.write_text("\n".join(lines))
    operator.settings = {"BRIDGE_CONFIG": str(config)}
    code, out, err = operator.run("token", "panel")
    assert (code, err) == (0, "")
    assert out
    config.write_text("\n".join(["# bridge", *lines, "BRIDGE_HTTP_PRT = 1"]))
    (line,) = operator.told("token", "panel")
    assert line.startswith(f"whisper-bridge: {config}:6: unknown key 'BRIDGE_HTTP_PRT'; did you")


# The directory


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("user = 12", "user = 13", '12: extension 0003*210: user "13" does not exist'),
        ("prefix =", "prefx =", "4: organization 3: unknown key 'prefx'; did you mean 'prefix'?"),
        ("[[users]]", "[[users]", "6: Expected ']]' at the end of an array declaration"),
    ],
)
def test_a_mistake_in_the_directory_is_told_with_its_line(
    operator: Operator, old: str, new: str, said: str
) -> None:
    operator.directory.write_text(DIRECTORY.replace(old, new, 1))
    assert operator.told("serve") == [f"whisper-bridge: directory.toml:{said}"]


def test_a_directory_that_is_no_text_is_told(operator: Operator) -> None:
    operator.directory.write_bytes(b"\xff\xfe")
    (line,) = operator.told("token", "panel")
    assert line.startswith("whisper-bridge: BRIDGE_DIRECTORY cannot be read: 'utf-8' codec")


def test_a_directory_may_begin_with_a_byte_order_mark(operator: Operator) -> None:
    operator.directory.write_text(DIRECTORY, encoding="utf-8-sig")
    assert operator.run("token", "panel")[0] == 0


# Tokens


def test_a_token_is_printed_that_the_service_accepts(operator: Operator) -> None:
    code, out, err = operator.run("token", "panel")
    assert (code, err) == (0, "")
    (token,) = out.splitlines()
    book = TokenBook(signing_keys(operator.home / "state"))
    assert book.verify(token, time.time()) == "panel"


def test_an_app_that_is_not_in_the_directory_gets_none(operator: Operator) -> None:
    assert operator.told("token", "pannel") == [
        "whisper-bridge: the directory has no app 'pannel'",
    ]
    assert not (operator.home / "state").exists()


def test_a_key_that_others_can_read_is_refused(operator: Operator) -> None:
    signing_keys(operator.home / "state")
    key = operator.home / "state/token.key"
    key.chmod(0o644)
    assert operator.told("serve") == [
        f"whisper-bridge: {key}: open to every user of this machine; run chmod 600 on it"
    ]


# Who may do what

HOUSE = f"""{DIRECTORY}
[[users]]
id = 24
organization = 3

[[extensions]]
number = "0003*211"
user = 24
protected = true

[[extensions]]
number = "0003*024"
user = 24

[[extensions]]
number = "0003*650"
user = 24
type = "queue"
"""
RULE = """
[[supervision]]
supervisors = ["0003*024"]
targets = ["user:12"]
actions = ["whisper"]
"""
OTHER = """
[[organizations]]
id = 4
name = "Other"
prefix = "0004"

[[users]]
id = 40
organization = 4

[[extensions]]
number = "0004*410"
user = 40
"""


@pytest.mark.parametrize(
    ("more", "question", "code", "said"),
    [
        ("", "024 210 whisper", 0, "yes: organization 3 has no rules of supervision: every phone"),
        ("", "0003*024 0003*210 barge", 0, "yes: organization 3 has no rules of supervision: eve"),
        (RULE, "024 210 whisper", 0, "yes: rule 1 of supervision allows it"),
        (RULE, "024 210 whisper --app panel", 0, "yes: rule 1 of supervision allows it"),
        (RULE, "024 650 whisper", 1, "no: organization 3 has rules of supervision, and none lets"),
        (RULE, "024 210 monitor", 1, "no: organization 3 has rules of supervision, and none lets"),
        ("", "024 210 barge --app panel", 1, "no: app panel has only the actions: list, whisper"),
        ("", "210 024 whisper --app panel", 1, "no: 0003*024 is outside the reach of app panel"),
        ("", "024 211 whisper", 1, "no: 0003*211 is protected"),
        ("", "650 210 whisper", 1, "no: 0003*650 is no phone; its type is queue"),
        ("", "024 024 whisper", 1, "no: nobody supervises his own extension"),
        (OTHER, "0004*410 0003*210 whisper", 1, "no: 0004*410 and 0003*210 are of different orga"),
        (OTHER, "0003*024 0003*210 whisper", 0, "yes: organization 3 has no rules of supervision"),
        (OTHER, "024 210 whisper --app panel", 0, "yes: organization 3 has no rules of supervis"),
        (OTHER, "024 210 whisper", 1, "no: 024 is no extension of the directory"),
        ("", "024 999 whisper", 1, "no: 999 is no extension of the directory"),
        ("", "024 x whisper", 1, "no: x is no extension of the directory"),
        ("", "024 210 list --app panel", 0, "yes: app panel has the action and reaches 0003*210"),
        ("", "024 210 hangup --app panel", 1, "no: app panel has only the actions: list, whisper"),
    ],
)
def test_who_may_do_what_is_told_with_the_reason(
    operator: Operator,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    more: str,
    question: str,
    code: int,
    said: str,
) -> None:
    operator.directory.write_text(HOUSE + more)
    for setting, value in operator.settings.items():
        monkeypatch.setenv(setting, value)
    assert main(["may", *question.split()]) == code
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith(said)


def test_a_script_can_ask_who_may_do_what(operator: Operator) -> None:
    operator.directory.write_text(HOUSE + RULE)
    assert operator.run("may", "024", "210", "whisper", "--app", "panel") == (
        0,
        "yes: rule 1 of supervision allows it\n",
        "",
    )
    code, out, err = operator.run("may", "024", "211", "whisper")
    assert (code, out, err) == (1, "no: 0003*211 is protected\n", "")


def test_what_the_pbx_has_to_confirm_is_said(operator: Operator) -> None:
    found = '[[discovery]]\nendpoint = "PJSIP/{number}"\nnumbers = ["4XX"]\nuser = 12\n'
    operator.directory.write_text(HOUSE + found)
    code, out, err = operator.run("may", "024", "410", "whisper")
    assert (code, err) == (0, "")
    (_, said) = out.splitlines()
    assert said == "0003*410 has no line of its own: it exists if the PBX knows PJSIP/410"


@pytest.mark.parametrize(
    ("question", "said"),
    [
        ("024 210 hangup", "whisper-bridge: hangup is for an app to do: name it with --app"),
        ("024 210 whisper --app x", "whisper-bridge: the directory has no app 'x'"),
        ("024 210 wisper", "whisper-bridge may: error: argument ACTION: invalid choice: 'wisper'"),
    ],
)
def test_a_question_that_makes_no_sense_is_told_so(
    operator: Operator, question: str, said: str
) -> None:
    operator.directory.write_text(HOUSE)
    assert operator.told("may", *question.split())[-1].startswith(said)


# Serving


@pytest.fixture
def taken() -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield str(listener.getsockname()[1])


def test_a_port_in_use_is_told(operator: Operator, taken: str) -> None:
    operator.settings |= {"BRIDGE_HTTP_PORT": taken, "BRIDGE_LOG_LEVEL": "ERROR"}
    (line,) = operator.told("serve")
    assert line.startswith(f"whisper-bridge: cannot listen on 127.0.0.1:{taken}: ")
    assert "address already in use; set BRIDGE_HTTP_HOST" in line.replace("Address", "address")


def test_an_address_that_is_not_ours_is_told(operator: Operator) -> None:
    operator.settings |= {"BRIDGE_HTTP_HOST": "192.0.2.1", "BRIDGE_LOG_LEVEL": "ERROR"}
    operator.settings["BRIDGE_PLAIN_HTTP_BEHIND_PROXY"] = "true"
    (line,) = operator.told("serve")
    assert line.startswith("whisper-bridge: cannot listen on 192.0.2.1:8480: ")


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_service(operator: Operator, end: signal.Signals) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        operator.settings["BRIDGE_HTTP_PORT"] = str(free.getsockname()[1])
    with operator.start("serve") as process:
        try:
            assert process.stderr
            log = next(line for line in process.stderr if "listening on" in line)
            assert operator.settings["BRIDGE_HTTP_PORT"] in log
            process.send_signal(end)
            _, rest = process.communicate(timeout=20)
        finally:
            process.kill()
    assert process.returncode == 0
    assert "Traceback" not in rest


def test_an_app_removed_is_revoked_with_the_reload_and_welcome_again_with_the_next(
    operator: Operator, serving: Serving
) -> None:
    token = operator.run("token", "panel")[1].strip()
    assert serving.status(token) == 503
    assert "the directory is in force" in serving.reads_anew(DIRECTORY.replace("panel", "other"))
    assert serving.status(token) == 401
    serving.reads_anew(DIRECTORY)
    assert serving.status(token) == 503


def test_a_broken_directory_keeps_the_old_one_in_force_and_is_told_with_its_line(
    operator: Operator, serving: Serving
) -> None:
    token = operator.run("token", "panel")[1].strip()
    said = serving.reads_anew(DIRECTORY.replace("user = 12", "user = 13", 1))
    assert " ERROR " in said
    assert 'directory.toml:12: extension 0003*210: user "13" does not exist; what was in' in said
    assert serving.status(token) == 503
    operator.directory.unlink()
    assert "BRIDGE_DIRECTORY cannot be read: [Errno 2]" in serving.hang_up()
    assert serving.status(token) == 503
