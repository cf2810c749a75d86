"""Requests to the service, each with a token."""

import asyncio
import json
import os
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final, Self
from urllib.parse import urlsplit

import aiohttp
from pydantic import ValidationError
from yarl import URL

from bridge.client.credentials import Credential
from bridge.client.errors import CredentialError, Cut, Refused, Unreachable
from bridge.uapi import ErrorBody

TOKEN: Final = "/oauth/token.php"

_CONNECTING: Final = 10.0
_TIMES: Final = aiohttp.ClientTimeout(total=30, sock_connect=_CONNECTING)
"""Of a request that is no stream, and waits for nobody."""

_LEEWAY: Final = 10.0
"""Seconds that an answer may take beyond those the service was asked to wait."""

QUIET: Final = 50.0
"""Seconds without any sign after which a stream counts as lost: three heartbeats and a little."""

_STREAMING: Final = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECTING, sock_read=QUIET)

_BROKEN: Final = (aiohttp.ClientError, TimeoutError, OSError)
_NEVER_SENT: Final = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)

_GATEWAYS: Final = frozenset({502, 504, 524})
"""What proxies answer who have, or can have, no more patience with the service; 524 is
Cloudflare's (RFC 9110, sections 15.6.3 and 15.6.5)."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the service says: HTTP's ``status``, and JSON, None where there is none (204)."""

    status: int
    content: Any


class Connection:
    """The way to the service at ``url``, for whoever has the ``credential``."""

    def __init__(self, http: aiohttp.ClientSession, url: str, credential: Credential) -> None:
        self._http = http
        self._url = url
        self._credential = credential

    @classmethod
    @asynccontextmanager
    async def to(
        cls, url: str, credential: Credential, ca_file: Path | None = None
    ) -> AsyncIterator[Self]:
        """Yield a connection to the service at ``url``, e.g. ``https://pbx.example.com``.

        ``ca_file`` has the certificates that vouch for the service's, in PEM; by default it is the
        machine's that do. Raises CredentialError where that file is none.
        """
        connector = aiohttp.TCPConnector(ssl=_trusted(ca_file))
        async with aiohttp.ClientSession(connector=connector) as http:
            yield cls(http, url, credential)

    async def ask(self, method: str, path: str) -> Any:
        """Return the JSON that answers a request, None where there is none (204).

        ``path`` follows the service's URL and is sent as it is. Raises ClientError.
        """
        async with self._answered(method, path, _TIMES) as answer:
            return await _content(answer)

    async def put(self, path: str, body: object, wait: int) -> Answer:
        """Ask for something once, and would have the answer tell its outcome (RFC 7240).

        ``wait`` is how many seconds that may take. Raises ClientError, Cut where no answer tells
        whether it has been done.
        """
        limit = aiohttp.ClientTimeout(total=wait + _LEEWAY, sock_connect=_CONNECTING)
        prefer = {"Prefer": f"wait={wait}"}
        async with self._answered(
            "PUT", path, limit, json=body, headers=prefer, middlewares=(_once,)
        ) as answer:
            return Answer(answer.status, await _content(answer))

    @asynccontextmanager
    async def stream(self, path: str, last_id: str = "") -> AsyncIterator[aiohttp.StreamReader]:
        """Yield what a stream of events sends, resumed after ``last_id``. Raises ClientError."""
        headers = {"Accept": "text/event-stream", "Cache-Control": "no-store"}
        if last_id:
            headers["Last-Event-ID"] = last_id
        async with self._answered("GET", path, _STREAMING, headers=headers) as answer:
            if answer.content_type != "text/event-stream":
                raise _no_service(answer)
            yield answer.content

    @asynccontextmanager
    async def _answered(
        self, method: str, path: str, limit: aiohttp.ClientTimeout, **more: Any
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Ask, and once more if the token is refused and another one is to be had."""
        headers = more.pop("headers", {})
        for again in (True, False):
            token = await self._credential.token(self._exchange)
            bearer = {"Authorization": f"Bearer {token}"}
            asking = self._requested(method, path, limit, headers={**headers, **bearer}, **more)
            async with asking as answer:
                refused = answer.status == HTTPStatus.UNAUTHORIZED
                # What is out of reach is refused in the same way, whatever the token.
                if not (refused and again and self._credential.refused()):
                    await _require_success(answer)
                    yield answer
                    return

    @asynccontextmanager
    async def _requested(
        self, method: str, path: str, limit: aiohttp.ClientTimeout, **more: Any
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        url = URL(self._url + path, encoded=True)
        try:
            # Who is sent elsewhere would take his token there.
            async with self._http.request(
                method, url, timeout=limit, allow_redirects=False, **more
            ) as answer:
                yield answer
        except _NEVER_SENT as error:
            raise Unreachable(f"{self._url}: {_reason(error)}") from error
        except _BROKEN as error:
            raise Cut(f"{self._url}: {_reason(error)}") from error

    async def _exchange(self, client_id: str, secret: str) -> str:
        form = {
            "grant_type": "client_credentials",
            "client_id": client_id,
            "client_secret": secret,
        }
        async with self._requested("POST", TOKEN, _TIMES, data=form) as answer:
            await _require_success(answer)
            content = await _content(answer)
            if not isinstance(content, dict) or "access_token" not in content:
                raise _no_service(answer)
            return str(content["access_token"])


def is_safe(url: str) -> bool:
    """Whether a token may travel to this URL: over TLS, or without leaving the machine."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    return parts.scheme == "https" or host in ("localhost", "::1") or host.startswith("127.")


def _trusted(ca_file: Path | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca_file)
    except OSError as error:  # SSLError is one, too
        reason = error.strerror or "no certificates in PEM"
        raise CredentialError(f"the file of certificates {ca_file}: {reason}") from error


async def _once(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """Send a request at most once: aiohttp would send a PUT again whose connection was cut.

    Has a phone rung meanwhile and not been picked up, it would ring again.
    """
    try:
        return await handler(request)
    except _NEVER_SENT:
        raise
    except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError) as error:
        raise Cut(f"{request.url.origin()}: {_reason(error)}") from error


async def _content(answer: aiohttp.ClientResponse) -> Any:
    if answer.status == HTTPStatus.NO_CONTENT:
        return None
    try:
        return json.loads(await answer.text())
    except ValueError as error:
        raise _no_service(answer) from error


async def _require_success(answer: aiohttp.ClientResponse) -> None:
    if answer.ok and answer.status < HTTPStatus.MULTIPLE_CHOICES:
        return
    content = await _content(answer)
    code, message = _error_in(content)
    if not code:
        raise _no_service(answer)
    wait = answer.headers.get("Retry-After", "")
    raise Refused(answer.status, code, message, int(wait) if wait.isdecimal() else 0)


def _error_in(content: object) -> tuple[str, str]:
    """Code and message of an error of the contract or of OAuth's; empty where it is neither."""
    if isinstance(content, Mapping) and isinstance(content.get("error"), str):
        return content["error"], str(content.get("error_description", ""))
    try:
        error = ErrorBody.model_validate(content).error
    except ValidationError:
        return "", ""
    return error.code, error.message


def _no_service(answer: aiohttp.ClientResponse) -> Unreachable:
    place, said = answer.url.origin(), f"status {answer.status}, {answer.content_type}"
    if answer.status in _GATEWAYS:
        return Cut(f"{place}: a proxy answers in the service's place ({said})")
    return Unreachable(f"{place}: what answers there is no whisper-bridge ({said})")


def _reason(error: Exception) -> str:
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return f"its certificate is not trusted: {error.certificate_error}"
    if isinstance(error, asyncio.TimeoutError):
        return "no answer in time"
    if isinstance(error, aiohttp.ClientConnectorError):
        return _system_reason(error.os_error)
    return str(error) or type(error).__name__


def _system_reason(error: OSError) -> str:
    # asyncio writes its own words into refusals; those of names that are not found are no errno.
    if error.errno is not None and error.errno > 0:
        return os.strerror(error.errno)
    return error.strerror or str(error) or "cannot be connected to"
