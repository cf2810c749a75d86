"""Phones that pick up by themselves: the guide and the lab's directory name every make."""

import re

from bridge.directory.auto_answer import PROFILES, auto_answer
from tests.support.guides import ASTERISK, ROOT

SECTION = "Phones that pick up by themselves"


def makes(text: str) -> list[str]:
    return re.findall(r"`([a-z-]+)`", text)


def test_the_table_has_a_row_for_every_make() -> None:
    rows = ASTERISK.table(SECTION)
    assert [make for row in rows for make in makes(row[0])] == list(PROFILES)
    assert all(len(row) == 2 and row[1] for row in rows)


def test_the_header_it_writes_out_is_one() -> None:
    (written,) = re.findall(r'auto_answer = "(.+?)"', ASTERISK.section(SECTION))
    header = auto_answer(written)
    assert f"{header.name}: {header.value}" == written


def test_the_directory_of_the_lab_names_them_all() -> None:
    text = (ROOT / "asterisk-conf/lab/directory.toml").read_text("utf-8").replace("\n# ", " ")
    (named,) = re.findall(r"one of (standard .*?), or a header", text)
    named = re.sub(r"\(.*?\)", "", named)
    assert re.findall(r"[a-z-]+", named.replace(" and ", " ")) == list(PROFILES)
