"""Who may do what, asked over HTTP, and what the answers tell."""

import time

import pytest

from bridge.directory import Directory
from bridge.errors import ActionForbidden
from tests.support.directory import TEXT, instead, saying
from tests.support.pbx import success

from .house import TOKENS, House

LIST_ONLY = saying('client_id = "lab-app"', 'actions = ["list"]')
WHISPER_ONLY = saying('client_id = "lab-app"', 'actions = ["whisper"]')
NOTHING = saying('client_id = "lab-app"', "actions = []")
NO_APP = instead('client_id = "lab-app"', 'client_id = "other-app"')
PROTECTED = saying('number = "0003*210"', "protected = true")
RULE = '[[supervision]]\nsupervisors = ["0003*025"]\ntargets = ["user:12"]\n'
FOUND = '[[discovery]]\nendpoint = "PJSIP/{number}"\nnumbers = ["4XX"]\nuser = "12"\n'


def reads(house: House, directory: str) -> None:
    house.service.replace_directory(Directory.parse(directory))


@pytest.mark.parametrize(
    ("directory", "lists", "whispers"),
    [(TEXT, 200, 202), (LIST_ONLY, 200, 403), (WHISPER_ONLY, 403, 202), (NOTHING, 403, 403)],
)
async def test_an_app_does_what_its_actions_are(
    house: House, directory: str, lists: int, whispers: int
) -> None:
    reads(house, directory)
    assert (await house.get(house.path())).status == lists
    assert (await house.get(house.path(house.call_id))).status == lists
    assert (await house.put()).status == whispers
    assert bool(house.pbx.of("Originate")) == (whispers == 202)


async def test_an_app_without_the_action_is_not_sent_for_another_token(house: House) -> None:
    """RFC 6750, section 3.1: 403 and insufficient_scope, where 401 would mean the token."""
    reads(house, NOTHING)
    for answer in (await house.get(house.path()), await house.put()):
        assert (answer.status, answer.code) == (403, "access_denied")
        assert answer.headers["WWW-Authenticate"] == 'Bearer error="insufficient_scope"'
        assert answer.json["error"]["message"] == ActionForbidden.default


@pytest.mark.parametrize(
    "path", ["12/0003*210", "12/0003*999", "12/0004*410", "99/0003*210", "@owner/@self", "12/x"]
)
async def test_an_app_without_the_action_learns_nothing_of_what_exists(
    house: House, path: str
) -> None:
    reads(house, NOTHING)
    answer = await house.get(f"/uapi/phoneCalls/{path}")
    assert (answer.status, answer.code) == (403, "access_denied")


async def test_an_app_that_is_gone_is_turned_away_at_once(house: House) -> None:
    assert (await house.get(house.path())).status == 200
    reads(house, NO_APP)
    answer = await house.get(house.path())
    assert (answer.status, answer.code) == (401, "access_denied")
    assert (await house.put()).status == 401
    reads(house, TEXT)
    assert (await house.get(house.path())).status == 200


@pytest.mark.parametrize(
    ("directory", "code"),
    [(PROTECTED, "pc_phonecallview_invalid"), (TEXT + RULE, "pc_sendcallto_invalid")],
)
async def test_who_may_not_be_supervised_or_supervise_has_his_code(
    house: House, directory: str, code: str
) -> None:
    reads(house, directory)
    answer = await house.put()
    assert (answer.status, answer.code) == (400, code)
    # The calls are still shown.
    assert (await house.get(house.path())).status == 200


@pytest.mark.parametrize(
    ("client", "path", "state", "status", "code"),
    [
        ("lab-app", "12/0003*410", "NOT_INUSE", 204, ""),
        ("lab-app", "@owner/410", "UNAVAILABLE", 204, ""),
        ("lab-app", "12/0003*410", "INVALID", 400, "extension_invalid"),
        ("lab-app", "24/0003*410", "NOT_INUSE", 400, "extension_invalid"),
        ("lab-app", "12/0003*510", "NOT_INUSE", 400, "extension_invalid"),
        ("lab-app", "12/0004*410", "NOT_INUSE", 401, "access_denied"),
        ("agent-app", "@me/410", "NOT_INUSE", 204, ""),
        ("agent-app", "@me/410", "INVALID", 401, "access_denied"),
        ("agent-app", "@me/510", "NOT_INUSE", 401, "access_denied"),
        ("system-app", "@owner/0003*410", "INVALID", 400, "extension_invalid"),
        ("system-app", "@owner/0003*410", "INUSE", 204, ""),
    ],
)
async def test_an_extension_without_a_line_of_its_own_is_there_if_the_pbx_knows_it(
    house: House, client: str, path: str, state: str, status: int, code: str
) -> None:
    reads(house, TEXT + FOUND)
    house.pbx.answer("Getvar", success(Value=state))
    token = TOKENS.issue(client, time.time())
    answer = await house.get(f"/uapi/phoneCalls/{path}", token=token)
    assert (answer.status, answer.code if code else "") == (status, code)
    one = await house.get(f"/uapi/phoneCalls/{path}/444444", token=token)
    assert (one.status, one.code if code else "") == (status, code)


async def test_what_is_no_number_of_the_form_is_never_asked_of_the_pbx(house: House) -> None:
    reads(house, TEXT + FOUND)
    written = [
        "0003*4%0d%0aAction:%20Ping",
        "4)1",
        "4,1",
        "0003*4%D9%A0%D9%A0",
        "4" + "0" * 3000,
        "0004*410",
    ]
    for extension in written:
        answer = await house.get(f"/uapi/phoneCalls/@owner/{extension}")
        assert answer.status in (400, 401)
    assert house.pbx.of("Getvar") == []
