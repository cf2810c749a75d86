"""The calls as a stream: first the picture, then every change, and nothing a client may not see."""

import asyncio
import json
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import cycle
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest

from bridge.api.application import SHUTDOWN_TIMEOUT
from bridge.api.door import Manners
from bridge.directory import Directory
from bridge.events import Event
from bridge.service import Service
from bridge.tokens import LIFETIME
from tests.support.directory import TEXT
from tests.support.happenings import RINGING, UP, end, held, leg, listed, seen, talk, unheld
from tests.support.scene import AGENT_LEG, CUSTOMER

from .house import TOKENS, House, served

STREAM = "/uapi/phoneCallStream/12/0003*210"


class Reader:
    """A client that reads a stream, event by event."""

    def __init__(self, answer: aiohttp.ClientResponse) -> None:
        self.answer = answer
        self.marks: list[str] = []

    async def block(self) -> list[str]:
        """The lines up to the next empty one; none at the end."""
        lines: list[str] = []
        async with asyncio.timeout(5):
            while line := (await self.answer.content.readline()).decode():
                if line == "\n":
                    return lines
                lines.append(line.rstrip("\n"))
        return lines

    async def event(self) -> tuple[str, Any]:
        """The next event: its name and its data."""
        while lines := await self.block():
            fields = dict(line.split(": ", 1) for line in lines)
            if "event" in fields:
                self.marks += [fields["id"]] if "id" in fields else []
                return fields["event"], json.loads(fields["data"])
        return "", None

    async def events(self, count: int) -> list[tuple[str, Any]]:
        """The next events."""
        return [await self.event() for _ in range(count)]

    async def over(self) -> bool:
        """Whether the stream has ended, without another event."""
        return (await self.event())[0] == ""


@asynccontextmanager
async def reading(house: House, path: str = STREAM, **headers: str) -> AsyncIterator[Reader]:
    """A stream that a client reads."""
    sent = {"Authorization": f"Bearer {house.token}", **headers}
    async with house.http.get(house.url + path, headers=sent) as answer:
        assert answer.status == 200
        assert answer.headers["Content-Type"] == "text/event-stream"
        assert answer.headers["X-Request-Id"]
        yield Reader(answer)


def happens(house: House, *events: Event) -> None:
    for event in events:
        house.service.on_event(event)


async def test_first_the_picture_then_every_change(house: House) -> None:
    async with reading(house) as reader:
        shown = (await house.get(house.path(house.call_id))).json
        assert await reader.events(2) == [("phoneCall", shown), ("ready", {"totalResults": 1})]
        happens(house, held(AGENT_LEG))
        name, call = await reader.event()
        assert (name, call["phoneCallView"][0]["holder"]) == ("phoneCall", 1)
        assert call == (await house.get(house.path(house.call_id))).json
        happens(house, *end(AGENT_LEG))
        assert await reader.event() == ("phoneCallEnded", {"id": house.call_id})


async def test_a_new_call_and_a_whisper_are_told(house: House) -> None:
    house.pbx.replies["Originate"] = house.whispers
    async with reading(house) as reader:
        await reader.events(2)
        await house.put()
        name, call = await reader.event()
        while len(call["phoneCallView"]) == 1:
            name, call = await reader.event()
        assert name == "phoneCall"
        assert call["phoneCallView"][1]["source"] == ["0003*024"]
        happens(house, *end(house.spy()))
        name, call = await reader.event()
        assert len(call["phoneCallView"]) == 1
        happens(house, seen(leg("0003*210", "7.1", state=RINGING)))
        name, call = await reader.event()
        assert (name, call["phoneCallView"][0]["status"]) == ("phoneCall", "3")


async def test_what_does_not_show_is_not_told(house: House) -> None:
    async with reading(house) as reader:
        await reader.events(2)
        happens(house, seen(AGENT_LEG))
        happens(house, seen(leg("0003*211", "8.1", state=UP)))
        happens(house, seen(leg("0004*410", "8.2", state=UP)))
        happens(house, *end(AGENT_LEG))
        assert (await reader.event())[0] == "phoneCallEnded"


async def test_a_call_that_leaves_the_extension_is_over_for_its_follower(house: House) -> None:
    other = leg("0003*211", "9.1", state=UP)
    async with reading(house) as reader, reading(house, STREAM.replace("210", "211")) as second:
        await reader.events(2)
        assert await second.event() == ("ready", {"totalResults": 0})
        happens(house, *talk(CUSTOMER, other, "another-bridge"))
        assert (await second.event())[0] == "phoneCall"
        happens(house, *end(AGENT_LEG))
        while (told := await reader.event())[0] == "phoneCall":
            pass
        assert told == ("phoneCallEnded", {"id": house.call_id})
        assert (await house.get(house.path(house.call_id).replace("210", "211"))).status == 200


# Going on where one was


async def test_who_comes_back_is_told_what_he_missed(house: House) -> None:
    async with reading(house) as reader:
        await reader.events(2)
    happens(house, seen(leg("0003*210", "7.1", state=RINGING)))
    await asyncio.sleep(0.02)
    async with reading(house, **{"Last-Event-ID": reader.marks[-1]}) as again:
        (name, call), ready = await again.events(2)
        assert (name, call["phoneCallView"][0]["status"]) == ("phoneCall", "3")
        assert ready == ("ready", {"totalResults": 2})


@pytest.mark.parametrize("mark", ["", "nonsense", "deadbeef-1", "-1", "x" * 4000])
async def test_who_comes_back_with_a_mark_of_nobody_begins_anew(house: House, mark: str) -> None:
    async with reading(house) as first:
        await first.events(2)
    async with reading(house, **{"Last-Event-ID": mark}) as reader:
        assert [name for name, _ in await reader.events(2)] == ["phoneCall", "ready"]


async def test_a_mark_ahead_of_everything_begins_anew(house: House) -> None:
    async with reading(house) as first:
        await first.events(2)
    ahead = first.marks[-1].partition("-")[0] + "-1000"
    async with reading(house, **{"Last-Event-ID": ahead}) as reader:
        assert [name for name, _ in await reader.events(2)] == ["phoneCall", "ready"]


# The link to the PBX


async def test_the_link_goes_and_comes_back(house: House) -> None:
    async with reading(house) as reader:
        await reader.events(2)
        house.service.on_lost()
        assert await reader.event() == ("unavailable", {})
        house.service.on_restored([listed(CUSTOMER)], [])
        ended, ready = await reader.events(2)
        assert ended == ("phoneCallEnded", {"id": house.call_id})
        assert ready == ("ready", {"totalResults": 0})


async def test_ready_counts_what_was_told_and_nothing_that_is_yet_to_be(house: House) -> None:
    async with reading(house) as reader:
        await reader.events(2)
        house.service.on_lost()
        assert await reader.event() == ("unavailable", {})
        house.service.on_restored([listed(CUSTOMER), listed(AGENT_LEG)], [])
        happens(house, seen(leg("0003*210", "7.1", state=RINGING)))
        while (told := await reader.event())[0] == "phoneCall":
            pass
        assert told == ("ready", {"totalResults": 1})
        assert (await reader.event())[0] == "phoneCall"


async def test_no_stream_without_a_picture(house: House) -> None:
    house.service.on_lost()
    answer = await house.get(STREAM)
    assert (answer.status, answer.code) == (503, "pbx_unavailable")


# Who may


@pytest.mark.parametrize(
    ("path", "status"),
    [
        (STREAM.replace("0003*210", "0004*410"), 401),
        (STREAM.replace("/12/", "/40/"), 400),
        (STREAM.replace("210", "999"), 400),
    ],
)
async def test_not_beyond_reach(house: House, path: str, status: int) -> None:
    assert (await house.get(path)).status == status
    assert (await house.ask("GET", path, token=None)).status == 401


async def test_an_app_that_is_removed_loses_its_stream(house: House) -> None:
    async with reading(house) as reader:
        await reader.events(2)
        house.service.replace_directory(Directory.parse(TEXT.replace('"lab-app"', '"other-app"')))
        happens(house, *end(AGENT_LEG))
        assert await reader.over()


async def test_a_token_that_expires_ends_its_stream() -> None:
    async with quiet(0.05, age=LIFETIME - 0.5) as (reader, _):
        assert await reader.event() == ("ready", {"totalResults": 0})
        assert await reader.over()


# Clients


@asynccontextmanager
async def quiet(heartbeat: float, age: float = 0.0) -> AsyncIterator[tuple[Reader, Service]]:
    """A stream of a PBX where nobody talks, asked for with a token of that age."""
    token = TOKENS.issue("lab-app", time.time() - age)
    headers = {"Authorization": f"Bearer {token}"}
    async with served(heartbeat=heartbeat) as (url, service, _), aiohttp.ClientSession() as http:
        service.on_restored([], [])
        async with http.get(url + STREAM, headers=headers) as answer:
            yield Reader(answer), service


async def test_a_silent_stream_shows_that_it_lives() -> None:
    async with quiet(0.02) as (reader, _):
        assert await reader.block() == ["retry: 2000"]
        assert (await reader.event())[0] == "ready"
        assert await reader.block() == [": still here"]


async def test_a_client_that_takes_nothing_is_cut() -> None:
    async with served(manners=Manners(patience=0.2)) as (url, service, _):
        service.on_restored([], [])
        with socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.connect(("127.0.0.1", urlsplit(url).port))
            token = TOKENS.issue("lab-app", time.time())
            head = f"GET {STREAM} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}"
            client.sendall(f"{head}\r\n\r\n".encode())
            await subscribers(service, 1)
            agents = [leg("0003*210", f"{number}.1", state=UP) for number in range(500)]
            async with asyncio.timeout(30):
                for change in cycle((held, unheld)):
                    if not service.following.subscribers:
                        break
                    for agent in agents:
                        service.on_event(change(agent))
                    await asyncio.sleep(0.01)


async def subscribers(service: Service, number: int) -> None:
    async with asyncio.timeout(5):
        while service.following.subscribers != number:
            await asyncio.sleep(0.01)


async def test_a_client_that_goes_is_forgotten(house: House) -> None:
    async with reading(house) as reader:
        await reader.events(2)
        assert house.service.following.subscribers == 1
    happens(house, held(AGENT_LEG))
    await asyncio.sleep(0.05)
    happens(house, unheld(AGENT_LEG))
    await subscribers(house.service, 0)


async def test_streams_do_not_keep_the_service_from_ending() -> None:
    headers = {"Authorization": f"Bearer {TOKENS.issue('lab-app', time.time())}"}
    async with aiohttp.ClientSession() as http, asyncio.timeout(SHUTDOWN_TIMEOUT / 2):
        async with served() as (url, service, _):
            service.on_restored([], [])
            reader = Reader(await http.get(url + STREAM, headers=headers))
            assert (await reader.event())[0] == "ready"
        assert await reader.over()
