"""Call events of real calls, told to a client's server on a real socket."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from bridge.lab.phone import Phone
from bridge.lab.server import Server
from tests.support.receiver import Receiver, Taken, receiving

from .client import Api
from .stage import AGENT, SECOND_SUPERVISOR, SUPERVISOR, Stage, a_call
from .test_watching import figures

pytestmark = pytest.mark.pbx

DIAL_IN, DIAL_OUT, HANGUP, ANSWERED_IN, ANSWERED_OUT = range(5)


class Client:
    """A client that is told of call events by a bridge with a file of its own."""

    def __init__(self, stage: Stage, server: Server, receiver: Receiver) -> None:
        self.server = server
        self.receiver = receiver
        self.secrets: dict[str, str] = {}
        self._api = Api(stage.http, server.url, stage.token)

    async def wants(self, number: str, kind: int, path: str, method: int = 1) -> None:
        """Ask to be told of a type of event of an extension."""
        url = f"{self.server.url}/uapi/extensions/@owner/{number}/phoneCallEvents"
        body = {"type": kind, "url": self.receiver.url(path), "method": method}
        answer = await self._api.request("POST", url, json=body)
        assert answer.status == 200
        self.secrets[path] = answer.body["secret"]

    def all_are_signed(self) -> bool:
        """Whether whatever came was signed with its own secret."""
        return all(one.is_signed_with(self.secrets[one.path]) for one in self.receiver.taken)


@asynccontextmanager
async def a_client(stage: Stage, path: Path) -> AsyncIterator[Client]:
    """A bridge beside the PBX, and a server that takes its events."""
    starting = stage.another_server(
        BRIDGE_WEBHOOKS_DB=str(path), BRIDGE_WEBHOOKS_ALLOW="127.0.0.0/8"
    )
    async with receiving() as receiver, await starting as server:
        yield Client(stage, server, receiver)
        assert not stage.faults(server.log.read_text())
        assert not [secret for secret in _secrets(server, receiver) if secret in _log(server)]


def _log(server: Server) -> str:
    return server.log.read_text()


def _secrets(server: Server, receiver: Receiver) -> list[str]:
    """What must not stand in the log: where events are told, and with what they are signed."""
    signatures = [one.headers["Webhook-Signature"] for one in receiver.taken]
    return [f":{receiver.port}", "whsec_", *signatures]


async def test_all_five_of_a_call_between_two_extensions(
    stage: Stage, tmp_path: Path, supervisor: Phone, agent: Phone
) -> None:
    async with a_client(stage, tmp_path / "hooks.sqlite") as client:
        for number in (AGENT, SUPERVISOR):
            for kind in range(5):
                await client.wants(number, kind, f"/{number}/{kind}", method=kind % 2)
        await supervisor.dial(AGENT)
        await client.receiver.until(4)
        await supervisor.hang_up()
        taken = await client.receiver.until(6)
        told = {one.path: one.parameters for one in taken}
        assert sorted(told) == [
            f"/{SUPERVISOR}/{DIAL_OUT}",
            f"/{SUPERVISOR}/{HANGUP}",
            f"/{SUPERVISOR}/{ANSWERED_OUT}",
            f"/{AGENT}/{DIAL_IN}",
            f"/{AGENT}/{HANGUP}",
            f"/{AGENT}/{ANSWERED_IN}",
        ]
        assert client.all_are_signed()
        assert len({one["CallID"] for one in told.values()}) == 1
        assert len({one["EventID"] for one in told.values()}) == 6
        for one in told.values():
            assert (one["CallerExtension"], one["CalledExtension"]) == (SUPERVISOR, AGENT)
            assert one["CalledNumber"] == AGENT
        statuses = [told[path]["CallStatus"] for path in sorted(told)]
        assert statuses == ["CALLING", "ANSWER", "ANSWER"] * 2
        assert {path.split("/")[1]: one["CallFlow"] for path, one in told.items()} == {
            SUPERVISOR: "OUT",
            AGENT: "IN",
        }
        measured = await figures(stage.http, client.server)
        assert measured['webhook_deliveries_total{outcome="delivered"}'] == 6


async def test_a_caller_from_outside_who_gives_up(
    stage: Stage, tmp_path: Path, customer: Phone, ringing: Phone
) -> None:
    async with a_client(stage, tmp_path / "hooks.sqlite") as client:
        for kind in range(5):
            await client.wants(SECOND_SUPERVISOR, kind, f"/{kind}")
        await customer.dial(SECOND_SUPERVISOR)
        (begun,) = await client.receiver.until(1)
        await customer.hang_up()
        _, ended = await client.receiver.until(2)
        assert (begun.path, ended.path) == (f"/{DIAL_IN}", f"/{HANGUP}")
        assert begun.parameters["CallerIDNum"] == "3334444"
        assert begun.parameters["CallerIDName"] == "John Doe"
        assert begun.parameters["CallerExtension"] == ""
        assert ended.parameters["CallStatus"] == "UNKNOWN"
        assert ended.parameters["CallID"] == begun.parameters["CallID"]


async def test_what_a_server_that_is_down_missed_comes_once_it_is_up(
    stage: Stage, tmp_path: Path, customer: Phone, agent: Phone
) -> None:
    async with a_client(stage, tmp_path / "hooks.sqlite") as client:
        await client.wants(AGENT, HANGUP, "/hangup")
        await client.receiver.down()
        ids = [await _a_call(stage, customer, agent) for _ in range(2)]
        await asyncio.sleep(1)
        await client.receiver.up()
        taken = await client.receiver.until(2)
        assert [one.parameters["CallID"] for one in taken] == ids
        assert client.all_are_signed()


@pytest.mark.timeout(180)
async def test_a_bridge_that_is_killed_tells_what_is_left_in_order(
    stage: Stage, tmp_path: Path, customer: Phone, agent: Phone
) -> None:
    async with a_client(stage, tmp_path / "hooks.sqlite") as client:
        await client.wants(AGENT, DIAL_IN, "/in")
        await client.wants(AGENT, HANGUP, "/hangup")
        client.receiver.status = 503
        ids = [await _a_call(stage, customer, agent) for _ in range(3)]
        tried = await client.receiver.until(2)
        # The end of the last call is in the file a moment after it is on the PBX.
        await asyncio.sleep(0.5)
        await client.server.kill()
        client.receiver.status = 200
        before = len(client.receiver.taken)
        await client.server.boot()
        taken = (await client.receiver.until(before + 6, within=30))[before:]
        for path in ("/in", "/hangup"):
            of_path = [one.parameters for one in taken if one.path == path]
            assert [one["CallID"] for one in of_path] == ids
            first = next(one.parameters for one in tried if one.path == path)
            assert first["EventID"] == of_path[0]["EventID"]
        assert len({one.parameters["EventID"] for one in taken}) == 6
        assert client.all_are_signed()
        ids.append(await _a_call(stage, customer, agent))
        last = (await client.receiver.until(before + 8))[-2:]
        assert {one.parameters["CallID"] for one in last} == {ids[-1]}


@pytest.mark.timeout(180)
async def test_what_happens_while_the_bridge_is_killed_is_told_once_it_is_back(
    stage: Stage, tmp_path: Path, customer: Phone, agent: Phone, supervisor: Phone, ringing: Phone
) -> None:
    async with a_client(stage, tmp_path / "hooks.sqlite") as client:
        for number in (AGENT, SUPERVISOR, SECOND_SUPERVISOR):
            for kind in range(5):
                await client.wants(number, kind, f"/{number}/{kind}")
        await customer.dial(AGENT)
        await supervisor.dial(SECOND_SUPERVISOR)
        begun = {f"/{AGENT}/{DIAL_IN}", f"/{AGENT}/{ANSWERED_IN}"}
        begun |= {f"/{SUPERVISOR}/{DIAL_OUT}", f"/{SECOND_SUPERVISOR}/{DIAL_IN}"}
        assert _paths(await client.receiver.events(4)) == begun
        await client.server.kill()
        await customer.hang_up()
        await ringing.pick_up()
        await stage.device_state(AGENT, "NOT_INUSE")
        mark = customer.events.mark()
        await customer.dial(AGENT)
        await customer.established(since=mark)
        await client.server.boot()
        meanwhile = (await client.receiver.events(9))[4:]
        connected = {f"/{SUPERVISOR}/{ANSWERED_OUT}", f"/{SECOND_SUPERVISOR}/{ANSWERED_IN}"}
        anew = {f"/{AGENT}/{kind}" for kind in (HANGUP, DIAL_IN, ANSWERED_IN)}
        assert _paths(meanwhile) == connected | anew
        await client.server.kill()
        await client.server.boot()
        await client.server.kill()
        await customer.hang_up()
        await supervisor.hang_up()
        await stage.silence()
        await client.server.boot()
        ended = (await client.receiver.events(12))[9:]
        assert _paths(ended) == {
            f"/{number}/{HANGUP}" for number in (AGENT, SUPERVISOR, SECOND_SUPERVISOR)
        }
        assert {one.parameters["CallStatus"] for one in ended} == {"ANSWER"}
        _every_call_is_told_whole(await client.receiver.events(12))
        assert len({one.parameters["EventID"] for one in client.receiver.taken}) == 12
        assert client.all_are_signed()


def _every_call_is_told_whole(taken: list[Taken]) -> None:
    told: dict[tuple[str, str], list[int]] = {}
    for one in taken:
        _, number, kind = one.path.split("/")
        told.setdefault((number, one.parameters["CallID"]), []).append(int(kind))
    assert sorted(tuple(sorted(kinds)) for kinds in told.values()) == [
        *[(DIAL_IN, HANGUP, ANSWERED_IN)] * 3,
        (DIAL_OUT, HANGUP, ANSWERED_OUT),
    ]


def _paths(taken: list[Taken]) -> set[str]:
    return {one.path for one in taken}


async def _a_call(stage: Stage, customer: Phone, agent: Phone) -> str:
    """The id of a call of the customer's that was answered, and is over."""
    async with a_call(stage.api, customer, agent) as call:
        return call.id
