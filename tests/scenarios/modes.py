"""Listening, whispering, barging in, and changing one's mind while it lasts."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from itertools import pairwise

from bridge.model import Mode
from tests.e2e.client import action
from tests.support.modes import HEARS
from tests.support.windows import through

from .cast import Cast
from .plain import IN, PLAIN, WHISPER
from .world import scene

LISTEN, SPEAK, PRIVATE, BARGE = Mode
NAMES = {LISTEN: "listening", SPEAK: "whispering", PRIVATE: "in private", BARGE: "barging in"}
PARTIES = ("agent", "customer", "supervisor")


def hears(mode: Mode) -> dict[str, str]:
    """Who hears whom in a mode, as a cast takes it."""
    return {who: " ".join(sorted(whom)) for who, whom in HEARS[mode].items()}


def _takes_part(mode: Mode) -> None:
    @scene(f"the supervisor takes part: {NAMES[mode]}")
    async def play(cast: Cast) -> None:
        cast.barged = mode is BARGE
        await cast.dial("customer", "agent")
        await cast.whisper(**action(mode))
        await cast.expect("during", [IN, WHISPER])
        await cast.hears("during", **hears(mode))
        await cast.supervisor.hang_up()
        await cast.expect("after", [IN])
        await cast.hears("after", **PLAIN)


for _mode in (LISTEN, BARGE):
    _takes_part(_mode)


async def _change(cast: Cast, before: Mode, after: Mode, do: Callable[[], Awaitable[None]]) -> None:
    """Do what changes one mode into another, and look at what all three hear meanwhile."""
    async with through({role: cast.phones[role] for role in PARTIES}) as change:
        await do()
    wrong = change.between(HEARS[before], HEARS[after])
    assert not wrong, f"{NAMES[before]} to {NAMES[after]}: {'; '.join(wrong)}"
    await cast.hears(f"from {NAMES[before]} to {NAMES[after]}", **hears(after))


async def _changes(cast: Cast, modes: Iterable[Mode]) -> None:
    first, *_ = path = list(modes)
    await cast.dial("customer", "agent")
    await cast.whisper(**action(first))
    await cast.expect("before", [IN, WHISPER])
    await cast.hears("before", **hears(first))
    legs = [leg["Uniqueid"] for leg in await cast.legs()]
    mark = cast.supervisor.events.mark()
    for before, after in pairwise(path):

        async def ask(mode: Mode = after) -> None:
            answer = await cast.ask(**action(mode))
            assert answer.status == 202, answer

        await _change(cast, before, after, ask)
    await cast.expect("after", [IN, WHISPER])
    assert [leg["Uniqueid"] for leg in await cast.legs()] == legs
    called = {event.type for event in cast.supervisor.events.entries[mark:]}
    assert not called & {"CALL_INCOMING", "CALL_ESTABLISHED", "CALL_CLOSED"}
    cast.note("no change interrupts a sound that goes on for 200 ms; the phone is not called again")


@scene("changing one's mind: between listening, whispering and whispering in private")
async def without_keys(cast: Cast) -> None:
    await _changes(cast, (LISTEN, SPEAK, PRIVATE, LISTEN, PRIVATE, SPEAK, LISTEN))


@scene("changing one's mind where keys are followed: between all four")
async def with_keys(cast: Cast) -> None:
    cast.barged = True
    path = (LISTEN, SPEAK, LISTEN, PRIVATE, LISTEN, BARGE, SPEAK, PRIVATE, SPEAK, BARGE, PRIVATE)
    with cast.asking_the_follower():
        await _changes(cast, (*path, BARGE, LISTEN))


@scene("changing one's mind where keys are not followed: no barging in")
async def no_barging(cast: Cast) -> None:
    await cast.dial("customer", "agent")
    await cast.whisper()
    for mode, status in ((BARGE, 409), (LISTEN, 202), (BARGE, 409), (SPEAK, 202)):
        answer = await cast.ask(**action(mode))
        assert answer.status == status, answer
        code = f" {answer.code}" if status == 409 else ""
        cast.note(f"{NAMES[mode]}: {status}{code}")
    await cast.expect("it goes on", [IN, WHISPER])
    await cast.hears("it goes on", **hears(SPEAK))


@scene("the supervisor's own keys, where they are followed")
async def own_keys(cast: Cast) -> None:
    cast.barged = True
    with cast.asking_the_follower():
        await cast.dial("customer", "agent")
        await cast.whisper(**action(PRIVATE))
        await cast.hears("before", **hears(PRIVATE))
        keys = {BARGE: "6", SPEAK: "5", LISTEN: "4"}
        for before, after in pairwise((PRIVATE, BARGE, SPEAK, BARGE, LISTEN)):

            async def press(key: str = keys[after]) -> None:
                already = cast.logged().count("by a key")
                await cast.supervisor.press(key)
                async with asyncio.timeout(3):
                    while cast.logged().count("by a key") == already:
                        await asyncio.sleep(0.005)

            await _change(cast, before, after, press)
        answer = await cast.ask(**action(SPEAK))
        assert answer.status == 202
        await cast.hears("asked to whisper then", **hears(SPEAK))
        await cast.supervisor.press("*")
        await cast.expect("the key * ends it", [IN])


@scene("another mind while the phone rings: it counts when it is answered")
async def while_it_rings(cast: Cast) -> None:
    with cast.asking_the_follower():
        await cast.manual("supervisor")
        await cast.dial("customer", "agent")
        mark = cast.supervisor.events.mark()
        for mode in (BARGE, LISTEN, SPEAK):
            answer = await cast.ask(**action(mode))
            assert answer.status == 202, answer
        await cast.supervisor.incoming(since=mark)
        await cast.pick_up("supervisor")
        await cast.expect("answered", [IN, WHISPER])
        await cast.hears("answered", **hears(SPEAK))
        await cast.never_heard("customer", "supervisor")
        cast.note(
            "asked to barge in, then to listen, then to whisper: the customer never heard him"
        )
