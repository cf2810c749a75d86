"""A whisper on somebody's own PBX, by softphones with accounts of his, proven by ear."""

import asyncio
import shutil
import socket
import tempfile
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

from bridge.lab import packages
from bridge.lab.cast import AGENT, CUSTOMER, SUPERVISOR, Role
from bridge.lab.client import Client
from bridge.lab.errors import LabError
from bridge.lab.phone import Phone
from bridge.lab.running import Clock, until_stopped
from bridge.lab.scene import Scene, prove
from bridge.lab.server import Server

REGISTERING = 10.0
"""Seconds a phone may take to register."""


@dataclass(frozen=True)
class Account:
    """An extension's number, and how a phone registers as it."""

    number: str
    user: str
    password: str = field(repr=False)


@dataclass(frozen=True)
class Cast:
    """Whose accounts the three phones have."""

    agent: Account
    customer: Account
    supervisor: Account


@dataclass(frozen=True)
class Place:
    """Where the PBX hears SIP over UDP, and what is dialled there to reach the agent."""

    host: str
    port: int
    dial: str


@dataclass(frozen=True)
class Bridge:
    """How the bridge beside that PBX is to run.

    ``directory`` is the text of its directory, ``app`` a client of it that may whisper, and
    ``settings`` are further ones by their names.
    """

    ami_port: int
    ami_secret: str = field(repr=False)
    directory: str
    app: str
    settings: Mapping[str, str]


def run_selftest(cast: Cast, place: Place, bridge: Bridge, *, private: bool) -> int:
    """Prove a whisper; 0 when everybody heard exactly whom he should, else 1.

    Raises LabError when it does not come to that.
    """
    return asyncio.run(until_stopped(_play(cast, place, bridge, private=private)))


async def _play(cast: Cast, place: Place, bridge: Bridge, *, private: bool) -> int:
    say = Clock()
    baresip = await packages.baresip(say)
    run_dir = Path(tempfile.mkdtemp(prefix="whisper-selftest-"))
    async with AsyncExitStack() as stack:
        stack.callback(shutil.rmtree, run_dir, ignore_errors=True)
        server = await stack.enter_async_context(await _server(run_dir, bridge))
        say("a bridge of its own is up, and its picture of the PBX complete")
        phones = [
            await stack.enter_async_context(_phone(baresip, run_dir, role, account, place))
            for role, account in (
                (AGENT, cast.agent),
                (CUSTOMER, cast.customer),
                (SUPERVISOR, cast.supervisor),
            )
        ]
        await asyncio.gather(*map(_registered, phones))
        say("three phones are registered, each playing its own tone")
        token = await server.token(bridge.app)
        client = await stack.enter_async_context(Client.of(server.url, token))
        agent, customer, supervisor = phones
        await customer.dial(place.dial)
        scene = Scene(client, agent, customer, supervisor)
        return 0 if await prove(scene, say, private=private) else 1


async def _server(run_dir: Path, bridge: Bridge) -> Server:
    directory = run_dir / "directory.toml"
    directory.touch(mode=0o600)
    directory.write_text(bridge.directory)
    return await Server.start(
        run_dir,
        ami_port=bridge.ami_port,
        ami_secret=bridge.ami_secret,
        directory=directory,
        ready=True,
        authority=None,
        **bridge.settings,
    )


def _phone(
    build: packages.BaresipBuild, run_dir: Path, role: Role, account: Account, place: Place
) -> Phone:
    return Phone(
        build,
        run_dir / role.name,
        number=account.number,
        user=account.user,
        password=account.password,
        sip_port=place.port,
        tone_hz=role.tone_hz,
        pbx=place.host,
        address=_address_towards(place),
    )


async def _registered(phone: Phone) -> None:
    try:
        await phone.registered(REGISTERING)
    except LabError as error:
        raise LabError(
            f"the PBX does not register a phone as {phone.number}: is its SIP password right,"
            " does the PBX hear SIP over UDP there, and may this account register?"
        ) from error


def _address_towards(place: Place) -> str:
    """The address of this machine from which the PBX is reached; nothing is sent for it."""
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as towards:
            towards.connect((place.host, place.port))
            address: str = towards.getsockname()[0]
            return address
    except OSError as error:
        raise LabError(f"{place.host} cannot be reached: {error.strerror or error}") from error
