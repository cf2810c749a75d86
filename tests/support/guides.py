"""The guides, as somebody follows them to the letter."""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Guide:
    """A guide by its path in the checkout."""

    path: str

    @property
    def text(self) -> str:
        """All of it."""
        return (ROOT / self.path).read_text("utf-8")

    def section(self, title: str) -> str:
        """What stands below a heading of the second level."""
        parts = re.split(r"^## (.*)$", self.text, flags=re.MULTILINE)
        return dict(zip(parts[1::2], parts[2::2], strict=True))[title]

    def blocks(self, section: str, language: str) -> list[str]:
        """The fenced blocks of a language in a section."""
        fenced = rf"^```{language}\n(.*?)^```$"
        return re.findall(fenced, self.section(section), re.MULTILINE | re.DOTALL)

    def commands(self, section: str) -> list[str]:
        """What is typed in a section, in its order."""
        console = "".join(self.blocks(section, "console"))
        typed = re.findall(r"^# ((?:.*\\\n)*.*)$", console, re.MULTILINE)
        assert typed, section
        return typed

    def said(self, pattern: str) -> str:
        """What the guide says in the group of a pattern."""
        found = re.search(pattern, self.text)
        assert found, pattern
        return found[1]


PACKAGING = Guide("packaging/README.md")
ASTERISK = Guide("asterisk-conf/README.md")
