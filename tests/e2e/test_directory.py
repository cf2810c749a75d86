"""The directory on a running service: extensions by pattern, and what a reload does to calls."""

import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from bridge.lab import tones
from bridge.lab.asterisk import conf_dir
from bridge.lab.phone import Phone
from bridge.lab.server import Server
from tests.support.reloading import read_anew

from .client import Api, views, whisper
from .stage import SECOND_AGENT_HZ, Call, Stage, a_call, level

pytestmark = pytest.mark.pbx

LAB = (conf_dir() / "lab/directory.toml").read_text("utf-8")
BARE = re.sub(r"(?ms)^\[\[extensions\]\]\n.*?(?=^\[\[|^\n\n)", "", LAB)
"""The lab's directory without a line for any extension."""

EXTENDED = """
[[discovery]]
endpoint = "PJSIP/0003*{number}"
numbers = ["2XX", "0XX"]
user = "12"
"""
PLAIN = """
[[discovery]]
endpoint = "PJSIP/{number}"
numbers = ["3XX"]
user = "12"
caller_id = "Phone {number} <{number}>"
"""


class Bridge:
    """One more bridge beside the PBX, with a directory of its own."""

    def __init__(self, server: Server, api: Api, directory: Path) -> None:
        self.server, self.api, self._directory = server, api, directory

    async def reads(self, text: str, said: str = "reload: the directory is in force") -> None:
        """Write the directory and have it read anew, until the log says so."""
        await read_anew(self.server, self._directory, text, said)


Beside = Callable[[str], "AsyncIterator[Bridge]"]


@asynccontextmanager
async def beside(stage: Stage, folder: Path, text: str) -> AsyncIterator[Bridge]:
    """Start one more bridge with this directory; its log has no numbers and no secrets."""
    directory = folder / "directory.toml"
    directory.write_text(text)
    async with await stage.another_server(directory=directory) as server:
        yield Bridge(server, Api(stage.http, server.url, stage.token), directory)
    assert not stage.faults(server.log.read_text(), errors=False)


# Extensions by pattern


async def test_an_endpoint_without_a_line_of_its_own_is_whispered_to(
    stage: Stage, call: Call, supervisor: Phone, tmp_path: Path
) -> None:
    async with beside(stage, tmp_path, BARE + EXTENDED) as bridge:
        shown = await bridge.api.get(call.path)
        assert views(shown)["01"]["extension"] == "0003*210"
        everything = await bridge.api.get("@me/@self")
        assert [one["id"] for one in everything.body["entry"]] == [call.id]
        assert (await bridge.api.put(call.path, whisper())).status == 202
        await bridge.api.until(call.path, lambda a: "02" in views(a), "the whisper in force")
        assert await level(call.callee, supervisor) > tones.HEARD_DB
        assert await level(call.caller, supervisor) < tones.SILENT_DB


async def test_only_what_the_pbx_knows_is_there(stage: Stage, tmp_path: Path) -> None:
    async with beside(stage, tmp_path, BARE + EXTENDED) as bridge:
        assert (await bridge.api.get("12/0003*211")).status == 204
        for unknown in ("0003*299", "299", "0003*2100", "0003*777"):
            assert (await bridge.api.get(f"12/{unknown}")).refusal == (400, "extension_invalid")
            refused = await bridge.api.put(f"12/{unknown}/444444", whisper())
            assert refused.refusal == (400, "extension_invalid")
        own = Api(stage.http, bridge.server.url, await bridge.server.token("agent-app"))
        assert (await own.get("@me/0003*211")).status == 204
        for not_his in ("0003*299", "0003*777", "0004*410"):
            assert (await own.get(f"@me/{not_his}")).refusal == (401, "access_denied")


async def test_a_supervisor_the_pbx_does_not_know_is_told(
    stage: Stage, call: Call, tmp_path: Path
) -> None:
    async with beside(stage, tmp_path, BARE + EXTENDED) as bridge:
        answer = await bridge.api.put(call.path, whisper(sendCallTo="0003*299"))
        assert answer.refusal == (400, "pc_sendcallto_invalid")
        assert "does not know the phone" in answer.message


@pytest.fixture
async def plain_agent(stage: Stage) -> AsyncIterator[Phone]:
    async with stage.phone("310", SECOND_AGENT_HZ) as phone:
        yield phone


@pytest.fixture
async def plain_supervisor(stage: Stage) -> AsyncIterator[Phone]:
    async with stage.phone("320", tones.SUPERVISOR_HZ) as phone:
        yield phone


async def test_plain_numbers_are_whispered_to(
    stage: Stage, customer: Phone, plain_agent: Phone, plain_supervisor: Phone, tmp_path: Path
) -> None:
    async with (
        beside(stage, tmp_path, BARE + PLAIN) as bridge,
        a_call(bridge.api, customer, plain_agent) as call,
    ):
        view = views(await bridge.api.get(call.path))["01"]
        assert (view["extension"], view["destination"]) == ("0003*310", ["0003*310"])
        assert (view["callerId"], view["flow"]) == ("John Doe <3334444>", 8)
        asked = whisper(sendCallTo="320", callerId=None)
        assert (await bridge.api.put(call.path, asked)).status == 202
        answer = await bridge.api.until(call.path, lambda a: "02" in views(a), "the whisper")
        assert views(answer)["02"]["callerId"] == "Phone 320 <320>"
        assert await level(plain_agent, plain_supervisor) > tones.HEARD_DB
        assert await level(customer, plain_supervisor) < tones.SILENT_DB
        assert (await bridge.api.get("12/399")).refusal == (400, "extension_invalid")


# A reload under a call


async def test_a_call_gets_its_owner_by_a_reload(
    stage: Stage, call: Call, supervisor: Phone, tmp_path: Path
) -> None:
    async with beside(stage, tmp_path, BARE) as bridge:
        assert (await bridge.api.get(call.path)).refusal == (400, "extension_invalid")
        await bridge.reads(LAB)
        shown = await bridge.api.get(call.path)
        assert views(shown)["01"]["status"] == "5"
        assert shown.body["answered"] == views(shown)["01"]["answered"]
        assert (await bridge.api.put(call.path, whisper())).status == 202
        await bridge.api.until(call.path, lambda a: "02" in views(a), "the whisper in force")
        await bridge.reads(BARE)
        await stage.no_whisper_leg()
        assert (await bridge.api.get(call.path)).refusal == (400, "extension_invalid")
        # Whoever ended the whisper, the call goes on.
        assert await level(call.callee, call.caller) > tones.HEARD_DB


async def test_a_broken_directory_changes_nothing(
    stage: Stage, call: Call, supervisor: Phone, tmp_path: Path
) -> None:
    async with beside(stage, tmp_path, LAB) as bridge:
        await bridge.api.put(call.path, whisper())
        before = await bridge.api.until(call.path, lambda a: "02" in views(a), "the whisper")
        line = LAB[: LAB.index("[[users]]")].count("\n") + 1
        broken = LAB.replace("[[users]]", "[[users]", 1)
        await bridge.reads(broken, f"the directory: directory.toml:{line}: Expected ']]' at the")
        assert (await bridge.api.get(call.path)).body == before.body
        await bridge.reads(LAB.replace("Agent 210", "Agent Zoe"))
        assert (await bridge.api.get(call.path)).body == before.body
        assert (await bridge.api.put(call.path, whisper())).status == 202
        assert len(await stage.whisper_legs()) == 1
        assert await level(call.callee, supervisor) > tones.HEARD_DB


async def test_a_protected_extension_is_not_listened_in_on(
    stage: Stage, call: Call, supervisor: Phone, tmp_path: Path
) -> None:
    protected = LAB.replace('number = "0003*210"\n', 'number = "0003*210"\nprotected = true\n')
    async with beside(stage, tmp_path, LAB) as bridge:
        await bridge.api.put(call.path, whisper())
        await bridge.api.until(call.path, lambda a: "02" in views(a), "the whisper in force")
        await bridge.reads(protected, "is not allowed any more: the extension is protected")
        await stage.no_whisper_leg()
        await bridge.api.until(call.path, lambda a: "02" not in views(a), "the end of the whisper")
        answer = await bridge.api.put(call.path, whisper())
        assert answer.refusal == (400, "pc_phonecallview_invalid")
        assert answer.message == "The extension is protected: nobody listens in on it."
        assert await level(call.callee, supervisor) < tones.SILENT_DB


async def test_a_whisper_ends_when_a_protected_extension_comes_to_the_conference(
    stage: Stage,
    customer: Phone,
    agent: Phone,
    agent_211: Phone,
    supervisor: Phone,
    tmp_path: Path,
) -> None:
    protected = LAB.replace('number = "0003*211"\n', 'number = "0003*211"\nprotected = true\n')
    async with beside(stage, tmp_path, protected) as bridge:
        await customer.dial("660")
        await agent.dial("660")
        try:
            path = "12/0003*210"
            talking = await bridge.api.until(path, _talks, "the agent in the conference")
            call_id = talking.body["entry"][0]["id"]
            view = next(iter(views(talking)))
            asked = whisper(phoneCallViewId=view)
            assert (await bridge.api.put(f"{path}/{call_id}", asked)).status == 202
            await bridge.api.until(path, lambda a: len(views(a)) == 2, "the whisper in force")
            await agent_211.dial("660")
            await stage.no_whisper_leg()
            log = bridge.server.log.read_text()
            assert "is not allowed any more: somebody on the call is protected" in log
            refused = await bridge.api.put(f"{path}/{call_id}", asked)
            assert refused.refusal == (400, "pc_phonecallview_invalid")
        finally:
            for phone in (customer, agent, agent_211):
                await phone.hang_up()


def _talks(answer: object) -> bool:
    return any(view["status"] == "5" for view in views(answer).values())  # type: ignore[arg-type]


async def test_an_app_without_the_action_is_told_so_and_a_removed_one_is_gone(
    stage: Stage, call: Call, tmp_path: Path
) -> None:
    async with beside(stage, tmp_path, LAB) as bridge:
        lab_app = 'client_id = "lab-app"\n'
        app = LAB[LAB.index(lab_app) :]
        only_list = re.sub(r"(?m)^actions = .*$", 'actions = ["list"]', app, count=1)
        await bridge.reads(LAB.replace(app, only_list))
        assert (await bridge.api.get(call.path)).status == 200
        answer = await bridge.api.put(call.path, whisper())
        assert answer.refusal == (403, "access_denied")
        assert answer.headers["WWW-Authenticate"] == 'Bearer error="insufficient_scope"'
        await bridge.reads(LAB.replace(lab_app, 'client_id = "other-app"\n', 1))
        assert (await bridge.api.get(call.path)).refusal == (401, "access_denied")
        assert not await stage.whisper_legs()


async def test_a_rule_of_supervision_is_kept(
    stage: Stage, call: Call, supervisor: Phone, tmp_path: Path
) -> None:
    rule = '\n[[supervision]]\nsupervisors = ["0003*025"]\ntargets = ["user:12"]\n'
    async with beside(stage, tmp_path, LAB + rule) as bridge:
        answer = await bridge.api.put(call.path, whisper())
        assert answer.refusal == (400, "pc_sendcallto_invalid")
        assert not await stage.whisper_legs()
        await bridge.reads(LAB + rule.replace("025", "02X"))
        assert (await bridge.api.put(call.path, whisper())).status == 202
        await bridge.api.until(call.path, lambda a: "02" in views(a), "the whisper in force")
