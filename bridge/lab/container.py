"""What runs in a container of the lab: ``whisper-bridge container WHAT``.

compose.yaml has a service for each; the settings come from its environment.
"""

import asyncio
import os
import socket
import subprocess
import urllib.request
from contextlib import AsyncExitStack
from pathlib import Path
from typing import NoReturn

from bridge.lab import packages
from bridge.lab.asterisk import PHONE_PASSWORD, Container, render
from bridge.lab.cast import AGENT, CUSTOMER, GUEST, ROLES, SUPERVISOR, Role
from bridge.lab.client import Client
from bridge.lab.errors import LabError
from bridge.lab.housekeeping import Kept
from bridge.lab.phone import Phone
from bridge.lab.ports import Ports
from bridge.lab.remote import RemotePhone, shared
from bridge.lab.running import Clock, until_stopped
from bridge.lab.scene import Scene, host, prove

PBX_FOLDER = Path("/run/pbx")
PHONES_FOLDER = Path("/phones")
"""A folder of each phone's, which the proof sees as well."""
PORTS = Ports(
    sip=5060, chan_sip=0, ami=5038, ami_tls=0, rtp_first=20000, rtp_last=20019, published=5070
)
"""What Asterisk listens on in its container; compose.yaml publishes some."""

_KEPT = Kept(seconds=60, recordings=20, log=1 << 20)
_LOOKED_UP = 60.0
_READYZ = "http://127.0.0.1:8480/readyz"


def fetch(program: str) -> int:
    """Bring `asterisk` or `baresip` from Debian's packages. Raises LabError when it cannot."""
    asyncio.run(
        packages.asterisk("22", print) if program == "asterisk" else packages.baresip(print)
    )
    return 0


# The PBX


def asterisk() -> NoReturn:
    """Write the configuration and become Asterisk. Raises LabError when it cannot."""
    build = asyncio.run(packages.asterisk("22", print))
    container = Container(
        address=_own_address(),
        published_address=os.environ.get("LAB_PUBLISHED_ADDRESS", "127.0.0.1"),
        published_port=int(os.environ.get("LAB_SIP_PORT", "5060")),
        phone_password=_phone_password(),
    )
    secret = os.environ["BRIDGE_AMI_SECRET"]
    render(build, PBX_FOLDER, PORTS, secret, container=container)
    os.chdir(PBX_FOLDER)
    command = (*build.command, "-f", "-C", str(PBX_FOLDER / "etc/asterisk.conf"))
    os.execve(command[0], command, {**os.environ, **build.env})


def _own_address() -> str:
    return socket.gethostbyname(socket.gethostname())


def _phone_password() -> str:
    return os.environ.get("LAB_PHONE_PASSWORD", PHONE_PASSWORD)


# A phone


def phone(role: Role) -> int:
    """Run a phone that the proof can use, until it is stopped. Raises LabError when it ends."""
    return asyncio.run(until_stopped(_phone(role)))


async def _phone(role: Role) -> int:
    pbx = await _address("asterisk")
    folder = PHONES_FOLDER / role.name
    softphone = Phone(
        await packages.baresip(print),
        folder,
        number=role.number,
        password=_phone_password(),
        sip_port=PORTS.sip,
        tone_hz=role.tone_hz,
        pbx=pbx,
        address=_own_address(),
        kept=_KEPT,
    )
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(softphone)
        await softphone.registered(_LOOKED_UP)
        await stack.enter_async_context(shared(softphone, folder))
        print(f"the {role.name}'s phone is registered as {role.number}", flush=True)
        while softphone.pid:
            await asyncio.sleep(1)
    raise LabError(f"the {role.name}'s phone has ended")


async def _address(host: str) -> str:
    """Return the address of another service, as soon as it has one."""
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(_LOOKED_UP):
            while True:
                try:
                    found = await loop.getaddrinfo(host, None, family=socket.AF_INET)
                except OSError:
                    await asyncio.sleep(0.2)
                    continue
                return str(found[0][4][0])
    except TimeoutError as error:
        raise LabError(f"no address of {host} within {_LOOKED_UP:g} s") from error


# The proof


def proof(*, you: bool, private: bool) -> int:
    """Have the customer call the agent, and the supervisor, or `you`, whisper.

    Returns 0 when everybody hears exactly whom he should, else 1. Raises LabError when it does not
    come to a whisper.
    """
    return asyncio.run(until_stopped(_proof(you=you, private=private)))


async def _proof(*, you: bool, private: bool) -> int:
    say = Clock()
    pbx = f"{await _address('asterisk')}:{PORTS.sip}"
    url = os.environ.get("LAB_BRIDGE", "http://bridge:8480")
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(Client.of(url, await Client.token(url)))
        agent, customer, supervisor = [
            await stack.enter_async_context(_remote(role, pbx=pbx))
            for role in (AGENT, CUSTOMER, SUPERVISOR)
        ]
        scene = Scene(client, agent, customer, supervisor)
        async with scene.call():
            if you:
                right = await host(scene, GUEST, say, private=private)
            else:
                right = await prove(scene, say, private=private)
    return 0 if right else 1


# Health


def health(service: str) -> int:
    """Return 0 when a service is well: `asterisk`, `bridge` or the name of a role."""
    check = {"asterisk": _asterisk_is_up, "bridge": _bridge_is_ready}.get(service)
    return check() if check else asyncio.run(_is_registered(ROLES[service]))


def _asterisk_is_up() -> int:
    build = asyncio.run(packages.asterisk("22", print))
    conf = str(PBX_FOLDER / "etc/asterisk.conf")
    command = (*build.command, "-C", conf, "-rx", "core waitfullybooted")
    return subprocess.run(command, env={**os.environ, **build.env}, check=False).returncode


def _bridge_is_ready() -> int:
    try:
        with urllib.request.urlopen(_READYZ, timeout=5):
            return 0
    except OSError as error:
        print(error)
        return 1


async def _is_registered(role: Role) -> int:
    async with _remote(role, pbx="") as softphone:
        return 0 if await softphone.is_registered() else 1


def _remote(role: Role, *, pbx: str) -> RemotePhone:
    folder = PHONES_FOLDER / role.name
    return RemotePhone(folder, number=role.number, tone_hz=role.tone_hz, pbx=pbx)
