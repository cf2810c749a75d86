"""Every second of a whisper is in the audit: compared with what is heard and what the PBX says."""

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from bridge.lab import tones
from bridge.lab.phone import Phone
from bridge.lab.server import Server
from tests.link.proxy import Proxy

from .ami_line import AmiLine
from .client import Api, views, whisper
from .stage import Call, Stage

pytestmark = pytest.mark.pbx

WINDOW = 0.05
"""Seconds of sound that are listened to at a time."""

Line = dict[str, Any]


@asynccontextmanager
async def audited(
    stage: Stage, tmp_path: Path, **options: Any
) -> AsyncIterator[tuple[Server, Api, Path]]:
    """One more bridge, with an audit of its own."""
    audit = tmp_path / "audit.jsonl"
    async with await stage.another_server(BRIDGE_AUDIT=str(audit), **options) as server:
        yield server, Api(stage.http, server.url, stage.token), audit
    assert not stage.faults(server.log.read_text(), errors=False)


def lines(audit: Path, **wanted: object) -> list[Line]:
    """The lines of an audit that have these values."""
    found = [json.loads(line) for line in audit.read_text().splitlines()]
    return [line for line in found if wanted.items() <= line.items()]


def at(line: Line, name: str = "time") -> float:
    return datetime.fromisoformat(line[name]).timestamp()


async def line(audit: Path, **wanted: object) -> Line:
    """Wait for the only line with these values."""
    async with asyncio.timeout(5):
        while not (found := lines(audit, **wanted)):
            await asyncio.sleep(0.02)
    assert len(found) == 1
    return found[0]


def heard(recording: Path, hz: float) -> float:
    """For how many seconds of a recording a tone is heard."""
    windows = int(tones.length(recording) / WINDOW) - 1
    ends = ((number + 1) * WINDOW for number in range(windows))
    return WINDOW * sum(tones.level(recording, hz, WINDOW, end) > tones.HEARD_DB for end in ends)


def told(stage: Stage, mark: int, event: str, **headers: str) -> float:
    """When the PBX says that something happened."""
    (found,) = (
        message
        for message in stage.observer.events.entries[mark:]
        if message["Event"] == event and headers.items() <= message.items()
    )
    return float(found["Timestamp"])


async def test_every_second_of_a_whisper_is_in_it(
    stage: Stage, call: Call, supervisor: Phone, tmp_path: Path
) -> None:
    mark = stage.observer.events.mark()
    async with audited(stage, tmp_path) as (_, api, audit):
        answer = await api.put(call.path, whisper())
        await api.until(call.path, lambda a: "02" in views(a), "the whisper in force")
        await asyncio.sleep(2.5)
        await supervisor.hang_up()
        ended = await line(audit, event="ended")
        await tones.fresh(call.callee.recording, 0.5)
    leg = ended["leg"]
    whole = lines(audit, request=answer.headers["X-Request-Id"])
    assert [each["event"] for each in whole] == [
        *("attempt", "decision", "requested", "ringing", "answered", "attached"),
        *("detached", "ended"),
    ]
    for each in whole[2:]:
        assert (each["supervisor"], each["extension"]) == ("0003*024", "0003*210")
        assert (each["app"], each["call"], each["leg"]) == ("lab-app", call.id, leg)
    attached, detached = whole[5], whole[6]
    begun = told(stage, mark, "ChanSpyStart", SpyerUniqueid=leg)
    over = told(stage, mark, "ChanSpyStop", SpyerUniqueid=leg)
    gone = told(stage, mark, "Hangup", Uniqueid=leg)
    assert at(attached) == pytest.approx(begun, abs=0.1)
    assert at(detached) == pytest.approx(over, abs=0.1)
    assert at(ended) == pytest.approx(gone, abs=0.1)
    assert ended["seconds"] == pytest.approx(over - begun, abs=0.1)
    assert ended["reason"] == "completed"
    # ChanSpy takes a moment to be heard, and the sound has its way through two jitter buffers.
    sound = heard(call.callee.recording, supervisor.tone_hz)
    assert sound == pytest.approx(ended["seconds"], abs=0.4)


async def test_a_kill_in_the_midst_of_it_costs_no_second(
    stage: Stage, call: Call, supervisor: Phone, tmp_path: Path
) -> None:
    mark = stage.observer.events.mark()
    async with audited(stage, tmp_path) as (server, api, audit):
        answer = await api.put(call.path, whisper())
        leg = (await line(audit, event="attached"))["leg"]
        await server.kill()
        await asyncio.sleep(1)
        await server.boot()
        adopted = await line(audit, event="adopted")
        await asyncio.sleep(1)
        await supervisor.hang_up()
        ended = await line(audit, event="ended")
    begun = told(stage, mark, "ChanSpyStart", SpyerUniqueid=leg)
    over = told(stage, mark, "ChanSpyStop", SpyerUniqueid=leg)
    assert ended["seconds"] == pytest.approx(over - begun, abs=0.2)
    assert at(adopted, "since") == pytest.approx(at(lines(audit, event="requested")[0]), abs=0.1)
    for each in (adopted, ended):
        assert (each["leg"], each["app"], each["supervisor"]) == (leg, "lab-app", "0003*024")
        assert each["request"] == answer.headers["X-Request-Id"]


async def test_one_that_ends_while_the_bridge_is_killed_has_its_end_all_the_same(
    stage: Stage, call: Call, supervisor: Phone, tmp_path: Path
) -> None:
    mark = stage.observer.events.mark()
    async with audited(stage, tmp_path) as (server, api, audit):
        await api.put(call.path, whisper())
        leg = (await line(audit, event="attached"))["leg"]
        await server.kill()
        await supervisor.hang_up()
        await stage.no_whisper_leg()
        await server.boot()
        ended = await line(audit, event="ended")
    over = told(stage, mark, "Hangup", Uniqueid=leg)
    assert (ended["leg"], ended["reason"], ended["app"]) == (leg, "unseen", "lab-app")
    assert at(ended, "not_before") <= over <= at(ended)


async def test_one_that_ends_in_a_gap_says_when_it_may_have(
    stage: Stage, call: Call, supervisor: Phone, tmp_path: Path
) -> None:
    mark = stage.observer.events.mark()
    async with (
        AmiLine(stage.pbx.ami_port) as wire,
        audited(stage, tmp_path, ami_port=wire.port) as (_, api, audit),
    ):
        await api.put(call.path, whisper())
        leg = (await line(audit, event="attached"))["leg"]
        await wire.cut()
        await line(audit, event="unlinked")
        await supervisor.hang_up()
        await stage.no_whisper_leg()
        await wire.mend()
        ended = await line(audit, event="ended")
    over = told(stage, mark, "Hangup", Uniqueid=leg)
    assert (ended["leg"], ended["reason"]) == (leg, "link_lost")
    assert at(ended, "not_before") <= over <= at(ended)


async def test_one_that_ends_while_the_link_says_nothing_any_more_may_have_since_then(
    stage: Stage, call: Call, supervisor: Phone, tmp_path: Path
) -> None:
    mark = stage.observer.events.mark()
    async with (
        Proxy(stage.pbx.ami_port) as wire,
        audited(stage, tmp_path, ami_port=wire.port, BRIDGE_AMI_SILENCE="1") as (_, api, audit),
    ):
        await api.put(call.path, whisper())
        leg = (await line(audit, event="attached"))["leg"]
        wire.stall()
        await supervisor.hang_up()
        await stage.no_whisper_leg()
        unlinked = await line(audit, event="unlinked")
        wire.cut()
        wire.flow()
        ended = await line(audit, event="ended")
    over = told(stage, mark, "Hangup", Uniqueid=leg)
    # It was over before anybody noticed that the link was gone.
    assert at(unlinked, "since") == at(ended, "not_before") <= over < at(unlinked)


async def test_sigterm_in_the_midst_of_it_loses_no_line(
    stage: Stage, call: Call, supervisor: Phone, tmp_path: Path
) -> None:
    async with audited(stage, tmp_path) as (server, api, audit):
        answer = await api.put(call.path, whisper())
        os.kill(server.pid, signal.SIGTERM)
        assert await server.stop() == 0
        events = [each["event"] for each in lines(audit, request=answer.headers["X-Request-Id"])]
        assert events[:4] == ["attempt", "decision", "requested", "ringing"]
        assert lines(audit)[-1]["event"] == "stopped"
