"""Somebody who runs the client's commands: in a pipe, or on a terminal with a screen."""

import asyncio
import fcntl
import os
import pty
import signal
import struct
import sys
import termios
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import pyte

CHECKOUT = Path(__file__).parents[2]
COMMAND = (sys.executable, "-W", "error", "-m", "bridge")
PATIENCE = 15.0
"""Seconds in which what was done shows, on a busy machine; a command takes two to start."""

LINES, COLUMNS = 30, 160


class Said(NamedTuple):
    """How a command ended, and what it printed."""

    code: int
    out: str
    err: str


@dataclass
class Shell:
    """A shell, with settings in its environment and nothing else of the bridge's."""

    settings: Mapping[str, str] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        """What its commands find there."""
        ours = ("BRIDGE_", "WHISPER_", "COLUMNS", "LINES", "NO_COLOR")
        others = {name: text for name, text in os.environ.items() if not name.startswith(ours)}
        return {**others, "TERM": "xterm", **self.settings}

    async def runs(self, *arguments: str) -> Said:
        """Run a command to its end, with nobody at its terminal; no secret is shown."""
        async with self.running(*arguments) as running:
            return await running.ends()

    @asynccontextmanager
    async def running(self, *arguments: str, out: int = PIPE) -> AsyncIterator["Running"]:
        """Start a command in a pipe, a new one or that of a file descriptor."""
        process = await asyncio.create_subprocess_exec(
            *(*COMMAND, *arguments),
            env=self.environment,
            cwd=CHECKOUT,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=out,
            stderr=PIPE,
        )
        try:
            yield Running(process)
        finally:
            await _ended(process)

    @asynccontextmanager
    async def terminal(self, *arguments: str) -> AsyncIterator["Terminal"]:
        """Start a command on a terminal of its own."""
        ours, theirs = pty.openpty()
        fcntl.ioctl(ours, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
        process = await asyncio.create_subprocess_exec(
            *(*COMMAND, *arguments),
            env=self.environment,
            cwd=CHECKOUT,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        os.close(theirs)
        terminal = Terminal(process, ours)
        try:
            yield terminal
        finally:
            terminal.close()
            await _ended(process)


async def _ended(process: Process) -> None:
    if process.returncode is None:
        process.kill()
        await process.wait()


class Running:
    """A command in a pipe."""

    def __init__(self, process: Process) -> None:
        self.process = process

    async def line(self) -> str:
        """The next line it prints."""
        assert self.process.stdout
        async with asyncio.timeout(PATIENCE):
            return (await self.process.stdout.readline()).decode().rstrip("\n")

    async def until(self, words: str) -> str:
        """Read to the line with these words, and return it."""
        while words not in (line := await self.line()):
            assert line or not self.process.stdout or not self.process.stdout.at_eof(), words
        return line

    async def complains(self, words: str) -> str:
        """Read its errors to the line with these words, and return it."""
        assert self.process.stderr
        async with asyncio.timeout(PATIENCE):
            async for line in self.process.stderr:
                if words in line.decode():
                    return line.decode().rstrip("\n")
        raise AssertionError(words)

    def sent(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    async def ends(self, within: float = 3 * PATIENCE) -> Said:
        """Wait for its end: the exit code, and what it printed that nobody has read."""
        async with asyncio.timeout(within):
            out, err = await self.process.communicate()
        return Said(self.process.returncode or 0, (out or b"").decode(), err.decode())


class Terminal:
    """A terminal that a command runs on, with what its screen shows."""

    def __init__(self, process: Process, fd: int) -> None:
        self._process, self._fd = process, fd
        self.screen = pyte.Screen(COLUMNS, LINES)
        self._stream = pyte.ByteStream(self.screen)
        self._painted = asyncio.Event()
        asyncio.get_running_loop().add_reader(fd, self._paint)

    def _paint(self) -> None:
        # Linux answers with an error once nobody holds the other end.
        with suppress(OSError):
            if text := os.read(self._fd, 65536):
                self._stream.feed(text)
                self._painted.set()
                return
        asyncio.get_running_loop().remove_reader(self._fd)

    @property
    def text(self) -> str:
        """What stands on the screen."""
        return "\n".join(line.rstrip() for line in self.screen.display).rstrip()

    async def shows(self, *words: str) -> str:
        """Wait until all these words stand there, and return the text."""
        return await self._until(lambda: all(word in self.text for word in words), f"{words}")

    async def lacks(self, words: str) -> str:
        """Wait until these words are gone, and return the text."""
        return await self._until(lambda: words not in self.text, f"no {words}")

    async def _until(self, seen: Callable[[], bool], what: str) -> str:
        try:
            async with asyncio.timeout(PATIENCE):
                while not seen():
                    self._painted.clear()
                    await self._painted.wait()
        except TimeoutError:
            raise AssertionError(f"{what} is not to be seen:\n{self.text}") from None
        return self.text

    def types(self, text: str) -> None:
        """Press keys; \\x03 is Ctrl-C."""
        os.write(self._fd, text.encode())

    async def ends(self) -> int:
        """Wait for the end and return the exit code; the cursor is there again."""
        async with asyncio.timeout(PATIENCE):
            await self._process.wait()
        self._paint()
        assert not self.screen.cursor.hidden
        return self._process.returncode or 0

    def close(self) -> None:
        """Let go of it."""
        asyncio.get_running_loop().remove_reader(self._fd)
        os.close(self._fd)
