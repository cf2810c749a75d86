"""Tells listeners what happens: soon, in order, and never in the midst of a move.

What is reported is passed on when the event loop comes round next, so whoever reports has written
to the PBX by then, and a fault of a listener costs neither a whisper nor another listener.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from contextvars import Context

from bridge.happenings import Happening, Listener, Moment

log = logging.getLogger(__name__)


class Reporting:
    """Passes on to ``listeners`` whatever it is called with, with the moment of the call."""

    def __init__(
        self,
        listeners: Sequence[Listener],
        wall: Callable[[], float],
        steady: Callable[[], float],
    ) -> None:
        self._listeners = tuple(listeners)
        self._wall, self._steady = wall, steady
        self._waiting: deque[tuple[Happening, Moment]] = deque()

    def __call__(self, happening: Happening) -> None:
        """Report something."""
        if not self._listeners:
            return
        if not self._waiting:
            # No request's context: what waits may be of several.
            asyncio.get_running_loop().call_soon(self.flush, context=Context())
        self._waiting.append((happening, Moment(self._wall(), self._steady())))

    def flush(self) -> None:
        """Tell what waits to be told, now."""
        while self._waiting:
            happening, moment = self._waiting.popleft()
            for listener in self._listeners:
                self._tell(listener, happening, moment)

    def _tell(self, listener: Listener, happening: Happening, moment: Moment) -> None:
        try:
            listener(happening, moment)
        except Exception:
            log.exception("a listener could not take in %s", type(happening).__name__)
