"""A hundred thousand requests of somebody who means harm, on a service beside a real PBX.

He has good tokens. Nothing he sends may bring the service down, have it fail or say anything but
what the contract says, or have the PBX do anything but what the service is for.
"""

import json
import re
from collections.abc import Mapping
from typing import Any, Final

import pytest

from tests.api.house import DESCRIPTION
from tests.support.described import Description
from tests.support.raw_http import RawAnswer

from .ami_wire import Unexpected, counted, said
from .fuzzing import Judge, attack
from .hostile import Case, Hostile, Target
from .siege import Siege

REQUESTS: Final = 100_000
SEED: Final = 20261124
AT_ONCE: Final = 4_000
"""Requests that are drawn before they are sent: the line to the PBX stands still meanwhile."""
WARM: Final = 6 * AT_ONCE
"""Requests after which all that is kept for speed is full."""
GROWTH: Final = 6.0
"""Megabytes that memory may grow from then on: less than a hundred bytes a request."""

OWN_CALLER_IDS: Final = {
    "0003*024": "Supervisor 024 <0003*024>",
    "0003*025": "Supervisor 025 <0003*025>",
    "0003*2100": "Agent 2100 <0003*2100>",
    "0003*099": "<0003*099>",
}
"""Of the phones that may be called; the last two are none the PBX could reach."""


@pytest.mark.pbx
@pytest.mark.timeout(900)
async def test_a_hundred_thousand_hostile_requests(siege: Siege) -> None:
    judge = Judge(Description(await _description(siege)))
    before = (await siege.api.get(siege.call.path)).body
    hostile, warm = Hostile(SEED, siege.target), 0.0
    mark, files = siege.stage.observer.events.mark(), siege.files
    before_wire = len(siege.wire)
    for sent in range(0, REQUESTS, AT_ONCE):
        warm = siege.memory if sent == WARM else warm
        await attack(siege.server.url, hostile.draw(AT_ONCE), judge)
    await siege.quiet()
    print(f"answers {dict(judge.statuses)}, {warm:.1f} MB and {siege.memory:.1f} MB after them")

    assert (await siege.api.get(siege.call.path)).body == before
    assert siege.memory - warm < GROWTH
    assert siege.files <= files + 1
    assert siege.faults() == []
    assert siege.audited() > REQUESTS // 2
    _compare_wire(siege.wire[before_wire:], judge)
    _compare_pbx(siege, mark, judge)


async def _description(siege: Siege) -> dict[str, object]:
    url = siege.server.url + "/openapi.json"
    answer = await siege.api.request("GET", url)
    return dict(answer.body)


def _compare_wire(wire: bytes, judge: Judge) -> None:
    """Only actions that are allowed, and no call but those that were asked for, as they were."""
    actions = said(wire)
    print(f"said to the PBX: {dict(counted(actions))}")
    assert "Login" not in counted(actions)
    wanted = {_originated(case) for case in judge.tried}
    rung = [action for action in actions if action["Action"] == "Originate"]
    assert len(rung) > 500
    for action in rung:
        barges = "B" in action["Data"]
        assert (action["Channel"], action["CallerID"], action["Timeout"], barges) in wanted


Rung = tuple[str, str, str, bool]
"""Phone, caller id and milliseconds of a call, and whether everybody is to hear who answers."""


def _originated(case: Case) -> Rung | None:
    """The call that a request asks the PBX for."""
    try:
        return _asked_for(json.loads(case.body))
    except (ValueError, KeyError, TypeError, AssertionError, RecursionError):
        return None  # one that was not waited for asks for nothing


def _asked_for(fields: Mapping[str, Any]) -> Rung:
    number = str(fields["sendCallTo"])
    number = number if "*" in number else f"0003*{number}"
    caller = fields.get("callerId")
    if caller is not None:
        found = re.fullmatch(r"\s*(.*?)\s*<([^<>]*)>\s*", caller, re.DOTALL)
        assert found
        caller = f"{found[1]} <{found[2]}>"
    seconds = fields.get("waitForPickup")
    return (
        f"PJSIP/{number}",
        caller or OWN_CALLER_IDS[number],
        f"{int(25 if seconds is None else seconds) * 1000}",
        fields["action"] == "BargeIn",
    )


def _compare_pbx(siege: Siege, mark: int, judge: Judge) -> None:
    """What the PBX did, and what a phone showed: whispers, by whom they were asked for."""
    born = [
        event
        for event in siege.stage.observer.events.entries[mark:]
        if event["Event"] == "Newchannel"
    ]
    legs = [event for event in born if re.fullmatch("whisper-[0-9a-f]{20}", event["Uniqueid"])]
    assert born == legs
    assert {event["Channel"].rpartition("-")[0] for event in legs} == {
        "PJSIP/0003*024",
        "PJSIP/0003*025",
    }
    shown = {f"{call.name} <{call.number}>" for call in siege.busy.calls.entries}
    assert len(shown) > 20
    assert shown <= {call[1] for call in map(_originated, judge.tried) if call}


# Of the judges themselves


@pytest.mark.parametrize(
    "wire",
    [
        b"Action: Command\r\nCommand: core stop now\r\nActionID: 01234567-1\r\n\r\n",
        b"Action: Ping\r\nAction: Logoff\r\nActionID: 01234567-1\r\n\r\n",
        b"Action: Ping\nAction: Logoff\r\nActionID: 01234567-1\r\n\r\n",
        b"Action: Ping\r\nVariable: x\r\nActionID: 01234567-1\r\n\r\n",
        b"Action: Ping\r\nActionID: 01234567-1\r\nX: y\r\n\r\n",
        b"Action: Hangup\r\nChannel: /.*/\r\nCause: 16\r\nActionID: 01234567-1\r\n\r\n",
        b"Action: Hangup\r\nCause: 16\r\nChannel: 1.2\r\nActionID: 01234567-1\r\n\r\n",
        b"Action: Ping\r\nActionID: 01234567-1\r\n\r\nAction: Ping\r\nActionID: ",
    ],
)
def test_something_else_on_the_wire_is_noticed(wire: bytes) -> None:
    assert counted(said(b"Action: Ping\r\nActionID: 01234567-1\r\n\r\n")) == {"Ping": 1}
    with pytest.raises(Unexpected):
        said(wire)


@pytest.mark.parametrize(
    ("status", "body", "sent"),
    [
        (500, {"error": {"code": "internal_server_error", "message": "m"}}, {}),
        (503, {"error": {"code": "pbx_unavailable", "message": "m"}}, {}),
        (501, {"error": {"code": "request_not_implemented", "message": "m"}}, {"action": 1}),
        (
            501,
            {"error": {"code": "request_not_implemented", "message": "m"}},
            {"action": "Whisper"},
        ),
        (400, {"error": {"code": "count_invalid", "message": "m"}}, {}),
        (400, {"error": {"code": "pc_private_invalid"}}, {}),
        (201, {}, {}),
        (200, {"id": 1}, {}),
    ],
)
def test_an_answer_that_no_request_may_get_is_noticed(
    status: int, body: dict[str, Any], sent: dict[str, Any]
) -> None:
    judge = Judge(DESCRIPTION)
    case = Case(b"", "PUT", "/uapi/phoneCalls/12/0003*210/1", json.dumps(sent).encode())
    judge.judge(case, answer(400, {"error": {"code": "pc_private_invalid", "message": "m"}}))
    with pytest.raises((AssertionError, KeyError)):
        judge.judge(case, answer(status, body))


def answer(status: int, body: dict[str, Any]) -> RawAnswer:
    headers = {
        "Content-Type": "application/json; charset=utf-8",
        "X-Request-Id": f"{status:016x}",
        "Cache-Control": "no-store",
        "Retry-After": "1",
    }
    return RawAnswer(status, headers, json.dumps(body).encode())


def test_the_same_seed_gives_the_same_requests() -> None:
    target = Target("0123456789abcdef0123", ["a-token"])
    first, again = (Hostile(SEED, target).draw(2000) for _ in range(2))
    assert first == again
    assert len({case.raw for case in first}) > 1500
    assert {case.tame for case in first} == {True, False}
