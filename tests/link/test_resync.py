"""After a gap: the link was cut, the bridge was killed, or Asterisk itself was away."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime

import pytest

from bridge.ami import Address
from bridge.directory import Directory
from bridge.lab import packages, tones
from bridge.lab.asterisk import Asterisk, conf_dir
from bridge.lab.phone import Phone
from tests.e2e.client import Answer, Api, views, whisper
from tests.e2e.stage import Call, Stage, a_call, answered

from .beside import Beside, a_bridge, beside
from .proxy import Proxy

pytestmark = pytest.mark.pbx

NAME = "Zoë Müller 名前"
CALLER_ID = f"{NAME} <+3334444>"
RINGS = 3.0
"""Seconds a phone rings, so that its call's begin is not taken for its answer."""


@dataclass(frozen=True)
class Gap:
    """A bridge, and how to take its eyes off the PBX and give them back."""

    api: Api
    begin: Callable[[], Awaitable[object]]
    end: Callable[[], Awaitable[object]]

    async def over(self, path: str) -> Answer:
        """End the gap and return the first answer that is no 503."""
        await self.end()
        return await self.api.until(path, lambda a: a.status != 503, "the picture is back")


@asynccontextmanager
async def _a_cut_link(stage: Stage) -> AsyncIterator[Gap]:
    async def cut() -> None:
        proxy.shut()
        await bridge.api.until("12/0003*210", lambda a: a.status == 503, "503")

    async with Proxy(stage.pbx.ami_port) as proxy, beside(stage, proxy.port) as bridge:
        yield Gap(bridge.api, cut, proxy.open)


@asynccontextmanager
async def _a_killed_bridge(stage: Stage) -> AsyncIterator[Gap]:
    async with await stage.another_server() as server:
        api = Api(stage.http, server.url, stage.token)
        yield Gap(api, server.kill, lambda: server.boot(ready=False))


GAPS = {"the link is cut": _a_cut_link, "the bridge is killed": _a_killed_bridge}


@pytest.fixture(params=GAPS)
async def gap(stage: Stage, request: pytest.FixtureRequest) -> AsyncIterator[Gap]:
    async with GAPS[request.param](stage) as gap:
        yield gap


@pytest.fixture(autouse=True)
async def _clean(request: pytest.FixtureRequest) -> AsyncIterator[None]:
    """Every test leaves the PBX as it was."""
    yield
    if "stage" in request.fixturenames:
        stage: Stage = request.getfixturevalue("stage")
        try:
            await stage.silence()
        except TimeoutError:
            left = await stage.channels()
            await stage.hang_up_all()
            pytest.fail(f"left behind on the PBX: {left}")


@pytest.fixture
async def call(stage: Stage, gap: Gap, customer: Phone, agent: Phone) -> AsyncIterator[Call]:
    """The customer talks to the agent, and the bridge knows it."""
    async with a_call(gap.api, customer, agent) as call:
        yield call


def rung(phone: Phone, mark: int) -> int:
    """How often a phone was called since the mark."""
    calls = {e.call_id for e in phone.events.entries[mark:] if e.direction == "incoming"}
    return len(calls)


async def in_force(api: Api, call: Call, *, view: str = "02") -> Answer:
    """Wait for the whisper that is that view."""
    return await api.until(call.path, lambda a: view in views(a), "the whisper in force")


async def remembered() -> None:
    """Give the bridge the time to write down what happened, and the clock the time to move on."""
    await asyncio.sleep(1.2)


# What goes on through the gap


async def test_a_call_and_its_whisper_are_what_they_were(
    stage: Stage, gap: Gap, call: Call, supervisor: Phone
) -> None:
    mark = supervisor.events.mark()
    asked = whisper(callerId=CALLER_ID, private=1)
    assert (await gap.api.put(call.path, asked)).status == 202
    before = await in_force(gap.api, call)
    legs = await stage.whisper_legs()
    await gap.begin()
    await remembered()
    after = await gap.over(call.path)
    assert after.body == before.body
    assert (await gap.api.put(call.path, asked)).status == 202
    assert await stage.whisper_legs() == legs
    assert rung(supervisor, mark) == 1
    assert (await supervisor.incoming(since=mark)).name == NAME


async def test_the_whisper_still_ends_with_the_supervisor(
    stage: Stage, gap: Gap, call: Call, supervisor: Phone
) -> None:
    await gap.api.put(call.path, whisper())
    await in_force(gap.api, call)
    await gap.begin()
    await gap.over(call.path)
    await supervisor.hang_up()
    await gap.api.until(call.path, lambda a: list(views(a)) == ["01"], "its end")


async def test_views_keep_their_numbers_and_no_number_is_given_again(
    stage: Stage, gap: Gap, call: Call, supervisor: Phone, ringing: Phone
) -> None:
    await gap.api.put(call.path, whisper())
    await in_force(gap.api, call)
    mark = ringing.events.mark()
    await gap.api.put(call.path, whisper(sendCallTo="0003*025"))
    await ringing.incoming(since=mark)
    await ringing.pick_up()
    await in_force(gap.api, call, view="03")
    await supervisor.hang_up()
    before = await gap.api.until(call.path, lambda a: list(views(a)) == ["01", "03"], "its end")
    await remembered()
    await gap.begin()
    after = await gap.over(call.path)
    assert after.body == before.body
    await gap.api.put(call.path, whisper())
    await in_force(gap.api, call, view="04")


async def test_a_phone_that_rings_through_the_gap_whispers_once_it_answers(
    stage: Stage, gap: Gap, call: Call, ringing: Phone
) -> None:
    mark = ringing.events.mark()
    asked = whisper(sendCallTo="0003*025", callerId=CALLER_ID)
    assert (await gap.api.put(call.path, asked)).status == 202
    await ringing.incoming(since=mark)
    await gap.begin()
    await gap.over(call.path)
    assert (await gap.api.put(call.path, asked)).status == 202
    await ringing.pick_up()
    answer = await in_force(gap.api, call)
    assert NAME in str(views(answer)["02"])
    assert rung(ringing, mark) == 1


async def test_a_whisper_whose_phone_answers_in_the_gap_is_in_force_after_it(
    stage: Stage, gap: Gap, call: Call, ringing: Phone
) -> None:
    mark = ringing.events.mark()
    asked = whisper(sendCallTo="0003*025")
    await gap.api.put(call.path, asked)
    await ringing.incoming(since=mark)
    await gap.begin()
    await ringing.pick_up()
    await ringing.established(since=mark)
    after = await gap.over(call.path)
    assert list(views(after)) == ["01", "02"]
    assert (await gap.api.put(call.path, asked)).status == 202
    assert rung(ringing, mark) == 1


# What ends in the gap


async def test_a_whisper_that_ended_in_the_gap_is_gone(
    stage: Stage, gap: Gap, call: Call, supervisor: Phone
) -> None:
    await gap.api.put(call.path, whisper())
    await in_force(gap.api, call)
    await remembered()
    await gap.begin()
    mark = supervisor.events.mark()
    await supervisor.hang_up()
    await stage.no_whisper_leg()
    after = await gap.over(call.path)
    assert list(views(after)) == ["01"]
    assert (await gap.api.put(call.path, whisper())).status == 202
    await supervisor.established(since=mark)
    await in_force(gap.api, call, view="03")


async def test_a_leg_that_rings_is_cancelled_when_its_target_ended_in_the_gap(
    stage: Stage, gap: Gap, call: Call, ringing: Phone
) -> None:
    mark = ringing.events.mark()
    await gap.api.put(call.path, whisper(sendCallTo="0003*025"))
    await ringing.incoming(since=mark)
    await gap.begin()
    await call.caller.hang_up()
    legs = await stage.whisper_legs()
    await stage.silence(but=legs)
    assert legs
    assert (await gap.over(call.path)).status == 204
    await ringing.closed(since=mark, within=1)
    await stage.no_whisper_leg(within=1)


async def test_a_call_that_ended_in_the_gap_is_gone_and_a_new_one_is_there(
    stage: Stage, gap: Gap, customer: Phone, agent: Phone
) -> None:
    old = await answered(gap.api, customer, agent)
    await gap.begin()
    await customer.hang_up()
    await stage.silence()
    mark = agent.events.mark()
    await customer.dial(agent.number)
    await agent.established(since=mark)
    answer = await gap.over("12/0003*210")
    (entry,) = answer.body["entry"]
    assert entry["id"] != old.id
    assert (await gap.api.get(old.path)).status == 204
    await customer.hang_up()


async def test_a_call_that_began_in_the_gap_has_its_own_times(
    stage: Stage, gap: Gap, customer: Phone
) -> None:
    async with stage.phone("0003*211", tones.AGENT_HZ, "manual") as colleague:
        await gap.begin()
        began = time.time()
        await customer.dial(colleague.number)
        await colleague.incoming()
        await asyncio.sleep(RINGS)
        answer = time.time()
        await colleague.pick_up()
        await colleague.established()
        await asyncio.sleep(1.2)
        shown = (await gap.over("12/0003*211")).body["entry"][0]
        assert abs(_epoch(shown["published"]) - began) <= 1
        assert abs(_epoch(shown["answered"]) - answer) <= 1
        assert abs(_epoch(shown["phoneCallView"][0]["answered"]) - answer) <= 1
        await customer.hang_up()


async def test_a_call_that_is_answered_in_the_gap_is_answered_after_it_rang(
    stage: Stage, gap: Gap, customer: Phone
) -> None:
    async with stage.phone("0003*211", tones.AGENT_HZ, "manual") as colleague:
        await customer.dial(colleague.number)
        await gap.api.until("12/0003*211", lambda a: a.status == 200, "the call")
        await colleague.incoming()
        await asyncio.sleep(RINGS)
        await gap.begin()
        answer = time.time()
        await colleague.pick_up()
        await colleague.established()
        await asyncio.sleep(1.2)
        shown = (await gap.over("12/0003*211")).body["entry"][0]
        assert abs(_epoch(shown["answered"]) - answer) <= 1
        assert abs(_epoch(shown["phoneCallView"][0]["answered"]) - answer) <= 1
        await customer.hang_up()


def _epoch(written: str) -> float:
    return datetime.fromisoformat(written).timestamp()


# An Originate whose fate is unknown


@pytest.mark.parametrize("arrives", [True, False])
async def test_a_put_whose_link_went_is_resolved_by_looking_never_by_asking_again(
    stage: Stage, customer: Phone, agent: Phone, supervisor: Phone, arrives: bool
) -> None:
    async with (
        Proxy(stage.pbx.ami_port) as proxy,
        beside(stage, proxy.port) as bridge,
        a_call(bridge.api, customer, agent) as call,
    ):
        mark, seen = supervisor.events.mark(), stage.observer.events.mark()
        proxy.cut_at(b"Action: Originate", arrives=arrives)
        answer = await bridge.api.put(call.path, whisper())
        assert (answer.status, answer.code) == (503, "pbx_unavailable")
        if arrives:
            await supervisor.established(since=mark)
        await proxy.open()
        await bridge.api.until(call.path, lambda a: a.status == 200, "the picture is back")
        assert (await bridge.api.put(call.path, whisper())).status == 202
        await in_force(bridge.api, call)
        assert rung(supervisor, mark) == 1
        assert len(stage.rung(seen)) == 1
        assert len(await stage.whisper_legs()) == 1


async def test_an_unknown_fate_while_the_phone_rings_is_the_same_leg_after_the_gap(
    stage: Stage, customer: Phone, agent: Phone, ringing: Phone
) -> None:
    async with (
        Proxy(stage.pbx.ami_port) as proxy,
        beside(stage, proxy.port) as bridge,
        a_call(bridge.api, customer, agent) as call,
    ):
        mark, asked = ringing.events.mark(), whisper(sendCallTo="0003*025")
        proxy.cut_at(b"Action: Originate", arrives=True)
        assert (await bridge.api.put(call.path, asked)).status == 503
        await ringing.incoming(since=mark)
        legs = await stage.whisper_legs()
        await proxy.open()
        await bridge.api.until(call.path, lambda a: a.status == 200, "the picture is back")
        assert (await bridge.api.put(call.path, asked)).status == 202
        assert await stage.whisper_legs() == legs
        await ringing.pick_up()
        await in_force(bridge.api, call)
        assert rung(ringing, mark) == 1


# Asterisk itself was away


@pytest.fixture(scope="module")
async def lonely(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Asterisk]:
    """An Asterisk without phones, to be ended and started at will."""
    build = await packages.asterisk("22", print)
    starting = Asterisk.start(build, tmp_path_factory.mktemp("lonely"), bridge_secret="a-secret")
    async with await starting as pbx:
        yield pbx


@pytest.fixture
async def bridge(lonely: Asterisk) -> AsyncIterator[Beside]:
    directory = Directory.parse((conf_dir() / "lab" / "directory.toml").read_text())
    address = Address("127.0.0.1", lonely.ami_port, "whisper-bridge", "a-secret")
    async with a_bridge(address, directory) as bridge:
        await bridge.api.until("12/0003*210", lambda a: a.status != 503, "the picture")
        yield bridge


async def a_long_call(pbx: Asterisk, bridge: Beside) -> None:
    """A channel that stays, and that the bridge knows."""
    async with await pbx.observer() as observer:
        where = {"Channel": "Local/600@services/n", "Application": "Echo", "Async_": "true"}
        await observer.action("Originate", **where)
    async with asyncio.timeout(3):
        while not bridge.service.picture.channels:
            await asyncio.sleep(0.01)


async def _ask_to_stop(pbx: Asterisk, how: str) -> None:
    async with await pbx.observer() as observer:
        asking = asyncio.create_task(observer.action("Command", Command=f"core stop {how}"))
        await _gone(pbx)
        asking.cancel()
        await asyncio.wait([asking])


async def _gone(pbx: Asterisk) -> None:
    async with asyncio.timeout(5):
        while pbx.pid:
            await asyncio.sleep(0.01)


async def _stop_now(pbx: Asterisk) -> None:
    await _ask_to_stop(pbx, "now")


async def _stop_gracefully(pbx: Asterisk) -> None:
    async with await pbx.observer() as observer:
        await observer.action("Hangup", Channel="/.*/")
    await _ask_to_stop(pbx, "gracefully")


ENDS: dict[str, Callable[[Asterisk], Awaitable[None]]] = {
    "killed": Asterisk.kill,
    "told to stop": Asterisk.stop,
    "core stop now": _stop_now,
    "core stop gracefully": _stop_gracefully,
}


@pytest.mark.parametrize("end", ENDS)
async def test_an_asterisk_that_comes_back_is_found_within_a_second(
    lonely: Asterisk, bridge: Beside, end: str, caplog: pytest.LogCaptureFixture
) -> None:
    await a_long_call(lonely, bridge)
    await ENDS[end](lonely)
    await bridge.api.until("12/0003*210", lambda a: a.status == 503, "503")
    await asyncio.sleep(1)  # longer than the first pauses
    await lonely.boot()
    back = time.monotonic()
    answer = await bridge.api.until("12/0003*210", lambda a: a.status != 503, "the picture")
    assert time.monotonic() - back < 1
    assert answer.status == 204
    assert bridge.service.picture.channels == {}
    await a_long_call(lonely, bridge)
    async with await lonely.observer() as observer:
        await observer.action("Hangup", Channel="/.*/")
    assert "Traceback" not in caplog.text
