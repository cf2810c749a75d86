"""What waits for one hook, sent one by one: none before the client has the one before it."""

import asyncio
import logging
import random
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from bridge.happenings import Outcome
from bridge.hooks import Hook
from bridge.webhooks.store import Delivery

log = logging.getLogger(__name__)

_SPREAD: Final = 0.5
"""Which part of a pause is left to chance: not all come back in the same moment."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How often, and after which pauses in seconds, what a client does not take is sent again.

    The pauses double from ``first`` to ``longest``. The defaults make about an hour. At ``most``
    so many events wait for one hook; once ``altogether`` wait for all of them, a hook for which
    more than its share of these wait gets no more.
    """

    first: float = 1.0
    longest: float = 600.0
    attempts: int = 16
    most: int = 1000
    altogether: int = 50_000

    def pause(self, attempts: int) -> float:
        """How long to wait after so many attempts."""
        whole = min(self.longest, self.first * 2.0 ** (attempts - 1))
        return whole * (1 - _SPREAD * random.random())


@dataclass(frozen=True, slots=True)
class Carrier:
    """What the lanes of all hooks share.

    ``send`` returns why a client did not take an event; ``may`` says whether it may be told at
    all. ``postpone`` and ``finish`` write down what became of it; ``report`` tells of it. ``wall``
    gives epoch seconds.
    """

    send: Callable[[Hook, Delivery], Awaitable[str]]
    may: Callable[[Hook], bool]
    postpone: Callable[[Delivery], None]
    finish: Callable[[Delivery], Awaitable[None]]
    report: Callable[[Outcome], None]
    wall: Callable[[], float]
    patience: Patience


class Lane:
    """What waits for one hook. It has a task as long as something does.

    Attributes:
        expected: how many events wait, be they put in yet or not; it is for others to raise.
        full: whether the last one could not wait as well.
    """

    def __init__(self, hook: Hook, carrier: Carrier) -> None:
        self._hook = hook
        self._carrier = carrier
        self._waiting: deque[Delivery] = deque()
        self._task: asyncio.Task[None] | None = None
        self._nudged = asyncio.Event()
        self.expected = 0
        self.full = False

    @property
    def hook(self) -> Hook:
        """Whose it is."""
        return self._hook

    def change(self, hook: Hook) -> None:
        """Go on with the hook as it is now, and try at once."""
        self._hook = hook
        self._nudged.set()

    def put(self, deliveries: Iterable[Delivery]) -> None:
        """Have events sent after those that wait."""
        self._waiting.extend(deliveries)
        if self._waiting and self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run())
            self._task.add_done_callback(self._ended)

    async def close(self) -> int:
        """Send no more, and return how many events are left."""
        task, left = self._task, len(self._waiting)
        if task is not None:
            task.cancel()
            await asyncio.wait([task])
        self._waiting.clear()
        return left

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._task = None
        if not task.cancelled() and task.exception() is not None:
            log.error("webhook %s: sending failed", self._hook.id, exc_info=task.exception())

    async def _run(self) -> None:
        while self._waiting:
            delivery = self._waiting[0]
            await self._until(delivery.due)
            if not self._carrier.may(self._hook):
                await self._done(delivery, Outcome.WITHDRAWN)
            elif trouble := await self._carrier.send(self._hook, delivery):
                await self._failed(delivery, trouble)
            else:
                log.debug("webhook %s: event %s delivered", self._hook.id, delivery.event)
                await self._done(delivery, Outcome.DELIVERED)

    async def _until(self, due: float) -> None:
        """Wait for a time, or until the hook is changed; a clock that jumps makes it no longer."""
        self._nudged.clear()
        pause = min(due - self._carrier.wall(), self._carrier.patience.longest)
        with suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, pause)):
                await self._nudged.wait()

    async def _failed(self, delivery: Delivery, trouble: str) -> None:
        delivery.attempts += 1
        self._carrier.report(Outcome.FAILED)
        about = self._hook.id, delivery.event
        if delivery.attempts >= self._carrier.patience.attempts:
            log.warning("webhook %s: event %s is given up: %s", *about, trouble)
            await self._done(delivery, Outcome.GIVEN_UP)
            return
        level = logging.WARNING if delivery.attempts == 1 else logging.DEBUG
        log.log(level, "webhook %s: event %s is not delivered yet: %s", *about, trouble)
        delivery.due = self._carrier.wall() + self._carrier.patience.pause(delivery.attempts)
        self._carrier.postpone(delivery)

    async def _done(self, delivery: Delivery, outcome: Outcome) -> None:
        self._waiting.popleft()
        self.expected -= 1
        self._carrier.report(outcome)
        await self._carrier.finish(delivery)
