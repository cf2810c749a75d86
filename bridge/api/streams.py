"""The calls of extensions as a stream of events: first the picture, then every change."""

import asyncio
import logging
from contextlib import suppress
from typing import Final

from aiohttp import web

from bridge import uapi
from bridge.api.asking import reader_of, resolve, still_reader_of
from bridge.api.calls import zone
from bridge.api.protocol import when_gone
from bridge.api.routes import UAPI_ERRORS, Route
from bridge.api.seats import PAUSE, SEATS
from bridge.api.site import REQUEST_ID, SITE
from bridge.directory import Named
from bridge.errors import (
    ActionForbidden,
    ApiError,
    ExtensionInvalid,
    PbxUnavailable,
    TooManyConnections,
    UserInvalid,
)
from bridge.model import PhoneCall
from bridge.openapi import Operation, Reply

log = logging.getLogger(__name__)

STREAM: Final = "/uapi/phoneCallStream/{userId}/{extension}"


async def stream_calls(request: web.Request) -> web.StreamResponse:
    """Follow the calls of extensions until the client goes, or may not see them any more."""
    principal = reader_of(request)
    named = await resolve(request, principal)
    with request.app[SEATS].taken(principal.app.client_id):
        stream = _Stream(request, named)
        try:
            with when_gone(request, stream.end):
                await stream.run()
        except (ApiError, ConnectionError) as end:
            log.info("the stream is over: %s", type(end).__name__)
        finally:
            stream.close()
    return stream.response


async def finish_streams(app: web.Application) -> None:
    """Let the streams end, so that the service need not wait for their clients."""
    app[SITE].service.following.close()


class _Stream:
    """One client that follows the calls of the extensions its path names."""

    def __init__(self, request: web.Request, named: Named) -> None:
        self._request = request
        self._site = request.app[SITE]
        self._service = self._site.service
        self._directory = self._site.directory
        self._named = named
        self._calls = self._service.list_calls(named)
        self._told_ready = False
        self._subscription = self._service.following.subscribe(named)
        self.response = web.StreamResponse(
            headers={
                "Content-Type": "text/event-stream",
                "Cache-Control": "no-store",
                # nginx would gather what is to be seen at once.
                "X-Accel-Buffering": "no",
                "X-Request-Id": REQUEST_ID.get(),
            }
        )

    def end(self) -> None:
        """Have it come to its end."""
        self._subscription.over = True
        self._subscription.woken.set()

    def close(self) -> None:
        """Follow no longer."""
        self._service.following.unsubscribe(self._subscription)

    async def run(self) -> None:
        """Tell the client everything until it is over.

        Raises ApiError when the client may not see the calls any more, and ConnectionError when
        it is gone, or was closed because it took nothing of what it was sent.
        """
        await self.response.prepare(self._request)
        await self.response.write(uapi.present_beginning())
        missed = self._request.headers.get("Last-Event-ID", "")
        if not self._service.following.resume(self._subscription, missed):
            for call in self._calls:
                await self.response.write(uapi.present_change(call.id, self._shown(call)))
        self._calls = []
        while not self._subscription.over:
            await self._tell()
            if not await self._woken():
                await self.response.write(uapi.HEARTBEAT)

    async def _woken(self) -> bool:
        """Wait until there is something to look at, or for a heartbeat's time."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._site.heartbeat):
                await self._subscription.woken.wait()
        woken = self._subscription.woken.is_set()
        self._subscription.woken.clear()
        return woken

    async def _tell(self) -> None:
        principal = still_reader_of(self._request)
        if not self._service.complete:
            if self._told_ready:
                await self.response.write(uapi.present_unavailable())
            self._told_ready = False
            return
        if self._site.directory is not self._directory:
            self._directory = self._site.directory
            self._named = self._subscription.extensions = await resolve(self._request, principal)
        await self._changes()

    async def _changes(self) -> None:
        following = self._service.following
        for mark, call_id, call in following.take(self._subscription):
            shown = None if call is None else self._shown(call)
            await self.response.write(uapi.present_change(call_id, shown, str(mark)))
        if not self._told_ready:
            mark, total = following.mark, following.count(self._subscription)
            await self.response.write(uapi.present_ready(total, str(mark)))
            self._told_ready = True

    def _shown(self, call: PhoneCall) -> dict[str, object]:
        path = self._request.match_info
        link = uapi.call_link(self._site.public_url, path["userId"], path["extension"], call.id)
        return uapi.present_call(call, link, zone())


STREAM_ROUTES: Final = (
    Route(
        "GET",
        STREAM,
        stream_calls,
        Operation(
            name="streamPhoneCalls",
            summary="The calls of an extension, or of all of a user, and every change of them",
            description="Server-Sent Events: `phoneCall` for each call there is, then `ready`, "
            "then `phoneCall` whenever one changes and `phoneCallEnded` when one is not to be seen "
            "any more. `unavailable` says that the PBX cannot be reached; when it is back, what "
            "changed follows, and `ready`. A client that sends the last id it saw as "
            "`Last-Event-ID` is told what it missed. The stream ends with its token.",
            path=uapi.CallsPath,
            replies=(Reply(200, "The stream.", str, "text/event-stream"),),
            errors=(
                *(UserInvalid, ExtensionInvalid, ActionForbidden),
                *(PbxUnavailable, TooManyConnections(PAUSE)),
            ),
            form=UAPI_ERRORS,
        ),
    ),
)
