"""The directory: what it reads, what it refuses and where, who reaches what."""

import re
import string
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.client_secrets import matches
from bridge.directory import Directory, DirectoryError, Named
from bridge.errors import AccessDenied, ApiError, ExtensionInvalid, SendCallToInvalid, UserInvalid
from bridge.model import CallerId, Extension, ExtensionType, Permission, Principal, Reach
from tests.support.clients import SECRET_HASH

WHISPER = Permission.WHISPER
LAB = (Path(__file__).parents[2] / "asterisk-conf/lab/directory.toml").read_text("utf-8")

SMALL = f"""\
[[organizations]]
id = 3
name = "Default Organization"
prefix = "0003"

[[users]]
id = 12
organization = 3

[[extensions]]
number = "0003*210"
user = 12

[[apps]]
client_id = "app"
client_secret_hash = "{SECRET_HASH}"
user = 12
"""


@pytest.fixture(scope="module")
def lab() -> Directory:
    return Directory.parse(LAB)


def principal(directory: Directory, client_id: str) -> Principal:
    app = directory.app(client_id)
    assert app is not None
    return Principal(app)


def extension(directory: Directory, number: str) -> Extension:
    found = directory.extension(number)
    assert found is not None
    return found


def numbers(directory: Directory, named: Named) -> list[str]:
    """The numbers of those of the lab's extensions that a path names."""
    known = re.findall(r'^number = "(.*)"', LAB, re.MULTILINE)
    return [number for number in known if directory.extension(number) in named]


def mistake(text: str) -> DirectoryError | None:
    try:
        Directory.parse(text)
    except DirectoryError as error:
        return error
    return None


def refusal(text: str) -> DirectoryError:
    error = mistake(text)
    assert error is not None
    return error


# Reading


def test_lab_directory_is_the_one_of_the_examples(lab: Directory) -> None:
    agent, queue = extension(lab, "0003*210"), extension(lab, "0003*650")
    assert (agent.user.id, agent.type) == ("12", ExtensionType.PHONE)
    assert agent.caller_id == CallerId("Agent 210", "0003*210")
    assert (agent.organization.id, agent.organization.name) == ("3", "Default Organization")
    assert queue.type is ExtensionType.QUEUE
    assert extension(lab, "0004*410").organization.id == "4"


def test_the_examples_of_the_lab_directory_are_what_they_say() -> None:
    blocks = re.findall(r"(?:^#   .*=.*\n|^#   \[\[.*\n)+", LAB, re.MULTILINE)
    examples = [block.replace("#   ", "") for block in blocks if "[[" in block]
    assert [text.split("\n")[0] for text in examples] == [
        *("[[discovery]]", "[[discovery]]", "[[supervision]]"),
    ]
    shown = Directory.parse("\n".join([LAB, *examples]))
    by_pattern, plain = shown.by_endpoint("PJSIP/0003*299"), shown.by_endpoint("PJSIP/310")
    assert by_pattern is not None
    assert by_pattern.number == "0003*299"
    assert plain is not None
    assert (plain.number, str(plain.caller_id)) == ("0003*310", "Phone 310 <310>")
    target, supervisor = extension(shown, "0003*2100"), extension(shown, "0003*024")
    assert shown.may(None, WHISPER, target, supervisor).rule == 1
    assert not shown.may(None, WHISPER, supervisor, target)


def test_what_may_be_left_out_has_a_default() -> None:
    small = Directory.parse(SMALL)
    found = extension(small, "0003*210")
    assert found.type is ExtensionType.PHONE
    assert found.endpoint == "PJSIP/0003*210"
    assert found.caller_id == CallerId("", "0003*210")
    assert not found.protected
    assert principal(small, "app").reach is Reach.USER
    assert principal(small, "app").app.actions == {Permission.LIST, Permission.WHISPER}


def test_an_id_is_the_same_as_number_and_as_string() -> None:
    mixed = Directory.parse(SMALL.replace("organization = 3", 'organization = "3"'))
    assert extension(mixed, "0003*210").user.id == "12"


def test_an_empty_document_is_an_empty_directory() -> None:
    empty = Directory.parse("")
    assert empty.app("app") is None
    assert empty.extension("0003*210") is None
    assert empty.by_endpoint("PJSIP/0003*210") is None


@pytest.mark.parametrize(
    ("written", "name", "number"),
    [
        ("John Doe <+3334444>", "John Doe", "+3334444"),
        ("Zoë O'Neill-Łuk, Jr. <1>", "Zoë O'Neill-Łuk, Jr.", "1"),
        ("محمد <22>", "محمد", "22"),
    ],
)
def test_caller_ids(written: str, name: str, number: str) -> None:
    text = SMALL.replace("[[apps]]", f'caller_id = "{written}"\n[[apps]]')
    found = extension(Directory.parse(text), "0003*210")
    assert found.caller_id == CallerId(name, number)


def test_an_app_does_not_show_its_secret(lab: Directory) -> None:
    app = lab.app("lab-app")
    assert app is not None
    assert matches(app.secret_hash, "lab-only-not-a-secret-1")
    assert app.secret_hash not in repr(app)


def test_a_directory_cannot_be_changed(lab: Directory) -> None:
    with pytest.raises(AttributeError):
        lab._users = {}  # type: ignore[misc]


# Refusing


@pytest.mark.parametrize(
    ("old", "new", "line", "reason"),
    [
        ("user = 12\n\n", "user = 13\n\n", 12, 'extension 0003*210: user "13" does not exist'),
        ("organization = 3", "organization = 4", 8, 'user 12: organization "4" does not exist'),
        ("[[apps]]", "[[aps]]", 14, "unknown table 'aps'; did you mean 'apps'?"),
        ("[[apps]]", "[apps]", 14, "apps must be tables, each under its own [[apps]]"),
        ("number =", "nmber =", 11, "extension: unknown key 'nmber'; did you mean 'number'?"),
        ("name =", "colour =", 3, "organization 3: unknown key 'colour'"),
        ('prefix = "0003"\n', "", 1, "organization 3: prefix is missing"),
        ('prefix = "0003"', "prefix = 3", 4, "organization 3: prefix must be digits in quotes"),
        ('"0003"', '"٣"', 4, "organization 3: prefix must be digits in quotes"),
        ("id = 12", "id = true", 7, "user: id must be a number, or letters, digits and . _ -"),
        ("id = 12", 'id = "@me"', 7, "user: id must be a number, or letters"),
        ("id = 12", 'id = "../12"', 7, "user: id must be a number, or letters"),
        ("id = 12", "id = 0x" + 5000 * "f", 7, "user: id must be a number, or letters"),
        ('"Default Organization"', '"a\\u0007"', 3, "organization 3: name must be a string of"),
        ('"0003*210"', '"210"', 11, "extension: number must be an extended number"),
        ('"0003*210"', '"0003*٢١٠"', 11, "extension: number must be an extended number"),
        ('"0003*210"', '"0003*210\\n"', 11, "extension: number must be an extended number"),
        ('"0003*210"', '"0004*210"', 11, 'extension 0004*210: the organization of user "12"'),
        ("[[apps]]", 'type = "qeue"\n[[apps]]', 14, "extension 0003*210: type must be one of"),
        ("[[apps]]", 'endpoint = "210"\n[[apps]]', 14, "extension 0003*210: endpoint must be a"),
        ("[[apps]]", 'endpoint = "SIP/a,b"\n[[apps]]', 14, "extension 0003*210: endpoint must be"),
        ("[[apps]]", 'caller_id = "Bob"\n[[apps]]', 14, "extension 0003*210: caller_id must have"),
        ("[[apps]]", 'caller_id = "\\r<1>"\n[[apps]]', 14, "extension 0003*210: caller_id must"),
        ("[[apps]]", 'caller_id = "B <b>"\n[[apps]]', 14, "extension 0003*210: caller_id must"),
        ("[[apps]]", 'caller_id = "B<1>"\n[[apps]]', 14, "extension 0003*210: caller_id must"),
        ("[[apps]]", 'caller_id = "<1>"\n[[apps]]', 14, "extension 0003*210: caller_id must"),
        (SECRET_HASH, "s3cret", 16, "app app: client_secret_hash must be what whisper-bridge hash"),
        (
            "_hash = ",
            " = ",
            16,
            "app app: client_secret is kept in plain; write client_secret_hash",
        ),
        ("user = 12\n", 'reach = "sytem"\nuser = 12\n', 12, "extension 0003*210: unknown key"),
        ('"app"\n', '"app"\nreach = "sytem"\n', 16, "app app: reach must be one of user, organ"),
        ('"app"\n', '"app"\nactions = "list"\n', 16, "app app: actions must be a list, in [ ]"),
        ('"app"\n', '"app"\nactions = ["lst"]\n', 16, "app app: actions must be one of list, whi"),
        (
            "[[apps]]",
            "protected = 1\n[[apps]]",
            14,
            "extension 0003*210: protected must be true or",
        ),
        (
            "[[apps]]",
            'auto_answer = "X-A: b\\r\\nVia: c"\n[[apps]]',
            14,
            "extension 0003*210: auto_answer must be one header",
        ),
        (
            "[[apps]]",
            'auto_answer = "yelink"\n[[apps]]',
            14,
            "extension 0003*210: auto_answer must be one of standard",
        ),
        ("name = ", "name == ", 3, "Invalid value"),
        ("id = 12", "id = 12\nid = 13", 8, "Cannot overwrite a value"),
        ("user = 12\n", "user = ", 12, "Invalid value"),
    ],
)
def test_a_mistake_is_told_with_its_line(old: str, new: str, line: int, reason: str) -> None:
    assert old in SMALL
    error = refusal(SMALL.replace(old, new, 1))
    assert error.reason.startswith(reason)
    assert error.line == line


def test_a_mistake_reads_as_one_line() -> None:
    error = refusal(SMALL.replace("user = 12", "user = 13", 1))
    assert str(error) == 'directory.toml:12: extension 0003*210: user "13" does not exist'


def test_a_mistake_never_shows_a_secret() -> None:
    for text in (SMALL.replace(SECRET_HASH, "s3cret"), SMALL.replace("_hash = ", " = ")):
        error = refusal(text)
        assert "s3cret" not in str(error)
        assert SECRET_HASH not in str(error)


def test_the_document_may_be_called_something_else() -> None:
    with pytest.raises(DirectoryError, match=r"^/etc/people\.toml:1: "):
        Directory.parse("x", "/etc/people.toml")


@pytest.mark.parametrize(
    ("more", "line", "reason"),
    [
        (
            '[[organizations]]\nid = "3"\nname = "B"\nprefix = "4"',
            19,
            'organization 3: id "3" is taken already',
        ),
        (
            '[[organizations]]\nid = 4\nname = "B"\nprefix = "0003"',
            21,
            'organization 4: prefix "0003" is taken already by organization 3',
        ),
        ('[[users]]\nid = "12"\norganization = 3', 19, 'user 12: id "12" is taken already'),
        (
            '[[extensions]]\nuser = 12\nnumber = "0003*210"',
            20,
            'extension 0003*210: number "0003*210" is taken already',
        ),
        (
            '[[extensions]]\nnumber = "0003*1"\nuser = 12\nendpoint = "PJSIP/0003*210"',
            21,
            'extension 0003*1: endpoint "PJSIP/0003*210" is taken already by extension 0003*210',
        ),
        (
            f'[[apps]]\nclient_id = "app"\nclient_secret_hash = "{SECRET_HASH}"\nuser = 12',
            19,
            'app app: client_id "app" is taken already',
        ),
    ],
)
def test_nothing_is_listed_twice(more: str, line: int, reason: str) -> None:
    error = refusal(f"{SMALL}{more}\n")
    assert (error.line, error.reason) == (line, reason)


def test_a_default_endpoint_can_be_the_one_that_is_taken() -> None:
    taken = SMALL.replace("user = 12\n\n", 'user = 12\nendpoint = "PJSIP/0003*211"\n\n', 1)
    error = refusal(f'{taken}[[extensions]]\nnumber = "0003*211"\nuser = 12\n')
    assert error.line == 19
    assert 'endpoint "PJSIP/0003*211" is taken already by extension 0003*210' in error.reason


def test_tables_may_be_inline_arrays() -> None:
    inline = """\
organizations = [{id = 3, name = "D", prefix = "0003"}]
users = [{id = 12, organization = 3}]
extensions = [
  {number = "0003*210", user = 12}, # the first
  {number = "0003*211", user = 13},
]
"""
    error = refusal(inline)
    assert (error.line, error.reason) == (5, 'extension 0003*211: user "13" does not exist')
    fine = Directory.parse(inline.replace("13", "12"))
    assert extension(fine, "0003*211").user.id == "12"


@given(st.integers(0, 40), st.integers(0, 40), st.sampled_from(["", "# user = 1", "  "]))
def test_lines_count_whatever_stands_before(before: int, between: int, filler: str) -> None:
    text = SMALL.replace("[[ext", before * f"{filler}\n" + "[[ext")
    text = text.replace("user = 12", between * f"{filler}\n" + "user = 99", 1)
    assert refusal(text).line == 12 + before + between


@given(st.text(st.sampled_from("[]{}=\"'*#.,\n\r \t\\0312abnumber\x00é"), max_size=60))
def test_any_text_is_a_directory_or_one_readable_line(noise: str) -> None:
    error = mistake(SMALL + noise)
    if error is not None:
        assert len(str(error).splitlines()) == 1
        assert error.line is None or 1 <= error.line <= (SMALL + noise).count("\n") + 1


TOML_VALUES = st.sampled_from(
    ["1", '"0003*9"', "true", "1.5", "[]", "{}", "1979-05-27", '""', '"a\\u001b"', "[[1]]", "-1"]
)
KEYS = st.sampled_from(["id", "name", "prefix", "organization", "number", "user", "type", "reach"])


@given(st.sampled_from(["organizations", "users", "extensions", "apps"]), KEYS, TOML_VALUES)
def test_a_row_of_the_wrong_shape_is_refused_at_its_line(table: str, key: str, value: str) -> None:
    row = f"[[{table}]]\n{key} = {value}\n"
    tomllib.loads(row)
    error = refusal(SMALL + row)
    assert error.line in (18, 19)
    assert error.reason.isprintable()


# Looking up


def test_similar_numbers_are_never_mixed_up(lab: Directory) -> None:
    short, long = lab.by_endpoint("PJSIP/0003*210"), lab.by_endpoint("PJSIP/0003*2100")
    assert short is not None
    assert long is not None
    assert (short.number, long.number) == ("0003*210", "0003*2100")
    assert lab.by_endpoint("PJSIP/0003*21") is None
    assert lab.by_endpoint("pjsip/0003*210") is None
    assert lab.by_endpoint("0003*210") is None


@given(st.text(string.digits + "*PJSI/", max_size=16))
def test_an_endpoint_finds_exactly_its_extension(endpoint: str) -> None:
    directory = Directory.parse(SMALL)
    found = directory.by_endpoint(endpoint)
    assert (found is None) == (endpoint != "PJSIP/0003*210")


def test_an_unknown_app_is_none(lab: Directory) -> None:
    assert lab.app("nobody") is None
    assert lab.app("LAB-APP") is None


# Resolving a path


@pytest.mark.parametrize(
    ("client", "user", "written", "expected"),
    [
        ("lab-app", "12", "0003*210", ["0003*210"]),
        ("lab-app", "12", "210", ["0003*210"]),
        ("lab-app", "12", "2100", ["0003*2100"]),
        ("lab-app", "@me", "0003*210", ["0003*210"]),
        ("lab-app", "@viewer", "0003*210", ["0003*210"]),
        ("lab-app", "@owner", "0003*024", ["0003*024"]),
        ("lab-app", "24", "024", ["0003*024"]),
        ("lab-app", "24", "@self", ["0003*024", "0003*025"]),
        ("agent-app", "@owner", "211", ["0003*211"]),
        ("system-app", "40", "0004*410", ["0004*410"]),
        ("system-app", "40", "@self", ["0004*410"]),
        ("system-app", "@owner", "0004*410", ["0004*410"]),
    ],
)
def test_a_path_names_extensions(
    lab: Directory, client: str, user: str, written: str, expected: list[str]
) -> None:
    assert numbers(lab, lab.resolve(principal(lab, client), user, written)) == expected


@pytest.mark.parametrize("user", ["@me", "@owner", "12"])
def test_self_is_every_extension_of_the_user(lab: Directory, user: str) -> None:
    found = lab.resolve(principal(lab, "agent-app"), user, "@self")
    assert numbers(lab, found) == ["0003*210", "0003*211", "0003*2100", "0003*650", "0003*660"]


def test_self_of_a_user_without_extensions_is_empty() -> None:
    text = SMALL + '[[users]]\nid = 13\norganization = 3\n[[apps]]\nclient_id = "b"\n'
    directory = Directory.parse(text + f'client_secret_hash = "{SECRET_HASH}"\nuser = 13\n')
    assert numbers(directory, directory.resolve(principal(directory, "b"), "@me", "@self")) == []


@pytest.mark.parametrize(
    ("client", "user", "written", "error"),
    [
        ("lab-app", "99", "0003*210", UserInvalid),  # unknown
        ("lab-app", "40", "0003*210", UserInvalid),  # of another organization
        ("agent-app", "24", "0003*024", UserInvalid),  # of the same one, out of a user's reach
        ("lab-app", "", "0003*210", UserInvalid),
        ("lab-app", "@self", "0003*210", UserInvalid),
        ("lab-app", "@ME", "0003*210", UserInvalid),
        ("lab-app", "99", "nonsense", UserInvalid),  # the user is looked at first
        ("lab-app", "40", "0004*410", UserInvalid),
        ("lab-app", "12", "", ExtensionInvalid),
        ("lab-app", "12", "*", ExtensionInvalid),
        ("lab-app", "12", "*210", ExtensionInvalid),
        ("lab-app", "12", "0003*", ExtensionInvalid),
        ("lab-app", "12", "0003*2*10", ExtensionInvalid),
        ("lab-app", "12", "0003*210\n", ExtensionInvalid),
        ("lab-app", "12", " 210", ExtensionInvalid),
        ("lab-app", "12", "٢١٠", ExtensionInvalid),
        ("lab-app", "12", "²10", ExtensionInvalid),
        ("lab-app", "12", "@me", ExtensionInvalid),
        ("agent-app", "@me", "nonsense", ExtensionInvalid),
        ("lab-app", "12", "0003*999", ExtensionInvalid),  # within reach, unknown
        ("lab-app", "12", "999", ExtensionInvalid),
        ("lab-app", "12", "0003*024", ExtensionInvalid),  # not that user's
        ("lab-app", "24", "0003*210", ExtensionInvalid),
        ("lab-app", "@me", "0003*024", ExtensionInvalid),
        ("lab-app", "@owner", "0003*999", ExtensionInvalid),
        ("lab-app", "12", "0004*410", AccessDenied),  # another organization's, known
        ("lab-app", "12", "0004*999", AccessDenied),  # another organization's, unknown
        ("lab-app", "12", "9999*1", AccessDenied),  # nobody's prefix
        ("lab-app", "@owner", "0004*410", AccessDenied),
        ("lab-app", "@owner", "0004*999", AccessDenied),
        ("lab-app", "12", "00030*210", AccessDenied),
        ("agent-app", "@me", "0003*024", AccessDenied),  # not his, known
        ("agent-app", "@me", "0003*999", AccessDenied),  # not his, unknown
        ("agent-app", "@me", "999", AccessDenied),
        ("agent-app", "@owner", "0003*024", AccessDenied),
        ("agent-app", "@me", "0004*410", AccessDenied),
        ("system-app", "12", "9999*1", ExtensionInvalid),
        ("system-app", "99", "0003*210", UserInvalid),
        ("system-app", "12", "0004*410", ExtensionInvalid),
        ("system-app", "40", "410", ExtensionInvalid),  # short: inside the caller's own
    ],
)
def test_a_path_that_names_nothing(
    lab: Directory, client: str, user: str, written: str, error: type[ApiError]
) -> None:
    with pytest.raises(error) as caught:
        lab.resolve(principal(lab, client), user, written)
    assert caught.value.message == error().message


def outcome(act: Callable[[], object]) -> tuple[type[ApiError], str] | None:
    try:
        act()
    except ApiError as error:
        return type(error), error.message
    return None


@given(
    client=st.sampled_from(["lab-app", "agent-app"]),
    user=st.sampled_from(["@me", "@owner", "12", "24", "40", "99"]),
    written=st.sampled_from(["0004*410", "0004*411", "0003*024", "210", "@self", "0005*1"]),
)
def test_the_other_organization_cannot_be_told_from_nothing(
    client: str, user: str, written: str
) -> None:
    full = Directory.parse(LAB)
    text = LAB.replace('id = "40"', 'id = "41"').replace('user = "40"', 'user = "41"')
    without = Directory.parse(text.replace("0004", "0006"))
    assert outcome(lambda: full.resolve(principal(full, client), user, written)) == outcome(
        lambda: without.resolve(principal(without, client), user, written)
    )


@given(st.text(string.digits + "*@selfme \n٢", max_size=10))
def test_any_extension_is_one_of_the_callers_own_or_an_error(written: str) -> None:
    directory = Directory.parse(SMALL)
    caller = principal(directory, "app")
    if written in ("210", "0003*210", "@self"):
        assert numbers(directory, directory.resolve(caller, "@me", written)) == ["0003*210"]
    else:
        with pytest.raises((ExtensionInvalid, AccessDenied)):
            directory.resolve(caller, "@me", written)


# Who may whisper


@pytest.mark.parametrize("written", ["0003*024", "024"])
def test_a_phone_of_the_organization_may_whisper(lab: Directory, written: str) -> None:
    target = extension(lab, "0003*210")
    found = lab.terminal_for(principal(lab, "lab-app"), WHISPER, target, written)
    assert found.number == "0003*024"


def test_a_system_app_may_join_two_phones_of_another_organization() -> None:
    other = '[[extensions]]\nnumber = "0004*411"\nuser = "40"\n'
    directory = Directory.parse(LAB + other)
    target = extension(directory, "0004*410")
    found = directory.terminal_for(principal(directory, "system-app"), WHISPER, target, "0004*411")
    assert found.number == "0004*411"


@pytest.mark.parametrize(
    ("target", "written", "rule"),
    [
        ("0003*210", "0003*999", SendCallToInvalid.default),
        ("0003*210", "0004*410", SendCallToInvalid.default),
        ("0003*210", "nonsense", SendCallToInvalid.default),
        ("0003*210", "", SendCallToInvalid.default),
        ("0003*210", "@self", SendCallToInvalid.default),
        ("0004*410", "024", SendCallToInvalid.default),
        (
            "0003*210",
            "0003*650",
            "sendCallTo must be a phone terminal, not another extension.",
        ),
        (
            "0003*210",
            "0003*660",
            "sendCallTo must be a phone terminal, not another extension.",
        ),
        (
            "0003*210",
            "210",
            "sendCallTo must differ from the extension whispered to.",
        ),
    ],
)
def test_who_may_not_whisper(lab: Directory, target: str, written: str, rule: str) -> None:
    caller = principal(lab, "system-app")
    with pytest.raises(SendCallToInvalid) as caught:
        lab.terminal_for(caller, WHISPER, extension(lab, target), written)
    assert caught.value.message == rule
