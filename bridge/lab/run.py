"""``whisper-bridge lab``: a whisper from nothing, on a real Asterisk with real SIP phones."""

import asyncio
import secrets
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from bridge.lab import packages, proof, tones
from bridge.lab.asterisk import PHONE_PASSWORD, Asterisk, conf_dir
from bridge.lab.errors import LabError
from bridge.lab.phone import Phone
from bridge.lab.proof import Party
from bridge.lab.server import Server

AGENT, CUSTOMER, SUPERVISOR = "0003*210", "7778888", "0003*024"
CALLER_ID = "Whisper To Me <42420042>"
INTERRUPTED = 130
"""What a shell calls the end by Ctrl-C: 128 and the number of SIGINT."""

_PATIENCE = 10.0


@dataclass(frozen=True)
class Wish:
    """What somebody asked of the lab."""

    asterisk: str = "22"
    private: bool = False
    keep: bool = False


@dataclass(frozen=True)
class Scene:
    """The PBX, the phones and the service, all running, with a token for the service."""

    server: Server
    token: str
    agent: Phone
    customer: Phone
    supervisor: Phone

    def parties(self, wish: Wish) -> tuple[Party, ...]:
        """The three in the table's order."""
        hears = proof.expected(private=wish.private)
        phones = {"agent": self.agent, "customer": self.customer, "supervisor": self.supervisor}
        return tuple(Party(name, phone, hears[name]) for name, phone in phones.items())


class _Clock:
    """Says what happens, with the seconds since the start."""

    def __init__(self) -> None:
        self._began = time.monotonic()

    def __call__(self, text: str) -> None:
        print(f"[{time.monotonic() - self._began:5.1f} s] {text}", flush=True)


async def run_lab(wish: Wish) -> int:
    """Run the lab; on a terminal it stays up until Ctrl-C, elsewhere it ends after the proof.

    Returns 0 when every party heard exactly whom it should, else 1, and INTERRUPTED when it was
    stopped before it knew. Raises LabError when the lab
    cannot be set up.
    """
    work = asyncio.create_task(_play(wish, _Clock()))
    stopped = asyncio.create_task(_stop_signals().wait())
    await asyncio.wait({work, stopped}, return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    if not work.done():
        work.cancel()
    try:
        return await work
    except asyncio.CancelledError:
        return INTERRUPTED


async def _play(wish: Wish, say: Callable[[str], None]) -> int:
    async with AsyncExitStack() as stack:
        run_dir = stack.enter_context(_run_folder(wish))
        scene = await stack.enter_async_context(_scene(wish, run_dir, say))
        async with _api(scene) as api:
            right = await _prove(wish, scene, api, say)
        if _stays():
            print(_curl_lines(scene), flush=True)
            with suppress(asyncio.CancelledError):
                await asyncio.Event().wait()
        return 0 if right else 1


async def _prove(wish: Wish, scene: Scene, api: "Api", say: Callable[[str], None]) -> bool:
    mark = scene.supervisor.events.mark()
    await scene.customer.dial(AGENT)
    call = await api.until(f"12/{AGENT}", _on_call)
    say(f"the customer {CUSTOMER} talks to the agent {AGENT}: call {call['id']}")
    link = await api.whisper(f"12/{AGENT}/{call['id']}", call["phoneCallView"][0]["id"], wish)
    display = await scene.supervisor.incoming(since=mark)
    say(f"PUT Whisper: 202; the phone of {SUPERVISOR} shows {display.name} <{display.number}>")
    whispering = await api.until(link, _whispered)
    say(f"view {whispering['phoneCallView'][1]['id']} is there: the supervisor whispers")
    table = await proof.listen(scene.parties(wish))
    right = proof.is_right(table)
    print("\n" + proof.render(table) + "\n")
    say(_verdict(wish, right=right))
    return right


def _verdict(wish: Wish, *, right: bool) -> str:
    if not right:
        return "WRONG: somebody hears what he should not, or does not hear what he should"
    alone = ", who hears nothing himself," if wish.private else ""
    return f"proven: the agent hears the supervisor{alone} and the customer does not"


class Api:
    """A client of the service, with a token."""

    def __init__(self, http: aiohttp.ClientSession, base: str) -> None:
        self._http = http
        self._base = base

    async def whisper(self, path: str, view: str, wish: Wish) -> str:
        """Ask for the whisper and return the link to follow."""
        body = {
            "action": "Whisper",
            "sendCallTo": SUPERVISOR,
            "private": int(wish.private),
            "callerId": CALLER_ID,
            "waitForPickup": "20",
            "phoneCallViewId": view,
        }
        async with self._http.put(f"{self._base}/{path}", json=body) as answer:
            content = await answer.json()
            if answer.status != 202:
                raise LabError(f"PUT answers {answer.status}: {content}")
            return str(content["link"]["self"]).removeprefix(f"{self._base}/")

    async def until(
        self, path: str, wanted: Callable[[dict[str, Any]], dict[str, Any] | None]
    ) -> dict[str, Any]:
        """GET until the answer is as wanted."""
        try:
            async with asyncio.timeout(_PATIENCE):
                while True:
                    async with self._http.get(f"{self._base}/{path}") as answer:
                        found = wanted(await answer.json()) if answer.status == 200 else None
                    if found is not None:
                        return found
                    await asyncio.sleep(0.05)
        except TimeoutError as error:
            raise LabError(f"GET did not show what it should within {_PATIENCE:g} s") from error


def _on_call(page: dict[str, Any]) -> dict[str, Any] | None:
    calls: list[dict[str, Any]] = page["entry"]
    return next((call for call in calls if call["phoneCallView"][0]["status"] == "5"), None)


def _whispered(call: dict[str, Any]) -> dict[str, Any] | None:
    return call if len(call["phoneCallView"]) > 1 else None


@asynccontextmanager
async def _api(scene: Scene) -> AsyncIterator[Api]:
    headers = {"Authorization": f"Bearer {scene.token}"}
    async with aiohttp.ClientSession(headers=headers) as http:
        yield Api(http, f"{scene.server.url}/uapi/phoneCalls")


@asynccontextmanager
async def _scene(wish: Wish, run_dir: Path, say: Callable[[str], None]) -> AsyncIterator[Scene]:
    asterisk, baresip = await asyncio.gather(
        packages.asterisk(wish.asterisk, say), packages.baresip(say)
    )
    secret = secrets.token_hex(24)
    async with AsyncExitStack() as stack:
        pbx = await stack.enter_async_context(
            await Asterisk.start(asterisk, run_dir / "pbx", bridge_secret=secret)
        )
        say(f"Asterisk {asterisk.version} is up")
        phones = [
            Phone(
                baresip,
                run_dir / name,
                number=number,
                password=PHONE_PASSWORD,
                sip_port=pbx.sip_port,
                tone_hz=tone,
            )
            for name, number, tone in (
                ("agent", AGENT, tones.AGENT_HZ),
                ("customer", CUSTOMER, tones.CUSTOMER_HZ),
                ("supervisor", SUPERVISOR, tones.SUPERVISOR_HZ),
            )
        ]
        for phone in phones:
            await stack.enter_async_context(phone)
        starting = Server.start(
            run_dir,
            ami_port=pbx.ami_port,
            ami_secret=secret,
            directory=conf_dir() / "lab" / "directory.toml",
        )
        server = await stack.enter_async_context(await starting)
        say(f"the bridge is up at {server.url} and its picture of the PBX complete")
        for phone in phones:
            await phone.registered()
        say("three phones are registered, each playing its own tone")
        yield Scene(server, await server.token("lab-app"), *phones)


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


def _stop_signals() -> asyncio.Event:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return stop


def _curl_lines(scene: Scene) -> str:
    return f"""
It stays up until Ctrl-C. To play with it, in another terminal:

  TOKEN={scene.token}
  CALLS={scene.server.url}/uapi/phoneCalls/12/{AGENT}
  curl -sH "Authorization: Bearer $TOKEN" "$CALLS" | python3 -m json.tool
  curl -sX PUT -H "Authorization: Bearer $TOKEN" "$CALLS/CALL_ID" \\
    -d '{{"action": "Whisper", "sendCallTo": "0003*025", "phoneCallViewId": "01"}}'
"""
