"""Relays that do nothing but write a ready Originate for whatever request comes: what a process
between client and PBX costs in any case, and what an aiohttp application does.

``python -m tests.bench.relays KIND PORT TARGET`` prints the port it listens on.
"""

import asyncio
import sys
from collections.abc import Awaitable, Callable

from aiohttp import web

from tests.bench.originate import Raw

_ANSWER = b"HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\n\r\n{}"

Call = Callable[[], None]


class _Bare(asyncio.Protocol):
    """Reads nothing of the request."""

    def __init__(self, call: Call) -> None:
        self._call = call

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._call()
        self._transport.write(_ANSWER)


async def _asyncio(call: Call) -> int:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Bare(call), "127.0.0.1", 0)
    return int(server.sockets[0].getsockname()[1])


async def _aiohttp(call: Call) -> int:
    async def handle(request: web.Request) -> web.Response:
        await request.read()
        call()
        return web.Response(status=202)

    app = web.Application()
    app.router.add_put("/uapi/phoneCalls/{userId}/{extension}/{phoneCallId}", handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    return int(runner.addresses[0][1])


KINDS: dict[str, Callable[[Call], Awaitable[int]]] = {"asyncio": _asyncio, "aiohttp": _aiohttp}


async def main(kind: str, port: int, target: str) -> None:
    """Relay until killed."""
    print(await KINDS[kind](Raw(port, target, kind).call), flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), sys.argv[3]))
