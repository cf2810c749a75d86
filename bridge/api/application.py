"""The application with its routes, and the socket it is served on."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from typing import Final

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from bridge.api.calls import CALL_ROUTES
from bridge.api.description import DESCRIPTION_ROUTES, publish
from bridge.api.door import Door
from bridge.api.handshake import Handshake
from bridge.api.hooks import HOOK_ROUTES
from bridge.api.middlewares import in_json, logged
from bridge.api.oauth import TOKEN_ROUTES
from bridge.api.protocol import Connection
from bridge.api.routes import Route, add
from bridge.api.seats import SEATS, Seats
from bridge.api.site import SITE, Site
from bridge.api.streams import STREAM_ROUTES, finish_streams
from bridge.api.tls import Tls
from bridge.api.waiting import SHARE, WAITING, Waiting, finish_waiting
from bridge.api.watching import WATCH_ROUTES

ROUTES: Final[tuple[Route, ...]] = (
    *CALL_ROUTES,
    *STREAM_ROUTES,
    *HOOK_ROUTES,
    *TOKEN_ROUTES,
    *WATCH_ROUTES,
    *DESCRIPTION_ROUTES,
)
"""Every route, described beside its handler; tried in this order, so whispers come first."""

MAX_BODY = 64 * 1024
"""Bytes of a request's body that are read."""

SHUTDOWN_TIMEOUT = 15.0
"""Seconds the requests under way get to finish once the socket is closed."""


@asynccontextmanager
async def serving(
    site: Site,
    resource: AbstractAsyncContextManager[None],
    host: str,
    port: int,
    *,
    tls: Tls | None = None,
) -> AsyncIterator[tuple[str, int]]:
    """Serve the API while the context lasts; gives the address and port listened on.

    It is spoken over ``tls``, or in plain HTTP without.
    ``resource`` is held as long as requests may need it: at the end the socket closes first, then
    the requests under way finish, then the resource goes. Raises OSError when the address cannot
    be had.
    """

    async def hold(app: web.Application) -> AsyncIterator[None]:
        async with resource:
            yield

    app = make_app(site)
    app.cleanup_ctx.append(hold)
    runner = web.AppRunner(app, shutdown_timeout=SHUTDOWN_TIMEOUT)
    door = Door(site.manners)
    # The address comes first: whoever cannot have it leaves the resource alone.
    listener = await _bound(runner, door, host, port, tls)
    try:
        await runner.setup()
        async with door:
            await listener.start_serving()
            try:
                yield listener.sockets[0].getsockname()[:2]
            finally:
                listener.close()
    finally:
        listener.close()
        await runner.cleanup()


async def _bound(
    runner: web.AppRunner, door: Door, host: str, port: int, tls: Tls | None
) -> asyncio.Server:
    """Take the address, to listen there later."""
    logger = _discreet_logger()

    def speaker() -> Connection:
        if runner.server is None:
            raise RuntimeError("somebody came before or after hours")
        return Connection(door, runner.server, logger)

    visitor = partial(Handshake, door, tls.context, speaker) if tls else speaker
    loop = asyncio.get_running_loop()
    return await loop.create_server(visitor, host, port, start_serving=False)


def make_app(site: Site) -> web.Application:
    """The application with every route of the API, with and without a trailing slash."""
    app = web.Application(client_max_size=MAX_BODY, middlewares=[logged, in_json])
    app[SITE] = site
    app[SEATS] = Seats(site.manners.connections)
    app[WAITING] = Waiting(site.manners.connections // SHARE)
    add(app, ROUTES)
    app.on_shutdown.append(finish_streams)
    app.on_shutdown.append(finish_waiting)
    publish(app, ROUTES)
    return app


def _discreet_logger() -> logging.Logger:
    """What aiohttp logs to: of a request that is no HTTP, not the text, which may hold a token."""
    logger = logging.getLogger(f"{__name__}.http")
    logger.addFilter(_without_request)
    return logger


def _without_request(record: logging.LogRecord) -> bool:
    error = record.exc_info[1] if record.exc_info else None
    if isinstance(error, HttpProcessingError | web.RequestPayloadError):
        record.msg, record.args = "a request was no HTTP: %s", (type(error).__name__,)
        record.exc_info = None
        record.levelno, record.levelname = logging.WARNING, "WARNING"
    return True
