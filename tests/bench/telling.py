"""What webhooks cost those who do not wait for them, and how late they tell.

The PBX of ``following`` talks at its even pace. A client follows the calls as a stream, another
one asks for them, and a server is told of them by webhooks. Beside it, other clients' servers
accept whatever connects to them and never answer.
"""

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import parse_qs

from tests.bench.following import Delays, Scene, Times, calls_in_turn, compared, line, scene
from tests.support.unlimited import UNLIMITED

ANSWERED = 5
HOOKS = (0, ANSWERED, ANSWERED + 300)
"""How many there are; all but five lead to servers that never answer."""

DEAD = 3
"""How many such servers there are."""

CALLS_OF_AGENT = "/uapi/phoneCalls/12/0003*210"
HOOKS_OF_AGENT = "/uapi/extensions/12/0003*210/phoneCallEvents"
_HANGUP, _ANSWERED = "2", "3"
_EVERY = 0.02
"""Seconds between two requests."""


@dataclass
class Receiver:
    """A client's server, which answers at once or never."""

    times: Times = field(default_factory=Times)
    port: int = 0
    most_open: int = 0
    _open: int = 0

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take an event, and say so."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        path = head.split(" ", 2)[1]
        length = int(head.lower().partition("content-length: ")[2].partition("\r")[0])
        given = parse_qs((await reader.readexactly(length)).decode())
        caller, now = int(given["CallerIDNum"][0]), time.perf_counter()
        if path.endswith(_ANSWERED):
            self.times.answered[caller] = now
        elif path.endswith(_HANGUP):
            self.times.ended[caller] = now
        writer.write(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
        writer.close()

    async def ignore(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Read what comes until the other side gives up."""
        self._open += 1
        self.most_open = max(self.most_open, self._open)
        try:
            while await reader.read(65536):
                pass
        except ConnectionError:
            pass
        finally:
            self._open -= 1
            writer.close()


@asynccontextmanager
async def receiving(*, answers: bool) -> AsyncIterator[Receiver]:
    """A server that listens."""
    receiver = Receiver()
    handler = receiver.take if answers else receiver.ignore
    listener = await asyncio.start_server(handler, "127.0.0.1", 0)
    receiver.port = listener.sockets[0].getsockname()[1]
    try:
        yield receiver
    finally:
        listener.close()


@dataclass(frozen=True)
class Figures:
    """Milliseconds until a change was seen, a request was answered, and an event was told.

    Then how many connections a server that never answers had at most, how many events wait in the
    end, and how many megabytes the bridge uses.
    """

    stream: list[float]
    asked: list[float]
    told: list[float]
    most_open: int
    waiting: int
    megabytes: float


async def measure(hooks: int) -> Figures:
    """Let the PBX talk with so many hooks. Raises RuntimeError when somebody missed a call."""
    async with AsyncExitStack() as stack:
        directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="whisper-bench-"))
        good = await stack.enter_async_context(receiving(answers=True))
        dead = [await stack.enter_async_context(receiving(answers=False)) for _ in range(DEAD)]
        settings = {
            "BRIDGE_WEBHOOKS_DB": f"{directory}/webhooks.sqlite",
            "BRIDGE_WEBHOOKS_ALLOW": "127.0.0.0/8",
            **UNLIMITED,
        }
        now = await stack.enter_async_context(scene(1, **settings))
        for number in range(hooks):
            await _make(now, number, good if number < ANSWERED else dead[number % DEAD])
        asked: list[float] = []
        asking = asyncio.create_task(_ask(now, asked))
        await now.talker.talk(calls_in_turn())
        await asyncio.sleep(1)
        asking.cancel()
        metrics = await _metrics(now)
    return Figures(
        stream=_all(compared(now.raw, now.seen)),
        asked=asked,
        told=_all(compared(now.raw, good.times)) if hooks else [],
        most_open=max(each.most_open for each in dead),
        waiting=int(metrics["whisper_bridge_webhook_events_waiting"]),
        megabytes=metrics["process_resident_memory_bytes"] / 1e6,
    )


async def _make(now: Scene, number: int, receiver: Receiver) -> None:
    kind = number % 5
    body = {"type": kind, "method": 1, "url": f"http://127.0.0.1:{receiver.port}/{kind}"}
    async with now.http.post(f"{now.server.url}{HOOKS_OF_AGENT}", json=body):
        pass


async def _ask(now: Scene, asked: list[float]) -> None:
    """Ask for the calls again and again, until cancelled."""
    while True:
        begun = time.perf_counter()
        async with now.http.get(f"{now.server.url}{CALLS_OF_AGENT}") as answer:
            await answer.read()
        asked.append((time.perf_counter() - begun) * 1000)
        await asyncio.sleep(_EVERY)


async def _metrics(now: Scene) -> dict[str, float]:
    async with now.http.get(f"{now.server.url}/metrics") as answer:
        rows = [row.rpartition(" ") for row in (await answer.text()).splitlines()]
    return {name: float(value) for name, _, value in rows if not name.startswith("#")}


def _all(delays: Delays) -> list[float]:
    return delays.answered + delays.ended


async def run() -> dict[int, Figures]:
    """Measure with each number of hooks."""
    return {hooks: await measure(hooks) for hooks in HOOKS}


def report(results: Mapping[int, Figures]) -> None:
    """Print the table."""
    print("hooks  of            median ms   p99 ms   most ms")
    for hooks, figures in results.items():
        of = {"the stream": figures.stream, "a request": figures.asked, "a webhook": figures.told}
        for name, values in of.items():
            if values:
                print(f"{hooks:5}  {name:12} {line(values)}")
    for hooks, figures in results.items():
        print(
            f"{hooks} hooks: {figures.megabytes:.0f} MB, {figures.waiting} events wait,"
            f" {figures.most_open} connections at most to a server that never answers"
        )


if __name__ == "__main__":
    report(asyncio.run(run()))
