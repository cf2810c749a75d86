"""How the service is, for those who watch over it: health, readiness and metrics, without a token.

They tell nothing secret and are for who is near only: to others there is nothing at these paths.
"""

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Final, Literal

from aiohttp import web
from pydantic import BaseModel, Field

from bridge.addresses import parsed
from bridge.api.routes import UAPI_ERRORS, Route
from bridge.api.site import ADDRESS, SITE, Handler, Watch
from bridge.errors import NotFound
from bridge.health import Trouble
from bridge.openapi import Access, Operation, Reply

_FORWARDED: Final = ("Forwarded", "X-Forwarded-For", "X-Real-IP")
"""What a proxy adds to a request."""

Answer = Callable[[web.Request, Watch], Awaitable[web.Response]]


class Alive(BaseModel):
    """That the service runs."""

    alive: Literal[True]


class Ready(BaseModel):
    """Since when the service can do its work."""

    ready: Literal[True]
    since: datetime


class Unready(BaseModel):
    """What keeps the service from its work, and since when."""

    ready: Literal[False]
    since: datetime
    reason: str = Field(json_schema_extra={"enum": [each.name.lower() for each in Trouble]})
    message: str = Field(description="The same for the operator.")


async def _health(request: web.Request, watch: Watch) -> web.Response:
    """Alive: the event loop answers; should the task of the link end, the service ends with it."""
    return web.json_response({"alive": True})


async def _readiness(request: web.Request, watch: Watch) -> web.Response:
    """Ready once the picture of the PBX is complete; 503 with what is wrong, and since when."""
    found = watch.readiness()
    since = datetime.fromtimestamp(found.since).astimezone().isoformat(timespec="seconds")
    if found.trouble is None:
        return web.json_response({"ready": True, "since": since})
    reason = found.trouble.name.lower()
    body = {"ready": False, "since": since, "reason": reason, "message": found.trouble.value}
    return web.json_response(body, status=503, headers={"Retry-After": "2"})


async def _metrics(request: web.Request, watch: Watch) -> web.Response:
    """The metrics, in the text format of Prometheus or in OpenMetrics."""
    body, media_type = watch.metrics(request.headers.get("Accept", ""))
    return web.Response(body=body, headers={"Content-Type": media_type})


def _for_the_near(answer: Answer) -> Handler:
    async def handler(request: web.Request) -> web.StreamResponse:
        watch = request.app[SITE].watch
        if watch is None or not _is_near(request, watch):
            raise NotFound
        return await answer(request, watch)

    return handler


def _is_near(request: web.Request, watch: Watch) -> bool:
    """Whether a request comes from an address that may watch.

    What a proxy that is not trusted passes on comes from anywhere.
    """
    peer, address = request.remote or "", ADDRESS.get()
    believed = address != request.app[SITE].proxies.client(peer, ())
    if not believed and any(name in request.headers for name in _FORWARDED):
        return False
    found = parsed(address)
    return found is not None and any(found in network for network in watch.near)


def _route(path: str, answer: Answer, name: str, summary: str, *replies: Reply) -> Route:
    operation = Operation(
        name=name,
        summary=summary,
        description="Without a token, for clients that are near; to others there is no such path.",
        replies=replies,
        errors=(NotFound,),
        form=UAPI_ERRORS,
        access=Access.NONE,
    )
    return Route("GET", path, _for_the_near(answer), operation)


WATCH_ROUTES: Final = (
    _route("/healthz", _health, "getHealth", "Alive?", Reply(200, "It is.", Alive)),
    _route(
        "/readyz",
        _readiness,
        "getReadiness",
        "Is every call of the PBX known?",
        Reply(200, "Every one is.", Ready),
        Reply(503, "Not now.", Unready),
    ),
    _route(
        "/metrics",
        _metrics,
        "getMetrics",
        "Figures for Prometheus",
        Reply(200, "The figures.", str, "text/plain"),
    ),
)

WATCHED_PATHS: Final = frozenset(route.path for route in WATCH_ROUTES)
"""Paths that machines ask for again and again."""
