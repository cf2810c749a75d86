"""Clients that are told: by a stream, at a URL of their own, at a terminal."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager

from bridge.client import Board, Calls, Connection, Token
from bridge.model import Mode
from tests.e2e.client import action
from tests.support.receiver import Receiver, receiving
from tests.support.terminal import Said

from .cast import PATIENCE, Cast
from .plain import IN, WHISPER, WHISPERED
from .told import lines
from .world import scene


class Told:
    """What a stream has told so far: each state of the calls, in a few words."""

    def __init__(self, cast: Cast) -> None:
        self._cast = cast
        self.states: list[list[list[str]]] = []
        self._came = asyncio.Event()

    async def follow(self, calls: Calls) -> None:
        """Take everything in."""
        board = Board()
        async with aclosing(calls.follow()) as news:
            async for each in news:
                board.take(each)
                shown = sorted(
                    lines(call.body(), self._cast.number) for call in board.calls.values()
                )
                if board.complete and [shown] != self.states[-1:]:
                    self.states.append(shown)
                    self._came.set()

    async def until(self, moment: str, *wanted: list[str]) -> None:
        """Wait until the stream has told of exactly these calls, and note it."""
        async with asyncio.timeout(PATIENCE):
            while self.states[-1:] != [list(wanted)]:
                self._came.clear()
                await self._came.wait()
        self._cast.note(f"{moment}: {' / '.join('; '.join(call) for call in wanted) or 'no call'}")


@asynccontextmanager
async def _following(cast: Cast) -> AsyncIterator[Told]:
    settings, told = cast.shell.settings, Told(cast)
    async with Connection.to(settings["WHISPER_URL"], Token(settings["WHISPER_TOKEN"])) as way:
        task = asyncio.create_task(told.follow(Calls(way, "@self", f"{cast.number}1")))
        try:
            await told.until("at first")
            yield told
            assert not task.done(), task
        finally:
            task.cancel()


@scene("a stream tells of a call and of who takes part in it, as it goes")
async def stream(cast: Cast) -> None:
    async with _following(cast) as told:
        await cast.manual("agent")
        await cast.ring("customer", "agent")
        people = "incoming, customer > agent, customer <customer>, ringing"
        await told.until("the phone rings", [f"01 agent ringing, {people}"])
        await cast.pick_up("agent")
        await told.until("answered", [IN])
        await cast.ask()
        await told.until("whispering", [IN, WHISPER])
        await cast.hang_up("supervisor")
        await told.until("the supervisor hung up", [IN])
        await cast.whisper(**action(Mode.LISTEN))
        await told.until("listening", [IN, WHISPER.replace("02 ", "03 ")])
        await cast.customer.hang_up()
        await told.until("the customer hung up")


DIAL_IN, DIAL_OUT, HANGUP, ANSWERED_IN, ANSWERED_OUT = range(5)


@asynccontextmanager
async def _hooked(cast: Cast, receiver: Receiver) -> AsyncIterator[None]:
    """Have the receiver told of every event of the agent's."""
    base = cast.api.base.replace("phoneCalls/", f"extensions/{cast.number}1/{cast.no('agent')}")
    url = f"{base}/phoneCallEvents"
    for kind in range(5):
        body = {"type": kind, "url": receiver.url(f"/{kind}"), "method": 1}
        assert (await cast.api.request("POST", url, json=body)).status == 200
    try:
        yield
    finally:
        assert (await cast.api.request("DELETE", url)).status == 200


@scene("at a client's own URL a call's begin, answer and end are told, and no whisper")
async def hooks(cast: Cast) -> None:
    async with receiving() as receiver, _hooked(cast, receiver):
        await cast.dial("customer", "agent")
        await cast.whisper()
        await cast.hears("during", **WHISPERED)
        await cast.customer.hang_up()
        await receiver.until(3)
        await cast.dial("agent", "customer")
        await cast.agent.hang_up()
        taken = await receiver.until(6)
        await cast.expect("after")
    told = [int(one.path[1:]) for one in taken]
    assert sorted(told[:3]) == sorted((DIAL_IN, ANSWERED_IN, HANGUP)), told
    assert sorted(told[3:]) == sorted((DIAL_OUT, ANSWERED_OUT, HANGUP)), told
    for one in taken[:3]:
        shown = one.parameters
        assert (shown["CallerIDNum"], shown["CallFlow"]) == (cast.no("customer"), "IN")
        assert (shown["CalledExtension"], shown["CallerExtension"]) == (cast.no("agent"), "")
    for one in taken[3:]:
        shown = one.parameters
        assert (shown["CalledNumber"], shown["CallFlow"]) == (cast.no("customer"), "OUT")
        assert shown["CallerExtension"] == cast.no("agent")
    cast.note("the customer's call: dial-in, answered in, hangup")
    cast.note("the agent's call: dial-out, answered out, hangup")


@scene("at a terminal: a whisper, why there is none, and its end by Ctrl-C")
async def terminal(cast: Cast) -> None:
    await cast.dial("customer", "agent")
    call = (await cast.call_of())["id"]
    agent, busy, supervisor = map(cast.no, ("agent", "busy", "supervisor"))
    said = await cast.shell.runs("whisper", agent, "--by", busy)
    assert (said.code, said.out) == (8, f"calling the phone of {busy}, for 25 s at most\n")
    assert said.err.startswith(f"whisper-bridge: the phone of {busy} is busy (pc_sendcallto_busy: ")
    cast.note("a busy phone is told of, with exit code 8")
    async with cast.shell.running("whisper", agent, "--by", supervisor, "--hang-up") as running:
        assert (
            await running.until("whispers to") == f"{supervisor} whispers to {agent} in call {call}"
        )
        await cast.expect("during", [IN, WHISPER])
        await cast.hears("during", **WHISPERED)
        running.sent(signal.SIGINT)
        assert await running.ends() == Said(130, f"{supervisor} is hung up\n", "")
    await cast.no_legs()
    await cast.expect("after Ctrl-C", [IN])
