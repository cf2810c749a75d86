"""Waits until supervisors are attached to their targets, or for why they will not be."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

from bridge.errors import ApiError, LinkLost
from bridge.happenings import Ended, Happening, Moment, OfWhisper, Unlinked
from bridge.outcomes import failure
from bridge.whisper import Reason, Session, State


class Fate:
    """What becomes of one session, noted from the moment on when this was made."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.error: ApiError | None = None
        self.woken = asyncio.Event()

    def note(self, session: Session) -> None:
        """Take in what the session is now."""
        self.session = session
        self.woken.set()

    def fail(self, error: ApiError) -> None:
        """There is nothing to wait for any more; what was said first counts."""
        self.error = self.error or error
        self.woken.set()


class Attaching:
    """The fates that somebody waits for; ``settled`` says whether a leg's session, attached, has
    come into the mode it is to be in, as soon as that is known."""

    def __init__(self, settled: Callable[[str], Awaitable[bool]]) -> None:
        self._settled = settled
        self._fates: defaultdict[str, set[Fate]] = defaultdict(set)

    @contextmanager
    def fate(self, session: Session) -> Iterator[Fate]:
        """Note what becomes of a session, while the context lasts."""
        fate = Fate(session)
        self._fates[session.leg].add(fate)
        try:
            yield fate
        finally:
            self._fates[session.leg].discard(fate)
            if not self._fates[session.leg]:
                del self._fates[session.leg]

    @property
    def awaited(self) -> int:
        """How many wait."""
        return sum(map(len, self._fates.values()))

    async def attached(self, fate: Fate) -> None:
        """Wait until a session is in force in its mode; to wait no longer changes nothing.

        Raises what the client is to be told when it has ended, and LinkLost when the link goes
        first: what becomes of the phone is known only when it is back.
        """
        while fate.error is None:
            if fate.session.state is State.ATTACHED and await self._settled(fate.session.leg):
                return
            await fate.woken.wait()
            fate.woken.clear()
        raise fate.error

    def on_happening(self, happening: Happening, moment: Moment) -> None:
        """Something happened: to a whisper that somebody waits for, or to the link."""
        if not self._fates:
            return
        if isinstance(happening, OfWhisper):
            for fate in self._fates.get(happening.session.leg, ()):
                fate.note(happening.session)
                if isinstance(happening, Ended):
                    fate.fail(failure(happening.session.reason or Reason.FAILED))
        elif isinstance(happening, Unlinked):
            for fates in self._fates.values():
                for fate in fates:
                    fate.fail(LinkLost())
