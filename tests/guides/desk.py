"""Where the examples of the guides are tried: a real PBX, its phones, a bridge, and a call."""

import asyncio
import json
import re
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any, Final

import aiohttp
from yarl import URL

from bridge.lab import packages, tones
from bridge.lab.asterisk import PHONE_PASSWORD, Asterisk
from bridge.lab.phone import Phone
from bridge.lab.server import Server
from tests.support.clients import SECRET_HASH
from tests.support.guides import OPERATING, Command

SHOWN_URL: Final = "http://127.0.0.1:8480"
SHOWN_CALL: Final = "b817d2618fe6f1804333"
AGENT, CUSTOMER, SUPERVISOR = "0003*210", "7778888", "0003*024"


@dataclass
class Desk:
    """Where the examples are tried: a bridge with the shown directory, and a call in progress."""

    server: Server
    http: aiohttp.ClientSession
    call: str
    supervisor: Phone
    variables: dict[str, str]

    def live(self, text: str) -> str:
        """What a guide writes, for this bridge and this call."""
        return text.replace(SHOWN_URL, self.server.url).replace(SHOWN_CALL, self.call)

    async def nobody_whispers(self) -> None:
        """Have the supervisor hang up, whatever an example had him do, and wait for the end."""
        await self.supervisor.hang_up()
        headers = {"Authorization": f"Bearer {await self.server.token('panel')}"}
        url = URL(f"{self.server.url}/uapi/phoneCalls/12/{AGENT}/{self.call}", encoded=True)
        async with asyncio.timeout(10):
            while True:
                async with self.http.get(url, headers=headers) as answer:
                    if len((await answer.json())["phoneCallView"]) == 1:
                        return
                await asyncio.sleep(0.02)

    async def run(self, command: Command) -> tuple[int, Any] | None:
        """Do what is typed; for curl, return status and body of the answer."""
        assigned = re.fullmatch(r"(\w+)=(?:\$\(whisper-bridge token (\S+)\)|(\S+))", command.typed)
        if assigned is None:
            return await self._curl(command.words)
        name, app, value = assigned.groups()
        self.variables[name] = await self.server.token(app) if app else self.live(value)
        return None

    async def _curl(self, words: list[str]) -> tuple[int, Any]:
        method, url, headers, body = _curl_arguments(
            [self.live(Template(word).substitute(self.variables)) for word in words]
        )
        asked = self.http.request(method, URL(url, encoded=True), headers=headers, data=body)
        async with asked as answer:
            text = await answer.text()
            return answer.status, json.loads(text) if text else None


def _curl_arguments(words: list[str]) -> tuple[str, str, dict[str, str], str | None]:
    """Read a curl command as curl does (curl(1), -d, -H, -u, -X)."""
    program, *rest = words
    assert program == "curl"
    options: dict[str, list[str]] = {"-X": [], "-H": [], "-d": [], "-u": [], "": []}
    waiting = iter(rest)
    for word in waiting:
        key = word if word.startswith("-") else ""
        options[key].append(next(waiting) if key else word)
    (url,) = options[""]
    body = "&".join(options["-d"]) if options["-d"] else None
    form = {} if body is None else {"Content-Type": "application/x-www-form-urlencoded"}
    for who in options["-u"]:
        form["Authorization"] = f"Basic {b64encode(who.encode()).decode()}"
    given = dict(header.split(": ", 1) for header in options["-H"])
    method = options["-X"][0] if options["-X"] else "GET" if body is None else "POST"
    return method, url, {**form, **given}, body


@asynccontextmanager
async def a_desk(run_dir: Path) -> AsyncIterator[Desk]:
    """Give a desk whose logs and recordings go to a folder."""
    asterisk, baresip = await asyncio.gather(
        packages.asterisk("22", print), packages.baresip(print)
    )
    async with AsyncExitStack() as stack:
        starting = Asterisk.start(asterisk, run_dir / "pbx", bridge_secret="s" * 48)
        pbx = await stack.enter_async_context(await starting)
        phones: dict[str, Phone] = {}
        for number in (AGENT, CUSTOMER, SUPERVISOR):
            phone = Phone(
                baresip,
                run_dir / f"phone{len(phones)}",
                number=number,
                password=PHONE_PASSWORD,
                sip_port=pbx.sip_port,
                tone_hz=tones.AGENT_HZ,
            )
            phones[number] = await stack.enter_async_context(phone)
            await phone.registered()
        server = await stack.enter_async_context(await _server(run_dir, pbx))
        http = await stack.enter_async_context(aiohttp.ClientSession())
        await phones[CUSTOMER].dial(AGENT)
        call = await _call_in_progress(server, http)
        yield Desk(server, http, call, phones[SUPERVISOR], {})


async def _server(run_dir: Path, pbx: Asterisk) -> Server:
    directory = run_dir / "directory.toml"
    # The lab asks with an app of its own whether the bridge is ready.
    app = f'[[apps]]\nclient_id = "lab-app"\nclient_secret_hash = "{SECRET_HASH}"\nuser = "12"\n'
    directory.write_text(f"{OPERATING.block('toml')}\n{app}")
    return await Server.start(
        run_dir / "bridge", ami_port=pbx.ami_port, ami_secret="s" * 48, directory=directory
    )


async def _call_in_progress(server: Server, http: aiohttp.ClientSession) -> str:
    headers = {"Authorization": f"Bearer {await server.token('panel')}"}
    url = URL(f"{server.url}/uapi/phoneCalls/12/{AGENT}", encoded=True)
    async with asyncio.timeout(10):
        while True:
            async with http.get(url, headers=headers) as answer:
                page = await answer.json() if answer.status == 200 else {"entry": []}
            for call in page["entry"]:
                if call["phoneCallView"][0]["status"] == "5":
                    return str(call["id"])
            await asyncio.sleep(0.02)


def shape(text: str) -> list[str]:
    """Lines without what differs from run to run: times, ports, ids, levels, versions."""
    for pattern, constant in (
        (r"\[ *\d+\.\d s\]", "[TIME]"),
        (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}", "DATE"),
        (r"\b[0-9a-f]{20}\b", "CALL"),
        (r"127\.0\.0\.1:\d+", "127.0.0.1:PORT"),
        (r"-? *-?\d+ dBFS", "LEVEL"),
        (r"Asterisk 22\.[\d.]+", "Asterisk 22"),
    ):
        text = re.sub(pattern, constant, text)
    return [re.sub(" +", " ", line).rstrip() for line in text.splitlines()]


def as_written(value: Any) -> str:
    """A default, as a table of settings has it."""
    if value is None or value == ():
        return "none"
    if isinstance(value, bool | float):
        return f"{value:g}" if isinstance(value, float) else str(value).lower()
    if isinstance(value, tuple):
        return ", ".join(map(str, value))
    return str(value).replace("/home/operator", "~")
