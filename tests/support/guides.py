"""The guides, as somebody follows them to the letter."""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Command:
    """What is typed after a prompt, and what the shell answers."""

    typed: str
    answer: list[str]

    @property
    def words(self) -> list[str]:
        """The command as the shell splits it, variables still to be filled in."""
        return shlex.split(self.typed)


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
        return blocks(self.section(section), language)

    def block(self, language: str) -> str:
        """The only fenced block of a language."""
        (block,) = blocks(self.text, language)
        return block

    def commands(self, section: str) -> list[str]:
        """What is typed in a section, in its order."""
        typed = [command.typed for command in shown(self.section(section))]
        assert typed, section
        return typed

    def table(self, section: str) -> list[list[str]]:
        """The rows of the only table in a section, without its head."""
        return table(self.section(section))

    def said(self, pattern: str) -> str:
        """What the guide says in the group of a pattern."""
        found = re.search(pattern, self.text)
        assert found, pattern
        return found[1]


def blocks(text: str, language: str) -> list[str]:
    """The fenced blocks of a language in a text."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def table(text: str) -> list[list[str]]:
    """The rows of the only table in a text, without its head."""
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("|")]
    return rows[2:]


def shown(text: str) -> list[Command]:
    """The commands in the console blocks of a text: root's after a #, anybody's after a $."""
    return [
        _command(piece.rstrip("\n").split("\n"))
        for block in blocks(text, "console")
        for piece in re.split(r"^[#$] ", block, flags=re.MULTILINE)[1:]
    ]


def _command(lines: list[str]) -> Command:
    """Part command and answer: a command goes on while a quote is open, or after a backslash."""
    end = next(n for n in range(1, len(lines) + 1) if _closed("\n".join(lines[:n])))
    return Command("\n".join(lines[:end]), lines[end:])


def _closed(text: str) -> bool:
    try:
        shlex.split(text)
    except ValueError:
        return False
    return not text.endswith("\\")


README = Guide("README.md")
API = Guide("bridge/api/README.md")
TERMINAL = Guide("bridge/client/README.md")
DESIGN = Guide("bridge/README.md")
OPERATING = Guide("packaging/OPERATING.md")
PACKAGING = Guide("packaging/README.md")
CONTAINERS = Guide("packaging/docker/README.md")
ASTERISK = Guide("asterisk-conf/README.md")
GUIDES = (README, API, TERMINAL, DESIGN, OPERATING, PACKAGING, CONTAINERS, ASTERISK)
