"""A client's settings: options over the environment, and where a service of this machine is."""

from pathlib import Path

import pytest

from bridge.settings import ClientSettings, SettingsError, load_client

URL = {"WHISPER_URL": "https://pbx.example.com/"}


def loaded(environ: dict[str, str], **options: str | None) -> ClientSettings:
    return load_client(environ, options)


def told(environ: dict[str, str], **options: str | None) -> str:
    with pytest.raises(SettingsError) as raised:
        load_client(environ, options)
    return str(raised.value)


def test_options_win_over_the_environment() -> None:
    environ = {**URL, "WHISPER_CA_FILE": "/ca.pem"}
    assert loaded(environ).url == "https://pbx.example.com"
    assert loaded(environ, url="http://127.0.0.1:1").url == "http://127.0.0.1:1"
    assert loaded(environ, url=None).ca_file == Path("/ca.pem")


def test_a_credential_of_an_option_puts_that_of_the_environment_out_of_force() -> None:
    environ = {**URL, "WHISPER_CLIENT_ID": "panel", "WHISPER_CLIENT_SECRET_FILE": "/secret"}
    assert loaded(environ).client_id == "panel"
    found = loaded(environ, token_file="/token")
    assert (found.token_file, found.client_id) == (Path("/token"), None)


@pytest.mark.parametrize(
    ("environ", "options", "said"),
    [
        ({"WHISPER_URL": "pbx"}, {}, "WHISPER_URL (environment): must be an http or https URL"),
        ({"WHISPER_URL": "http://a:b@x"}, {}, "must not hold credentials"),
        (URL, {"url": "x"}, "--url: must be an http or https URL"),
        (URL, {"client_id": "panel"}, "belong together: one is missing"),
        ({**URL, "WHISPER_TOKEN": "zq9", "WHISPER_TOKEN_FILE": "/t"}, {}, "several credentials"),
        ({**URL, "WHISPER_TOKEN": "zq9\n"}, {}, "WHISPER_TOKEN (environment): must not hold contr"),
        ({"BRIDGE_HTTP_PORT": "zq"}, {}, "BRIDGE_HTTP_PORT (environment): must be a whole number"),
        ({"BRIDGE_CONFIG": "/none"}, {}, "BRIDGE_CONFIG (environment): /none: No such file"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(
    environ: dict[str, str], options: dict[str, str], said: str
) -> None:
    text = told(environ, **options)
    assert said in text
    assert "zq9" not in text


@pytest.mark.parametrize(
    ("environ", "url"),
    [
        ({}, "http://127.0.0.1:8480"),
        ({"BRIDGE_HTTP_PORT": "99"}, "http://127.0.0.1:99"),
        ({"BRIDGE_HTTP_HOST": "0.0.0.0"}, "http://127.0.0.1:8480"),
        ({"BRIDGE_HTTP_HOST": "::"}, "http://[::1]:8480"),
        ({"BRIDGE_HTTP_HOST": "127.0.0.2"}, "http://127.0.0.2:8480"),
        ({"BRIDGE_PUBLIC_URL": "https://pbx.example.com"}, "http://127.0.0.1:8480"),
        (
            {"BRIDGE_PUBLIC_URL": "https://pbx.example.com", "BRIDGE_TLS_CERT": "/c.pem"},
            "https://pbx.example.com",
        ),
    ],
)
def test_a_service_of_this_machine_is_found_by_its_settings(
    environ: dict[str, str], url: str
) -> None:
    assert loaded({**environ, "WHISPER_TOKEN": "x"}).url == url


def test_its_settings_may_stand_in_a_file_that_names_secrets_nobody_may_read(
    tmp_path: Path,
) -> None:
    config = tmp_path / "bridge.env"
    config.write_text("BRIDGE_HTTP_PORT=1234\nBRIDGE_AMI_SECRET_FILE=/none/secret\n")
    environ = {"BRIDGE_CONFIG": str(config)}
    assert loaded(environ).url == "http://127.0.0.1:1234"
    assert loaded({**environ, "BRIDGE_HTTP_PORT": "99"}).url == "http://127.0.0.1:99"
    assert "bridge.env:1: must be" in told({"BRIDGE_CONFIG": str(_bad(config))})


def _bad(config: Path) -> Path:
    config.write_text("BRIDGE_HTTP_PORT=0\n")
    return config
