"""Settings: where they come from, their defaults, and what an operator is told."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from bridge.settings import NAMES, Settings, SettingsError, load

NEEDED = {"BRIDGE_AMI_SECRET": "s3cret", "BRIDGE_DIRECTORY": "/d.toml", "HOME": "/home/b"}


def settings(**more: str) -> Settings:
    return load({**NEEDED, **more})


def told(environ: dict[str, str]) -> list[str]:
    try:
        load(environ)
    except SettingsError as error:
        return str(error).splitlines()
    return []


def problems(environ: dict[str, str]) -> list[str]:
    lines = told(environ)
    assert lines
    return lines


def problem(**more: str) -> str:
    (only,) = problems({**NEEDED, **more})
    return only


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return tmp_path / "bridge.toml"


# Values


def test_defaults() -> None:
    found = settings()
    assert (found.ami_host, found.ami_port) == ("127.0.0.1", 5038)
    assert found.ami_username == "whisper-bridge"
    assert found.ami_secret.get_secret_value() == "s3cret"
    assert (found.http_host, found.http_port) == ("127.0.0.1", 8480)
    assert found.public_url == "http://127.0.0.1:8480"
    assert found.directory == Path("/d.toml")
    assert found.log_level == "INFO"
    assert found.pbx_name == "asterisk"


def test_the_names_are_the_promised_ones() -> None:
    assert set(NAMES) == {
        "BRIDGE_AMI_HOST",
        "BRIDGE_AMI_PORT",
        "BRIDGE_AMI_USERNAME",
        "BRIDGE_AMI_SECRET",
        "BRIDGE_AMI_SECRET_FILE",
        "BRIDGE_AMI_TLS",
        "BRIDGE_AMI_CA",
        "BRIDGE_AMI_SILENCE",
        "BRIDGE_HTTP_HOST",
        "BRIDGE_PLAIN_HTTP_BEHIND_PROXY",
        "BRIDGE_TLS_CERT",
        "BRIDGE_TLS_KEY",
        "BRIDGE_TRUSTED_PROXIES",
        "BRIDGE_RATE_PER_APP",
        "BRIDGE_RATE_PER_ADDRESS",
        "BRIDGE_FAILURES_PER_MINUTE",
        "BRIDGE_MAX_CONNECTIONS",
        "BRIDGE_REQUEST_TIMEOUT",
        "BRIDGE_KEEPALIVE",
        "BRIDGE_HTTP_PORT",
        "BRIDGE_PUBLIC_URL",
        "BRIDGE_DIRECTORY",
        "BRIDGE_STATE_DIR",
        "BRIDGE_AUDIT",
        "BRIDGE_WEBHOOKS_DB",
        "BRIDGE_WEBHOOKS_ALLOW",
        "BRIDGE_METRICS_CLIENTS",
        "BRIDGE_LOG_LEVEL",
        "BRIDGE_LOG_FORMAT",
        "BRIDGE_LOG_NUMBERS",
        "BRIDGE_PBX_NAME",
        "BRIDGE_MAX_WHISPERS_PER_VIEW",
        "BRIDGE_FOLLOW_TARGET",
        "BRIDGE_FOLLOW_KEYS",
    }


def test_every_setting_comes_from_the_environment() -> None:
    found = settings(
        BRIDGE_AMI_HOST="pbx.example",
        BRIDGE_AMI_PORT="15038",
        BRIDGE_AMI_USERNAME="u",
        BRIDGE_HTTP_HOST="::1",
        BRIDGE_HTTP_PORT="80",
        BRIDGE_PUBLIC_URL="https://x.example/api",
        BRIDGE_STATE_DIR="/s",
        BRIDGE_LOG_LEVEL="debug",
        BRIDGE_PBX_NAME="two",
    )
    assert (found.ami_host, found.ami_port, found.ami_username) == ("pbx.example", 15038, "u")
    assert (found.http_host, found.http_port) == ("::1", 80)
    assert found.public_url == "https://x.example/api"
    assert (found.state_dir, found.log_level, found.pbx_name) == (Path("/s"), "DEBUG", "two")


def test_only_the_given_environment_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BRIDGE_AMI_HOST", "elsewhere")
    monkeypatch.setenv("AMI_HOST", "elsewhere")
    monkeypatch.setenv("BRIDGE_AMI_SECRET", "x")
    assert settings().ami_host == "127.0.0.1"
    assert problems({"HOME": "/h", "BRIDGE_DIRECTORY": "d"})[0].startswith("BRIDGE_AMI_SECRET: mis")


def test_settings_are_frozen() -> None:
    with pytest.raises(ValidationError):
        settings().ami_port = 1


def test_the_secret_is_not_shown() -> None:
    assert "s3cret" not in repr(settings())
    assert "s3cret" not in settings().model_dump_json()


def test_an_empty_variable_counts_as_not_set() -> None:
    assert settings(BRIDGE_AMI_HOST="", BRIDGE_CONFIG="").ami_host == "127.0.0.1"
    assert problem(BRIDGE_AMI_SECRET="").startswith("BRIDGE_AMI_SECRET: missing")


@pytest.mark.parametrize(
    ("written", "url"),
    [
        ("https://x.example/", "https://x.example"),
        ("http://x.example:8480/a/b//", "http://x.example:8480/a/b"),
        ("http://[::1]:1", "http://[::1]:1"),
    ],
)
def test_a_public_url_has_no_slash_at_its_end(written: str, url: str) -> None:
    assert settings(BRIDGE_PUBLIC_URL=written).public_url == url


def test_a_url_that_was_not_set_follows_the_address() -> None:
    found = settings(BRIDGE_HTTP_HOST="::1", BRIDGE_HTTP_PORT="1234")
    assert found.public_url == "http://[::1]:1234"


def test_the_public_url_follows_the_certificate() -> None:
    found = settings(BRIDGE_TLS_CERT="/c.pem", BRIDGE_HTTP_HOST="pbx.example.com")
    assert found.public_url == "https://pbx.example.com:8480"


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("10.0.0.7", ["10.0.0.7/32"]),
        ("10.0.0.7, 10.1.0.0/16,2001:db8::/32,", ["10.0.0.7/32", "10.1.0.0/16", "2001:db8::/32"]),
        (" ", []),
    ],
)
def test_trusted_proxies_are_addresses_and_networks(written: str, read: list[str]) -> None:
    found = settings(BRIDGE_TRUSTED_PROXIES=written).trusted_proxies
    assert [str(network) for network in found] == read


@pytest.mark.parametrize(
    ("environ", "path"),
    [
        ({}, "/home/b/.local/state/whisper-bridge"),
        ({"XDG_STATE_HOME": "/x"}, "/x/whisper-bridge"),
        ({"XDG_STATE_HOME": "relative"}, "/home/b/.local/state/whisper-bridge"),
        ({"STATE_DIRECTORY": "/var/lib/b", "XDG_STATE_HOME": "/x"}, "/var/lib/b"),
        ({"STATE_DIRECTORY": "/var/lib/b:/var/lib/c"}, "/var/lib/b"),
        ({"STATE_DIRECTORY": "/var/lib/b", "BRIDGE_STATE_DIR": "/own"}, "/own"),
    ],
)
def test_where_the_state_lives(environ: dict[str, str], path: str) -> None:
    assert settings(**environ).state_dir == Path(path)


# The file


def test_the_file_gives_what_the_environment_does_not(config: Path) -> None:
    config.write_text(
        'BRIDGE_AMI_SECRET = "from file"\nBRIDGE_AMI_PORT = 1\nBRIDGE_DIRECTORY = "f"\n'
        'BRIDGE_HTTP_PORT = "2"\nBRIDGE_STATE_DIR = "/f"\n'
    )
    found = load({"BRIDGE_CONFIG": str(config), "BRIDGE_DIRECTORY": "env", "HOME": "/h"})
    assert found.ami_secret.get_secret_value() == "from file"
    assert (found.ami_port, found.http_port) == (1, 2)
    assert found.directory == Path("env")
    assert found.state_dir == Path("/f")


def test_the_file_may_begin_with_a_byte_order_mark(config: Path) -> None:
    config.write_bytes(b'\xef\xbb\xbfBRIDGE_PBX_NAME = "b"\n')
    assert settings(BRIDGE_CONFIG=str(config)).pbx_name == "b"


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("BRIDGE_HTTP_PRT = 1", "unknown key 'BRIDGE_HTTP_PRT'; did you mean 'BRIDGE_HTTP_PORT'?"),
        ("[tables]", "unknown key 'tables'"),
        ("BRIDGE_CONFIG = 'other'", "unknown key 'BRIDGE_CONFIG'"),
        ("BRIDGE_HTTP_PORT =", "Invalid value"),
    ],
)
def test_a_mistake_in_the_file_is_told_with_its_line(config: Path, line: str, reason: str) -> None:
    config.write_text(f"# a comment\n\n{line}\n")
    assert problem(BRIDGE_CONFIG=str(config)).startswith(f"{config}:3: {reason}")


@pytest.mark.parametrize("value", ["true", "1.5", "[1]", "{a = 1}", "1979-05-27"])
def test_a_value_of_the_file_is_what_a_variable_could_be(config: Path, value: str) -> None:
    config.write_text(f"\nBRIDGE_HTTP_PORT = {value}\n")
    expected = f"BRIDGE_HTTP_PORT ({config}:2): must be a string or a whole number"
    assert problem(BRIDGE_CONFIG=str(config)) == expected


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("BRIDGE_PBX_NAME = 1", "must be a string, in quotes"),
        ("BRIDGE_PBX_NAME = ''", "must not be empty"),
        ("BRIDGE_STATE_DIR = 1", "must be a path"),
        ("BRIDGE_STATE_DIR = ''", "must not be empty"),
        ('BRIDGE_STATE_DIR = "a\\u0000"', "must not hold control characters"),
    ],
)
def test_a_wrong_value_of_the_file_names_key_and_line(config: Path, line: str, reason: str) -> None:
    config.write_text(f"{line}\n")
    name = line.split()[0]
    assert problem(BRIDGE_CONFIG=str(config)) == f"{name} ({config}:1): {reason}"


def test_a_file_that_cannot_be_read(tmp_path: Path, config: Path) -> None:
    config.write_bytes(b"\xff")
    said = "BRIDGE_CONFIG (environment): "
    assert problem(BRIDGE_CONFIG=str(config)) == f"{said}{config}: no UTF-8 text"
    assert problem(BRIDGE_CONFIG=str(tmp_path)) == f"{said}{tmp_path}: Is a directory"
    absent = tmp_path / "absent"
    assert problem(BRIDGE_CONFIG=str(absent)) == f"{said}{absent}: No such file or directory"


# The file of variables


@pytest.fixture
def variables(tmp_path: Path) -> Path:
    return tmp_path / "bridge.env"


def test_the_file_may_be_lines_of_variables(variables: Path) -> None:
    variables.write_text(
        '\ufeff# a comment\n\nBRIDGE_AMI_PORT=1\nBRIDGE_PBX_NAME="the PBX"\n'
        "BRIDGE_AMI_USERNAME = 'u' # why\nBRIDGE_FOLLOW_TARGET=true\nBRIDGE_AMI_CA=\n"
    )
    found = settings(BRIDGE_CONFIG=str(variables), BRIDGE_AMI_USERNAME="environment")
    assert (found.ami_port, found.pbx_name, found.follow_target) == (1, "the PBX", True)
    assert found.ami_username == "environment"
    assert found.ami_ca is None


def test_a_dollar_in_a_variable_is_a_dollar(variables: Path) -> None:
    variables.write_text('BRIDGE_PBX_NAME="a$HOME${HOME}"\n')
    assert settings(BRIDGE_CONFIG=str(variables)).pbx_name == "a$HOME${HOME}"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("BRIDGE_HTTP_PORT=x", "BRIDGE_HTTP_PORT ({place}): must be a whole number"),
        ("BRIDGE_HTTP_PRT=1", "{place}: unknown key 'BRIDGE_HTTP_PRT'; did you mean 'BRIDGE_HTTP"),
        ("BRIDGE_HTTP_PRT=", "{place}: unknown key 'BRIDGE_HTTP_PRT'; did you mean 'BRIDGE_HTTP"),
        ("TZ=UTC", "{place}: unknown key 'TZ'"),
        ("BRIDGE_HTTP_PORT", "{place}: must be NAME=value"),
        ("BRIDGE HTTP PORT=1", "{place}: must be NAME=value"),
        ('BRIDGE_PBX_NAME="open', "{place}: must be NAME=value"),
    ],
)
def test_a_mistake_in_a_variable_is_told_with_its_line(
    variables: Path, line: str, said: str
) -> None:
    variables.write_text(f"# a comment\n\n{line}\n")
    assert problem(BRIDGE_CONFIG=str(variables)).startswith(said.format(place=f"{variables}:3"))


# The file of a secret


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    return tmp_path / "ami-secret"


def filed(secret: Path, **more: str) -> dict[str, str]:
    return {"BRIDGE_AMI_SECRET_FILE": str(secret), "BRIDGE_DIRECTORY": "d", "HOME": "/h", **more}


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_a_secret_may_stand_in_a_file(secret: Path, end: str) -> None:
    secret.write_bytes(f" s3 cret {end}".encode())
    assert load(filed(secret)).ami_secret.get_secret_value() == " s3 cret "


def test_the_environment_wins_over_the_file_of_settings_in_either_way(
    secret: Path, config: Path
) -> None:
    secret.write_text("filed")
    config.write_text('BRIDGE_AMI_SECRET = "written"\n')
    found = load(filed(secret, BRIDGE_CONFIG=str(config)))
    assert found.ami_secret.get_secret_value() == "filed"
    config.write_text('BRIDGE_AMI_SECRET_FILE = "/none"\n')
    assert settings(BRIDGE_CONFIG=str(config)).ami_secret.get_secret_value() == "s3cret"


def test_a_secret_in_two_ways_is_refused(secret: Path, config: Path) -> None:
    secret.write_text("filed")
    said = "BRIDGE_AMI_SECRET_FILE (environment): BRIDGE_AMI_SECRET is given as well"
    assert problem(**filed(secret)) == said
    config.write_text(f'BRIDGE_AMI_SECRET = "x"\nBRIDGE_AMI_SECRET_FILE = "{secret}"\n')
    said = f"BRIDGE_AMI_SECRET_FILE ({config}:2): BRIDGE_AMI_SECRET is given as well"
    assert problems({"BRIDGE_CONFIG": str(config), "BRIDGE_DIRECTORY": "d", "HOME": "/h"}) == [said]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"\n", "must not be empty"),
        (b"one\ntwo\n", "must not hold control characters"),
    ],
)
def test_a_wrong_secret_of_a_file_is_told(secret: Path, content: bytes, reason: str) -> None:
    secret.write_bytes(content)
    said = f"BRIDGE_AMI_SECRET (the file of BRIDGE_AMI_SECRET_FILE): {reason}"
    assert problems(filed(secret)) == [said]


def test_a_file_of_a_secret_that_cannot_be_read_is_told_without_its_path(secret: Path) -> None:
    said = "BRIDGE_AMI_SECRET_FILE (environment): "
    assert problems(filed(secret)) == [f"{said}No such file or directory"]
    assert problems(filed(secret.parent)) == [f"{said}Is a directory"]
    secret.write_bytes(b"\xff")
    assert problems(filed(secret)) == [f"{said}no UTF-8 text"]


# What an operator is told


def test_every_missing_setting_is_told_at_once() -> None:
    assert [line.partition(":")[0] for line in problems({})] == [
        "BRIDGE_AMI_SECRET",
        "BRIDGE_DIRECTORY",
        "BRIDGE_STATE_DIR",
    ]


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("BRIDGE_AMI_PORT", "abc", "must be a whole number"),
        ("BRIDGE_AMI_PORT", "0", "must be greater than or equal to 1"),
        ("BRIDGE_AMI_PORT", "65536", "must be less than or equal to 65535"),
        ("BRIDGE_HTTP_PORT", "0", "must be greater than or equal to 1"),
        ("BRIDGE_AMI_HOST", "http://pbx", "must be a host name or an address"),
        ("BRIDGE_TRUSTED_PROXIES", "10.0.0.7/8", "must be addresses and networks, like 10"),
        ("BRIDGE_TRUSTED_PROXIES", "proxy", "must be addresses and networks, like 10.0.0.7"),
        ("BRIDGE_PLAIN_HTTP_BEHIND_PROXY", "1.5", "must be true or false"),
        ("BRIDGE_HTTP_HOST", "a:b", "must be a host name or an address"),
        ("BRIDGE_HTTP_HOST", "fe80::1%eth0", "must be a host name or an address"),
        ("BRIDGE_HTTP_HOST", "a b", "must be a host name or an address"),
        ("BRIDGE_LOG_LEVEL", "loud", "must be 'DEBUG', 'INFO', 'WARNING' or 'ERROR'"),
        ("BRIDGE_AMI_USERNAME", "u\r\nAction: Logoff", "must not hold control characters"),
        ("BRIDGE_AMI_SECRET", "s\nAction: Logoff", "must not hold control characters"),
        ("BRIDGE_PBX_NAME", "\x7f", "must not hold control characters"),
        ("BRIDGE_PUBLIC_URL", "ftp://x", "must be an http or https URL without query and fragment"),
        ("BRIDGE_PUBLIC_URL", "x.example", "must be an http or https URL without query"),
        ("BRIDGE_PUBLIC_URL", "http://", "must be an http or https URL without query"),
        ("BRIDGE_PUBLIC_URL", "http://x?", "must be an http or https URL without query"),
        ("BRIDGE_PUBLIC_URL", "http://x/#a", "must be an http or https URL without query"),
        ("BRIDGE_PUBLIC_URL", "http://x y", "must be an http or https URL without query"),
        ("BRIDGE_PUBLIC_URL", "http://x:port", "must be a URL"),
        ("BRIDGE_PUBLIC_URL", "http://[x", "must be a URL"),
        ("BRIDGE_PUBLIC_URL", "http://u:p@x", "must not hold credentials"),
    ],
)
def test_a_wrong_variable_is_named(name: str, value: str, reason: str) -> None:
    assert problem(**{name: value}).startswith(f"{name} (environment): {reason}")


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("BRIDGE_AMI_SECRTE", "BRIDGE_AMI_SECRET"),
        ("BRIDGE_LOGLEVEL", "BRIDGE_LOG_LEVEL"),
        ("bridge_ami_host", "BRIDGE_AMI_HOST"),
        ("BRIDGE_CONFG", "BRIDGE_CONFIG"),
    ],
)
def test_a_misspelt_variable_is_told(name: str, meant: str) -> None:
    assert problem(**{name: "x"}) == f"{name} (environment): unknown; did you mean {meant}?"


@pytest.mark.parametrize("name", ["BRIDGE_PORT", "BRIDGE_SERVICE_HOST", "BRIDGE_COLOUR", "BRIDGES"])
def test_the_variables_of_others_are_ignored(name: str) -> None:
    assert settings(**{name: "tcp://10.0.0.1:80"}) == settings()


def test_all_problems_are_told_together(config: Path) -> None:
    config.write_text("BRIDGE_AMI_PORT = 'x'\nBRIDGE_X = 1\n")
    lines = problems(
        {**NEEDED, "BRIDGE_CONFIG": str(config), "BRIDGE_HTTP_PORT": "y", "BRIDGE_AMI_HSOT": "z"}
    )
    assert [line.split(": ")[0] for line in lines] == [
        "BRIDGE_AMI_HSOT (environment)",
        f"{config}:2",
        f"BRIDGE_AMI_PORT ({config}:1)",
        "BRIDGE_HTTP_PORT (environment)",
    ]


VALUES = st.text(st.characters(codec="utf-8"), min_size=1).map(lambda text: f"zq{text}qz")


@given(st.sampled_from(sorted(NAMES)), VALUES)
def test_any_value_is_a_setting_or_one_line_that_does_not_show_it(name: str, value: str) -> None:
    for line in told({**NEEDED, name: value}):
        assert line.startswith(f"{name} (environment): ")
        assert line.isprintable()
        assert value not in line
