"""The line between a bridge and Asterisk's manager interface, which can be cut."""

import asyncio
import contextlib
from types import TracebackType
from typing import Self

from bridge.lab.ports import free_tcp


class AmiLine:
    """Forwards TCP connections to `pbx_port`, as long as it is whole.

    Attributes:
        port: where the bridge connects to.
    """

    def __init__(self, pbx_port: int) -> None:
        self.port = free_tcp()
        self._pbx_port = pbx_port
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        await self.mend()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.cut()

    async def mend(self) -> None:
        """Let connections through."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)

    async def cut(self) -> None:
        """End every connection and let none through."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)
        with contextlib.suppress(OSError, asyncio.CancelledError):
            await self._forward(reader, writer)

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            from_pbx, to_pbx = await asyncio.open_connection("127.0.0.1", self._pbx_port)
            try:
                async with asyncio.TaskGroup() as both:
                    both.create_task(_copy(reader, to_pbx))
                    both.create_task(_copy(from_pbx, writer))
            finally:
                to_pbx.close()
        finally:
            writer.close()


async def _copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    while data := await source.read(65536):
        sink.write(data)
        await sink.drain()
    sink.close()
