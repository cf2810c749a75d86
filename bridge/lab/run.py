"""``whisper-bridge lab``: a whisper from nothing, on a real Asterisk with real SIP phones."""

import asyncio
import secrets
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from bridge.lab import packages
from bridge.lab.asterisk import PHONE_PASSWORD, Asterisk, conf_dir
from bridge.lab.cast import AGENT, ROLES
from bridge.lab.client import Client
from bridge.lab.phone import Phone
from bridge.lab.running import Clock, until_stopped
from bridge.lab.scene import Say, Scene, prove
from bridge.lab.server import Server


@dataclass(frozen=True)
class Wish:
    """What somebody asked of the lab."""

    asterisk: str = "22"
    private: bool = False
    keep: bool = False


async def run_lab(wish: Wish) -> int:
    """Run the lab; on a terminal it stays up until Ctrl-C, elsewhere it ends after the proof.

    Returns 0 when every party heard exactly whom it should, else 1, and INTERRUPTED when it was
    stopped before it knew. Raises LabError when the lab cannot be set up.
    """
    return await until_stopped(_play(wish, Clock()))


async def _play(wish: Wish, say: Say) -> int:
    async with AsyncExitStack() as stack:
        run_dir = stack.enter_context(_run_folder(wish))
        server, phones = await stack.enter_async_context(_lab(wish, run_dir, say))
        token = await server.token("lab-app")
        client = await stack.enter_async_context(Client.of(server.url, token))
        scene = Scene(client, phones["agent"], phones["customer"], phones["supervisor"])
        await scene.customer.dial(AGENT.number)
        right = await prove(scene, say, private=wish.private)
        if _stays():
            print(_curl_lines(server.url, token), flush=True)
            with suppress(asyncio.CancelledError):
                await asyncio.Event().wait()
        return 0 if right else 1


@asynccontextmanager
async def _lab(
    wish: Wish, run_dir: Path, say: Say
) -> AsyncIterator[tuple[Server, dict[str, Phone]]]:
    """Run the PBX, the bridge and the three phones, and wait until all of them are ready."""
    asterisk, baresip = await asyncio.gather(
        packages.asterisk(wish.asterisk, say), packages.baresip(say)
    )
    secret = secrets.token_hex(24)
    async with AsyncExitStack() as stack:
        pbx = await stack.enter_async_context(
            await Asterisk.start(asterisk, run_dir / "pbx", bridge_secret=secret)
        )
        say(f"Asterisk {asterisk.version} is up")
        phones = {
            role.name: Phone(
                baresip,
                run_dir / role.name,
                number=role.number,
                password=PHONE_PASSWORD,
                sip_port=pbx.sip_port,
                tone_hz=role.tone_hz,
            )
            for role in ROLES.values()
        }
        for phone in phones.values():
            await stack.enter_async_context(phone)
        starting = Server.start(
            run_dir,
            ami_port=pbx.ami_port,
            ami_secret=secret,
            directory=conf_dir() / "lab" / "directory.toml",
        )
        server = await stack.enter_async_context(await starting)
        say(f"the bridge is up at {server.url} and its picture of the PBX complete")
        for phone in phones.values():
            await phone.registered()
        say("three phones are registered, each playing its own tone")
        yield server, phones


class _run_folder:  # noqa: N801
    """A folder of one run, gone afterwards unless it is to be kept."""

    def __init__(self, wish: Wish) -> None:
        self._keep = wish.keep

    def __enter__(self) -> Path:
        self._path = Path(tempfile.mkdtemp(prefix="whisper-lab-"))
        return self._path

    def __exit__(self, *_: object) -> None:
        if self._keep:
            print(f"kept: {self._path}")
        else:
            shutil.rmtree(self._path, ignore_errors=True)


def _stays() -> bool:
    return sys.stdout.isatty() and sys.stdin.isatty()


def _curl_lines(url: str, token: str) -> str:
    return f"""
It stays up until Ctrl-C. To play with it, in another terminal:

  TOKEN={token}
  CALLS={url}/uapi/phoneCalls/12/{AGENT.number}
  curl -sH "Authorization: Bearer $TOKEN" "$CALLS" | python3 -m json.tool
  curl -sX PUT -H "Authorization: Bearer $TOKEN" "$CALLS/CALL_ID" \\
    -d '{{"action": "Whisper", "sendCallTo": "0003*025", "phoneCallViewId": "01"}}'
"""
