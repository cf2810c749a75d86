"""What who watches is told of a bridge beside a real PBX: ready or not and why, and figures."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from bridge.lab.phone import Phone
from bridge.lab.ports import free_tcp
from bridge.lab.server import Server

from .ami_line import AmiLine
from .client import Api, views, whisper
from .stage import Call, Stage

pytestmark = pytest.mark.pbx


@asynccontextmanager
async def watched(stage: Stage, **options: Any) -> AsyncIterator[tuple[Server, Api]]:
    """One more bridge, which counts from zero."""
    async with await stage.another_server(**options) as server:
        yield server, Api(stage.http, server.url, stage.token)


async def readiness(stage: Stage, server: Server, reason: str) -> tuple[int, Any]:
    """Wait until a bridge is not ready for that reason, and give its answer."""
    api = Api(stage.http, server.url)
    answer = None
    for _ in range(150):
        answer = await api.request("GET", f"{server.url}/readyz")
        if answer.status == 503 and answer.body["reason"] == reason:
            return answer.status, answer.body
        await asyncio.sleep(0.02)
    raise AssertionError(f"not {reason}: {answer}")


async def test_wrong_credentials_are_said_plainly(stage: Stage) -> None:
    async with watched(stage, secret="not-the-one", ready=False) as (server, _):
        status, said = await readiness(stage, server, "login_refused")
        assert status == 503
        assert said["message"].startswith("The PBX refuses the AMI user")
        assert "not-the-one" not in str(said)
        answer = await Api(stage.http, server.url).request("GET", f"{server.url}/healthz")
        assert (answer.status, answer.body) == (200, {"alive": True})


async def test_a_pbx_that_is_not_there_is_said_plainly(stage: Stage) -> None:
    async with watched(stage, ami_port=free_tcp(), ready=False) as (server, _):
        await readiness(stage, server, "unreachable")


async def test_it_is_ready_and_not_ready_as_the_link_comes_and_goes(stage: Stage) -> None:
    async with (
        AmiLine(stage.pbx.ami_port) as line,
        watched(stage, ami_port=line.port) as (
            server,
            api,
        ),
    ):
        ready = await api.request("GET", f"{server.url}/readyz")
        assert (ready.status, ready.body["ready"]) == (200, True)
        await line.cut()
        _, said = await readiness(stage, server, "unreachable")
        assert said["since"] >= ready.body["since"]
        down = await figures(stage.http, server)
        await line.mend()
        for _ in range(250):
            answer = await api.request("GET", f"{server.url}/readyz")
            if answer.status == 200:
                break
            await asyncio.sleep(0.02)
        assert answer.body["since"] >= said["since"]
        up = await figures(stage.http, server)
    assert (down["link_up"], up["link_up"]) == (0, 1)
    assert (down["link_lost_total"], down["link_established_total"]) == (1, 1)
    assert (up["link_lost_total"], up["link_established_total"]) == (1, 2)


async def test_figures_of_a_whisper_that_was_heard(
    stage: Stage, call: Call, supervisor: Phone
) -> None:
    async with watched(stage) as (server, api):
        await api.put(call.path, whisper())
        await api.until(call.path, lambda a: "02" in views(a), "the whisper in force")
        during = await figures(stage.http, server)
        await supervisor.hang_up()
        await api.until(call.path, lambda a: "02" not in views(a), "the end of the whisper")
        after = await figures(stage.http, server)
    assert during["link_up"] == 1
    assert during['whispers{state="attached"}'] == 1
    assert during["channels"] == 3
    assert during["calls"] == 1
    assert during['ami_answer_seconds_count{action="Originate"}'] == 1
    assert 0 < during["ringing_seconds_sum"] < during["attached_seconds_sum"] < 5
    assert after['whispers{state="attached"}'] == 0
    assert after['whispers_ended_total{reason="completed"}'] == 1
    assert 0 < after["whisper_seconds_sum"] < 10
    assert after['events_total{kind="hung_up"}'] == 1
    assert after["audit_lines_missing_total"] == 0


async def figures(http: aiohttp.ClientSession, server: Server) -> dict[str, float]:
    """The bridge's own metrics, by what stands before the value."""
    async with http.get(f"{server.url}/metrics") as answer:
        rows = (row.rpartition(" ") for row in (await answer.text()).splitlines())
    named = {name.removeprefix("whisper_bridge_"): value for name, _, value in rows}
    return {name: float(value) for name, value in named.items() if not name.startswith("#")}
