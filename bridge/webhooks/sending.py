"""Sends one event to a client's URL, and nowhere where nothing may be sent.

The address is looked at when the socket for it is made: whatever a name resolves to at that
moment, and whatever is written in its place, nothing is connected to that may not be reached.
Redirects are not followed, proxies not used, and of an answer only the status is read.
"""

import socket
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from types import TracebackType
from typing import Any, Final, Self

import aiohttp
from yarl import URL

from bridge.hooks import Hook, HookMethod
from bridge.webhooks.addresses import Network, may_reach
from bridge.webhooks.resolving import Resolver
from bridge.webhooks.signing import headers_of
from bridge.webhooks.store import Delivery
from bridge.webhooks.turns import Turns

TIMEOUT: Final = 10.0
"""Seconds for a request whose turn it is, from looking up the name to the status of the answer."""

FORM: Final = "application/x-www-form-urlencoded"

_STATUS: Final = "status "


class NotReachable(OSError):
    """Nothing is sent to this address."""

    def __init__(self) -> None:
        super().__init__("nothing is sent to an address like this (BRIDGE_WEBHOOKS_ALLOW)")


class Sender:
    """Sends while its context lasts; ``allowed`` are networks to reach although not global.

    ``timeout`` is in seconds; ``wall`` gives epoch seconds.
    """

    def __init__(
        self,
        allowed: Sequence[Network] = (),
        *,
        timeout: float = TIMEOUT,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._allowed = tuple(allowed)
        self._timeout = timeout
        self._wall = wall
        self._turns = Turns()
        self._resolver = Resolver()
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        connector = aiohttp.TCPConnector(
            limit=0,
            force_close=True,
            use_dns_cache=False,
            resolver=self._resolver,
            socket_factory=self._socket,
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": f"whisper-bridge/{version('whisper-bridge')}"},
            timeout=aiohttp.ClientTimeout(total=self._timeout),
            auto_decompress=False,
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._session is not None:
            await self._session.close()
            await self._resolver.close()

    def may_reach(self, url: str) -> bool:
        """Whether a URL may lead somewhere; of a name that shows only when it is looked up."""
        try:
            return may_reach(URL(url, encoded=True).host or "", self._allowed)
        except ValueError:
            return True

    async def send(self, hook: Hook, delivery: Delivery) -> str:
        """Send an event; return why the client did not take it, or nothing if it did.

        It waits its turn among all that is sent, and to the same server. What is returned tells
        neither URL nor numbers.
        """
        method, url, body = _request(hook, delivery)
        async with self._turns.turn(url.raw_authority) as turn:
            trouble = await self._ask(hook, delivery, method, url, body)
            turn.answered = not trouble or trouble.startswith(_STATUS)
        return trouble

    async def _ask(
        self, hook: Hook, delivery: Delivery, method: str, url: URL, body: str | None
    ) -> str:
        if self._session is None:
            raise RuntimeError("there is no session")
        content = url.raw_query_string if body is None else body
        sent = headers_of(hook.secret, delivery.event, int(self._wall()), content)
        if body is not None:
            sent["Content-Type"] = FORM
        try:
            async with self._session.request(
                method, url, headers=sent, data=body, allow_redirects=False
            ) as answer:
                answer.close()
                return "" if 200 <= answer.status < 300 else f"{_STATUS}{answer.status}"
        except TimeoutError:
            return f"no answer within {self._timeout:g} s"
        except aiohttp.ClientConnectorError as error:
            refused = isinstance(error.os_error, NotReachable)
            return str(error.os_error) if refused else type(error).__name__
        # Whatever else goes wrong is that of the client's server, or of its URL.
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return type(error).__name__

    def _socket(self, address: tuple[Any, ...]) -> socket.socket:
        family, kind, protocol, _, place = address
        if not may_reach(place[0], self._allowed):
            raise NotReachable
        return socket.socket(family, kind, protocol)


def _request(hook: Hook, delivery: Delivery) -> tuple[str, URL, str | None]:
    """Method, URL and body."""
    if hook.method is HookMethod.POST:
        return "POST", URL(hook.url, encoded=True), delivery.content
    between = "?" if "?" not in hook.url else "" if hook.url.endswith(("?", "&")) else "&"
    return "GET", URL(f"{hook.url}{between}{delivery.content}", encoded=True), None
