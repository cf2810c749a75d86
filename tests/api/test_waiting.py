"""``Prefer: wait=N``: the answer that comes once it is known, on a real socket."""

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp
import pytest

from bridge.actions import Action, Answer
from bridge.api import Manners
from bridge.events import Event
from bridge.happenings import Happening, Responded
from bridge.uapi import LONGEST_PREFERRED
from tests.support.happenings import RINGING, end, held, hung_up, seen, spies, talk
from tests.support.pbx import success
from tests.support.scene import AGENT_LEG, CUSTOMER, WHISPER

from .house import LIMIT, TOKENS, Answered, House, served

APPLIED = "Preference-Applied"
CALL = "/uapi/phoneCalls/{userId}/{extension}/{phoneCallId}"
GRACE = 3.0
"""Seconds in which what does not wait is done, on a busy machine."""


@dataclass
class Waiting(House):
    """A house in which somebody may wait, and what its listener was told."""

    told: list[Happening] = field(default_factory=list)

    def called(self, action: Action) -> Answer:
        """Reply to an Originate: the phone rings, and nobody picks up yet."""
        self.feed(seen(self.spy(action), RINGING))
        return success()

    async def asks(self, prefer: str = "wait=30", **changes: object) -> Answered:
        """Ask for the whisper of the specification's example."""
        return await self.ask(
            "PUT",
            self.path(self.call_id),
            json={**WHISPER, **changes},
            headers={"Prefer": prefer} if prefer else {},
        )

    async def waits(self, prefer: str = "wait=30") -> "asyncio.Task[Answered]":
        """Ask, and go on when somebody waits."""
        before = self.service.attaching.awaited
        task = asyncio.create_task(self.asks(prefer))
        async with asyncio.timeout(GRACE):
            while self.service.attaching.awaited == before:
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)
        assert not task.done()
        return task

    def feed(self, *events: Event) -> None:
        """The PBX tells something."""
        for event in events:
            self.service.on_event(event)

    async def responded(self, status: int) -> Responded:
        """Wait until a request for the call was answered so."""
        async with asyncio.timeout(GRACE):
            while True:
                for told in self.told:
                    if isinstance(told, Responded) and (told.route, told.status) == (CALL, status):
                        return told
                await asyncio.sleep(0.01)


@asynccontextmanager
async def waiting(**manners: float) -> AsyncIterator[Waiting]:
    """A house whose phones ring until something happens."""
    told: list[Happening] = []
    asked = Manners(**{"connections": 512, **manners})  # type: ignore[arg-type]
    async with (
        aiohttp.ClientSession(timeout=LIMIT) as http,
        served(lambda happening, _: told.append(happening), manners=asked) as (url, service, pbx),
    ):
        service.on_restored([], [])
        for event in talk(CUSTOMER, AGENT_LEG):
            service.on_event(event)
        (call,) = service.picture.calls()
        token = TOKENS.issue("lab-app", time.time())
        house = Waiting(url, service, pbx, http, token, call.id, told)
        pbx.replies["Originate"] = house.called
        yield house


@pytest.fixture
async def house() -> AsyncIterator[Waiting]:
    async with waiting() as house:
        yield house


async def test_the_answer_is_the_call_once_he_is_attached(house: Waiting) -> None:
    task = await house.waits("respond-async, wait=30")
    house.feed(spies(house.spy(), AGENT_LEG))
    answer = await task
    assert answer.status == 200
    assert answer.headers[APPLIED] == "wait=30"
    assert answer.json == (await house.get(house.path(house.call_id))).json
    assert [view["id"] for view in answer.json["phoneCallView"]] == ["01", "02"]
    assert answer.json["phoneCallView"][1]["source"] == ["0003*024"]


async def test_one_that_may_not_be_heard_is_answered_with_a_warning(house: Waiting) -> None:
    house.feed(held(CUSTOMER))
    task = await house.waits()
    house.feed(spies(house.spy(), AGENT_LEG))
    shown = (await task).json
    assert "The target is on hold" in shown.pop("warning")
    assert shown == (await house.get(house.path(house.call_id))).json


async def test_one_that_is_heard_already_goes_on_through_a_hold(house: Waiting) -> None:
    task = await house.waits()
    house.feed(spies(house.spy(), AGENT_LEG))
    assert "warning" not in (await task).json
    house.feed(held(CUSTOMER))
    assert "warning" not in (await house.asks()).json


@pytest.mark.parametrize(
    ("cause", "code"),
    [
        (17, "pc_sendcallto_busy"),
        (21, "pc_sendcallto_declined"),
        (19, "pc_sendcallto_no_answer"),
    ],
)
async def test_the_answer_is_why_he_is_not(house: Waiting, cause: int, code: str) -> None:
    task = await house.waits()
    house.feed(hung_up(house.spy(), cause))
    answer = await task
    assert (answer.status, answer.code) == (409, code)


async def test_the_answer_is_that_the_target_has_gone(house: Waiting) -> None:
    task = await house.waits()
    house.feed(*end(CUSTOMER, AGENT_LEG), hung_up(house.spy(), 16))
    answer = await task
    assert (answer.status, answer.code) == (409, "pc_phonecallview_gone")


async def test_the_answer_is_that_the_link_is_lost(house: Waiting) -> None:
    task = await house.waits()
    house.service.on_lost()
    answer = await task
    assert (answer.status, answer.code) == (503, "pbx_unavailable")
    assert int(answer.headers["Retry-After"]) > 0


async def test_when_the_time_is_up_the_answer_is_as_without(house: Waiting) -> None:
    began = time.monotonic()
    answer = await house.asks("wait=1")
    assert 1 <= time.monotonic() - began < 1 + GRACE
    plain = await house.asks("")
    assert (answer.status, answer.json) == (plain.status, plain.json) == (202, plain.json)
    assert answer.headers[APPLIED] == "wait=1"
    assert len(house.pbx.of("Originate")) == 1
    assert house.pbx.hung_up() == []


@pytest.mark.parametrize("prefer", ["", "wait", "wait=0", "wait=soon", "respond-async", "wait=-1"])
async def test_who_does_not_prefer_to_wait_does_not(house: Waiting, prefer: str) -> None:
    async with asyncio.timeout(GRACE):
        answer = await house.asks(prefer)
    assert answer.status == 202
    assert APPLIED not in answer.headers


async def test_nobody_waits_longer_than_the_longest(house: Waiting) -> None:
    task = await house.waits("wait=100000")
    house.feed(spies(house.spy(), AGENT_LEG))
    assert (await task).headers[APPLIED] == f"wait={LONGEST_PREFERRED}"


async def test_what_is_wrong_is_refused_at_once(house: Waiting) -> None:
    async with asyncio.timeout(GRACE):
        answer = await house.asks(sendCallTo="0003*999")
    assert (answer.status, answer.code) == (400, "pc_sendcallto_invalid")


async def test_a_repeat_waits_on_the_same_phone_and_then_not_at_all(house: Waiting) -> None:
    first = await house.waits()
    second = asyncio.create_task(house.asks())
    await asyncio.sleep(0.1)
    house.feed(spies(house.spy(), AGENT_LEG))
    answers = [await first, await second, await house.asks()]
    assert [answer.status for answer in answers] == [200] * 3
    assert len({answer.body for answer in answers}) == 1
    assert len(house.pbx.of("Originate")) == 1


# Those who go


async def gone(house: Waiting) -> None:
    """Somebody asks, waits, and goes."""
    host, port = house.url.removeprefix("http://").split(":")
    _, writer = await asyncio.open_connection(host, int(port))
    body = json.dumps(dict(WHISPER))
    lines = [
        f"PUT {house.path(house.call_id)} HTTP/1.1",
        "Host: localhost",
        f"Authorization: Bearer {house.token}",
        "Prefer: wait=30",
        f"Content-Length: {len(body)}",
    ]
    writer.write("\r\n".join([*lines, "", body]).encode())
    async with asyncio.timeout(GRACE):
        while not house.service.attaching.awaited:
            await asyncio.sleep(0.01)
    writer.close()


async def test_a_client_that_goes_changes_nothing(house: Waiting) -> None:
    await gone(house)
    await house.responded(202)
    assert house.service.attaching.awaited == 0
    house.feed(spies(house.spy(), AGENT_LEG))
    answer = await house.asks()
    assert answer.status == 200
    assert len(house.pbx.of("Originate")) == 1
    assert house.pbx.hung_up() == []


async def test_who_waits_takes_a_share_of_the_connections_only() -> None:
    async with waiting(connections=8) as house:
        tasks = [await house.waits(), await house.waits()]
        async with asyncio.timeout(GRACE):
            answer = await house.asks()
        assert answer.status == 202
        assert APPLIED not in answer.headers
        house.feed(spies(house.spy(), AGENT_LEG))
        assert [(await task).status for task in tasks] == [200, 200]
        assert (await house.asks()).headers[APPLIED]


async def test_who_has_gone_takes_no_share() -> None:
    async with waiting(connections=4) as house:
        for _ in range(3):
            await gone(house)
            await house.responded(202)
            house.told.clear()
        task = await house.waits()
        house.feed(spies(house.spy(), AGENT_LEG))
        assert (await task).status == 200


async def test_the_service_does_not_wait_with_them_when_it_ends() -> None:
    async with waiting() as house:
        task = await house.waits()
        began = time.monotonic()
    assert time.monotonic() - began < GRACE
    assert (await task).status == 202


# What it does not count as


async def test_who_waits_is_not_slow(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with waiting(patience=0.2) as house:
        task = await house.waits("wait=9")
        await asyncio.sleep(1)
        house.feed(spies(house.spy(), AGENT_LEG))
        assert (await task).status == 200
        told = await house.responded(200)
    assert told.seconds is not None
    assert 0 <= told.seconds < 0.5
    (line,) = [record.message for record in caplog.records if "PUT" in record.message]
    assert "of waiting as preferred" in line
    assert "too slow" not in caplog.text


async def test_the_same_connection_serves_on(
    house: Waiting, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    connector = aiohttp.TCPConnector(limit=1)
    async with aiohttp.ClientSession(timeout=LIMIT, connector=connector) as http:
        house.http = http
        assert (await house.asks("wait=1")).status == 202
        assert "of waiting" in caplog.text
        caplog.clear()
        assert (await house.get(house.path())).status == 200
        assert "of waiting" not in caplog.text
        house.feed(seen(house.spy()), spies(house.spy(), AGENT_LEG))
        assert (await house.asks("wait=1")).status == 200
