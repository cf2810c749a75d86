"""``whisper-bridge check`` beside a real PBX: what it finds is so, and what to change helps."""

import asyncio
import json
import os
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from bridge.lab import packages
from bridge.lab.asterisk import Asterisk
from bridge.lab.phone import Phone
from bridge.lab.ports import free_tcp

from .stage import Stage

pytestmark = pytest.mark.pbx

Found = dict[str, dict[str, str]]
"""Subject to finding."""


class Operator:
    """Somebody who has the bridge's settings in his environment."""

    def __init__(self, stage: Stage) -> None:
        self.settings = {
            "BRIDGE_AMI_PORT": str(stage.pbx.ami_port),
            "BRIDGE_AMI_SECRET": stage.secret,
            "BRIDGE_DIRECTORY": str(stage.directory),
            "BRIDGE_STATE_DIR": str(stage.run_dir / "state"),
            "BRIDGE_HTTP_PORT": str(free_tcp()),
        }

    async def prints(self, *options: str) -> tuple[int, str]:
        """Exit code and output of the command."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "bridge", "check", *options),
            env={"PATH": os.environ["PATH"], "HOME": "/nonexistent", **self.settings},
            cwd=Path(__file__).parents[2],
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await process.communicate()
        assert err == b""
        assert self.settings["BRIDGE_AMI_SECRET"] not in out.decode()
        return process.returncode or 0, out.decode()

    async def finds(self) -> tuple[int, Found]:
        """Exit code and findings."""
        code, out = await self.prints("--json")
        findings = json.loads(out)["findings"]
        assert all(finding["remedy"] for finding in findings if finding["verdict"] == "warning")
        return code, {finding["subject"]: finding for finding in findings}


@pytest.fixture
def operator(stage: Stage) -> Operator:
    return Operator(stage)


def verdicts(found: Found) -> dict[str, str]:
    return {subject: finding["verdict"] for subject, finding in found.items()}


@asynccontextmanager
async def ami_user(stage: Stage, name: str, **rights: str) -> AsyncIterator[None]:
    """An AMI user of that name, with the bridge's secret and these rights, for a while."""
    file = stage.pbx.run_dir / "etc" / "manager.conf"
    before = file.read_text()
    lines = [f"[{name}]", f"secret = {stage.secret}", *(f"{k} = {v}" for k, v in rights.items())]
    try:
        file.write_text("\n".join([before, *lines, ""]))
        await stage.observer.action("Command", Command="manager reload")
        yield
    finally:
        file.write_text(before)
        await stage.observer.action("Command", Command="manager reload")


@pytest.fixture
def known(stage: Stage, operator: Operator) -> Operator:
    """His directory has two extensions, whose phones are registered."""
    directory = stage.run_dir / "two.toml"
    directory.write_text(
        """
[[organizations]]
id = 3
name = "Default Organization"
prefix = "0003"
notice = "beep"

[[users]]
id = 12
organization = 3

[[extensions]]
number = "0003*210"
user = 12

[[extensions]]
number = "0003*024"
user = 12
auto_answer = "snom"
"""
    )
    operator.settings["BRIDGE_DIRECTORY"] = str(directory)
    return operator


@pytest.fixture
def _phones(agent: Phone, supervisor: Phone) -> None:
    """Two phones are registered."""


@pytest.mark.usefixtures("_phones")
async def test_a_pbx_with_everything_a_whisper_needs(known: Operator) -> None:
    code, found = await known.finds()
    assert (code, verdicts(found)) == (
        0,
        {
            "settings": "ok",
            "directory": "ok",
            "state": "ok",
            "TLS": "ok",
            "port": "ok",
            "AMI TLS": "ok",
            "AMI": "ok",
            "rights": "ok",
            "events": "ok",
            "ChanSpy": "ok",
            "volume": "ok",
            "auto_answer": "ok",
            "notice": "ok",
            "records": "ok",
            "Asterisk": "warning",
            "clock": "ok",
            "extensions": "ok",
            "phones": "ok",
        },
    )
    assert found["Asterisk"]["said"].startswith("22.10")


@pytest.mark.usefixtures("_phones")
async def test_a_person_reads_a_table(known: Operator) -> None:
    known.settings["BRIDGE_AMI_SECRET"] = "wrong-one"
    code, out = await known.prints()
    assert code == 1
    lines = out.splitlines()
    assert "settings   ok       complete" in lines
    (ami,) = (line for line in lines if line.startswith("AMI "))
    assert "FAILURE" in ami
    assert "check BRIDGE_AMI_USERNAME" in ami


async def test_phones_that_the_pbx_does_not_know_or_has_not_heard_of(operator: Operator) -> None:
    code, found = await operator.finds()
    assert (code, found["extensions"]["verdict"]) == (1, "failure")
    assert "PJSIP/0003*099" in found["extensions"]["said"]
    assert found["phones"]["verdict"] == "warning"
    assert "PJSIP/0003*2100" in found["phones"]["said"]


@pytest.mark.parametrize(
    ("numbers", "verdict", "said"),
    [
        ("21X", "ok", "devices of the PBX that fit a pattern: PJSIP/0003*211"),
        ("9XX", "warning", "no device of the PBX fits"),
    ],
)
async def test_who_is_discovered(known: Operator, numbers: str, verdict: str, said: str) -> None:
    directory = Path(known.settings["BRIDGE_DIRECTORY"])
    pattern = f'''[[discovery]]
endpoint = "PJSIP/0003*{{number}}"
numbers = ["{numbers}"]
user = 12
'''
    directory.write_text(directory.read_text() + pattern)
    code, found = await known.finds()
    assert (code, found["discovered"]["verdict"]) == (0, verdict)
    assert said in found["discovered"]["said"]


@pytest.mark.parametrize(
    ("rights", "subject", "verdict", "said"),
    [
        ({"write": "originate,call"}, "rights", "failure", "may not CoreSettings"),
        ({"read": "call", "write": "all"}, "rights", "warning", "command, config"),
        (
            {"read": "cdr", "write": "call,originate,reporting"},
            "events",
            "failure",
            "does not tell",
        ),
    ],
)
async def test_rights_that_are_too_few_or_too_many(
    stage: Stage, known: Operator, rights: dict[str, str], subject: str, verdict: str, said: str
) -> None:
    known.settings["BRIDGE_AMI_USERNAME"] = "checked"
    async with ami_user(stage, "checked", **{"read": "call", **rights}):
        code, found = await known.finds()
    assert (code, found[subject]["verdict"]) == (int(verdict == "failure"), verdict)
    assert said in found[subject]["said"]
    assert "read = call and write = originate,call,reporting" in found[subject]["remedy"]


@pytest.mark.parametrize(
    ("module", "exit_code", "subject", "verdict"),
    [
        ("app_chanspy", 1, "ChanSpy", "failure"),
        ("func_volume", 0, "volume", "warning"),
        ("app_senddtmf", 1, "keys", "failure"),
        ("app_playback", 1, "notice", "failure"),
        ("func_cdr", 0, "records", "warning"),
        ("res_pjsip_header_funcs", 0, "auto_answer", "warning"),
        ("func_module", 0, "ChanSpy", "unknown"),
    ],
)
async def test_a_module_that_is_not_loaded(
    known: Operator, tmp_path: Path, module: str, exit_code: int, subject: str, verdict: str
) -> None:
    build = await packages.asterisk("22", print)
    async with await Asterisk.start(build, tmp_path, bridge_secret="another-secret") as pbx:
        modules = pbx.run_dir / "etc" / "modules.conf"
        modules.write_text(modules.read_text().replace(f"load = {module}.so\n", ""))
        await pbx.restart()
        known.settings |= {
            "BRIDGE_AMI_PORT": str(pbx.ami_port),
            "BRIDGE_AMI_SECRET": "another-secret",
            "BRIDGE_FOLLOW_KEYS": "true",
        }
        code, found = await known.finds()
    assert (code, found[subject]["verdict"]) == (exit_code, verdict)
    assert found[subject]["remedy"] == f"in modules.conf: load = {module}.so"


async def test_a_dialplan_that_plays_no_notice(stage: Stage, known: Operator) -> None:
    file = stage.pbx.run_dir / "etc" / "extensions.d" / "whisper-bridge.conf"
    before = file.read_text()
    file.write_text("; nothing\n")
    try:
        await stage.observer.action("Command", Command="dialplan reload")
        code, found = await known.finds()
    finally:
        file.write_text(before)
        await stage.observer.action("Command", Command="dialplan reload")
    assert (code, found["notice"]["verdict"]) == (1, "failure")
    assert found["notice"]["remedy"] == "add extensions.d/whisper-bridge.conf to the dialplan"


@pytest.mark.parametrize(
    ("sound", "verdict", "said"),
    [
        ("custom/not-there", "failure", "the PBX cannot play custom/not-there: nobody can"),
        pytest.param("tt-monkeys", "ok", "the PBX plays tt-monkeys", id="a long one"),
    ],
)
async def test_a_notice_is_played_to_nobody(
    stage: Stage, known: Operator, sound: str, verdict: str, said: str
) -> None:
    directory = Path(known.settings["BRIDGE_DIRECTORY"])
    directory.write_text(directory.read_text().replace('"beep"', f'"{sound}"'))
    mark = stage.observer.events.mark()
    code, found = await known.finds()
    assert (code, found["notice"]["verdict"]) == (int(verdict == "failure"), verdict)
    assert found["notice"]["said"].startswith(said)
    events = stage.observer.events.entries[mark:]
    begun = [event["Channel"] for event in events if event["Event"] == "Newchannel"]
    assert len(begun) == 2
    assert all(name.startswith("Local/s@whisper-bridge-notice-") for name in begun)
    assert not any(event["Event"] == "ChanSpyStart" for event in events)


async def test_nobody_there(known: Operator) -> None:
    known.settings["BRIDGE_AMI_PORT"] = str(free_tcp())
    code, found = await known.finds()
    assert (code, found["AMI"]["verdict"]) == (1, "failure")
    assert "manager.conf" in found["AMI"]["remedy"]
    assert "rights" not in found


async def test_a_broken_directory_is_one_finding_among_others(
    known: Operator, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.toml"
    broken.write_text('[[organizations]]\nid = 3\nnmae = "x"\n')
    known.settings["BRIDGE_DIRECTORY"] = str(broken)
    code, found = await known.finds()
    assert (code, found["directory"]["verdict"]) == (1, "failure")
    assert "broken.toml:3" in found["directory"]["said"]
    assert found["AMI"]["verdict"] == "ok"


async def test_settings_that_are_missing(known: Operator) -> None:
    del known.settings["BRIDGE_DIRECTORY"]
    code, found = await known.finds()
    assert (code, verdicts(found)) == (1, {"settings": "failure"})
    assert "BRIDGE_DIRECTORY: missing" in found["settings"]["said"]


async def test_the_port_is_taken_by_another_program_or_by_the_bridge_itself(
    stage: Stage, known: Operator
) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        known.settings["BRIDGE_HTTP_PORT"] = str(other.getsockname()[1])
        code, found = await known.finds()
    assert (code, found["port"]["verdict"]) == (1, "failure")
    assert "BRIDGE_HTTP_PORT" in found["port"]["remedy"]
    known.settings["BRIDGE_HTTP_PORT"] = stage.server.url.rpartition(":")[2]
    code, found = await known.finds()
    assert (code, found["port"]["verdict"]) == (0, "ok")
