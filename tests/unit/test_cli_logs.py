"""The log of the service as it runs, on a terminal, in a file, and where systemd reads it."""

import json
import os
import signal
import subprocess
import sys
from typing import Any

import pytest

from tests.support.operator import CHECKOUT, Operator

CALL = "0123456789abcdef0123"


def logged(operator: Operator, **settings: str) -> list[str]:
    """The log of a service of which somebody without a token asked something."""
    operator.settings |= settings
    with operator.serving() as serving:
        serving.attempts(CALL, "no-token")
        return serving.sent(signal.SIGTERM).splitlines()


def of_request(lines: list[Any]) -> set[str]:
    return {line["request"] for line in lines if "request" in line}


def test_every_line_of_a_request_has_its_id(operator: Operator) -> None:
    lines = [json.loads(line) for line in logged(operator, BRIDGE_LOG_FORMAT="json")]
    (request,) = of_request(lines)
    said = {line.get("event", "answer"): line for line in lines if line.get("request") == request}
    assert said.keys() == {"answer", "attempt", "decision"}
    assert (said["answer"]["status"], said["answer"]["method"]) == (401, "PUT")
    assert (said["decision"]["outcome"], said["decision"]["call"]) == ("refused", CALL)
    assert "0003" not in json.dumps(lines)


def test_numbers_stand_in_it_only_if_asked_for(operator: Operator) -> None:
    lines = logged(operator, BRIDGE_LOG_FORMAT="json", BRIDGE_LOG_NUMBERS="true")
    (attempt,) = (line for line in map(json.loads, lines) if line.get("event") == "attempt")
    assert attempt["extension"] == "0003*210"


def test_it_is_text_elsewhere(operator: Operator) -> None:
    (answer,) = (line for line in logged(operator) if ": PUT /uapi" in line)
    request = answer.rpartition(" [")[2].rstrip("]")
    assert len(request) == 16
    assert not answer.startswith(("{", "<"))


@pytest.mark.parametrize(("form", "brace"), [("auto", "{"), ("json", "{"), ("text", "2")])
def test_the_journal_gets_json_with_priorities(operator: Operator, form: str, brace: str) -> None:
    """Of the journal's stream, systemd tells device and inode (systemd.exec(5))."""
    read, write = os.pipe()
    status = os.fstat(write)
    journal = f"{status.st_dev}:{status.st_ino}"
    environment = {**os.environ, **operator.settings, "JOURNAL_STREAM": journal}
    command = (sys.executable, "-m", "bridge", "serve")
    with (
        os.fdopen(read) as log,
        subprocess.Popen(
            command,
            env={**environment, "HOME": str(operator.home), "BRIDGE_LOG_FORMAT": form},
            cwd=CHECKOUT,
            stderr=write,
        ) as service,
    ):
        os.close(write)
        lines = [log.readline() for _ in range(2)]
        service.terminate()
        log.read()
    listening, no_link = lines
    assert listening.startswith(f"<6>{brace}")
    assert "listening on" in listening
    assert no_link.startswith(f"<3>{brace}")
    assert "no link to the PBX" in no_link
