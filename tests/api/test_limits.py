"""What is let in: requests by rate, guesses by failures, and nobody locked out by strangers."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import ip_network

import aiohttp
import pytest

from bridge.addresses import Proxies
from bridge.api import Allowance, Gate
from bridge.tokens import LIFETIME, TokenBook
from tests.support.clients import SECRET
from tests.support.happenings import held, unheld
from tests.support.scene import AGENT_LEG

from .house import LIMIT, TOKENS, Answered, House, served
from .test_streams import reading

TOKEN = "/oauth/token.php"
FORM = {"grant_type": "client_credentials", "client_id": "lab-app", "client_secret": SECRET}


@asynccontextmanager
async def opened(**allowance: float) -> AsyncIterator[House]:
    """A house behind a proxy, which lets in what is allowed."""
    gate, proxies = Gate(Allowance(**allowance)), Proxies([ip_network("127.0.0.0/8")])
    async with (
        served(gate=gate, proxies=proxies) as (url, service, pbx),
        aiohttp.ClientSession(timeout=LIMIT) as http,
    ):
        service.on_restored([], [])
        token = TOKENS.issue("lab-app", time.time())
        yield House(url, service, pbx, http, token, "0123")


def of(address: str) -> dict[str, dict[str, str]]:
    """A request of a client that has this address."""
    return {"headers": {"X-Forwarded-For": address}}


async def listed(house: House, address: str = "192.0.2.1", token: str | None = "") -> Answered:
    return await house.get(house.path(), token=token, **of(address))


async def asked(house: House, address: str = "192.0.2.1", **changes: str) -> Answered:
    return await house.ask("POST", TOKEN, token=None, data=FORM | changes, **of(address))


def turned_away(answer: Answered, most: int) -> bool:
    """Whether an answer says to come back in at most so many seconds."""
    if answer.status != 429:
        return False
    assert answer.code == "too_many_requests"
    assert 1 <= int(answer.headers["Retry-After"]) <= most
    return True


# Requests


async def test_without_an_allowance_everything_is_let_in(house: House) -> None:
    answers = await asyncio.gather(*(house.get(house.path()) for _ in range(500)))
    assert {answer.status for answer in answers} == {200}


async def test_an_app_is_let_in_at_its_rate_whatever_its_addresses() -> None:
    async with opened(per_app=5) as house:
        answers = [await listed(house, f"192.0.2.{n}") for n in range(30)]
        assert [answer.status for answer in answers[:10]] == [204] * 10
        late = [answer for answer in answers if turned_away(answer, most=1)]
        assert 15 <= len(late) <= 20
        other = TOKENS.issue("system-app", time.time())
        assert (await listed(house, token=other)).status == 204
        await asyncio.sleep(float(late[-1].headers["Retry-After"]))
        assert (await listed(house)).status == 204


async def test_a_stream_is_one_request_however_much_it_tells() -> None:
    async with opened(per_app=1) as house, reading(house) as stream:
        await stream.events(1)
        for _ in range(5):
            for happening in (held, unheld):
                house.service.on_event(happening(AGENT_LEG))
                assert (await stream.event())[0] == "phoneCall"


async def test_an_address_is_let_in_at_its_rate_whoever_asks_and_whatever_for() -> None:
    async with opened(per_address=5) as house:
        answers = [await house.get("/nowhere", token=None, **of("192.0.2.1")) for _ in range(15)]
        assert [answer.status for answer in answers[:10]] == [404] * 10
        assert turned_away(answers[-1], most=1)
        assert turned_away(await listed(house), most=1)
        assert (await asked(house)).json["error"] == "too_many_requests"
        assert (await listed(house, "192.0.2.2")).status == 204


async def test_a_network_of_ipv6_counts_as_one_address() -> None:
    async with opened(per_address=5) as house:
        answers = [await listed(house, f"2001:db8:1:2::{n:x}") for n in range(1, 16)]
        assert turned_away(answers[-1], most=1)
        assert (await listed(house, "2001:db8:1:3::1")).status == 204


# Guesses


async def test_secrets_are_guessed_slowly_from_one_address() -> None:
    async with opened(failures=3) as house:
        wrong = [await asked(house, client_id=f"app{n}", client_secret="x") for n in range(4)]
        assert [answer.status for answer in wrong] == [401, 401, 401, 429]
        assert wrong[-1].json["error"] == "too_many_requests"
        assert 15 <= int(wrong[-1].headers["Retry-After"]) <= 20
        assert (await asked(house, "192.0.2.2")).status == 200


async def test_and_all_at_once_no_faster() -> None:
    async with opened(failures=3) as house:
        guesses = [asked(house, client_secret=f"x{n}") for n in range(20)]
        statuses = [answer.status for answer in await asyncio.gather(*guesses)]
        assert sorted(statuses) == [401] * 3 + [429] * 17


@pytest.mark.parametrize("client", ["lab-app", "nobody", "n" * 30_000])
async def test_and_from_many_addresses_for_one_app_no_faster(client: str) -> None:
    """The same for an app that does not exist: this must not tell which do."""
    async with opened(failures=3) as house:
        wrong = [
            await asked(house, f"192.0.2.{n}", client_id=client, client_secret="x")
            for n in range(5)
        ]
        assert [answer.status for answer in wrong] == [401, 401, 401, 429, 429]


async def test_a_right_secret_is_no_failure() -> None:
    async with opened(failures=3) as house:
        for _ in range(2):
            assert (await asked(house, client_secret="x")).status == 401
        for _ in range(10):
            assert (await asked(house)).status == 200
        assert (await asked(house, client_secret="x")).status == 401
        assert (await asked(house, client_secret="x")).status == 429


async def test_what_is_no_request_for_a_token_is_no_failure_either() -> None:
    async with opened(failures=3) as house:
        statuses = [(await asked(house, grant_type="password")).status for _ in range(10)]
        assert set(statuses) == {400}
        assert (await asked(house)).status == 200


async def test_tokens_are_guessed_slowly_and_one_that_lives_is_served_meanwhile() -> None:
    forged = TokenBook([b"f" * 64]).issue("lab-app", time.time())
    async with opened(failures=3) as house:
        for bad in (forged, "x" * 30):
            await listed(house, token=bad)
        guesses = [await listed(house, token=forged) for _ in range(10)]
        assert guesses[0].status == 401
        assert all(turned_away(guess, most=20) for guess in guesses[1:])
        assert (await listed(house)).status == 204
        query = await house.get(f"{house.path()}?accessRequestToken={forged}", token=None)
        assert query.status == 401  # from another address, the proxy's own


async def test_a_token_that_was_good_once_or_none_at_all_is_no_guess() -> None:
    old = TOKENS.issue("lab-app", time.time() - LIFETIME - 1)
    gone = TOKENS.issue("gone-app", time.time())
    async with opened(failures=3) as house:
        for token in (old, gone, None):
            statuses = {(await listed(house, token=token)).status for _ in range(10)}
            assert statuses == {401}
        assert (await asked(house, client_secret="x")).status == 401


async def test_strangers_lock_an_app_out_of_nothing() -> None:
    """Neither of the token it has, nor of the next one, even from the address it is at itself."""
    async with opened(failures=3) as house:
        token = (await asked(house)).json["access_token"]
        for stranger in ("192.0.2.66", "192.0.2.1"):
            for _ in range(10):
                await asked(house, stranger, client_secret="x")
        assert (await asked(house, client_secret="y")).status == 429
        assert (await listed(house, token=token)).status == 204
        assert (await asked(house)).status == 200


async def test_a_locked_address_opens_again() -> None:
    async with opened(failures=60) as house:
        while (await asked(house, client_secret="x")).status == 401:
            pass
        await asyncio.sleep(1.1)
        assert (await asked(house, client_secret="x")).status == 401
