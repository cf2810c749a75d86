"""The matrix of reach: every client asks for everything, and rules.py says what each one gets."""

from collections.abc import Iterable, Iterator
from functools import partial
from itertools import product
from typing import Final
from urllib.parse import quote

import pytest

from tests.support.raw_http import RawAnswer, request

from .house import House
from .rules import (
    NO_CALL,
    NO_EXTENSION,
    NO_SUPERVISOR,
    Asked,
    Refusal,
    listed,
    may_whisper,
    reached,
)
from .world import CLIENTS, LINES, OUTSIDE, OWNERS, PREFIXES, TALKS, Client, Line, Talk

USERS: Final = (*(owner.id for owner in OWNERS), "@me", "@viewer", "@owner", "99")
NO_USERS: Final = (
    *("0", "012", "12 ", "12\0", "@you", "@ME", "@self", "m", "1.2", "١٢", "12\r\n", "*"),
)
EXTENSIONS: Final = (
    *(line.number for line in LINES),
    *(f"{prefix}*999" for prefix in PREFIXES),
    *("210", "024", "@self", "21O"),
)
MORE_EXTENSIONS: Final = (
    *sorted({line.short for line in LINES} - {"210", "024"}),
    *("999", "0009*210", "3*210", "*210", "0003*", "0003**210", "0003*0003*210", "0003", "00030"),
    *("@me", "@SELF", "+210", "210\0", "٢١٠", "0003*210\r\nAction: Ping", OUTSIDE),
)
UNKNOWN: Final = ("0123456789abcdef0123",)
MALFORMED: Final = ("no-call", "\0", "a" * 65, "@self", "é", "1\r\nAction: Ping")

ACTIONS: Final = ("Whisper", "Monitor", "BargeIn")
SPELLINGS: Final = ("*@", "@", "*", "")
"""What a client leaves raw in a path; with and without a slash at the end."""

EVERYBODY: Final = [
    pytest.param(client, id=client.id if client else "nobody") for client in (None, *CLIENTS)
]

Outcome = tuple[int, object]


def spelled(asked: Asked, n: int) -> str:
    """A path as clients write it, each time in another way."""
    parts = (asked.user, asked.extension, *([asked.call] if asked.call is not None else []))
    raw = SPELLINGS[n % len(SPELLINGS)]
    return "/".join(quote(part, safe=raw) for part in parts) + "/" * (n // len(SPELLINGS) % 2)


def outcome(answer: RawAnswer) -> Outcome:
    """Status, and the code of an error or the ids of the calls shown."""
    if answer.status >= 400:
        return answer.status, answer.code
    if answer.status == 204:
        return 204, frozenset()
    shown = answer.json.get("entry", [answer.json])
    return answer.status, frozenset(call["id"] for call in shown)


def compare(
    asked: Iterable[object], answers: Iterable[RawAnswer], expected: Iterable[Outcome]
) -> None:
    """Every answer is the expected one; otherwise the first that are not are shown."""
    triples = list(zip(asked, map(outcome, answers), expected, strict=True))
    assert triples
    assert [triple for triple in triples if triple[1] != triple[2]][:10] == []


# What is shown


@pytest.mark.parametrize("client", EVERYBODY)
async def test_whose_calls_a_client_sees(house: House, client: Client | None) -> None:
    everything = product((*USERS, *NO_USERS), (*EXTENSIONS, *MORE_EXTENSIONS))
    asked = [Asked(*pair) for pair in everything]
    answers = await house.ask(house.get(client, spelled(one, n)) for n, one in enumerate(asked))
    compare(asked, answers, [_list(house, client, one) for one in asked])


def _list(house: House, client: Client | None, asked: Asked) -> Outcome:
    numbers = reached(client, asked)
    if isinstance(numbers, tuple):
        return numbers
    ids = frozenset(house.calls[talk] for talk in listed(numbers))
    return (200 if ids else 204), ids


@pytest.mark.parametrize("client", EVERYBODY)
async def test_which_call_a_client_sees(house: House, client: Client | None) -> None:
    asked = list(_with_calls(house))
    answers = await house.ask(house.get(client, spelled(one, n)) for n, one in enumerate(asked))
    compare(asked, answers, [_call(house, client, one) for one in asked])


def _with_calls(house: House) -> Iterator[Asked]:
    calls = (*house.calls.values(), *UNKNOWN, *MALFORMED)
    few = (*USERS[:3], "@me", "@owner")
    for user, extension, call in product(USERS, EXTENSIONS, calls):
        if call not in MALFORMED or user in few:
            yield Asked(user, extension, call)


def _call(house: House, client: Client | None, asked: Asked) -> Outcome:
    numbers = reached(client, asked)
    if isinstance(numbers, tuple):
        return numbers
    if asked.call in MALFORMED:
        return NO_CALL
    shown = {house.calls[talk] for talk in listed(numbers)} & {asked.call}
    return (200 if shown else 204), frozenset(shown)


# What may be acted on


@pytest.mark.parametrize("client", EVERYBODY)
async def test_which_call_a_client_acts_on(house: House, client: Client | None) -> None:
    """Each request has a last fault, which shows once everything else was found right."""
    asked, mark = list(_with_calls(house)), house.pbx.mark()
    views = [f"{1 + n % 2:02}" for n in range(len(asked))]
    actions = [ACTIONS[n // 2 % 3] for n in range(len(asked))]
    cases = list(zip(asked, views, actions, strict=True))
    answers = await house.ask(
        house.put(client, spelled(one, n), action, phoneCallViewId=view, private=2)
        for n, (one, view, action) in enumerate(cases)
    )
    compare(cases, answers, [_act(house, client, *case) for case in cases])
    assert house.originated(mark) == []


def _act(house: House, client: Client | None, asked: Asked, view: str, action: str) -> Refusal:
    numbers = reached(client, asked)
    if isinstance(numbers, tuple):
        return numbers
    mine = [talk for talk in listed(numbers) if house.calls[talk] == asked.call]
    if not mine:
        return NO_CALL
    seen = house.views[mine[0]].get(view) in numbers
    if not seen:
        return 400, "pc_phonecallview_invalid"
    # Only a whisper can be private; the others have no supervisor either.
    return (400, "pc_private_invalid") if action == "Whisper" else NO_SUPERVISOR


@pytest.mark.parametrize("client", [p for p in EVERYBODY if p.id != "nobody"])
async def test_who_may_whisper_to_whom(house: House, client: Client) -> None:
    asked, mark = list(_whispers(house, client)), house.pbx.mark()
    answers = await house.ask(
        house.put(
            client,
            f"@owner/{target.number}/{house.calls[talk]}",
            ACTIONS[n % 3],
            phoneCallViewId=view,
            sendCallTo=number,
        )
        for n, (talk, target, view, number) in enumerate(asked)
    )
    compare(
        asked,
        answers,
        [
            (202, frozenset({house.calls[talk]}))
            if may_whisper(client, target, talk, number)
            else NO_SUPERVISOR
            for talk, target, _, number in asked
        ],
    )
    rung = {asked.headers["Channel"] for asked in house.originated(mark)}
    assert rung <= {f"PJSIP/{line.number}" for line in LINES if line.phone}
    assert bool(rung) == any(answer.status == 202 for answer in answers)


def _whispers(house: House, client: Client) -> Iterator[tuple[Talk, Line, str, str]]:
    """Each call and party in reach, with the party's view, and every number there could be."""
    lines = {line.number: line for line in LINES}
    for talk in TALKS:
        for view, number in house.views[talk].items():
            if not isinstance(reached(client, Asked("@owner", number)), tuple):
                for supervisor in (*EXTENSIONS, *MORE_EXTENSIONS):
                    if supervisor.isascii() and supervisor.replace("*", "").isdigit():
                        yield talk, lines[number], view, supervisor


# What is told of call events


@pytest.mark.parametrize("client", EVERYBODY)
async def test_of_whose_calls_a_client_is_told(house: House, client: Client | None) -> None:
    """Each request to make one has a last fault; of those that are there, everybody has none."""
    asked = [Asked(*pair) for pair in product((*USERS, *NO_USERS), (*EXTENSIONS, *MORE_EXTENSIONS))]
    for method, last in (("POST", (400, "pce_type_invalid")), ("GET", (204, frozenset()))):
        answers = await house.ask(house.hooks(method, client, _quoted(one)) for one in asked)
        compare(asked, answers, [_told(client, one, last) for one in asked])


def _quoted(asked: Asked) -> str:
    return f"{quote(asked.user, safe='@')}/{quote(asked.extension, safe='*@')}"


def _told(client: Client | None, asked: Asked, last: Outcome) -> Outcome:
    numbers = reached(client, asked)
    if isinstance(numbers, tuple):
        return numbers
    return NO_EXTENSION if asked.extension == "@self" else last


async def test_what_a_client_made_nobody_else_sees_or_touches(house: House) -> None:
    owner, *others = [client for client in CLIENTS if client.owner.prefix == PREFIXES[0]]
    line = next(line for line in LINES if line.owner == owner.owner)
    path, url = f"@owner/{line.number}", "http://x.invalid/"
    (made,) = await house.ask([house.hooks("POST", owner, path, type=0, url=url)])
    one = f"/0/{made.json['id']}"
    for client in (None, *others):
        refused = reached(client, Asked("@owner", line.number))
        for method, more in product(("GET", "DELETE"), ("", "/0", one)):
            (answer,) = await house.ask([house.hooks(method, client, path, more)])
            expected = refused if isinstance(refused, tuple) else (204, frozenset())
            assert outcome(answer) == expected
        (answer,) = await house.ask(
            [house.hooks("PUT", client, path, one, url="http://y.invalid/")]
        )
        assert outcome(answer) == (
            refused if isinstance(refused, tuple) else (400, "pce_id_invalid")
        )
    (kept,) = await house.ask([house.hooks("GET", owner, path, one)])
    assert kept.json["url"] == url
    (removed,) = await house.ask([house.hooks("DELETE", owner, path)])
    assert [hook["id"] for hook in removed.json] == [made.json["id"]]


# What is not told apart


@pytest.mark.parametrize("client", [p for p in EVERYBODY if p.id != "nobody"])
async def test_an_answer_does_not_tell_what_exists(house: House, client: Client) -> None:
    """To the last byte: only the name of the request and the date differ between answers."""
    there, not_there = zip(*_twins(client), strict=True)
    for make in (house.get, house.put, partial(house.hooks, "GET"), partial(house.hooks, "POST")):
        real = await house.ask(make(client, path) for path in there)
        unreal = await house.ask(make(client, path) for path in not_there)
        assert [bare(answer) for answer in real] == [bare(answer) for answer in unreal]


def _twins(client: Client) -> Iterator[tuple[str, str]]:
    """Paths of what is out of reach, and of the same that is nowhere."""
    for line in LINES:
        if isinstance(reached(client, Asked("@owner", line.number)), tuple):
            for user in ("@owner", "@me", client.owner.id):
                yield f"{user}/{line.number}", f"{user}/{line.owner.prefix}*999"
    for owner in OWNERS:
        if isinstance(reached(client, Asked(owner.id, "@self")), tuple):
            yield f"{owner.id}/@self", "99/@self"
            yield f"{owner.id}/{owner.prefix}*210", f"99/{owner.prefix}*210"
    yield "99/@self", "98/@self"


def bare(answer: RawAnswer) -> tuple[int, list[tuple[str, str]], bytes]:
    """An answer without what differs each time."""
    differs = ("X-Request-Id", "Date")
    kept = [(name, value) for name, value in answer.headers.items() if name not in differs]
    return answer.status, kept, answer.body


async def test_a_call_of_others_is_like_none(house: House) -> None:
    for client in CLIENTS:
        for line in (line for line in LINES if line.owner == client.owner):
            foreign = [
                call for talk, call in house.calls.items() if line.number not in talk.parties()
            ]
            paths = [f"@me/{line.number}/{call}" for call in (*foreign, *UNKNOWN)]
            gets = await house.ask(house.get(client, path) for path in paths)
            puts = await house.ask(house.put(client, path) for path in paths)
            assert {bare(one)[0] for one in gets} == {204}
            for answers in (gets, puts):
                assert len({repr(bare(answer)) for answer in answers}) == 1


# Methods


@pytest.mark.parametrize("method", ["POST", "PATCH", "OPTIONS", "TRACE", "PROPFIND"])
async def test_a_method_that_is_not_there_tells_nobody_anything(house: House, method: str) -> None:
    paths = [f"{user}/{line.number}" for user in ("@owner", "99") for line in LINES]
    paths += [f"{path}/{call}" for path in paths for call in (*house.calls.values(), *UNKNOWN)]
    answers = await house.ask(
        request(method, f"/uapi/phoneCalls/{path}", house.tokens[client])
        for path in paths
        for client in (None, *CLIENTS[:3])
    )
    assert {outcome(answer) for answer in answers} == {(405, "method_not_allowed")}
    assert len({answer.headers["Allow"] for answer in answers}) == 2
