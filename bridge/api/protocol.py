"""HTTP on a connection, as aiohttp speaks it: but in time, and its own refusals in our form."""

import asyncio
import logging
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, cast

from aiohttp import web

from bridge.api.answering import farewell, named, refusal, refusal_of_http
from bridge.api.door import Door, home_of
from bridge.errors import (
    ApiError,
    InternalServerError,
    RequestInvalid,
    RequestTimeout,
    TooManyConnections,
)

log = logging.getLogger(__name__)

_SETTINGS: Final[dict[str, Any]] = {
    "access_log": None,
    # Seconds in which what a refused client still sends is thrown away before its connection is.
    "lingering_time": 2.0,
    # A body that would unpack to gigabytes is no JSON as it is.
    "auto_decompress": False,
}


class Connection(web.RequestHandler):
    """A connection of a client who is inside, or is turned away."""

    __slots__ = ("_busy", "_door", "_heard", "_stalled", "_waiting", "gone", "home")

    def __init__(self, door: Door, server: web.Server, logger: logging.Logger) -> None:
        """Take the door, what handles requests, and whom aiohttp tells what it has to say."""
        loop = asyncio.get_running_loop()
        idle = door.manners.idle
        super().__init__(server, loop=loop, logger=logger, keepalive_timeout=idle, **_SETTINGS)
        self._door = door
        self.home = ""
        # Called when the client goes while somebody wants to know.
        self.gone: Callable[[], None] | None = None
        self._busy = self._heard = False
        # Since when the rest of a request's head, or of an answer's way, is waited for.
        self._waiting: float | None = None
        self._stalled: float | None = None

    # A visitor

    def is_overdue(self, since: float) -> bool:
        """Tell whether it has kept the service waiting since that time of the loop or longer."""
        return any(begun is not None and begun <= since for begun in (self._waiting, self._stalled))

    def hurry(self) -> None:
        """Tell it that it was too slow, and close."""
        if self._heard and self._stalled is None and self.transport is not None:
            self.transport.write(farewell(RequestTimeout()))
        self.dismiss()

    def dismiss(self) -> None:
        """Close, without waiting for an answer that nobody reads."""
        if self._stalled is not None and self.transport is not None:
            self.transport.abort()
        self.force_close()

    def begin(self) -> None:
        """Note that a request has come, all of its head."""
        self._busy, self._heard, self._waiting = True, False, None
        self._door.busy(self)

    def _rest(self) -> None:
        self._busy = False
        self._door.resting(self)

    # What happens on the wire

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to serve, or say that there is no room."""
        self.home = home_of(transport)
        if self._door.enter(self):
            self._waiting = self._loop.time()
            super().connection_made(transport)
        else:
            self.close()
            turned_away = cast(asyncio.Transport, transport)
            turned_away.write(farewell(TooManyConnections(retry_after=1)))
            turned_away.close()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Make room."""
        self._door.leave(self)
        super().connection_lost(exc)
        if self.gone is not None:
            self.gone()

    def data_received(self, data: bytes) -> None:
        """Read on; a head that has begun must come to its end in time."""
        if data and not self._busy:  # aiohttp gives itself nothing to go on with what it kept
            self._heard = True
            if self._waiting is None:
                self._waiting = self._loop.time()
        super().data_received(data)

    def pause_writing(self) -> None:
        """Note since when a client does not read its answer."""
        self._stalled = self._loop.time()
        super().pause_writing()

    def resume_writing(self) -> None:
        """Note that it does."""
        self._stalled = None
        super().resume_writing()

    # What aiohttp answers

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
        try:
            return await super().finish_response(request, resp, start_time)
        finally:
            self._rest()


@contextmanager
def when_gone(request: web.Request, act: Callable[[], None]) -> Iterator[None]:
    """Act as soon as the client of a request goes, or at once if he has gone already."""
    connection = request.protocol
    if not isinstance(connection, Connection):
        yield
        return
    if connection.transport is None:
        act()
    connection.gone = act
    try:
        yield
    finally:
        connection.gone = None


def _error(request_id: str, status: int, exc: BaseException | None) -> ApiError:
    # aiohttp repeats an Expect that it does not know, and cannot where that is no text.
    if status >= 500 and not isinstance(exc, UnicodeError):
        log.error("the request failed", exc_info=exc, extra={"request": request_id})
        return InternalServerError()
    kind = type(exc).__name__
    log.info("the request was no HTTP: %s", kind, extra={"request": request_id})
    return RequestInvalid("The request is no HTTP that can be understood.")
