"""The settings of a client of the API: where the service is, and what opens its door."""

from collections.abc import Mapping
from typing import Final

from pydantic import BaseModel, ConfigDict, ValidationError

from bridge.settings.fields import Settings
from bridge.settings.files import CONFIG, read_config
from bridge.settings.given import NAMES, Given, SettingsError
from bridge.settings.kinds import BaseUrl, File, Line, Secret, url_of
from bridge.settings.loading import words_of

PREFIX: Final = "WHISPER_"


class ClientSettings(BaseModel):
    """What somebody at a terminal, or a script, can set; immutable. Made by ``load_client``."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    url: BaseUrl
    """What paths of the API are joined to; by default where a service of this machine listens."""
    token: Secret | None = None
    token_file: File | None = None
    """A file with a token, in place of token."""
    client_id: Line | None = None
    """The id of an app, which gets a token for itself."""
    client_secret_file: File | None = None
    """A file with the secret of that app."""
    ca_file: File | None = None
    """Certificates that vouch for the service's, in PEM; those of this machine when not set."""


CLIENT_NAMES: Mapping[str, str] = {
    f"{PREFIX}{field.upper()}": field for field in ClientSettings.model_fields
}
"""Environment variable to field."""

_CREDENTIALS: Final = ("token", "token_file", "client_id", "client_secret_file")

_ANYWHERE: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}
"""Addresses that are every one of a machine, and how they are reached on it."""

_OTHERS: Final = {"ami_secret": "-", "directory": "-", "state_dir": "-"}
"""Settings of the service that no client needs, nor may he read what some of them name."""


def load_client(environ: Mapping[str, str], options: Mapping[str, str | None]) -> ClientSettings:
    """Return what ``options``, by field, and ``environ`` give; the options win.

    An option that is a credential, or part of one, puts those of the environment out of force.
    Raises SettingsError with every problem found; it never shows a token.
    """
    chosen = {
        field: Given(value, f"--{field.replace('_', '-')}")
        for field, value in options.items()
        if value is not None
    }
    given = {
        field: Given(environ[name], f"{name} (environment)")
        for name, field in CLIENT_NAMES.items()
        if environ.get(name)
    }
    if chosen.keys() & set(_CREDENTIALS):
        given = {field: item for field, item in given.items() if field not in _CREDENTIALS}
    given |= chosen
    if "url" not in given:
        given["url"] = Given(service_url(environ), "the service's settings")
    return _validated(given)


def service_url(environ: Mapping[str, str]) -> str:
    """Where the service that has its settings in ``environ`` is reached from its own machine.

    With TLS that is its public URL, which its certificate is for. Raises SettingsError.
    """
    given, _ = read_config(environ.get(CONFIG, ""))
    for name, field in NAMES.items():
        if environ.get(name):
            given[field] = Given(environ[name], f"{name} (environment)")
    listening = {
        field: given[field].value
        for field in ("http_host", "http_port", "tls_cert", "public_url")
        if field in given
    }
    try:
        found = Settings.model_validate({**_OTHERS, **listening})
    except ValidationError as error:
        raise SettingsError(_problems(error, given)) from error
    if found.tls_cert is not None:
        return found.public_url
    return url_of(_ANYWHERE.get(found.http_host, found.http_host), found.http_port)


def _validated(given: Mapping[str, Given]) -> ClientSettings:
    try:
        settings = ClientSettings.model_validate({key: item.value for key, item in given.items()})
    except ValidationError as error:
        raise SettingsError(_problems(error, given)) from error
    problem = _misfit(settings.model_fields_set & set(_CREDENTIALS))
    if problem:
        raise SettingsError([problem])
    return settings


def _misfit(credentials: set[str]) -> str:
    """What is wrong with these credentials together, empty when they are one or none."""
    ways = [{"token"}, {"token_file"}, {"client_id", "client_secret_file"}]
    if not credentials or credentials in ways:
        return ""
    if credentials < ways[-1]:
        return "the id of an app and the file of its secret belong together: one is missing"
    return "there are several credentials: give a token, or the id and the secret of an app"


def _problems(error: ValidationError, given: Mapping[str, Given]) -> list[str]:
    return [
        f"{given[str(detail['loc'][0])].origin}: {words_of(detail)}"
        for detail in error.errors(include_url=False, include_input=False)
        if str(detail["loc"][0]) in given
    ]
