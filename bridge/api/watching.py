"""How the service is, for those who watch over it: health, readiness and metrics, without a token.

They tell nothing secret and are for who is near only: to others there is nothing at these paths.
"""

from collections.abc import Awaitable, Callable
from datetime import datetime

from aiohttp import web

from bridge.addresses import parsed
from bridge.api.asking import address_of
from bridge.api.site import SITE, Handler, Watch
from bridge.errors import NotFound

_FORWARDED = ("Forwarded", "X-Forwarded-For", "X-Real-IP")
"""What a proxy adds to a request."""


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
    return web.json_response(body, status=503)


async def _metrics(request: web.Request, watch: Watch) -> web.Response:
    """The metrics, in the text format of Prometheus or in OpenMetrics."""
    body, media_type = watch.metrics(request.headers.get("Accept", ""))
    return web.Response(body=body, headers={"Content-Type": media_type})


Answer = Callable[[web.Request, Watch], Awaitable[web.Response]]

_WATCHED: dict[str, Answer] = {"/healthz": _health, "/readyz": _readiness, "/metrics": _metrics}

PATHS = frozenset(_WATCHED)
"""Paths that machines ask for again and again."""


def routes(watch: Watch) -> list[web.RouteDef]:
    """A route for each of them."""
    return [web.get(path, _for_the_near(answer, watch)) for path, answer in _WATCHED.items()]


def _for_the_near(answer: Answer, watch: Watch) -> Handler:
    async def handler(request: web.Request) -> web.StreamResponse:
        if not _is_near(request, watch):
            raise NotFound
        return await answer(request, watch)

    return handler


def _is_near(request: web.Request, watch: Watch) -> bool:
    """Whether a request comes from an address that may watch.

    What a proxy that is not trusted passes on comes from anywhere.
    """
    peer, address = request.remote or "", address_of(request)
    believed = address != request.app[SITE].proxies.client(peer, ())
    if not believed and any(name in request.headers for name in _FORWARDED):
        return False
    found = parsed(address)
    return found is not None and any(found in network for network in watch.near)
