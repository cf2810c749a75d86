"""Reports what is attempted, by whom, and what is refused before the service is asked."""

from types import TracebackType
from typing import Self

from aiohttp import web

from bridge.api.site import ADDRESS, REQUEST_ID, SITE
from bridge.errors import BodyTooLarge
from bridge.happenings import Attempted, refusal
from bridge.model import Asker, Principal
from bridge.uapi import WhisperForm

MOST = 64
"""Characters of a path's part that are reported."""


class Attempt:
    """What somebody attempts, as far as it has been understood: reported when the context ends.

    A class rather than a generator: half the work, and a whisper waits for it.
    """

    def __init__(self, request: web.Request, action: str = "") -> None:
        self._report, path = request.app[SITE].service.report, request.match_info
        self._extension, self._call_id = path["extension"][:MOST], path["phoneCallId"][:MOST]
        self.asker = Asker(address=ADDRESS.get(), request=REQUEST_ID.get())
        self.action, self.view, self.supervisor, self.number = action, "", "", ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        asked = self.asker, self.action, self._extension, self._call_id
        self._report(Attempted(*asked, self.view, self.supervisor, self.number))
        if isinstance(error, Exception):
            too_large = isinstance(error, web.HTTPRequestEntityTooLarge)
            reason = BodyTooLarge() if too_large else error
            self._report(refusal(self.asker, self.action, self._call_id, reason))

    def by(self, principal: Principal) -> Principal:
        """Note who asks."""
        self.asker = principal.asker
        return principal

    def to(self, form: WhisperForm) -> WhisperForm:
        """Note what is asked for."""
        self.action = form.action
        self.view, self.supervisor = form.written("phoneCallViewId"), form.written("sendCallTo")
        return form
