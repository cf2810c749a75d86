"""The directory of a service that runs, written anew."""

import os
import signal
from pathlib import Path

from bridge.lab.server import Server
from bridge.lab.waiting import until

PATIENCE = 6.0
"""Seconds."""


async def read_anew(
    server: Server, directory: Path, text: str, said: str = "reload: the directory is in force"
) -> None:
    """Write the directory and have it read with SIGHUP, until the log says ``said``."""
    mark = server.log.stat().st_size
    directory.write_text(text)
    os.kill(server.pid, signal.SIGHUP)

    def heard() -> bool:
        return said in server.log.read_bytes()[mark:].decode()

    await until(heard, said, within=PATIENCE, every=0.02)
