"""Reads the audit back: the file, and what it was before it was rotated."""

import bz2
import gzip
import json
import lzma
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bridge.audit.sight import Line
from bridge.audit.times import epoch

Opened = AbstractContextManager[Iterable[bytes]]

_UNPACK: Final[dict[str, Callable[[Path], Opened]]] = {
    ".gz": gzip.GzipFile,
    ".bz2": bz2.BZ2File,
    ".xz": lzma.LZMAFile,
}
_ROTATED: Final = re.compile(r"[.-]\d+(?:\.(?:gz|bz2|xz))?")
"""What logrotate appends: a count, or a date with ``dateext``; then how it is packed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which attempts and whispers are wanted: all those of which some line fits all that is given.

    ``since`` is an epoch second; a number may be short on either side.
    """

    call: str = ""
    supervisor: str = ""
    target: str = ""
    since: float = 0.0

    @property
    def everything(self) -> bool:
        """Whether it asks for nothing in particular, at most for a time."""
        return not (self.call or self.supervisor or self.target)

    def fits(self, line: Line) -> bool:
        """Whether a line is one of what is wanted."""
        return (
            self.call in ("", line.get("call"))
            and _same(self.supervisor, line.get("supervisor"))
            and _same(self.target, line.get("extension"))
            and (epoch(line.get("time")) or 0.0) >= self.since
        )


class Archive:
    """The audit at ``path`` with its rotated files; ``damaged`` counts lines that are none."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.damaged = 0

    def files(self) -> list[Path]:
        """The files there are, the oldest first; what is no file, such as a pipe, is left out."""
        name = self._path.name
        there = self._path.parent.iterdir() if self._path.parent.is_dir() else ()
        kept = [
            path
            for path in there
            if path.name.startswith(name)
            and (path.name == name or _ROTATED.fullmatch(path.name[len(name) :]))
            and path.is_file()
        ]
        return sorted(kept, key=lambda path: _age(path, name))

    def lines(self, wanted: Wanted) -> Iterator[Line]:
        """Every line of what is wanted, the oldest first. Raises OSError.

        Lines belong together by their request and by their whisper's leg.
        """
        if wanted.everything:
            yield from filter(wanted.fits, self._lines(wanted.since))
            return
        keys = {key for line in self._lines() if wanted.fits(line) for key in _keys(line)}
        yield from (line for line in self._lines() if keys.intersection(_keys(line)))

    def recent(self) -> Iterator[Line]:
        """The lines of the newest two files: long enough for any whisper. Raises OSError."""
        for path in self.files()[-2:]:
            yield from self._read(path)

    def _lines(self, since: float = 0.0) -> Iterator[Line]:
        self.damaged = 0
        for path in self.files():
            if path.stat().st_mtime >= since:
                yield from self._read(path)

    def _read(self, path: Path) -> Iterator[Line]:
        with _UNPACK.get(path.suffix, _plain)(path) as file:
            for text in file:
                line = _parsed(text)
                if line is not None:
                    yield line
                elif text.strip():
                    self.damaged += 1


def _age(path: Path, name: str) -> tuple[bool, int, int]:
    """What sorts the oldest first: whole seconds, as packed files keep them, then the suffix."""
    suffix = path.name[len(name) :]
    counted = re.match(r"[.-](\d+)", suffix)
    number = int(counted[1]) if counted else 0
    return not suffix, int(path.stat().st_mtime), -number if suffix.startswith(".") else number


def _plain(path: Path) -> Opened:
    return path.open("rb")


def _parsed(text: bytes) -> Line | None:
    try:
        line = json.loads(text)
    except ValueError:
        return None
    return line if isinstance(line, dict) else None


def _keys(line: Line) -> Iterator[str]:
    """What joins a line to others."""
    for name in ("request", "leg"):
        if isinstance(line.get(name), str) and line[name]:
            yield f"{name} {line[name]}"


def _same(wanted: str, number: object) -> bool:
    if not wanted or wanted == number:
        return True
    if not isinstance(number, str) or not number:
        return False
    return wanted.endswith(f"*{number}") or number.endswith(f"*{wanted}")
