"""From the request to the INVITE: what the bridge adds to a raw AMI Originate.

In the place of the supervisor's phone is a UDP socket that notes when the INVITE arrives and
says it is busy. Requests of the bridge and raw Originates on an open link take turns.
"""

import asyncio
import contextlib
import json
import re
import socket
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from bridge.lab import packages, tones
from bridge.lab.asterisk import PHONE_PASSWORD, Asterisk, conf_dir
from bridge.lab.observer import Observer
from bridge.lab.phone import Phone
from bridge.lab.server import Server

ROUNDS = 300
_SECRET = "bench-only"
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
_HEADER = re.compile(rb"(?im)^(?:Via|From|To|Call-ID|CSeq): .*\r\n")


@dataclass(frozen=True)
class Comparison:
    """Milliseconds to the INVITE, of a raw Originate and of the bridge."""

    raw: list[float]
    bridge: list[float]

    def ratio(self, of: Callable[[list[float]], float]) -> float:
        """The bridge's figure as a multiple of the raw one."""
        return of(self.bridge) / of(self.raw)


def p99(values: list[float]) -> float:
    """The 99th percentile."""
    return statistics.quantiles(values, n=100)[98]


class Busy:
    """A phone that is always busy, and knows when it was called."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._socket.settimeout(5)
        self.port = self._socket.getsockname()[1]

    def called(self) -> float:
        """Wait for an INVITE, refuse it, and return when it came (``time.perf_counter``)."""
        while True:
            message, peer = self._socket.recvfrom(65536)
            came = time.perf_counter()
            if message.startswith(b"INVITE "):
                headers = b"".join(found[0] for found in _HEADER.finditer(message))
                self._socket.sendto(b"SIP/2.0 486 Busy Here\r\n" + headers + b"\r\n", peer)
                return came


class Raw:
    """An AMI link that originates what the bridge would, with nothing in between."""

    def __init__(self, port: int, target: str) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        login = f"Action: Login\r\nUsername: whisper-bridge\r\nSecret: {_SECRET}\r\nEvents: off"
        self._socket.sendall(login.encode() + b"\r\n\r\n")
        self._target = target
        self._count = 0

    def call(self) -> None:
        """Have the supervisor called."""
        self._count += 1
        action = (
            "Action: Originate\r\nChannel: PJSIP/bench\r\nApplication: ChanSpy\r\n"
            f"Data: {self._target},uqwES\r\nCallerID: Whisper <42>\r\nTimeout: 20000\r\n"
            f"ChannelId: raw-{self._count}\r\nAsync: true\r\nActionID: {self._count}\r\n\r\n"
        )
        self._socket.sendall(action.encode())

    def settle(self) -> None:
        """Read what the PBX said."""
        self._socket.recv(65536)


class Hangups:
    """A link that hears of the end of the supervisor's leg, so that turns follow each other."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.settimeout(5)
        login = f"Action: Login\r\nUsername: whisper-bridge\r\nSecret: {_SECRET}\r\nEvents: call"
        self._socket.sendall(login.encode() + b"\r\n\r\n")
        self._rest = b""

    def wait(self) -> None:
        """Wait for the next hangup of that phone."""
        while True:
            *messages, self._rest = self._rest.split(b"\r\n\r\n")
            for number, message in enumerate(messages):
                if message.startswith(b"Event: Hangup\r\n") and b"Channel: PJSIP/bench-" in message:
                    self._rest = b"\r\n\r\n".join([*messages[number + 1 :], self._rest])
                    return
            self._rest += self._socket.recv(65536)


class Http:
    """A client that keeps its connection to the bridge."""

    def __init__(self, url: str, path: str, token: str, view: str) -> None:
        host, port = url.removeprefix("http://").split(":")
        self._socket = socket.create_connection((host, int(port)))
        body = json.dumps(
            {
                "action": "Whisper",
                "sendCallTo": "0003*099",
                "callerId": "Whisper <42>",
                "waitForPickup": 20,
                "phoneCallViewId": view,
            }
        )
        self._request = (
            f"PUT {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}"
        ).encode()

    def call(self) -> None:
        """Ask for the whisper."""
        self._socket.sendall(self._request)

    def settle(self) -> None:
        """Read the answer."""
        answer = self._socket.recv(65536)
        if not answer.startswith(b"HTTP/1.1 202"):
            raise RuntimeError(answer.decode())


def compare(phone: Busy, raw: Raw, http: Http, hangups: Hangups, rounds: int) -> Comparison:
    """Take turns."""
    times: dict[str, list[float]] = {"raw": [], "bridge": []}
    for turn in range(rounds + 10):
        for name, caller in (("raw", raw), ("bridge", http)):
            began = time.perf_counter()
            caller.call()
            took = phone.called() - began
            caller.settle()
            hangups.wait()
            if turn >= 10:
                times[name].append(took * 1000)
    return Comparison(**times)


@contextlib.asynccontextmanager
async def scene() -> AsyncIterator[tuple[Busy, Raw, Http, Hangups, Observer]]:
    """A PBX with one call on it, the bridge beside it, and both ways to call the supervisor."""
    asterisk, baresip = await packages.asterisk("22", print), await packages.baresip(print)
    async with AsyncExitStack() as stack:
        run_dir = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="whisper-bench-")))
        pbx = await stack.enter_async_context(
            await Asterisk.start(asterisk, run_dir / "pbx", bridge_secret=_SECRET)
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
        path = f"/uapi/phoneCalls/12/0003*210/{call}"
        raw, http = Raw(pbx.ami_port, target), Http(server.url, path, token, view)
        yield phone, raw, http, Hangups(pbx.ami_port), observer


async def _add_endpoint(pbx: Asterisk, observer: Observer, port: int) -> None:
    with (pbx.run_dir / "etc" / "pjsip.conf").open("a") as file:
        file.write(_ENDPOINT.format(port=port))
    await observer.action("Command", Command="module reload res_pjsip.so")


async def _server(run_dir: Path, pbx: Asterisk) -> Server:
    directory = run_dir / "directory.toml"
    directory.write_text((conf_dir() / "lab" / "directory.toml").read_text() + _EXTENSION)
    return await Server.start(
        run_dir, ami_port=pbx.ami_port, ami_secret=_SECRET, directory=directory
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
    # While its queues are long, Asterisk refuses every call of PJSIP: let them run dry.
    await asyncio.sleep(10)


async def run(rounds: int = ROUNDS) -> dict[int, Comparison]:
    """Compare on an idle PBX and on one with 1,000 channels; gives channels to comparison."""
    results = {}
    async with scene() as (phone, raw, http, hangups, observer):
        for channels in (0, 1000):
            if channels:
                await fill(observer, channels)
            results[channels] = await asyncio.to_thread(compare, phone, raw, http, hangups, rounds)
    return results


if __name__ == "__main__":
    for live, compared in asyncio.run(run()).items():
        print(
            f"{live} channels: raw {statistics.median(compared.raw):.2f} ms,"
            f" bridge {compared.ratio(statistics.median):.2f} x at the median,"
            f" {compared.ratio(p99):.2f} x at p99"
        )
