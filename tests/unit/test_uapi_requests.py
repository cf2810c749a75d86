"""The body of a PUT and its fields: what is taken, what is refused, and with which error."""

import json
import string
from contextlib import suppress

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bridge.errors import (
    ApiError,
    BadRequest,
    CallerIdInvalid,
    NotImplementedYet,
    PhoneCallInvalid,
    PrivateInvalid,
    RequestInvalid,
    SendCallToInvalid,
    TimeoutInvalid,
    ViewInvalid,
)
from bridge.model import CallerId, Mode
from bridge.uapi import WhisperAction, WhisperForm, parse_action, parse_call_id

PROPERTIES = ("wait_for_pickup", "caller_id", "view_id", "mode", "send_call_to")

NOT_WHOLE_NUMBERS: tuple[object, ...] = (
    True,
    False,
    1.0,
    1.5,
    20.0,
    "",
    " 20",
    "20 ",
    "20\n",
    "+5",
    "-1",
    -1,
    "1e3",
    "1_0",
    "0x10",
    "20.0",
    "\u0662\u0660",
    "\uff12\uff10",
    "²",
    [],
    [20],
    {},
    {"value": 20},
)


def whisper(**fields: object) -> WhisperForm:
    return parse_action(json.dumps({"action": "Whisper", **fields}).encode())


def raw_field(name: str, literal: str) -> WhisperForm:
    return parse_action(f'{{"action":"Whisper","{name}":{literal}}}'.encode())


def test_the_example_of_the_specification() -> None:
    form = whisper(
        sendCallTo="0003*024",
        private=0,
        callerId="Whisper To Me <42420042>",
        waitForPickup="20",
        phoneCallViewId="01",
    )
    assert form.wait_for_pickup == 20
    assert form.caller_id == CallerId("Whisper To Me", "42420042")
    assert form.view_id == "01"
    assert form.mode is Mode.WHISPER
    assert form.send_call_to == "0003*024"


@pytest.mark.parametrize("fields", [{}, {"waitForPickup": None, "callerId": None, "private": None}])
def test_what_may_be_absent_has_its_default(fields: dict[str, object]) -> None:
    form = whisper(**fields)
    assert (form.wait_for_pickup, form.caller_id, form.mode) == (25, None, Mode.WHISPER)


@pytest.mark.parametrize("fields", [{}, {"phoneCallViewId": None, "sendCallTo": None}])
def test_what_is_required_may_not_be_absent(fields: dict[str, object]) -> None:
    form = whisper(**fields)
    with pytest.raises(ViewInvalid):
        _ = form.view_id
    with pytest.raises(SendCallToInvalid):
        _ = form.send_call_to


@pytest.mark.parametrize("action", ["whisper", "WHISPER", "Whisper ", "", "monitor", "Fly", "é"])
def test_another_action_is_not_implemented(action: str) -> None:
    with pytest.raises(NotImplementedYet):
        parse_action(json.dumps({"action": action}).encode())


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"null",
        b"1",
        b'"Whisper"',
        b"[]",
        b'[{"action":"Whisper"}]',
        b"{}",
        b'{"action":null}',
        b'{"action":1}',
        b'{"action":true}',
        b'{"action":["Whisper"]}',
        b'{"Action":"Whisper"}',
        b"{'action':'Whisper'}",
        b'{"action":"Whisper"',
        b'{"action":"Whisper"}{}',
        b'{"action":"Whisper",}',
        b'{"action":"Whisper","a":NaN}',
        b'{"action":"Whisper","a":Infinity}',
        b'{"action":"Whisper","a":[-Infinity]}',
        b'{"action":"Whisper","action":"Whisper"}',
        b'{"action":"Whisper","a":{"b":1,"b":1}}',
        b'{"action":"Whisper","\\u0061ction":"Whisper"}',
        b'{"action":"Whisper","a":"\\ud800"}',
        b'{"action":"Whisper","\\udfff":1}',
        b'{"action":"Whisper","a":[["\\udc00\\ud800"]]}',
        b'{"action":"Whisper\\ud83d"}',
        b'{"action":"Whisper","a":"\xff"}',
        b'{"action":"Whisper","a":"\xed\xa0\x80"}',
        b'{"action":"Whisper","a":"line\nbreak"}',
        b'\xef\xbb\xbf{"action":"Whisper"}',
        '{"action":"Whisper"}'.encode("utf-16"),
        '{"action":"Whisper"}'.encode("utf-32-le"),
        b'{"action":"Whisper","a":' + b"9" * 5000 + b"}",
        b'{"action":"Whisper","a":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"a":' * 100_000,
    ],
    ids=lambda body: repr(body[:44]),
)
def test_a_body_that_is_no_request(body: bytes) -> None:
    with pytest.raises(RequestInvalid):
        parse_action(body)


def test_unknown_fields_are_ignored() -> None:
    fields = whisper(nothing=None, waitforpickup=0, wait_for_pickup=0, extra={"private": 2})
    assert fields.wait_for_pickup == 25
    assert fields.mode is Mode.WHISPER


@pytest.mark.parametrize(
    ("value", "seconds"),
    [(1, 1), ("1", 1), (20, 20), ("020", 20), (2147483, 2147483), ("2147483", 2147483)],
)
def test_wait_for_pickup(value: object, seconds: int) -> None:
    assert whisper(waitForPickup=value).wait_for_pickup == seconds


@pytest.mark.parametrize(
    "value", [*NOT_WHOLE_NUMBERS, 0, "0", "000", 2147484, "2147484", 10**30, "9" * 5000]
)
def test_wait_for_pickup_refused(value: object) -> None:
    with pytest.raises(TimeoutInvalid):
        _ = whisper(waitForPickup=value).wait_for_pickup


@pytest.mark.parametrize("literal", ["1e1", "2E1", "20.0", "1e400", "0.5e1"])
def test_a_number_with_a_fraction_or_an_exponent_is_none(literal: str) -> None:
    with pytest.raises(TimeoutInvalid):
        _ = raw_field("waitForPickup", literal).wait_for_pickup


@pytest.mark.parametrize(("value", "private"), [(0, False), (1, True), ("0", False), ("1", True)])
def test_private(value: object, private: bool) -> None:
    assert whisper(private=value).mode is (Mode.PRIVATE if private else Mode.WHISPER)


@pytest.mark.parametrize(
    "value",
    [True, False, 1.0, 0.0, 2, -1, "2", "01", "", " 1", "1\n", "true", "\u0661", [], [1], {}],
)
def test_private_refused(value: object) -> None:
    with pytest.raises(PrivateInvalid):
        _ = whisper(private=value).mode


@pytest.mark.parametrize("value", ["01", "1", "99", "100"])
def test_view_id(value: str) -> None:
    assert whisper(phoneCallViewId=value).view_id == value


@pytest.mark.parametrize(
    "value", [1, True, 1.0, "", "a1", "-1", " 01", "01\n", "\u0660\u0661", ["01"], {}]
)
def test_view_id_refused(value: object) -> None:
    with pytest.raises(ViewInvalid):
        _ = whisper(phoneCallViewId=value).view_id


@pytest.mark.parametrize(
    ("value", "number"), [("0003*024", "0003*024"), ("024", "024"), (24, "24"), (0, "0")]
)
def test_send_call_to(value: object, number: str) -> None:
    assert whisper(sendCallTo=value).send_call_to == number


@pytest.mark.parametrize(
    "value",
    [
        "",
        "*",
        "*024",
        "0003*",
        "0003*024*",
        "0003**024",
        "0003*02*4",
        "0003 024",
        " 024",
        "024\n",
        "024\r\nAction: Originate",
        "+024",
        "@self",
        "PJSIP/024",
        "\u0662\u0664",
        -24,
        24.0,
        True,
        ["024"],
        {},
    ],
)
def test_send_call_to_refused(value: object) -> None:
    with pytest.raises(SendCallToInvalid):
        _ = whisper(sendCallTo=value).send_call_to


@pytest.mark.parametrize(
    ("value", "name", "number"),
    [
        ("John Doe <+3334444>", "John Doe", "+3334444"),
        ("O'Neill, J. (sales) & Co. <0003*024>", "O'Neill, J. (sales) & Co.", "0003*024"),
        ("  John   Doe   <1>  ", "John   Doe", "1"),
        ("Zoë Åström-Łęcki <1>", "Zoë Åström-Łęcki", "1"),
        ("Zoe\u0308 <1>", "Zoe\u0308", "1"),
        ("שרה כהן <1>", "שרה כהן", "1"),
        ("山田\u3000太郎 <1>", "山田\u3000太郎", "1"),
        (
            "\u0639\u0644\u06cc\u200c\u0631\u0636\u0627 <1>",
            "\u0639\u0644\u06cc\u200c\u0631\u0636\u0627",
            "1",
        ),
        ("ශ්\u200dරී <1>", "ශ්\u200dරී", "1"),
        ("Ann \U0001f469\u200d\U0001f4bb <1>", "Ann \U0001f469\u200d\U0001f4bb", "1"),
        ("€uro + 100 % <1>", "€uro + 100 %", "1"),
        ("7 <1>", "7", "1"),
        ("n" * 80 + " <1>", "n" * 80, "1"),
        ("ש" * 40 + " <1>", "ש" * 40, "1"),
        ("  " + "n" * 80 + "  <1>", "n" * 80, "1"),
        ("n <" + "1" * 40 + ">", "n", "1" * 40),
    ],
)
def test_caller_id(value: str, name: str, number: str) -> None:
    assert whisper(callerId=value).caller_id == CallerId(name, number)


@pytest.mark.parametrize(
    "value",
    [
        "",
        " ",
        "John Doe",
        "42420042",
        "<42420042>",
        " <42420042>",
        "\u3000 <42420042>",
        "John<42420042>",
        "John <>",
        "John <42420042",
        "John 42420042>",
        "John <42420042> x",
        "John <42> <43>",
        "John << 42>",
        "John < 42>",
        "John <42 >",
        "John <4-2>",
        "John <4#2>",
        "John <\u0664\u0662>",
        "John <abc>",
        "John <" + "1" * 41 + ">",
        '"John" <42>',
        "Jo\\hn <42>",
        "Jo>hn <42>",
        "Jo\nhn <42>",
        "\nJohn <42>",
        "John <42>\n",
        "John <42>\r\nAction: Originate",
        "Jo\thn <42>",
        "Jo\0hn <42>",
        "Jo\x7fhn <42>",
        "Jo\x85hn <42>",
        "Jo\u2028hn <42>",
        "John\u2029 <42>",
        "Jo\u202ehn <42>",
        "\u200fJohn <42>",
        "Jo\u2066hn <42>",
        "Jo\u200bhn <42>",
        "Jo\xadhn <42>",
        "\ufeffJohn <42>",
        "Jo\ue000hn <42>",
        "Jo\U0010ffffhn <42>",
        "\u200dJohn <42>",
        "John\u200c <42>",
        "Jo\u200c\u200dhn <42>",
        "J.\u200cDoe <42>",
        "n" * 81 + " <42>",
        "ש" * 41 + " <42>",
        42420042,
        True,
        ["John <42>"],
        {"name": "John", "number": "42"},
    ],
)
def test_caller_id_refused(value: object) -> None:
    with pytest.raises(CallerIdInvalid):
        _ = whisper(callerId=value).caller_id


def test_each_field_answers_for_itself() -> None:
    form = whisper(waitForPickup=0, callerId="", phoneCallViewId=1, private=2, sendCallTo="x")
    errors = (TimeoutInvalid, CallerIdInvalid, ViewInvalid, PrivateInvalid, SendCallToInvalid)
    for name, error in zip(PROPERTIES, errors, strict=True):
        with pytest.raises(error):
            getattr(form, name)


@pytest.mark.parametrize("text", ["444444", "b817d2618fe6f1804333", "A", "z" * 64])
def test_call_id(text: str) -> None:
    assert parse_call_id(text) == text


@pytest.mark.parametrize(
    "text", ["", "z" * 65, "a-b", "a b", "a\n", "é", "\u0661", "\udc80", "../a"]
)
def test_call_id_refused(text: str) -> None:
    with pytest.raises(PhoneCallInvalid):
        parse_call_id(text)


SECRET = "48151623"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("wait_for_pickup", f"{SECRET}x"),
        ("caller_id", f"{SECRET} {SECRET}"),
        ("view_id", int(SECRET)),
        ("mode", SECRET),
        ("send_call_to", f"{SECRET}x"),
    ],
)
def test_an_error_does_not_repeat_what_the_client_sent(name: str, value: object) -> None:
    fields = ("waitForPickup", "callerId", "phoneCallViewId", "private", "sendCallTo")
    field = dict(zip(PROPERTIES, fields, strict=True))[name]
    with pytest.raises(ApiError) as raised:
        getattr(whisper(**{field: value}), name)
    assert SECRET not in f"{raised.value.message} {raised.value} {raised.value.__cause__}"


def read_everything(body: bytes) -> None:
    form = parse_action(body)
    for name in PROPERTIES:
        with suppress(BadRequest):
            getattr(form, name)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
known_names = st.sampled_from(
    ["sendCallTo", "callerId", "waitForPickup", "phoneCallViewId", "private", "x"]
)


@given(st.binary())
@example(b'{"action":"Whisper","private":' + b"[" * 5000 + b"]" * 5000 + b"}")
@example(b"[" * 5000)
def test_any_bytes_give_a_form_or_an_error_of_ours(body: bytes) -> None:
    with suppress(BadRequest, NotImplementedYet):
        read_everything(body)


@given(st.dictionaries(known_names, json_values))
def test_any_fields_give_values_or_errors_of_ours(fields: dict[str, object]) -> None:
    try:
        read_everything(json.dumps({**fields, "action": "Whisper"}).encode())
    except RequestInvalid:
        assert any(word in json.dumps(fields) for word in ("NaN", "Infinity", "\\ud")), (
            "only constants and surrogates make JSON of known fields no request"
        )


@given(st.integers(1, 2147483), st.booleans())
def test_seconds_arrive_as_sent(seconds: int, as_text: bool) -> None:
    value = str(seconds) if as_text else seconds
    assert whisper(waitForPickup=value).wait_for_pickup == seconds


names = st.text(
    st.characters(categories=("L", "M", "N", "P", "S", "Zs"), exclude_characters='<>"\\'),
    min_size=1,
    max_size=20,
).filter(lambda name: name == name.strip())


@given(names, st.text(string.digits + "+*", min_size=1, max_size=40))
def test_a_caller_id_arrives_as_sent(name: str, number: str) -> None:
    caller = CallerId(name, number)
    assert whisper(callerId=str(caller)).caller_id == caller


@given(st.text(st.characters(categories=("Cc", "Cs", "Co", "Cn", "Zl", "Zp")), min_size=1))
def test_what_nobody_sees_is_in_no_caller_id(hidden: str) -> None:
    form = WhisperForm("Whisper", {"callerId": f"John{hidden}Doe <42>"})
    with pytest.raises(CallerIdInvalid):
        _ = form.caller_id


def test_the_description_names_the_fields_of_the_contract() -> None:
    schema = WhisperAction.model_json_schema()
    properties = schema["properties"]
    assert set(properties) == {
        "action",
        "sendCallTo",
        "callerId",
        "waitForPickup",
        "phoneCallViewId",
        "private",
    }
    assert schema["required"] == ["action", "sendCallTo", "phoneCallViewId"]
    assert properties["waitForPickup"]["default"] == 25
    assert properties["private"]["default"] == 0
    assert properties["private"]["enum"] == [0, 1, "0", "1"]


def test_the_examples_of_the_description_are_valid() -> None:
    properties = WhisperAction.model_json_schema()["properties"]
    for field, described in properties.items():
        for value in described.get("examples", []):
            read_one(field, value)


def read_one(field: str, value: object) -> None:
    form = whisper(**{"sendCallTo": "024", "phoneCallViewId": "01", field: value})
    assert all(getattr(form, name) is not None for name in PROPERTIES if name != "caller_id")
    assert (form.caller_id is not None) == (field == "callerId")
