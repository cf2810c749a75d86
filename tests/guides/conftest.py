"""The desk where the examples of a guide are tried: each has its own, with a call of its own."""

from collections.abc import AsyncIterator

import pytest

from .desk import Desk, a_desk


@pytest.fixture(scope="module")
async def desk(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Desk]:
    async with a_desk(tmp_path_factory.mktemp("desk")) as desk:
        yield desk
