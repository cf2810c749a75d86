"""Extensions that need no line of their own: whose an endpoint is, and who is told what of it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.actions import Action, Answer
from bridge.directory import Directory, DirectoryError
from bridge.directory.kinds import LONGEST
from bridge.errors import (
    AccessDenied,
    ApiError,
    ExtensionInvalid,
    PbxUnavailable,
    SendCallToInvalid,
    UserInvalid,
)
from bridge.model import CallerId, Extension, ExtensionType, Permission, Principal
from tests.support.clients import SECRET_HASH
from tests.support.directory import TEXT
from tests.support.happenings import leg, talk
from tests.support.pbx import FakePbx, error, success
from tests.support.scene import CUSTOMER, scene
from tests.support.timing import in_virtual_time

HOUSE = f"""
[[organizations]]
id = 3
name = "Three"
prefix = "0003"

[[organizations]]
id = 4
name = "Four"
prefix = "0004"

[[users]]
id = 12
organization = 3

[[users]]
id = 24
organization = 3

[[users]]
id = 40
organization = 4

[[apps]]
client_id = "user"
client_secret_hash = "{SECRET_HASH}"
user = 12

[[apps]]
client_id = "organization"
client_secret_hash = "{SECRET_HASH}"
user = 12
reach = "organization"

[[apps]]
client_id = "system"
client_secret_hash = "{SECRET_HASH}"
user = 40
reach = "system"
"""


def pattern(endpoint: str, numbers: str, user: int = 12, more: str = "") -> str:
    return f'[[discovery]]\nendpoint = "{endpoint}"\nnumbers = [{numbers}]\nuser = {user}\n{more}\n'


def line(number: str, user: int, more: str = "") -> str:
    return f'[[extensions]]\nnumber = "{number}"\nuser = {user}\n{more}\n'


def directory(*rows: str) -> Directory:
    return Directory.parse(HOUSE + "".join(rows))


def principal(of: Directory, client_id: str) -> Principal:
    app = of.app(client_id)
    assert app is not None
    return Principal(app)


EXTENDED = pattern("PJSIP/0003*{number}", '"2XX", "7."')
PLAIN = pattern("PJSIP/{number}", '"2XX"')


# Whose an endpoint is


@pytest.mark.parametrize(
    ("rows", "endpoint", "number"),
    [
        (EXTENDED, "PJSIP/0003*210", "0003*210"),
        (EXTENDED, "PJSIP/0003*79", "0003*79"),
        (EXTENDED, "PJSIP/0003*" + LONGEST * "7", "0003*" + LONGEST * "7"),
        (PLAIN, "PJSIP/210", "0003*210"),
        (PLAIN + pattern("SIP/{number}", '"3XX"', 40), "SIP/310", "0004*310"),
        (pattern("PJSIP/{number}-desk", '"2XX"'), "PJSIP/210-desk", "0003*210"),
        (PLAIN + line("0003*500", 24, 'endpoint = "PJSIP/510"'), "PJSIP/210", "0003*210"),
    ],
)
def test_an_endpoint_that_fits_belongs_to_its_number(rows: str, endpoint: str, number: str) -> None:
    house = directory(rows)
    found = house.by_endpoint(endpoint)
    assert found is not None
    assert (found.number, found.endpoint, found.discovered) == (number, endpoint, True)
    assert house.extension(number) == found


@pytest.mark.parametrize(
    ("rows", "endpoint"),
    [
        ("", "PJSIP/0003*210"),
        (EXTENDED, "PJSIP/0003*2100"),
        (EXTENDED, "PJSIP/0003*21"),
        (EXTENDED, "PJSIP/0003*310"),
        (EXTENDED, "PJSIP/0003*7"),
        (EXTENDED, "PJSIP/0004*210"),
        (EXTENDED, "PJSIP/210"),
        (EXTENDED, "SIP/0003*210"),
        (EXTENDED, "Local/0003*210@extensions"),
        (EXTENDED, "PJSIP/x0003*210"),
        (EXTENDED, "PJSIP/0003*{number}"),
        (EXTENDED, "PJSIP/0003*" + (LONGEST + 1) * "7"),
        (PLAIN, "PJSIP/0003*210"),
        (PLAIN, "PJSIP/7778888"),
        (PLAIN, "PJSIP/trunk"),
        (PLAIN, "PJSIP/2\u0661\u0660"),
        (pattern("PJSIP/{number}", ""), "PJSIP/210"),
    ],
)
def test_an_endpoint_that_does_not_fit_is_nobodys(rows: str, endpoint: str) -> None:
    assert directory(rows).by_endpoint(endpoint) is None


def test_a_discovered_extension_is_what_its_pattern_says() -> None:
    more = 'type = "queue"\nprotected = true\ncaller_id = "Agent {number} <{number}>"'
    plain, said = directory(PLAIN), directory(pattern("PJSIP/{number}", '"2XX"', 24, more))
    one, other = plain.extension("0003*210"), said.extension("0003*210")
    assert one is not None
    assert other is not None
    assert (one.type, one.protected, one.user.id) == (ExtensionType.PHONE, False, "12")
    assert one.caller_id == CallerId("", "0003*210")
    assert (other.type, other.protected, other.user.id) == (ExtensionType.QUEUE, True, "24")
    assert other.caller_id == CallerId("Agent 210", "210")


def test_a_line_of_its_own_wins_over_a_pattern_by_number() -> None:
    house = directory(PLAIN, line("0003*210", 24, 'endpoint = "SIP/desk"'))
    listed = house.extension("0003*210")
    assert listed is not None
    assert (listed.user.id, listed.discovered) == ("24", False)
    assert house.by_endpoint("SIP/desk") == listed
    assert house.by_endpoint("PJSIP/210") is None


def test_a_line_of_its_own_wins_over_a_pattern_by_endpoint() -> None:
    house = directory(PLAIN, line("0003*500", 24, 'endpoint = "PJSIP/210"'))
    found = house.by_endpoint("PJSIP/210")
    assert found is not None
    assert (found.number, found.discovered) == ("0003*500", False)
    assert house.extension("0003*210") is None


def test_the_first_pattern_that_fits_counts() -> None:
    house = directory(PLAIN, pattern("SIP/{number}", '"."', 24))
    first, second = house.extension("0003*210"), house.extension("0003*310")
    assert first is not None
    assert second is not None
    assert (first.endpoint, first.user.id) == ("PJSIP/210", "12")
    assert (second.endpoint, second.user.id) == ("SIP/310", "24")
    assert house.by_endpoint("SIP/210") is None


PATTERNS = st.lists(
    st.builds(
        pattern,
        st.sampled_from(["PJSIP/{number}", "PJSIP/1{number}", "PJSIP/{number}1", "SIP/{number}"]),
        st.sampled_from(['"."', '"1", "11"', '"X"', '"1X"', '"[12]."', '"2XX"']),
        st.sampled_from([12, 24, 40]),
    ),
    max_size=4,
)
LINES = st.lists(
    st.builds(
        line,
        st.sampled_from(["0003*1", "0003*11", "0003*21"]),
        st.just(24),
        st.sampled_from(["", 'endpoint = "PJSIP/1"', 'endpoint = "PJSIP/11"']),
    ),
    max_size=2,
)
NAMES = st.text("12", min_size=1, max_size=4)


@given(PATTERNS, LINES, NAMES, st.sampled_from(["PJSIP/", "SIP/", "PJSIP/0003*"]))
def test_numbers_and_endpoints_are_never_shared(
    patterns: list[str], lines: list[str], name: str, technology: str
) -> None:
    try:
        house = directory(*patterns, *lines)
    except DirectoryError:
        return  # the same number or endpoint twice
    by_endpoint = house.by_endpoint(technology + name)
    if by_endpoint is not None:
        assert by_endpoint.endpoint == technology + name
        assert house.extension(by_endpoint.number) == by_endpoint
    for prefix in ("0003", "0004"):
        by_number = house.extension(f"{prefix}*{name}")
        if by_number is not None:
            assert by_number.number == f"{prefix}*{name}"
            assert house.by_endpoint(by_number.endpoint) == by_number


# How patterns are written


@pytest.mark.parametrize(
    ("row", "at", "reason"),
    [
        (pattern("PJSIP/210", '"2XX"'), 2, "discovery: endpoint must have {number} in it, where"),
        (pattern("{number}", '"2XX"'), 2, "discovery: endpoint must be a technology and a name"),
        (pattern("PJSIP/{number}", '"2x"'), 3, "discovery PJSIP/{number}: numbers must be made of"),
        (pattern("PJSIP/{number}", "210"), 3, "discovery PJSIP/{number}: numbers must be made of"),
        (pattern("PJSIP/{number}", '"2"', 99), 4, 'discovery PJSIP/{number}: user "99" does not'),
        (
            pattern("PJSIP/{number}", '"2"', more='caller_id = "Agent <210>"'),
            5,
            "discovery PJSIP/{number}: caller_id must have {number} in it",
        ),
        (
            pattern("PJSIP/{number}", '"2"', more='caller_id = "Agent {number}"'),
            5,
            "discovery PJSIP/{number}: caller_id must have the form Name <number>",
        ),
        ('[discovery]\nendpoint = "x"\n', 1, "discovery must be tables, each under its own"),
        ('[[discovery]]\nendpoint = "PJSIP/{number}"\n', 1, "discovery PJSIP/{number}: numbers is"),
    ],
)
def test_a_mistake_in_a_pattern_is_told_with_its_line(row: str, at: int, reason: str) -> None:
    with pytest.raises(DirectoryError) as raised:
        directory(row)
    assert raised.value.reason.startswith(reason)
    assert raised.value.line == HOUSE.count("\n") + at


# What a path names


@pytest.mark.parametrize(
    ("client_id", "user", "written"),
    [
        ("user", "@me", "210"),
        ("user", "12", "0003*210"),
        ("organization", "@owner", "0003*210"),
        ("organization", "12", "210"),
        ("system", "12", "0003*210"),
        ("system", "@owner", "0003*210"),
    ],
)
def test_a_discovered_extension_is_named_like_any_other(
    client_id: str, user: str, written: str
) -> None:
    house = directory(PLAIN)
    named = house.resolve(principal(house, client_id), user, written)
    assert named.one == house.extension("0003*210")


@pytest.mark.parametrize(
    ("client_id", "user", "written", "error"),
    [
        ("user", "@me", "310", AccessDenied),
        ("user", "24", "210", UserInvalid),
        ("organization", "12", "310", ExtensionInvalid),
        ("organization", "24", "210", ExtensionInvalid),
        ("organization", "@owner", "0004*210", AccessDenied),
        ("system", "@owner", "210", ExtensionInvalid),
    ],
)
def test_what_does_not_fit_is_unknown(
    client_id: str, user: str, written: str, error: type[ApiError]
) -> None:
    house = directory(PLAIN)
    with pytest.raises(error):
        house.resolve(principal(house, client_id), user, written)


def test_all_of_a_user_are_those_with_lines_and_those_that_fit() -> None:
    house = directory(PLAIN, line("0003*500", 12), line("0003*210", 24), line("0003*501", 24))
    named = house.resolve(principal(house, "user"), "@me", "@self")
    within = {
        number
        for number in ("0003*500", "0003*501", "0003*210", "0003*211", "0003*299")
        if house.extension(number) in named
    }
    assert within == {"0003*500", "0003*211", "0003*299"}
    assert None not in named
    assert "0003*500" not in named


def test_a_discovered_phone_may_whisper() -> None:
    house = directory(EXTENDED, line("0003*500", 12))
    target = house.extension("0003*500")
    assert target is not None
    asking = principal(house, "organization")
    found = house.terminal_for(asking, Permission.WHISPER, target, "210")
    assert found == house.extension("0003*210")
    with pytest.raises(SendCallToInvalid):
        house.terminal_for(asking, Permission.WHISPER, target, "310")


# Whether the PBX knows it


class Endpoints:
    """What a PBX says of the states of its devices."""

    def __init__(self, *known: str) -> None:
        self._known = known

    def __call__(self, action: Action) -> Answer:
        endpoint = action.headers["Variable"].removeprefix("DEVICE_STATE(").removesuffix(")")
        return success(Value="UNAVAILABLE" if endpoint in self._known else "INVALID")


def asked(pbx: FakePbx) -> list[str]:
    return [headers["Variable"] for headers in pbx.of("Getvar")]


FOUND = TEXT + pattern("PJSIP/{number}", '"4XX"', 12)
"""The organization of the tests, and plain numbers besides; 0004*410 is of another one."""
OVERSHADOWED = [
    FOUND + line("0003*440", 24),
    FOUND + line("0003*440", 24, 'endpoint = "PJSIP/440"'),
    FOUND + line("0003*540", 24, 'endpoint = "PJSIP/440"'),
]
"""A number that looks like user 12's, and it or its endpoint is 24's."""


@pytest.mark.parametrize("client_id", ["lab-app", "agent-app", "system-app"])
@in_virtual_time
async def test_who_asks_for_a_discovered_extension_that_is_there_is_not_stopped(
    client_id: str,
) -> None:
    async with scene() as now:
        now.reads(FOUND)
        now.pbx.replies["Getvar"] = Endpoints("PJSIP/410")
        house = now.service.directory
        asking = principal(house, client_id)
        await now.service.require_known(asking, house.resolve(asking, "@owner", "0003*410"))
        assert asked(now.pbx) == ["DEVICE_STATE(PJSIP/410)"]


@pytest.mark.parametrize(
    ("client_id", "error"),
    [("lab-app", ExtensionInvalid), ("agent-app", AccessDenied), ("system-app", ExtensionInvalid)],
)
@in_virtual_time
async def test_one_that_the_pbx_does_not_know_does_not_exist(
    client_id: str, error: type[ApiError]
) -> None:
    """To a user's app it is like a number of somebody else."""
    async with scene() as now:
        now.reads(FOUND)
        now.pbx.replies["Getvar"] = Endpoints()
        house = now.service.directory
        asking = principal(house, client_id)
        with pytest.raises(error) as raised:
            await now.service.require_known(asking, house.resolve(asking, "@owner", "0003*410"))
        assert raised.value.message == error.default


@pytest.mark.parametrize("directory", OVERSHADOWED)
@pytest.mark.parametrize("endpoint", ["PJSIP/440", "PJSIP/0003*440", ""])
@in_virtual_time
async def test_a_number_that_looks_like_ones_own_and_is_anothers_is_like_none(
    directory: str, endpoint: str
) -> None:
    """The PBX is asked for it as for one's own, and whatever it says the answer is no."""
    async with scene() as now:
        now.reads(directory)
        now.pbx.replies["Getvar"] = Endpoints(endpoint)
        house = now.service.directory
        asking = principal(house, "agent-app")
        named = house.resolve(asking, "@me", "440")
        with pytest.raises(AccessDenied):
            await now.service.require_known(asking, named)
        assert asked(now.pbx) == ["DEVICE_STATE(PJSIP/440)"]
        found = house.extension("0003*440")
        assert found is None or found.user.id == "24"


@in_virtual_time
async def test_one_with_a_line_of_its_own_is_never_asked_for() -> None:
    async with scene() as now:
        now.reads(FOUND)
        house = now.service.directory
        asking = principal(house, "lab-app")
        for written in ("0003*210", "0003*024", "@self"):
            await now.service.require_known(asking, house.resolve(asking, "@owner", written))
        assert asked(now.pbx) == []


@in_virtual_time
async def test_one_that_is_on_the_call_is_not_asked_for() -> None:
    async with scene() as now:
        now.reads(FOUND)
        now.pbx.replies["Getvar"] = Endpoints("PJSIP/410", "PJSIP/411")
        now.feed(*talk(CUSTOMER, leg("410", "1.2", "1.1")))
        (call,) = now.service.picture.calls()
        house = now.service.directory
        asking = principal(house, "lab-app")
        for written, questions in (("410", []), ("411", ["DEVICE_STATE(PJSIP/411)"])):
            named = house.resolve(asking, "@owner", written)
            await now.service.require_known(asking, named, call.id)
            assert asked(now.pbx) == questions


@in_virtual_time
async def test_while_the_pbx_cannot_be_asked_there_is_no_service() -> None:
    async with scene() as now:
        now.reads(FOUND)
        now.pbx.lose("Getvar")
        house = now.service.directory
        asking = principal(house, "lab-app")
        with pytest.raises(PbxUnavailable):
            await now.service.require_known(asking, house.resolve(asking, "@owner", "410"))


@in_virtual_time
async def test_a_pbx_that_does_not_tell_is_no_service(caplog: pytest.LogCaptureFixture) -> None:
    async with scene() as now:
        now.reads(FOUND)
        now.pbx.answer("Getvar", error("Permission denied"))
        house = now.service.directory
        asking = principal(house, "lab-app")
        with pytest.raises(PbxUnavailable):
            await now.service.require_known(asking, house.resolve(asking, "@owner", "410"))
        assert "refuses to tell the state of a device: Permission denied" in caplog.text
        assert "410" not in caplog.text


@in_virtual_time
async def test_a_discovered_agent_is_whispered_to_by_a_discovered_supervisor() -> None:
    async with scene() as now:
        now.reads(FOUND)
        now.feed(*talk(CUSTOMER, leg("410", "1.2", "1.1")))
        (call,) = now.service.picture.calls()
        agent = now.service.directory.extension("0003*410")
        assert isinstance(agent, Extension)
        leg_of_420 = await now.ringing(call.id, extensions=(agent,), sendCallTo="0003*420")
        (originate,) = now.pbx.of("Originate")
        assert originate["Channel"] == "PJSIP/420"
        assert leg_of_420.name.startswith("PJSIP/420-")
        assert originate["Data"].startswith("1.2,")
