"""Every error of the whisper, by a request that provokes it on a call in progress.

All tests share one call, which no refused request may change.
"""

import json
import time
from collections.abc import AsyncIterator, Callable

import pytest

from bridge.lab.phone import Phone
from bridge.tokens import LIFETIME

from .client import PATHS, Answer, Api, Json, whisper
from .stage import Call, Stage, a_call

pytestmark = pytest.mark.pbx

UNKNOWN_CALL = "0123456789abcdef0123"

WRONG: dict[str, list[Json]] = {
    "pc_timeout_invalid": [
        {"waitForPickup": wrong}
        for wrong in (0, "0", -1, "-1", True, 1.5, "1.5", " 20", "1e3", "soon", "", [20], 10**10)
    ],
    "pc_callerid_invalid": [
        {"callerId": wrong}
        for wrong in (
            *(42420042, "42420042", "John Doe", "<42420042>", "John Doe <>", "John Doe <1a>", ""),
            *("John\r\nChannel: X <1>", "John\nDoe <1>", 'John "J" Doe <1>', "John\\ Doe <1>"),
            *("John <Doe> <1>", "J" * 81 + " <1>", "John Doe <" + "1" * 41 + ">", ["A <1>"]),
        )
    ],
    "pc_phonecallview_invalid": [
        {"phoneCallViewId": wrong} for wrong in (None, "02", 2, "1", 1, "001", "00", "", "x", True)
    ],
    "pc_private_invalid": [
        {"private": wrong} for wrong in (2, "2", -1, "-1", True, False, 1.0, "yes", "", " 1", [1])
    ],
    "pc_sendcallto_invalid": [
        {"sendCallTo": wrong}
        for wrong in (
            *(None, "", "024 ", "0003*", "*024", "Supervisor", True, 24.0, ["0003*024"]),
            *("0003*999", 999, "999", "24", 24),  # nobody has these
            *("0003*210", "210", 210),  # himself
            *("0003*650", "650", "0003*660"),  # a queue, a conference
            *("0004*410", "7778888"),  # another organization, an outside number
        )
    ],
}
"""Error code to fields that are wrong while all the others are right."""


@pytest.fixture(scope="module")
async def standing(stage: Stage, customer: Phone, agent: Phone) -> AsyncIterator[Call]:
    """The customer talks to the agent all the while."""
    async with a_call(stage.api, customer, agent) as call:
        yield call


@pytest.fixture(autouse=True)
async def _nothing_happens(stage: Stage, standing: Call) -> AsyncIterator[None]:
    """No phone is called, and the call is what it was."""
    before, mark = await stage.channels(), stage.observer.events.mark()
    shown = (await stage.api.get(standing.path)).body
    yield
    assert (await stage.channels()).keys() == before.keys()
    assert not stage.rung(mark)
    assert (await stage.api.get(standing.path)).body == shown


EACH_WRONG = [
    pytest.param(code, fields, id=f"{code}-{json.dumps(*fields.values())[:24]}")
    for code, many in WRONG.items()
    for fields in many
]


# The errors of the specification's table


@pytest.mark.parametrize(("code", "fields"), EACH_WRONG)
async def test_a_wrong_field_is_named(api: Api, standing: Call, code: str, fields: Json) -> None:
    answer = await api.put(standing.path, whisper(**fields))
    assert answer.refusal == (400, code)


@pytest.mark.parametrize(
    "call_id", [UNKNOWN_CALL, "0", "no-call", "%20", "%2A", "a" * 65, "%D0%AF", "a%0D%0Ab"]
)
async def test_a_call_that_is_none_is_refused(api: Api, call_id: str) -> None:
    answer = await api.put(f"12/0003*210/{call_id}", whisper())
    assert answer.refusal == (400, "pc_honecall_invalid")


@pytest.mark.parametrize("path", ["12/0003*211", "24/0003*024", "24/@self", "@owner/2100"])
async def test_a_call_of_somebody_else_is_refused(api: Api, standing: Call, path: str) -> None:
    answer = await api.put(f"{path}/{standing.id}", whisper())
    assert answer.refusal == (400, "pc_honecall_invalid")


@pytest.mark.parametrize("path", PATHS)
async def test_every_way_to_write_the_path_gives_the_same_errors(
    api: Api, standing: Call, path: str
) -> None:
    for code, (fields, *_) in WRONG.items():
        answer = await api.put(path.format(standing.id), whisper(**fields))
        assert answer.refusal == (400, code)
    answer = await api.put(path.format(UNKNOWN_CALL), whisper())
    assert answer.refusal == (400, "pc_honecall_invalid")


async def test_of_several_faults_the_first_of_the_table_is_reported(
    api: Api, standing: Call
) -> None:
    all_wrong = {"waitForPickup": 0, "callerId": "x", "private": 2, "sendCallTo": "x"}
    body, path = whisper(**all_wrong, phoneCallViewId="99"), f"12/0003*210/{UNKNOWN_CALL}"
    assert await _mended(api, path, body, {"waitForPickup": 20}) == "pc_timeout_invalid"
    assert await _mended(api, path, body, {"callerId": "A <1>"}) == "pc_callerid_invalid"
    assert await _mended(api, path, body, {}) == "pc_honecall_invalid"
    right = standing.path
    assert await _mended(api, right, body, {"phoneCallViewId": "01"}) == "pc_phonecallview_invalid"
    assert await _mended(api, right, body, {"private": "1"}) == "pc_private_invalid"
    assert await _mended(api, right, body, {}) == "pc_sendcallto_invalid"


async def _mended(api: Api, path: str, body: Json, mend: Json) -> str:
    """The error of a request, whose next fault is mended then."""
    answer = await api.put(path, body)
    assert answer.status == 400
    body.update(mend)
    return answer.code


# The errors common to all requests


async def both(api: Api, path: str) -> list[tuple[int, str]]:
    """How a GET and a PUT of a call are refused."""
    answers = [await api.get(path), await api.put(path, whisper())]
    return [answer.refusal for answer in answers]


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Bearer",
        "Bearer ",
        "Bearer garbage-and-more",
        "Basic bGFiLWFwcDp4",
        "{token}",
        "x {token}",
    ],
)
async def test_without_a_good_token_nothing_is_told(
    stage: Stage, api: Api, standing: Call, header: str
) -> None:
    for path in (standing.path, f"12/0003*210/{UNKNOWN_CALL}", "999/none/x"):
        for method in ("GET", "PUT"):
            headers = {"Authorization": header.format(token=stage.token)} if header else {}
            url = f"{api.base}{path}"
            answer = await api.request(method, url, headers=headers, data=json.dumps(whisper()))
            assert answer.refusal == (401, "access_denied")
            assert answer.headers["WWW-Authenticate"].startswith("Bearer")


@pytest.mark.parametrize(
    "spoil",
    [
        lambda token: token[:-1],
        lambda token: token[:-1] + ("A" if token[-1] != "A" else "B"),
        lambda token: "x" + token,
        lambda token: token.upper(),
    ],
    ids=["cut", "forged", "longer", "upper case"],
)
async def test_a_token_that_was_tampered_with_is_refused(
    stage: Stage, standing: Call, spoil: Callable[[str], str]
) -> None:
    api = stage.api_with(spoil(stage.token))
    assert await both(api, standing.path) == [(401, "access_denied")] * 2


async def test_a_token_lives_one_hour(stage: Stage, standing: Call) -> None:
    now = time.time()
    young = stage.api_with(stage.tokens.issue("lab-app", now - LIFETIME + 60))
    old = stage.api_with(stage.tokens.issue("lab-app", now - LIFETIME - 1))
    assert (await young.get(standing.path)).status == 200
    assert await both(old, standing.path) == [(401, "access_denied")] * 2


@pytest.mark.parametrize("form", ["{}", "Bearer%20{}", "Bearer+{}"])
async def test_the_token_may_come_in_the_query(stage: Stage, standing: Call, form: str) -> None:
    nobody = stage.api_with("")
    url = f"{nobody.base}{standing.path}?accessRequestToken={form.format(stage.token)}"
    assert (await nobody.request("GET", url)).status == 200
    body = json.dumps(whisper(private=2))
    answer = await nobody.request("PUT", url, data=body)
    assert answer.refusal == (400, "pc_private_invalid")


@pytest.mark.parametrize("user", ["999", "0", "40", "abc", "@you", "@ME", "%40you", "12%2A", "%20"])
async def test_an_unknown_user_is_refused(api: Api, standing: Call, user: str) -> None:
    path = f"{user}/0003*210/{standing.id}"
    assert await both(api, path) == [(400, "user_invalid")] * 2


@pytest.mark.parametrize(
    "extension", ["0003*999", "999", "0003*", "*210", "x", "0003*210x", "+210", "0003*024", "024"]
)
async def test_an_unknown_extension_or_one_of_another_user_is_refused(
    api: Api, standing: Call, extension: str
) -> None:
    path = f"12/{extension}/{standing.id}"
    assert await both(api, path) == [(400, "extension_invalid")] * 2


@pytest.mark.parametrize("number", ["0004*410", "0004*999", "0009*1"])
async def test_out_of_reach_is_refused_whether_it_exists_or_not(
    api: Api, standing: Call, number: str
) -> None:
    for user in ("12", "@owner"):
        assert await both(api, f"{user}/{number}/{standing.id}") == [(401, "access_denied")] * 2


async def test_an_app_for_one_user_reaches_his_extensions_only(
    stage: Stage, standing: Call
) -> None:
    api = stage.api_with(stage.tokens.issue("agent-app", time.time()))
    assert (await api.get(standing.path)).status == 200
    assert await both(api, f"24/0003*024/{standing.id}") == [(400, "user_invalid")] * 2
    assert await both(api, f"@owner/0003*024/{standing.id}") == [(401, "access_denied")] * 2
    assert await both(api, f"@owner/0003*999/{standing.id}") == [(401, "access_denied")] * 2


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"Whisper", b"[]", b'"Whisper"', b"null", b"12", b"{", b'{"action":"Whisper",}'),
        *(b"{}", b'{"action":null}', b'{"action":5}', b'{"action":["Whisper"]}'),
        *(
            b'{"action":"Whisper","action":"Whisper"}',
            b'{"action":"\xff"}',
            b"{'action':'Whisper'}",
        ),
    ],
)
async def test_a_body_that_is_no_action_is_refused(api: Api, standing: Call, body: bytes) -> None:
    answer = await api.put(standing.path, body)
    assert answer.refusal == (400, "request_invalid")


@pytest.mark.parametrize("action", ["Dance", "whisper", "WHISPER", "", " Whisper", "Transfer"])
async def test_an_action_that_is_not_offered_is_refused(
    api: Api, standing: Call, action: str
) -> None:
    answer = await api.put(standing.path, whisper(action=action))
    assert answer.refusal == (501, "request_not_implemented")


async def test_every_error_is_json_of_the_same_form(stage: Stage, api: Api, standing: Call) -> None:
    refusals = [
        await api.put(standing.path, whisper(private=2)),
        await api.put(standing.path, b"x" * 70_000),
        await api.request("POST", f"{api.base}{standing.path}"),
        await api.request("GET", api.base.replace("phoneCalls", "faxes")),
        await stage.api_with("").get(standing.path),
    ]
    assert [answer.status for answer in refusals] == [400, 413, 405, 404, 401]
    for answer in refusals:
        _has_the_form(answer)


def _has_the_form(answer: Answer) -> None:
    assert answer.headers["Content-Type"].startswith("application/json")
    assert answer.body.keys() == {"error"}
    assert answer.body["error"].keys() == {"code", "message"}
    assert answer.code
    assert answer.message


async def test_an_error_never_repeats_what_was_sent(api: Api, standing: Call) -> None:
    for fields in ({"callerId": "Secret <Name>"}, {"sendCallTo": "Secret"}, {"action": "Secret"}):
        assert "Secret" not in (await api.put(standing.path, whisper(**fields))).message
