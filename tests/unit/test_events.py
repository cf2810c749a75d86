"""Raw AMI messages to typed events."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge import events
from bridge.events import ChannelState, Listed, Snapshot, headers_of, parse, unescape
from bridge.memory import LEG_VARIABLE, SESSION_VARIABLE
from tests.support.recordings import NAMES, messages

CHANNEL = {
    "Channel": "PJSIP/0003*210-00000002",
    "ChannelState": "6",
    "ChannelStateDesc": "Up",
    "CallerIDNum": "0003*210",
    "CallerIDName": "Agent 210",
    "ConnectedLineNum": "3334444",
    "ConnectedLineName": "John Doe",
    "Language": "en",
    "AccountCode": "",
    "Context": "extensions",
    "Exten": "s",
    "Priority": "1",
    "Uniqueid": "1.2",
    "Linkedid": "1.1",
}
SEEN = Snapshot(
    uniqueid="1.2",
    linkedid="1.1",
    name="PJSIP/0003*210-00000002",
    state=ChannelState.UP,
    caller_number="0003*210",
    caller_name="Agent 210",
    connected_number="3334444",
    connected_name="John Doe",
    exten="s",
)
OTHER = SEEN._replace(uniqueid="9.9", linkedid="9.9", name="PJSIP/0003*024-00000009")


def channel(prefix: str = "", of: Snapshot = SEEN) -> dict[str, str]:
    """The headers of a channel as Asterisk writes them, in its order."""
    values = {**CHANNEL, "Channel": of.name, "Uniqueid": of.uniqueid, "Linkedid": of.linkedid}
    return {prefix + key: value for key, value in values.items()}


def message(name: str, *parts: dict[str, str]) -> bytes:
    headers = {"Event": name, "Privilege": "call,all", "Timestamp": "1795408970.1"}
    for part in parts:
        headers.update(part)
    return "\r\n".join(f"{key}: {value}" for key, value in headers.items()).encode()


BRIDGE = {"BridgeUniqueid": "b-1", "BridgeType": "basic", "BridgeTechnology": "simple_bridge"}
HOLDING = {**BRIDGE, "BridgeType": "base", "BridgeTechnology": "holding_bridge"}
PARKING = {**HOLDING, "BridgeType": "parking"}


@pytest.mark.parametrize(
    ("name", "headers", "event"),
    [
        ("Newchannel", channel(), events.Seen(SEEN)),
        ("Newstate", channel(), events.Seen(SEEN)),
        ("NewCallerid", channel(), events.Seen(SEEN)),
        ("NewConnectedLine", channel(), events.Seen(SEEN)),
        (
            "Rename",
            {"Channel": "old", "Newname": "new", "Uniqueid": "1.2"},
            events.Renamed("1.2", "new"),
        ),
        ("HangupRequest", channel(), events.Leaving(SEEN)),
        ("Hangup", {**channel(), "Cause": "17"}, events.HungUp(SEEN, 17)),
        ("Hangup", channel(), events.HungUp(SEEN, 0)),
        (
            "DialBegin",
            {**channel(), **channel("Dest", OTHER)},
            events.DialBegun(SEEN, OTHER),
        ),
        ("DialBegin", channel("Dest", OTHER), events.DialBegun(None, OTHER)),
        (
            "DialEnd",
            {**channel(), **channel("Dest", OTHER), "DialStatus": "ANSWER"},
            events.DialEnded(SEEN, OTHER),
        ),
        ("DialEnd", channel("Dest", OTHER), events.DialEnded(None, OTHER)),
        ("BridgeEnter", {**BRIDGE, **channel()}, events.Entered(SEEN, "b-1", False, False)),
        ("BridgeEnter", {**HOLDING, **channel()}, events.Entered(SEEN, "b-1", True, False)),
        ("BridgeEnter", {**PARKING, **channel()}, events.Entered(SEEN, "b-1", True, True)),
        ("BridgeLeave", {**BRIDGE, **channel()}, events.Left(SEEN, "b-1")),
        (
            "LocalBridge",
            {**channel("LocalOne"), **channel("LocalTwo", OTHER)},
            events.LocalPaired(SEEN, OTHER),
        ),
        ("Hold", channel(), events.HoldChanged(SEEN, held=True)),
        ("Unhold", channel(), events.HoldChanged(SEEN, held=False)),
        ("MixMonitorStart", channel(), events.RecordingChanged(SEEN, running=True)),
        ("MixMonitorStop", channel(), events.RecordingChanged(SEEN, running=False)),
        (
            "ChanSpyStart",
            {**channel("Spyer", OTHER), **channel("Spyee")},
            events.SpyStarted(OTHER, SEEN),
        ),
        ("ChanSpyStop", {**channel("Spyer", OTHER), **channel("Spyee")}, events.SpyStopped(OTHER)),
        ("ChanSpyStop", channel("Spyer", OTHER), events.SpyStopped(OTHER)),
        (
            "DTMFEnd",
            {**channel(), "Digit": "6", "DurationMs": "120", "Direction": "Received"},
            events.KeyPressed(SEEN, "6"),
        ),
        (
            "OriginateResponse",
            {"ActionID": "7", "Response": "Success", "Uniqueid": "whisper-1"},
            events.Originated("7", "whisper-1", True),
        ),
        (
            "OriginateResponse",
            {"ActionID": "7", "Response": "Failure", "Uniqueid": "<unknown>"},
            events.Originated("7", "", False),
        ),
        ("OriginateResponse", {"Response": "Failure"}, events.Originated("", "", False)),
    ],
)
def test_every_kind(name: str, headers: dict[str, str], event: events.Event) -> None:
    assert parse(message(name, headers)) == event


def test_every_kind_is_wanted_by_its_beginning() -> None:
    for name in NAMES:
        for raw in messages(name):
            if parse(raw) is not None:
                assert raw[7:12] in events.BEGINNINGS


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b"Response: Success\r\nUniqueid: 1.2\r\nChannel: x", id="response"),
        pytest.param(b"Response: Success\r\nEvent: Newchannel\r\nUniqueid: 1.2", id="not first"),
        pytest.param(message("DeviceStateChange", channel()), id="not ours"),
        pytest.param(message("Newchannels", channel()), id="longer name"),
        pytest.param(message("newchannel", channel()), id="other case"),
        pytest.param(b"Event: Newchannel", id="nothing but a name"),
        pytest.param(b"", id="empty"),
        pytest.param(b"\r\n", id="blank"),
        pytest.param(b"Event: ", id="no name"),
    ],
)
def test_what_is_no_event_of_ours_is_none(raw: bytes) -> None:
    assert parse(raw) is None


REQUIRED = [
    ("Newchannel", channel(), "Uniqueid"),
    ("Newchannel", channel(), "Channel"),
    ("Hangup", channel(), "Uniqueid"),
    ("Rename", {"Newname": "new", "Uniqueid": "1.2"}, "Newname"),
    ("Rename", {"Newname": "new", "Uniqueid": "1.2"}, "Uniqueid"),
    ("DialBegin", {**channel(), **channel("Dest", OTHER)}, "DestUniqueid"),
    ("DialEnd", {**channel(), **channel("Dest", OTHER)}, "DestChannel"),
    ("BridgeEnter", {**BRIDGE, **channel()}, "BridgeUniqueid"),
    ("BridgeLeave", {**BRIDGE, **channel()}, "BridgeUniqueid"),
    ("LocalBridge", {**channel("LocalOne"), **channel("LocalTwo")}, "LocalTwoUniqueid"),
    ("ChanSpyStart", {**channel("Spyer"), **channel("Spyee")}, "SpyeeUniqueid"),
    ("ChanSpyStart", {**channel("Spyer"), **channel("Spyee")}, "SpyerUniqueid"),
    ("ChanSpyStop", channel("Spyer"), "SpyerChannel"),
    ("DTMFEnd", {**channel(), "Digit": "6", "Direction": "Received"}, "Digit"),
    ("DTMFEnd", {**channel(), "Digit": "6", "Direction": "Received"}, "Direction"),
    ("DTMFEnd", {**channel(), "Digit": "6", "Direction": "Received"}, "Uniqueid"),
]


@pytest.mark.parametrize(("name", "headers", "lost"), REQUIRED)
def test_an_event_without_what_its_kind_must_have_is_none(
    name: str, headers: dict[str, str], lost: str
) -> None:
    assert parse(message(name, headers)) is not None
    assert parse(message(name, {**headers, lost: ""})) is None
    rest = {key: value for key, value in headers.items() if key != lost}
    assert parse(message(name, rest)) is None


@pytest.mark.parametrize("lost", set(CHANNEL) - {"Channel", "Uniqueid", "Linkedid"})
def test_what_an_event_need_not_have_is_empty(lost: str) -> None:
    headers = {key: value for key, value in channel().items() if key != lost}
    event = parse(message("Newchannel", headers))
    assert isinstance(event, events.Seen)
    assert event.channel.uniqueid == "1.2"


def test_without_a_linkedid_a_channel_is_linked_to_itself() -> None:
    headers = {key: value for key, value in channel().items() if key != "Linkedid"}
    event = parse(message("Newchannel", headers))
    assert isinstance(event, events.Seen)
    assert event.channel.linkedid == "1.2"


@given(st.randoms(use_true_random=False))
def test_the_order_of_headers_does_not_matter(random: Random) -> None:
    headers = list({**channel(), **channel("Dest", OTHER)}.items())
    random.shuffle(headers)
    assert parse(message("DialBegin", dict(headers))) == events.DialBegun(SEEN, OTHER)


@pytest.mark.parametrize("name", NAMES)
def test_a_recording_read_in_any_order_of_headers_says_the_same(name: str) -> None:
    for raw in messages(name):
        first, *others = raw.split(b"\r\n")
        assert parse(b"\r\n".join([first, *reversed(others)])) == parse(raw)


@pytest.mark.parametrize("state", ["", "x", "1.5", "99999999999999999999999"])
def test_a_state_that_is_no_number_fails_nothing(state: str) -> None:
    event = parse(message("Newchannel", {**channel(), "ChannelState": state}))
    assert isinstance(event, events.Seen)


@pytest.mark.parametrize("cause", ["", "x", "9" * 5000])
def test_a_cause_that_is_no_number_is_none(cause: str) -> None:
    assert parse(message("Hangup", {**channel(), "Cause": cause})) == events.HungUp(SEEN, 0)


# Text


@pytest.mark.parametrize(
    ("escaped", "text"),
    [
        pytest.param("John Doe", "John Doe", id="plain"),
        pytest.param("", "", id="empty"),
        pytest.param("<unknown>", "", id="not set"),
        pytest.param(r"Joe \"Big\" Smith", 'Joe "Big" Smith', id="quotes"),
        pytest.param(r"back\\slash", r"back\slash", id="backslash"),
        pytest.param(r"\\n", r"\n", id="a backslash and an n"),
        pytest.param(r"\\\"", r"\"", id="a backslash and a quote"),
        pytest.param(r"a\tb\nc\r", "a\tb\nc\r", id="controls"),
        pytest.param(r"\x", "x", id="nothing special"),
        pytest.param("end\\", "end", id="at the end"),
        pytest.param("Жанна 王小明 محمد", "Жанна 王小明 محمد", id="any script"),
    ],
)
def test_names_are_as_people_wrote_them(escaped: str, text: str) -> None:
    assert unescape(escaped) == text


@given(st.text(st.characters(codec="utf-8")))
def test_unescaping_undoes_what_asterisk_does(name: str) -> None:
    table = {"\\": r"\\", '"': r"\"", "\a": r"\a", "\b": r"\b", "\f": r"\f"}
    table |= {"\n": r"\n", "\r": r"\r", "\t": r"\t", "\v": r"\v"}
    if name != "<unknown>":
        assert unescape("".join(table.get(char, char) for char in name)) == name


@pytest.mark.parametrize(
    ("header", "field"),
    [
        ("CallerIDName", "caller_name"),
        ("CallerIDNum", "caller_number"),
        ("ConnectedLineName", "connected_name"),
        ("ConnectedLineNum", "connected_number"),
    ],
)
@pytest.mark.parametrize(
    ("raw", "text"), [(r"Joe \"Big\"", 'Joe "Big"'), ("<unknown>", ""), ("Łukasz", "Łukasz")]
)
def test_names_and_numbers_are_unescaped(header: str, field: str, raw: str, text: str) -> None:
    event = parse(message("Newstate", {**channel(), header: raw}))
    assert isinstance(event, events.Seen)
    assert getattr(event.channel, field) == text


def test_a_value_may_look_like_a_header() -> None:
    name = "Uniqueid: 9.9 Channel: PJSIP/0003*024-1"
    event = parse(message("Newstate", {**channel(), "CallerIDName": name}))
    assert event == events.Seen(SEEN._replace(caller_name=name))


def test_bytes_that_are_no_utf8_are_replaced() -> None:
    raw = message("Newstate", channel()).replace(b"Agent 210", b"J\xf6rg \xff")
    event = parse(raw)
    assert isinstance(event, events.Seen)
    assert event.channel.caller_name == "J\ufffdrg \ufffd"
    assert event.channel.uniqueid == "1.2"


@given(st.binary(max_size=200))
def test_any_bytes_are_an_event_or_none(raw: bytes) -> None:
    parse(raw)
    parse(b"Event: Newchannel\r\n" + raw)
    headers_of(raw)


@given(st.integers(0, 400), st.binary(min_size=1, max_size=3))
def test_an_event_that_is_spoilt_anywhere_fails_nothing(place: int, noise: bytes) -> None:
    raw = message("BridgeEnter", BRIDGE, channel())
    parse(raw[:place] + noise + raw[place + len(noise) :])
    parse(raw[:place])


# Lists


def test_headers_of_an_answer() -> None:
    lines = b"Response: Success", b"Message: a: b", b"Empty: ", b"Odd", b"Twice: 1", b"Twice: 2"
    headers = headers_of(b"\r\n".join(lines))
    assert (headers["Message"], headers["Empty"], headers["Twice"]) == ("a: b", "", "2")


def test_variables_of_a_listed_channel_stand_under_their_names() -> None:
    lines = (
        b"Event: Status",
        b"Variable: SET=a=b",
        b"Variable: EMPTY=",
        b"Variable: UNSET=(null)",
        b"Variable: ODD",
        b"Data: x=y",
    )
    assert headers_of(b"\r\n".join(lines)) == {
        "Event": "Status",
        "Variable: SET": "a=b",
        "Variable: EMPTY": "",
        "Variable": "ODD",
        "Data": "x=y",
    }


def test_memos_of_a_listed_channel() -> None:
    memos = {f"Variable: {LEG_VARIABLE}": "leg", f"Variable: {SESSION_VARIABLE}": "session"}
    found = events.listed({**channel(), **memos})
    assert (found.memo, found.session) == ("leg", "session")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        pytest.param("1795408970.262513", 1795408970.262513, id="a time"),
        pytest.param("1795408970", 1795408970.0, id="whole seconds"),
        pytest.param("0.000000", None, id="never"),
        pytest.param("", None, id="not kept"),
        pytest.param("soon", None, id="no time"),
        pytest.param("-1.5", None, id="before all times"),
        pytest.param("1e9", None, id="no decimal"),
    ],
)
def test_times_of_a_listed_channel(text: str, seconds: float | None) -> None:
    found = events.listed({**channel(), f"Variable: {events.STARTED}": text})
    assert (found.started, found.answered) == (seconds, None)
    found = events.listed({**channel(), f"Variable: {events.ANSWERED}": text})
    assert (found.started, found.answered) == (None, seconds)


def test_a_listed_channel() -> None:
    more = {"BridgeID": "b-1", "Application": "ChanSpy", "Data": "1.2,uqwES", "Seconds": "3723"}
    assert events.listed({**channel(), **more}) == Listed(SEEN, "b-1", "ChanSpy", "1.2,uqwES", 3723)


def test_a_listed_channel_may_have_no_bridge_no_application_and_no_age() -> None:
    assert events.listed(channel()) == Listed(SEEN, "", "", "", 0)


@pytest.mark.parametrize("lost", ["Channel", "Uniqueid"])
def test_a_listed_channel_has_a_name(lost: str) -> None:
    with pytest.raises(KeyError):
        events.listed({key: value for key, value in channel().items() if key != lost})


def test_which_bridges_only_hold() -> None:
    assert events.is_holding(HOLDING)
    assert events.is_holding(PARKING)
    assert not events.is_holding(BRIDGE)
    assert not events.is_holding({})
