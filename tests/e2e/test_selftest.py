"""``whisper-bridge selftest`` on a real PBX, as an operator runs it on his own."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bridge.lab import tones
from bridge.lab.asterisk import PHONE_PASSWORD

from .stage import Stage, a_stage

pytestmark = pytest.mark.pbx

ACCOUNTS = ("--agent", "0003*211", "--customer", "0003*2100", "--supervisor", "0003*025")


class Operator:
    """Somebody who has the bridge's settings in his environment, and his accounts' passwords."""

    def __init__(self, stage: Stage) -> None:
        self.sip = ("--sip", f"127.0.0.1:{stage.pbx.sip_port}")
        self.temporary = stage.run_dir / "operators-tmp"
        self.temporary.mkdir(exist_ok=True)
        self.settings = {
            "BRIDGE_AMI_PORT": str(stage.pbx.ami_port),
            "BRIDGE_AMI_SECRET": stage.secret,
            "BRIDGE_DIRECTORY": str(stage.directory),
            "BRIDGE_STATE_DIR": str(stage.run_dir / "state"),
            "BRIDGE_HTTP_HOST": "127.0.0.2",
            "TMPDIR": str(self.temporary),
        }

    async def runs(self, *options: str, passwords: str | None = None) -> tuple[int, str, str]:
        """Exit code, output and errors; nothing is left behind, and no password shown."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "bridge", "selftest", *options),
            env={**os.environ, **self.settings},
            cwd=Path(__file__).parents[2],
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        lines = f"{PHONE_PASSWORD}\n" * 3 if passwords is None else passwords
        out, err = await process.communicate(lines.encode())
        assert PHONE_PASSWORD not in (out + err).decode()
        assert list(self.temporary.iterdir()) == []
        return process.returncode or 0, out.decode(), err.decode()


@pytest.fixture(scope="module")
async def own(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    """A PBX of his own, where nobody has registered a phone."""
    async with a_stage(tmp_path_factory.mktemp("own")) as stage:
        yield stage


@pytest.fixture
async def operator(own: Stage) -> AsyncIterator[Operator]:
    """His accounts are free, as they are again afterwards."""
    yield Operator(own)
    for number in ACCOUNTS[1::2]:
        await own.device_state(number, "UNAVAILABLE")


@pytest.mark.parametrize("private", [False, True])
async def test_a_whisper_on_the_operators_own_pbx(operator: Operator, *, private: bool) -> None:
    options = ("--private",) if private else ()
    code, out, err = await operator.runs(*ACCOUNTS, *operator.sip, *options)
    assert (code, err) == (0, "")
    assert "the customer 0003*2100 talks to the agent 0003*211" in out
    assert "proven: the agent hears the supervisor" in out
    assert "WRONG" not in out
    assert ("hears nothing himself" in out) is private


async def test_a_phone_that_is_registered_already(own: Stage, operator: Operator) -> None:
    async with own.phone("0003*211", tones.AGENT_HZ):
        code, out, err = await operator.runs(*ACCOUNTS, *operator.sip)
    assert (code, out) == (2, "")
    assert "a phone is registered as PJSIP/0003*211 already" in err


async def test_an_account_that_the_pbx_does_not_know(operator: Operator) -> None:
    accounts = (*ACCOUNTS[:-1], "0003*099")
    code, _, err = await operator.runs(*accounts, *operator.sip)
    assert (code, err) == (2, "whisper-bridge: the PBX does not know PJSIP/0003*099\n")


async def test_a_wrong_password_says_whose(operator: Operator) -> None:
    passwords = f"{PHONE_PASSWORD}\nwrong-one\n{PHONE_PASSWORD}\n"
    code, _, err = await operator.runs(*ACCOUNTS, *operator.sip, passwords=passwords)
    assert code == 2
    assert "does not register a phone as 0003*2100" in err


async def test_a_number_that_does_not_reach_the_agent(operator: Operator) -> None:
    code, _, err = await operator.runs(*ACCOUNTS, *operator.sip, "--dial", "999999")
    assert code == 2
    assert "a call of 0003*211" in err


@pytest.mark.parametrize(
    ("options", "passwords", "said"),
    [
        ((*ACCOUNTS[:-1], "0003*999"), None, "0003*999 is no extension of the directory"),
        (ACCOUNTS, "only-one\n", "three lines with the SIP passwords are wanted"),
        ((*ACCOUNTS, "--sip", "127.0.0.1:sip"), None, "--sip must be a host"),
    ],
)
async def test_what_cannot_be_asked(
    operator: Operator, options: tuple[str, ...], passwords: str | None, said: str
) -> None:
    code, out, err = await operator.runs(*options, passwords=passwords)
    assert (code, out) == (2, "")
    assert said in err
