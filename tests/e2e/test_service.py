"""The service itself: without its PBX, while the link is gone, and when it is ended."""

import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from bridge.lab import tones
from bridge.lab.phone import Phone
from bridge.lab.ports import free_tcp
from bridge.lab.server import Server
from tests.support.manager import Manager

from .ami_line import AmiLine
from .client import Answer, Api, views, whisper
from .stage import Call, Stage, a_call, level

pytestmark = pytest.mark.pbx


def unavailable(answer: Answer) -> bool:
    """Whether an answer says that the PBX is out of reach for now."""
    if answer.status != 503:
        return False
    assert answer.code == "pbx_unavailable"
    assert int(answer.headers["Retry-After"]) > 0
    return True


@pytest.fixture
async def line(stage: Stage) -> AsyncIterator[AmiLine]:
    async with AmiLine(stage.pbx.ami_port) as line:
        yield line


@asynccontextmanager
async def another(stage: Stage, **options: Any) -> AsyncIterator[tuple[Server, Api]]:
    """One more bridge with a client; its log has no numbers and no secrets."""
    async with await stage.another_server(**options) as server:
        yield server, Api(stage.http, server.url, stage.token)
    assert not stage.faults(server.log.read_text(), errors=False)


@pytest.mark.parametrize("wrong", ["nobody listens", "login refused"])
async def test_without_its_pbx_it_asks_for_patience(stage: Stage, call: Call, wrong: str) -> None:
    how: dict[str, dict[str, Any]] = {
        "nobody listens": {"ami_port": free_tcp()},
        "login refused": {"secret": "not-the-one"},
    }
    async with another(stage, ready=False, **how[wrong]) as (server, api):
        assert unavailable(await api.get(call.path))
        assert unavailable(await api.get("12/0003*210"))
        assert unavailable(await api.put(call.path, whisper()))
        assert not await stage.whisper_legs()
        assert await server.stop() == 0


async def test_while_the_link_is_down_it_shows_no_old_picture(
    stage: Stage, call: Call, supervisor: Phone, line: AmiLine
) -> None:
    async with another(stage, ami_port=line.port) as (_, api):
        await api.put(call.path, whisper())
        await api.until(call.path, lambda a: "02" in views(a), "the whisper in force")
        before = await api.get(call.path)
        await line.cut()
        await api.until(call.path, unavailable, "503")
        assert unavailable(await api.put(call.path, whisper()))
        assert len(await stage.whisper_legs()) == 1
        await line.mend()
        after = await api.until(call.path, lambda a: a.status == 200, "the picture is back")
        assert after.body == before.body
        assert (await api.put(call.path, whisper())).status == 202
        assert len(await stage.whisper_legs()) == 1


async def test_what_ended_while_the_link_was_down_is_not_shown_after_it(
    stage: Stage, call: Call, supervisor: Phone, line: AmiLine
) -> None:
    async with another(stage, ami_port=line.port) as (_, api):
        await api.put(call.path, whisper())
        await api.until(call.path, lambda a: "02" in views(a), "the whisper in force")
        await line.cut()
        await supervisor.hang_up()
        await stage.no_whisper_leg()
        await line.mend()
        after = await api.until(call.path, lambda a: a.status == 200, "the picture is back")
        assert list(views(after)) == ["01"]


async def test_a_call_that_began_while_the_link_was_down_is_shown_after_it(
    stage: Stage, customer: Phone, agent: Phone, supervisor: Phone, line: AmiLine
) -> None:
    async with another(stage, ami_port=line.port) as (_, api):
        await line.cut()
        async with a_call(stage.api, customer, agent) as call:
            await line.mend()
            after = await api.until(call.path, lambda a: a.status == 200, "the picture is back")
            assert views(after)["01"]["status"] == "5"
            assert (await api.put(call.path, whisper())).status == 202
            await api.until(call.path, lambda a: "02" in views(a), "the whisper in force")


async def test_sigterm_ends_the_service_and_no_whisper(
    stage: Stage, call: Call, supervisor: Phone
) -> None:
    async with another(stage) as (server, api):
        await api.put(call.path, whisper())
        before = await api.until(call.path, lambda a: "02" in views(a), "the whisper in force")
        legs = await stage.whisper_legs()
        assert await server.stop() == 0
        assert await level(call.callee, supervisor) > tones.HEARD_DB
        await server.boot()
        assert (await api.get(call.path)).body == before.body
        assert (await api.put(call.path, whisper())).status == 202
        assert await stage.whisper_legs() == legs


async def test_a_phone_that_rang_while_the_service_was_down_is_looked_after_again(
    stage: Stage, call: Call, ringing: Phone
) -> None:
    mark = ringing.events.mark()
    async with another(stage) as (server, api):
        await api.put(call.path, whisper(sendCallTo="0003*025"))
        await ringing.incoming(since=mark)
        await server.kill()
        await server.boot()
        assert list(views(await api.get(call.path))) == ["01"]
        await ringing.pick_up()
        await api.until(call.path, lambda a: "02" in views(a), "the whisper in force")


async def test_systemd_is_told_how_it_is_and_that_it_is_ready_with_a_complete_picture(
    stage: Stage, line: AmiLine, tmp_path: Path
) -> None:
    await line.cut()
    async with (
        Manager(tmp_path / "notify") as manager,
        another(
            stage,
            ami_port=line.port,
            ready=False,
            NOTIFY_SOCKET=manager.address,
            WATCHDOG_USEC="900000",
        ) as (server, _),
    ):
        await manager.tells("STATUS=no link to the PBX")
        await manager.tells("WATCHDOG=1")
        assert not manager.count("READY=1")
        await line.mend()
        await manager.tells("READY=1")
        mark = manager.told.mark()
        await manager.tells("WATCHDOG=1", since=mark)
        os.kill(server.pid, signal.SIGHUP)
        await manager.tells("RELOADING=1\nMONOTONIC_USEC=", since=mark)
        await manager.tells("READY=1", since=mark)
        await server.stop()
        assert manager.told.entries[-1] == "STOPPING=1"
