"""Writes the audit in a thread of its own: the event loop never waits for a disk.

What is told waits in a queue. While the file cannot be written, lines are kept in memory, as many
as MOST; of those that come then, only the number is kept, and a line says it when there is room
again. Each round of lines is written through to the disk (fdatasync) before the next; a bridge that
is killed takes along what it was told in the round under way, of GATHERING seconds.
"""

import errno
import json
import logging
import time
from collections import deque
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Final

from bridge.audit.files import LineFile
from bridge.audit.lines import Clerk
from bridge.audit.reading import Archive
from bridge.audit.sight import Line
from bridge.audit.times import iso
from bridge.audit.wording import for_log, sentence
from bridge.happenings import Happening, Moment, Responded, Told

log = logging.getLogger("bridge.audit")

MOST: Final = 10_000
"""Lines kept in memory, some 4 MB, while they cannot be written."""

GATHERING: Final = 0.05
"""Seconds from the first happening of a round until its lines are written.

What belongs together comes in that time; and while a whisper is asked for, the event loop and an
Asterisk beside it have the processor to themselves: phones ring 0.2 ms sooner.
"""

RETRY: Final = 1.0
"""Seconds between two attempts to write what could not be written."""

FULL: Final = {errno.ENOSPC, errno.EDQUOT}
"""What a disk without room says."""

LAST_CHANCE: Final = 5.0
"""Seconds the thread gets at the end to write what is left."""


class Recorder:
    """A listener that writes the audit at ``path``, between ``start`` and ``stop``.

    ``numbers`` lets extensions' numbers into the log as well, which is told every line. At
    ``most`` so many lines wait in memory, and ``retry`` is in seconds. ``written`` counts lines
    since the start; ``trouble`` says why none can be written now, or is empty.
    """

    def __init__(
        self, path: Path, *, numbers: bool = False, most: int = MOST, retry: float = RETRY
    ) -> None:
        self._path = path
        self._file = LineFile(path)
        self._clerk = Clerk()
        self._numbers = numbers
        self._most, self._retry = most, retry
        self._queue: SimpleQueue[tuple[Happening, Moment] | None] = SimpleQueue()
        self._pending: deque[bytes] = deque()
        self._unheard = self._unheard_told = self._dropped = self._gap = 0
        self._thread = Thread(target=self._run, name="audit", daemon=True)
        self.written = 0
        self.trouble = ""

    @property
    def missing(self) -> int:
        """Lines for which there was no room, neither in the file nor in memory."""
        return self._dropped + self._unheard

    @property
    def waiting(self) -> int:
        """Happenings and lines that are not written yet."""
        return self._queue.qsize() + len(self._pending)

    def __call__(self, happening: Happening, moment: Moment) -> None:
        """Take in a happening, at once and whatever the disk does."""
        if type(happening) in (Responded, Told):
            return
        if self._queue.qsize() < self._most:
            self._queue.put((happening, moment))
        else:
            self._unheard += 1

    def reopen(self) -> None:
        """Have the file at the path opened, or made, even if there is nothing to write."""
        self._queue.put((Happening(), Moment(0.0, 0.0)))

    def start(self) -> None:
        """Begin. Raises OSError if there can be no such file; a full disk is waited for."""
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            self._file.follow()
        except OSError as error:
            if error.errno not in FULL:
                raise
        self._thread.start()

    def stop(self) -> None:
        """Write what is left, and end; a disk that hangs is given LAST_CHANCE seconds."""
        self._queue.put(None)
        self._thread.join(LAST_CHANCE)
        if self.waiting:
            log.error("%d lines of the audit at %s are lost", self.waiting, self._path)

    # What the thread does

    def _run(self) -> None:
        self._recall()
        self._keep(self._clerk.started(time.time()))
        going = True
        while going:
            self._write()
            going = self._take_in()
        self._keep({"time": iso(time.time()), "event": "stopped"})
        self._write()
        self._file.close()

    def _recall(self) -> None:
        """Learn which whispers were under way when the bridge ran last."""
        try:
            for line in Archive(self._path).recent():
                self._clerk.recall(line)
        except (OSError, EOFError) as error:
            log.warning("what was written to the audit before cannot be read: %s", error)

    def _take_in(self) -> bool:
        """Wait for what is told, and take all of it in; False at the end."""
        try:
            told = self._queue.get(timeout=self._retry if self._pending or self._gap else None)
            if told is not None:
                time.sleep(GATHERING)
            while told is not None:
                self._hear(*told)
                told = self._queue.get_nowait()
        except Empty:
            return True
        finally:
            self._note_unheard()
        return False

    def _hear(self, happening: Happening, moment: Moment) -> None:
        try:
            for line in self._clerk.lines(happening, moment):
                self._keep(line)
        except Exception:
            # Nobody else would write the lines that follow.
            log.exception("the audit has no words for %s", type(happening).__name__)

    def _keep(self, line: Line) -> None:
        """Log a line, and keep it until it is written, if there is room."""
        told = for_log(line, numbers=self._numbers)
        # What is of no request and no whisper has a line elsewhere.
        level = logging.INFO if "leg" in line or "request" in line else logging.DEBUG
        log.log(level, "%s", sentence(told), extra={"data": told})
        if len(self._pending) >= self._most:
            self._dropped += 1
            self._gap += 1
            return
        self._tell_gap()
        self._pending.append(_packed(line))

    def _note_unheard(self) -> None:
        """Take over what the event loop counted, which came after all that was in the queue."""
        unheard = self._unheard
        self._gap += unheard - self._unheard_told
        self._unheard_told = unheard

    def _tell_gap(self) -> None:
        """Say in the file itself how many lines are not in it."""
        if self._gap:
            line = {"time": iso(time.time()), "event": "missing", "lines": self._gap}
            self._pending.append(_packed(line))
            self._gap = 0

    def _write(self) -> None:
        """Write what can be written."""
        try:
            self._file.follow()
            while self._pending:
                self._file.append(self._pending[0])
                self._pending.popleft()
                self.written += 1
                if not self._pending:
                    self._tell_gap()
            self._file.sync()
        except OSError as error:
            self._complain(error.strerror or str(error))
        else:
            self._recover()

    def _complain(self, trouble: str) -> None:
        if trouble != self.trouble:
            log.error(
                "the audit at %s cannot be written: %s; up to %d lines are kept in memory until"
                " it can",
                self._path,
                trouble,
                self._most,
            )
        self.trouble = trouble

    def _recover(self) -> None:
        if self.trouble:
            log.warning("the audit at %s is written again", self._path)
        self.trouble = ""


def _packed(line: Line) -> bytes:
    # In ASCII: what a client wrote may be half a character, which is no UTF-8.
    return json.dumps(line, separators=(",", ":")).encode("ascii") + b"\n"
