"""Reports what is attempted, by whom, and what is refused before the service is asked."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from aiohttp import web

from bridge.api.asking import address_of
from bridge.api.site import REQUEST_ID, SITE
from bridge.errors import BodyTooLarge
from bridge.happenings import Attempted, refusal
from bridge.model import Asker, Principal
from bridge.uapi import WhisperForm

MOST = 64
"""Characters of a path's part that are reported."""


@dataclass
class Attempt:
    """What somebody attempts, as far as it has been understood."""

    asker: Asker
    action: str = ""
    view: str = ""
    supervisor: str = ""

    def by(self, principal: Principal) -> Principal:
        """Note who asks."""
        self.asker = principal.asker
        return principal

    def to(self, form: WhisperForm) -> WhisperForm:
        """Note what is asked for."""
        self.action = form.action
        self.view, self.supervisor = form.written("phoneCallViewId"), form.written("sendCallTo")
        return form


@contextmanager
def attempted(request: web.Request, action: str = "") -> Iterator[Attempt]:
    """Report the attempt at the end, and the decision if an error refuses it here."""
    report, path = request.app[SITE].service.report, request.match_info
    extension, call_id = path["extension"][:MOST], path["phoneCallId"][:MOST]
    attempt = Attempt(Asker(address=address_of(request), request=REQUEST_ID.get()), action)
    refused: Exception | None = None
    try:
        yield attempt
    except web.HTTPRequestEntityTooLarge:
        refused = BodyTooLarge()
        raise
    except Exception as error:
        refused = error
        raise
    finally:
        asked = attempt.asker, attempt.action, extension, call_id
        report(Attempted(*asked, attempt.view, attempt.supervisor))
        if refused is not None:
            report(refusal(attempt.asker, attempt.action, call_id, refused))
