"""Who hears the notice that somebody listens, and what becomes of a supervisor without one."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest

from bridge.lab import tones
from bridge.model import Mode
from tests.e2e.client import action
from tests.support.modes import HEARS
from tests.support.windows import FAINT, WINDOW

from .cast import HZ, PATIENCE, Cast, playing
from .modes import NAMES, hears
from .pbx import CASTS, KINDS, Kind, directory
from .plain import IN, PLAIN, WHISPER
from .world import a_world

pytestmark = [pytest.mark.pbx, pytest.mark.timeout(600)]

NOTICE_HZ = HZ["deputy"]
"""Nobody else plays it here: the deputy takes no part."""

SECONDS = 0.6


@asynccontextmanager
async def people(kind: Kind, run_dir: Path, sound: str) -> AsyncIterator[Cast]:
    """A cast in whose organization this sound is the notice."""
    prefix = 'prefix = "0003"\n'
    text = directory(kind).replace(prefix, f'{prefix}notice = "{sound}"\n')
    async with a_world(kind, run_dir, CASTS[:1], people=text) as world:
        yield world.casts[0]


@pytest.fixture(scope="module", params=KINDS, ids=str)
async def cast(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Cast]:
    run_dir = tmp_path_factory.mktemp(f"n{request.param}")
    tones.write(run_dir / "notice.wav", NOTICE_HZ, SECONDS)
    async with people(request.param, run_dir, f"{run_dir}/notice") as cast:
        yield cast


def heard(cast: Cast, role: str, begin: float) -> float:
    """For how many seconds somebody has heard the notice, however faintly."""
    file = cast.phones[role].recording
    windows = range(round(begin / WINDOW), round(tones.length(file) / WINDOW))
    levels = (tones.level(file, NOTICE_HZ, WINDOW, (at + 1) * WINDOW) for at in windows)
    return WINDOW * sum(level > FAINT for level in levels)


async def logged(cast: Cast, words: str) -> None:
    async with asyncio.timeout(PATIENCE):
        while words not in cast.logged():
            await asyncio.sleep(0.02)


@contextmanager
def watching(cast: Cast) -> Iterator[list[list[list[str]]]]:
    """Whatever the API shows meanwhile."""
    seen: list[list[list[str]]] = []

    async def watch() -> None:
        while True:
            seen.append(await cast.shown())
            await asyncio.sleep(0.02)

    task = asyncio.create_task(watch())
    try:
        yield seen
    finally:
        task.cancel()


@pytest.mark.parametrize("mode", [Mode.LISTEN, Mode.WHISPER, Mode.BARGE], ids=NAMES.get)
async def test_the_agent_hears_it_and_nobody_else(cast: Cast, mode: Mode) -> None:
    async with playing(cast):
        cast.barged = mode is Mode.BARGE
        await cast.dial("customer", "agent")
        await cast.hears("before", **PLAIN)
        begin = {role: tones.length(cast.phones[role].recording) for role in ("agent", "customer")}
        with watching(cast) as seen:
            await cast.whisper(**action(mode))
            await logged(cast, "notice leg=")
            await cast.hears("after", **hears(mode))
        assert seen
        assert all(shown in ([[IN]], [[IN, WHISPER]]) for shown in seen), seen
        assert SECONDS - 0.1 < heard(cast, "agent", begin["agent"]) < SECONDS + 0.1
        assert heard(cast, "customer", begin["customer"]) == 0
        assert heard(cast, "supervisor", 0) == 0
        assert set(HEARS[mode]) == {"agent", "customer", "supervisor"}
        assert len(await cast.legs()) == 1


async def test_each_begin_has_one_and_a_change_has_none(cast: Cast) -> None:
    async with playing(cast):
        await cast.dial("customer", "agent")
        await cast.whisper()
        await logged(cast, "notice leg=")
        await cast.ask(**action(Mode.LISTEN))
        await cast.ask(**action(Mode.WHISPER))
        await cast.supervisor.hang_up()
        await cast.no_legs()
        assert cast.logged().count("notice leg=") == 1
        await cast.whisper()
        async with asyncio.timeout(PATIENCE):
            while cast.logged().count("notice leg=") < 2:
                await asyncio.sleep(0.02)


async def test_without_it_nobody_listens(tmp_path: Path) -> None:
    async with people(KINDS[0], tmp_path, "custom/not-there") as cast, playing(cast):
        await cast.dial("customer", "agent")
        assert (await cast.ask()).status == 202
        await logged(cast, "reason=no_notice")
        assert "the notice custom/not-there was not played" in cast.logged()
        await cast.no_legs()
        await cast.expect("after", [IN])
        await cast.hears("after", **PLAIN)
