"""A real Asterisk laid out as others lay theirs out, and the bridge beside it as the guide says."""

import asyncio
import os
import re
import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest

from bridge.lab import packages, tones
from bridge.lab.asterisk import PHONE_PASSWORD, Asterisk, conf_dir, render
from bridge.lab.phone import Phone
from bridge.lab.ports import Ports
from bridge.lab.server import Server
from bridge.lab.waiting import until
from tests.e2e.client import Api, views, whisper
from tests.e2e.stage import CUSTOMER, level
from tests.support.clients import SECRET_HASH
from tests.support.guides import ASTERISK, PACKAGING

pytestmark = [pytest.mark.pbx, pytest.mark.timeout(600)]

PLAIN, FREEPBX = "Plain Asterisk", "FreePBX and Issabel"
AGENT, SUPERVISOR, QUEUE = "210", "211", "400"
GUI = "#include manager_additional.conf\n#include manager_custom.conf\n"
QUEUES = f"""
[general]
[{QUEUE}]
strategy = ringall
member => Local/{AGENT}@from-queue/n,0,Agent {AGENT},hint:{AGENT}@ext-local
"""
DIALPLAN = """
[from-queue]
exten => _2XX,1,Goto(from-internal,${EXTEN},1)
[from-internal]
exten => _2XX,1,Dial(@TECHNOLOGY@/${EXTEN},15)
[ext-local]
exten => _2XX,hint,@TECHNOLOGY@/${EXTEN}
[customers]
exten => _4XX,1,Answer()
 same => n,Queue(${EXTEN},,,,60)
"""
OLD_PHONE = """
[{number}](!)
type = friend
host = dynamic
secret = {password}
directmedia = no
context = from-internal
[{number}]({number})
"""


@dataclass
class Operator:
    """Root on the machine of a PBX with the package installed."""

    pbx: Asterisk
    secret: str

    async def follows(self, section: str) -> list[str]:
        """Type what a section has; what the shell says to each command."""
        self.lay_out()
        return [await self.types(command) for command in ASTERISK.commands(section)]

    async def types(self, command: str) -> str:
        """Type a command; what the shell says."""
        for there, here in self._places.items():
            command = command.replace(there, str(here))
        process = await asyncio.create_subprocess_exec(
            *("bash", "-c", command),
            env={**os.environ, "PATH": f"{self.pbx.run_dir}/bin:{os.environ['PATH']}"},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        said = (await process.communicate())[0].decode()
        assert process.returncode == 0, f"{command}\n{said}"
        return said

    @property
    def _places(self) -> dict[str, Path]:
        return {
            "/etc/asterisk": self.pbx.run_dir / "etc",
            "/etc/whisper-bridge": self.pbx.run_dir / "whisper-bridge",
            "/usr/share/doc/whisper-bridge/examples": conf_dir(),
        }

    def is_up(self) -> bool:
        """Whether it has booted, with AMI or without."""
        return self.pbx.log.exists() and "Asterisk Ready" in self.pbx.log.read_text()

    def lay_out(self) -> None:
        """Lay out what the package and Asterisk's own bring: the secret, and the command."""
        home = self.pbx.run_dir
        for name in ("bin", "whisper-bridge"):
            (home / name).mkdir(exist_ok=True)
        (home / "whisper-bridge/ami-secret").write_text(f"{self.secret}\n")
        (home / "etc/manager_custom.conf").touch()
        env = " ".join(f"{name}={value}" for name, value in self.pbx.build.env.items())
        command = " ".join((*self.pbx.build.command, "-C", f"{home}/etc/asterisk.conf"))
        (home / "bin/asterisk").write_text(f'#!/bin/sh\nexec env {env} {command} "$@"\n')
        (home / "bin/asterisk").chmod(0o755)


async def prepared(run_dir: Path, version: str) -> Operator:
    """An Asterisk that is configured and not started, without the bridge's user."""
    build = await packages.asterisk(version, print)
    operator = Operator(Asterisk(build, run_dir, Ports.free()), secrets.token_hex(24))
    render(build, operator.pbx.run_dir, operator.pbx.ports, "unused")
    (operator.pbx.run_dir / "etc/manager.d/whisper-bridge.conf").unlink()
    return operator


def edit(pbx: Asterisk, name: str, pattern: str, text: str) -> None:
    """Change a file of the PBX's configuration."""
    file = pbx.run_dir / "etc" / name
    before = file.read_text()
    after = re.sub(pattern, lambda _: text, before)
    assert after != before, (name, pattern)
    file.write_text(after)


def without_notices(pbx: Asterisk) -> None:
    """Take what the lab has for notices out of the PBX's configuration."""
    edit(pbx, "extensions.conf", "#include extensions.d/.*\n", "")
    (pbx.run_dir / "etc/extensions.d/whisper-bridge.conf").unlink()
    (pbx.run_dir / "etc/extensions.d").rmdir()


def files(folder: Path) -> dict[str, str]:
    """The files somewhere, and what is in them."""
    found = (file for file in folder.rglob("*") if file.is_file())
    return {str(file.relative_to(folder)): file.read_text() for file in found}


# Plain


async def test_a_plain_asterisk_knows_the_user_once_the_include_finds_its_file(
    tmp_path: Path,
) -> None:
    operator = await prepared(tmp_path, "22")
    manager = tmp_path / "etc/manager.conf"
    before = manager.read_text().partition("#include")[0]
    (shown,) = ASTERISK.blocks(PLAIN, "ini")
    settings, _, include = shown.partition("#include")
    for line in settings.splitlines()[1:]:
        assert line in before
    manager.write_text(before)
    async with operator.pbx as pbx:
        await pbx.boot()
        manager.write_text(f"{before}#include{include}")
        async with await pbx.observer() as observer:
            await observer.action("Command", Command="manager reload")
        assert "listed as a #include but it does not exist" in pbx.log.read_text()
        (tmp_path / "etc/manager.d").rmdir()
        *_, shows = await operator.follows(PLAIN)
        assert "username: whisper-bridge" in shows
        assert re.search(r"write perm: *call,originate,reporting|write perm: call,", shows), shows
        file = tmp_path / "etc/manager.d/whisper-bridge.conf"
        assert (file.stat().st_mode & 0o777, file.owner()) == (0o640, manager.owner())


async def test_an_include_without_a_file_leaves_no_ami_after_a_restart(tmp_path: Path) -> None:
    operator = await prepared(tmp_path, "22")
    edit(operator.pbx, "manager.conf", "#include .*", '#include "manager.d/*.conf"')
    operator.lay_out()
    booting = asyncio.create_task(operator.pbx.boot())
    try:
        await until(operator.is_up, "Asterisk is up", within=20, every=0.1)
        shows = await operator.types('asterisk -rx "manager show settings"')
        assert re.search(r"Manager \(AMI\): +No", shows), shows
    finally:
        booting.cancel()
        with suppress(asyncio.CancelledError):
            await booting


async def test_a_dialplan_plays_notices_until_that_is_removed(tmp_path: Path) -> None:
    operator = await prepared(tmp_path, "22")
    edit(operator.pbx, "manager.conf", "#include .*", "")
    without_notices(operator.pbx)
    operator.lay_out()
    before = files(tmp_path / "etc")
    async with operator.pbx as pbx:
        await pbx.boot()
        *_, shows = await operator.follows("Notices to agents")
        assert re.search(r"'s' => +1\. Set\(CDR_PROP\(disable\)=1\)", shows), shows
        assert "Playback(${WHISPER_BRIDGE_NOTICE})" in shows
        *_, remove, edit_out, reload = PACKAGING.commands("Remove")
        for command in (remove, edit_out, reload):
            await operator.types(command)
        shows = await operator.types('asterisk -rx "dialplan show whisper-bridge-notice"')
        assert "There is no existence of 'whisper-bridge-notice'" in shows
    assert files(tmp_path / "etc") == before


# As a GUI lays it out


@dataclass
class Office:
    """A PBX of a GUI's making with its phones, and a bridge beside it."""

    operator: Operator
    api: Api
    agent: Phone
    supervisor: Phone
    customer: Phone


@asynccontextmanager
async def office(run_dir: Path, version: str, technology: str) -> AsyncIterator[Office]:
    """Lay it out, follow the guide, and start everything."""
    operator = await prepared(run_dir / "pbx", version)
    pbx = operator.pbx
    _as_a_gui_does(pbx, technology)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(pbx)
        await pbx.boot()
        assert "username: whisper-bridge" in (await operator.follows(FREEPBX))[-1]
        directory = run_dir / "directory.toml"
        directory.write_text(_directory(technology))
        starting = Server.start(
            run_dir / "bridge",
            ami_port=pbx.ami_port,
            ami_secret=operator.secret,
            directory=directory,
        )
        server = await stack.enter_async_context(await starting)
        http = await stack.enter_async_context(aiohttp.ClientSession())
        phones = await _phones(stack, pbx, run_dir, technology)
        api = Api(http, server.url, await server.token("lab-app"))
        yield Office(operator, api, *phones)


def _as_a_gui_does(pbx: Asterisk, technology: str) -> None:
    etc = pbx.run_dir / "etc"
    without_notices(pbx)
    edit(pbx, "manager.conf", "#include .*\n", GUI)
    for name in ("manager_additional.conf", "manager_custom.conf"):
        (etc / name).write_text("; of the GUI's making\n")
    edit(pbx, "pjsip.conf", r"0003\*", "")
    # Whatever the GUI lets a phone hide, the supervisor's is shown who calls.
    kind = "[extension](!,phone)\n"
    edit(pbx, "pjsip.conf", re.escape(kind), f"{kind}callerid_privacy = prohib\n")
    (etc / "queues.conf").write_text(QUEUES)
    dialplan = etc / "extensions.conf"
    own = DIALPLAN.replace("@TECHNOLOGY@", technology).replace("[customers]\n", "[customers](+)\n")
    dialplan.write_text(dialplan.read_text() + own)
    if technology == "SIP":
        phones = (OLD_PHONE.format(number=n, password=PHONE_PASSWORD) for n in (AGENT, SUPERVISOR))
        (etc / "sip.conf").write_text((etc / "sip.conf").read_text() + "".join(phones))


def _directory(technology: str) -> str:
    """What the guide shows, with a hash that is one."""
    whole, old = ASTERISK.blocks(FREEPBX, "toml")
    if technology == "SIP":
        whole = re.sub(r"\[\[discovery\]\](.|\n)*?\n\n", lambda _: f"{old}\n", whole)
    assert f"{technology}/{{number}}" in whole
    # By the name of the lab's app the start of the bridge is waited for.
    whole = whole.replace('"panel"', '"lab-app"')
    return whole.replace("what whisper-bridge hash-secret prints", SECRET_HASH)


async def _phones(
    stack: AsyncExitStack, pbx: Asterisk, run_dir: Path, technology: str
) -> list[Phone]:
    baresip = await packages.baresip(print)
    own = pbx.ports.chan_sip if technology == "SIP" else pbx.sip_port
    phones = [
        Phone(
            baresip,
            run_dir / f"phone{number}",
            number=number,
            password=PHONE_PASSWORD,
            sip_port=port,
            tone_hz=tone,
        )
        for number, port, tone in (
            (AGENT, own, tones.AGENT_HZ),
            (SUPERVISOR, own, tones.SUPERVISOR_HZ),
            (CUSTOMER, pbx.sip_port, tones.CUSTOMER_HZ),
        )
    ]
    for phone in phones:
        await stack.enter_async_context(phone)
    for phone in phones:
        await phone.registered()
    return phones


@pytest.mark.parametrize(("version", "technology"), [("22", "PJSIP"), ("16", "SIP")])
async def test_an_agent_of_a_queue_is_whispered_to_beside_a_gui(
    tmp_path: Path, version: str, technology: str
) -> None:
    async with office(tmp_path, version, technology) as there:
        await there.customer.dial(QUEUE)
        path = f"1/{AGENT}"
        talking = await there.api.until(
            path, lambda a: any(v["status"] == "5" for v in views(a).values()), "the agent talks"
        )
        (call,) = talking.body["entry"]
        (view,) = views(talking)
        asked = whisper(sendCallTo=SUPERVISOR, phoneCallViewId=view)
        mark = there.supervisor.events.mark()
        answer = await there.api.put(f"{path}/{call['id']}", asked)
        assert answer.status == 202, answer
        display = await there.supervisor.incoming(since=mark)
        assert (display.name, display.number) == (f"Phone {SUPERVISOR}", SUPERVISOR)
        await there.api.until(path, lambda a: len(views(a)) == 2, "the whisper in force")
        assert await level(there.agent, there.supervisor) > tones.HEARD_DB
        assert await level(there.customer, there.supervisor) < tones.SILENT_DB
        assert await level(there.customer, there.agent) > tones.HEARD_DB
        await there.operator.types('asterisk -rx "core reload"')
        await there.operator.types('asterisk -rx "manager reload"')
        assert len(views(await there.api.get(path))) == 2
        assert await level(there.agent, there.supervisor) > tones.HEARD_DB
        await there.customer.hang_up()
        await there.api.until(path, lambda a: a.status == 204, "the end of the call")
