"""What the guide says of trouble is what the bridge says in that trouble."""

import asyncio
import json
import re
import shlex
import sys
from pathlib import Path
from typing import Final

import aiohttp
import pytest

from bridge.api.seats import Seats
from bridge.errors import PbxUnavailable, TooManyConnections, TooManyRequests
from bridge.health import Trouble
from bridge.lab import packages
from bridge.lab.asterisk import Asterisk, conf_dir
from bridge.lab.processes import run
from bridge.lab.server import Server
from bridge.model import WHISPER_LEG_PREFIX
from bridge.whisper import Reason
from tests.support.guides import PACKAGING

SECTION: Final = "When something is wrong"
SAID: Final = re.sub(r"\s+", " ", PACKAGING.section(SECTION))
SECRET: Final = "s" * 48


def symptom(beginning: str) -> set[str]:
    """What is quoted in the advice for a symptom."""
    (advice,) = (part for part in SAID.split(" - **") if part.startswith(beginning))
    return set(re.findall(r"`([^`]+)`", advice))


@pytest.mark.parametrize(
    ("beginning", "reasons"),
    [
        ("202, but", {Reason.BUSY, Reason.DECLINED, Reason.NO_ANSWER, Reason.UNREGISTERED}),
        ("It rings", {Reason.LEFT, Reason.TARGET_GONE, Reason.OTHERS_CHANGED, Reason.FAILED}),
        ("The customer hears", {Reason.WRONG_TARGET}),
        ("The supervisor is hung up", {Reason.NO_NOTICE}),
    ],
)
def test_the_reasons_are_those_of_the_audit(beginning: str, reasons: set[Reason]) -> None:
    assert {reason.name.lower() for reason in reasons} <= symptom(beginning)


def test_the_reasons_of_readyz_are_all_there() -> None:
    ours = {trouble.name.lower() for trouble in Trouble} - {"fault"}
    assert ours <= symptom("Every answer")
    assert PbxUnavailable.code in symptom("Every answer")


def test_a_leg_of_the_bridge_begins_as_it_says() -> None:
    assert WHISPER_LEG_PREFIX in symptom("The supervisor's phone shows")


def test_a_stream_that_is_refused_is_logged_as_it_says(caplog: pytest.LogCaptureFixture) -> None:
    said, seats = symptom("A stream is refused"), Seats(4)
    with seats.taken("panel"), pytest.raises(TooManyRequests), seats.taken("panel"):
        pass
    (line,) = caplog.messages
    logged = {words for words in said if words in line}
    assert logged == {"refused a stream of app", "BRIDGE_MAX_CONNECTIONS"}
    assert TooManyConnections.code in said


@pytest.mark.pbx
@pytest.mark.timeout(600)
async def test_its_commands_tell_what_it_says(tmp_path: Path) -> None:
    build = await packages.asterisk("22", print)
    directory = tmp_path / "directory.toml"
    # Without the one phone of it that the lab's PBX does not know.
    lab = (conf_dir() / "lab/directory.toml").read_text("utf-8")
    directory.write_text(re.sub(r"\[\[extensions\]\]\nnumber = \"0004\*410\"\n(.+\n)+", "", lab))
    state = tmp_path / "state"
    starting = Asterisk.start(build, tmp_path / "pbx", bridge_secret=SECRET)
    async with await starting as pbx, aiohttp.ClientSession() as http:
        settings = {
            "BRIDGE_AMI_PORT": str(pbx.ami_port),
            "BRIDGE_DIRECTORY": str(directory),
            "BRIDGE_STATE_DIR": str(state),
        }
        async with await Server.start(
            tmp_path / "good",
            ami_port=pbx.ami_port,
            ami_secret=SECRET,
            directory=directory,
            BRIDGE_STATE_DIR=str(state),
        ) as server:
            port = server.url.rpartition(":")[2]
            env = {**settings, "BRIDGE_HTTP_PORT": port, "BRIDGE_AMI_SECRET": SECRET}
            *typed, readyz = PACKAGING.commands(SECTION)
            check, may, audit = [await _types(command, env) for command in typed]
            assert re.search(r"^AMI +ok ", check, re.MULTILINE)
            assert may.startswith("yes: ")
            assert audit.startswith("TIME ")
            assert (await _readyz(http, readyz, port))["ready"] is True
        async with await Server.start(
            tmp_path / "bad",
            ami_port=pbx.ami_port,
            ami_secret="wrong",
            directory=directory,
            ready=False,
        ) as server:
            port = server.url.rpartition(":")[2]
            async with asyncio.timeout(10):
                while (await _readyz(http, readyz, port))["reason"] != "login_refused":
                    await asyncio.sleep(0.05)
            assert any(quote in server.log.read_text() for quote in symptom("The log says"))


async def _types(command: str, env: dict[str, str]) -> str:
    program, *words = shlex.split(command)
    assert program == "whisper-bridge"
    return await run((sys.executable, "-m", "bridge", *words), limit=30, env=env)


async def _readyz(http: aiohttp.ClientSession, command: str, port: str) -> dict[str, object]:
    url = shlex.split(command)[-1]
    assert ":8480/" in url
    async with http.get(url.replace("8480", port)) as answer:
        found: dict[str, object] = json.loads(await answer.text())
        return found
