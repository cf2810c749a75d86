"""Who may send when: a server that is slow or dead takes no more than its share of turns."""

import asyncio
from collections import Counter

import pytest

from bridge.webhooks.turns import Turns
from tests.support.timing import in_virtual_time


class Senders:
    """Who send to servers, each for some seconds."""

    def __init__(self, in_all: int = 6, to_one: int = 3) -> None:
        self.turns = Turns(in_all, to_one)
        self.under_way: Counter[str] = Counter()
        self.most: Counter[str] = Counter()
        self.done: Counter[str] = Counter()
        self.tasks: list[asyncio.Task[None]] = []

    def send(self, server: str, times: int, seconds: float, *, answered: bool = True) -> None:
        """Have so many requests sent to a server, as soon as each may be."""
        for _ in range(times):
            self.tasks.append(asyncio.create_task(self._send(server, seconds, answered)))

    async def _send(self, server: str, seconds: float, answered: bool) -> None:
        async with self.turns.turn(server) as turn:
            self.under_way[server] += 1
            self.most[server] = max(self.most[server], self.under_way[server])
            self.most["all"] = max(self.most["all"], self.under_way.total())
            try:
                await asyncio.sleep(seconds)
            finally:
                self.under_way[server] -= 1
            turn.answered = answered
        self.done[server] += 1


@in_virtual_time
async def test_so_many_go_to_one_server_and_so_many_in_all() -> None:
    senders = Senders()
    for server in ("a", "b", "c"):
        senders.send(server, 10, 1)
    await asyncio.gather(*senders.tasks)
    assert senders.most == {"a": 3, "b": 3, "c": 3, "all": 6}
    assert senders.done == {"a": 10, "b": 10, "c": 10}


@in_virtual_time
async def test_one_that_does_not_answer_is_asked_by_one_at_a_time_until_it_does() -> None:
    senders = Senders()
    senders.send("dead", 9, 10, answered=False)
    await asyncio.sleep(10.5)
    assert (senders.done["dead"], senders.under_way["dead"]) == (3, 1)
    await asyncio.sleep(10)
    assert (senders.done["dead"], senders.under_way["dead"]) == (4, 1)
    senders.send("dead", 9, 10)
    await asyncio.sleep(10 * 6)
    assert senders.under_way["dead"] == 3
    await asyncio.gather(*senders.tasks)


@in_virtual_time
async def test_who_does_not_answer_leaves_room_for_all_others() -> None:
    senders = Senders(in_all=6)
    for number in range(5):
        senders.send(f"dead{number}", 50, 10, answered=False)
    await asyncio.sleep(45)
    senders.send("quick", 100, 0.01)
    await asyncio.sleep(5)
    assert senders.done["quick"] == 100
    for task in senders.tasks:
        task.cancel()
    await asyncio.gather(*senders.tasks, return_exceptions=True)


@in_virtual_time
async def test_a_turn_that_is_broken_off_is_the_next_one_s() -> None:
    senders = Senders(in_all=1, to_one=1)
    senders.send("a", 3, 1000)
    await asyncio.sleep(1)
    for task in senders.tasks[:2]:
        task.cancel()
    await asyncio.sleep(1)
    assert senders.under_way["a"] == 1
    assert not senders.tasks[2].done()
    senders.tasks[2].cancel()
    await asyncio.gather(*senders.tasks, return_exceptions=True)
    with pytest.raises(RuntimeError):
        async with senders.turns.turn("a"):
            raise RuntimeError
    senders.send("a", 1, 1)
    await asyncio.sleep(2)
    assert senders.done["a"] == 1
