"""A file that lines are appended to, wherever it is moved and however full its disk becomes."""

import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import Final

MODE: Final = 0o640
_FLAGS: Final = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC


class LineFile:
    """The file at ``path``, made if it is not there.

    It stays open over its rotation: each round begins with ``follow``, which opens what is at the
    path now if that is another file. Every method raises OSError, and may then be tried again.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = -1
        self._written = 0

    def follow(self) -> None:
        """Have the file open that is at the path now."""
        if self._descriptor >= 0 and not self._is_elsewhere():
            return
        self.close()
        descriptor = os.open(self._path, _FLAGS, MODE)
        self._descriptor, self._written = descriptor, 0
        if _is_torn(self._path, descriptor):
            os.write(descriptor, b"\n")

    def append(self, line: bytes) -> None:
        """Append a line that ends with a newline, in one write.

        The system may write a part of it, on a disk that is nearly full; the rest follows when the
        same line is appended again.
        """
        while self._written < len(line):
            self._written += os.write(self._descriptor, line[self._written :])
        self._written = 0

    def sync(self) -> None:
        """Have what was written survive a loss of power, where the file is of that kind."""
        if stat.S_ISREG(os.fstat(self._descriptor).st_mode):
            os.fdatasync(self._descriptor)

    def close(self) -> None:
        """Close it."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            with suppress(OSError):
                os.close(descriptor)

    def _is_elsewhere(self) -> bool:
        ours = os.fstat(self._descriptor)
        try:
            there = self._path.stat()
        except FileNotFoundError:
            return True
        return (ours.st_dev, ours.st_ino) != (there.st_dev, there.st_ino)


def _is_torn(path: Path, descriptor: int) -> bool:
    """Whether the file ends within a line: whoever wrote it was stopped in the midst of it."""
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode) or not status.st_size:
        return False
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) != b"\n"
