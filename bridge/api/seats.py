"""How many streams there may be: in all, and of one app.

A stream holds its connection for as long as its token lives, so without a bound an app that
follows too much would keep everybody else out.
"""

import logging
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from aiohttp import web

from bridge.errors import TooManyConnections, TooManyRequests
from bridge.limits import Buckets

log = logging.getLogger(__name__)

IN_ALL: Final = 2
"""One of so many connections may be a stream."""

OF_ONE_APP: Final = 4
"""One of so many connections may be a stream of the same app."""

PAUSE: Final = 15
"""Seconds after which a client may find a seat: it is not known when somebody goes."""

_A_MINUTE: Final = 1 / 60


class Seats:
    """The streams there are, by their apps, where there are so many ``connections``."""

    def __init__(self, connections: int) -> None:
        self._in_all = max(1, connections // IN_ALL)
        self._of_one_app = max(1, connections // OF_ONE_APP)
        self._taken: Counter[str] = Counter()
        # An app that keeps asking would fill the log.
        self._tellings = Buckets(_A_MINUTE, 1)

    @contextmanager
    def taken(self, client_id: str) -> Iterator[None]:
        """Hold a seat for a stream of an app.

        Raises TooManyConnections when there is none, and TooManyRequests when the app has as many
        as it may.
        """
        self._require_one(client_id)
        self._taken[client_id] += 1
        try:
            yield
        finally:
            self._taken[client_id] -= 1
            if not self._taken[client_id]:
                del self._taken[client_id]

    def _require_one(self, client_id: str) -> None:
        if self._taken[client_id] >= self._of_one_app:
            self._tell(client_id)
            raise TooManyRequests(PAUSE, "The app follows as many streams as it may.")
        if self._taken.total() >= self._in_all:
            self._tell(client_id)
            raise TooManyConnections(PAUSE, "There are as many streams as there may be.")

    def _tell(self, client_id: str) -> None:
        if self._tellings.take(client_id, time.monotonic()):
            return
        log.warning(
            "refused a stream of app %s, which has %d of %d; there are %d of %d in all"
            " (BRIDGE_MAX_CONNECTIONS)",
            *(client_id, self._taken[client_id], self._of_one_app),
            *(self._taken.total(), self._in_all),
        )


SEATS: Final = web.AppKey("seats", Seats)
