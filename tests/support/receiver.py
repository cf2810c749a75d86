"""A client's own server: it takes events, or does not, and checks how they are signed."""

import asyncio
import hmac
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from hashlib import sha256
from urllib.parse import parse_qsl

from aiohttp import web

from bridge.lab.ports import free_tcp


@dataclass(frozen=True)
class Taken:
    """A request as it came: ``content`` is the body of a POST, the query of a GET."""

    method: str
    path: str
    content: str
    headers: dict[str, str]
    status: int

    @property
    def parameters(self) -> dict[str, str]:
        """The parameters, each of which is there once."""
        pairs = parse_qsl(self.content, keep_blank_values=True, strict_parsing=True)
        assert len(dict(pairs)) == len(pairs)
        return dict(pairs)

    def is_signed_with(self, secret: str) -> bool:
        """Whether the signature is right, by the scheme of Standard Webhooks."""
        key = b64decode(secret.removeprefix("whsec_"), validate=True)
        told = self.headers["Webhook-Id"], self.headers["Webhook-Timestamp"], self.content
        signature = b64encode(hmac.new(key, ".".join(told).encode(), sha256).digest()).decode()
        return self.headers["Webhook-Signature"] == f"v1,{signature}"


class Receiver:
    """A server on loopback, at a port that it keeps while it is down.

    ``status`` is what it answers with, ``location`` where it redirects to, ``delay`` how many
    seconds it takes its time.
    """

    def __init__(self) -> None:
        self.port = free_tcp()
        self.taken: list[Taken] = []
        self.status = 200
        self.location = ""
        self.delay = 0.0
        self._runner: web.AppRunner | None = None
        self._came = asyncio.Condition()

    def url(self, path: str = "/events", host: str = "127.0.0.1") -> str:
        """A URL that leads here."""
        return f"http://{host}:{self.port}{path}"

    async def up(self) -> None:
        """Listen."""
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._take)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port).start()

    async def down(self) -> None:
        """Listen no more: connections are refused."""
        if self._runner is not None:
            await self._runner.cleanup()
        self._runner = None

    async def until(self, count: int, within: float = 10.0) -> list[Taken]:
        """Wait for so many requests in all, and give them."""
        async with asyncio.timeout(within), self._came:
            await self._came.wait_for(lambda: len(self.taken) >= count)
        return self.taken[:]

    async def events(self, count: int, within: float = 10.0) -> list[Taken]:
        """Wait for so many different events, and give each as it came first.

        One may come again with its EventID where the bridge was killed before it knew that it had
        been taken.
        """
        async with asyncio.timeout(within), self._came:
            await self._came.wait_for(lambda: len(self._first) >= count)
        return list(self._first.values())

    @property
    def _first(self) -> dict[str, Taken]:
        first: dict[str, Taken] = {}
        for taken in self.taken:
            first.setdefault(taken.parameters["EventID"], taken)
        return first

    @property
    def accepted(self) -> list[dict[str, str]]:
        """The parameters of what was answered with 2xx, in order."""
        return [taken.parameters for taken in self.taken if taken.status < 300]

    async def _take(self, request: web.Request) -> web.Response:
        body = (await request.read()).decode()
        content = body if request.method == "POST" else request.rel_url.raw_query_string
        status = self.status
        await asyncio.sleep(self.delay)
        headers = dict(request.headers)
        async with self._came:
            self.taken.append(Taken(request.method, request.path, content, headers, status))
            self._came.notify_all()
        return web.Response(
            status=status, headers={"Location": self.location} if self.location else {}
        )


@asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    """A receiver that is up."""
    receiver = Receiver()
    await receiver.up()
    try:
        yield receiver
    finally:
        await receiver.down()
