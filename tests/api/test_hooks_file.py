"""The file of call events is full, locked or damaged: calls go on, and it is said what is wrong."""

import asyncio
import sqlite3
from pathlib import Path

import pytest

from bridge.happenings import Outcome
from tests.support.disks import run_on_a_small_disk
from tests.support.happenings import talk
from tests.support.receiver import Receiver, receiving

from .test_hooks import CALLED, CALLER, Home, a_home


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "webhooks.sqlite"


async def nothing_but_calls(home: Home) -> None:
    """Calls go on, and what is done with hooks is refused for now."""
    home.happens(*talk(CALLER, CALLED))
    assert (await home.house.get("/uapi/phoneCalls/12/0003*210")).status == 200
    for method in ("GET", "POST", "DELETE"):
        answer = await home.ask(method, json={"type": 0, "url": "http://x.example.com/"})
        assert (answer.status, answer.code) == (503, "pce_unavailable")
        assert int(answer.headers["Retry-After"]) > 0
    answer = await home.ask("PUT", "/0/a1", json={"note": "x"})
    assert (answer.status, answer.code) == (503, "pce_unavailable")


async def until_it_can_be_used(home: Home) -> None:
    async with asyncio.timeout(5):
        while (await home.ask("GET")).status == 503:
            await asyncio.sleep(0.02)


async def works(home: Home, receiver: Receiver) -> None:
    """A call is told."""
    before = home.outcomes.count(Outcome.DELIVERED.value)
    await home.made(receiver.url())
    await home.calls(1, first=9)
    await home.until(Outcome.DELIVERED, before + 1)


async def test_a_file_that_is_none_is_not_touched_until_somebody_takes_it_away(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path.write_bytes(b"no database" * 1000)
    async with a_home(path, reopen=0.05) as home, receiving() as receiver:
        await nothing_but_calls(home)
        await asyncio.sleep(0.2)
        assert path.read_bytes() == b"no database" * 1000
        assert caplog.text.count("cannot be used: file is not a database") == 1
        path.unlink()
        await until_it_can_be_used(home)
        assert "is used again" in caplog.text
        await works(home, receiver)


async def test_a_damaged_file_is_told_of_and_read_once_it_is_mended(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with receiving() as receiver:
        async with a_home(path) as home:
            await home.made(receiver.url())
            await receiver.down()
            await home.calls(15)
            await home.until(Outcome.FAILED)
        whole = path.read_bytes()
        page = int.from_bytes(whole[16:18])
        path.write_bytes(whole[: 2 * page] + b"\xaa" * (len(whole) - 2 * page))
        await receiver.up()
        async with a_home(path, reopen=0.05) as home:
            await nothing_but_calls(home)
            assert "malformed" in caplog.text
            path.write_bytes(whole)
            await until_it_can_be_used(home)
            await home.until(Outcome.DELIVERED, 15)
    assert [one["CallerIDNum"] for one in receiver.accepted[:15]] == [
        f"777{number:04}" for number in range(1, 16)
    ]


@pytest.mark.parametrize("mode", ["NORMAL", "EXCLUSIVE"])
async def test_a_file_that_somebody_else_has_locked_is_used_once_he_lets_go(
    path: Path, caplog: pytest.LogCaptureFixture, mode: str
) -> None:
    async with receiving() as receiver:
        async with a_home(path) as home:
            made = await home.made(receiver.url())
        other = sqlite3.connect(path, isolation_level=None)
        other.execute(f"PRAGMA locking_mode = {mode}")
        other.execute("BEGIN EXCLUSIVE")
        async with a_home(path, reopen=0.05) as home:
            await nothing_but_calls(home)
            assert "cannot be used: database is locked" in caplog.text
            other.close()
            await until_it_can_be_used(home)
            assert (await home.ask("GET", f"/0/{made['id']}")).status == 200
            await works(home, receiver)


async def test_what_waits_for_the_file_at_the_end_keeps_nobody(path: Path) -> None:
    path.write_bytes(b"no database" * 1000)
    async with asyncio.timeout(5), a_home(path, reopen=60):
        pass


@pytest.mark.timeout(120)
def test_what_a_full_disk_does_not_take_is_told_when_there_is_room(tmp_path: Path) -> None:
    """On a small disk of its own, in a process that may mount one."""
    became = run_on_a_small_disk("tests.api.small_disk", tmp_path, size="256k", limit=100)
    full, again = became.pop("said")
    assert "the file of BRIDGE_WEBHOOKS_DB cannot be used: database or disk is full" in full
    assert "is used again" in again
    assert became == {
        "calls": 204,
        "refused": [503, "pce_unavailable", "10"],
        "listed": 200,
        "whole": True,
        "again": 0,
    }
