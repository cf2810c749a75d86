"""The client's own package against the API: tokens that expire, streams that are lost, pages."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web
from yarl import URL

from bridge.client import (
    AppSecret,
    Begun,
    Calls,
    Changed,
    Complete,
    Connection,
    Credential,
    Ended,
    Lost,
    News,
    PbxAway,
    Refused,
    Token,
    TokenFile,
    Unreachable,
)
from bridge.client import calls as asked
from bridge.tokens import LIFETIME
from tests.e2e.ami_line import AmiLine
from tests.support.clients import SECRET
from tests.support.happenings import RINGING, UP, held, leg, listed, seen, talk
from tests.support.scene import AGENT_LEG, CUSTOMER

from .house import TOKENS, House, served

AGENT = "0003*210"


def token(age: float = 0.0) -> str:
    """A token of that age in seconds."""
    return TOKENS.issue("lab-app", time.time() - age)


@asynccontextmanager
async def calls(url: str, credential: Credential, extension: str = AGENT) -> AsyncIterator[Calls]:
    async with Connection.to(url, credential) as connection:
        yield Calls(connection, extension)


async def next_of(news: AsyncGenerator[News, None], kind: type[News]) -> News:
    """The next news of a kind."""
    async with asyncio.timeout(10):
        while not isinstance(each := await anext(news), kind):
            pass
    return each


# Requests


async def test_calls_are_read_page_by_page(house: House) -> None:
    count = asked.PAGE + 1
    for number in range(count):
        house.service.on_event(seen(leg(AGENT, f"{number}.7", state=RINGING)))
    async with calls(house.url, Token(house.token)) as ours:
        found = await ours.listed()
    assert len({call.id for call in found}) == count + 1


async def test_one_call_and_none(house: House) -> None:
    async with calls(house.url, Token(house.token)) as ours:
        found = await ours.get(house.call_id)
        assert found is not None
        assert found.body() == (await house.get(f"/uapi/phoneCalls/@owner/{AGENT}/{found.id}")).json
        assert await ours.get("0" * 20) is None


async def test_an_app_gets_a_token_for_its_secret(house: House, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text(f"{SECRET}\n")
    async with calls(house.url, AppSecret("lab-app", secret)) as ours:
        assert len(await ours.listed()) == 1
    secret.write_text("another-one")
    async with calls(house.url, AppSecret("lab-app", secret)) as ours:
        with pytest.raises(Refused) as raised:
            await ours.listed()
    assert (raised.value.status, raised.value.code) == (401, "invalid_client")


async def test_what_is_out_of_an_apps_reach_is_asked_for_twice_at_most(
    house: House, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_text(SECRET)
    async with calls(house.url, AppSecret("lab-app", secret), "0004*410") as ours:
        with pytest.raises(Refused) as raised:
            await ours.listed()
    assert (raised.value.status, raised.value.code) == (401, "access_denied")


async def test_an_app_has_its_token_until_that_is_refused(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text(SECRET)
    given: list[tuple[str, str]] = []

    async def exchange(client_id: str, secret: str) -> str:
        given.append((client_id, secret))
        return f"token-{len(given)}"

    credential = AppSecret("panel", secret)
    tokens = [await credential.token(exchange) for _ in range(2)]
    assert credential.refused()
    tokens.append(await credential.token(exchange))
    assert tokens == ["token-1", "token-1", "token-2"]
    assert given == [("panel", SECRET)] * 2


async def test_a_token_file_is_read_anew_when_the_token_has_expired(
    house: House, tmp_path: Path
) -> None:
    file = tmp_path / "token"
    file.write_text(token(LIFETIME + 1))
    async with calls(house.url, TokenFile(file)) as ours:
        with pytest.raises(Refused) as raised:
            await ours.listed()
        assert (raised.value.status, raised.value.denied) == (401, True)
        file.write_text(token())
        assert len(await ours.listed()) == 1


async def test_what_is_no_service_is_told_and_no_token_follows_it_elsewhere(house: House) -> None:
    seen: list[str] = []

    async def elsewhere(request: web.Request) -> web.Response:
        seen.append(request.path)
        if request.path.startswith("/else"):
            return web.Response(text="hello")
        return web.Response(status=302, headers={"Location": "/else"})

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", elsewhere)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        async with calls(url, Token("x" * 20)) as ours:
            with pytest.raises(Unreachable, match="status 302"):
                await ours.listed()
        async with calls(f"{url}/else", Token("x" * 20)) as ours:
            with pytest.raises(Unreachable, match="status 200, text/plain"):
                await ours.listed()
            async with aclosing(ours.follow()) as news:
                with pytest.raises(Unreachable, match="no whisper-bridge"):
                    await anext(news)
    finally:
        await runner.cleanup()
    assert "/else" not in seen


# Streams


async def test_a_stream_tells_the_picture_and_every_change(house: House) -> None:
    async with calls(house.url, Token(house.token)) as ours, aclosing(ours.follow()) as news:
        first = [await anext(news) for _ in range(3)]
        shown = await ours.get(house.call_id)
        assert isinstance(first[1], Changed)
        assert [type(each) for each in first] == [Begun, Changed, Complete]
        assert shown is not None
        assert first[1].call.phone_call_view == shown.phone_call_view
        house.service.on_event(held(AGENT_LEG))
        changed = await next_of(news, Changed)
        assert isinstance(changed, Changed)
        assert (changed.call.phone_call_view or [])[0].holder == 1
        house.service.on_lost()
        await next_of(news, PbxAway)
        house.service.on_restored([listed(CUSTOMER)], [])
        assert await next_of(news, Ended) == Ended(house.call_id)
        assert await next_of(news, Complete) == Complete(0)


@asynccontextmanager
async def following(house: House) -> AsyncIterator[tuple[AsyncGenerator[News, None], AmiLine]]:
    """A stream over a line that can be cut, so far that everything has been told."""
    async with AmiLine(URL(house.url).port or 0) as line:
        url = f"http://127.0.0.1:{line.port}"
        async with calls(url, Token(house.token)) as ours, aclosing(ours.follow()) as news:
            await next_of(news, Complete)
            yield news, line


async def test_who_is_cut_off_goes_on_where_he_was(house: House) -> None:
    async with following(house) as (news, line):
        await line.cut()
        lost = await next_of(news, Lost)
        assert isinstance(lost, Lost)
        assert lost.seconds == 2
        house.service.on_event(seen(leg(AGENT, "7.1", state=RINGING)))
        await line.mend()
        since = [await anext(news) for _ in range(3)]
        assert [type(each) for each in since] == [Begun, Changed, Complete]
        # The call he knows already is not told again.
        assert isinstance(since[1], Changed)
        assert since[1].call.id != house.call_id
        assert since[2] == Complete(2)


async def test_a_service_that_stays_away_is_asked_less_and_less(house: House) -> None:
    async with following(house) as (news, line):
        await line.cut()
        lost = [await next_of(news, Lost) for _ in range(3)]
        assert [each.seconds for each in lost if isinstance(each, Lost)] == [2.0, 4.0, 8.0]
        assert "Connection refused" in str(lost[1])


async def test_a_pbx_that_stays_away_is_waited_for(house: House) -> None:
    async with following(house) as (news, line):
        house.service.on_lost()
        await next_of(news, PbxAway)
        await line.cut()
        await line.mend()
        lost = [await next_of(news, Lost) for _ in range(2)]
        assert "The picture of the PBX is not complete yet." in str(lost[1])


async def test_a_stream_outlives_its_token(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(token(LIFETIME - 1))
    async with served(heartbeat=0.05) as (url, service, _):
        service.on_restored([], [])
        async with calls(url, TokenFile(file)) as ours, aclosing(ours.follow()) as news:
            await next_of(news, Complete)
            file.write_text(token())
            await next_of(news, Lost)
            await next_of(news, Complete)
            for event in talk(CUSTOMER, leg(AGENT, "3.3", state=UP)):
                service.on_event(event)
            await next_of(news, Changed)


async def test_a_stream_whose_token_nobody_renews_is_over() -> None:
    async with served(heartbeat=0.05) as (url, service, _):
        service.on_restored([], [])
        fading = Token(token(LIFETIME - 1))
        async with calls(url, fading) as ours, aclosing(ours.follow()) as news:
            await next_of(news, Complete)
            await next_of(news, Lost)
            with pytest.raises(Refused) as raised:
                await anext(news)
            assert raised.value.denied


async def test_nobody_follows_what_he_may_not_see(house: House) -> None:
    beyond = calls(house.url, Token(house.token), "0004*410")
    async with beyond as ours, aclosing(ours.follow()) as news:
        with pytest.raises(Refused) as raised:
            await anext(news)
    assert raised.value.status == 401
