"""Records what every row looks like on the AMI to a user with ``read = call,dtmf``.

``python -m tests.scenarios.record 16-sip`` plays every row in that world, or those that are named
after it, and writes what the PBX told into ``recordings/16-sip`` beside this file: the raw messages
with LF for CR LF, and between them ``# = MOMENT: CALLS`` where the API showed these calls and the
PBX had nothing more to say.
"""

import asyncio
import re
import sys
import tempfile
from collections.abc import Collection
from pathlib import Path

from bridge import events
from tests.recordings.record import Tap

from . import changes, ending, modes, plain, routes, telling, waiting, whispers
from .cast import Cast, playing
from .pbx import CASTS, KINDS, Kind
from .world import SCENES, a_world

FOLDER = Path(__file__).with_name("recordings")
MODULES = (changes, ending, modes, plain, routes, telling, waiting, whispers)
"""Where the scenarios are."""


def file_of(name: str) -> str:
    """The name of a row's recording."""
    keys = name.replace("*", "star").replace("#", "hash")
    return re.sub(r"[^a-z0-9]+", "-", keys.lower()).strip("-")[:60].strip("-") + ".txt"


async def record(kind: Kind, names: Collection[str]) -> None:
    """Play rows with one cast, one after the other, and write the recordings."""
    folder = FOLDER / str(kind)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="whisper-rec-") as run_dir:
        async with a_world(kind, Path(run_dir), CASTS[:1]) as world:
            (cast,) = world.casts
            for name in names:
                text = await _played(name, cast, world.pbx.ami_port, world.secret)
                (folder / file_of(name)).write_text(text, encoding="utf-8")
                print(f"{name}: {len(text) // 1024} KB", flush=True)


async def _played(name: str, cast: Cast, port: int, secret: str) -> str:
    cast.tap = Tap(*await asyncio.open_connection("127.0.0.1", port))
    cast.tap.send({"Action": "Login", "Username": "whisper-bridge-keys", "Secret": secret})
    try:
        async with playing(cast):
            await SCENES[name](cast)
        await cast.tap.quiet()
    finally:
        await cast.tap.close()
    story = "".join(text for text in cast.tap.story if _matters(text))
    return f"# {name}\n\n{story}".rstrip() + "\n"


def _matters(text: str) -> bool:
    """Whether the bridge reads a message; the others would only be bulk."""
    message = text.strip().replace("\n", "\r\n").encode()
    return text.startswith("#") or events.parse(message) is not None


if __name__ == "__main__":
    (_kind,) = (kind for kind in KINDS if str(kind) == sys.argv[1])
    asyncio.run(record(_kind, sys.argv[2:] or SCENES))
