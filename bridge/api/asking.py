"""Who is asking, and for what: the token, the path and the body of a request."""

import asyncio
import time

from aiohttp import web

from bridge.api.site import ADDRESS, REQUEST_ID, SITE, Site
from bridge.directory import Named
from bridge.errors import (
    AccessDenied,
    BodyTooLarge,
    RequestInvalid,
    RequestTimeout,
    TokenExpired,
)
from bridge.model import Permission, Principal


async def resolve(request: web.Request, principal: Principal) -> Named:
    """The extensions the path names, as far as they are within reach and there are such."""
    site, path = request.app[SITE], request.match_info
    named = site.directory.resolve(principal, path["userId"], path["extension"])
    await site.service.require_known(principal, named, path.get("phoneCallId", ""))
    return named


def reader_of(request: web.Request) -> Principal:
    """Who is asking to see calls. Raises AccessDenied and ActionForbidden."""
    principal = principal_of(request)
    request.app[SITE].directory.may(principal.app, Permission.LIST).require()
    return principal


def still_reader_of(request: web.Request) -> Principal:
    """Who asked to see calls, if he still may; looking again is no further request.

    Raises AccessDenied and ActionForbidden.
    """
    site = request.app[SITE]
    principal = _principal(site, site.tokens.verify(_bearer(request), time.time()))
    site.directory.may(principal.app, Permission.LIST).require()
    return principal


def principal_of(request: web.Request) -> Principal:
    """Who is asking, by the bearer token of the header or the query (RFC 6750, UnifiedAPI).

    Raises AccessDenied and TooManyRequests.
    """
    site = request.app[SITE]
    principal = _principal(site, _client_id(site, _bearer(request), ADDRESS.get()))
    site.gate.serve(principal.app.client_id)
    return principal


def _principal(site: Site, client_id: str) -> Principal:
    app = site.directory.app(client_id)
    if app is None:
        raise AccessDenied
    return Principal(app, ADDRESS.get(), REQUEST_ID.get())


def _client_id(site: Site, token: str, address: str) -> str:
    try:
        return site.tokens.verify(token, time.time())
    except TokenExpired:
        raise
    except AccessDenied:
        if token:
            site.gate.fail(address)
        raise


def address_of(request: web.Request) -> str:
    """The client's address, as far as proxies can be trusted; known as ADDRESS from then on."""
    proxies, peer = request.app[SITE].proxies, request.remote or ""
    return proxies.client(peer, request.headers.getall("X-Forwarded-For", ()))


def _bearer(request: web.Request) -> str:
    headers = request.headers.getall("Authorization", ())
    tokens = request.query.getall("accessRequestToken", ())
    if len(headers) > 1 or len(tokens) > 1:
        # Which of them counts differs between servers: a proxy may have looked at the other one.
        raise AccessDenied
    if headers:
        scheme, _, token = headers[0].partition(" ")
        if scheme.lower() != "bearer":
            raise AccessDenied
        return token.strip()
    return tokens[0].removeprefix("Bearer ").strip() if tokens else ""


async def body_of(request: web.Request) -> bytes:
    """What was sent.

    Raises BodyTooLarge, RequestTimeout, and RequestInvalid where it does not arrive as announced.
    """
    if (request.content_length or 0) > request.client_max_size:
        raise BodyTooLarge
    try:
        if request.content.is_eof():
            return await request.read()
        async with asyncio.timeout(request.app[SITE].manners.patience):
            return await request.read()
    except TimeoutError as cause:
        raise RequestTimeout from cause
    except (ConnectionError, web.RequestPayloadError) as cause:
        raise RequestInvalid("The body did not arrive as it was announced.") from cause
