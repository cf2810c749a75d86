"""What systemd is told, over a real socket."""

import asyncio
import logging
import queue
import re
import socket
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from bridge.ami import Address, Link
from bridge.cli.supervision import Supervision
from bridge.service import Service
from bridge.settings import ServiceManager, service_manager
from bridge.systemd import Notifier
from tests.support.directory import DIRECTORY
from tests.support.manager import Manager
from tests.support.pbx import FakePbx

REFUSED = "no link to the PBX at 127.0.0.1:1: [Errno 111] Connect call failed ('127.0.0.1', 1)"


@pytest.fixture
async def manager(tmp_path: Path) -> AsyncIterator[Manager]:
    async with Manager(tmp_path / "notify") as manager:
        yield manager


# What the environment says of who started the service


@pytest.mark.parametrize(
    ("environ", "found"),
    [
        ({}, ServiceManager()),
        ({"NOTIFY_SOCKET": "/run/n"}, ServiceManager("/run/n")),
        ({"WATCHDOG_USEC": "1500000"}, ServiceManager("", 1.5)),
        ({"WATCHDOG_USEC": "1500000", "WATCHDOG_PID": "7"}, ServiceManager("", 1.5)),
        ({"WATCHDOG_USEC": "1500000", "WATCHDOG_PID": "8"}, ServiceManager()),
        ({"WATCHDOG_USEC": "soon"}, ServiceManager()),
    ],
)
def test_who_started_the_service(environ: dict[str, str], found: ServiceManager) -> None:
    assert service_manager(environ, pid=7) == found


# The words of the protocol


async def test_every_notification_is_a_datagram_in_order(manager: Manager) -> None:
    async with Notifier(manager.address) as notifier:
        notifier.status("waiting")
        notifier.ready()
        notifier.alive()
        notifier.stopping()
        await manager.tells("STOPPING")
    assert manager.told.entries == ["STATUS=waiting", "READY=1", "WATCHDOG=1", "STOPPING=1"]


async def test_a_socket_may_have_an_abstract_name(tmp_path: Path) -> None:
    async with Manager(f"@{tmp_path}") as manager, Notifier(manager.address) as notifier:
        notifier.ready()
        await manager.tells("READY=1")


async def test_a_reload_is_told_with_its_time(manager: Manager) -> None:
    async with Notifier(manager.address) as notifier:
        before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        notifier.reloading()
        after = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        told = await manager.tells("RELOADING=1\n")
    stamp = re.fullmatch(r"RELOADING=1\nMONOTONIC_USEC=(\d+)", told)
    assert stamp
    assert before <= int(stamp[1]) <= after


async def test_a_status_is_one_line_told_when_it_changes(manager: Manager) -> None:
    async with Notifier(manager.address) as notifier:
        for words in ("one\nREADY=1", "one\nREADY=1", "two", "one"):
            notifier.status(words)
        notifier.stopping()
        await manager.tells("STOPPING")
    assert manager.told.entries[:-1] == ["STATUS=one READY=1", "STATUS=two", "STATUS=one"]


async def test_what_the_socket_has_no_room_for_is_told_later(tmp_path: Path) -> None:
    path = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as ear:
        ear.bind(path)
        async with Notifier(path) as notifier:
            for number in range(2000):
                notifier.status(str(number))
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(10):
            heard = [await loop.sock_recv(ear, 100) for _ in range(2000)]
    assert heard == [f"STATUS={number}".encode() for number in range(2000)]


async def test_a_socket_that_is_not_there_is_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with Notifier(str(tmp_path / "none")) as notifier:
        notifier.ready()
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert record.getMessage().endswith("none: No such file or directory")


async def test_without_a_socket_nobody_is_told(caplog: pytest.LogCaptureFixture) -> None:
    async with Notifier() as notifier:
        notifier.ready()
    assert not caplog.records


async def test_a_socket_that_goes_costs_nothing_but_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with Manager(tmp_path / "notify") as manager, Notifier(manager.address) as notifier:
        await manager.__aexit__()
        await asyncio.sleep(0)
        notifier.ready()
    assert {record.levelno for record in caplog.records} == {logging.WARNING}


# How the service is


class Supervised:
    """A service whose link is up or down as the test says, and what systemd is told of it."""

    def __init__(self, manager: Manager, notifier: Notifier, watchdog: float) -> None:
        self.service = Service(DIRECTORY, FakePbx())
        self.link = Link(Address("127.0.0.1", 1, "u", "zq9secret"))
        self.manager = manager
        self.link_task = asyncio.create_task(self.link.run(self.service))
        self.supervision = Supervision(notifier, self.link, self.service, watchdog=watchdog)
        self._task = asyncio.create_task(self.supervision.run(self.link_task))

    async def watched(self) -> None:
        """Wait until the supervision has ended by itself."""
        await asyncio.wait_for(self._task, 5)

    async def close(self) -> None:
        for task in (self._task, self.link_task):
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        await self.service.close()


@asynccontextmanager
async def supervised(manager: Manager, *, watchdog: float = 0.06) -> AsyncIterator[Supervised]:
    async with Notifier(manager.address) as notifier:
        it = Supervised(manager, notifier, watchdog)
        try:
            yield it
        finally:
            await it.close()


async def test_ready_is_when_the_picture_is_complete(manager: Manager) -> None:
    async with supervised(manager) as it:
        await manager.tells(f"STATUS={REFUSED}")
        assert manager.count("READY=1") == 0
        it.service.on_restored([], [])
        await manager.tells("STATUS=linked to the PBX; channels: 0, whispers: 0")
        await manager.tells("READY=1")


async def test_a_link_that_is_lost_and_found_is_told_in_words_only(manager: Manager) -> None:
    async with supervised(manager) as it:
        for _ in range(2):
            mark = manager.told.mark()
            it.service.on_restored([], [])
            await manager.tells("STATUS=linked to the PBX", since=mark)
            it.service.on_lost()
            await manager.tells("STATUS=no link to the PBX", since=mark)
    assert manager.count("READY=1") == 1


async def test_the_watchdog_is_fed_while_waiting_and_while_ready(manager: Manager) -> None:
    async with supervised(manager) as it:
        await manager.tells("WATCHDOG=1")
        it.service.on_restored([], [])
        await manager.tells("READY=1")
        mark = manager.told.mark()
        await manager.tells("WATCHDOG=1", since=mark)


async def test_no_watchdog_is_fed_that_nobody_asked_for(manager: Manager) -> None:
    async with supervised(manager, watchdog=0.0) as it:
        it.service.on_restored([], [])
        await manager.tells("READY=1")
    assert manager.count("WATCHDOG=1") == 0


async def test_no_sign_of_life_without_the_task_of_the_link(
    manager: Manager, caplog: pytest.LogCaptureFixture
) -> None:
    async with supervised(manager) as it:
        await manager.tells("WATCHDOG=1")
        it.link_task.cancel()
        await it.watched()
        signs = manager.count("WATCHDOG=1")
        await asyncio.sleep(0.1)
        assert manager.count("WATCHDOG=1") == signs
    assert caplog.records[-1].levelno == logging.CRITICAL


async def test_a_loop_that_hangs_gives_no_sign_of_life(manager: Manager) -> None:
    started: queue.Queue[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = queue.Queue()

    async def live() -> None:
        enough = asyncio.Event()
        async with supervised(manager):
            started.put((asyncio.get_running_loop(), enough))
            await enough.wait()

    living = asyncio.create_task(asyncio.to_thread(asyncio.run, live()))
    loop, enough = await asyncio.to_thread(started.get)
    await manager.tells("WATCHDOG=1")
    hung = threading.Event()
    loop.call_soon_threadsafe(hung.wait)
    await asyncio.sleep(0.1)
    signs = manager.count("WATCHDOG=1")
    await asyncio.sleep(0.3)
    assert manager.count("WATCHDOG=1") == signs
    mark = manager.told.mark()
    hung.set()
    await manager.tells("WATCHDOG=1", since=mark)
    loop.call_soon_threadsafe(enough.set)
    await living


async def test_a_reload_is_told_only_of_what_was_ready(manager: Manager) -> None:
    async with supervised(manager) as it:
        await manager.tells("WATCHDOG=1")
        it.supervision.reload_begun()
        it.supervision.reload_done()
        it.service.on_restored([], [])
        await manager.tells("READY=1")
        mark = manager.told.mark()
        it.supervision.reload_begun()
        it.supervision.reload_done()
        await manager.tells("READY=1", since=mark)
    reloads = [told for told in manager.told.entries if told.startswith("RELOADING")]
    assert len(reloads) == 1
    assert manager.count("READY=1") == 2


async def test_no_secret_is_told(manager: Manager) -> None:
    async with supervised(manager) as it:
        await manager.tells(f"STATUS={REFUSED}")
        it.service.on_restored([], [])
        await manager.tells("READY=1")
    assert not any("zq9secret" in told for told in manager.told.entries)
