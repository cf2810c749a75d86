"""What the PBX is asked, header by header."""

import unicodedata
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge import actions
from bridge.actions import Action, Direction, Spy
from bridge.memory import LEG_VARIABLE, SESSION_VARIABLE
from bridge.model import CallerId, SipHeader

CALLER_ID = CallerId("Whisper To Me", "42420042")


def whisper(
    *,
    leg: str = "whisper-1",
    endpoint: str = "PJSIP/0003*024",
    target: str = "1795402445.443",
    caller_id: CallerId = CALLER_ID,
    memo: str = "bWVtbw==",
    silenced: tuple[Direction, ...] = (),
    header: SipHeader | None = None,
) -> Action:
    spy = Spy(target, "uqwES", silenced)
    return actions.originate_spy(leg, endpoint, spy, caller_id, 20, memo, header)


@pytest.mark.parametrize(
    ("silenced", "more"),
    [
        ((), ""),
        ((Direction.FROM_PHONE,), ",VOLUME(RX)=-32767"),
        ((Direction.TO_PHONE,), ",VOLUME(TX)=-32767"),
    ],
)
def test_a_spy(silenced: tuple[Direction, ...], more: str) -> None:
    asked = whisper(silenced=silenced)
    assert asked.headers == {
        "Action": "Originate",
        "Channel": "PJSIP/0003*024",
        "Application": "ChanSpy",
        "Data": "1795402445.443,uqwES",
        "CallerID": "Whisper To Me <42420042>",
        "Timeout": "20000",
        "ChannelId": "whisper-1",
        "Variable": f"{SESSION_VARIABLE}=bWVtbw=={more}",
        "Async": "true",
    }
    assert (asked.name, asked.complete) == ("Originate", None)


@pytest.mark.parametrize(
    ("endpoint", "variable"),
    [
        ("PJSIP/0003*024", "PJSIP_HEADER(add,Alert-Info)=<sip:x>;info=alert-autoanswer"),
        ("SIP/0003*024", "SIPADDHEADER01=Alert-Info: <sip:x>;info=alert-autoanswer"),
    ],
)
def test_a_phone_that_is_to_answer_by_itself(endpoint: str, variable: str) -> None:
    asked = whisper(
        endpoint=endpoint,
        silenced=(Direction.TO_PHONE,),
        header=SipHeader("Alert-Info", "<sip:x>;info=alert-autoanswer"),
    )
    memo = f"{SESSION_VARIABLE}=bWVtbw=="
    assert asked.headers["Variable"] == f"{memo},VOLUME(TX)=-32767,{variable}"


def test_a_caller_without_a_name_is_a_number() -> None:
    assert whisper(caller_id=CallerId("", "0003*024")).headers["CallerID"] == "<0003*024>"


@pytest.mark.parametrize(
    ("asked", "headers", "complete"),
    [
        (
            actions.hang_up("whisper-1"),
            {"Action": "Hangup", "Channel": "whisper-1", "Cause": "16"},
            None,
        ),
        (
            actions.remember("1.2", "bWVtbw=="),
            {"Action": "Setvar", "Channel": "1.2", "Variable": LEG_VARIABLE, "Value": "bWVtbw=="},
            None,
        ),
        (
            actions.remember_session("whisper-1", "bWVtbw=="),
            {
                "Action": "Setvar",
                "Channel": "whisper-1",
                "Variable": SESSION_VARIABLE,
                "Value": "bWVtbw==",
            },
            None,
        ),
        (
            actions.set_volume("whisper-1", Direction.TO_PHONE, loud=True),
            {"Action": "Setvar", "Channel": "whisper-1", "Variable": "VOLUME(TX)", "Value": "0"},
            None,
        ),
        (
            actions.set_volume("whisper-1", Direction.FROM_PHONE, loud=False),
            {
                "Action": "Setvar",
                "Channel": "whisper-1",
                "Variable": "VOLUME(RX)",
                "Value": "-32767",
            },
            None,
        ),
        (
            actions.press("whisper-1", "5"),
            {"Action": "PlayDTMF", "Channel": "whisper-1", "Digit": "5", "Receive": "true"},
            None,
        ),
        (
            actions.device_state("PJSIP/0003*024"),
            {"Action": "Getvar", "Variable": "DEVICE_STATE(PJSIP/0003*024)"},
            None,
        ),
        (
            actions.list_channels(),
            {
                "Action": "Status",
                "Variables": f"{LEG_VARIABLE},{SESSION_VARIABLE},CDR(start,u),CDR(answer,u)",
            },
            "StatusComplete",
        ),
        (actions.list_bridges(), {"Action": "BridgeList"}, "BridgeListComplete"),
        (actions.ping(), {"Action": "Ping"}, None),
    ],
    ids=lambda value: value.name if isinstance(value, Action) else "",
)
def test_the_others(asked: Action, headers: dict[str, str], complete: str | None) -> None:
    assert (asked.headers, asked.complete) == (headers, complete)


# What never passes

VALUES: list[Callable[[str], Action]] = [
    lambda value: whisper(leg=value),
    lambda value: whisper(endpoint=value),
    lambda value: whisper(target=value),
    lambda value: whisper(memo=value),
    lambda value: whisper(caller_id=CallerId(value, "1")),
    lambda value: whisper(caller_id=CallerId("A", value)),
    lambda value: whisper(header=SipHeader("Alert-Info", value)),
    actions.hang_up,
    actions.device_state,
    lambda value: actions.remember(value, "memo"),
    lambda value: actions.remember("1.2", value),
]
NAMES_OF_VALUES = [
    "leg",
    "endpoint",
    "target",
    "memo",
    "name",
    "number",
    "header",
    "hangup",
    "device",
    "channel",
    "variable",
]
CONTROLS = {
    "CR LF": "\r\n",
    "LF": "\n",
    "CR": "\r",
    "NUL": "\0",
    "DEL": "\x7f",
    "NEL": "\x85",
    "line separator": "\u2028",
    "paragraph separator": "\u2029",
    "half a pair": "\ud800",
}


@pytest.mark.parametrize("control", CONTROLS.values(), ids=CONTROLS)
@pytest.mark.parametrize("ask", VALUES, ids=NAMES_OF_VALUES)
def test_a_control_character_is_refused_in_every_value(
    ask: Callable[[str], Action], control: str
) -> None:
    with pytest.raises(ValueError, match=r"control character|no Uniqueid"):
        ask(f"a{control}Action: Hangup")


@pytest.mark.parametrize("ask", VALUES, ids=NAMES_OF_VALUES)
@given(text=st.text(st.characters(codec=None)))
def test_whatever_passes_stays_one_line(ask: Callable[[str], Action], text: str) -> None:
    try:
        asked = ask(text)
    except ValueError:
        return
    for value in asked.headers.values():
        assert len(value.splitlines()) <= 1
        assert not any(unicodedata.category(char) == "Cc" for char in value)
        value.encode()


def test_a_refusal_does_not_repeat_the_value() -> None:
    with pytest.raises(ValueError, match="a control character in CallerID of Originate") as refusal:
        whisper(caller_id=CallerId("Secret\n", "3334444"))
    assert "Secret" not in str(refusal.value)


@pytest.mark.parametrize(
    "target",
    [
        pytest.param("", id="empty: anybody"),
        pytest.param("PJSIP/0003*210", id="prefix of a name"),
        pytest.param("PJSIP/0003*210-00000002", id="name"),
        pytest.param("1.2,qB", id="options of its own"),
        pytest.param("1.2&1.3", id="two"),
        pytest.param("1.2:g", id="group"),
        pytest.param("${EXTEN}", id="variable"),
        pytest.param(" 1.2", id="space"),
        pytest.param("1.2|q", id="old separator"),
    ],
)
def test_a_target_is_a_uniqueid_or_nothing(target: str) -> None:
    with pytest.raises(ValueError, match="no Uniqueid"):
        whisper(target=target)


@pytest.mark.parametrize("target", ["1795402445.443", "pbx-1795402445.443", "my_pbx-1.2"])
def test_every_form_of_a_uniqueid_passes(target: str) -> None:
    assert whisper(target=target).headers["Data"] == f"{target},uqwES"
