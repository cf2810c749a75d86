"""Who may do what with whose calls: every rule, admitting and refusing."""

import re

import pytest

from bridge.directory import Directory, DirectoryError
from bridge.directory.patterns import digits
from bridge.directory.policy import Refusal
from bridge.errors import AccessDenied, ActionForbidden, SendCallToInvalid, ViewInvalid
from bridge.model import App, Extension, Permission
from tests.support.clients import SECRET_HASH

LIST, WHISPER, MONITOR = Permission.LIST, Permission.WHISPER, Permission.MONITOR
BARGE, HANGUP = Permission.BARGE, Permission.HANGUP

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

[[extensions]]
number = "0003*210"
user = 12

[[extensions]]
number = "0003*211"
user = 12
protected = true

[[extensions]]
number = "0003*310"
user = 12

[[extensions]]
number = "0003*024"
user = 24

[[extensions]]
number = "0003*025"
user = 24

[[extensions]]
number = "0003*650"
user = 24
type = "queue"

[[extensions]]
number = "0004*410"
user = 40

[[extensions]]
number = "0004*411"
user = 40

[[apps]]
client_id = "everything"
client_secret_hash = "{SECRET_HASH}"
user = 12
reach = "organization"
actions = ["list", "whisper", "monitor", "barge", "hangup"]

[[apps]]
client_id = "plain"
client_secret_hash = "{SECRET_HASH}"
user = 12
reach = "organization"

[[apps]]
client_id = "nothing"
client_secret_hash = "{SECRET_HASH}"
user = 12
reach = "organization"
actions = []

[[apps]]
client_id = "own"
client_secret_hash = "{SECRET_HASH}"
user = 12
"""


def directory(rules: str = "") -> Directory:
    return Directory.parse(HOUSE + rules)


def extension(of: Directory, number: str) -> Extension:
    found = of.extension(number)
    assert found is not None
    return found


def app(of: Directory, client_id: str) -> App:
    found = of.app(client_id)
    assert found is not None
    return found


def rule(supervisors: str, targets: str, actions: str = "") -> str:
    more = f"actions = [{actions}]\n" if actions else ""
    return f"[[supervision]]\nsupervisors = [{supervisors}]\ntargets = [{targets}]\n{more}"


def refusal(
    of: Directory, supervisor: str, target: str, permission: Permission = WHISPER
) -> Refusal | None:
    """Why nobody's app in particular may have the supervisor do this."""
    people = extension(of, target), extension(of, supervisor)
    return of.may(None, permission, *people).refusal


# Apps


@pytest.mark.parametrize(
    ("client_id", "allowed"),
    [
        ("everything", {LIST, WHISPER, MONITOR, BARGE, HANGUP}),
        ("plain", {LIST, WHISPER}),
        ("nothing", set()),
    ],
)
def test_an_app_has_the_actions_it_was_given(client_id: str, allowed: set[Permission]) -> None:
    house = directory()
    asking = app(house, client_id)
    assert {each for each in Permission if house.may(asking, each)} == allowed
    target, supervisor = extension(house, "0003*210"), extension(house, "0003*024")
    assert {p for p in Permission if house.may(asking, p, target, supervisor)} == allowed


@pytest.mark.parametrize("permission", list(Permission))
def test_an_app_without_the_action_is_told_so_before_anything_else(permission: Permission) -> None:
    house = directory()
    beyond = extension(house, "0004*410")
    decision = house.may(app(house, "nothing"), permission, beyond, beyond)
    assert decision.refusal is Refusal.ACTION
    with pytest.raises(ActionForbidden):
        decision.require()


@pytest.mark.parametrize(
    ("client_id", "target", "allowed"),
    [
        ("own", "0003*210", True),
        ("own", "0003*024", False),
        ("plain", "0003*024", True),
        ("plain", "0004*410", False),
    ],
)
def test_an_app_acts_within_its_reach(client_id: str, target: str, *, allowed: bool) -> None:
    house = directory()
    decision = house.may(app(house, client_id), LIST, extension(house, target))
    assert bool(decision) == allowed
    if not allowed:
        assert decision.refusal is Refusal.REACH
        with pytest.raises(AccessDenied):
            decision.require()


# Protected extensions


@pytest.mark.parametrize("permission", [WHISPER, MONITOR, BARGE])
def test_nobody_listens_in_on_a_protected_extension(permission: Permission) -> None:
    house = directory()
    assert refusal(house, "0003*024", "0003*211", permission) is Refusal.PROTECTED
    assert refusal(house, "0003*024", "0003*210", permission) is None
    with pytest.raises(ViewInvalid, match="protected: nobody listens in on it"):
        house.may(None, permission, extension(house, "0003*211")).require()


@pytest.mark.parametrize("permission", [LIST, HANGUP])
def test_a_protected_extension_can_be_shown_and_hung_up(permission: Permission) -> None:
    house = directory()
    assert house.may(app(house, "everything"), permission, extension(house, "0003*211"))


def test_nobody_hears_a_protected_extension_through_whom_it_talks_to() -> None:
    house = directory()
    agent, protected = extension(house, "0003*210"), extension(house, "0003*211")
    decision = house.may(None, WHISPER, agent, others=[agent, protected])
    assert decision.refusal is Refusal.PROTECTED_PARTY
    with pytest.raises(ViewInvalid, match="takes part in the call is protected"):
        decision.require()
    assert house.may(None, WHISPER, agent, others=[agent])
    assert house.may(app(house, "everything"), HANGUP, agent, others=[protected])


def test_a_protected_extension_may_supervise() -> None:
    assert refusal(directory(), "0003*211", "0003*210") is None


# Supervisors


@pytest.mark.parametrize("permission", [WHISPER, MONITOR, BARGE])
def test_without_rules_every_phone_of_the_organization_may(permission: Permission) -> None:
    house = directory()
    assert refusal(house, "0003*025", "0003*310", permission) is None
    assert refusal(house, "0004*410", "0004*411", permission) is None


@pytest.mark.parametrize(
    ("supervisor", "target", "why", "said"),
    [
        ("0004*410", "0003*210", Refusal.ORGANIZATION, SendCallToInvalid.default),
        ("0003*024", "0004*410", Refusal.ORGANIZATION, SendCallToInvalid.default),
        ("0003*650", "0003*210", Refusal.NO_PHONE, "sendCallTo must be a phone terminal, not"),
        ("0003*210", "0003*210", Refusal.ITSELF, "sendCallTo must differ from the extension"),
    ],
)
def test_what_no_rule_can_allow(supervisor: str, target: str, why: Refusal, said: str) -> None:
    everybody = rule('"0003*."', '"0003*."') + rule('"0004*."', '"0004*."')
    for house in (directory(), directory(everybody)):
        assert refusal(house, supervisor, target) is why
        with pytest.raises(SendCallToInvalid) as raised:
            house.may(
                None, WHISPER, extension(house, target), extension(house, supervisor)
            ).require()
        assert raised.value.message.startswith(said)


@pytest.mark.parametrize(
    ("supervisors", "targets", "admitted"),
    [
        ('"0003*024"', '"0003*210"', {("024", "210")}),
        (
            '"0003*02X"',
            '"0003*[23]10"',
            {("024", "210"), ("024", "310"), ("025", "210"), ("025", "310")},
        ),
        ('"user:24"', '"0003*210"', {("024", "210"), ("025", "210")}),
        ('"0003*025"', '"user:12"', {("025", "210"), ("025", "310")}),
        ('"user:24", "0003*310"', '"0003*2."', {("024", "210"), ("025", "210"), ("310", "210")}),
        ('"0003*02"', '"0003*2"', set()),
        ("", '"0003*210"', set()),
        ('"0003*024"', "", set()),
    ],
)
def test_a_rule_admits_those_it_names_and_nobody_else(
    supervisors: str, targets: str, admitted: set[tuple[str, str]]
) -> None:
    house = directory(rule(supervisors, targets))
    phones = ("024", "025", "210", "310")
    found = {
        (one, other)
        for one in phones
        for other in phones
        if refusal(house, f"0003*{one}", f"0003*{other}") is None
    }
    assert found == admitted
    # Another organization's phones are as free as before.
    assert refusal(house, "0004*410", "0004*411") is None


def test_a_rule_allows_the_actions_it_names_and_without_any_all_of_supervision() -> None:
    house = directory(
        rule('"0003*024"', '"0003*210"', '"monitor"') + rule('"0003*025"', '"0003*210"')
    )
    for permission in (WHISPER, MONITOR, BARGE):
        listening = permission is MONITOR
        refused = None if listening else Refusal.NO_RULE
        assert refusal(house, "0003*024", "0003*210", permission) is refused
        assert refusal(house, "0003*025", "0003*210", permission) is None


def test_what_one_rule_does_not_allow_another_may() -> None:
    house = directory(
        rule('"0003*024"', '"0003*310"', '"monitor"') + rule('"user:24"', '"0003*310"', '"whisper"')
    )
    target, supervisor = extension(house, "0003*310"), extension(house, "0003*024")
    assert house.may(None, MONITOR, target, supervisor).rule == 1
    assert house.may(None, WHISPER, target, supervisor).rule == 2
    assert house.may(None, BARGE, target, supervisor).refusal is Refusal.NO_RULE


def test_no_rule_lifts_the_protection_nor_gives_an_app_an_action() -> None:
    house = directory(rule('"0003*."', '"0003*."'))
    assert refusal(house, "0003*024", "0003*211") is Refusal.PROTECTED
    target, supervisor = extension(house, "0003*210"), extension(house, "0003*024")
    decision = house.may(app(house, "plain"), BARGE, target, supervisor)
    assert decision.refusal is Refusal.ACTION


def test_who_is_not_admitted_is_told_so_without_a_word_on_the_rules() -> None:
    house = directory(rule('"0003*024"', '"0003*310"'))
    target, supervisor = extension(house, "0003*210"), extension(house, "0003*024")
    with pytest.raises(SendCallToInvalid) as raised:
        house.may(None, WHISPER, target, supervisor).require()
    assert raised.value.message == (
        "The extension of sendCallTo may not do this with the calls of the other extension."
    )


def test_as_far_as_nobody_rings_it_may_be_done() -> None:
    house = directory(rule('"0003*024"', '"0003*310"'))
    assert house.may(None, WHISPER)
    assert house.may(None, WHISPER, extension(house, "0003*210"))


# How rules are written


@pytest.mark.parametrize(
    ("pattern", "matching", "other"),
    [
        ("210", ["210"], ["2100", "21", "0210", ""]),
        ("2XX", ["200", "299"], ["2", "20", "300", "2000", "2X0"]),
        ("ZN", ["12", "99"], ["02", "11", "1"]),
        ("[1-37]0", ["10", "20", "30", "70"], ["40", "-0", "1-30"]),
        ("2.", ["20", "2000"], ["2", "30", "2a", "2*1"]),
        (".", ["1", "12345"], ["", "*", "a"]),
    ],
)
def test_patterns(pattern: str, matching: list[str], other: list[str]) -> None:
    expression = digits(pattern)
    found = [number for number in matching + other if re.fullmatch(expression, number)]
    assert found == matching


@pytest.mark.parametrize(
    "pattern", ["", "2x", "2*", "2..", ".2", "[", "[]", "[a]", "[3-1]", "٣", "2 "]
)
def test_what_is_no_pattern(pattern: str) -> None:
    with pytest.raises(ValueError, match="must"):
        digits(pattern)


@pytest.mark.parametrize(
    ("written", "line", "reason"),
    [
        (rule('"0003*02"', '"0003*2x"'), 3, "supervision: targets must be made of digits, X, Z"),
        (rule('"0003*02"', '"0003*[3-1]"'), 3, "supervision: targets must have ranges that run"),
        (rule('"024"', '"0003*2"'), 2, "supervision: supervisors must be extended numbers, of"),
        (rule("24", '"0003*2"'), 2, "supervision: supervisors must be extended numbers, of"),
        (rule('"user:"', '"0003*2"'), 2, "supervision: supervisors must be extended numbers, of"),
        (rule('"user:99"', '"0003*2"'), 2, 'supervision: supervisors: "user:99" does not exist'),
        (rule('"0005*1"', '"0003*2"'), 2, "supervision: supervisors: no organization has the pre"),
        (rule('"0003*1"', '"0004*2"'), 3, "supervision: it is of two organizations: nobody"),
        (rule('"0003*1", "user:40"', ""), 2, "supervision: it is of two organizations"),
        (rule("", ""), 2, "supervision: it names nobody, so it is a rule of no organ"),
        (rule('"0003*1"', '"0003*2"', '"list"'), 4, "supervision: actions must be one of barge"),
        ('[[supervision]]\ntargets = ["0003*1"]', 1, "supervision: supervisors is missing"),
        ('[[supervisor]]\ntargets = ["0003*1"]', 1, "unknown table 'supervisor'; did you mean 's"),
    ],
)
def test_a_mistake_in_a_rule_is_told_with_its_line(written: str, line: int, reason: str) -> None:
    with pytest.raises(DirectoryError) as raised:
        directory(written)
    assert raised.value.reason.startswith(reason)
    assert raised.value.line == HOUSE.count("\n") + line
