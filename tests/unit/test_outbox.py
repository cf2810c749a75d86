"""What waits for hooks, and how much of it may."""

import asyncio
from collections import Counter

import pytest

from bridge.happenings import Outcome
from bridge.hooks import CallEvent, EventType
from bridge.model import CallerId
from bridge.webhooks.lanes import Carrier, Patience
from bridge.webhooks.outbox import Outbox
from tests.support.timing import in_virtual_time

from .test_webhooks import hook


def event(extension: str = "0003*210", kind: EventType = EventType.DIAL_IN) -> CallEvent:
    """An extension is called."""
    caller = CallerId("John Doe", "3334444")
    return CallEvent(kind, extension, "c1", True, False, caller, "", extension, extension, "")


class House:
    """An outbox whose deliveries are written at once; what leads to a dead server never ends."""

    def __init__(self, patience: Patience | None = None) -> None:
        self.outcomes: Counter[Outcome] = Counter()
        self.sent: list[str] = []
        self._number = 0
        self.outbox = Outbox(
            Carrier(
                self._send,
                lambda hook: hook.enabled,
                lambda delivery: None,
                self._finish,
                lambda outcome: self.outcomes.update([outcome]),
                asyncio.get_running_loop().time,
                patience or Patience(),
            )
        )

    async def _send(self, to: object, delivery: object) -> str:
        known_as = str(getattr(to, "id", ""))
        if known_as.startswith("dead"):
            await asyncio.Event().wait()
        self.sent.append(known_as)
        return ""

    async def _finish(self, delivery: object) -> None:
        pass

    def happens(self, what: CallEvent, times: int = 1) -> None:
        """Something happens so many times."""
        for _ in range(times):
            deliveries = self.outbox.deliveries(what)
            for delivery in deliveries:
                self._number += 1
                delivery.number = self._number
            self.outbox.put(deliveries)


@in_virtual_time
async def test_each_is_told_of_its_own_events_only() -> None:
    house = House()
    house.outbox.add(hook("a1"))
    house.outbox.add(hook("b2", extension="0003*211"))
    house.outbox.add(hook("c3", type=EventType.HANGUP))
    house.outbox.add(hook("d4", enabled=False))
    assert house.outbox.extensions == {"0003*210", "0003*211"}
    house.happens(event())
    house.happens(event("0003*211"))
    house.happens(event("0003*212"))
    await asyncio.sleep(1)
    assert house.sent == ["a1", "b2"]
    await house.outbox.remove("b2")
    assert house.outbox.extensions == {"0003*210"}
    house.happens(event("0003*211"))
    await house.outbox.close()
    assert house.outbox.waiting == 0


@in_virtual_time
async def test_for_one_hook_so_many_wait_and_it_is_said_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    house = House(Patience(most=10))
    house.outbox.add(hook("dead"))
    house.happens(event(), 15)
    assert house.outbox.waiting == 10
    assert house.outcomes == {Outcome.DROPPED: 5}
    assert caplog.messages == ["webhook dead: 10 events wait, no more are kept"]
    await house.outbox.close()


@in_virtual_time
async def test_dead_servers_take_no_more_than_their_share_of_what_may_wait_in_all() -> None:
    house = House(Patience(most=1000, altogether=100))
    for number in range(9):
        house.outbox.add(hook(f"dead{number}"))
    house.happens(event(), 200)
    full = house.outbox.waiting
    assert 99 <= full <= 108
    house.outbox.add(hook("quick"))
    house.happens(event(), 5)
    await asyncio.sleep(1)
    assert house.sent == ["quick"] * 5
    assert house.outbox.waiting == full
    await house.outbox.close()


@in_virtual_time
async def test_with_a_hook_that_is_removed_goes_what_waits_written_or_not() -> None:
    house = House()
    house.outbox.add(hook("dead"))
    house.happens(event(), 3)
    unwritten = house.outbox.deliveries(event())
    assert house.outbox.waiting == 4
    assert await house.outbox.remove("dead") == 3
    house.outbox.put(unwritten)
    assert house.outbox.waiting == 0
