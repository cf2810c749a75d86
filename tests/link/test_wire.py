"""From bytes to events and answers: nothing that the PBX says is lost, however it arrives."""

import asyncio
import logging
from collections.abc import Callable, Iterable
from functools import partial
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge import actions, events
from bridge.actions import Action, Spy
from bridge.ami import MAX_MESSAGE, Link
from bridge.errors import LinkLost
from bridge.events import Event, HungUp, Originated, Seen
from bridge.model import CallerId
from bridge.service import Rules, Service
from tests.support import recordings
from tests.support.directory import DIRECTORY
from tests.support.picture import check, the_call

from .ear import PATIENCE, Ear, Lost, Restored, address, linked, running
from .fake_pbx import (
    BANNER,
    END,
    AmiServer,
    Asked,
    Reply,
    a_pbx,
    channel,
    event,
    hangup,
    message,
    new_channel,
    unanswered,
)

NAMES = ("Zoë Müller", "名前", "Плут", "🎧 Agent", "a\u0301")


def stream() -> bytes:
    """A short call with names in many scripts, among events that are not for us."""
    said = [new_channel(f"1.{n}", CallerIDName=name) for n, name in enumerate(NAMES)]
    said.insert(2, event("VarSet", Variable="NAME", Value="Zoë"))
    said.insert(4, event("RTCPSent", Channel="PJSIP/ü-1"))
    said += [hangup(f"1.{n}") for n in range(len(NAMES))]
    return b"".join(said)


def parsed(data: bytes) -> list[Event]:
    """The events in a stream, read one whole message after the other."""
    found = map(events.parse, data.split(END))
    return [event for event in found if event is not None]


def cut(data: bytes, places: Iterable[int]) -> list[bytes]:
    """The data cut at these places."""
    return [data[a:b] for a, b in pairwise([0, *sorted(set(places)), len(data)])]


async def received(server: AmiServer, ear: Ear, chunks: Iterable[bytes]) -> list[Event]:
    """What the listener is told when the server says these chunks."""
    mark = ear.mark()
    await server.line.say_in([*chunks, new_channel("last")])
    await ear.hears_of("last", since=mark)
    return [item for item in ear.heard.entries[mark:-1] if not isinstance(item, Restored | Lost)]


# However it is cut

STREAM = stream()


@given(st.lists(st.integers(1, len(STREAM) - 1), max_size=30))
@settings(deadline=None)
async def test_a_stream_gives_the_same_events_wherever_it_is_cut(places: list[int]) -> None:
    async with a_pbx() as server, linked(server) as (_, ear):
        assert await received(server, ear, cut(STREAM, places)) == parsed(STREAM)


async def test_every_byte_may_come_by_itself(server: AmiServer) -> None:
    async with linked(server) as (_, ear):
        chunks = [bytes([byte]) for byte in STREAM]
        assert await received(server, ear, chunks) == parsed(STREAM)


async def test_a_character_may_be_cut_at_any_byte(server: AmiServer) -> None:
    said = new_channel("1.1", CallerIDName="é名🎧")
    async with linked(server) as (_, ear):
        for place in range(1, len(said)):
            (seen,) = await received(server, ear, cut(said, [place]))
            assert isinstance(seen, Seen)
            assert seen.channel.caller_name == "é名🎧"


async def test_everything_may_come_at_once(server: AmiServer) -> None:
    said = b"".join(m + END for m in recordings.messages("whisper"))
    async with linked(server) as (_, ear):
        told = await received(server, ear, [said * 20])
    assert told == recordings.load("whisper").events() * 20


def _greeted(rest: bytes, login: Reply, asked: Asked) -> bytes:
    return rest + login(asked)


async def test_the_greeting_may_come_in_pieces_and_the_answer_with_it() -> None:
    for place in range(1, len(BANNER)):
        async with a_pbx() as server:
            server.banner = BANNER[:place]
            server.replies["Login"] = partial(_greeted, BANNER[place:], server.replies["Login"])
            async with linked(server):
                assert server.count("Login") == 1


async def test_a_stray_blank_line_costs_nothing(server: AmiServer) -> None:
    said = b"\r\n".join([new_channel("1.1"), new_channel("1.2"), hangup("1.1"), b""])
    async with linked(server) as (link, ear):
        assert len(await received(server, ear, [said])) == 3
        server.replies["Ping"] = lambda asked: b"\r\n" + asked.succeeds()
        assert (await link.send(actions.ping())).success


# Whatever it says


async def test_bytes_that_are_no_text_do_no_harm(server: AmiServer) -> None:
    said = new_channel("1.1", CallerIDName="Zo?").replace(b"Zo?", b"Zo\xff\xc3")
    async with linked(server) as (_, ear):
        (seen,) = await received(server, ear, [said])
    assert isinstance(seen, Seen)
    assert seen.channel.caller_name == "Zo\ufffd\ufffd"


@pytest.mark.parametrize("size", [1_000, 200_000, MAX_MESSAGE - 2_000])
async def test_a_long_line_is_taken_in(server: AmiServer, size: int) -> None:
    said = [new_channel("1.1", CallerIDName="é" * (size // 2)), event("VarSet", Value="x" * size)]
    async with linked(server) as (_, ear):
        (seen,) = await received(server, ear, [b"".join(said)])
        assert isinstance(seen, Seen)
        assert len(seen.channel.caller_name) == size // 2
        assert ear.count(Lost) == 0


async def test_a_line_without_end_is_no_asterisk(
    server: AmiServer, caplog: pytest.LogCaptureFixture
) -> None:
    async with linked(server) as (_, ear):
        mark = ear.mark()
        server.line.say(b"Event: Newchannel\r\nChannel: " + b"x" * (MAX_MESSAGE + 1))
        await ear.hears(Lost, since=mark)
        await ear.hears(Restored, since=mark)
    assert "no message" in caplog.text
    assert "xxx" not in caplog.text


async def test_of_a_repeated_header_one_is_taken(server: AmiServer) -> None:
    twice = b"CallerIDName: One\r\nCallerIDName: Two\r\n"
    said = new_channel("1.1", CallerIDName="One").replace(b"CallerIDName: One\r\n", twice)
    async with linked(server) as (link, ear):
        (seen,) = await received(server, ear, [said])
        server.replies["Ping"] = lambda a: a.succeeds().replace(
            END, b"\r\nOutput: one\r\nOutput: two" + END
        )
        answer = await link.send(actions.ping())
    assert isinstance(seen, Seen)
    assert seen.channel.caller_name == "One"
    assert answer.headers["Output"] == "two"


@pytest.mark.parametrize(
    "nonsense",
    [
        b"Event: Newchannel\r\n\r\n",
        b"Event: Hangup\r\nUniqueid: \r\nChannel: \r\nCause: many\r\n\r\n",
        b"Event: BridgeEnter\r\nChannel: PJSIP/a-1\r\nUniqueid: 1.1\r\n\r\n",
        b"Event:\r\n\r\n",
        b"no header at all\r\n\r\n",
        b"\r\n\r\n",
        b": \r\n: \r\n\r\n",
        b"\x00\x01\x02\r\n\r\n",
        b"Response: \r\n\r\n",
    ],
)
async def test_nonsense_is_passed_over(server: AmiServer, nonsense: bytes) -> None:
    async with linked(server) as (_, ear):
        assert await received(server, ear, [nonsense, hangup("1.1")]) == parsed(hangup("1.1"))
        assert ear.count(Lost) == 0


async def test_nonsense_with_the_id_of_a_list_is_passed_over(server: AmiServer) -> None:
    def reply(asked: Asked) -> bytes:
        start, end = asked.lists("Row", "RowsComplete", [])
        return start + message({"ActionID": asked.id, "Strange": "yes"}) + end

    async with linked(server) as (link, ear):
        server.replies["Rows"] = reply
        answer = await link.send(Action({"Action": "Rows"}, "RowsComplete"))
        assert answer.success
        assert ear.count(Lost) == 0


# In whatever order


async def fed(server: AmiServer, *said: bytes) -> Service:
    """The service after the PBX said this."""
    link = Link(address(server))
    service = Service(DIRECTORY, link, Rules("lab"))
    async with running(link, service):
        await server.gets("BridgeList")
        server.line.say(b"".join(said) + new_channel("last", "7778888"))
        async with asyncio.timeout(PATIENCE):
            while "last" not in service.picture.channels:
                await asyncio.sleep(0)
        await service.close()
    check(service.picture)
    return service


async def test_a_channel_that_was_never_announced_is_known_by_its_first_event(
    server: AmiServer,
) -> None:
    said = event("BridgeEnter", BridgeUniqueid="b", BridgeTechnology="simple", **channel("1.1"))
    picture = (await fed(server, said)).picture
    assert [leg.extension.number for leg in picture.channels["1.1"].call.views()] == ["0003*210"]  # type: ignore[union-attr]


async def test_what_comes_after_the_end_of_a_channel_does_not_bring_it_back(
    server: AmiServer,
) -> None:
    picture = (await fed(server, hangup("1.1"), new_channel("1.1"), hangup("never"))).picture
    assert set(picture.channels) == {"last"}


async def test_a_call_told_backwards_is_the_same_call(server: AmiServer) -> None:
    pair = [channel("1.1", "7778888"), channel("1.2", Linkedid="1.1")]
    said = [
        event("BridgeEnter", BridgeUniqueid="b", BridgeTechnology="simple", **leg) for leg in pair
    ]
    said += [event("Newstate", **leg) for leg in pair] + [
        event("Newchannel", **leg) for leg in pair
    ]
    service = await fed(server, *said)
    call = next(call for call in service.picture.calls() if "1.1" in call.channels)
    assert set(call.channels) == {"1.1", "1.2"}


async def test_a_recorded_call_leaves_nothing_behind(server: AmiServer) -> None:
    service = await fed(server, *(m + END for m in recordings.messages("attended-by-agent")))
    assert set(the_call(service.picture).channels) == {"last"}
    assert not service.picture.bridges


# When the listener fails


class Fragile(Ear):
    """A listener with faults."""

    def on_event(self, event: Event) -> None:
        super().on_event(event)
        if isinstance(event, Seen) and event.channel.uniqueid == "bad":
            raise RuntimeError("cannot take it in")


async def test_a_listener_that_raises_loses_nothing_else(
    server: AmiServer, caplog: pytest.LogCaptureFixture
) -> None:
    link, ear = Link(address(server)), Fragile()
    async with running(link, ear):
        await ear.hears(Restored)
        told = await received(server, ear, [new_channel("bad") + new_channel("1.1")])
        assert [seen.channel.uniqueid for seen in told if isinstance(seen, Seen)] == ["bad", "1.1"]
        assert ear.count(Lost) == 0
        assert (await link.send(actions.ping())).success
    (record,) = (r for r in caplog.records if r.levelno >= logging.ERROR)
    assert "Seen" in record.getMessage()
    assert record.exc_info is not None


# Answers


async def test_a_list_that_is_refused_is_a_failure_at_once(server: AmiServer) -> None:
    server.replies["CoreShowChannels"] = lambda asked: asked.fails("Permission denied")
    async with linked(server) as (link, _):
        answer = await link.send(Action({"Action": "CoreShowChannels"}, "CoreShowChannelsComplete"))
    assert (answer.success, answer.message, answer.items) == (False, "Permission denied", ())


async def test_an_answer_that_names_no_action_answers_none(server: AmiServer) -> None:
    stray = b"Response: Error\r\nMessage: Missing action in request\r\n\r\n"
    other = message({"Response": "Success", "ActionID": "somebody-else"})
    server.replies["Ping"] = lambda asked: stray + other + asked.succeeds("Pong")
    async with linked(server) as (link, ear):
        assert (await link.send(actions.ping())).message == "Pong"
        assert ear.count(Lost) == 0


async def test_an_answer_that_comes_twice_is_taken_once(server: AmiServer) -> None:
    server.replies["Ping"] = lambda asked: asked.succeeds("one") + asked.succeeds("two")
    async with linked(server) as (link, ear):
        assert (await link.send(actions.ping())).message == "one"
        assert (await link.send(actions.ping())).message == "one"
        assert ear.count(Lost) == 0


async def test_lists_and_events_may_be_interleaved(server: AmiServer) -> None:
    server.replies["A"] = server.replies["B"] = unanswered
    ask_a, ask_b = (Action({"Action": name}, f"{name}Complete") for name in "AB")
    rows = [[{"Row": f"{name}{n}", "Uniqueid": "1.1"} for n in range(3)] for name in "AB"]
    async with linked(server) as (link, ear):
        mark, both = ear.mark(), asyncio.gather(link.send(ask_a), link.send(ask_b))
        a, b = await server.gets("A"), await server.gets("B")
        lists = a.lists("AItem", "AComplete", rows[0]), b.lists("BItem", "BComplete", rows[1])
        said = [m for pair in zip(*lists, strict=True) for m in (*pair, new_channel("1.1"))]
        server.line.say(b"".join(said))
        answers = await both
        assert [[item["Row"] for item in answer.items] for answer in answers] == [
            ["A0", "A1", "A2"],
            ["B0", "B1", "B2"],
        ]
        assert len(ear.heard.entries[mark:]) == 5


async def test_an_item_before_the_answer_or_of_another_action_is_none(server: AmiServer) -> None:
    def reply(asked: Asked) -> bytes:
        start, item, end = asked.lists("Row", "RowsComplete", [{"N": "1"}])
        stranger = item.replace(asked.id.encode(), b"stranger")
        return item + start + stranger + item + end + item + end

    server.replies["Rows"] = reply
    async with linked(server) as (link, _):
        answer = await link.send(Action({"Action": "Rows"}, "RowsComplete"))
        assert [item["N"] for item in answer.items] == ["1"]


def a_whisper(**changes: str) -> Action:
    """An Originate with some values of it changed."""
    values = {"leg": "whisper-1", "endpoint": "PJSIP/0003*024", "target": "1.1", "memo": "e30"}
    values |= {"name": "Zoë", "number": "024"} | changes
    return actions.originate_spy(
        values["leg"],
        values["endpoint"],
        Spy(values["target"], "uqwES"),
        CallerId(values["name"], values["number"]),
        30,
        values["memo"],
    )


async def test_what_became_of_an_originate_is_told_to_the_listener(server: AmiServer) -> None:
    def reply(asked: Asked) -> bytes:
        became = event("OriginateResponse", ActionID=asked.id, Response="Failure", Reason="5")
        become = became.replace(END, b"\r\nUniqueid: whisper-1" + END)
        return asked.succeeds("Originate successfully queued") + become

    server.replies["Originate"] = reply
    async with linked(server) as (link, ear):
        answer = await link.send(a_whisper())
        assert answer.success
        told = await ear.hears(Originated)
    assert isinstance(told, Originated)
    assert (told.uniqueid, told.success) == ("whisper-1", False)


# What we say


def _with(key: str, text: str) -> Action:
    return a_whisper(**{key: text})


CONTROL = st.sampled_from([chr(code) for code in (*range(32), *range(127, 160))] + ["\u2028"])
TEXT = st.text(st.characters(codec="utf-8"), max_size=10)
BUILDERS: dict[str, Callable[[str], Action]] = {
    **{key: partial(_with, key) for key in ("leg", "endpoint", "target", "name", "number", "memo")},
    "hang_up": actions.hang_up,
    "remember whom": lambda text: actions.remember(text, "e30"),
    "remember what": lambda text: actions.remember("1.1", text),
    "device_state": actions.device_state,
}


@pytest.mark.parametrize("builder", BUILDERS)
@given(before=TEXT, control=CONTROL, after=TEXT)
def test_no_control_character_becomes_part_of_an_action(
    builder: str, before: str, control: str, after: str
) -> None:
    try:
        action = BUILDERS[builder](before + control + after)
    except ValueError:
        return
    # A caller's name loses what surrounds it.
    assert not any(control in value for value in action.headers.values())


async def test_an_action_is_one_action_on_the_wire(server: AmiServer) -> None:
    said = "a b:c=d<e>;🎧é名"
    asked = [a_whisper(name=said), actions.hang_up(said), actions.remember("1.1", said)]
    async with linked(server) as (link, _):
        mark = server.mark()
        for action in asked:
            await link.send(action)
        got = server.asked.entries[mark:]
    for action, arrived in zip(asked, got, strict=True):
        headers = {k: v for k, v in arrived.headers.items() if k and k != "ActionID"}
        assert headers == action.headers


async def test_nothing_is_sent_before_the_first_link(server: AmiServer) -> None:
    link = Link(address(server))
    with pytest.raises(LinkLost):
        await link.send(actions.ping())
    assert server.lines == []


def test_hangups_are_part_of_what_is_compared() -> None:
    assert sum(isinstance(event, HungUp) for event in parsed(STREAM)) == len(NAMES)
