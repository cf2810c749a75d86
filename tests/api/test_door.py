"""Connections on real sockets: those who are slow, those who say nothing, and those too many."""

import asyncio
import gc
import json
import logging
import socket
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import trustme

from bridge.api import Manners, Tls, read_certificate
from bridge.api.protocol import Connection
from bridge.service import Service
from tests.support.happenings import leg, talk
from tests.support.raw_http import RawAnswer, answers

from .house import TOKENS, served

PATIENCE = 0.4
"""Seconds: long enough for a busy machine, short enough for a test."""

GRACE = 3.0
PATH = "/uapi/phoneCalls/12/0003*210"


@dataclass
class Place:
    """A service, and where it listens."""

    port: int
    service: Service
    tls: ssl.SSLContext | None = None

    async def visit(self, home: str = "127.0.0.1") -> "Line":
        """Connect, from a home."""
        secured: dict[str, Any] = (
            {"ssl": self.tls, "server_hostname": "localhost"} if self.tls else {}
        )
        to = ("127.0.0.1", self.port)
        return Line(*await asyncio.open_connection(*to, local_addr=(home, 0), **secured))

    async def status(self) -> int:
        """The answer that somebody gets on a connection of his own."""
        line = await self.visit()
        try:
            return (await line.ask(request(close=True))).status
        finally:
            line.writer.close()


@dataclass
class Line:
    """A connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def ask(self, sent: bytes) -> RawAnswer:
        """Send something and read one answer; the connection stays."""
        self.writer.write(sent)
        return await self.answer()

    async def answer(self) -> RawAnswer:
        """Read one answer."""
        async with asyncio.timeout(GRACE):
            head = await self.reader.readuntil(b"\r\n\r\n")
            lines = [line for line in head.split(b"\r\n") if line.lower().startswith(b"content-l")]
            size = int(lines[0].split(b":")[1]) if lines else 0
            (found,) = answers(head + await self.reader.readexactly(size))
            return found

    async def end(self, within: float = GRACE) -> bytes:
        """What still comes until the other side closes, however it does."""
        came = b""
        async with asyncio.timeout(within):
            with suppress(ConnectionError):
                while piece := await self.reader.read(65536):
                    came += piece
        self.writer.close()
        return came


def request(
    method: str = "GET", *more: str, path: str = PATH, close: bool = False, body: bytes = b""
) -> bytes:
    """A request with a token."""
    lines = [
        f"{method} {path} HTTP/1.1",
        "Host: localhost",
        f"Authorization: Bearer {TOKENS.issue('lab-app', time.time())}",
        *(["Connection: close"] if close else []),
        *more,
    ]
    return "\r\n".join([*lines, "", ""]).encode() + body


@asynccontextmanager
async def place(
    tls: Tls | None = None, trusted: ssl.SSLContext | None = None, **manners: Any
) -> AsyncIterator[Place]:
    """A service that asks for these manners."""
    asked = Manners(**{"patience": PATIENCE, **manners})
    async with served(tls=tls, manners=asked) as (url, service, _):
        service.on_restored([], [])
        yield Place(int(url.rpartition(":")[2]), service, trusted)


# The head of a request


async def test_a_head_that_does_not_end_in_time_is_told_so() -> None:
    async with place() as here:
        line = await here.visit()
        began = time.monotonic()
        line.writer.write(request()[:40])
        (answer,) = answers(await line.end())
        assert (answer.status, answer.code) == (408, "request_timeout")
        assert answer.headers["Connection"] == "close"
        assert answer.headers["X-Request-Id"]
        assert PATIENCE * 0.9 < time.monotonic() - began < PATIENCE + 1.5


async def test_who_sends_a_byte_now_and_then_gains_nothing() -> None:
    async with place() as here:
        line = await here.visit()
        began = time.monotonic()

        async def drip() -> None:
            with suppress(ConnectionError):
                for number in range(1000):
                    line.writer.write(b"GET / HTTP/1.1\r\n" if number == 0 else b"X-A: b\r\n")
                    await line.writer.drain()
                    await asyncio.sleep(PATIENCE / 10)

        dripping = asyncio.create_task(drip())
        came = await line.end()
        assert time.monotonic() - began < PATIENCE + 1.5
        assert came == b"" or answers(came)[0].status == 408
        dripping.cancel()


async def test_who_says_nothing_is_shown_the_door_without_a_word() -> None:
    async with place() as here:
        line = await here.visit()
        assert await line.end() == b""


async def test_the_next_head_on_a_connection_must_end_in_time_as_well() -> None:
    async with place() as here:
        line = await here.visit()
        assert (await line.ask(request())).status == 204
        await asyncio.sleep(PATIENCE * 2)  # resting is no offence
        assert (await line.ask(request())).status == 204
        line.writer.write(request()[:40])
        (answer,) = answers(await line.end())
        assert answer.status == 408


async def test_a_head_in_pieces_that_comes_in_time_is_answered() -> None:
    async with place() as here:
        line = await here.visit()
        for byte in request()[:-1]:
            line.writer.write(bytes([byte]))
            await line.writer.drain()
        await asyncio.sleep(PATIENCE / 4)
        assert (await line.ask(b"\n")).status == 204
        line.writer.close()


async def test_a_hundred_who_drip_hold_nobody_up(caplog: pytest.LogCaptureFixture) -> None:
    async with place(connections=40) as here, AsyncExitStack() as crowd:
        for _ in range(100):
            line = await here.visit()
            crowd.callback(line.writer.close)
            line.writer.write(b"GET / HTTP/1.1\r\nX-Slow: ")
        for _ in range(5):
            assert await here.status() == 204
        async with asyncio.timeout(GRACE):
            while "connections that were too slow" not in caplog.text:
                await asyncio.sleep(0.02)
        assert await here.status() == 204
    assert all(record.levelno <= logging.WARNING for record in caplog.records)


async def test_a_head_that_is_too_large_is_refused() -> None:
    async with place() as here:
        line = await here.visit()
        line.writer.write(request("GET", "X-Large: " + "x" * 20_000))
        (answer,) = answers(await line.end())
        assert (answer.status, answer.code) == (400, "request_invalid")
        many = await here.visit()
        many.writer.write(request("GET", *(f"X-{n}: 1" for n in range(300))))
        (answer,) = answers(await many.end())
        assert answer.status == 400


# The body


async def test_a_body_that_does_not_end_in_time_is_told_so() -> None:
    async with place() as here:
        line = await here.visit()
        began = time.monotonic()
        line.writer.write(request("PUT", "Content-Length: 100", path=f"{PATH}/0123", body=b"{"))
        (answer,) = answers(await line.end(GRACE + 3))
        assert (answer.status, answer.code) == (408, "request_timeout")
        assert PATIENCE * 0.9 < time.monotonic() - began < PATIENCE + 4


async def test_and_in_oauths_own_form_where_it_is_for_a_token() -> None:
    async with place() as here:
        line = await here.visit()
        form = "Content-Type: application/x-www-form-urlencoded"
        sent = request("POST", form, "Content-Length: 100", path="/oauth/token.php", body=b"a=b")
        answer = await line.ask(sent)
        assert (answer.status, answer.code) == (408, "invalid_request")
        line.writer.close()


async def test_a_body_in_pieces_that_comes_in_time_is_read() -> None:
    async with place() as here:
        line = await here.visit()
        body = json.dumps({"action": "Nonsense"}).encode()
        head = request("PUT", f"Content-Length: {len(body)}", path=f"{PATH}/0123")
        line.writer.write(head)
        for byte in body:
            line.writer.write(bytes([byte]))
            await line.writer.drain()
            await asyncio.sleep(PATIENCE / 100)
        assert (await line.answer()).status == 501
        line.writer.close()


async def test_a_body_nobody_asked_for_is_not_waited_for_long() -> None:
    async with place(patience=20.0) as here:
        line = await here.visit()
        answer = await line.ask(request("GET", "Content-Length: 1000000", body=b"x"))
        assert answer.status == 204
        assert await line.end(GRACE + 3) == b""


# The answer


async def test_who_does_not_read_his_answers_is_cut_off() -> None:
    async with place() as here:
        for number in range(200):
            call = talk(leg("7779999", f"{number}.1"), leg("0003*210", f"{number}.2"), f"b{number}")
            for event in call:
                here.service.on_event(event)
        with socket.socket() as deaf:
            deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            deaf.connect(("127.0.0.1", here.port))
            deaf.setblocking(False)
            assert await _cut_off(deaf, request(path=f"{PATH}?count=200"))
        assert await here.status() == 200


async def _cut_off(deaf: socket.socket, asking: bytes) -> bool:
    """Ask again and again without reading, until the other side has had enough."""
    async with asyncio.timeout(30):
        while True:
            try:
                deaf.send(asking)
            except BlockingIOError:
                pass
            except ConnectionError:
                return True
            await asyncio.sleep(0.005)


# Too many


async def test_a_connection_that_rests_makes_room_the_longest_first() -> None:
    async with place(connections=3) as here, AsyncExitStack() as crowd:
        lines = [await here.visit() for _ in range(3)]
        for line in lines:
            crowd.callback(line.writer.close)
            assert (await line.ask(request())).status == 204
        assert (await lines[0].ask(request())).status == 204  # the first has rested least now
        assert await here.status() == 204
        assert await lines[1].end() == b""
        for line in (lines[0], lines[2]):
            assert (await line.ask(request())).status == 204


async def test_a_crowd_from_one_place_takes_nobody_elses_place() -> None:
    async with place(connections=10, patience=20.0) as here, AsyncExitStack() as crowd:
        ours = [await here.visit() for _ in range(3)]
        for line in ours:
            crowd.callback(line.writer.close)
            assert (await line.ask(request())).status == 204
        newcomer = await here.visit()
        crowd.callback(newcomer.writer.close)
        for number in range(60):
            stranger = await here.visit(home="127.0.0.66")
            crowd.callback(stranger.writer.close)
            if number % 2:
                stranger.writer.write(request()[:40])
        for line in (*ours, newcomer):
            assert (await line.ask(request())).status == 204


async def test_while_all_are_busy_newcomers_are_asked_for_patience(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with place(connections=2) as here, AsyncExitStack() as crowd:
        busy = [await here.visit() for _ in range(2)]
        for line in busy:
            crowd.callback(line.writer.close)
            line.writer.write(request("PUT", "Content-Length: 8", path=f"{PATH}/01", body=b"{"))
        await asyncio.sleep(PATIENCE / 4)
        newcomer = await here.visit()
        (answer,) = answers(await newcomer.end())
        assert (answer.status, answer.code) == (503, "too_many_connections")
        assert int(answer.headers["Retry-After"]) > 0
        assert {(await line.ask(b'"a": 1}')).status for line in busy} == {400}
        assert await here.status() == 204
        async with asyncio.timeout(GRACE):
            while "refused 1 connections: " not in caplog.text:
                await asyncio.sleep(0.02)


async def test_a_connection_rests_so_long_and_no_longer() -> None:
    async with place(idle=1.0) as here:
        line = await here.visit()
        assert (await line.ask(request())).status == 204
        began = time.monotonic()
        assert await line.end() == b""
        assert 0.5 < time.monotonic() - began < 2.5


def connections() -> int:
    """How many connections the service has in memory."""
    gc.collect()
    return sum(isinstance(thing, Connection) for thing in gc.get_objects())


async def test_who_comes_and_goes_leaves_nothing_behind() -> None:
    before = connections()
    async with place(connections=5) as here:
        for number in range(40):
            line = await here.visit()
            if number % 2:
                line.writer.write(request()[: number * 3])
            line.writer.close()
        for _ in range(10):
            assert await here.status() == 204
        async with asyncio.timeout(GRACE):
            while connections() > before:
                await asyncio.sleep(0.05)


# Over TLS


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Tls, ssl.SSLContext]:
    authority, file = trustme.CA(), tmp_path / "both.pem"
    authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(file)
    trusted = ssl.create_default_context()
    authority.configure_trust(trusted)
    return Tls(read_certificate(file, None)), trusted


Certificate = tuple[Tls, ssl.SSLContext]


async def test_over_tls_it_is_the_same(certificate: Certificate) -> None:
    async with place(*certificate) as here:
        line = await here.visit()
        assert (await line.ask(request())).status == 204
        assert (await line.ask(request())).status == 204
        line.writer.write(request()[:40])
        (answer,) = answers(await line.end())
        assert answer.status == 408


async def test_what_comes_in_one_piece_with_the_handshake_is_answered(
    certificate: Certificate,
) -> None:
    """The last flight of the client's and its first request, in one write to the socket."""
    async with place(*certificate) as here:
        inward, outward = ssl.MemoryBIO(), ssl.MemoryBIO()
        client = certificate[1].wrap_bio(inward, outward, server_hostname="localhost")
        reader, writer = await asyncio.open_connection("127.0.0.1", here.port)
        shaking = True
        while shaking:
            try:
                client.do_handshake()
                shaking = False
                client.write(request(close=True))
            except ssl.SSLWantReadError:
                pass
            writer.write(outward.read())
            if shaking:
                inward.write(await asyncio.wait_for(reader.read(65536), GRACE))
        came = b""
        async with asyncio.timeout(GRACE):
            while b"HTTP/1.1 204" not in came:
                inward.write(await reader.read(65536))
                with suppress(ssl.SSLWantReadError):
                    came += client.read(65536)
        writer.close()


async def test_who_never_shakes_hands_is_shown_the_door(
    certificate: Certificate, caplog: pytest.LogCaptureFixture
) -> None:
    tls, trusted = certificate
    async with place(tls, trusted, connections=10) as here, AsyncExitStack() as crowd:
        silent = Place(here.port, here.service)
        lines = [await silent.visit() for _ in range(30)]
        for line in lines:
            crowd.callback(line.writer.close)
        assert await here.status() == 204
        assert {await line.end() for line in lines} == {b""}
        assert await here.status() == 204
    assert all(record.levelno <= logging.WARNING for record in caplog.records)


async def test_while_all_are_busy_nobody_more_shakes_hands(certificate: Certificate) -> None:
    async with place(*certificate, connections=1) as here:
        busy = await here.visit()
        busy.writer.write(request("PUT", "Content-Length: 8", path=f"{PATH}/01", body=b"{"))
        await asyncio.sleep(PATIENCE / 4)
        with pytest.raises((ConnectionError, ssl.SSLError)):
            await here.visit()
        assert (await busy.ask(b'"a": 1}')).status == 400
        assert await here.status() == 204
        busy.writer.close()
