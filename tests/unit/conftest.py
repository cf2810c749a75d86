"""An operator at a shell, and a service he runs."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.operator import Operator, Serving


@pytest.fixture
def operator(tmp_path: Path) -> Operator:
    return Operator(tmp_path)


@pytest.fixture
def serving(operator: Operator) -> Iterator[Serving]:
    with operator.serving() as serving:
        yield serving
