"""What is not the client's and what does not exist take the same time to refuse."""

import asyncio
import random
import socket
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlencode, urlsplit

import pytest

from tests.support.raw_http import request

from .house import House
from .world import CLIENTS, TALKS, Client

TOLD_APART: Final = 6.0
"""Standard errors beyond which a difference is no accident."""

NOTICEABLE: Final = 0.05
"""The part of a refusal's own time below which nobody can make use of a difference."""

_BY_ID: Final = {client.id: client for client in CLIENTS}
INSIDE: Final = _BY_ID["organization-of-12"]
ALONE: Final = _BY_ID["user-of-12"]

Pair = tuple[bytes, bytes]
"""Two requests whose refusals must not be told apart."""


@dataclass(frozen=True)
class Difference:
    """How two samples differ: in standard errors (Mann and Whitney's test), and as a part."""

    errors: float
    part: float

    @property
    def tells(self) -> bool:
        """Whether somebody with a watch could tell which is which."""
        return abs(self.errors) > TOLD_APART and abs(self.part) > NOTICEABLE


def compared(one: Sequence[float], other: Sequence[float]) -> Difference:
    """Compare two samples, whatever their distribution."""
    ranked = sorted([(value, 0) for value in one] + [(value, 1) for value in other])
    n, m = len(one), len(other)
    ranks = sum(rank for rank, (_, which) in enumerate(ranked, 1) if which == 0)
    expected, spread = n * (n + m + 1) / 2, (n * m * (n + m + 1) / 12) ** 0.5
    middle = statistics.median(one)
    return Difference((ranks - expected) / spread, (statistics.median(other) - middle) / middle)


@contextmanager
def connection(url: str) -> Iterator[Callable[[bytes], float]]:
    """Ask on one connection; gives the seconds an answer took."""
    where = urlsplit(url)
    with socket.create_connection((where.hostname, where.port), timeout=10) as line:
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

        def ask(asked: bytes) -> float:
            began = time.perf_counter()
            line.sendall(asked)
            assert line.recv(65536).startswith(b"HTTP/1.1 ")
            return time.perf_counter() - began

        yield ask


def timed(url: str, pair: Pair, rounds: int) -> Difference:
    """Ask for both in turns, which of them first being an accident each time."""
    chance = random.Random(20)
    times: tuple[list[float], list[float]] = [], []
    with connection(url) as ask:
        for turn in range(rounds + 20):
            for which in chance.sample((0, 1), 2):
                took = ask(pair[which])
                if turn >= 20:
                    times[which].append(took)
    return compared(*times)


async def measured(url: str, pair: Pair, rounds: int = 700) -> Difference:
    """Measure; a difference counts when it is there again."""
    found = await asyncio.to_thread(timed, url, pair, rounds)
    return await asyncio.to_thread(timed, url, pair, rounds) if found.tells else found


def of_lists(house: House, client: Client, one: str, other: str) -> Pair:
    return house.get(client, one), house.get(client, other)


@pytest.mark.parametrize(
    ("client", "theirs", "nobodys"),
    [
        pytest.param(INSIDE, "@owner/0004*210", "@owner/0004*999", id="another organization's"),
        pytest.param(ALONE, "@owner/0003*024", "@owner/0003*999", id="another user's"),
        pytest.param(ALONE, "@owner/0004*210", "@owner/0009*210", id="no such organization"),
        pytest.param(INSIDE, "40/@self", "99/@self", id="a user of another organization"),
        pytest.param(ALONE, "24/0003*024", "99/0003*024", id="a user of the same organization"),
    ],
)
async def test_an_extension_or_a_user(
    house: House, client: Client, theirs: str, nobodys: str
) -> None:
    found = await measured(house.server.url, of_lists(house, client, theirs, nobodys))
    assert not found.tells, found


async def test_a_call(house: House) -> None:
    theirs = f"12/0003*210/{house.calls[TALKS[2]]}"
    pair = of_lists(house, INSIDE, theirs, "12/0003*210/0123456789abcdef0123")
    found = await measured(house.server.url, pair)
    assert not found.tells, found


async def test_a_supervisor(house: House) -> None:
    talk = TALKS[0]
    path = f"12/0003*210/{house.calls[talk]}"
    view = next(view for view, number in house.views[talk].items() if number == "0003*210")
    theirs, nobodys = (
        house.put(INSIDE, path, sendCallTo=number, phoneCallViewId=view)
        for number in ("0004*024", "0004*999")
    )
    found = await measured(house.server.url, (theirs, nobodys))
    assert not found.tells, found


def wrong_secret(client_id: str) -> bytes:
    form = {
        "grant_type": "client_credentials",
        "client_id": client_id,
        "client_secret": "not-the-secret-of-anybody",
    }
    kind = b"Content-Type: application/x-www-form-urlencoded\r\n"
    return request("POST", "/oauth/token.php", "", urlencode(form).encode(), kind)


async def test_an_app_and_its_secret(house: House) -> None:
    known, unknown = map(wrong_secret, (INSIDE.id, "organization-of-99"))
    found = await measured(house.server.url, (known, unknown), rounds=60)
    assert not found.tells, found


# The test of the test


async def leaky(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A service that looks a little longer for what exists."""
    with suppress(asyncio.IncompleteReadError):
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            until = time.perf_counter() + (0.0006 if b"exists" in head else 0.0003)
            while time.perf_counter() < until:
                pass
            writer.write(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n")
    writer.close()


async def test_a_leak_is_noticed() -> None:
    server = await asyncio.start_server(leaky, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    pair = request("GET", "/exists"), request("GET", "/missing")
    async with server:
        found = await measured(f"http://127.0.0.1:{port}", pair)
    assert found.tells, found


def test_no_difference_is_none() -> None:
    chance = random.Random(1)
    one, other = ([chance.gauss(1.0, 0.2) for _ in range(700)] for _ in range(2))
    assert not compared(one, other).tells
    assert compared(one, [value * 1.1 for value in other]).tells
