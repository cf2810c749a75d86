"""Call events told to clients: managed over HTTP, sent to real sockets, kept over a restart."""

import asyncio
import logging
import threading
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from bridge.directory import Directory
from bridge.events import Event, Listed
from bridge.happenings import Happening, HookManaged, Moment, Outcome, Told
from bridge.service import Service
from bridge.webhooks import Patience, Sender, Store, Webhooks
from tests.support.directory import TEXT
from tests.support.happenings import RINGING, UP, end, leg, listed, seen, talk
from tests.support.receiver import Receiver, receiving

from .house import LIMIT, PUBLIC, TOKENS, Answered, House, served

HOOKS = "/uapi/extensions/12/0003*210/phoneCallEvents"
LOOPBACK = (ip_network("127.0.0.0/8"),)
SOON = Patience(first=0.02, longest=0.1, attempts=16, most=20)

WHISPER_ONLY = TEXT.replace(
    'reach = "organization"', 'reach = "organization"\nactions = ["whisper"]'
)
OF_ANOTHER = TEXT.replace('reach = "organization"', 'reach = "user"').replace(
    'user = "12"\ncaller_id = "Agent 210', 'user = "24"\ncaller_id = "Agent 210'
)


class Home:
    """A house whose clients are told of call events."""

    def __init__(self, house: House, told: list[Happening]) -> None:
        self.house = house
        self._told = told

    async def ask(self, method: str, path: str = "", **more: Any) -> Answered:
        """Ask for the phone call events of the agent."""
        return await self.house.ask(method, HOOKS + path, **more)

    async def made(self, url: str, kind: int = 0, **fields: object) -> dict[str, str]:
        """A phone call event that was made."""
        answer = await self.ask("POST", json={"type": kind, "url": url, "method": 1, **fields})
        assert answer.status == 200, answer.body
        return dict(answer.json)

    def happens(self, *events: Event) -> None:
        """The PBX tells something."""
        for event in events:
            self.house.service.on_event(event)

    async def calls(self, count: int = 1, first: int = 1) -> None:
        """So many callers ring the agent one after the other, and go."""
        for number in range(first, first + count):
            caller = leg(f"777{number:04}", f"7.{number}", exten="0003*210")
            agent = leg("0003*210", f"8.{number}", f"7.{number}", connected=("", f"777{number:04}"))
            self.happens(*talk(caller, agent, f"b{number}"), *end(caller, agent))
            await asyncio.sleep(0)

    def reads(self, text: str) -> None:
        """The directory is read anew."""
        self.house.service.replace_directory(Directory.parse(text))

    @property
    def outcomes(self) -> list[str]:
        """What became of attempts to tell."""
        return [told.outcome.value for told in self._told if isinstance(told, Told)]

    @property
    def managed(self) -> list[HookManaged]:
        """What was done with hooks."""
        return [told for told in self._told if isinstance(told, HookManaged)]

    async def until(self, outcome: Outcome, count: int = 1) -> None:
        """Wait until so many attempts ended so."""
        async with asyncio.timeout(5):
            while self.outcomes.count(outcome.value) < count:
                await asyncio.sleep(0.01)


@asynccontextmanager
async def a_home(
    path: Path,
    allowed: tuple[Any, ...] = LOOPBACK,
    timeout: float = 0.5,
    most_hooks: int = 100,
    calls: Sequence[Listed] | None = (),
    reopen: float = 60,
) -> AsyncIterator[Home]:
    """A house that knows of these calls, or not yet of any, with its file at that path."""
    told: list[Happening] = []

    def listener(happening: Happening, moment: Moment) -> None:
        told.append(happening)

    def webhooks(service: Service) -> Webhooks:
        return Webhooks(
            partial(Store, path),
            service,
            Sender(allowed, timeout=timeout),
            SOON,
            most_hooks=most_hooks,
            reopen=reopen,
        )

    async with (
        served(listener, webhooks=webhooks) as (url, service, pbx),
        aiohttp.ClientSession(timeout=LIMIT) as http,
    ):
        if calls is not None:
            service.on_restored(calls, [])
        token = TOKENS.issue("lab-app", time.time())
        yield Home(House(url, service, pbx, http, token, ""), told)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "webhooks.sqlite"


@pytest.fixture
async def home(path: Path) -> AsyncIterator[Home]:
    async with a_home(path) as home:
        yield home


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as receiver:
        yield receiver


# Managed


@pytest.mark.parametrize("slash", ["", "/"])
async def test_one_that_is_made_is_listed_read_changed_and_removed(home: Home, slash: str) -> None:
    fields = {"type": "0", "method": "0", "url": "http://x.example.com/a?b=c", "note": "Nöte"}
    answer = await home.ask("POST", slash, json={**fields, "status": "1"})
    assert answer.status == 200
    made = answer.json
    assert made.pop("secret").startswith("whsec_")
    assert {name: made[name] for name in fields} == fields
    assert made["status"] == "1"
    assert made["link"] == {"self": f"{PUBLIC}{HOOKS}/0/{made['id']}"}
    one = f"/0/{made['id']}{slash}"
    assert (await home.ask("GET", one)).json == made
    for answer in (await home.ask("GET", slash), await home.ask("GET", f"/0{slash}")):
        page = {"entry": [made], "totalResults": 1, "startIndex": 0, "itemsPerPage": 20}
        assert answer.json == page
    changed = await home.ask("PUT", one, json={"method": 1, "status": 0, "note": "other"})
    expected = {**made, "method": "1", "status": "0", "note": "other"}
    assert {**changed.json, "modified": ""} == {**expected, "modified": ""}
    assert (await home.ask("GET", one)).json == changed.json
    removed = await home.ask("DELETE", one)
    assert removed.json == [changed.json]
    for method in ("GET", "DELETE"):
        assert (await home.ask(method, one)).status == 204
    assert (await home.ask("GET")).status == 204
    assert [done.step.value for done in home.managed] == ["created", "changed", "removed"]
    assert {done.asker.app for done in home.managed} == {"lab-app"}


async def test_a_secret_is_shown_once_and_each_time_another(home: Home) -> None:
    made = [await home.made("http://x.example.com") for _ in range(2)]
    assert len({one["secret"] for one in made}) == 2
    bodies = [
        (await home.ask("GET")).body,
        (await home.ask("GET", f"/0/{made[0]['id']}")).body,
        (await home.ask("PUT", f"/0/{made[0]['id']}", json={})).body,
        (await home.ask("DELETE")).body,
    ]
    assert not [body for body in bodies if b"secret" in body or b"whsec_" in body]


async def test_what_is_left_out_has_its_default(home: Home) -> None:
    answer = await home.ask("POST", json={"type": 4, "url": "https://x.example.com", "note": None})
    made = answer.json
    assert (made["type"], made["method"], made["status"]) == ("4", "0", "1")
    assert "note" not in made


WRONG: list[tuple[str, str, tuple[Any, ...]]] = [
    ("type", "pce_type_invalid", (None, 5, "5", -1, True, 1.0, "00", [])),
    ("method", "pce_method_invalid", (2, "2", True, "GET", {})),
    ("status", "pce_status_invalid", (2, "on", True, [])),
    ("note", "pce_note_invalid", (1, "x" * 1001, {})),
    (
        "url",
        "pce_url_invalid",
        (
            *(None, "", "x", 1, "ftp://x.example.com/", "file:///etc/passwd", "http://", "//x/"),
            *("http://u:p@x.example.com/", "http://x.example.com/#a", "http://x/ y"),
            *("http://x/\r\nHost: y", "http://x:0/", "http://x:99999/", "http://[::1/"),
            *("http://127.1/", "http://2130706433/", "http://0x7f.1/", "http://x.0x7f/"),
            *("http://1.2.3.4./", "http://1.2.3.400/", "http://017700000001:80/", "HTTP:x"),
            *("javascript:alert(1)", "http://é.example.com/", "http://x/%zz", "gopher://x/"),
            *("https://x.example.com/" + "a" * 2000, "http://x\\@y/"),
        ),
    ),
]


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        pytest.param({name: value}, code, id=f"{name}-{n}")
        for name, code, values in WRONG
        for n, value in enumerate(values)
    ],
)
async def test_a_wrong_field_has_its_code(home: Home, fields: dict[str, Any], code: str) -> None:
    body = {"type": 0, "url": "http://x.example.com/", **fields}
    answer = await home.ask("POST", json=body)
    assert (answer.status, answer.code) == (400, code)
    assert (await home.ask("GET")).status == 204


@pytest.mark.parametrize("body", ["", "[]", "1", "{", '{"type": 0, "type": 1}', "\xff"])
async def test_a_body_that_is_no_object_is_refused(home: Home, body: str) -> None:
    answer = await home.ask("POST", data=body.encode("latin-1"))
    assert (answer.status, answer.code) == (400, "request_invalid")


@pytest.mark.parametrize(
    ("more", "code"),
    [
        *((f"/{kind}", "pce_type_invalid") for kind in ("5", "x", "00", "%30x")),
        *((f"/0/{known_as}", "pce_id_invalid") for known_as in ("a-b", "a" * 65, "%0a")),
    ],
)
async def test_a_wrong_path_has_its_code(home: Home, more: str, code: str) -> None:
    for method in ("GET", "DELETE"):
        answer = await home.ask(method, more)
        assert (answer.status, answer.code) == (400, code)


async def test_what_is_not_there_cannot_be_changed(home: Home) -> None:
    made = await home.made("http://x.example.com/")
    for wrong in ("/0/" + "0" * 20, f"/1/{made['id']}"):
        answer = await home.ask("PUT", wrong, json={"note": "x"})
        assert (answer.status, answer.code) == (400, "pce_id_invalid")


async def test_a_change_that_is_wrong_changes_nothing(home: Home) -> None:
    made = await home.made("http://x.example.com/")
    one = f"/0/{made['id']}"
    before = (await home.ask("GET", one)).json
    answer = await home.ask("PUT", one, json={"note": "new", "url": "http://10.0.0.1/"})
    assert (answer.status, answer.code) == (400, "pce_url_invalid")
    assert (await home.ask("GET", one)).json == before


async def test_a_list_has_pages(home: Home) -> None:
    made = [await home.made(f"http://x.example.com/{n}", kind=n % 2) for n in range(5)]
    page = (await home.ask("GET", "?count=2&startIndex=2")).json
    assert [one["id"] for one in page["entry"]] == [one["id"] for one in made[2:4]]
    assert page["totalResults"] == 5
    assert page["link"] == {
        "next": f"{PUBLIC}{HOOKS}?count=2&startIndex=4",
        "prev": f"{PUBLIC}{HOOKS}?count=2&startIndex=0",
    }
    of_type = (await home.ask("GET", "/1")).json
    assert [one["id"] for one in of_type["entry"]] == [made[1]["id"], made[3]["id"]]
    for wrong in ("count=0", "startIndex=-1", "count=1&count=1"):
        answer = await home.ask("GET", f"?{wrong}")
        assert answer.code == f"{wrong.partition('=')[0].lower()}_invalid"


async def test_all_or_those_of_a_type_are_removed(home: Home) -> None:
    made = [await home.made("http://x.example.com/", kind=n) for n in (0, 1, 1, 2)]
    removed = (await home.ask("DELETE", "/1")).json
    assert [one["id"] for one in removed] == [made[1]["id"], made[2]["id"]]
    assert len((await home.ask("DELETE")).json) == 2
    assert (await home.ask("DELETE")).status == 204


async def test_an_app_sees_and_removes_its_own_only(home: Home) -> None:
    made = await home.made("http://x.example.com/")
    other = TOKENS.issue("agent-app", time.time())
    one = f"/0/{made['id']}"
    for path in ("", "/0", one):
        for method in ("GET", "DELETE"):
            assert (await home.ask(method, path, token=other)).status == 204
    answer = await home.ask("PUT", one, token=other, json={"url": "http://y.example.com/"})
    assert (answer.status, answer.code) == (400, "pce_id_invalid")
    assert (await home.ask("GET", one)).json["url"] == "http://x.example.com/"


@pytest.mark.parametrize(
    ("extension", "status", "code"),
    [
        ("12/@self", 400, "extension_invalid"),
        ("12/0003*999", 400, "extension_invalid"),
        ("12/0004*410", 401, "access_denied"),
        ("12/0004*999", 401, "access_denied"),
        ("99/0003*210", 400, "user_invalid"),
    ],
)
async def test_the_reach_is_that_of_calls(
    home: Home, extension: str, status: int, code: str
) -> None:
    path = f"/uapi/extensions/{extension}/phoneCallEvents"
    body = {"type": 0, "url": "http://x.example.com/"}
    for method in ("GET", "POST", "DELETE"):
        answer = await home.house.ask(method, path, json=body)
        assert (answer.status, answer.code) == (status, code)


async def test_without_a_token_nothing_is_told(home: Home) -> None:
    for method in ("GET", "POST", "DELETE"):
        assert (await home.ask(method, token=None)).code == "access_denied"


async def test_who_may_not_list_calls_is_told_of_none(home: Home) -> None:
    home.reads(
        TEXT.replace('reach = "organization"', 'reach = "organization"\nactions = ["whisper"]')
    )
    answer = await home.ask("POST", json={"type": 0, "url": "http://x.example.com/"})
    assert (answer.status, answer.code) == (403, "access_denied")


async def test_an_app_has_no_more_than_it_may(path: Path) -> None:
    async with a_home(path, most_hooks=2) as home:
        made = [await home.made("http://x.example.com/") for _ in range(2)]
        body = {"type": 0, "url": "http://x.example.com/"}
        answer = await home.ask("POST", json=body)
        assert (answer.status, answer.code) == (409, "pce_limit_reached")
        other = TOKENS.issue("agent-app", time.time())
        assert (await home.ask("POST", json=body, token=other)).status == 200
        await home.ask("DELETE", f"/0/{made[0]['id']}")
        assert (await home.ask("POST", json=body)).status == 200


async def test_without_a_file_it_says_so(house: House) -> None:
    for method, path in (("GET", ""), ("POST", ""), ("DELETE", "/0"), ("PUT", "/0/a1")):
        answer = await house.ask(method, HOOKS + path, json={})
        assert (answer.status, answer.code) == (501, "request_not_implemented")
        assert "BRIDGE_WEBHOOKS_DB" in answer.json["error"]["message"]


# Told


async def test_all_five_by_post(home: Home, receiver: Receiver) -> None:
    made = [await home.made(receiver.url(f"/{kind}"), kind) for kind in (0, 2, 3)]
    caller = leg("7778888", "1.1", exten="0003*210")
    agent = leg("0003*210", "1.2", "1.1", connected=("Zoë & Co", "3334444"))
    home.happens(*talk(caller, agent))
    await receiver.until(2)
    (call,) = home.house.service.picture.calls()
    home.happens(*end(caller, agent))
    taken = {one.path: one for one in await receiver.until(3)}
    for one in made:
        assert taken[f"/{one['type']}"].is_signed_with(one["secret"])
        assert not taken[f"/{one['type']}"].is_signed_with(made[0]["secret"]) or one == made[0]
    parameters = taken["/0"].parameters
    event_id = parameters.pop("EventID")
    assert parameters == {
        "CallID": call.id,
        "CallerIDNum": "3334444",
        "CallerIDName": "Zoë & Co",
        "CalledDID": "",
        "CalledExtension": "0003*210",
        "CallStatus": "CALLING",
        "CallFlow": "IN",
        "CallerExtension": "",
        "CalledNumber": "0003*210",
    }
    assert taken["/0"].headers["Webhook-Id"] == event_id
    assert taken["/0"].headers["Content-Type"] == "application/x-www-form-urlencoded"
    assert abs(int(taken["/0"].headers["Webhook-Timestamp"]) - time.time()) < 5
    statuses = {path: one.parameters["CallStatus"] for path, one in taken.items()}
    assert statuses == {"/0": "CALLING", "/2": "ANSWER", "/3": "ANSWER"}
    assert len({one.parameters["EventID"] for one in taken.values()}) == 3


@pytest.mark.parametrize(
    ("url", "begins"), [("/a", "CallID="), ("/a?key=v%20w", "key=v%20w&CallID="), ("", "CallID=")]
)
async def test_by_get_the_query_of_the_url_stays_and_is_signed(
    home: Home, receiver: Receiver, url: str, begins: str
) -> None:
    made = await home.made(receiver.url(url), kind=1, method=0)
    home.happens(seen(leg("0003*210", "4.1", exten="211"), 4))
    (taken,) = await receiver.until(1)
    assert taken.method == "GET"
    assert taken.content.startswith(begins)
    assert taken.is_signed_with(made["secret"])
    told = taken.parameters
    assert (told["CallerExtension"], told["CalledExtension"]) == ("0003*210", "0003*211")
    assert (told["CallFlow"], told["CalledNumber"]) == ("OUT", "0003*211")


async def test_only_what_is_asked_for_is_told(home: Home, receiver: Receiver) -> None:
    await home.made(receiver.url(), kind=1)
    await home.made(receiver.url(), kind=0, status=0)
    await home.made(receiver.url("/hangup"), kind=2)
    home.happens(seen(leg("0003*211", "6.1", exten="7778888"), 4))
    await home.calls(1)
    (taken,) = await receiver.until(1)
    await asyncio.sleep(0.1)
    assert [one.path for one in receiver.taken] == [taken.path] == ["/hangup"]


async def test_what_a_client_does_not_take_comes_again_in_order(
    home: Home, receiver: Receiver
) -> None:
    await home.made(receiver.url())
    receiver.status = 500
    await home.calls(5)
    await receiver.until(3)
    receiver.status = 204
    await home.until(Outcome.DELIVERED, 5)
    callers = [told["CallerIDNum"] for told in receiver.accepted]
    assert callers == [f"777{n:04}" for n in range(1, 6)]
    refused = {one.parameters["EventID"] for one in receiver.taken if one.status == 500}
    assert refused == {receiver.accepted[0]["EventID"]}


async def test_a_receiver_that_was_down_gets_it_once_it_is_up(
    home: Home, receiver: Receiver
) -> None:
    await home.made(receiver.url())
    await receiver.down()
    await home.calls(3)
    await home.until(Outcome.FAILED, 2)
    await receiver.up()
    await home.until(Outcome.DELIVERED, 3)
    assert [told["CallerIDNum"] for told in receiver.accepted] == ["7770001", "7770002", "7770003"]


async def test_one_that_is_down_holds_up_nobody_else(home: Home, receiver: Receiver) -> None:
    async with receiving() as other:
        await home.made(receiver.url())
        await home.made(other.url())
        await receiver.down()
        await home.calls(3)
        assert len(await other.until(3)) == 3


async def test_a_receiver_that_takes_too_long_has_not_taken_it(
    home: Home, receiver: Receiver
) -> None:
    await home.made(receiver.url())
    receiver.delay = 1.0
    await home.calls(1)
    await home.until(Outcome.FAILED)
    receiver.delay = 0.0
    await home.until(Outcome.DELIVERED)


async def test_redirects_are_not_followed(home: Home, receiver: Receiver) -> None:
    async with receiving() as other:
        receiver.status, receiver.location = 307, other.url("/inside")
        await home.made(receiver.url())
        await home.calls(1)
        await home.until(Outcome.FAILED, 2)
        assert other.taken == []


async def test_more_than_may_wait_is_dropped_and_the_oldest_are_kept(
    home: Home, receiver: Receiver
) -> None:
    await home.made(receiver.url())
    await receiver.down()
    await home.calls(25)
    await home.until(Outcome.DROPPED, 5)
    await receiver.up()
    await home.until(Outcome.DELIVERED, 20)
    assert [told["CallerIDNum"] for told in receiver.accepted] == [
        f"777{n:04}" for n in range(1, 21)
    ]


# Not told any more


async def test_what_waits_goes_with_one_that_is_removed(home: Home, receiver: Receiver) -> None:
    made = await home.made(receiver.url())
    receiver.status = 500
    await home.calls(3)
    await receiver.until(1)
    await home.ask("DELETE", f"/0/{made['id']}")
    seen_until = len(receiver.taken)
    receiver.status = 200
    await home.calls(2, first=10)
    await asyncio.sleep(0.3)
    assert len(receiver.taken) == seen_until
    assert home.outcomes.count("withdrawn") == 3


@pytest.mark.parametrize(
    "gone",
    [
        pytest.param(TEXT.replace('client_id = "lab-app"', 'client_id = "x-app"'), id="app"),
        pytest.param(TEXT.replace('number = "0003*210"', 'number = "0003*219"'), id="extension"),
        pytest.param(OF_ANOTHER, id="out of reach"),
        pytest.param(WHISPER_ONLY, id="action"),
    ],
)
async def test_what_the_directory_does_not_allow_any_more_is_not_told(
    home: Home, receiver: Receiver, gone: str
) -> None:
    await home.made(receiver.url())
    receiver.status = 500
    await home.calls(2)
    await receiver.until(1)
    home.reads(gone)
    receiver.status = 200
    await home.until(Outcome.WITHDRAWN, 2)
    await home.calls(2, first=10)
    await asyncio.sleep(0.2)
    assert receiver.accepted == []


async def test_one_that_is_disabled_is_told_nothing(home: Home, receiver: Receiver) -> None:
    made = await home.made(receiver.url())
    receiver.status = 500
    await home.calls(1)
    await receiver.until(1)
    await home.ask("PUT", f"/0/{made['id']}", json={"status": 0})
    receiver.status = 200
    await home.until(Outcome.WITHDRAWN)
    await home.calls(1, first=10)
    await asyncio.sleep(0.2)
    assert receiver.accepted == []
    await home.ask("PUT", f"/0/{made['id']}", json={"status": 1})
    await home.calls(1, first=20)
    await home.until(Outcome.DELIVERED)


# Where nothing is sent


@pytest.mark.parametrize(
    "host",
    [
        *("127.0.0.1", "10.0.0.1", "169.254.169.254", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0"),
        *("192.168.1.1", "[fe80::1]", "100.64.0.1", "[64:ff9b::7f00:1]"),
    ],
)
async def test_an_address_that_is_not_global_is_refused_at_once(path: Path, host: str) -> None:
    async with a_home(path, allowed=()) as home:
        answer = await home.ask("POST", json={"type": 0, "url": f"http://{host}:8080/"})
        assert (answer.status, answer.code) == (400, "pce_url_invalid")


async def test_a_name_that_leads_to_one_is_not_followed(
    path: Path, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever the resolver makes of it: the address is looked at when it is connected to."""
    with caplog.at_level(logging.WARNING, "bridge.webhooks"):
        async with a_home(path, allowed=()) as home:
            await home.made(receiver.url(host="localhost"))
            await home.calls(1)
            await home.until(Outcome.FAILED, 2)
    assert receiver.taken == []
    assert "nothing is sent to an address like this (BRIDGE_WEBHOOKS_ALLOW)" in caplog.text


async def test_the_same_name_is_followed_where_it_is_allowed(
    home: Home, receiver: Receiver
) -> None:
    await home.made(receiver.url(host="localhost"))
    await home.calls(1)
    await receiver.until(1)


async def test_what_was_allowed_before_a_restart_is_not_any_more(
    path: Path, receiver: Receiver
) -> None:
    async with a_home(path) as home:
        await home.made(receiver.url())
        await receiver.down()
        await home.calls(1)
        await home.until(Outcome.FAILED)
    await receiver.up()
    async with a_home(path, allowed=()) as home:
        await home.until(Outcome.FAILED, 2)
    assert receiver.taken == []


@asynccontextmanager
async def a_dead_server() -> AsyncIterator[tuple[int, list[int]]]:
    """A server that accepts and never answers: its port, and how many were connected, each time."""
    connected: set[asyncio.StreamWriter] = set()
    counts: list[int] = []

    async def ignore(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connected.add(writer)
        counts.append(len(connected))
        with suppress(ConnectionError):
            await reader.read()
        connected.discard(writer)
        writer.close()

    async with await asyncio.start_server(ignore, "127.0.0.1", 0) as listener:
        yield listener.sockets[0].getsockname()[1], counts


async def test_servers_that_never_answer_keep_nobody_waiting(
    path: Path, receiver: Receiver
) -> None:
    async with (
        a_dead_server() as (port, counts),
        a_home(path, timeout=30) as home,
    ):
        for _ in range(40):
            await home.made(f"http://127.0.0.1:{port}/")
        await home.made(receiver.url())
        await home.calls(20)
        await home.until(Outcome.DELIVERED, 20)
        assert [told["CallerIDNum"] for told in receiver.accepted] == [
            f"777{number:04}" for number in range(1, 21)
        ]
        assert max(counts) == 8
        assert Outcome.FAILED.value not in home.outcomes
        assert (await home.house.get("/uapi/phoneCalls/12/0003*210")).status == 204


async def test_names_are_looked_up_however_much_else_waits_for_a_thread(
    home: Home, receiver: Receiver
) -> None:
    await home.made(receiver.url(host="localhost"))
    over = threading.Event()
    others = [asyncio.create_task(asyncio.to_thread(over.wait)) for _ in range(64)]
    try:
        await home.calls(1)
        await home.until(Outcome.DELIVERED)
    finally:
        over.set()
        await asyncio.gather(*others)


# Kept


async def test_hooks_and_what_waits_outlive_a_restart(path: Path, receiver: Receiver) -> None:
    async with a_home(path) as home:
        made = await home.made(receiver.url())
        listed = (await home.ask("GET")).json
        await receiver.down()
        await home.calls(4)
        await home.until(Outcome.FAILED, 2)
    await receiver.up()
    async with a_home(path) as home:
        assert (await home.ask("GET")).json == listed
        await home.calls(1, first=5)
        await home.until(Outcome.DELIVERED, 5)
    assert [told["CallerIDNum"] for told in receiver.accepted] == [
        f"777{n:04}" for n in range(1, 6)
    ]
    assert all(taken.is_signed_with(made["secret"]) for taken in receiver.taken)


async def test_what_came_in_the_last_moment_is_kept(path: Path, receiver: Receiver) -> None:
    async with AsyncExitStack() as stack:
        home = await stack.enter_async_context(a_home(path))
        await home.made(receiver.url())
        await receiver.down()
        await home.calls(3)
    await receiver.up()
    async with a_home(path) as home:
        await home.until(Outcome.DELIVERED, 3)
    assert [told["CallerIDNum"] for told in receiver.accepted] == ["7770001", "7770002", "7770003"]


CALLER = leg("7778888", "7.1", exten="0003*210", state=UP)
CALLED = leg("0003*210", "7.2", "7.1", connected=("", "7778888"), state=UP)
ANOTHER = leg("0003*210", "9.2", "9.1", state=RINGING)
TALKING = [listed(each, bridge="b", application="AppDial") for each in (CALLER, CALLED)]


def kinds(receiver: Receiver) -> list[str]:
    """The types that came, as the paths of their hooks name them."""
    return [taken.path.removeprefix("/") for taken in receiver.taken]


async def of_all_types(home: Home, receiver: Receiver) -> None:
    """Have every type of event told, at a path of its own."""
    for kind in range(5):
        await home.made(receiver.url(f"/{kind}"), kind)


async def test_what_changed_while_the_bridge_was_away_is_told_once(
    path: Path, receiver: Receiver
) -> None:
    async with a_home(path) as home:
        await of_all_types(home, receiver)
        home.happens(*talk(CALLER, CALLED))
        await receiver.until(2)
        assert sorted(kinds(receiver)) == ["0", "3"]
    for _ in range(2):
        async with a_home(path, calls=TALKING) as home:
            await home.calls(1, first=5)
            await receiver.until(len(receiver.taken) + 3)
    assert sorted(kinds(receiver)[2:]) == ["0", "0", "2", "2", "3", "3"]
    async with a_home(path, calls=[listed(ANOTHER, application="AppDial")]):
        begun, ended = sorted((await receiver.until(10))[8:], key=lambda taken: taken.path)
    assert (begun.path, begun.parameters["CallStatus"]) == ("/0", "CALLING")
    assert (ended.path, ended.parameters["CallStatus"]) == ("/2", "ANSWER")
    assert ended.parameters["CallID"] == receiver.taken[0].parameters["CallID"]
    assert ended.parameters["CallerIDNum"] == "7778888"
    async with a_home(path) as home:
        last = (await receiver.until(11))[-1]
        await home.calls(1, first=6)
        await receiver.until(14)
    assert (last.path, last.parameters["CallStatus"]) == ("/2", "UNKNOWN")
    assert len({taken.parameters["EventID"] for taken in receiver.taken}) == 14


async def test_a_call_that_went_on_when_it_was_asked_to_be_told_only_ends(
    path: Path, receiver: Receiver
) -> None:
    async with a_home(path) as home:
        home.happens(*talk(CALLER, CALLED))
        await of_all_types(home, receiver)
    async with a_home(path, calls=TALKING):
        pass
    async with a_home(path):
        assert [taken.path for taken in await receiver.until(1)] == ["/2"]
    assert len(receiver.taken) == 1


async def test_one_that_is_made_before_the_calls_are_known_is_told_of_none_of_them(
    path: Path, receiver: Receiver
) -> None:
    async with a_home(path, calls=None) as home:
        await of_all_types(home, receiver)
    async with a_home(path, calls=TALKING) as home:
        home.happens(*end(CALLER, CALLED))
        assert [taken.path for taken in await receiver.until(1)] == ["/2"]


async def test_of_an_extension_without_hooks_nothing_is_kept(
    path: Path, receiver: Receiver
) -> None:
    async with a_home(path) as home:
        await of_all_types(home, receiver)
        home.happens(*talk(CALLER, CALLED))
        await receiver.until(2)
        await home.ask("DELETE")
        await of_all_types(home, receiver)
        await home.ask("DELETE")
    store = Store(path)
    assert (store.followed(), store.parts(), store.hooks()) == (set(), {}, [])
    store.close()
    async with a_home(path) as home:
        await of_all_types(home, receiver)
        await home.calls(1)
        await receiver.until(5)
    assert sorted(kinds(receiver)) == ["0", "0", "2", "3", "3"]


async def test_neither_secrets_nor_numbers_are_logged(
    path: Path, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        async with a_home(path) as home:
            made = await home.made(receiver.url("/a-private-path?key=private"), note="3334444")
            receiver.status = 500
            await home.calls(2)
            await receiver.until(2)
            receiver.status = 200
            await home.until(Outcome.DELIVERED, 2)
    ours = [record.getMessage() for record in caplog.records if record.name.startswith("bridge")]
    assert any("is not delivered yet: status 500" in line for line in ours)
    assert any("delivered" in line for line in ours)
    for word in (made["secret"], "private", "777000", "3334444", "0003*210"):
        assert not [line for line in ours if word in line]
