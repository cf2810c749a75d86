"""Which address a client is said to have, as listeners are told."""

import time
from ipaddress import ip_network

import aiohttp
import pytest

from bridge.addresses import Proxies
from bridge.happenings import Attempted, Happening, Moment, TokenAsked
from bridge.model import Asker
from tests.support.clients import SECRET
from tests.support.scene import WHISPER

from .house import LIMIT, TOKENS, House, served

LOOPBACK = Proxies([ip_network("127.0.0.0/8")])
FORM = {"grant_type": "client_credentials", "client_id": "lab-app", "client_secret": SECRET}


async def askers(proxies: Proxies, forwarded: str) -> list[Asker]:
    """Who is said to have asked, for a token and for a whisper, both through one proxy."""
    told: list[Asker] = []

    def listen(happening: Happening, _: Moment) -> None:
        if isinstance(happening, TokenAsked | Attempted):
            told.append(happening.asker)

    headers = {"X-Forwarded-For": forwarded, "Forwarded": "for=203.0.113.66"}
    async with (
        served(listen, proxies=proxies) as (url, service, pbx),
        aiohttp.ClientSession(timeout=LIMIT) as http,
    ):
        service.on_restored([], [])
        house = House(url, service, pbx, http, TOKENS.issue("lab-app", time.time()), "0123")
        await house.ask("POST", "/oauth/token.php", token=None, data=FORM, headers=headers)
        await house.ask("PUT", house.path("0123"), json=dict(WHISPER), headers=headers)
    return told


@pytest.mark.parametrize(
    ("proxies", "address"), [(LOOPBACK, "198.51.100.7"), (Proxies(), "127.0.0.1")]
)
async def test_a_trusted_proxys_word_counts(proxies: Proxies, address: str) -> None:
    told = await askers(proxies, "203.0.113.66, 198.51.100.7")
    assert [(asker.app, asker.user, asker.address) for asker in told] == [
        ("lab-app", "12", address)
    ] * 2
    assert len({asker.request for asker in told}) == 2


async def test_a_request_for_a_token_is_told_with_how_it_ended() -> None:
    told: list[tuple[str, str]] = []

    def listen(happening: Happening, _: Moment) -> None:
        if isinstance(happening, TokenAsked):
            told.append((happening.asker.app, happening.code))

    async with served(listen) as (url, _, _), aiohttp.ClientSession(timeout=LIMIT) as http:
        for changes in ({}, {"client_secret": "wrong"}, {"client_id": "nobody"}):
            async with http.post(url + "/oauth/token.php", data=FORM | changes):
                pass
    assert told == [("lab-app", ""), ("lab-app", "invalid_client"), ("", "invalid_client")]
