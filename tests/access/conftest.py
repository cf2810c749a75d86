"""The service as a process, beside a manager interface that tells of the calls of the world."""

from collections.abc import AsyncIterator

import pytest

from .house import House, a_house


@pytest.fixture(scope="package")
async def house(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    async with a_house(tmp_path_factory.mktemp("access")) as house:
        yield house
