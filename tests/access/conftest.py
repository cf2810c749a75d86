"""The service as a process: beside a PBX that tells of the calls of the world, and a real one."""

from collections.abc import AsyncIterator

import pytest

from .house import House, a_house
from .siege import Siege, a_siege


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # Whichever comes first waits for the packages of Asterisk and the softphone.
    ours = [i for i in items if i.path.parent.name == "access" and i.get_closest_marker("pbx")]
    for item in ours[:1]:
        item.add_marker(pytest.mark.timeout(900))


@pytest.fixture(scope="package")
async def house(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    async with a_house(tmp_path_factory.mktemp("access")) as house:
        yield house


@pytest.fixture(scope="package")
async def siege(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Siege]:
    async with a_siege(tmp_path_factory.mktemp("siege")) as siege:
        yield siege
