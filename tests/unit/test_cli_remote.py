"""The commands that ask a service, where there is none: options, credentials, and what is shown."""

from datetime import datetime, timedelta
from pathlib import Path

import pytest

from bridge.cli.remote import visible
from bridge.cli.tables import calls_table, console, line
from bridge.client import Step
from bridge.uapi import PhoneCallBody, PhoneCallViewBody
from tests.support.operator import PORT_NOBODY_HEARS, Operator

SERVICE = f"http://127.0.0.1:{PORT_NOBODY_HEARS}"


@pytest.fixture
def asking(operator: Operator) -> Operator:
    """Somebody who has a token, and a URL where nobody listens."""
    operator.settings = {"WHISPER_URL": SERVICE, "WHISPER_TOKEN": "zq9secret-token"}
    return operator


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("whisper", "0003*210"), "the following arguments are required: --by"),
        (("whisper", "0003*210", "--by", "024", "--mode", "shout"), "invalid choice: 'shout'"),
        (("whisper", "0003*210", "--by", "024", "--call", "../x"), "'../x' is no id of a call"),
        (("calls", "../x"), "'../x' is no number of an extension"),
        (("calls", "--user", "@nobody"), "'@nobody' is no id of a user"),
        (("calls", "--token", "4711"), "unrecognized arguments: --token"),
        (("calls", "--token-file", "/none"), "the token file /none cannot be read: No such file"),
        (("calls", "--ca-file", "/none"), "the file of certificates /none: No such file"),
        (("calls", "--url", "http://10.0.0.7"), "a token may leave this machine over TLS only"),
        (("calls", "--client-id", "panel"), "belong together: one is missing"),
        (("watch", "--url", "pbx"), "--url: must be an http or https URL"),
    ],
)
def test_a_mistake_is_told(asking: Operator, arguments: tuple[str, ...], said: str) -> None:
    assert said in asking.told(*arguments)[-1]


@pytest.mark.parametrize("content", ["", "two\nlines", "bell\a", "\xff"])
def test_a_token_file_must_hold_a_token(asking: Operator, tmp_path: Path, content: str) -> None:
    path = tmp_path / "token"
    path.write_bytes(content.encode("latin-1"))
    (said,) = asking.told("calls", "--token-file", str(path))
    assert "token file" in said
    assert "lines" not in said


@pytest.mark.parametrize("command", ["calls", "watch", "whisper"])
def test_a_service_that_is_not_there_is_told(asking: Operator, command: str) -> None:
    more = ("0003*210", "--by", "0003*024") if command == "whisper" else ()
    said = f"whisper-bridge: {SERVICE}: Connection refused\n"
    assert asking.run(command, *more) == (7, "", said)


def test_help_tells_the_exit_codes(asking: Operator) -> None:
    code, out, _ = asking.run("watch", "--help")
    assert code == 0
    assert "Exit codes: 0 done, 1 no such call" in out


# What is shown


def test_nobody_steers_a_terminal_by_his_name() -> None:
    assert visible("a\x1b]0;x\x07b\u202ec\n") == "a\ufffd]0;x\ufffdb\ufffdc\ufffd"
    assert visible("Jürgen O'Neil-Šmíd 山田 <+33>") == "Jürgen O'Neil-Šmíd 山田 <+33>"


def view(**more: object) -> PhoneCallViewBody:
    shown = {"id": "01", "extension": "0003*210", "status": "5", "source": ["7778888"]}
    return PhoneCallViewBody.model_validate({**shown, "destination": ["0003*210"], **more})


NOW = datetime.fromisoformat("2012-06-27T16:08:55+03:00")
NAME = "\x1b[2J[red]John[/red] <3334444>"


@pytest.mark.parametrize(
    ("more", "state"),
    [
        ({}, "on call"),
        ({"status": "3"}, "ringing"),
        ({"status": "4"}, "calling"),
        ({"status": "8"}, "unknown"),
        ({"onHold": NOW.isoformat()}, "on hold"),
        ({"onHold": NOW.isoformat(), "holder": 1}, "holds"),
        ({"parked": NOW.isoformat(), "onHold": NOW.isoformat()}, "parked"),
    ],
)
def test_a_line_says_what_became_of_a_view(more: dict[str, object], state: str) -> None:
    step = Step("b817d2618fe6f1804333", view(**more))
    assert line(step, NOW) == (
        f"2012-06-27T16:08:55+03:00 b817d2618fe6f1804333 01 0003*210 {state}: 7778888 -> 0003*210"
    )


def test_a_name_is_no_markup_and_no_escape(capsys: pytest.CaptureFixture[str]) -> None:
    shown = view(callerId=NAME, answered=(NOW - timedelta(hours=1, seconds=65)).isoformat())
    body = {"id": "b8", "extension": "0003*210", "link": {"self": "x"}}
    call = PhoneCallBody.model_validate(body).model_copy(update={"phone_call_view": [shown]})
    console().print(calls_table([call], NOW))
    out = capsys.readouterr().out
    assert "\ufffd[2J[red]John[/red] <3334444>" in out
    assert out.rstrip().endswith("1:01:05")
    assert "\x1b" not in out + line(Step("b8", shown, over=True), NOW)
