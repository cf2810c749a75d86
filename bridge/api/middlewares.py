"""What every request passes through, the outermost first: the log, and errors in JSON."""

import logging
import secrets
import time

from aiohttp import web
from aiohttp.hdrs import METH_ALL

from bridge import errors
from bridge.api.answering import named, refusal, refusal_of_http
from bridge.api.asking import address_of
from bridge.api.protocol import Connection
from bridge.api.site import ADDRESS, REQUEST_ID, SITE, Handler
from bridge.api.waiting import WAITED
from bridge.api.watching import WATCHED_PATHS
from bridge.errors import ApiError
from bridge.happenings import Responded

log = logging.getLogger(__name__)


@web.middleware
async def logged(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Name the request, and log how it went without its numbers."""
    # Never one that a client chose: that it is of this request alone is what the audit rests on.
    request_id = secrets.token_hex(8)
    mark = REQUEST_ID.set(request_id)
    if isinstance(request.protocol, Connection):
        request.protocol.begin()
    try:
        began = time.monotonic()
        response = await handler(request)
        _tell(request, response, time.monotonic() - began)
        named(response, request_id)
    finally:
        # The next request of this connection runs in the same context.
        REQUEST_ID.reset(mark)
        WAITED.set(0.0)
    return response


def _tell(request: web.Request, response: web.StreamResponse, took: float) -> None:
    """Report and log how a request went; what its client preferred to wait is no work."""
    site, status = request.app[SITE], response.status
    method = request.method if request.method in METH_ALL else "?"
    route = _route(request)
    whole = isinstance(response, web.Response)
    waited = WAITED.get()
    took -= waited
    site.service.report(Responded(route, method, status, took if whole else None))
    # What machines ask for again and again would fill the log.
    level = logging.DEBUG if route.rstrip("/") in WATCHED_PATHS else logging.INFO
    milliseconds = round(took * 1000, 1)
    data = {"method": method, "route": route, "status": status, "milliseconds": milliseconds}
    if waited:
        data["waited"] = round(waited, 3)
    after = f", after {waited:.1f} s of waiting as preferred" if waited else ""
    words = method, route, status, milliseconds, after
    log.log(level, "%s %s: %d in %.1f ms%s", *words, extra={"data": data})


@web.middleware
async def in_json(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn every error into the contract's JSON."""
    try:
        address = address_of(request)
        ADDRESS.set(address)
        request.app[SITE].gate.enter(address)
        return await handler(request)
    except ApiError as error:
        return refusal(error, request.path)
    except web.HTTPException as error:
        if error.status < 400:
            raise
        return refusal_of_http(error, request.path)
    except Exception:
        log.exception("the request failed")
        return refusal(errors.InternalServerError(), request.path)


def _route(request: web.Request) -> str:
    resource = request.match_info.route.resource
    return resource.canonical if resource is not None else "(no route)"
