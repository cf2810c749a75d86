"""Clients that prefer to wait until the supervisor takes part, or for why he does not."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from bridge.model import Mode
from tests.e2e.client import Answer, action, views

from .cast import PATIENCE, Cast
from .modes import NAMES, hears
from .plain import IN, PLAIN, WHISPER, WHISPERED
from .world import scene

WAIT = "wait=20"


async def _asked(cast: Cast, by: str = "supervisor", **fields: Any) -> Answer:
    return await cast.ask(by, prefer=WAIT, **fields)


def _note(cast: Cast, what: str, answer: Answer) -> None:
    told = f" {answer.code}" if answer.status >= 400 else ""
    cast.note(f"{what}: {answer.status}{told}")


@scene("who waits is answered when the supervisor takes part, and when he does so otherwise")
async def attached(cast: Cast) -> None:
    cast.barged = True
    with cast.asking_the_follower():
        await cast.manual("supervisor")
        await cast.dial("customer", "agent")
        mark = cast.supervisor.events.mark()
        task = asyncio.create_task(_asked(cast))
        await cast.supervisor.incoming(since=mark)
        assert not task.done()
        await cast.pick_up("supervisor")
        answer = await task
        assert (answer.status, list(views(answer))) == (200, ["01", "02"])
        _note(cast, "asked to whisper", answer)
        await cast.hears("whispering", **WHISPERED)
        for mode in (Mode.LISTEN, Mode.BARGE, Mode.PRIVATE):
            answer = await _asked(cast, **action(mode))
            assert answer.status == 200, answer
            _note(cast, f"asked then: {NAMES[mode]}", answer)
            await cast.hears(NAMES[mode], **hears(mode))
        assert len(await cast.legs()) == 1


@scene("who waits is told how the supervisor's phone refuses")
async def refused(cast: Cast) -> None:
    await cast.dial("customer", "agent")
    wanted = {
        486: (409, "pc_sendcallto_busy"),
        603: (409, "pc_sendcallto_declined"),
        480: (409, "pc_sendcallto_no_answer"),
        488: (400, "pc_sendcallto_invalid"),
    }
    try:
        for cast.refusing.code, refusal in wanted.items():
            answer = await _asked(cast, "busy")
            assert answer.refusal == refusal, (cast.refusing.code, answer)
            _note(cast, f"it says {cast.refusing.code}", answer)
    finally:
        cast.refusing.code = 486
    await cast.refusing.stop()
    try:
        answer = await _asked(cast, "busy")
        assert answer.refusal == (400, "pc_sendcallto_invalid")
        assert "not registered" in answer.message
        _note(cast, "it is not registered", answer)
    finally:
        await cast.refusing.start()
    assert not await cast.legs()
    await cast.expect("after", [IN])


@asynccontextmanager
async def _ringing(cast: Cast, code: str) -> AsyncIterator[None]:
    """Somebody waits while the supervisor's phone rings; afterwards he is told this code."""
    mark = cast.supervisor.events.mark()
    task = asyncio.create_task(_asked(cast, waitForPickup=15))
    await cast.supervisor.incoming(since=mark)
    yield
    async with asyncio.timeout(PATIENCE):
        answer = await task
    assert answer.refusal == (409, code)
    await cast.no_legs()


@scene("who waits is told what becomes of the supervisor's phone while it rings")
async def while_it_rings(cast: Cast) -> None:
    await cast.manual("supervisor")
    await cast.dial("customer", "agent")
    answer = await _asked(cast, waitForPickup=1)
    assert answer.refusal == (409, "pc_sendcallto_no_answer")
    async with _ringing(cast, "pc_sendcallto_busy"):
        await cast.supervisor.hang_up()
    async with _ringing(cast, "pc_sendcallto_hung_up"):
        assert (await cast.hang_up("supervisor")).status == 200
    await cast.expect("before", [IN])
    async with _ringing(cast, "pc_phonecallview_gone"):
        await cast.agent.hang_up()
    await cast.expect("after")
    cast.note(
        "nobody picks up: no_answer; rejected: busy; hung up on request: hung_up; the agent hangs"
        " up: gone"
    )


@scene("who waits no longer is answered while the phone rings, and may wait again")
async def no_longer(cast: Cast) -> None:
    await cast.manual("supervisor")
    await cast.dial("customer", "agent")
    answer = await cast.ask(prefer="wait=1")
    assert answer.status == 202
    _note(cast, "after a second", answer)
    task = asyncio.create_task(_asked(cast))
    await asyncio.sleep(0.3)
    assert not task.done()
    await cast.pick_up("supervisor")
    answer = await task
    assert answer.status == 200
    _note(cast, "asked again, and picked up", answer)
    assert len(await cast.legs()) == 1
    await cast.expect("during", [IN, WHISPER])
    await cast.supervisor.hang_up()
    await cast.expect("after", [IN])
    await cast.hears("after", **PLAIN)
