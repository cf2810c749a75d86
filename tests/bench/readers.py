"""The readers that are compared; each runs in a process of its own and reads one whole stream.

``python -m tests.bench.readers NAME PORT`` prints its figures as JSON.
"""

import asyncio
import json
import resource
import sys
import time
from collections.abc import Awaitable, Callable

import panoramisk

from bridge import actions
from bridge.ami import Address, Link
from bridge.directory import Directory
from bridge.lab.asterisk import conf_dir
from bridge.service import Service

END = b"\r\n\r\n"
LIMIT = 300.0
"""Seconds a reader may take."""

NEEDED = (
    "Newchannel",
    "Newstate",
    "NewCallerid",
    "NewConnectedLine",
    "Rename",
    "Hangup",
    "DialBegin",
    "DialEnd",
    "BridgeEnter",
    "BridgeLeave",
    "ChanSpyStart",
    "ChanSpyStop",
)


async def blocks(port: int) -> float:
    """Count the ends of messages in whole blocks, without looking at any message."""
    return await _count(port, lambda data: data.count(END))


async def floor(port: int) -> float:
    """Take the stream apart into messages and count them: the least that any reader does."""
    return await _count(port, _each_message)


def _each_message(data: bytes) -> int:
    count = 0
    for message in data.split(END):
        if message:
            count += 1
    return count


async def _count(port: int, counter: Callable[[bytes], int]) -> float:
    loop = asyncio.get_running_loop()
    transport, reader = await loop.create_connection(lambda: _Counter(counter), "127.0.0.1", port)
    began = time.perf_counter()
    transport.write(b"Action: Ping\r\nActionID: end\r\n\r\n")
    await reader.over
    transport.close()
    return time.perf_counter() - began


class _Counter(asyncio.Protocol):
    def __init__(self, counter: Callable[[bytes], int]) -> None:
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.count = 0
        self._counter = counter
        self._rest = b""

    def data_received(self, data: bytes) -> None:
        data = self._rest + data
        end = data.rfind(END) + len(END)
        self.count += self._counter(data[:end])
        self._rest = data[end:]
        if b"ActionID: end" in data[-200:] and not self.over.done():
            self.over.set_result(None)


async def stock_all(port: int) -> float:
    """Stock panoramisk with one handler for every event."""
    return await _stock(port, ("*",))


async def stock_needed(port: int) -> float:
    """Stock panoramisk with a handler for each of the dozen events a picture needs."""
    return await _stock(port, NEEDED)


async def _stock(port: int, patterns: tuple[str, ...]) -> float:
    manager = panoramisk.Manager(host="127.0.0.1", port=port, username="u", secret="s")
    for pattern in patterns:
        manager.register_event(pattern, lambda manager, event: None)
    await manager.connect()
    await manager.authenticated_future
    began = time.perf_counter()
    await manager.send_action({"Action": "Ping"})
    took = time.perf_counter() - began
    manager.close()
    return took


async def ours(port: int) -> float:
    """The bridge's link with its service: up to and including the updated picture of calls."""
    directory = Directory.parse((conf_dir() / "lab" / "directory.toml").read_text())
    link = Link(Address("127.0.0.1", port, "u", "s"), silence=LIMIT * 4, action_timeout=LIMIT)
    service = Service(directory, link)
    task = asyncio.create_task(link.run(service))
    while not service.complete:
        await asyncio.sleep(0.01)
    began = time.perf_counter()
    await link.send(actions.ping())
    took = time.perf_counter() - began
    task.cancel()
    if service.picture.channels:
        raise RuntimeError("calls were lost: the picture is not empty after the last hangup")
    return took


READERS: dict[str, Callable[[int], Awaitable[float]]] = {
    reader.__name__: reader for reader in (blocks, floor, stock_all, stock_needed, ours)
}


def main(name: str, port: int) -> None:
    """Run one reader and print what it took."""
    seconds = asyncio.run(_bounded(READERS[name], port))
    usage = resource.getrusage(resource.RUSAGE_SELF)
    figures = {"seconds": seconds, "cpu": usage.ru_utime + usage.ru_stime}
    print(json.dumps({**figures, "peak_mb": usage.ru_maxrss / 1024}))


async def _bounded(reader: Callable[[int], Awaitable[float]], port: int) -> float:
    async with asyncio.timeout(LIMIT):
        return await reader(port)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
