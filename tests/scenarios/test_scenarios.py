"""Each row of the table of calls, in every world."""

import pytest

from .record import MODULES
from .world import SCENES, World

pytestmark = [pytest.mark.pbx, pytest.mark.timeout(600)]

assert MODULES  # importing them is what fills SCENES


@pytest.mark.parametrize("name", SCENES)
async def test_scenario(world: World, name: str) -> None:
    await world.outcome(name)
