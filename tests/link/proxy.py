"""A TCP proxy between a bridge and a PBX that hurts the link: cuts, stalls, splits and delays."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import suppress
from random import Random
from types import TracebackType
from typing import Self

from bridge.lab.ports import free_tcp

_LATE = 0.003
"""Seconds by which a delayed piece may be late."""


class _Side(asyncio.Protocol):
    """One end of a connection through the proxy, with what came from it and waits to go on."""

    def __init__(self, lost: Callable[[], None]) -> None:
        self.came: asyncio.Queue[bytes] = asyncio.Queue()
        self.transport: asyncio.Transport | None = None
        self._lost = lost

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.came.put_nowait(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost()

    def send(self, data: bytes) -> None:
        """Pass data on to this end."""
        if self.transport is not None and not self.transport.is_closing():
            self.transport.write(data)

    def cut(self) -> None:
        """Reset this end."""
        if self.transport is not None:
            self.transport.abort()


class _Pair:
    """One connection through the proxy; what has not arrived when an end goes is lost."""

    def __init__(self, proxy: "Proxy") -> None:
        self.bridge = _Accepted(self)
        self.pbx = _Side(self.cut)
        self.stranded = False
        self.proxy = proxy
        self.task: asyncio.Task[None] | None = None

    def cut(self) -> None:
        """Reset both ends."""
        if not self.stranded:
            self.end()

    def end(self) -> None:
        """Reset both ends, whatever is to be kept."""
        self.bridge.cut()
        self.pbx.cut()
        if self.task is not None:
            self.task.cancel()

    def strand(self) -> None:
        """Reset the bridge's end only: the PBX notices nothing."""
        self.stranded = True
        self.bridge.cut()


class _Accepted(_Side):
    """The bridge's end: once it is there, the other one is sought."""

    def __init__(self, pair: _Pair) -> None:
        super().__init__(pair.cut)
        self._pair = pair

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._pair.proxy.join(self._pair)


class Proxy:
    """Forwards connections to ``pbx_port`` and does to them what it is told.

    Attributes:
        port: where the bridge connects to.
        forwarded: what went to the PBX.
        splitting: whether everything is forwarded in small pieces.
        delaying: whether pieces are forwarded late.
    """

    def __init__(self, pbx_port: int, dice: Random | None = None) -> None:
        self.port = free_tcp()
        self.forwarded: list[bytes] = []
        self.splitting = self.delaying = False
        self._pbx_port = pbx_port
        self._dice = dice or Random(0)
        self._server: asyncio.Server | None = None
        self._pairs: set[_Pair] = set()
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._traps: dict[bytes, bool] = {}

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.shut()
        tasks = [pair.task for pair in self._pairs if pair.task is not None]
        for pair in list(self._pairs):
            pair.end()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def open(self) -> None:
        """Let connections through."""
        if self._server is None:
            self._server = await asyncio.get_running_loop().create_server(
                lambda: _Pair(self).bridge, "127.0.0.1", self.port
            )

    def shut(self) -> None:
        """Cut every connection and refuse new ones."""
        if self._server is not None:
            self._server.close()
            self._server = None
        self.cut()

    def cut(self) -> None:
        """Cut every connection; new ones are let through."""
        for pair in list(self._pairs):
            pair.cut()

    def stall(self) -> None:
        """Forward nothing, in either direction, until it flows again."""
        self._flowing.clear()

    def flow(self) -> None:
        """Forward everything, that which was stalled first."""
        self._flowing.set()

    def cut_at(self, said: bytes, *, arrives: bool) -> None:
        """Once the bridge says this, refuse connections and cut the one it came on.

        Either it still ``arrives`` at the PBX, which hears no more and notices nothing, or not.
        """
        self._traps[said] = arrives

    def join(self, pair: _Pair) -> None:
        """Forward what comes on a new connection (called by the connection)."""
        self._pairs.add(pair)
        pair.task = asyncio.create_task(self._serve(pair))
        pair.task.add_done_callback(lambda _: self._pairs.discard(pair))

    async def _serve(self, pair: _Pair) -> None:
        loop = asyncio.get_running_loop()
        with suppress(OSError):
            await self._flowing.wait()
            await loop.create_connection(lambda: pair.pbx, "127.0.0.1", self._pbx_port)
            async with asyncio.TaskGroup() as both:
                both.create_task(self._to_pbx(pair))
                both.create_task(self._to_bridge(pair))
        pair.end()

    async def _to_pbx(self, pair: _Pair) -> None:
        while True:
            data = await pair.bridge.came.get()
            arrives = self._trapped(data)
            if arrives is not False:
                self.forwarded.append(data)
                await self._forward(data, pair.pbx)
            if arrives is not None:
                pair.strand()
                self.shut()
                return

    async def _to_bridge(self, pair: _Pair) -> None:
        while True:
            await self._forward(await pair.pbx.came.get(), pair.bridge)

    def _trapped(self, data: bytes) -> bool | None:
        """Whether this is to arrive before the end; None when it is not the end."""
        for said, arrives in list(self._traps.items()):
            if said in data:
                del self._traps[said]
                return arrives
        return None

    async def _forward(self, data: bytes, sink: _Side) -> None:
        for piece in self._pieces(data):
            await self._flowing.wait()
            if self.delaying:
                await asyncio.sleep(self._dice.uniform(0, _LATE))
            elif self.splitting:
                await asyncio.sleep(0)
            sink.send(piece)

    def _pieces(self, data: bytes) -> Iterator[bytes]:
        while self.splitting and len(data) > 1:
            place = self._dice.randint(1, min(len(data), 400))
            yield data[:place]
            data = data[place:]
        if data:
            yield data
