"""packaging/README.md, as somebody follows it to the letter."""

import re
from pathlib import Path

_TEXT = (Path(__file__).parents[2] / "packaging/README.md").read_text("utf-8")


def commands(section: str) -> list[str]:
    """What is typed in a section of the guide, in its order."""
    parts = re.split(r"^## (.*)$", _TEXT, flags=re.MULTILINE)
    sections = dict(zip(parts[1::2], parts[2::2], strict=True))
    blocks = re.findall(r"^```console\n(.*?)^```$", sections[section], re.MULTILINE | re.DOTALL)
    typed = re.findall(r"^# ((?:.*\\\n)*.*)$", "".join(blocks), re.MULTILINE)
    assert typed, section
    return typed


def said(pattern: str) -> str:
    """What the guide says in the group of a pattern."""
    found = re.search(pattern, _TEXT)
    assert found, pattern
    return found[1]
