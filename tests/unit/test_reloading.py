"""Reading anew while running: part by part, one round after the other, broken parts kept."""

import asyncio
import logging
import os
import signal
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from bridge.cli.common import UsageError
from bridge.cli.reloading import Reloadable, Reloader, on_sighup
from bridge.lab.waiting import until


async def eventually(true: Callable[[], bool]) -> None:
    await until(true, "it", within=10, every=0.005)


class Rounds:
    """Counts what a reloader announces, and lets a test wait for a whole round."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def begun(self) -> None:
        self.said.append("begun")

    def done(self) -> None:
        self.said.append("done")

    def reloader(self, *parts: Reloadable[str]) -> Reloader:
        return Reloader(parts, begun=self.begun, done=self.done)

    def part(self, name: str) -> Reloadable[str]:
        return Reloadable(name, lambda: name, self.said.append)


@asynccontextmanager
async def running(reloader: Reloader) -> AsyncIterator[None]:
    task = asyncio.create_task(reloader.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def broken(error: Exception) -> Reloadable[str]:
    def read() -> str:
        raise error

    return Reloadable("the broken one", read, lambda text: None)


async def test_a_round_reads_every_part_in_turn_and_is_announced() -> None:
    rounds = Rounds()
    async with running(reloader := rounds.reloader(rounds.part("one"), rounds.part("two"))):
        assert rounds.said == []
        reloader.ask()
        await eventually(lambda: "done" in rounds.said)
    assert rounds.said == ["begun", "one", "two", "done"]


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (UsageError("directory.toml:3: why"), "the broken one: directory.toml:3: why; what was in"),
        (TimeoutError(), "the broken one: not read within 30 s; what was in force stays"),
        (
            PermissionError(13, "Permission denied", "x.pem"),
            "[Errno 13] Permission denied: 'x.pem'",
        ),
        (ZeroDivisionError("a bug"), "the broken one failed; what was in force stays"),
    ],
)
async def test_a_broken_part_is_told_and_costs_no_other(
    error: Exception, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    rounds = Rounds()
    async with running(reloader := rounds.reloader(broken(error), rounds.part("two"))):
        reloader.ask()
        await eventually(lambda: rounds.said.count("done") == 1)
        reloader.ask()
        await eventually(lambda: rounds.said.count("done") == 2)
    assert rounds.said == 2 * ["begun", "two", "done"]
    (told, _) = (r for r in caplog.records if r.levelno == logging.ERROR)
    assert said in told.getMessage()


async def test_asked_during_a_round_another_follows_and_never_two_at_once() -> None:
    rounds, go, reading = Rounds(), threading.Event(), threading.Event()

    def read() -> str:
        reading.set()
        go.wait(10)
        return "slow"

    async with running(reloader := rounds.reloader(Reloadable("slow", read, rounds.said.append))):
        reloader.ask()
        await eventually(reading.is_set)
        for _ in range(3):
            reloader.ask()
        assert rounds.said == ["begun"]
        go.set()
        await eventually(lambda: rounds.said.count("done") == 2)
    assert rounds.said == 2 * ["begun", "slow", "done"]


async def test_the_loop_goes_on_while_a_part_is_read() -> None:
    rounds, go = Rounds(), threading.Event()
    part = Reloadable("slow", lambda: str(go.wait(10)), rounds.said.append)
    async with running(reloader := rounds.reloader(part)):
        reloader.ask()
        await eventually(lambda: rounds.said == ["begun"])
        # Were the loop held up by the read, nothing could ever set this.
        go.set()
        await eventually(lambda: "done" in rounds.said)
    assert rounds.said == ["begun", "True", "done"]


async def test_sighup_asks_for_a_round_and_does_no_harm_at_the_end(
    caplog: pytest.LogCaptureFixture,
) -> None:
    rounds = Rounds()
    async with on_sighup(rounds.reloader(rounds.part("one"))):
        os.kill(os.getpid(), signal.SIGHUP)
        await eventually(lambda: "done" in rounds.said)
    os.kill(os.getpid(), signal.SIGHUP)
    await eventually(lambda: "nothing is read anew" in caplog.text)
    assert rounds.said == ["begun", "one", "done"]
    asyncio.get_running_loop().remove_signal_handler(signal.SIGHUP)
