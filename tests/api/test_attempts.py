"""Whoever attempts something with a call is told of, whatever becomes of it."""

import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest
from yarl import URL

from bridge.happenings import Attempted, Decided, Happening, Responded
from bridge.model import Asker
from tests.support.scene import WHISPER

from .house import LIMIT, TOKENS, served

PATH = "/uapi/phoneCalls/12/0003*210/ca11"
ROUTE = "/uapi/phoneCalls/{userId}/{extension}/{phoneCallId}"


@dataclass
class Desk:
    """The API, and what its listener was told."""

    url: str
    http: aiohttp.ClientSession
    told: list[Happening] = field(default_factory=list)

    async def put(self, body: bytes, token: str = "", path: str = PATH) -> tuple[int, str]:
        """Ask for something; gives the status and the request's id."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        url = URL(self.url + path, encoded=True)
        async with self.http.put(url, data=body, headers=headers) as answer:
            return answer.status, answer.headers["X-Request-Id"]

    def of(self, *kinds: type[Happening]) -> list[Happening]:
        """What it was told of these kinds."""
        return [told for told in self.told if isinstance(told, kinds)]


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    told: list[Happening] = []
    async with (
        served(lambda happening, _: told.append(happening)) as (url, service, _),
        aiohttp.ClientSession(timeout=LIMIT) as http,
    ):
        service.on_restored([], [])
        yield Desk(url, http, told)


def body(**changes: Any) -> bytes:
    return json.dumps({**WHISPER, **changes}).encode()


def token() -> str:
    return TOKENS.issue("lab-app", time.time())


async def test_an_attempt_says_who_and_what(desk: Desk) -> None:
    status, request = await desk.put(body(), token())
    asker = Asker("lab-app", "12", "127.0.0.1", request)
    assert status == 400
    assert desk.of(Attempted, Decided) == [
        Attempted(asker, "Whisper", "0003*210", "ca11", "01", "0003*024"),
        Decided(asker, "Whisper", "ca11", code="pc_honecall_invalid"),
    ]


async def test_a_stranger_s_attempt_says_where_he_is(desk: Desk) -> None:
    status, request = await desk.put(body(), "stolen.0.token")
    asker = Asker(address="127.0.0.1", request=request)
    assert status == 401
    assert desk.of(Attempted, Decided) == [
        Attempted(asker, "", "0003*210", "ca11"),
        Decided(asker, "", "ca11", code="access_denied"),
    ]


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        pytest.param(b"[1]", "request_invalid", id="no object"),
        pytest.param(b'{"action": "Dance"}', "request_not_implemented", id="another action"),
        pytest.param(b" " * 70_000, "request_too_large", id="too large"),
    ],
)
async def test_what_cannot_be_read_is_refused_once(desk: Desk, sent: bytes, code: str) -> None:
    _, request = await desk.put(sent, token())
    asker = Asker("lab-app", "12", "127.0.0.1", request)
    assert desk.of(Attempted, Decided) == [
        Attempted(asker, "", "0003*210", "ca11"),
        Decided(asker, "", "ca11", code=code),
    ]


async def test_what_is_told_has_its_bounds(desk: Desk) -> None:
    long = "x" * 1000
    await desk.put(body(sendCallTo=long), token(), PATH + long)
    (attempted,) = desk.of(Attempted)
    assert isinstance(attempted, Attempted)
    assert attempted.supervisor == "x" * 64
    assert len(attempted.call_id) == 64


async def test_every_answer_is_told_by_its_route(desk: Desk) -> None:
    await desk.put(body(), token())
    await desk.put(body(), token(), "/nowhere")
    first, second = desk.of(Responded)
    assert isinstance(first, Responded)
    assert isinstance(second, Responded)
    assert (first.route, first.method, first.status) == (ROUTE, "PUT", 400)
    assert (second.route, second.method, second.status) == ("(no route)", "PUT", 404)
    assert first.seconds is not None
    assert 0 < first.seconds < 10


async def test_a_method_of_no_api_is_told_as_a_question_mark(desk: Desk) -> None:
    async with desk.http.request("PROPFIND", desk.url + PATH) as answer:
        assert answer.status == 405
    (told,) = desk.of(Responded)
    assert isinstance(told, Responded)
    assert told.method == "?"
