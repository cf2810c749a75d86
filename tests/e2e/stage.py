"""The stage the tests play on: one Asterisk, one bridge, and phones that people use."""

import asyncio
import re
import secrets
from collections.abc import AsyncIterator, Collection
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, Literal

import aiohttp

from bridge.keyring import signing_keys
from bridge.lab import packages, proof, tones
from bridge.lab.asterisk import PHONE_PASSWORD, Asterisk, conf_dir
from bridge.lab.observer import Message, Observer
from bridge.lab.packages import BaresipBuild
from bridge.lab.phone import Phone
from bridge.lab.proof import Party, Table
from bridge.lab.refusal import RefusingPhone
from bridge.lab.server import Server
from bridge.model import WHISPER_LEG_PREFIX
from bridge.tokens import TokenBook
from tests.support.unlimited import UNLIMITED

from .client import PATIENCE, Answer, Api, views

AGENT, SUPERVISOR, SECOND_SUPERVISOR, CUSTOMER = "0003*210", "0003*024", "0003*025", "7778888"
STRANGER = "0003*099"
"""An extension of the directory whose phone the PBX does not know."""

SECOND_AGENT_HZ, SECOND_CUSTOMER_HZ = 613, 1361
"""Tones that fall on no other one, nor on the distortion of one."""

_STRANGER = f"""
[[extensions]]
number = "{STRANGER}"
user = "24"
"""
_LISTENING = 0.5
_CALLERS = re.compile(r"(?<![\da-f])(3334444|42420042|7778888|7779999)(?![\da-f])")
"""The callers' numbers, but not where the hexadecimal digits of an id happen to spell one."""


@dataclass
class Stage:
    """What runs for the whole session; `secret` is the bridge's own on the AMI."""

    run_dir: Path
    directory: Path
    secret: str
    pbx: Asterisk
    observer: Observer
    baresip: BaresipBuild
    server: Server
    http: aiohttp.ClientSession
    token: str
    _numbers: "count[int]" = field(default_factory=count)

    @property
    def api(self) -> Api:
        """A client of the bridge for the app that reaches the whole organization."""
        return self.api_with(self.token)

    def api_with(self, token: str) -> Api:
        """A client of the bridge with another token, or none at all."""
        return Api(self.http, self.server.url, token)

    @property
    def tokens(self) -> TokenBook:
        """The book in which the bridge finds its tokens good."""
        return TokenBook(signing_keys(self.run_dir / "state"))

    @asynccontextmanager
    async def phone(
        self, number: str, tone_hz: int, answer: Literal["auto", "manual"] = "auto"
    ) -> AsyncIterator[Phone]:
        """A phone that is registered."""
        phone = Phone(
            self.baresip,
            self.run_dir / f"phone{next(self._numbers)}",
            number=number,
            password=PHONE_PASSWORD,
            sip_port=self.pbx.sip_port,
            tone_hz=tone_hz,
            answer=answer,
        )
        async with phone:
            await phone.registered()
            yield phone

    def refusing_phone(self, number: str, code: int) -> RefusingPhone:
        """A phone that answers calls with a SIP code; registered once entered."""
        sip = self.pbx.sip_port
        return RefusingPhone(number=number, password=PHONE_PASSWORD, sip_port=sip, code=code)

    async def another_server(
        self,
        *,
        ami_port: int = 0,
        secret: str = "",
        directory: Path | None = None,
        ready: bool = True,
        **more: Any,
    ) -> Server:
        """One more bridge, beside the same PBX unless told otherwise; it knows the same tokens.

        ``more`` is what else stands in its environment.
        """
        return await Server.start(
            self.run_dir / f"server{next(self._numbers)}",
            ami_port=ami_port or self.pbx.ami_port,
            ami_secret=secret or self.secret,
            directory=directory or self.directory,
            ready=ready,
            BRIDGE_STATE_DIR=str(self.run_dir / "state"),
            **more,
        )

    async def channels(self) -> dict[str, Message]:
        """What the PBX lists, by Uniqueid."""
        rows = await self.observer.rows("CoreShowChannels")
        return {row["Uniqueid"]: row for row in rows}

    async def whisper_legs(self) -> list[str]:
        """The whispers' legs there are on the PBX."""
        return [leg for leg in await self.channels() if leg.startswith(WHISPER_LEG_PREFIX)]

    async def no_whisper_leg(self, within: float = PATIENCE) -> None:
        """Wait until no whisper's leg is left."""
        async with asyncio.timeout(within):
            while await self.whisper_legs():
                await asyncio.sleep(0.02)

    async def silence(self, but: Collection[str] = (), within: float = PATIENCE) -> None:
        """Wait until the PBX has no channel left but these."""
        async with asyncio.timeout(within):
            while (await self.channels()).keys() - set(but):
                await asyncio.sleep(0.02)

    async def hang_up_all(self) -> None:
        """End whatever a failed test left behind."""
        await self.observer.action("Hangup", Channel="/.*/")
        await self.silence()

    async def device_state(self, number: str, state: str, within: float = PATIENCE) -> None:
        """Wait until the PBX sees a phone in a state, e.g. NOT_INUSE or UNAVAILABLE."""
        async with asyncio.timeout(within):
            while await self._device_state(number) != state:
                await asyncio.sleep(0.02)

    async def _device_state(self, number: str) -> str:
        variable = f"DEVICE_STATE(PJSIP/{number})"
        return (await self.observer.action("Getvar", Variable=variable))["Value"]

    def rung(self, mark: int) -> list[str]:
        """The whispers' legs that came to be since the observer's mark."""
        return [
            event["Uniqueid"]
            for event in self.observer.events.entries[mark:]
            if event["Event"] == "Newchannel" and event["Uniqueid"].startswith(WHISPER_LEG_PREFIX)
        ]

    def faults(self, log: str, *, errors: bool = True) -> list[str]:
        """The lines of a bridge's log with a number or a secret in them, or with an error."""
        secret = (self.token, self.secret, "lab-only-not-a-secret")
        return [
            line
            for line in log.splitlines()
            if _CALLERS.search(line)
            or any(text in line for text in secret)
            or (errors and re.search(r"ERROR|CRITICAL|Traceback", line))
        ]


@dataclass(frozen=True)
class Call:
    """A call in progress: its id, whom the caller called, and its path in the API."""

    id: str
    caller: Phone
    callee: Phone

    @property
    def path(self) -> str:
        """Where it is in the API, for the extension that was called."""
        return f"12/{self.callee.number}/{self.id}"


async def answered(api: Api, caller: Phone, callee: Phone) -> Call:
    """Have one phone call another that picks up by itself, and wait until they talk."""
    path = f"12/{callee.number}"
    await api.until(path, lambda a: a.status == 204, f"{callee.number} is free")
    await caller.dial(callee.number)
    answer = await api.until(path, _talks, f"{callee.number} is on call")
    return Call(answer.body["entry"][0]["id"], caller, callee)


def rings(phone: Phone, mark: int) -> int:
    """How often a phone has been called since a mark."""
    return sum(event.type == "CALL_INCOMING" for event in phone.events.entries[mark:])


@asynccontextmanager
async def a_call(api: Api, caller: Phone, callee: Phone) -> AsyncIterator[Call]:
    """A call; the caller hangs up in the end."""
    call = await answered(api, caller, callee)
    try:
        yield call
    finally:
        await caller.hang_up()
        await api.until(call.path, lambda a: a.status == 204, "the end of the call")


def _talks(answer: Answer) -> bool:
    return any(view["status"] == "5" for view in views(answer).values())


async def settled(phone: Phone, seconds: float = 0.25) -> None:
    """Wait until a phone has recorded some seconds more, in whichever call it is now."""
    recording, begun = None, 0.0
    async with asyncio.timeout(seconds + PATIENCE):
        while recording != phone.recording or tones.length(phone.recording) < begun + seconds:
            if recording != phone.recording:
                recording, begun = phone.recording, tones.length(phone.recording)
            await asyncio.sleep(0.02)


async def heard(**parties: tuple[Phone, frozenset[str]]) -> Table:
    """Measure who hears whom from now on; by name: the phone, and whom it is to hear."""
    await asyncio.gather(*(settled(phone) for phone, _ in parties.values()))
    return await proof.listen(tuple(Party(name, *rest) for name, rest in parties.items()))


async def level(listener: Phone, speaker: Phone) -> float:
    """How loud one phone's tone is at another's, in dBFS, from now on."""
    await settled(listener)
    end = await tones.fresh(listener.recording, _LISTENING)
    return tones.level(listener.recording, speaker.tone_hz, _LISTENING, end)


@asynccontextmanager
async def a_stage(run_dir: Path, version: str = "22") -> AsyncIterator[Stage]:
    """Set everything up, beside an Asterisk of that major version, and take it down again."""
    asterisk, baresip = await asyncio.gather(
        packages.asterisk(version, print), packages.baresip(print)
    )
    secret = secrets.token_hex(24)
    directory = run_dir / "directory.toml"
    directory.write_text((conf_dir() / "lab" / "directory.toml").read_text() + _STRANGER)
    async with AsyncExitStack() as stack:
        starting = Asterisk.start(asterisk, run_dir / "pbx", bridge_secret=secret)
        pbx = await stack.enter_async_context(await starting)
        observer = await stack.enter_async_context(await pbx.observer())
        server = await stack.enter_async_context(
            await Server.start(
                run_dir,
                ami_port=pbx.ami_port,
                ami_secret=secret,
                directory=directory,
                BRIDGE_LOG_LEVEL="DEBUG",
                **UNLIMITED,
            )
        )
        http = await stack.enter_async_context(aiohttp.ClientSession())
        token = await server.token("lab-app")
        yield Stage(run_dir, directory, secret, pbx, observer, baresip, server, http, token)
