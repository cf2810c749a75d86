"""What every request passes through, the outermost first: the log, and errors in JSON."""

import logging
import secrets
import time

from aiohttp import web
from aiohttp.hdrs import METH_ALL

from bridge import errors, oauth, uapi
from bridge.api.site import REQUEST_ID, SITE, Handler
from bridge.errors import AccessDenied, ActionForbidden, ApiError, InvalidClient
from bridge.happenings import Responded

log = logging.getLogger(__name__)

BASIC = 'Basic realm="whisper-bridge", charset="UTF-8"'
"""How a client may say who it is (RFC 7617; a 401 must say so: RFC 9110, section 15.5.2)."""


@web.middleware
async def logged(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Name the request, and log how it went without its numbers."""
    request_id = secrets.token_hex(8)
    REQUEST_ID.set(request_id)
    began = time.monotonic()
    response = await handler(request)
    took = time.monotonic() - began
    method = request.method if request.method in METH_ALL else "?"
    route = _route(request)
    request.app[SITE].service.report(Responded(route, method, response.status, took))
    response.headers["X-Request-Id"] = request_id
    response.headers["Cache-Control"] = "no-store"
    log.info(
        "request %s: %s %s: %d in %.1f ms",
        request_id,
        method,
        route,
        response.status,
        took * 1000,
    )
    return response


@web.middleware
async def in_json(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn every error into the contract's JSON."""
    try:
        return await handler(request)
    except ApiError as error:
        return _error_response(request, error)
    except web.HTTPException as error:
        if error.status < 400:
            raise
        response = _error_response(request, _contract_error(error), error.status)
        if "Allow" in error.headers:
            response.headers["Allow"] = error.headers["Allow"]
        return response
    except Exception:
        log.exception("request %s failed", REQUEST_ID.get())
        return _error_response(request, errors.InternalServerError())


def _contract_error(error: web.HTTPException) -> ApiError:
    kinds: dict[int, type[ApiError]] = {
        404: errors.NotFound,
        405: errors.MethodNotAllowed,
        413: errors.BodyTooLarge,
    }
    return kinds.get(error.status, errors.RequestInvalid)()


def _error_response(
    request: web.Request, error: ApiError, status: int | None = None
) -> web.Response:
    of_oauth = request.path.startswith("/oauth/")
    present = oauth.present_error if of_oauth else uapi.present_error
    response = web.json_response(present(error), status=status or error.status)
    if of_oauth:
        response.headers["Pragma"] = "no-cache"
    if isinstance(error, errors.PbxUnavailable | errors.TooManyRequests):
        response.headers["Retry-After"] = str(error.retry_after)
    if isinstance(error, AccessDenied):
        response.headers["WWW-Authenticate"] = "Bearer"
    if isinstance(error, ActionForbidden):
        response.headers["WWW-Authenticate"] = 'Bearer error="insufficient_scope"'
    if isinstance(error, InvalidClient):
        response.headers["WWW-Authenticate"] = BASIC
    return response


def _route(request: web.Request) -> str:
    resource = request.match_info.route.resource
    return resource.canonical if resource is not None else "(no route)"
