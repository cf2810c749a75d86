"""Secrets compared in a thread: few at a time, right ones remembered for a while."""

import asyncio
import time

import pytest

from bridge.authentication import KEPT, REMEMBERED, WAITING, Authenticator
from bridge.client_secrets import hash_secret
from bridge.errors import TooManyRequests
from bridge.tokens import LIFETIME
from tests.support.clients import SECRET, SECRET_HASH


class Clock:
    """A clock that is told the time."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


async def test_right_and_wrong() -> None:
    check = Authenticator()
    assert await check.compare(SECRET_HASH, SECRET)
    assert not await check.compare(SECRET_HASH, SECRET + " ")
    assert not await check.compare(SECRET_HASH, "")


async def test_a_secret_that_was_right_is_remembered_as_long_as_it_is_used() -> None:
    clock = Clock()
    check = Authenticator(clock)
    assert not check.remembers(SECRET_HASH, SECRET)
    assert await check.compare(SECRET_HASH, SECRET)
    for _ in range(5):
        clock.now += REMEMBERED - 1
        assert check.remembers(SECRET_HASH, SECRET)
    clock.now += REMEMBERED
    assert not check.remembers(SECRET_HASH, SECRET)


async def test_a_client_that_renews_its_token_in_time_is_remembered() -> None:
    assert REMEMBERED > LIFETIME


async def test_a_wrong_secret_is_never_remembered_nor_a_right_one_for_another_hash() -> None:
    check = Authenticator()
    assert await check.compare(SECRET_HASH, SECRET)
    assert not await check.compare(SECRET_HASH, "wrong")
    assert not check.remembers(SECRET_HASH, "wrong")
    assert not check.remembers(hash_secret("other", bytes(16)), SECRET)


async def test_what_is_remembered_is_bounded_and_holds_no_secret() -> None:
    check = Authenticator()
    for number in range(KEPT + 20):
        mark_before = len(check._right)
        check._remember(str(number).encode() * 8)
        assert len(check._right) == min(mark_before + 1, KEPT)
    assert await check.compare(SECRET_HASH, SECRET)
    assert all(SECRET.encode() not in mark for mark in check._right)


async def test_the_loop_goes_on_while_secrets_are_compared() -> None:
    check = Authenticator()
    asked = [asyncio.create_task(check.compare(SECRET_HASH, f"wrong {n}")) for n in range(10)]
    pauses = []
    while not all(task.done() for task in asked):
        began = time.perf_counter()
        await asyncio.sleep(0)
        pauses.append(time.perf_counter() - began)
    assert [task.result() for task in asked] == [False] * 10
    assert len(pauses) > 1000  # a loop that waited for each would have come round ten times


async def test_those_who_wait_are_bounded() -> None:
    check = Authenticator()
    asked = [asyncio.create_task(check.compare(SECRET_HASH, f"wrong {n}")) for n in range(WAITING)]
    await asyncio.sleep(0)
    with pytest.raises(TooManyRequests) as caught:
        await check.compare(SECRET_HASH, SECRET)
    assert caught.value.retry_after == 1
    assert not any(await asyncio.gather(*asked))
    assert await check.compare(SECRET_HASH, SECRET)
