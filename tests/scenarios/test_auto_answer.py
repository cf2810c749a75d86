"""A phone that picks up when its INVITE asks for it, and for no other reason; what INVITEs ask."""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeAlias

import pytest

from bridge.directory.auto_answer import PROFILES, auto_answer
from bridge.lab.phone import Phone
from tests.support.guides import ASTERISK
from tests.support.reloading import read_anew

from .cast import Cast, playing
from .pbx import AUTO_ANSWER, CASTS, KINDS, Kind, directory
from .world import a_world

pytestmark = [pytest.mark.pbx, pytest.mark.timeout(600)]

HEEDED = ("standard", "snom", "grandstream")
"""Makes whose header this phone heeds (baresip 1.1.0: RFC 5373, ``answer-after`` as parameter of a
Call-Info or Alert-Info, and there ``info=alert-autoanswer``)."""

UNHEEDED = ("yealink", "polycom")
"""And those whose header says nothing to it; the other makes' headers are one of all these."""

ASKING = ("alert-info:", "call-info:", "answer-mode:", "x-auto-answer:")
LONG = 1.5
"""Seconds in which a phone that is asked to has picked up many times over."""

ANY = "X-Auto-Answer: <sip:a-b@c.d:5060/e_f?g=%20&h=i+j>;*=~!;k = 0"
"""Whatever may stand in a header of one's own beside letters and digits."""

Asked: TypeAlias = Callable[[str], Awaitable[list[str]]]


@pytest.fixture(scope="module", params=KINDS, ids=str)
async def people(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[tuple[Cast, Asked]]:
    """A cast in whose world deputy and colleague heed a header, and how the deputy is asked."""
    kind: Kind = request.param
    run_dir = tmp_path_factory.mktemp(f"a{kind}")
    async with a_world(kind, run_dir, CASTS[:1], heeding=("deputy", "colleague")) as world:

        async def asked(written: str) -> list[str]:
            """Have the directory say it of the deputy, or nothing; gives the lines it makes."""
            line = f'auto_answer = "{written}"\n' if written else ""
            text = directory(kind).replace(AUTO_ANSWER, line)
            await read_anew(world.server, run_dir / "directory.toml", text)
            header = auto_answer(written) if written else None
            return [f"{header.name}: {header.value}"] if header else []

        yield world.casts[0], asked


def test_every_header_of_a_make_is_played() -> None:
    assert {PROFILES[make] for make in HEEDED + UNHEEDED} == set(PROFILES.values())


def test_the_guide_says_which_makes_it_does_not_heed() -> None:
    (named,) = re.findall(r"every row but (.*?)\.", ASTERISK.text, re.DOTALL)
    unheeded = {PROFILES[make] for make in UNHEEDED}
    assert re.findall(r"`(.+?)`", named) == [m for m, sent in PROFILES.items() if sent in unheeded]


@pytest.mark.parametrize(
    "written",
    [*HEEDED, "Call-Info: <sip:x>;answer-after=1", "Priv-Answer-Mode: Auto"],
)
async def test_it_picks_up_by_itself_and_the_whisper_is_heard(
    people: tuple[Cast, Asked], written: str
) -> None:
    cast, asked = people
    header = await asked(written)
    async with playing(cast):
        began = {role: phone.events.mark() for role, phone in cast.phones.items()}
        await cast.dial("customer", "agent")
        await cast.whisper("deputy")
        assert await said(cast.deputy, began["deputy"]) == header
        assert await said(cast.agent, began["agent"]) == []
        await cast.hears(
            "a whisper", deputy="agent customer", agent="customer deputy", customer="agent"
        )


@pytest.mark.parametrize("written", ["", *UNHEEDED, pytest.param(ANY, id="any-character")])
async def test_it_rings_unless_it_is_asked_its_way(
    people: tuple[Cast, Asked], written: str
) -> None:
    cast, asked = people
    header = await asked(written)
    async with playing(cast):
        await cast.dial("customer", "agent")
        mark = cast.deputy.events.mark()
        assert (await cast.ask("deputy")).status == 202
        assert await said(cast.deputy, mark) == header
        await rings_on(cast, "deputy", mark)
        await cast.pick_up("deputy")
        await cast.hears("picked up by hand", deputy="agent customer", agent="customer deputy")


@pytest.mark.parametrize("caller", ["agent", "customer"])
async def test_a_call_to_the_same_phone_rings(people: tuple[Cast, Asked], caller: str) -> None:
    cast, asked = people
    await asked("snom")
    async with playing(cast):
        mark = cast.deputy.events.mark()
        await cast.ring(caller, "deputy")
        assert await said(cast.deputy, mark) == []
        await rings_on(cast, "deputy", mark)


async def test_whom_the_agent_transfers_the_caller_to_is_not_asked(
    people: tuple[Cast, Asked],
) -> None:
    cast, asked = people
    await asked("snom")
    async with playing(cast):
        await cast.dial("customer", "agent")
        await cast.whisper("deputy")
        mark = cast.colleague.events.mark()
        await cast.agent.transfer(cast.no("colleague"))
        assert await said(cast.colleague, mark) == []
        await rings_on(cast, "colleague", mark)


async def said(phone: Phone, mark: int) -> list[str]:
    """What the INVITE of a phone's next call says of answering."""
    call = await phone.incoming(since=mark)
    lines = phone.invite(call.call_id).splitlines()
    return [line for line in lines if line.lower().removeprefix("priv-").startswith(ASKING)]


async def rings_on(cast: Cast, role: str, mark: int) -> None:
    """Nobody has picked up at a phone, and after a while it still rings."""
    await asyncio.sleep(LONG)
    seen = [event.type for event in cast.phones[role].events.entries[mark:]]
    assert ("CALL_INCOMING" in seen, "CALL_ESTABLISHED" in seen) == (True, False)
    assert (await cast.channel(role))["ChannelStateDesc"] == "Ringing"
