"""The UnifiedAPI over HTTP: routes, tokens, errors. The only importer of aiohttp.web.

A request's path and query hold numbers and may hold a token, so neither is ever logged.
"""

import logging
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from bridge import errors, uapi
from bridge.directory import Directory
from bridge.errors import AccessDenied, ApiError
from bridge.model import Extension, Principal
from bridge.service import Service
from bridge.tokens import TokenBook

log = logging.getLogger(__name__)

MAX_BODY = 64 * 1024
"""Bytes of a request's body that are read."""

CALLS = "/uapi/phoneCalls/{userId}/{extension}"
CALL = CALLS + "/{phoneCallId}"

SHUTDOWN_TIMEOUT = 15.0
"""Seconds the requests under way get to finish once the socket is closed."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Site:
    """What the handlers work with; ``public_url`` is what links begin with."""

    service: Service
    directory: Directory
    tokens: TokenBook
    public_url: str


SITE = web.AppKey("site", Site)
REQUEST_ID: ContextVar[str] = ContextVar("request_id")
"""The id of the request that is being handled, under which the log speaks of it."""


@asynccontextmanager
async def serving(
    site: Site, resource: AbstractAsyncContextManager[None], host: str, port: int
) -> AsyncIterator[tuple[str, int]]:
    """Serve the API while the context lasts; gives the address and port listened on.

    ``resource`` is held as long as requests may need it: at the end the socket closes first, then
    the requests under way finish, then the resource goes. Raises OSError when the address cannot
    be had.
    """

    async def hold(app: web.Application) -> AsyncIterator[None]:
        async with resource:
            yield

    app = make_app(site)
    app.cleanup_ctx.append(hold)
    runner = web.AppRunner(
        app, access_log=None, logger=_discreet_logger(), shutdown_timeout=SHUTDOWN_TIMEOUT
    )
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        yield runner.addresses[0][:2]
    finally:
        await runner.cleanup()


def _discreet_logger() -> logging.Logger:
    """What aiohttp logs to: of a request that is no HTTP, not the text, which may hold a token."""
    logger = logging.getLogger(f"{__name__}.http")
    logger.addFilter(_without_request)
    return logger


def _without_request(record: logging.LogRecord) -> bool:
    error = record.exc_info[1] if record.exc_info else None
    if isinstance(error, HttpProcessingError):
        record.msg, record.args = "a request was no HTTP: %s", (type(error).__name__,)
        record.exc_info = None
        record.levelno, record.levelname = logging.WARNING, "WARNING"
    return True


def make_app(site: Site) -> web.Application:
    """The application with every route of the API, with and without a trailing slash."""
    app = web.Application(client_max_size=MAX_BODY, middlewares=[_logged, _in_json])
    app[SITE] = site
    for path, method, handler in (
        (CALLS, "GET", _list_calls),
        (CALL, "GET", _get_call),
        (CALL, "PUT", _act_on_call),
    ):
        app.router.add_route(method, path, handler)
        app.router.add_route(method, path + "/", handler)
    return app


# Handlers


async def _list_calls(request: web.Request) -> web.Response:
    site, extensions = request.app[SITE], _resolve(request, _principal(request))
    query = uapi.parse_list(request.query)
    page = uapi.select(site.service.list_calls(extensions), query, _zone())
    if not page.total:
        return web.Response(status=204)
    user, extension = request.match_info["userId"], request.match_info["extension"]
    body = uapi.present_page(
        page,
        query,
        _zone(),
        link_list=uapi.list_link(site.public_url, user, extension),
        link_call=lambda call: uapi.call_link(site.public_url, user, extension, call.id),
    )
    return web.json_response(body)


async def _get_call(request: web.Request) -> web.Response:
    site, extensions = request.app[SITE], _resolve(request, _principal(request))
    call_id = uapi.parse_call_id(request.match_info["phoneCallId"])
    query = uapi.parse_list(request.query)
    call = site.service.find_call(extensions, call_id)
    if call is None:
        return web.Response(status=204)
    link = _link(request, call.id)
    return web.json_response(uapi.present_call(call, link, _zone(), query.fields))


async def _act_on_call(request: web.Request) -> web.Response:
    site, principal = request.app[SITE], _principal(request)
    extensions = _resolve(request, principal)
    form = uapi.parse_action(await request.read())
    call_id = request.match_info["phoneCallId"]
    call = await site.service.whisper(principal, extensions, call_id, form)
    if call is None:
        return web.Response(status=204)
    body = uapi.present_accepted(call, _link(request, call.id))
    return web.json_response(body, status=202)


# What handlers share


def _resolve(request: web.Request, principal: Principal) -> Sequence[Extension]:
    path = request.match_info
    return request.app[SITE].directory.resolve(principal, path["userId"], path["extension"])


def _principal(request: web.Request) -> Principal:
    """Who is asking, by the bearer token of the header or the query (RFC 6750, UnifiedAPI)."""
    site = request.app[SITE]
    client_id = site.tokens.verify(_bearer(request), time.time())
    app = site.directory.app(client_id)
    if app is None:
        raise AccessDenied
    return Principal(app)


def _bearer(request: web.Request) -> str:
    header = request.headers.get("Authorization")
    if header is not None:
        scheme, _, token = header.partition(" ")
        if scheme.lower() != "bearer":
            raise AccessDenied
        return token.strip()
    return request.query.get("accessRequestToken", "").removeprefix("Bearer ").strip()


def _link(request: web.Request, call_id: str) -> str:
    site, path = request.app[SITE], request.match_info
    return uapi.call_link(site.public_url, path["userId"], path["extension"], call_id)


def _zone() -> tzinfo:
    """The machine's zone, asked anew because its offset changes twice a year."""
    return datetime.now().astimezone().tzinfo or UTC


# Middlewares, the outermost first


@web.middleware
async def _logged(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Name the request, and log how it went without its numbers."""
    request_id = secrets.token_hex(8)
    REQUEST_ID.set(request_id)
    began = time.monotonic()
    response = await handler(request)
    response.headers["X-Request-Id"] = request_id
    response.headers["Cache-Control"] = "no-store"
    log.info(
        "request %s: %s %s: %d in %.1f ms",
        request_id,
        request.method if request.method.isalpha() else "?",
        _route(request),
        response.status,
        (time.monotonic() - began) * 1000,
    )
    return response


@web.middleware
async def _in_json(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn every error into the contract's JSON."""
    try:
        return await handler(request)
    except ApiError as error:
        return _error_response(error)
    except web.HTTPException as error:
        if error.status < 400:
            raise
        response = _error_response(_contract_error(error), error.status)
        if "Allow" in error.headers:
            response.headers["Allow"] = error.headers["Allow"]
        return response
    except Exception:
        log.exception("request %s failed", REQUEST_ID.get())
        return _error_response(errors.InternalServerError())


def _contract_error(error: web.HTTPException) -> ApiError:
    kinds: dict[int, type[ApiError]] = {
        404: errors.NotFound,
        405: errors.MethodNotAllowed,
        413: errors.BodyTooLarge,
    }
    return kinds.get(error.status, errors.RequestInvalid)()


def _error_response(error: ApiError, status: int | None = None) -> web.Response:
    response = web.json_response(uapi.present_error(error), status=status or error.status)
    if isinstance(error, errors.PbxUnavailable | errors.TooManyRequests):
        response.headers["Retry-After"] = str(error.retry_after)
    if isinstance(error, AccessDenied):
        response.headers["WWW-Authenticate"] = "Bearer"
    return response


def _route(request: web.Request) -> str:
    resource = request.match_info.route.resource
    return resource.canonical if resource is not None else "(no route)"
