"""How a phone is told to answer by itself: makes, headers of one's own, and what is refused."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bridge import actions
from bridge.actions import Spy
from bridge.directory import Directory, DirectoryError
from bridge.directory.auto_answer import PROFILES, auto_answer
from bridge.memory import SESSION_VARIABLE
from bridge.model import CallerId, SipHeader
from tests.support.directory import SUPERVISOR, saying
from tests.support.scene import scene
from tests.support.timing import in_virtual_time

OF_SUPERVISOR = 'caller_id = "Supervisor 024 <0003*024>"'


def variables(header: SipHeader) -> list[str]:
    """What Asterisk takes the variables of an Originate with this header to be."""
    spy = Spy("1.2", "uqwES")
    asked = actions.originate_spy("l", "PJSIP/1", spy, CallerId("", "1"), 1, "memo", header)
    inside, parts, part = 0, [], ""
    for char in asked.headers["Variable"]:
        inside += {"(": 1, ")": -1}.get(char, 0)
        if char == "," and not inside:
            parts.append(part)
            part = ""
        else:
            part += char
    return [*parts, part]


@pytest.mark.parametrize("make", PROFILES)
def test_every_make_is_a_header_that_could_be_written(make: str) -> None:
    header = auto_answer(make)
    assert header == auto_answer(f"{header.name}: {header.value}")
    assert variables(header) == [
        f"{SESSION_VARIABLE}=memo",
        f"PJSIP_HEADER(add,{header.name})={header.value}",
    ]


@pytest.mark.parametrize(
    ("written", "name", "value"),
    [
        ("Alert-Info: <sip:boss@pbx>;info=loud", "Alert-Info", "<sip:boss@pbx>;info=loud"),
        ("Call-Info:<sip:x>;answer-after=0", "Call-Info", "<sip:x>;answer-after=0"),
        ("X-Auto-Answer: yes", "X-Auto-Answer", "yes"),
        ("P-Auto-Answer: normal", "P-Auto-Answer", "normal"),
        ("Answer-Mode: Auto;require", "Answer-Mode", "Auto;require"),
    ],
)
def test_a_header_of_ones_own(written: str, name: str, value: str) -> None:
    assert auto_answer(written) == SipHeader(name, value)


@pytest.mark.parametrize(
    ("written", "reason"),
    [
        ("yelink", "must be one of .*; did you mean 'yealink'"),
        ("", "must be one of"),
        (True, "must be one of"),
        ("Alert-Info:", "must be one header"),
        ("Alert-Info: ", "must be one header"),
        ("From: <sip:boss@pbx>", "must be one header"),
        ("Contact: <sip:x>", "must be one header"),
        ("X-A: b,SPYGROUP=x", "must be one header"),
        ("X-A: b\r\nVia: c", "must be one header"),
        ("X-A: b\nVia: c", "must be one header"),
        ("X-A: b\n", "must be one header"),
        ("X-A)=x,B: c", "must be one header"),
        ('X-A: "b"', "must be one header"),
        ("X-A: ${SECRET}", "must be one header"),
        ("X-A: (b", "must be one header"),
        ("X-A: b\\", "must be one header"),
        ("X-A: ü", "must be one header"),
        ("X-A: " + 201 * "b", "must be one header"),
    ],
)
def test_what_is_refused(written: object, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        auto_answer(written)


@given(st.text())
@example("a,b")
def test_whatever_passes_is_one_variable(text: str) -> None:
    try:
        header = auto_answer(f"X-A: {text}")
    except ValueError:
        return
    assert len(variables(header)) == 2
    assert header.value.isprintable()


def test_a_phone_of_another_technology_has_no_headers() -> None:
    text = saying(OF_SUPERVISOR, 'endpoint = "DAHDI/24"\nauto_answer = "snom"')
    with pytest.raises(DirectoryError, match=r"0003\*024: auto_answer takes an endpoint of PJSIP"):
        Directory.parse(text)


def test_a_pattern_has_its_phones_answer() -> None:
    pattern = '[[discovery]]\nendpoint = "SIP/{number}"\nnumbers = ["3XX"]\nuser = "24"\n'
    found = Directory.parse(f'{saying(OF_SUPERVISOR, "")}{pattern}auto_answer = "snom"')
    extension = found.extension("0003*310")
    assert extension is not None
    assert extension.auto_answer == PROFILES["snom"]
    assert SUPERVISOR.auto_answer is None


@in_virtual_time
async def test_the_phone_of_the_supervisor_is_asked_to() -> None:
    text = saying(OF_SUPERVISOR, 'auto_answer = "grandstream"')
    async with scene(directory=Directory.parse(text)) as now:
        await now.ringing(now.talk())
        (asked,) = now.pbx.of("Originate")
        variable = asked["Variable"].partition(",")[2]
        assert variable == "PJSIP_HEADER(add,Call-Info)=<sip:intercom>;answer-after=0"
