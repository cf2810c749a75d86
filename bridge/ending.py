"""Chooses and hangs up parties of a call and whispers on request, and waits until they are gone."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress

from bridge import actions
from bridge.actions import Pbx
from bridge.authority import Authority
from bridge.calls import Picture
from bridge.channels import Call, Channel
from bridge.model import Extension, Permission, Principal
from bridge.views import number_of, parties_to_end
from bridge.whisper import Session
from bridge.whispering import Whispering

log = logging.getLogger(__name__)

LEAVING = 2.0
"""Seconds in which what is hung up is gone; the PBX takes a few milliseconds."""


class Ending:
    """Hangs up on one PBX; ``hangup`` waits until the next channel there has ended."""

    def __init__(
        self,
        pbx: Pbx,
        picture: Picture,
        authority: Authority,
        whispering: Whispering,
        hangup: Callable[[], Awaitable[None]],
    ) -> None:
        self._pbx = pbx
        self._picture = picture
        self._authority = authority
        self._whispering = whispering
        self._hangup = hangup

    def chosen(
        self, principal: Principal, call: Call, number: str | None
    ) -> tuple[list[Channel], list[Session]]:
        """The legs to hang up with a call, or the legs and whispers of one number.

        Only those that the app of ``principal`` may hang up.
        """

        def reaches(extension: Extension) -> bool:
            directory = self._authority.directory
            return bool(directory.may(principal.app, Permission.HANGUP, extension))

        if number is None:
            return parties_to_end(call, reaches), []
        written = (number, f"{principal.user.organization.prefix}*{number}")

        def is_meant(extension: Extension) -> bool:
            return extension.number in written and reaches(extension)

        parties = call.parties()
        legs = [
            leg
            for leg in parties
            if (is_meant(leg.extension) if leg.extension else number_of(leg) == number)
        ]
        spies = (self._whispering.book.on_target(leg.uniqueid) for leg in parties)
        return legs, [spy for of_leg in spies for spy in of_leg if is_meant(spy.supervisor)]

    async def end(self, legs: Sequence[Channel], sessions: Iterable[Session]) -> None:
        """Hang up legs in this order, and whispers.

        Returns once they are gone, or after ``LEAVING``. Raises LinkLost and PbxUnavailable when
        it is unknown what became of it.
        """
        sent = [self._pbx.send(actions.hang_up(leg.uniqueid)) for leg in legs]
        whispers = list(sessions)
        for session in whispers:
            self._whispering.hang_up(session)
        for answer in await asyncio.gather(*sent):
            if not answer.success and answer.message not in actions.GONE:
                log.error("the PBX refuses to hang up: %s", answer.message)
        with suppress(TimeoutError):
            async with asyncio.timeout(LEAVING):
                while self._are_there(legs, whispers):
                    await self._hangup()

    def _are_there(self, legs: Iterable[Channel], sessions: Iterable[Session]) -> bool:
        channels, book = self._picture.channels, self._whispering.book
        return any(leg.uniqueid in channels for leg in legs) or any(
            session.leg in book for session in sessions
        )
