"""How much is let in: requests of an address and of an app, and attempts to guess a secret.

Strangers cannot shut an app out: a request with a token that lives is held to the rates of requests
alone, and so is a request for a token whose secret was right a little while ago.
"""

import math
import time
from collections.abc import Hashable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from bridge.addresses import network_of
from bridge.errors import InvalidClient, TooManyRequests
from bridge.limits import Buckets


@dataclass(frozen=True, slots=True)
class Allowance:
    """What is let in; 0 is without limit.

    Requests a second, of which two seconds' worth may come at once; failures a minute, which may
    come at once.
    """

    per_app: float = 0.0
    per_address: float = 0.0
    failures: float = 0.0


class Gate:
    """Lets requests in, or says how long to wait."""

    def __init__(self, allowance: Allowance | None = None) -> None:
        allowed = allowance or Allowance()
        self._apps = _requests(allowed.per_app)
        self._addresses = _requests(allowed.per_address)
        self._failures = _failures(allowed.failures)
        self._guesses = _failures(allowed.failures)

    def enter(self, address: str) -> None:
        """Let a request in. Raises TooManyRequests."""
        _take(self._addresses, network_of(address))

    def serve(self, client_id: str) -> None:
        """Let a request of an app in. Raises TooManyRequests."""
        _take(self._apps, client_id)

    def fail(self, address: str) -> None:
        """Note a token that is none. Raises TooManyRequests where that happens too often."""
        _take(self._failures, network_of(address))

    @contextmanager
    def guess(self, address: str, client_id: str) -> Iterator[None]:
        """Let a secret be compared, which counts as a failure if it ends with InvalidClient.

        Raises TooManyRequests.
        """
        # The id is what somebody wrote: of any length, and perhaps of no app.
        taken = ((self._failures, network_of(address)), (self._guesses, hash(client_id)))
        with ExitStack() as back:
            # All are taken at once, not when it has failed: many may guess at the same time.
            for buckets, key in taken:
                _take(buckets, key)
                back.callback(_give_back, buckets, key)
            try:
                yield
            except InvalidClient:
                back.pop_all()
                raise


def _requests(rate: float) -> Buckets | None:
    return Buckets(rate, max(1.0, 2 * rate)) if rate else None


def _failures(a_minute: float) -> Buckets | None:
    return Buckets(a_minute / 60, max(1.0, a_minute)) if a_minute else None


def _take(buckets: Buckets | None, key: Hashable) -> None:
    wait = buckets.take(key, time.monotonic()) if buckets is not None else 0.0
    if wait:
        raise TooManyRequests(math.ceil(wait))


def _give_back(buckets: Buckets | None, key: Hashable) -> None:
    if buckets is not None:
        buckets.give_back(key)
