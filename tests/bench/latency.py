"""From the request to the INVITE: what the bridge adds to a raw AMI Originate.

In the place of the supervisor's phone is a UDP socket that notes when the INVITE arrives and
says it is busy. Raw Originates on an open link, requests to relays that do nothing else, and
requests to the bridge take turns. The PBX gets the same bytes from all of them.

Whoever takes a turn has rested, as he has when a supervisor asks: back to back, the bridge would
still take in the end of the last call.
"""

import asyncio
import contextlib
import json
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Protocol

import aiohttp

from bridge.lab import packages, tones
from bridge.lab.asterisk import PHONE_PASSWORD, Asterisk, conf_dir
from bridge.lab.observer import Observer
from bridge.lab.phone import Phone
from bridge.lab.server import Server
from tests.bench.originate import CALLER_ID, SECONDS, SECRET, Raw
from tests.bench.relays import KINDS
from tests.bench.supervisor import Busy, Hangups

ROUNDS = 300
RESTS = (0.02, 0.0)
"""Seconds of rest before each turn."""

_EXTENSION = """
[[extensions]]
number = "0003*099"
user = "24"
endpoint = "PJSIP/bench"
"""
_ENDPOINT = """
[bench]
type=endpoint
context=extensions
disallow=all
allow=ulaw
aors=bench
[bench]
type=aor
contact=sip:bench@127.0.0.1:{port}
"""


class Caller(Protocol):
    """A way to have the supervisor called."""

    def call(self) -> None:
        """Have him called."""

    def settle(self) -> None:
        """Read the answer."""


@dataclass(frozen=True)
class Comparison:
    """Milliseconds to the INVITE by whom the call was asked for; ``raw`` is among them."""

    times: dict[str, list[float]] = field(default_factory=dict)

    def ratio(self, name: str, of: Callable[[list[float]], float]) -> float:
        """A figure as a multiple of the raw one."""
        return of(self.times[name]) / of(self.times["raw"])


def p99(values: list[float]) -> float:
    """The 99th percentile."""
    return statistics.quantiles(values, n=100)[98]


class Http:
    """A client that keeps its connection, to the bridge or a relay."""

    def __init__(self, port: int, request: bytes) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._request = request

    def call(self) -> None:
        """Ask for the whisper."""
        self._socket.sendall(self._request)

    def settle(self) -> None:
        """Read the answer."""
        answer = self._socket.recv(65536)
        if not answer.startswith(b"HTTP/1.1 202"):
            raise RuntimeError(answer.decode())


def _request(path: str, token: str, view: str) -> bytes:
    body = json.dumps(
        {
            "action": "Whisper",
            "sendCallTo": "0003*099",
            "callerId": str(CALLER_ID),
            "waitForPickup": SECONDS,
            "phoneCallViewId": view,
        }
    )
    return (
        f"PUT {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}"
    ).encode()


@dataclass
class Scene:
    """A PBX with one call on it, the ways to call the supervisor, and his phone."""

    phone: Busy
    hangups: Hangups
    callers: Mapping[str, Caller]
    observer: Observer

    def compare(self, rounds: int, rest: float) -> Comparison:
        """Take turns, each after ``rest`` seconds; the first of a round begins the next last."""
        times: dict[str, list[float]] = {name: [] for name in self.callers}
        order = list(self.callers)
        for turn in range(rounds + 10):
            for name in order:
                took = self._take(self.callers[name], rest)
                if turn >= 10:
                    times[name].append(took * 1000)
            order.append(order.pop(0))
        return Comparison(times)

    def steady(self) -> None:
        """Wait until calls get through: while its queues are long, Asterisk refuses all of PJSIP.

        Raises RuntimeError when none does in a minute.
        """
        until = time.monotonic() + 60
        while time.monotonic() < until:
            with contextlib.suppress(TimeoutError):
                for _ in range(20):
                    self._take(self.callers["raw"], 0.05)
                return
        raise RuntimeError("the PBX does not come to rest")

    def _take(self, caller: Caller, rest: float) -> float:
        time.sleep(rest)
        began = time.perf_counter()
        caller.call()
        took = self.phone.called() - began
        caller.settle()
        self.hangups.wait()
        return took


@contextlib.asynccontextmanager
async def scene() -> AsyncIterator[Scene]:
    """A PBX with one call on it, the bridge beside it, and all ways to call the supervisor."""
    asterisk, baresip = await packages.asterisk("22", print), await packages.baresip(print)
    async with AsyncExitStack() as stack:
        run_dir = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="whisper-bench-")))
        pbx = await stack.enter_async_context(
            await Asterisk.start(asterisk, run_dir / "pbx", bridge_secret=SECRET)
        )
        observer = await stack.enter_async_context(await pbx.observer())
        phone = Busy()
        await _add_endpoint(pbx, observer, phone.port)
        caller, agent = [
            await stack.enter_async_context(
                Phone(
                    baresip,
                    run_dir / number,
                    number=number,
                    password=PHONE_PASSWORD,
                    sip_port=pbx.sip_port,
                    tone_hz=tones.AGENT_HZ,
                )
            )
            for number in ("7778888", "0003*210")
        ]
        server = await stack.enter_async_context(await _server(run_dir, pbx))
        await asyncio.gather(caller.registered(), agent.registered())
        await caller.dial("0003*210")
        await caller.established()
        token = await server.token("lab-app")
        call, view = await _call(server, token)
        legs = await observer.rows("CoreShowChannels")
        target = next(leg["Uniqueid"] for leg in legs if "0003*210" in leg["Channel"])
        request = _request(f"/uapi/phoneCalls/12/0003*210/{call}", token, view)
        callers: dict[str, Caller] = {"raw": Raw(pbx.ami_port, target)}
        for kind in KINDS:
            port = await stack.enter_async_context(_relay(kind, pbx.ami_port, target))
            callers[kind] = Http(port, request)
        callers["bridge"] = Http(int(server.url.rpartition(":")[2]), request)
        yield Scene(phone, Hangups(pbx.ami_port), callers, observer)


@contextlib.asynccontextmanager
async def _relay(kind: str, ami_port: int, target: str) -> AsyncIterator[int]:
    command = ("-m", "tests.bench.relays", kind, str(ami_port), target)
    relay = await asyncio.create_subprocess_exec(
        sys.executable, *command, stdout=asyncio.subprocess.PIPE
    )
    try:
        assert relay.stdout is not None
        yield int(await relay.stdout.readline())
    finally:
        relay.kill()
        await relay.wait()


async def _add_endpoint(pbx: Asterisk, observer: Observer, port: int) -> None:
    with (pbx.run_dir / "etc" / "pjsip.conf").open("a") as file:
        file.write(_ENDPOINT.format(port=port))
    await observer.action("Command", Command="module reload res_pjsip.so")


async def _server(run_dir: Path, pbx: Asterisk) -> Server:
    directory = run_dir / "directory.toml"
    directory.write_text((conf_dir() / "lab" / "directory.toml").read_text() + _EXTENSION)
    return await Server.start(
        run_dir, ami_port=pbx.ami_port, ami_secret=SECRET, directory=directory
    )


async def _call(server: Server, token: str) -> tuple[str, str]:
    headers = {"Authorization": f"Bearer {token}"}
    async with aiohttp.ClientSession(headers=headers) as http:
        for _ in range(100):
            async with http.get(f"{server.url}/uapi/phoneCalls/12/0003*210") as answer:
                if answer.status == 200:
                    call = (await answer.json())["entry"][0]
                    if call["phoneCallView"][0]["status"] == "5":
                        return call["id"], call["phoneCallView"][0]["id"]
            await asyncio.sleep(0.05)
    raise RuntimeError("the call did not come about")


async def fill(observer: Observer, channels: int) -> None:
    """Put that many further channels on the PBX."""
    for _ in range(channels // 2):
        await observer.action(
            "Originate",
            Channel="Local/600@extensions/n",
            Application="Wait",
            Data="3600",
            Async="true",
        )
    async with asyncio.timeout(60):
        while len(await observer.rows("CoreShowChannels")) < channels:
            await asyncio.sleep(0.5)


async def run(rounds: int = ROUNDS) -> dict[tuple[int, float], Comparison]:
    """Compare on an idle PBX and on one with 1,000 channels, after each rest."""
    results = {}
    async with scene() as stage:
        for channels, rest in product((0, 1000), RESTS):
            if channels and rest == RESTS[0]:
                await fill(stage.observer, channels)
                await asyncio.to_thread(stage.steady)
            results[channels, rest] = await asyncio.to_thread(stage.compare, rounds, rest)
    return results


def report(results: Mapping[tuple[int, float], Comparison]) -> None:
    """Print the table."""
    print("channels  rest ms  asked by   median ms   p99 ms   x raw, median   x raw, p99")
    for (channels, rest), compared in results.items():
        for name, times in compared.times.items():
            print(
                f"{channels:8} {rest * 1000:8.0f}  {name:8}"
                f" {statistics.median(times):11.2f} {p99(times):8.2f}"
                f" {compared.ratio(name, statistics.median):15.2f}"
                f" {compared.ratio(name, p99):12.2f}"
            )


if __name__ == "__main__":
    report(asyncio.run(run()))
