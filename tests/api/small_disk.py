"""Fills a small disk under the file of call events and empties it again; prints what became of it.

``python -m tests.api.small_disk DISK``
"""

import asyncio
import json
import logging
import os
import sys
from pathlib import Path

from bridge.happenings import Outcome
from tests.support.receiver import receiving

from .test_hooks import a_home


async def main(disk: Path) -> None:
    """Let calls come and go while the disk is full, make room, and look."""
    filler, said = disk / "filler", list[str]()
    handler = logging.Handler()
    handler.emit = lambda record: said.append(record.getMessage())  # type: ignore[method-assign]
    logging.getLogger("bridge.webhooks").addHandler(handler)
    async with receiving() as receiver, a_home(disk / "webhooks.sqlite") as home:
        await home.made(receiver.url())
        await home.calls(1)
        await home.until(Outcome.DELIVERED)
        room = os.statvfs(disk)
        filler.write_bytes(b"x" * room.f_bavail * room.f_bsize)
        # What is in the log of the database already is written over in place.
        told = 1
        while not any("cannot be used" in line for line in said):
            told += 1
            await home.calls(1, first=told)
            await asyncio.sleep(0.02)
        calls = await home.house.get("/uapi/phoneCalls/12/0003*210")
        refused = await home.ask("POST", json={"type": 0, "url": receiver.url()})
        listed = await home.ask("GET")
        filler.unlink()
        await home.until(Outcome.DELIVERED, told)
        numbers = [taken["CallerIDNum"] for taken in receiver.accepted]
    async with a_home(disk / "webhooks.sqlite"):
        pass
    print(
        json.dumps(
            {
                "calls": calls.status,
                "refused": [refused.status, refused.code, refused.headers["Retry-After"]],
                "listed": listed.status,
                "whole": numbers == [f"777{number:04}" for number in range(1, told + 1)],
                "again": len(receiver.taken) - told,
                "said": [line for line in said if "BRIDGE_WEBHOOKS_DB" in line],
            }
        )
    )


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
