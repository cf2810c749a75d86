"""HTTP byte for byte: requests as they are written, answers as they come."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from multidict import CIMultiDict


@dataclass(frozen=True)
class RawAnswer:
    """One answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def code(self) -> str:
        """The code of an error, in either form; empty if it is none."""
        error = self.json.get("error", {}) if self.body[:1] == b"{" else {}
        return str(error if isinstance(error, str) else error.get("code", ""))

    @property
    def json(self) -> Any:
        """The body."""
        return json.loads(self.body)


def answers(stream: bytes, methods: Sequence[str] = ()) -> list[RawAnswer]:
    """All answers in what came on a connection; those to HEAD have no body.

    Raises ValueError where it is not answers and nothing but answers.
    """
    return list(_answers(stream, iter(methods)))


def _answers(stream: bytes, methods: Iterator[str]) -> Iterator[RawAnswer]:
    while stream:
        head, end, stream = stream.partition(b"\r\n\r\n")
        status, headers = parse_head(head)
        if not end:
            raise ValueError(f"cut off: {head!r}")
        if status == 100:
            continue
        length = 0 if next(methods, "") == "HEAD" else int(headers.get("Content-Length", "0"))
        if len(stream) < length:
            raise ValueError(f"cut off: {stream!r}")
        yield RawAnswer(status, headers, stream[:length])
        stream = stream[length:]


def parse_head(head: bytes) -> tuple[int, CIMultiDict[str]]:
    """Status and headers. Raises ValueError."""
    first, *lines = head.decode("latin-1").split("\r\n")
    version, status, _ = first.split(" ", 2)
    if not version.startswith("HTTP/"):
        raise ValueError(f"no answer: {first}")
    pairs = (line.split(": ", 1) for line in lines)
    return int(status), CIMultiDict((name, value) for name, value in pairs)


async def exchange(
    host: str, port: int, *sent: bytes, leave: bool = False, within: float = 5
) -> bytes:
    """Send bytes, piece by piece, and return what came until the other side ended.

    With ``leave`` the end comes from here, after the last piece.
    """
    reader, writer = await asyncio.open_connection(host, port)
    try:
        for piece in sent:
            writer.write(piece)
            await writer.drain()
        if leave:
            writer.write_eof()
        return await asyncio.wait_for(reader.read(), within)
    finally:
        writer.close()


class Pipe:
    """A connection that is kept, on which many requests are asked at once."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    @asynccontextmanager
    async def to(cls, url: str) -> AsyncIterator["Pipe"]:
        """A connection to the server of a URL."""
        where = urlsplit(url)
        pipe = cls(*await asyncio.open_connection(where.hostname, where.port, limit=1 << 20))
        try:
            yield pipe
        finally:
            pipe._writer.close()

    async def ask(self, *requests: bytes) -> list[RawAnswer]:
        """The answers to requests, none of which is a HEAD or ends the connection."""
        self._writer.write(b"".join(requests))
        return [await self._answer() for _ in requests]

    async def _answer(self) -> RawAnswer:
        status = 100
        while status == 100:
            head = await self._reader.readuntil(b"\r\n\r\n")
            status, headers = parse_head(head.removesuffix(b"\r\n\r\n"))
        length = int(headers.get("Content-Length", "0"))
        return RawAnswer(status, headers, await self._reader.readexactly(length))


def request(
    method: str, path: str, token: str = "", body: bytes = b"", headers: bytes = b""
) -> bytes:
    """A plain request."""
    return b"%b %b HTTP/1.1\r\nHost: x\r\n%b%bContent-Length: %d\r\n\r\n%b" % (
        method.encode(),
        path.encode(),
        b"Authorization: Bearer %b\r\n" % token.encode() if token else b"",
        headers,
        len(body),
        body,
    )
