"""One world at a time, for all its scenarios; at the end the page of results."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from .pbx import KINDS, Kind
from .results import write
from .world import SCENES, World, a_world

_worlds: dict[str, World] = {}


@pytest.fixture(scope="session", params=KINDS, ids=str)
async def world(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[World]:
    """A world in which the casts play every scenario that is asked for, side by side."""
    kind: Kind = request.param
    async with a_world(kind, tmp_path_factory.mktemp(f"w{kind}")) as world:
        tasks = world.begin(_asked_for(request.session, kind))
        yield world
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        _worlds[str(kind)] = world


def _asked_for(session: pytest.Session, kind: Kind) -> list[str]:
    calls = [getattr(item, "callspec", None) for item in session.items]
    asked = [c.params for c in calls if c is not None and c.params.get("world") == kind]
    return [name for name in SCENES if any(p.get("name") == name for p in asked)]


def pytest_sessionfinish() -> None:
    """Write the page once every world has played every scenario."""
    complete = all(set(SCENES) <= world.took.keys() for world in _worlds.values())
    if complete and len(_worlds) == len(KINDS):
        write(list(_worlds.values()))
