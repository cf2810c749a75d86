"""That nothing was missed is vouched for while somebody takes part, and only then."""

import asyncio

from bridge.happenings import Vouched
from bridge.vouching import EVERY
from tests.support.happenings import UP, hung_up, listed
from tests.support.pbx import error
from tests.support.scene import Scene, scene
from tests.support.timing import in_virtual_time, settle


async def vouched(now: Scene, seconds: float) -> int:
    """How often it is vouched for in the next seconds."""
    before = _count(now)
    await asyncio.sleep(seconds)
    await settle()
    return _count(now) - before


def _count(now: Scene) -> int:
    return sum(isinstance(happening, Vouched) for happening in now.told)


@in_virtual_time
async def test_it_begins_and_ends_with_the_whisper() -> None:
    async with scene() as now:
        call_id = now.talk()
        assert await vouched(now, 10 * EVERY) == 0
        assert not now.pbx.of("Ping")
        leg = await now.attached(call_id)
        assert await vouched(now, 3 * EVERY + 1) == 3
        now.feed(hung_up(leg))
        await vouched(now, EVERY)
        assert await vouched(now, 10 * EVERY) == 0
        await now.ringing(call_id)
        assert await vouched(now, EVERY + 1) == 1


@in_virtual_time
async def test_it_is_not_vouched_for_what_the_pbx_does_not_answer() -> None:
    async with scene() as now:
        await now.attached(now.talk())
        now.pbx.lose("Ping")
        assert await vouched(now, 3 * EVERY) == 0
        now.pbx.answer("Ping", error("Permission denied"))
        assert await vouched(now, 3 * EVERY) == 0
        del now.pbx.replies["Ping"]
        assert await vouched(now, 3 * EVERY) == 3


@in_virtual_time
async def test_it_is_vouched_for_a_whisper_that_was_taken_on() -> None:
    async with scene() as now, scene() as later:
        leg = await now.attached(now.talk())
        variable = now.pbx.of("Originate")[-1]["Variable"]
        memo = variable.partition("WHISPER_BRIDGE_SESSION=")[2].partition(",")[0]
        spy = listed(leg._replace(state=UP), application="ChanSpy", data="1.2,uqwES")
        later.restored(*now.listing(spy._replace(session=memo)))
        assert await vouched(later, 2 * EVERY + 1) == 2
