"""A world: one Asterisk, one bridge and several casts that play the scenarios side by side."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

from bridge.keyring import signing_keys
from bridge.lab import packages
from bridge.lab.asterisk import PHONE_PASSWORD, Asterisk
from bridge.lab.phone import Phone
from bridge.lab.refusal import RefusingPhone
from bridge.lab.server import Server
from bridge.tokens import TokenBook
from tests.e2e.client import Api
from tests.support.terminal import Shell
from tests.support.unlimited import UNLIMITED

from .cast import HZ, Cast, playing
from .pbx import CASTS, Kind, a_pbx, client_id, directory, number

Scene = Callable[[Cast], Awaitable[None]]
SCENES: dict[str, Scene] = {}
"""Every row of the table by its name."""

TIME_LIMIT = 60.0
"""Seconds a scenario may take."""


def scene(name: str) -> Callable[[Scene], Scene]:
    """Make a function the scenario of a row."""

    def register(play: Scene) -> Scene:
        SCENES[name] = play
        return play

    return register


@dataclass
class World:
    """What runs for one kind of PBX; ``notes`` are what was observed, by scenario."""

    kind: Kind
    pbx: Asterisk
    server: Server
    casts: list[Cast]
    secret: str
    notes: dict[str, list[str]] = field(default_factory=dict)
    took: dict[str, float] = field(default_factory=dict)
    _outcomes: dict[str, "asyncio.Future[None]"] = field(default_factory=dict)

    def begin(self, names: Iterable[str]) -> list["asyncio.Task[None]"]:
        """Have the casts play these scenarios, each the next one nobody plays yet."""
        self._outcomes = {name: asyncio.get_running_loop().create_future() for name in names}
        waiting = list(self._outcomes)
        return [asyncio.create_task(self._work(cast, waiting)) for cast in self.casts]

    async def outcome(self, name: str) -> None:
        """Wait until a scenario has been played; raises what went wrong in it."""
        await asyncio.shield(self._outcomes[name])

    async def _work(self, cast: Cast, waiting: list[str]) -> None:
        while waiting:
            name = waiting.pop(0)
            began = time.monotonic()
            try:
                async with asyncio.timeout(TIME_LIMIT), playing(cast):
                    await SCENES[name](cast)
            except Exception as error:
                error.add_note(f"played by cast {cast.number} of {self.kind}; seen: {cast.notes}")
                self._outcomes[name].set_exception(error)
            else:
                self.notes[name] = cast.notes
                self._outcomes[name].set_result(None)
            self.took[name] = time.monotonic() - began


@asynccontextmanager
async def a_world(
    kind: Kind,
    run_dir: Path,
    casts: Iterable[int] = CASTS,
    *,
    people: str = "",
    heeding: Collection[str] = (),
) -> AsyncIterator[World]:
    """Set a world up, and take it down again.

    ``people`` is another directory than usual; the phones of the roles ``heeding`` pick up when
    their INVITE asks for it, and otherwise ring.
    """
    run_dir.mkdir(parents=True, exist_ok=True)
    secret = secrets.token_hex(24)
    (run_dir / "directory.toml").write_text(people or directory(kind))
    async with AsyncExitStack() as stack:
        pbx = await stack.enter_async_context(await a_pbx(kind, run_dir / "pbx", secret))
        server, follower = [
            await stack.enter_async_context(await _server(pbx, run_dir, secret, follow=follow))
            for follow in (False, True)
        ]
        http = await stack.enter_async_context(aiohttp.ClientSession())
        begun = (
            _cast(stack, kind, pbx, server, follower, http, run_dir, n, heeding) for n in casts
        )
        yield World(kind, pbx, server, await asyncio.gather(*begun), secret)


async def _server(pbx: Asterisk, run_dir: Path, secret: str, *, follow: bool) -> Server:
    return await Server.start(
        run_dir / ("follow" if follow else "bridge"),
        ami_port=pbx.ami_port,
        ami_secret=secret,
        directory=run_dir / "directory.toml",
        BRIDGE_STATE_DIR=str(run_dir / "state"),
        BRIDGE_AMI_USERNAME="whisper-bridge-keys" if follow else "whisper-bridge",
        BRIDGE_FOLLOW_TARGET=str(follow).lower(),
        BRIDGE_FOLLOW_KEYS=str(follow).lower(),
        BRIDGE_WEBHOOKS_DB=str(run_dir / f"hooks-{follow}.sqlite"),
        BRIDGE_WEBHOOKS_ALLOW="127.0.0.0/8",
        **UNLIMITED,
    )


async def _cast(
    stack: AsyncExitStack,
    kind: Kind,
    pbx: Asterisk,
    server: Server,
    follower: Server,
    http: aiohttp.ClientSession,
    run_dir: Path,
    cast: int,
    heeding: Collection[str],
) -> Cast:
    phones = {}
    for role, hz in HZ.items():
        old = kind.technology == "SIP"
        heeds = role in heeding
        phones[role] = Phone(
            await packages.baresip(print, "1.1" if heeds else "1"),
            run_dir / f"{role}-{cast}",
            number=number(role, cast),
            password=PHONE_PASSWORD,
            sip_port=pbx.ports.chan_sip if old else pbx.sip_port,
            tone_hz=hz,
            answer="header" if heeds else "auto",
        )
    await asyncio.gather(*(stack.enter_async_context(phone) for phone in phones.values()))
    await asyncio.gather(*(phone.registered(15) for phone in phones.values()))
    busy = RefusingPhone(
        number=number("busy", cast),
        password=PHONE_PASSWORD,
        sip_port=pbx.ports.chan_sip if kind.technology == "SIP" else pbx.sip_port,
        code=486,
    )
    await stack.enter_async_context(busy)
    observer = await stack.enter_async_context(await pbx.observer())
    token = TokenBook(signing_keys(run_dir / "state")).issue(client_id(cast), time.time())
    return Cast(
        kind=kind,
        version=pbx.build.version,
        number=cast,
        phones=phones,
        api=Api(http, server.url, token),
        following=Api(http, follower.url, token),
        shell=Shell({"WHISPER_URL": server.url, "WHISPER_TOKEN": token}),
        refusing=busy,
        observer=observer,
        log=server.log,
        log_of_follower=follower.log,
        heeding=heeding,
    )
