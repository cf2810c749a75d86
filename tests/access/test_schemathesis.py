"""Schemathesis against /openapi.json of the running service, with a real PBX behind it.

Another's reading of the description: it makes requests that are as described and requests that are
not, gets its token as clients do, and finds every answer that is not as described.
"""

import asyncio
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from .ami_wire import said
from .siege import Siege

SECRET: Final = "lab-only-not-a-secret-1"
CONFIG: Final = f"""
continue-on-failure = true
request-timeout = 10
max-stream-events = 1

[generation]
deterministic = true
max-examples = 60
database = "none"

[checks.not_a_server_error]
expected-statuses = ["2xx", "3xx", "4xx", 501]  # an action that is not offered

[checks.positive_data_acceptance]
enabled = false  # a request may be as described, and there is no such call

[[operations]]
include-path = "/uapi/phoneCallStream/{{userId}}/{{extension}}"
checks.response_schema_conformance.enabled = false  # OpenAPI 3.1 has no words for one event

[auth.dynamic.openapi.bearer]
path = "/oauth/token.php"
payload_content_type = "application/x-www-form-urlencoded"
extract_selector = "/access_token"

[auth.dynamic.openapi.bearer.payload]
grant_type = "client_credentials"
client_id = "lab-app"
client_secret = "{SECRET}"

[dictionaries]
users = {{ values = ["12", "@me", "@viewer", "@owner"] }}
extensions = {{ values = ["0003*210", "210", "@self"] }}
calls = {{ values = ["CALL"] }}
supervisors = {{ values = ["0003*024", "0003*025"] }}
views = {{ values = ["01"] }}
waits = {{ values = ["wait=2", "respond-async, wait=1"] }}
clients = {{ values = ["lab-app"] }}
secrets = {{ values = ["{SECRET}"] }}
types = {{ values = ["0"] }}
hooks = {{ values = ["HOOK"] }}
urls = {{ values = ["http://x.invalid/calls"] }}

[parameters]
"path.userId" = {{ dictionary = "users", probability = 0.8 }}
"path.extension" = {{ dictionary = "extensions", probability = 0.8 }}
"path.phoneCallId" = {{ dictionary = "calls", probability = 0.8 }}
"path.eventType" = {{ dictionary = "types", probability = 0.9 }}
"path.eventId" = {{ dictionary = "hooks", probability = 0.9 }}
"body.url" = {{ dictionary = "urls", probability = 0.8 }}
"header.Prefer" = {{ dictionary = "waits", probability = 0.5 }}
"body.sendCallTo" = {{ dictionary = "supervisors", probability = 0.8 }}
"body.phoneCallViewId" = {{ dictionary = "views", probability = 0.8 }}
"body.client_id" = {{ dictionary = "clients", probability = 0.9 }}
"body.client_secret" = {{ dictionary = "secrets", probability = 0.9 }}
"""


@pytest.mark.pbx
@pytest.mark.timeout(600)
async def test_schemathesis_finds_nothing(siege: Siege, tmp_path: Path) -> None:
    answered = {("GET", "/openapi.json", 200)}  # it is read, or there would be no report
    document = (await siege.api.request("GET", f"{siege.server.url}/openapi.json")).body
    removing = [path for path, item in document["paths"].items() if "delete" in item]
    # What is there must stand until all else is tried.
    runs = [["--exclude-method=DELETE"]]
    runs += [["--include-method=DELETE", f"--include-path={path}"] for path in removing]
    for chosen in runs:
        code, said_of_it = await _schemathesis(siege, tmp_path, await _a_hook(siege), *chosen)
        assert code == 0, said_of_it
        answered |= set(_answers(tmp_path / "report.ndjson"))
    for path, item in document["paths"].items():
        for method, operation in item.items():
            good = min(int(status) for status in operation["responses"])
            assert (method.upper(), path, good) in answered
    await siege.quiet()
    assert siege.faults() == []
    assert said(siege.wire)


async def _a_hook(siege: Siege) -> str:
    """The id of a phone call event that there is."""
    url = f"{siege.server.url}/uapi/extensions/12/0003*210/phoneCallEvents"
    body = {"type": 0, "url": "http://x.invalid/calls"}
    answer = await siege.api.request("POST", url, json=body)
    return str(answer.body["id"])


async def _schemathesis(siege: Siege, folder: Path, hook: str, *chosen: str) -> tuple[int, str]:
    """Its exit code and what it prints of some operations."""
    config = folder / "schemathesis.toml"
    config.write_text(CONFIG.replace("CALL", siege.call.id).replace("HOOK", hook))
    url = siege.server.url
    process = await asyncio.create_subprocess_exec(
        *(Path(sys.executable).with_name("schemathesis"), "--config-file", config),
        *("run", f"{url}/openapi.json", "--url", url, *chosen),
        *("--report", "ndjson", "--report-ndjson-path", folder / "report.ndjson"),
        cwd=folder,
        env={**os.environ, "NO_COLOR": "1"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    return process.returncode or 0, output.decode()


def _answers(report: Path) -> Iterator[tuple[str, str, int]]:
    """Method, path and status of every answer it got."""
    for line in report.read_text().splitlines():
        recorder: dict[str, Any] = json.loads(line).get("ScenarioFinished", {}).get("recorder", {})
        for name, interaction in recorder.get("interactions", {}).items():
            case, response = recorder["cases"][name]["value"], interaction.get("response")
            if response:
                yield case["method"], case["path"], response["status_code"]
