"""The design: its picture and its table are what the modules import."""

import re

from tests.support.guides import DESIGN, table
from tests.test_structure import RINGS


def test_its_picture_is_the_table_of_the_rings() -> None:
    (picture,) = re.findall(r"^```\n(.*?)^```$", DESIGN.text, re.MULTILINE | re.DOTALL)
    head, *lines = picture.splitlines()
    columns = {word.start(): word[0] for word in re.finditer(r"\w+", head)}
    shown: dict[str, list[str]] = {ring: [] for ring in columns.values()}
    for line in lines[: next(n for n, line in enumerate(lines) if "'---" in line)]:
        for word in re.finditer(r"\w+", line):
            shown[columns[word.start()]].append(word[0])
    assert list(shown) == [ring for ring, _ in RINGS]
    for ring, parts in RINGS:
        assert set(shown[ring]) == set(parts) - {"__main__"}


def test_its_table_names_every_module_in_the_order_of_the_rings() -> None:
    named = [row[0].strip("`") for row in table(DESIGN.text)]
    rings = {part: ring for ring, parts in RINGS for part in parts}
    assert sorted(named) == sorted(set(rings) - {"__main__"})
    order = [ring for ring, _ in RINGS]
    assert [rings[part] for part in named] == sorted(
        (rings[part] for part in named), key=order.index
    )
