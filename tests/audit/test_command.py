"""The audit as an operator meets it: written by the service, read by the command."""

import json
import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.support.operator import Operator, Serving

CALL = "0123456789abcdef0123"


@pytest.fixture
def operator(tmp_path: Path) -> Operator:
    return Operator(tmp_path)


@pytest.fixture
def serving(operator: Operator) -> Iterator[Serving]:
    with operator.serving() as serving:
        yield serving


def audit(operator: Operator) -> Path:
    return operator.home / "state" / "audit.jsonl"


def shown(operator: Operator, *arguments: str) -> list[dict[str, Any]]:
    code, out, err = operator.run("audit", "--json", *arguments)
    assert (code, err) == (0, "")
    return [json.loads(line) for line in out.splitlines()]


def attempts(lines: list[dict[str, Any]]) -> list[str]:
    return [line["request"] for line in lines if line["event"] == "attempt"]


def test_what_was_attempted_is_shown(operator: Operator, serving: Serving) -> None:
    token = operator.run("token", "panel")[1].strip()
    request = serving.attempts(CALL, token)
    serving.attempts("other", "no-token")
    serving.ends()
    attempt, decision = shown(operator, "--call", CALL)
    assert attempt["request"] == decision["request"] == request
    assert (attempt["app"], attempt["address"]) == ("panel", "127.0.0.1")
    assert (attempt["extension"], attempt["supervisor"]) == ("0003*210", "0003*024")
    assert (decision["outcome"], decision["reason"]) == ("refused", "pbx_unavailable")
    code, out, err = operator.run("audit", "--supervisor", "024")
    assert (code, err) == (0, "")
    head, *rows = out.splitlines()
    assert head.startswith("TIME ")
    assert [row.split()[2] for row in rows] == ["attempt", "decision"]
    everything = [line["event"] for line in shown(operator)]
    assert everything == ["started", *["attempt", "decision"] * 2, "stopped"]


def test_sigterm_loses_no_line(operator: Operator, serving: Serving) -> None:
    token = operator.run("token", "panel")[1].strip()
    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(serving.attempts, CALL, token) for _ in range(200)]
        asked[60].result()
        serving.sent(signal.SIGTERM)
    answered = [future.result() for future in asked if not future.exception()]
    assert len(answered) > 50
    lines = shown(operator)
    assert set(answered) <= set(attempts(lines))
    assert lines[-1]["event"] == "stopped"


def test_sigkill_leaves_whole_lines_and_the_next_start_goes_on(operator: Operator) -> None:
    for _ in range(2):
        with operator.serving() as serving:
            request = serving.attempts(CALL, "no-token")
            while request not in audit(operator).read_text():
                pass
            serving.sent(signal.SIGKILL)
    events = [line["event"] for line in shown(operator)]
    assert events == ["started", "attempt", "decision"] * 2


def test_sighup_makes_the_file_that_was_moved_away(operator: Operator, serving: Serving) -> None:
    serving.attempts(CALL, "no-token")
    audit(operator).rename(audit(operator).with_suffix(".jsonl.1"))
    assert "the audit is in force" in serving.hang_up("the audit")
    while not audit(operator).exists():
        pass
    assert audit(operator).stat().st_mode & 0o777 == 0o640 & ~_umask()
    serving.ends()
    assert len(shown(operator, "--call", CALL)) == 2


def _umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def test_a_disk_that_is_full_from_the_start_stops_nothing(operator: Operator) -> None:
    operator.settings["BRIDGE_AUDIT"] = "/dev/full"
    with operator.serving() as serving:
        requests = [serving.attempts(CALL, "no-token") for _ in range(2)]
        log = serving.sent(signal.SIGTERM)
    assert [line for line in log.splitlines() if "lines of the audit at /dev/full are lost" in line]
    assert all(log.count(f"request={request} ") == 1 for request in requests)


@pytest.mark.parametrize("path", ["/proc/no/audit", "/dev"])
def test_a_place_for_no_file_is_told(operator: Operator, path: str) -> None:
    operator.settings["BRIDGE_AUDIT"] = path
    (line,) = operator.told("serve")
    assert line.startswith("whisper-bridge: BRIDGE_AUDIT cannot be written: ")


def test_no_audit_is_told(operator: Operator) -> None:
    (line,) = operator.told("audit")
    assert line == f"whisper-bridge: there is no audit at {audit(operator)}"


def test_a_file_needs_no_settings(operator: Operator, tmp_path: Path) -> None:
    operator.settings = {}
    file = tmp_path / "copy"
    file.write_text('{"time":"2026-11-24T10:00:00+00:00","event":"started"}\ntorn')
    code, out, err = operator.run("audit", "--json", str(file))
    assert (code, len(out.splitlines())) == (0, 1)
    assert err == "1 lines are damaged and left out\n"


@pytest.mark.parametrize(
    ("since", "count"),
    [("2h", 1), ("1d", 2), ("90m", 1), ("1w", 2), ("2020-01-01", 2), ("2090-01-01T00:00", 0)],
)
def test_since_takes_what_an_operator_says(
    operator: Operator, tmp_path: Path, since: str, count: int
) -> None:
    now = datetime.now().astimezone()
    times = [now - timedelta(hours=5), now - timedelta(hours=1)]
    file = tmp_path / "copy"
    text = (json.dumps({"time": time.isoformat(), "event": "started"}) for time in times)
    file.write_text("".join(f"{line}\n" for line in text))
    assert len(shown(operator, "--since", since, str(file))) == count


@pytest.mark.parametrize("since", ["yesterday", "5", "2h30m", "2026-13-01", ""])
def test_a_time_that_is_none_is_told(operator: Operator, since: str) -> None:
    assert "is no date, time or time ago" in operator.told("audit", "--since", since)[-1]


def test_spans_are_shown_as_a_table_and_as_json(operator: Operator, tmp_path: Path) -> None:
    operator.settings = {}
    file = tmp_path / "copy"
    who = {"supervisor": "0003*024", "extension": "0003*210", "call": CALL, "app": "panel"}
    of_leg = {**who, "leg": "whisper-1", "mode": "whisper"}
    lines: list[tuple[str, dict[str, Any]]] = [
        ("09:59:00", {"event": "linked"}),
        ("10:00:00", {"event": "requested", **of_leg}),
        ("10:00:02", {"event": "attached", **of_leg, "since": "2026-11-24T10:00:02.000+00:00"}),
        ("10:00:05", {"event": "mode", **of_leg, "mode": "barge", "key": True}),
        ("10:00:09", {"event": "detached", **of_leg, "mode": "barge"}),
        ("10:00:09", {"event": "ended", **of_leg, "mode": "barge"}),
        ("10:00:10", {"event": "attached", **of_leg, "leg": "whisper-2", "supervisor": "025"}),
    ]
    written = (json.dumps({"time": f"2026-11-24T{at}+00:00", **line}) for at, line in lines)
    file.write_text("".join(f"{line}\n" for line in written))
    code, out, err = operator.run("audit", "--spans", "--call", CALL, str(file))
    assert (code, err) == (0, "")
    head, *rows = (line.split() for line in out.splitlines())
    assert head == ["FROM", "TO", "SECONDS", "MODE", "WHOM", "CALL", "WHO", "IN", "DOUBT"]
    whom = ["0003*024", ">", "0003*210", CALL]
    assert rows[0][4:] == ["3.0", "whisper", *whom, "panel"]
    assert rows[1][4:] == ["4.0", "barge", *whom, *["a", "key", "of", "the", "phone"]]
    assert rows[2][2:4] == ["whisper", "025"]
    first, second = shown(operator, "--spans", "--supervisor", "024", str(file))
    assert (first["mode"], first["seconds"], first["app"]) == ("whisper", 3, "panel")
    assert (second["mode"], second["key"], "doubt" in second) == ("barge", True, False)
    lasting = shown(operator, "--spans", "--since", "2026-11-24T10:00:09+00:00", str(file))
    assert [(line["mode"], line["to"] is None) for line in lasting] == [
        ("barge", False),
        ("whisper", True),
    ]
