"""From an event of the PBX to the client that follows the calls as a stream.

A PBX that only talks sends a busy PBX's events at an even pace, to the bridge and to a reader that
does nothing but note when they come. Each call has a caller's number of its own, by which a client
knows it again. What the bridge adds is the time between the two.
"""

import asyncio
import json
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from bridge.lab.asterisk import conf_dir
from bridge.lab.server import Server
from tests.bench.originate import SECRET
from tests.bench.source import reply
from tests.bench.stream import END, numbered, one_call

PACE = 500
"""Events a second."""

CALLS = 150
FIRST_NUMBER = 5550000
CLIENTS = (1, 20)
"""How many follow the calls at the same time; the last to begin takes the time."""

_CALLER = b"3334444"
_BATCH = 5


@dataclass
class Times:
    """When a caller's call was answered, and when it ended (``time.perf_counter``)."""

    answered: dict[int, float] = field(default_factory=dict)
    ended: dict[int, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Delays:
    """Milliseconds from the reader's sight of an event to the client's."""

    answered: list[float]
    ended: list[float]


class Talker:
    """The PBX: answers every action, and tells all who logged in the same."""

    def __init__(self) -> None:
        self._writers: list[asyncio.StreamWriter] = []

    async def greet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one who connects, until he goes."""
        writer.write(b"Asterisk Call Manager/11.0.0\r\n")
        self._writers.append(writer)
        try:
            while True:
                action = await reader.readuntil(END)
                writer.write(reply(action.lstrip()))
        except (asyncio.IncompleteReadError, ConnectionError):
            self._writers.remove(writer)
            writer.close()

    async def talk(self, events: list[bytes]) -> None:
        """Tell the events at the pace, some at a time as a PBX does."""
        began = time.perf_counter()
        for sent in range(0, len(events), _BATCH):
            for writer in self._writers:
                writer.write(b"".join(events[sent : sent + _BATCH]))
            await asyncio.sleep(began + (sent + _BATCH) / PACE - time.perf_counter())


def calls_in_turn() -> list[bytes]:
    """The events of all calls; each begins when the one before is a tenth through."""
    template = one_call()
    step = len(template) // 10
    placed = [
        (call * step + place, call, event)
        for call in range(CALLS)
        for place, event in enumerate(template)
    ]
    placed.sort(key=lambda one: one[:2])
    return [_of_caller(event, call) + END for _, call, event in placed]


def _of_caller(event: bytes, call: int) -> bytes:
    return numbered(event.replace(_CALLER, b"%d" % (FIRST_NUMBER + call)), call)


async def read_raw(port: int, times: Times) -> None:
    """Note when the events come that answer and end a call, until cancelled."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        while True:
            event = await reader.readuntil(END)
            now = time.perf_counter()
            number = _number(event, b"\r\nCallerIDNum: ") or _number(
                event, b"\r\nConnectedLineNum: "
            )
            if number is None:
                continue
            # The agent's leg is the first to be answered and the first to go.
            if b"\r\nChannelStateDesc: Up\r" in event and event.startswith(b"Event: Newstate\r"):
                times.answered.setdefault(number, now)
            elif event.startswith(b"Event: Hangup\r"):
                times.ended.setdefault(number, now)
    finally:
        writer.close()


def _number(text: bytes, before: bytes) -> int | None:
    value = text.partition(before)[2][:7]
    return int(value) if value.isdigit() and int(value) >= FIRST_NUMBER else None


async def follow(lines: aiohttp.StreamReader, times: Times) -> None:
    """Note when a client sees that calls are answered and have ended, until cancelled."""
    names: dict[str, int] = {}
    event = ""
    async for line in lines:
        if line.startswith(b"event: "):
            event = line[7:].decode().strip()
        elif line.startswith(b"data: "):
            _see(event, json.loads(line[6:]), names, times)


def _see(event: str, data: Mapping[str, object], names: dict[str, int], times: Times) -> None:
    call, now = str(data.get("id")), time.perf_counter()
    if event == "phoneCallEnded":
        times.ended.setdefault(names[call], now)
    elif event == "phoneCall":
        number = _number(json.dumps(data).encode(), b"<")
        if number is not None:
            names[call] = number
            if "answered" in data:
                times.answered.setdefault(number, now)


@dataclass(frozen=True)
class Scene:
    """The PBX and the bridge beside it, who asks it, and what the reader and a client saw."""

    talker: Talker
    server: Server
    http: aiohttp.ClientSession
    raw: Times
    seen: Times


@asynccontextmanager
async def scene(clients: int, **settings: Any) -> AsyncIterator[Scene]:
    """The PBX, the bridge beside it, the reader, and clients, of which the last takes the time."""
    async with AsyncExitStack() as stack:
        run_dir = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="whisper-bench-")))
        talker, raw, seen = Talker(), Times(), Times()
        listener = await asyncio.start_server(talker.greet, "127.0.0.1", 0)
        stack.callback(listener.close)
        port = listener.sockets[0].getsockname()[1]
        directory = conf_dir() / "lab" / "directory.toml"
        server = await stack.enter_async_context(
            await Server.start(
                run_dir, ami_port=port, ami_secret=SECRET, directory=directory, **settings
            )
        )
        headers = {"Authorization": f"Bearer {await server.token('lab-app')}"}
        http = await stack.enter_async_context(
            aiohttp.ClientSession(
                headers=headers, timeout=aiohttp.ClientTimeout(total=None), raise_for_status=True
            )
        )
        running = [asyncio.create_task(read_raw(port, raw))]
        stack.callback(lambda: [task.cancel() for task in running])
        for number in range(1, clients + 1):
            answer = await stack.enter_async_context(
                http.get(f"{server.url}/uapi/phoneCallStream/12/0003*210")
            )
            reading = follow(answer.content, seen) if number == clients else _drain(answer.content)
            running.append(asyncio.create_task(reading))
        yield Scene(talker, server, http, raw, seen)


async def _drain(lines: aiohttp.StreamReader) -> None:
    while await lines.readany():
        pass


async def measure(clients: int) -> Delays:
    """Let the PBX talk, and compare what the reader and a client saw.

    Raises RuntimeError when the client missed a call.
    """
    async with scene(clients) as now:
        await now.talker.talk(calls_in_turn())
        await asyncio.sleep(0.5)
    return compared(now.raw, now.seen)


def compared(raw: Times, seen: Times) -> Delays:
    """What lies between what the reader saw and what somebody else did.

    Raises RuntimeError when he missed a call.
    """
    if raw.answered.keys() != seen.answered.keys() or raw.ended.keys() != seen.ended.keys():
        raise RuntimeError("a client did not see every call")
    return Delays(_between(raw.answered, seen.answered), _between(raw.ended, seen.ended))


def _between(raw: Mapping[int, float], seen: Mapping[int, float]) -> list[float]:
    return [(seen[number] - came) * 1000 for number, came in raw.items()]


def line(values: Sequence[float]) -> str:
    """Median, 99th percentile and maximum, as columns."""
    p99 = statistics.quantiles(values, n=100)[98]
    return f"{statistics.median(values):10.1f} {p99:8.1f} {max(values):9.1f}"


async def run() -> dict[int, Delays]:
    """Measure with each number of clients."""
    return {clients: await measure(clients) for clients in CLIENTS}


def report(results: Mapping[int, Delays]) -> None:
    """Print the table."""
    print("clients  seen       median ms   p99 ms   most ms")
    for clients, delays in results.items():
        for name, values in (("answered", delays.answered), ("ended", delays.ended)):
            print(f"{clients:7}  {name:9} {line(values)}")


if __name__ == "__main__":
    report(asyncio.run(run()))
