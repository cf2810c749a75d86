"""The desk where examples are tried is one for all guides."""

from collections.abc import AsyncIterator

import pytest

from .desk import Desk, a_desk


@pytest.fixture(scope="package")
async def desk(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Desk]:
    async with a_desk(tmp_path_factory.mktemp("desk")) as desk:
        yield desk
