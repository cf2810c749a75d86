"""HTTP on a connection, as aiohttp speaks it: but its own refusals get the contract's form."""

import asyncio
import logging
import secrets
from typing import Any, Final

from aiohttp import web

from bridge.api.answering import named, refusal, refusal_of_http
from bridge.errors import ApiError, InternalServerError, RequestInvalid

log = logging.getLogger(__name__)

_SETTINGS: Final[dict[str, Any]] = {
    "access_log": None,
    # Seconds in which what a refused client still sends is thrown away before its connection is.
    "lingering_time": 2.0,
    # A body that would unpack to gigabytes is no JSON as it is.
    "auto_decompress": False,
}


def protocol(runner: web.AppRunner, logger: logging.Logger) -> asyncio.Protocol:
    """What speaks on a new connection; ``logger`` is for what aiohttp has to say."""
    if runner.server is None:
        raise RuntimeError("the runner is not set up")
    loop = asyncio.get_running_loop()
    return _Protocol(runner.server, loop=loop, logger=logger, **_SETTINGS)


class _Protocol(web.RequestHandler):
    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what never became a request, and close: where the next one begins is not known.

        Neither ``message`` nor ``exc`` is shown or logged: they repeat what was sent, which may
        hold a token.
        """
        request_id = secrets.token_hex(8)
        response = refusal(_error(request_id, status, exc), request.path)
        named(response, request_id)
        response.force_close()
        return response

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Send an answer; one that came past the middlewares is an Expect that is not known."""
        if isinstance(resp, web.HTTPException):
            resp = refusal_of_http(resp, request.path)
            named(resp, secrets.token_hex(8))
        return await super().finish_response(request, resp, start_time)


def _error(request_id: str, status: int, exc: BaseException | None) -> ApiError:
    if status >= 500:
        log.error("request %s failed", request_id, exc_info=exc)
        return InternalServerError()
    log.info("request %s was no HTTP: %s", request_id, type(exc).__name__)
    return RequestInvalid("The request is no HTTP that can be understood.")
