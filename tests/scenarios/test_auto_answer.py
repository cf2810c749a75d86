"""What a phone that is to answer by itself, and one that is not, receives in its INVITE."""

from collections.abc import AsyncIterator

import pytest

from bridge.lab.phone import Phone

from .cast import Cast, playing
from .pbx import CASTS, KINDS, Kind
from .world import a_world

pytestmark = [pytest.mark.pbx, pytest.mark.timeout(600)]

HEADERS = ("alert-info", "call-info", "answer-mode")
SNOM = ["Alert-Info: <sip:intercom>;info=alert-autoanswer;delay=0"]


@pytest.fixture(scope="module", params=KINDS, ids=str)
async def cast(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Cast]:
    """The people of a world of their own; the deputy's phone is to answer by itself."""
    kind: Kind = request.param
    async with a_world(kind, tmp_path_factory.mktemp(f"a{kind}"), CASTS[:1]) as world:
        yield world.casts[0]


@pytest.mark.parametrize(("role", "headers"), [("deputy", SNOM), ("supervisor", [])])
async def test_the_invite_asks_for_it(cast: Cast, role: str, headers: list[str]) -> None:
    async with playing(cast):
        await cast.dial("customer", "agent")
        phone = cast.phones[role]
        mark = phone.events.mark()
        await cast.whisper(role)
        assert await asked(phone, mark) == headers


async def asked(phone: Phone, mark: int) -> list[str]:
    """What the INVITE of a phone's next call says of answering."""
    call = await phone.incoming(since=mark)
    lines = phone.invite(call.call_id).splitlines()
    return [line for line in lines if line.lower().startswith(HEADERS)]
