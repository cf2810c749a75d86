"""Tokens over HTTP: who gets one, who does not, and what neither learns."""

import asyncio
import base64
import logging
import re
import statistics
import time
from typing import Any

import pytest

from bridge.api import MAX_BODY
from tests.support.clients import SECRET

from .house import Answered, House

TOKEN = "/oauth/token.php"
GRANT = {"grant_type": "client_credentials"}
LAB = {"client_id": "lab-app", "client_secret": SECRET}


def basic(name: str, secret: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{name}:{secret}".encode()).decode()}


async def ask(house: House, form: Any, path: str = TOKEN, **more: Any) -> Answered:
    return await house.ask("POST", path, token=None, data=form, **more)


def refusal(answer: Answered) -> tuple[int, str]:
    """Status and code of a refusal, in OAuth's own form (RFC 6749, section 5.2)."""
    assert set(answer.json) == {"error", "error_description"}
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Pragma"] == "no-cache"
    assert answer.headers["X-Request-Id"]
    return answer.status, answer.json["error"]


@pytest.mark.parametrize("path", [TOKEN, TOKEN + "/"])
@pytest.mark.parametrize(
    ("form", "headers"),
    [
        (GRANT | LAB, {}),
        (GRANT, basic("lab-app", SECRET)),
        (GRANT | LAB | {"type": "unifiedapi", "redirect_uri": "https://x.example.com"}, {}),
    ],
    ids=["form", "basic", "vendor"],
)
async def test_an_app_gets_a_token_that_works(
    house: House, form: dict[str, str], headers: dict[str, str], path: str
) -> None:
    answer = await ask(house, form, path, headers=headers)
    assert answer.status == 200
    token = answer.json["access_token"]
    assert answer.json == {"access_token": token, "token_type": "Bearer", "expires_in": 3600}
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Pragma"] == "no-cache"
    assert re.fullmatch(r"[A-Za-z0-9_.-]{10,}", token)
    assert (await house.get(house.path(), token=token)).status == 200
    query = f"accessRequestToken=Bearer%20{token}"
    assert (await house.get(f"{house.path()}?{query}", token=None)).status == 200


async def test_the_token_reaches_as_far_as_its_app(house: House) -> None:
    answer = await ask(house, GRANT | LAB | {"client_id": "agent-app"})
    token = answer.json["access_token"]
    beyond = await house.get("/uapi/phoneCalls/@owner/0003*024", token=token)
    assert (beyond.status, beyond.code) == (401, "access_denied")


@pytest.mark.parametrize(
    ("form", "headers"),
    [
        (GRANT | LAB | {"client_secret": "wrong"}, {}),
        (GRANT | LAB | {"client_id": "nobody"}, {}),
        (GRANT, basic("lab-app", "wrong")),
        (GRANT, basic("nobody", SECRET)),
        (GRANT, {"Authorization": "Basic ####"}),
        (GRANT, {}),
    ],
)
async def test_who_does_not_prove_who_he_is_gets_none(
    house: House, form: dict[str, str], headers: dict[str, str]
) -> None:
    answer = await ask(house, form, headers=headers)
    assert refusal(answer) == (401, "invalid_client")
    assert answer.headers["WWW-Authenticate"].startswith('Basic realm="')


async def test_nothing_but_time_could_tell_an_unknown_app_from_a_wrong_secret(house: House) -> None:
    wrong = await ask(house, GRANT | LAB | {"client_secret": "wrong"})
    unknown = await ask(house, GRANT | LAB | {"client_id": "nobody"})
    assert wrong.body == unknown.body
    assert constant(wrong) == constant(unknown)


def constant(answer: Answered) -> dict[str, str]:
    """The headers that are not different from request to request."""
    changing = ("date", "x-request-id")
    return {name: text for name, text in answer.headers.items() if name.lower() not in changing}


async def test_time_does_not_tell_them_apart_either(house: House) -> None:
    """Asked in turn, so that whatever else the machine does slows both down alike."""
    spent: dict[str, list[float]] = {"lab-app": [], "nobody": []}
    for number in range(60):
        for client, seconds in spent.items():
            began = time.perf_counter()
            await ask(house, GRANT | {"client_id": client, "client_secret": f"wrong {number}"})
            seconds.append(time.perf_counter() - began)
    known, unknown = map(statistics.median, spent.values())
    assert unknown > 0.005
    assert abs(known - unknown) < 0.25 * max(known, unknown), (known, unknown)


@pytest.mark.parametrize(
    ("form", "headers", "code"),
    [
        (LAB, {}, "invalid_request"),
        (GRANT | LAB | {"grant_type": "password"}, {}, "unsupported_grant_type"),
        ("grant_type=client_credentials&grant_type=client_credentials", {}, "invalid_request"),
        (GRANT | LAB, basic("lab-app", SECRET), "invalid_request"),
        (b'{"grant_type": "client_credentials"}', {}, "invalid_request"),
        (b"\xff=%ff", {"Content-Type": "application/x-www-form-urlencoded"}, "invalid_request"),
    ],
)
async def test_what_is_no_request_for_a_token(
    house: House, form: Any, headers: dict[str, str], code: str
) -> None:
    assert refusal(await ask(house, form, headers=headers)) == (400, code)


async def test_a_secret_in_the_url_is_refused(house: House) -> None:
    answer = await ask(house, GRANT | LAB, f"{TOKEN}?client_secret={SECRET}")
    assert refusal(answer) == (400, "invalid_request")


async def test_two_authorization_headers_are_refused(house: House) -> None:
    headers = [*basic("lab-app", SECRET).items(), *basic("lab-app", "x").items()]
    async with house.http.post(house.url + TOKEN, data=GRANT, headers=headers) as answer:
        assert answer.status == 400


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
async def test_tokens_are_posted_for(house: House, method: str) -> None:
    answer = await house.ask(method, TOKEN, token=None)
    assert refusal(answer) == (405, "invalid_request")
    assert answer.headers["Allow"] == "POST"


async def test_other_paths_of_oauth_are_not_there(house: House) -> None:
    assert refusal(await ask(house, GRANT | LAB, "/oauth/authorize.php")) == (
        404,
        "invalid_request",
    )


async def test_a_body_that_is_too_large(house: House) -> None:
    answer = await ask(house, GRANT | LAB | {"more": "x" * MAX_BODY})
    assert refusal(answer) == (413, "invalid_request")


async def test_tokens_are_given_while_the_pbx_is_away(house: House) -> None:
    house.service.on_lost()
    assert (await ask(house, GRANT | LAB)).status == 200


async def test_calls_are_served_while_secrets_are_compared(house: House) -> None:
    """Ten wrong secrets take a core a fifth of a second; nobody waits for that."""
    guesses = [
        asyncio.create_task(ask(house, GRANT | LAB | {"client_secret": f"wrong {n}"}))
        for n in range(10)
    ]
    served = 0
    while not all(guess.done() for guess in guesses):
        assert (await house.get(house.path())).status == 200
        served += 1
    assert {(await guess).status for guess in guesses} == {401}
    assert served > 20


async def test_too_many_at_once_are_asked_for_patience(house: House) -> None:
    guesses = [ask(house, GRANT | LAB | {"client_secret": f"wrong {n}"}) for n in range(60)]
    answers = await asyncio.gather(*guesses)
    turned_away = [answer for answer in answers if answer.status == 429]
    assert turned_away
    for answer in turned_away:
        assert refusal(answer) == (429, "too_many_requests")
        assert int(answer.headers["Retry-After"]) > 0
    assert {answer.status for answer in answers} == {401, 429}
    assert (await ask(house, GRANT | LAB)).status == 200


async def test_neither_token_nor_secret_is_logged(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    answer = await ask(house, GRANT | LAB)
    await ask(house, GRANT, headers=basic("lab-app", SECRET))
    await ask(house, GRANT | LAB, f"{TOKEN}?client_secret={SECRET}")
    await ask(house, GRANT | LAB | {"client_secret": f"{SECRET}x"})
    await ask(house, GRANT | {"client_id": SECRET, "client_secret": "x"})
    await ask(house, GRANT, headers=basic(SECRET, "x"))
    await ask(house, f"grant_type={SECRET}")
    token = answer.json["access_token"]
    assert (await house.get(f"{house.path()}?accessRequestToken={token}", token=None)).status == 200
    assert "app lab-app has a new token" in caplog.text
    assert "no token: The client is unknown or its secret is wrong" in caplog.text
    encoded = basic("lab-app", SECRET)["Authorization"].split()[1]
    assert [word for word in (SECRET, token, encoded, "argon2") if word in caplog.text] == []
