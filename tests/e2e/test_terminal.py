"""The terminal's commands, run as processes, beside real phones: what is heard, shown and said."""

import asyncio
import json
import os
import re
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trustme

from bridge.lab import proof
from bridge.lab.phone import Phone
from bridge.lab.ports import free_tcp
from bridge.lab.server import Server
from bridge.model import Mode
from tests.support.modes import HEARS
from tests.support.terminal import Said, Shell

from .client import Api, views
from .stage import AGENT, SECOND_SUPERVISOR, SUPERVISOR, Call, Stage, answered, heard

pytestmark = pytest.mark.pbx

OPTIONS = {
    Mode.WHISPER: (),
    Mode.PRIVATE: ("--private",),
    Mode.LISTEN: ("--mode", "monitor"),
    Mode.BARGE: ("--mode", "barge"),
}
DOES = {
    Mode.WHISPER: "whispers to",
    Mode.PRIVATE: "whispers to",
    Mode.LISTEN: "listens to",
    Mode.BARGE: "has barged in on",
}


@pytest.fixture
async def second_call(
    api: Api, call: Call, second_customer: Phone, agent: Phone
) -> AsyncIterator[Call]:
    """Another customer calls the agent as well, who takes that call too."""
    await second_customer.dial(agent.number)
    listed = await api.until(
        f"12/{agent.number}",
        lambda a: a.status == 200 and sum(_talks(each) for each in a.body["entry"]) == 2,
        "two calls of the agent",
    )
    (other,) = (each["id"] for each in listed.body["entry"] if each["id"] != call.id)
    yield Call(other, second_customer, agent)
    await second_customer.hang_up()
    await api.until(f"12/{agent.number}/{other}", lambda a: a.status == 204, "the end of a call")


def _talks(call: dict[str, list[dict[str, str]]]) -> bool:
    return any(view["status"] == "5" for view in call["phoneCallView"])


async def whispering(api: Api, call: Call) -> None:
    """Wait until somebody takes part in a call."""
    await api.until(call.path, lambda a: "02" in views(a), "the supervisor takes part")


async def everybody_hears_whom_he_should(call: Call, supervisor: Phone, mode: Mode) -> None:
    """Measure it by the tones."""
    hears = HEARS[mode]
    table = await heard(
        agent=(call.callee, hears["agent"]),
        customer=(call.caller, hears["customer"]),
        supervisor=(supervisor, hears["supervisor"]),
    )
    assert proof.is_right(table), proof.render(table)


# whisper


@pytest.mark.parametrize("mode", Mode)
async def test_who_takes_part_hears_and_is_heard_as_he_should(
    shell: Shell, call: Call, supervisor: Phone, mode: Mode
) -> None:
    said = await shell.runs("whisper", AGENT, "--by", SUPERVISOR, *OPTIONS[mode])
    assert said == Said(
        0,
        f"calling the phone of {SUPERVISOR}, for 25 s at most\n"
        f"{SUPERVISOR} {DOES[mode]} {AGENT} in call {call.id}\n",
        "",
    )
    await everybody_hears_whom_he_should(call, supervisor, mode)


async def test_short_numbers_a_caller_id_and_json(
    shell: Shell, api: Api, call: Call, supervisor: Phone
) -> None:
    mark = supervisor.events.mark()
    options = ("--by", "024", "--caller-id", "Listen Here <4711>", "--wait", "9", "--json")
    said = await shell.runs("whisper", "210", *options)
    assert (said.code, said.err) == (0, "")
    shown = json.loads(said.out)
    own = (await api.get(f"@owner/{AGENT}/{call.id}")).body
    assert shown == own
    assert [view["id"] for view in shown["phoneCallView"]] == ["01", "02"]
    assert (await supervisor.incoming(since=mark)).number == "4711"


async def test_whoever_takes_part_already_changes_without_a_ring(
    shell: Shell, stage: Stage, call: Call, supervisor: Phone
) -> None:
    assert (await shell.runs("whisper", AGENT, "--by", SUPERVISOR)).code == 0
    legs = await stage.whisper_legs()
    said = await shell.runs("whisper", AGENT, "--by", SUPERVISOR, "--mode", "monitor")
    assert said == Said(0, f"{SUPERVISOR} listens to {AGENT} in call {call.id}\n", "")
    assert await stage.whisper_legs() == legs
    await everybody_hears_whom_he_should(call, supervisor, Mode.LISTEN)


async def test_of_several_calls_a_script_must_name_one(
    shell: Shell, api: Api, call: Call, second_call: Call, supervisor: Phone
) -> None:
    said = await shell.runs("whisper", AGENT, "--by", SUPERVISOR)
    assert (said.code, said.out) == (3, "")
    assert f"{AGENT} talks in 2 calls:" in said.err
    assert call.id in said.err
    assert second_call.id in said.err
    assert said.err.endswith("name one of them with --call\n")
    said = await shell.runs("whisper", AGENT, "--by", SUPERVISOR, "--call", second_call.id)
    assert (said.code, said.err) == (0, "")
    await whispering(api, second_call)
    assert list(views(await api.get(call.path))) == ["01"]


async def test_of_several_calls_somebody_at_a_terminal_is_asked(
    shell: Shell, api: Api, call: Call, second_call: Call, supervisor: Phone
) -> None:
    async with shell.terminal("whisper", AGENT, "--by", SUPERVISOR) as terminal:
        shown = await terminal.shows("Which one? [1-2]")
        place = re.search(rf"(\d)  {second_call.id}", shown)
        assert place
        terminal.types("7\n")
        await terminal.shows("Which one? [1-2] 7")
        terminal.types(f"{place[1]}\n")
        await terminal.shows(f"{SUPERVISOR} whispers to {AGENT} in call {second_call.id}")
        assert await terminal.ends() == 0
    await whispering(api, second_call)


async def test_ctrl_c_hangs_up_on_request_while_the_phone_rings(
    shell: Shell, stage: Stage, call: Call, ringing: Phone
) -> None:
    mark = ringing.events.mark()
    command = ("whisper", AGENT, "--by", SECOND_SUPERVISOR, "--hang-up")
    async with shell.terminal(*command) as terminal:
        await ringing.incoming(since=mark, within=15)
        await terminal.shows("calling the phone")
        terminal.types("\x03")
        assert await terminal.ends() == 130
        assert f"{SECOND_SUPERVISOR} is hung up" in terminal.text
    await stage.no_whisper_leg()


async def test_ctrl_c_leaves_a_whisper_alone_unless_asked(
    shell: Shell, stage: Stage, api: Api, call: Call, supervisor: Phone
) -> None:
    async with shell.terminal("whisper", AGENT, "--by", SUPERVISOR, "--stay") as terminal:
        await terminal.shows(f"{SUPERVISOR} whispers to {AGENT}")
        terminal.types("\x03")
        assert await terminal.ends() == 130
        assert "goes on without this command" in terminal.text
    assert len(await stage.whisper_legs()) == 1
    assert "02" in views(await api.get(call.path))


async def test_sigterm_hangs_up_on_request(
    shell: Shell, stage: Stage, call: Call, supervisor: Phone
) -> None:
    async with shell.running("whisper", AGENT, "--by", SUPERVISOR, "--hang-up") as running:
        await running.until("whispers to")
        running.sent(signal.SIGTERM)
        assert await running.ends() == Said(143, f"{SUPERVISOR} is hung up\n", "")
    await stage.no_whisper_leg()


async def test_it_stays_until_he_takes_part_no_more(
    shell: Shell, call: Call, supervisor: Phone
) -> None:
    async with shell.running("whisper", AGENT, "--by", SUPERVISOR, "--stay") as running:
        await running.until("whispers to")
        await supervisor.hang_up()
        assert await running.ends() == Said(0, f"{SUPERVISOR} takes part no more\n", "")


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ((AGENT, "--by", "0003*999"), 5, "the phone of 0003*999 cannot be called (pc_sendcallto_"),
        ((AGENT, "--by", SUPERVISOR, "--wait", "0"), 5, "that is no time to wait (pc_timeout_inv"),
        ((AGENT, "--by", SUPERVISOR, "--caller-id", "?"), 5, "that is no caller id (pc_callerid_"),
        ((AGENT, "--by", SUPERVISOR, "--call", "0" * 20), 1, f"{AGENT} does not talk in call 000"),
        (("0003*211", "--by", SUPERVISOR), 1, "0003*211 does not talk in a call now"),
        (("0003*999", "--by", SUPERVISOR), 5, "there is no extension 0003*999 (extension_invalid"),
        (("0004*410", "--by", SUPERVISOR), 6, "the token is not good, or 0004*410 is out of its "),
        ((AGENT, "--by", "x"), 2, "'x' is no number of an extension"),
        ((AGENT, "--by", SUPERVISOR, "--mode", "barge", "--private"), 2, "--private is of --mode"),
    ],
)
async def test_what_cannot_be_done_is_said_in_plain_words(
    shell: Shell, stage: Stage, call: Call, arguments: tuple[str, ...], code: int, words: str
) -> None:
    said = await shell.runs("whisper", *arguments)
    assert said.code == code
    tried = ["calling the phone of"] if "(pc_" in words else []
    assert [line[:20] for line in said.out.splitlines()] == tried
    assert words in said.err
    assert "Traceback" not in said.err
    assert not await stage.whisper_legs()


# calls


async def test_calls_are_a_table(shell: Shell, call: Call, supervisor: Phone) -> None:
    assert (await shell.runs("whisper", AGENT, "--by", SUPERVISOR)).code == 0
    said = await shell.runs("calls", AGENT)
    assert (said.code, said.err) == (0, "")
    head, *rows = (re.split(r"  +", line.rstrip()) for line in said.out.splitlines())
    assert head[:6] == ["CALL", "VIEW", "EXTENSION", "STATE", "FROM", "TO"]
    assert [row[:6] for row in rows] == [
        [call.id, "01", AGENT, "on call", call.caller.number, AGENT],
        [call.id, "02", AGENT, "on call", SUPERVISOR, AGENT],
    ]
    assert all(re.fullmatch(r"\d:\d\d", row[-1]) for row in rows)


async def test_calls_in_json_are_what_the_service_lists(
    shell: Shell, api: Api, call: Call, second_call: Call
) -> None:
    said = await shell.runs("calls", "--json")
    assert (said.code, said.err) == (0, "")
    listed = (await api.get("@me/@self", sortOrder="ascending")).body["entry"]
    assert json.loads(said.out) == listed
    assert len(listed) == 2
    said = await shell.runs("calls", "--json", "--user", "24")
    assert said == Said(0, "[]\n", "")


async def test_no_calls(shell: Shell, stage: Stage) -> None:
    assert await shell.runs("calls") == Said(0, "", "whisper-bridge: there are no calls\n")
    said = await shell.runs("calls", AGENT)
    assert said == Said(0, "", f"whisper-bridge: {AGENT} is on no call\n")


async def test_the_service_beside_it_is_found_by_the_services_settings(
    stage: Stage, call: Call, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("lab-only-not-a-secret-1\n")
    config = tmp_path / "bridge.toml"
    config.write_text(f"BRIDGE_HTTP_PORT = {stage.server.url.rpartition(':')[2]}\n")
    shell = Shell({"BRIDGE_CONFIG": str(config), "WHISPER_CLIENT_ID": "lab-app"})
    said = await shell.runs("calls", AGENT, "--json", "--client-secret-file", str(secret))
    assert said.code == 2
    assert "belong together" in said.err
    who = ("--client-id", "lab-app", "--client-secret-file", str(secret))
    said = await shell.runs("calls", AGENT, "--json", *who)
    assert (said.code, said.err) == (0, "")
    assert [each["id"] for each in json.loads(said.out)] == [call.id]
    secret.write_text("not-the-one-it-is")
    said = await shell.runs("calls", AGENT, *who)
    assert (said.code, said.out) == (6, "")
    assert "the id or the secret of the app is wrong" in said.err
    assert "not-the-one" not in said.err


@pytest.mark.parametrize("command", ["calls", "watch"])
async def test_what_is_wrong_with_the_service_is_told(stage: Stage, command: str) -> None:
    nowhere = f"http://127.0.0.1:{free_tcp()}"
    for settings, code, words in (
        ({"WHISPER_URL": nowhere, "WHISPER_TOKEN": stage.token}, 7, "Connection refused"),
        ({"WHISPER_URL": stage.server.url, "WHISPER_TOKEN": "x" * 40}, 6, "token is not good"),
        ({"WHISPER_URL": stage.server.url}, 2, "there is no credential"),
        ({"WHISPER_URL": "http://pbx.example", "WHISPER_TOKEN": "x"}, 2, "over TLS only"),
    ):
        said = await Shell(settings).runs(command, AGENT)
        assert (said.code, said.out) == (code, "")
        assert words in said.err
        assert stage.token not in said.err
    said = await Shell({"WHISPER_URL": stage.server.url, "WHISPER_TOKEN": stage.token}).runs(
        command, "0003*999"
    )
    assert said.code == 5
    assert "there is no extension 0003*999" in said.err


async def test_a_pbx_that_is_away_is_told(stage: Stage) -> None:
    async with await stage.another_server(ami_port=free_tcp(), ready=False) as server:
        said = await Shell({"WHISPER_URL": server.url, "WHISPER_TOKEN": stage.token}).runs("calls")
    assert said.code == 7
    assert "the service cannot reach its PBX now" in said.err
    assert "try again in" in said.err


async def test_over_tls_the_certificate_must_be_trusted(stage: Stage, tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    pair = tmp_path / "pair.pem"
    authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(str(pair))
    serving = stage.another_server(BRIDGE_TLS_CERT=str(pair), authority=tmp_path / "ca.pem")
    async with await serving as server:
        shell = Shell({"WHISPER_URL": server.url, "WHISPER_TOKEN": stage.token})
        assert (await shell.runs("calls", "--ca-file", str(tmp_path / "ca.pem"))).code == 0
        said = await shell.runs("calls")
    assert said.code == 7
    assert "its certificate is not trusted" in said.err


# watch


async def test_in_a_pipe_every_change_is_a_line(
    shell: Shell, api: Api, customer: Phone, agent: Phone, supervisor: Phone
) -> None:
    async with shell.running("watch", AGENT) as running:
        call = await answered(api, customer, agent)
        now = rf"[\d-]+T[\d:]+[+-]\d\d:\d\d {call.id}"
        talks = await running.until("on call")
        assert re.fullmatch(rf"{now} 01 0003\*210 on call: 7778888 -> 0003\*210 .*", talks)
        assert (await shell.runs("whisper", AGENT, "--by", SUPERVISOR)).code == 0
        comes = await running.until(" 02 ")
        assert re.fullmatch(rf"{now} 02 0003\*210 on call: 0003\*024 -> 0003\*210 .*", comes)
        await supervisor.hang_up()
        assert " over: 0003*024 -> 0003*210" in await running.until(" 02 ")
        await customer.hang_up()
        assert " over: 7778888 -> 0003*210" in await running.until(" 01 ")
        running.sent(signal.SIGINT)
        assert await running.ends() == Said(130, "", "")


async def test_a_reader_who_has_seen_enough_ends_it(
    shell: Shell, api: Api, customer: Phone, agent: Phone
) -> None:
    ours, theirs = os.pipe()
    async with shell.running("watch", AGENT, "--json", out=theirs) as running:
        os.close(theirs)
        first = await asyncio.to_thread(os.read, ours, 65536)
        assert json.loads(first) == {"event": "ready", "totalResults": 0}
        os.close(ours)
        call = await answered(api, customer, agent)
        assert await running.ends() == Said(141, "", "")
        await call.caller.hang_up()


@asynccontextmanager
async def own_server(stage: Stage) -> AsyncIterator[tuple[Server, Shell]]:
    """A service of one's own, to be stopped and started again."""
    async with await stage.another_server() as server:
        yield server, Shell({"WHISPER_URL": server.url, "WHISPER_TOKEN": stage.token})


async def test_it_outlives_a_restart_of_the_service(
    stage: Stage, api: Api, customer: Phone, agent: Phone, second_customer: Phone
) -> None:
    async with own_server(stage) as (server, shell):
        first = await answered(api, customer, agent)
        async with shell.running("watch", AGENT) as running:
            assert first.id in await running.until("on call")
            await server.kill()
            assert "trying again in 2 s" in await running.complains("trying again")
            await customer.hang_up()
            second = await answered(api, second_customer, agent)
            await server.boot()
            lines = [await running.until(f" {AGENT} ") for _ in range(2)]
            assert {line.split()[1] for line in lines} == {first.id, second.id}
            assert any(first.id in line and " over: " in line for line in lines)
            await running.complains("well again")
        await second_customer.hang_up()


async def test_on_a_terminal_it_is_a_table_that_lives(
    stage: Stage, customer: Phone, agent: Phone, supervisor: Phone
) -> None:
    async with own_server(stage) as (server, shell), shell.terminal("watch") as terminal:
        await terminal.shows("0 calls", "EXTENSION")
        assert terminal.screen.cursor.hidden
        call = await answered(stage.api, customer, agent)
        await terminal.shows("1 call", call.id, "on call", "7778888")
        assert (await shell.runs("whisper", AGENT, "--by", SUPERVISOR)).code == 0
        shown = await terminal.shows(SUPERVISOR)
        assert len(shown.splitlines()) == 4
        before = re.findall(r"\d:\d\d$", shown, re.MULTILINE)
        await terminal.lacks(f" {before[0]}")
        await server.kill()
        await terminal.shows("Not up to date:", "trying again in 2 s", call.id)
        await server.boot()
        await terminal.lacks("Not up to date")
        await terminal.shows(call.id, SUPERVISOR)
        await customer.hang_up()
        await terminal.lacks(call.id)
        terminal.types("\x03")
        assert await terminal.ends() == 130
        assert "0 calls" in terminal.text
