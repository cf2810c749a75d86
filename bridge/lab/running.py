"""What runs in the foreground: it says what happens, and a signal ends it in order."""

import asyncio
import signal
import time
from collections.abc import Coroutine
from typing import Any

INTERRUPTED = 130
"""What a shell calls the end by Ctrl-C: 128 and the number of SIGINT."""


class Clock:
    """Says what happens, with the seconds since the start."""

    def __init__(self) -> None:
        self._began = time.monotonic()

    def __call__(self, text: str) -> None:
        """Say one line."""
        print(f"[{time.monotonic() - self._began:5.1f} s] {text}", flush=True)


async def until_stopped(work: Coroutine[Any, Any, int]) -> int:
    """Return the work's exit code, or INTERRUPTED if SIGINT or SIGTERM ended it before."""
    working = asyncio.create_task(work)
    stopped = asyncio.create_task(_stop_signals().wait())
    await asyncio.wait({working, stopped}, return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    if not working.done():
        working.cancel()
    try:
        return await working
    except asyncio.CancelledError:
        return INTERRUPTED


def _stop_signals() -> asyncio.Event:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return stop
