"""What ``whisper-bridge whisper`` says of a supervisor who does not take part, and where it is not
told: run as a process, beside real phones."""

import json
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from yarl import URL

from bridge.lab.phone import Phone
from bridge.lab.ports import free_tcp
from bridge.lab.server import Server
from tests.link.proxy import Proxy
from tests.support.proxies import nginx
from tests.support.terminal import Running, Said, Shell
from tests.support.unlimited import UNLIMITED

from .client import Api
from .stage import AGENT, SECOND_SUPERVISOR, Call, Stage, rings

pytestmark = pytest.mark.pbx


def says_why(said: Said, code: int, words: str, error: str) -> None:
    """A command ended so, and told these words and the contract's code and message."""
    assert (said.code, said.out) == (code, "")
    told, _, why = said.err.removeprefix("whisper-bridge: ").partition(f" ({error}: ")
    assert told == words
    assert why.endswith(".)\n")


@pytest.mark.parametrize(
    ("sip", "code", "words", "error"),
    [
        (486, 8, "the phone of 0003*211 is busy", "pc_sendcallto_busy"),
        (603, 9, "0003*211 declined", "pc_sendcallto_declined"),
        (480, 10, "nobody picked up the phone of 0003*211", "pc_sendcallto_no_answer"),
        (488, 5, "the phone of 0003*211 cannot be called", "pc_sendcallto_invalid"),
    ],
)
async def test_a_phone_that_refuses_says_why(
    shell: Shell, stage: Stage, call: Call, sip: int, code: int, words: str, error: str
) -> None:
    async with stage.refusing_phone("0003*211", sip) as phone:
        said = await shell.runs("whisper", AGENT, "--by", "0003*211", "--json")
        shown = json.loads(said.out)["error"]
        says_why(said._replace(out=""), code, words, error)
        assert shown["code"] == error
        assert f": {shown['message']})" in said.err
        assert len(phone.calls.entries) == 1
    await stage.no_whisper_leg()


async def test_a_phone_that_is_not_registered_is_told_of(
    shell: Shell, stage: Stage, call: Call
) -> None:
    await stage.device_state("0003*211", "UNAVAILABLE")
    said = await shell.runs("whisper", AGENT, "--by", "0003*211")
    assert (said.code, said.out) == (5, "calling the phone of 0003*211, for 25 s at most\n")
    assert "cannot be called (pc_sendcallto_invalid: The phone of sendCallTo is not reg" in said.err


async def test_whoever_does_not_pick_up_is_told_of(
    shell: Shell, stage: Stage, call: Call, ringing: Phone
) -> None:
    said = await shell.runs("whisper", AGENT, "--by", SECOND_SUPERVISOR, "--wait", "1")
    words = f"nobody picked up the phone of {SECOND_SUPERVISOR}"
    says_why(said._replace(out=""), 10, words, "pc_sendcallto_no_answer")
    await stage.no_whisper_leg()


@asynccontextmanager
async def ringing_for(
    shell: Shell, phone: Phone, *options: str
) -> AsyncIterator[tuple[Running, int]]:
    """A command whose supervisor's phone rings; and what the phone had heard of before."""
    mark = phone.events.mark()
    command = ("whisper", AGENT, "--by", phone.number, *options)
    async with shell.running(*command) as running:
        await phone.incoming(since=mark, within=15)
        yield running, mark


async def test_whoever_rejects_the_call_is_busy(
    shell: Shell, stage: Stage, call: Call, ringing: Phone
) -> None:
    async with ringing_for(shell, ringing) as (running, _):
        await ringing.hang_up()
        said = await running.ends()
    words = f"the phone of {SECOND_SUPERVISOR} is busy"
    says_why(said._replace(out=""), 8, words, "pc_sendcallto_busy")
    await stage.no_whisper_leg()


@pytest.mark.parametrize("leaving", ["customer", "agent"])
async def test_the_call_ends_while_his_phone_rings(
    shell: Shell, stage: Stage, call: Call, ringing: Phone, leaving: str
) -> None:
    async with ringing_for(shell, ringing) as (running, _):
        await {"customer": call.caller, "agent": call.callee}[leaving].hang_up()
        said = await running.ends()
    words = f"{AGENT} is not in that call any more"
    says_why(said._replace(out=""), 1, words, "pc_phonecallview_gone")
    await stage.no_whisper_leg()


async def test_somebody_else_has_him_hung_up(
    shell: Shell, api: Api, call: Call, ringing: Phone
) -> None:
    async with ringing_for(shell, ringing, "--stay", "--json") as (running, _):
        assert (await api.delete(call.path, SECOND_SUPERVISOR)).status == 200
        said = await running.ends()
    assert json.loads(said.out)["error"]["code"] == "pc_sendcallto_hung_up"
    says_why(said._replace(out=""), 11, f"{SECOND_SUPERVISOR} was hung up", "pc_sendcallto_hung_up")


async def test_the_link_to_the_pbx_goes_while_his_phone_rings(
    stage: Stage, call: Call, ringing: Phone
) -> None:
    async with (
        Proxy(stage.pbx.ami_port) as line,
        await stage.another_server(ami_port=line.port, **UNLIMITED) as server,
    ):
        shell = Shell({"WHISPER_URL": server.url, "WHISPER_TOKEN": stage.token})
        async with ringing_for(shell, ringing) as (running, mark):
            line.cut()
            said = await running.ends()
        assert said.code == 7
        assert "the service cannot reach its PBX now (pbx_unavailable: " in said.err
        await stage.api.until(call.path, lambda a: a.status == 200, "the call")
        # It rings on, and who asks again finds it: he is rung once.
        async with shell.running("whisper", AGENT, "--by", SECOND_SUPERVISOR) as running:
            await running.until("calling the phone")
            await ringing.pick_up()
            await running.until("whispers to")
            assert (await running.ends()).code == 0
        assert rings(ringing, mark) == 1


# where the service does not wait, or is not heard to


async def unwilling(stage: Stage) -> Server:
    """A service with too few connections to let anybody wait."""
    return await stage.another_server(BRIDGE_MAX_CONNECTIONS="3", **UNLIMITED)


async def test_where_nobody_may_wait_he_is_seen_to_take_part(
    stage: Stage, call: Call, ringing: Phone
) -> None:
    async with await unwilling(stage) as server:
        shell = Shell({"WHISPER_URL": server.url, "WHISPER_TOKEN": stage.token})
        async with ringing_for(shell, ringing) as (running, mark):
            await ringing.pick_up()
            await running.until(f"{SECOND_SUPERVISOR} whispers to {AGENT}")
            assert await running.ends() == Said(0, "", "")
        assert rings(ringing, mark) == 1


async def test_where_nobody_may_wait_why_he_does_not_is_not_known(
    stage: Stage, call: Call, ringing: Phone
) -> None:
    async with await unwilling(stage) as server:
        shell = Shell({"WHISPER_URL": server.url, "WHISPER_TOKEN": stage.token})
        options = ("--by", SECOND_SUPERVISOR, "--wait", "1", "--json")
        said = await shell.runs("whisper", AGENT, *options)
    assert said == Said(
        4,
        "",
        f"whisper-bridge: {SECOND_SUPERVISOR} does not take part: busy, declined, not there, or"
        " not picked up within 1 s; the service does not say which\n",
    )
    await stage.no_whisper_leg()


async def test_a_request_that_is_cut_is_not_sent_again(
    stage: Stage, call: Call, ringing: Phone
) -> None:
    async with Proxy(URL(stage.server.url).port or 0) as line:
        url = f"http://127.0.0.1:{line.port}"
        shell = Shell({"WHISPER_URL": url, "WHISPER_TOKEN": stage.token})
        async with ringing_for(shell, ringing) as (running, mark):
            line.cut()
            cut = await running.complains("is looked at instead")
            assert cut.startswith(f"whisper-bridge: {url}: ")
            await ringing.pick_up()
            await running.until(f"{SECOND_SUPERVISOR} whispers to {AGENT}")
            assert await running.ends() == Said(0, "", "")
        assert rings(ringing, mark) == 1


async def test_a_proxy_without_patience_is_seen_through(
    stage: Stage, call: Call, ringing: Phone
) -> None:
    port = free_tcp()
    server = f"""
        server {{
            listen 127.0.0.1:{port};
            location / {{
                proxy_pass {stage.server.url};
                proxy_http_version 1.1;
                proxy_read_timeout 1s;
            }}
        }}
    """
    with tempfile.TemporaryDirectory(prefix="proxy-") as folder:
        async with nginx(Path(folder), server, port):
            url = f"http://127.0.0.1:{port}"
            shell = Shell({"WHISPER_URL": url, "WHISPER_TOKEN": stage.token})
            async with ringing_for(shell, ringing) as (running, mark):
                cut = await running.complains("is looked at instead")
                assert "a proxy answers in the service's place (status 504, text/html)" in cut
                await ringing.pick_up()
                await running.until(f"{SECOND_SUPERVISOR} whispers to {AGENT}")
                assert (await running.ends()).code == 0
            assert rings(ringing, mark) == 1
