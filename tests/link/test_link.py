"""The life of the link: found, lost, found again; what was asked meanwhile, and what is logged."""

import asyncio
import gc
import logging
import time
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any

import pytest

from bridge import actions
from bridge.actions import Action
from bridge.ami import Link
from bridge.errors import LinkLost, PbxUnavailable
from bridge.events import Listed, Seen, ShutDown
from bridge.lab.ports import free_tcp
from bridge.service import Rules, Service
from tests.support.directory import AGENT, DIRECTORY

from .ear import PATIENCE, Ear, Lost, Restored, address, linked, running
from .fake_pbx import SECRET, AmiServer, Asked, channel, event, hangup, new_channel, unanswered

ASKED = ("Originate", "Setvar", "Hangup", "Status")


def all_kinds() -> list[Action]:
    """One action of every kind, a list among them."""
    return [
        Action({"Action": "Originate", "Channel": "PJSIP/0003*024", "Async": "true"}),
        actions.remember("1.1", "e30"),
        actions.hang_up("1.1"),
        actions.list_channels(),
    ]


def errors(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What was complained of."""
    return [r.getMessage() for r in caplog.records if r.levelno >= logging.ERROR]


async def outcomes(sending: Sequence[asyncio.Task[Any]]) -> list[type]:
    """How sending ended, by the type of the result; it is over soon."""
    async with asyncio.timeout(PATIENCE):
        ended = await asyncio.gather(*sending, return_exceptions=True)
    return [type(end) for end in ended]


async def unanswered_actions(server: AmiServer, link: Link) -> list[asyncio.Task[Any]]:
    """Send one action of every kind to a server that has them all and answers none."""
    before = dict(server.replies)
    server.replies |= dict.fromkeys(ASKED, unanswered)
    mark = server.mark()
    sending = [asyncio.create_task(link.send(action)) for action in all_kinds()]
    for name in ASKED:
        await server.gets(name, since=mark)
    server.replies = before
    return sending


def pending() -> int:
    """How many actions wait for an answer, anywhere."""
    gc.collect()
    return sum(type(thing).__name__ == "_Pending" for thing in gc.get_objects())


# Sent once


@pytest.mark.parametrize("how", ["cut", "close", "restart", "silence"])
async def test_an_action_is_never_sent_again(server: AmiServer, how: str) -> None:
    async with linked(server, silence=0.4) as (link, ear):
        sending = await unanswered_actions(server, link)
        mark = ear.mark()
        if how == "restart":
            await server.stop()
            await server.start()
        elif how == "silence":
            server.silent = True
            await ear.hears(Lost, since=mark)
            server.silent = False
        else:
            getattr(server.line, how)()
        assert await outcomes(sending) == [LinkLost] * 4
        await ear.hears(Restored, since=mark)
        assert (await link.send(actions.ping())).success
    assert len(server.lines) >= 2
    assert [server.count(name) for name in ("Originate", "Setvar", "Hangup")] == [1, 1, 1]
    sent = [asked.id for asked in server.asked.entries]
    assert len(sent) == len(set(sent))


async def test_not_even_after_many_losses(server: AmiServer) -> None:
    async with linked(server) as (link, ear):
        for round_ in range(10):
            sending = await unanswered_actions(server, link)
            mark = ear.mark()
            server.line.cut()
            assert await outcomes(sending) == [LinkLost] * 4
            await ear.hears(Restored, since=mark)
            assert server.count("Originate") == round_ + 1
    assert server.received.count(b"Action: Originate") == 10


async def test_an_unanswered_originate_is_not_sent_again_after_its_timeout(
    server: AmiServer,
) -> None:
    server.replies["Originate"] = unanswered
    async with linked(server, action_timeout=0.1) as (link, ear):
        with pytest.raises(PbxUnavailable) as caught:
            await link.send(all_kinds()[0])
        assert not isinstance(caught.value, LinkLost)
        server.line.cut()
        await ear.hears(Restored, since=ear.mark())
    assert server.count("Originate") == 1


# Every action ends


@pytest.mark.parametrize("how", ["cut", "close"])
async def test_what_waits_for_an_answer_fails_when_the_link_goes(
    server: AmiServer, how: str
) -> None:
    async with linked(server, action_timeout=60, silence=60) as (link, _):
        sending = [task for _ in range(25) for task in await unanswered_actions(server, link)]
        getattr(server.line, how)()
        assert await outcomes(sending) == [LinkLost] * 100


async def test_an_action_that_is_not_answered_fails_and_leaves_nothing_behind(
    server: AmiServer,
) -> None:
    before = pending()
    async with linked(server, action_timeout=0.2) as (link, ear):
        sending = await unanswered_actions(server, link)
        assert pending() - before == 4
        assert await outcomes(sending) == [PbxUnavailable] * 4
        assert pending() == before
        for asked in server.asked.entries:
            server.line.say(asked.succeeds("late") * 2)
        assert (await link.send(actions.ping())).message == "fine"
        assert ear.count(Lost) == 0


async def test_an_action_that_nobody_waits_for_any_more_leaves_nothing_behind(
    server: AmiServer,
) -> None:
    before = pending()
    async with linked(server) as (link, _):
        for sending in await unanswered_actions(server, link):
            sending.cancel()
            await asyncio.wait([sending])
        assert pending() == before
        assert (await link.send(actions.ping())).success


async def test_sending_while_the_link_is_down_fails_at_once(server: AmiServer) -> None:
    async with linked(server) as (link, ear):
        await server.stop()
        await ear.hears(Lost)
        with pytest.raises(LinkLost):
            await link.send(actions.ping())
        mark = ear.mark()
        await server.start()
        await ear.hears(Restored, since=mark)
        assert (await link.send(actions.ping())).success
    with pytest.raises(LinkLost):
        await link.send(actions.ping())


async def test_whoever_asks_again_at_once_is_told_at_once(server: AmiServer) -> None:
    async def insist() -> None:
        with pytest.raises(LinkLost):
            await link.send(actions.ping())
        await link.send(actions.ping())

    server.replies["Ping"] = unanswered
    async with linked(server, action_timeout=60, silence=60) as (link, _):
        insisting = asyncio.create_task(insist())
        await server.gets("Ping")
        server.line.cut()
        assert await outcomes([insisting]) == [LinkLost]
    assert server.count("Ping") == 1


async def test_answers_find_who_asked_in_any_order(server: AmiServer) -> None:
    server.replies["Getvar"] = unanswered
    async with linked(server) as (link, _):
        mark = server.mark()
        sending = [asyncio.create_task(link.send(actions.device_state(f"A/{n}"))) for n in range(9)]
        await server.asked.wait(
            lambda a: a.headers.get("Variable") == "DEVICE_STATE(A/8)", "all", within=PATIENCE
        )
        for asked in reversed(server.asked.entries[mark:]):
            server.line.say(asked.succeeds(asked.headers["Variable"]))
        answers = await asyncio.gather(*sending)
    assert [answer.message for answer in answers] == [f"DEVICE_STATE(A/{n})" for n in range(9)]


# Silence

SILENCE = 0.4


async def test_a_half_open_link_is_noticed(server: AmiServer) -> None:
    async with linked(server, silence=SILENCE) as (_, ear):
        server.line.say(new_channel("1.1"))
        await ear.hears_of("1.1")
        server.silent = True
        began = time.monotonic()
        lost = await ear.hears(Lost)
        took = time.monotonic() - began
        assert took < SILENCE * 1.5
        assert isinstance(lost, Lost)
        assert lost.quiet == pytest.approx(took, abs=0.1)
        await server.line.over.wait()


async def test_a_pbx_that_has_nothing_to_say_is_asked_and_kept(server: AmiServer) -> None:
    async with linked(server, silence=SILENCE) as (_, ear):
        for _ in range(4):
            await server.gets("Ping", since=server.mark())
        assert ear.count(Lost) == 0
    assert len(server.lines) == 1


async def test_a_pbx_that_talks_need_not_be_asked(server: AmiServer) -> None:
    async with linked(server, silence=SILENCE) as (_, ear):
        until = time.monotonic() + SILENCE * 3
        while time.monotonic() < until:
            server.line.say(event("VarSet", Variable="A", Value="B"))
            await asyncio.sleep(SILENCE / 20)
        assert ear.count(Lost) == 0
    assert server.count("Ping") == 0


async def test_being_busy_oneself_is_not_taken_for_silence(server: AmiServer) -> None:
    def reply(asked: Asked) -> bytes:
        asked.line.say(asked.succeeds("Pong"))
        # The answer waits to be read while the loop stands still for longer than it may take.
        time.sleep(SILENCE / 2)
        return b""

    server.replies["Ping"] = reply
    async with linked(server, silence=SILENCE) as (_, ear):
        for _ in range(3):
            await server.gets("Ping", since=server.mark())
        assert ear.count(Lost) == 0
    assert len(server.lines) == 1


async def test_a_pbx_that_never_says_a_word_is_noticed(
    server: AmiServer, caplog: pytest.LogCaptureFixture
) -> None:
    server.silent = True
    link, ear = Link(address(server), action_timeout=0.2), Ear()
    async with running(link, ear):
        await server.gets("Login")
        await server.gets("Login", since=server.mark())
        server.silent = False
        await ear.hears(Restored)
    (said,) = errors(caplog)
    assert f"127.0.0.1:{server.port}: no answer in time" in said


async def test_a_pbx_that_falls_silent_while_it_is_asked_for_the_picture_is_noticed(
    server: AmiServer,
) -> None:
    answer, server.replies["Status"] = server.replies["Status"], unanswered
    link, ear = Link(address(server), action_timeout=0.2), Ear()
    async with running(link, ear):
        await server.gets("Status")
        await server.gets("Status", since=server.mark())
        assert ear.count(Restored) == 0
        server.replies["Status"] = answer
        await ear.hears(Restored)


async def test_a_connection_that_ends_as_it_begins_is_noticed_at_once() -> None:
    began: list[float] = []

    async def slam(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        began.append(time.monotonic())
        writer.transport.abort()

    async with await asyncio.start_server(slam, "127.0.0.1", 0) as door:
        port = door.sockets[0].getsockname()[1]
        link = Link(address(_at(port)), action_timeout=60, silence=60)
        async with running(link, Ear()), asyncio.timeout(PATIENCE):
            while len(began) < 4:
                await asyncio.sleep(0.01)


def _at(port: int) -> AmiServer:
    server = AmiServer()
    server.port = port
    return server


# Refused


async def test_wrong_credentials_are_said_plainly_and_tried_again_with_growing_pauses(
    server: AmiServer, caplog: pytest.LogCaptureFixture
) -> None:
    server.secret = "another"
    link, ear = Link(address(server)), Ear()
    async with running(link, ear):
        for _ in range(4):
            last = await server.gets("Login", since=server.mark())
        (said,) = errors(caplog)
        assert "refuses the AMI login of whisper-bridge: Authentication failed" in said
        assert "BRIDGE_AMI_SECRET" in said
        assert ear.heard.entries == []
        server.secret = SECRET
        await ear.hears(Restored)
    tries = [asked.at for asked in server.asked.entries if asked.at <= last.at]
    gaps = [after - before for before, after in pairwise(tries)]
    assert all(gap >= least for gap, least in zip(gaps, (0.05, 0.1, 0.2), strict=True)), gaps


async def test_links_do_not_come_back_all_at_once(server: AmiServer) -> None:
    server.secret = "another"
    links = [Link(address(server)) for _ in range(8)]
    tasks = [asyncio.create_task(link.run(Ear())) for link in links]
    async with asyncio.timeout(PATIENCE):
        while server.count("Login") < 16:
            await server.gets("Login", since=server.mark())
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    times = [asked.at for asked in server.asked.entries]
    assert max(times[8:16]) - min(times[8:16]) > max(times[:8]) - min(times[:8]) + 0.005


async def test_when_nobody_listens_it_says_so_once_and_finds_the_pbx_once_it_is_back(
    server: AmiServer, caplog: pytest.LogCaptureFixture
) -> None:
    await server.stop()
    link, ear = Link(address(server)), Ear()
    async with running(link, ear):
        await asyncio.sleep(1.2)  # longer than the first four pauses
        (said,) = errors(caplog)
        assert f"127.0.0.1:{server.port}" in said
        assert "refused" in said.lower() or "connect" in said.lower()
        await server.start()
        await ear.hears(Restored, within=1)
        await server.stop()
        await ear.hears(Lost)
        async with asyncio.timeout(PATIENCE):
            while len(errors(caplog)) < 2:
                await asyncio.sleep(0.01)


async def test_a_host_that_is_not_there_is_complained_of(
    caplog: pytest.LogCaptureFixture,
) -> None:
    link = Link(address(_at(free_tcp())))
    async with running(link, Ear()), asyncio.timeout(PATIENCE):
        while not errors(caplog):
            await asyncio.sleep(0.01)
    assert len(errors(caplog)) == 1


@pytest.mark.parametrize("refused", ["Status", "BridgeList"])
async def test_missing_privileges_are_named(
    server: AmiServer, caplog: pytest.LogCaptureFixture, refused: str
) -> None:
    answer = server.replies[refused]
    server.replies[refused] = lambda asked: asked.fails("Permission denied")
    link, ear = Link(address(server)), Ear()
    async with running(link, ear):
        for _ in range(3):
            await server.gets(refused, since=server.mark())
        (said,) = errors(caplog)
        assert f"{refused}: Permission denied" in said
        assert "read=call" in said
        assert "write=originate,call,reporting" in said
        assert ear.count(Restored) == 0
        server.replies[refused] = answer
        await ear.hears(Restored)


# Back again


async def test_a_pbx_that_was_long_away_is_found_within_a_second(server: AmiServer) -> None:
    async with linked(server) as (_, ear):
        await server.stop()
        await asyncio.sleep(2.5)  # the pauses have become as long as they get
        mark = ear.mark()
        await server.start()
        await ear.hears(Restored, since=mark, within=1)


async def test_an_announced_end_is_understood(
    server: AmiServer, caplog: pytest.LogCaptureFixture
) -> None:
    async with linked(server) as (_, ear):
        mark = ear.mark()
        server.line.say(event("Shutdown", Shutdown="Cleanly", Restart="False"))
        await ear.hears(ShutDown, since=mark)
        assert "the PBX shuts down" in caplog.text
        await server.stop()
        await server.start()
        await ear.hears(Lost, since=mark)
        await ear.hears(Restored, since=mark)


async def test_the_log_tells_when_the_link_is_up(
    server: AmiServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with linked(server) as (_, ear):
        await server.gets("BridgeList")
        server.line.cut()
        await ear.hears(Restored, since=ear.mark())
        assert (await _pinged(server, ear)) > 0
    assert caplog.text.count(f"linked to the PBX at 127.0.0.1:{server.port}") == 2


async def _pinged(server: AmiServer, ear: Ear) -> int:
    server.line.say(new_channel("1.1"))
    await ear.hears_of("1.1")
    return len(ear.events)


# The picture


async def test_what_happens_while_the_picture_is_fetched_follows_it(server: AmiServer) -> None:
    server.replies |= dict.fromkeys(("Status", "BridgeList"), unanswered)
    link, ear = Link(address(server)), Ear()
    async with running(link, ear):
        status = await server.gets("Status")
        server.line.say(new_channel("1.1") + b"".join(_status(status, "1.0")) + new_channel("1.2"))
        bridges = await server.gets("BridgeList")
        rows = [{"BridgeUniqueid": "p", "BridgeTechnology": "holding_bridge"}]
        listed = bridges.lists("BridgeListItem", "BridgeListComplete", rows)
        server.line.say(hangup("1.1") + listed[0] + new_channel("1.3") + b"".join(listed[1:]))
        server.line.say(hangup("1.3") + new_channel("1.4"))
        await ear.hears_of("1.4")
    restored, *then = ear.heard.entries[:-1]
    assert isinstance(restored, Restored)
    assert [item.channel.uniqueid for item in restored.listing] == ["1.0"]
    assert restored.holding == ("p",)
    told = [(type(event).__name__, event.channel.uniqueid) for event in then]  # type: ignore[union-attr]
    assert told == [
        ("Seen", "1.1"),
        ("Seen", "1.2"),
        ("HungUp", "1.1"),
        ("Seen", "1.3"),
        ("HungUp", "1.3"),
        ("Seen", "1.4"),
    ]


def _status(asked: Asked, *uniqueids: str) -> list[bytes]:
    return asked.lists("Status", "StatusComplete", [channel(uniqueid) for uniqueid in uniqueids])


async def test_no_answer_is_given_until_the_picture_is_complete(server: AmiServer) -> None:
    server.channels = [channel("1.1")]
    replies = dict(server.replies)
    server.replies |= dict.fromkeys(("Status", "BridgeList"), unanswered)
    link = Link(address(server))
    service = Service(DIRECTORY, link, Rules("lab"))
    async with running(link, service):
        for name in ("Status", "BridgeList"):
            asked = await server.gets(name)
            with pytest.raises(PbxUnavailable):
                service.list_calls([AGENT])
            server.line.say(replies[name](asked))
        await _until(lambda: service.complete)
        (call,) = service.list_calls([AGENT])
        server.line.cut()
        await _until(lambda: not service.complete)
        with pytest.raises(PbxUnavailable):
            service.find_call([AGENT], call.id)
        await service.close()


async def test_a_link_that_goes_while_the_picture_is_fetched_starts_again(
    server: AmiServer,
) -> None:
    answer, server.replies["BridgeList"] = server.replies["BridgeList"], unanswered
    link, ear = Link(address(server)), Ear()
    async with running(link, ear):
        first = await server.gets("BridgeList")
        server.line.say(new_channel("stale"))
        server.replies["BridgeList"] = answer
        first.line.cut()
        restored = await ear.hears(Restored)
        assert isinstance(restored, Restored)
        assert restored.listing == ()
        assert await _pinged(server, ear) == 1
    assert server.count("Status") == 2


class Clumsy(Ear):
    """A listener that fails to take in its first picture."""

    def on_restored(
        self, listing: Sequence[Listed], holding: Sequence[str], version: str = ""
    ) -> None:
        super().on_restored(listing, holding, version)
        if self.count(Restored) == 1:
            raise RuntimeError("cannot take it in")


async def test_a_picture_that_cannot_be_taken_in_is_fetched_again(
    server: AmiServer, caplog: pytest.LogCaptureFixture
) -> None:
    link, ear = Link(address(server)), Clumsy()
    async with running(link, ear):
        await ear.hears(Restored)
        await ear.hears(Restored, since=ear.mark())
        assert await _pinged(server, ear) == 1
    assert "cannot take it in" in caplog.text


async def test_a_row_that_is_no_channel_is_left_out(server: AmiServer) -> None:
    server.channels = [{"Uniqueid": "1.0"}, {"Channel": "PJSIP/a-1"}, channel("1.1")]
    server.bridges = [{"BridgeTechnology": "holding_bridge"}]
    async with linked(server) as (_, ear):
        (restored,) = (item for item in ear.heard.entries if isinstance(item, Restored))
    assert [item.channel.uniqueid for item in restored.listing] == ["1.1"]


# The end


@asynccontextmanager
async def ended(
    server: AmiServer, link: Link, reached: Coroutine[Any, Any, object]
) -> AsyncIterator[None]:
    """Run a link until a moment, then end it; everything it did is over with it."""
    loop = asyncio.get_running_loop()
    tasks, timers = asyncio.all_tasks(), _timers(loop)
    task = asyncio.create_task(link.run(Ear()))
    async with asyncio.timeout(PATIENCE):
        await reached
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    for line in server.lines:
        async with asyncio.timeout(PATIENCE):
            await line.over.wait()
    lines = len(server.lines)
    await asyncio.sleep(0)
    assert _timers(loop) <= timers
    assert asyncio.all_tasks() <= tasks | server.serving
    yield
    assert len(server.lines) == lines


def _timers(loop: asyncio.AbstractEventLoop) -> set[asyncio.TimerHandle]:
    scheduled: list[asyncio.TimerHandle] = getattr(loop, "_scheduled")  # noqa: B009
    return {timer for timer in scheduled if not timer.cancelled()}


@pytest.mark.parametrize("moment", ["Login", "Status", "BridgeList", "Ping"])
async def test_once_cancelled_it_is_over(server: AmiServer, moment: str) -> None:
    server.replies[moment] = unanswered
    link = Link(address(server), silence=0.2)
    async with ended(server, link, server.gets(moment)):
        await asyncio.sleep(0.2)  # twice the first pause


async def test_once_cancelled_between_two_attempts_it_is_over(server: AmiServer) -> None:
    async def refused() -> None:
        for _ in range(2):
            asked = await server.gets("Login", since=server.mark())
            await asked.line.over.wait()

    server.secret = "another"
    async with ended(server, Link(address(server)), refused()):
        await asyncio.sleep(0.5)  # the longest the next pause would have been
    await server.stop()


async def test_once_cancelled_what_waits_fails(server: AmiServer) -> None:
    link, ear = Link(address(server)), Ear()
    async with running(link, ear):
        await ear.hears(Restored)
        sending = await unanswered_actions(server, link)
    assert await outcomes(sending) == [LinkLost] * 4
    assert ear.count(Lost) == 1


# The log


async def test_the_secret_and_the_callers_are_in_no_log(
    server: AmiServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    server.secret = "another"
    link, ear = Link(address(server), silence=SILENCE), Ear()
    async with running(link, ear):
        await server.gets("Login", since=server.mark())
        server.secret = SECRET
        await ear.hears(Restored)
        await unanswered_actions(server, link)
        server.line.say(new_channel("1.1", CallerIDNum="3334444", CallerIDName="John Doe"))
        await ear.hears(Seen)
        server.line.cut()
        await ear.hears(Restored, since=ear.mark())
        await server.gets("Ping")
    assert SECRET.encode() in server.received
    assert "linked" in caplog.text
    for hidden in (SECRET, "3334444", "John Doe"):
        assert hidden not in caplog.text
    assert SECRET not in repr(address(server))


async def _until(true: Any) -> None:
    async with asyncio.timeout(PATIENCE):
        while not true():
            await asyncio.sleep(0)
