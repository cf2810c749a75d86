"""The phone calls over HTTP: paths, tokens, answers, errors, logs, and the end."""

import asyncio
import base64
import json
import logging
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from bridge.actions import Action, Answer
from bridge.api import MAX_BODY, REQUEST_ID, Site, serving
from bridge.logs import OfRequest
from bridge.service import Rules, Service
from bridge.tokens import LIFETIME, TokenBook
from tests.support.directory import DIRECTORY
from tests.support.happenings import end, held, leg, seen, talk
from tests.support.pbx import FakePbx, success
from tests.support.scene import AGENT_LEG, CUSTOMER, WHISPER

from .house import LIMIT, PUBLIC, TOKENS, House, nothing, served

# Paths


@pytest.mark.parametrize("slash", ["", "/"])
@pytest.mark.parametrize("star", ["*", "%2A", "%2a"])
@pytest.mark.parametrize("user", ["12", "@me", "%40me", "@viewer", "@owner"])
async def test_every_spelling_of_a_path(house: House, user: str, star: str, slash: str) -> None:
    path = f"/uapi/phoneCalls/{user}/0003{star}210"
    listed = await house.get(path + slash)
    found = await house.get(f"{path}/{house.call_id}{slash}")
    asked = await house.ask("PUT", f"{path}/{house.call_id}{slash}", json=dict(WHISPER))
    assert (listed.status, found.status, asked.status) == (200, 200, 202)
    assert listed.json["entry"] == [found.json]
    assert asked.json["link"] == found.json["link"]


@pytest.mark.parametrize("extension", ["210", "@self", "%40self"])
async def test_short_numbers_and_all_extensions_of_a_user(house: House, extension: str) -> None:
    found = await house.get(f"/uapi/phoneCalls/@me/{extension}/{house.call_id}")
    assert found.json["id"] == house.call_id


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"),
        ("GET", "/uapi"),
        ("GET", "/uapi/phoneCalls"),
        ("GET", "/uapi/phoneCalls/12"),
        ("PUT", "/uapi/phoneCalls/12"),
        ("GET", "/uapi/phoneCalls/12/0003*210/1/2"),
        ("GET", "/uapi/phonecalls/12/0003*210"),
        ("GET", "//uapi/phoneCalls/12/0003*210"),
        ("GET", "/uapi/phoneCalls/12/0003*210//"),
        ("GET", "/uapi/phoneCalls/../../etc/passwd"),
        ("POST", "/elsewhere"),
    ],
)
async def test_no_such_path(house: House, method: str, path: str) -> None:
    answer = await house.ask(method, path)
    assert (answer.status, answer.code) == (404, "not_found")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("POST", "", {"GET"}),
        ("PUT", "", {"GET"}),
        ("HEAD", "", {"GET"}),
        ("POST", "/0123", {"GET", "PUT", "DELETE"}),
        ("PATCH", "/0123/", {"GET", "PUT"}),
        ("OPTIONS", "/0123", {"GET", "PUT"}),
        ("PROPFIND", "/0123", {"GET", "PUT"}),
    ],
)
async def test_a_method_that_a_path_does_not_take(
    house: House, method: str, path: str, allowed: set[str]
) -> None:
    answer = await house.ask(method, house.path() + path)
    assert answer.status == 405
    assert allowed <= set(answer.headers["Allow"].split(","))
    if method != "HEAD":
        assert answer.code == "method_not_allowed"


async def test_a_body_that_is_too_large(house: House) -> None:
    body = json.dumps({**WHISPER, "more": "x" * MAX_BODY})
    answer = await house.ask("PUT", house.path(house.call_id), data=body)
    assert (answer.status, answer.code) == (413, "request_too_large")


async def test_a_body_that_is_too_large_in_pieces(house: House) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(MAX_BODY // 1024 + 1):
            yield b" " * 1024

    answer = await house.ask("PUT", house.path(house.call_id), data=pieces())
    assert (answer.status, answer.code) == (413, "request_too_large")


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"\xff", b'{"action":1}', b"{}"])
async def test_a_body_that_is_no_request(house: House, body: bytes) -> None:
    answer = await house.ask("PUT", house.path(house.call_id), data=body)
    assert (answer.status, answer.code) == (400, "request_invalid")


@pytest.mark.parametrize("kind", ["application/json", "text/plain", "application/octet-stream", ""])
async def test_the_type_of_the_body_does_not_matter(house: House, kind: str) -> None:
    answer = await house.ask(
        "PUT",
        house.path(house.call_id),
        data=json.dumps(dict(WHISPER)).encode(),
        headers={"Content-Type": kind},
    )
    assert answer.status == 202


async def test_an_action_that_is_not_built_yet(house: House) -> None:
    answer = await house.put(action="Park")
    assert (answer.status, answer.code) == (501, "request_not_implemented")


# Tokens


def basic(text: str) -> str:
    return "Basic " + base64.b64encode(text.encode()).decode()


def denied() -> Iterator[Any]:
    good, old = TOKENS.issue("lab-app", time.time()), time.time() - LIFETIME - 1
    yield pytest.param({}, "", id="none")
    yield pytest.param({"Authorization": ""}, "", id="empty")
    yield pytest.param({"Authorization": "Bearer"}, "", id="only the scheme")
    yield pytest.param({"Authorization": "Bearer x"}, "", id="no token")
    yield pytest.param({"Authorization": good}, "", id="no scheme")
    yield pytest.param({"Authorization": f"Bearer {good[:-1]}"}, "", id="cut short")
    yield pytest.param({"Authorization": f"Bearer {good} {good}"}, "", id="two")
    yield pytest.param({"Authorization": basic(f"x:{good}")}, "", id="other scheme")
    yield pytest.param({}, "accessRequestToken=", id="empty parameter")
    yield pytest.param({}, "accessRequestToken=Bearer", id="scheme in the parameter")
    yield pytest.param({}, f"access_token={good}", id="other parameter")
    yield pytest.param(
        {"Authorization": "Bearer x"}, f"accessRequestToken={good}", id="the header counts"
    )
    for name, issued, client in (
        ("expired", old, "lab-app"),
        ("from the future", time.time() + 3600, "lab-app"),
        ("of nobody", time.time(), "nobody"),
    ):
        token = TOKENS.issue(client, issued)
        yield pytest.param({"Authorization": f"Bearer {token}"}, "", id=name)
    forged = TokenBook([b"f" * 64]).issue("lab-app", time.time())
    yield pytest.param({"Authorization": f"Bearer {forged}"}, "", id="forged")


@pytest.mark.parametrize(("headers", "query"), list(denied()))
async def test_who_has_no_good_token_is_turned_away(
    house: House, headers: dict[str, str], query: str
) -> None:
    answer = await house.get(f"{house.path()}?{query}", token=None, headers=headers)
    assert (answer.status, answer.code) == (401, "access_denied")
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")


async def test_without_a_token_nothing_tells_what_exists(house: House) -> None:
    paths = [house.path(), house.path(house.call_id), house.path("0123"), "/uapi/phoneCalls/9/999"]
    answers = [await house.get(path, token=None) for path in paths]
    answers.append(await house.ask("PUT", house.path(house.call_id), token=None, data=b"{"))
    assert {answer.body for answer in answers} == {answers[0].body}
    assert {answer.status for answer in answers} == {401}


@pytest.mark.parametrize("scheme", ["Bearer ", "bearer ", "BEARER  "])
async def test_the_scheme_of_a_token_is_written_as_one_likes(house: House, scheme: str) -> None:
    headers = {"Authorization": scheme + house.token}
    assert (await house.get(house.path(), token=None, headers=headers)).status == 200


@pytest.mark.parametrize("before", ["", "Bearer%20", "Bearer+"])
async def test_a_token_in_the_query(house: House, before: str) -> None:
    query = f"accessRequestToken={before}{house.token}"
    assert (await house.get(f"{house.path()}?{query}", token=None)).status == 200
    asked = await house.ask(
        "PUT", f"{house.path(house.call_id)}?{query}", token=None, json=dict(WHISPER)
    )
    assert asked.status == 202


async def test_a_token_in_the_query_is_in_no_link(house: House) -> None:
    query = f"accessRequestToken={house.token}&count=1"
    for event in talk(leg("7779999", "2.1"), leg("0003*210", "2.2", "2.1"), "second"):
        house.service.on_event(event)
    answer = await house.get(f"{house.path()}?{query}", token=None)
    assert "next" in answer.json["link"]
    assert house.token.encode() not in answer.body


@pytest.mark.parametrize(
    ("client", "path", "status", "code"),
    [
        ("lab-app", "12/0004*410", 401, "access_denied"),
        ("lab-app", "12/0004*999", 401, "access_denied"),
        ("agent-app", "@me/0003*024", 401, "access_denied"),
        ("lab-app", "12/0003*999", 400, "extension_invalid"),
        ("lab-app", "12/0003*024", 400, "extension_invalid"),
        ("lab-app", "12/x", 400, "extension_invalid"),
        ("lab-app", "99/0003*210", 400, "user_invalid"),
        ("lab-app", "40/0004*410", 400, "user_invalid"),
        ("lab-app", "@you/0003*210", 400, "user_invalid"),
    ],
)
async def test_what_is_out_of_reach_or_does_not_exist(
    house: House, client: str, path: str, status: int, code: str
) -> None:
    token = TOKENS.issue(client, time.time())
    answer = await house.get(f"/uapi/phoneCalls/{path}", token=token)
    assert (answer.status, answer.code) == (status, code)


# Calls and whispers


async def test_a_call_is_shown_as_in_the_specification(house: House) -> None:
    house.pbx.replies["Originate"] = house.whispers
    asked = await house.put()
    assert asked.status == 202
    assert asked.json == {
        "id": house.call_id,
        "extension": "0003*210",
        "link": {"self": f"{PUBLIC}/uapi/phoneCalls/12/0003*210/{house.call_id}"},
    }
    shown = (await house.get(house.path(house.call_id))).json
    agent, whisper = shown.pop("phoneCallView")
    assert set(shown) == {
        "id",
        "extension",
        "ownerId",
        "ownerName",
        "answered",
        "published",
        "link",
    }
    assert (agent["id"], agent["status"], agent["flow"]) == ("01", "5", 8)
    assert (agent["source"], agent["destination"]) == (["7778888"], ["0003*210"])
    assert whisper.pop("answered")
    assert whisper == {
        "id": "02",
        "extension": "0003*210",
        "status": "5",
        "callerId": "Whisper To Me <42420042>",
        "source": ["0003*024"],
        "destination": ["0003*210"],
        "flow": 2,
    }


async def test_a_whisper_that_may_not_be_heard_is_answered_with_a_warning(house: House) -> None:
    house.service.on_event(held(AGENT_LEG))
    answer = (await house.put()).json
    assert "hold" in answer.pop("warning")
    assert set(answer) == {"id", "extension", "link"}


@pytest.mark.parametrize("path", ["/0003*211", "/0003*211/0123", "/0003*210/0123", "/@self/0123"])
async def test_when_there_is_no_call_there_is_no_content(house: House, path: str) -> None:
    answer = await house.get("/uapi/phoneCalls/12" + path)
    assert (answer.status, answer.body) == (204, b"")


async def test_a_call_that_ends_while_its_phone_is_called_is_no_content(house: House) -> None:
    def ends(action: Action) -> Answer:
        for event in end(AGENT_LEG, CUSTOMER):
            house.service.on_event(event)
        return success()

    house.pbx.replies["Originate"] = ends
    answer = await house.put()
    assert (answer.status, answer.body) == (204, b"")


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"waitForPickup": 0}, "pc_timeout_invalid"),
        ({"callerId": "x"}, "pc_callerid_invalid"),
        ({"phoneCallViewId": "99"}, "pc_phonecallview_invalid"),
        ({"private": 2}, "pc_private_invalid"),
        ({"sendCallTo": "0003*650"}, "pc_sendcallto_invalid"),
    ],
)
async def test_a_wrong_field_has_its_code(
    house: House, changes: dict[str, object], code: str
) -> None:
    answer = await house.put(**changes)
    assert (answer.status, answer.code) == (400, code)


@pytest.mark.parametrize("call_id", ["0123", "no-id", "%20", "0" * 65, "%C3%A9"])
async def test_a_call_that_does_not_exist_has_its_code(house: House, call_id: str) -> None:
    answer = await house.ask("PUT", house.path(call_id), json=dict(WHISPER))
    assert (answer.status, answer.code) == (400, "pc_honecall_invalid")


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("count=0", "count_invalid"),
        ("startIndex=x", "startindex_invalid"),
        ("fields=x", "fields_invalid"),
    ],
)
async def test_a_wrong_parameter_of_a_list_has_its_code(
    house: House, query: str, code: str
) -> None:
    answer = await house.get(f"{house.path()}?{query}")
    assert (answer.status, answer.code) == (400, code)


async def test_fields_of_one_call(house: House) -> None:
    answer = await house.get(f"{house.path(house.call_id)}?fields=id")
    assert set(answer.json) <= {"id", "link"}


# Without a picture


async def test_before_the_picture_is_complete_there_is_no_service() -> None:
    async with (
        served() as (url, service, pbx),
        aiohttp.ClientSession(timeout=LIMIT) as http,
    ):
        house = House(url, service, pbx, http, TOKENS.issue("lab-app", time.time()), "0123")
        answers = [
            await house.get(house.path()),
            await house.get(house.path("0123")),
            await house.put(),
        ]
        assert [(answer.status, answer.code) for answer in answers] == [
            (503, "pbx_unavailable")
        ] * 3
        assert all(int(answer.headers["Retry-After"]) > 0 for answer in answers)
        service.on_restored([], [])
        assert (await house.get(house.path())).status == 204


async def test_while_the_link_is_down_there_is_no_service(house: House) -> None:
    house.service.on_lost()
    assert (await house.get(house.path())).status == 503
    assert (await house.get(house.path(), token="x" * 20)).status == 401


async def test_a_link_that_is_lost_while_asking_is_no_service(house: House) -> None:
    house.pbx.lose("Originate")
    answer = await house.put()
    assert (answer.status, answer.code) == (503, "pbx_unavailable")
    assert int(answer.headers["Retry-After"]) > 0


# Faults


@pytest.fixture
def caplog(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """The log with the request that each record is of."""
    caplog.handler.addFilter(OfRequest(REQUEST_ID))
    return caplog


async def test_a_fault_is_told_without_a_word_about_it(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    house.pbx.broken["Originate"] = RuntimeError("a fault nobody thought of")
    answer = await house.put()
    assert (answer.status, answer.code) == (500, "internal_server_error")
    assert b"nobody thought of" not in answer.body
    (record,) = (each for each in caplog.records if each.levelno == logging.ERROR)
    assert answer.headers["X-Request-Id"] == vars(record)["request"]
    assert record.exc_info is not None
    assert "nobody thought of" in caplog.text


async def test_after_a_fault_the_service_goes_on(house: House) -> None:
    house.pbx.broken["Originate"] = RuntimeError("a fault nobody thought of")
    assert (await house.put()).status == 500
    assert (await house.get(house.path())).status == 200
    house.pbx.broken.clear()
    assert (await house.put(sendCallTo="0003*025")).status == 202


# Headers and logs


async def test_every_answer_names_its_request_and_is_not_kept(house: House) -> None:
    paths = [house.path(), house.path("0123"), house.path("0123", "x"), "/", "/uapi/phoneCalls/9/9"]
    answers = [await house.get(path) for path in paths]
    answers += [await house.ask("POST", house.path()), await house.get("/", token=None)]
    ids = {answer.headers["X-Request-Id"] for answer in answers}
    assert len(ids) == len(answers)
    assert {answer.headers["Cache-Control"] for answer in answers} == {"no-store"}


async def test_every_request_is_logged_under_its_id(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    answer = await house.get(house.path(house.call_id))
    request = answer.headers["X-Request-Id"]
    (record,) = (record for record in caplog.records if vars(record)["request"] == request)
    assert "GET /uapi/phoneCalls/{userId}/{extension}/{phoneCallId}: 200" in record.getMessage()


SECRETS = ("0003*210", "0003*024", "0003%2A210", "7778888", "42420042", "Whisper To Me", "3334444")


async def test_no_number_name_or_token_is_ever_logged(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    house.pbx.replies["Originate"] = house.whispers
    await house.put()
    house.service.on_lost()
    house.service.on_restored([], [])
    for path in (
        "/7778888",
        house.path(),
        house.path(house.call_id),
        "/uapi/phoneCalls/12/0003%2A210",
    ):
        await house.get(f"{path}?accessRequestToken={house.token}")
        await house.ask("7778888", path, token=None)
    await house.put(callerId="Whisper To Me 42420042")
    await house.put(sendCallTo="0003*999")
    assert "GET" in caplog.text
    assert [secret for secret in (*SECRETS, house.token) if secret in caplog.text] == []


# The end


async def test_a_request_under_way_finishes_while_the_socket_is_closed() -> None:
    async with aiohttp.ClientSession(timeout=LIMIT) as http:
        stopping, stopped = asyncio.Event(), asyncio.Event()
        ready: asyncio.Future[House] = asyncio.get_running_loop().create_future()
        resource_gone = asyncio.Event()

        @asynccontextmanager
        async def resource() -> AsyncIterator[None]:
            yield
            resource_gone.set()

        async def serve() -> None:
            pbx = FakePbx()
            service = Service(DIRECTORY, pbx, Rules("lab"))
            site = Site(service, TOKENS, PUBLIC)
            async with serving(site, resource(), "127.0.0.1", 0) as (host, port):
                service.on_restored([], [])
                for event in talk(CUSTOMER, AGENT_LEG):
                    service.on_event(event)
                (call,) = service.picture.calls()
                token = TOKENS.issue("lab-app", time.time())
                ready.set_result(House(f"http://{host}:{port}", service, pbx, http, token, call.id))
                await stopping.wait()
            stopped.set()
            await service.close()

        serving_task = asyncio.create_task(serve())
        house = await ready
        asked = asyncio.create_task(house.put())
        while not house.pbx.of("Originate"):
            await asyncio.sleep(0.01)
        stopping.set()
        await refused(house.url)
        assert not asked.done()
        assert not resource_gone.is_set()
        house.service.on_event(seen(house.spy()))
        assert (await asked).status == 202
        await asyncio.wait_for(serving_task, 5)
        assert resource_gone.is_set()
        assert stopped.is_set()


async def refused(url: str) -> None:
    """Wait until nobody listens any more."""
    host, port = url.removeprefix("http://").split(":")
    async with asyncio.timeout(5):
        while True:
            try:
                _, writer = await asyncio.open_connection(host, int(port))
            except (ConnectionRefusedError, ConnectionResetError):
                return
            writer.close()
            await asyncio.sleep(0.01)


async def test_an_address_that_is_taken_is_an_error_and_nothing_stays(house: House) -> None:
    host, port = house.url.removeprefix("http://").split(":")
    site = Site(house.service, TOKENS, PUBLIC)
    with pytest.raises(OSError, match="in use"):
        async with serving(site, nothing(), host, int(port)):
            pass
    assert (await house.get(house.path())).status == 200
