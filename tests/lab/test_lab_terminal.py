"""The lab on a terminal: it stays up to be played with, and Ctrl-C ends it at any moment."""

import os
import pty
import re
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.pbx


class Terminal:
    """``whisper-bridge lab`` on a terminal of its own."""

    def __init__(self, folder: Path) -> None:
        self._ours, theirs = pty.openpty()
        self.text = ""
        self.process = subprocess.Popen(
            [sys.executable, "-m", "bridge", "lab"],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env={**os.environ, "TMPDIR": str(folder)},
            start_new_session=True,
        )
        os.close(theirs)

    def until(self, wanted: str, within: float = 90) -> None:
        """Read until something stands there."""
        end = time.monotonic() + within
        while wanted not in self.text:
            ready, _, _ = select.select([self._ours], [], [], max(0.0, end - time.monotonic()))
            assert ready, self.text
            self.text += os.read(self._ours, 65536).decode()

    def interrupted(self) -> int:
        """Press Ctrl-C and give the exit code."""
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(20)

    def close(self) -> None:
        """Leave nothing behind, whatever happened."""
        self.process.kill()
        self.process.wait(5)
        os.close(self._ours)


@pytest.fixture
def folder() -> Iterator[Path]:
    """Where the lab may put its run folder; its sockets need a short path."""
    with tempfile.TemporaryDirectory(prefix="lab-") as path:
        yield Path(path)


@pytest.fixture
def terminal(folder: Path) -> Iterator[Terminal]:
    lab = Terminal(folder)
    yield lab
    lab.close()


def test_it_stays_up_with_lines_to_play_with_until_ctrl_c(terminal: Terminal, folder: Path) -> None:
    terminal.until("curl -sX PUT")
    assert re.search(r"TOKEN=[A-Za-z0-9_.-]{10,}", terminal.text)
    assert terminal.process.poll() is None
    assert terminal.interrupted() == 0
    assert list(folder.iterdir()) == []


def test_ctrl_c_ends_it_before_it_has_proven_anything(terminal: Terminal, folder: Path) -> None:
    terminal.until("is up")
    assert terminal.interrupted() == 130
    assert list(folder.iterdir()) == []
