"""The settings: the only reader of the environment and of the configuration file.

Every setting is an environment variable, ``BRIDGE_`` and the field's name in capitals, or a key
of the same name in the TOML file that ``BRIDGE_CONFIG`` names; the environment wins. A variable
that is empty counts as not set.
"""

import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from ipaddress import IPv6Address
from pathlib import Path
from typing import Annotated, Any, Final, Literal
from unicodedata import category
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from bridge.toml_lines import did_you_mean, line_of, syntax_error

PREFIX: Final = "BRIDGE_"
CONFIG: Final = "BRIDGE_CONFIG"


class SettingsError(Exception):
    """The service cannot start with these settings: ``problems``, one readable line each."""

    def __init__(self, problems: Sequence[str]) -> None:
        """Take the problems, none of which may hold the value of a setting."""
        self.problems = tuple(problems)
        super().__init__("\n".join(problems))


# What a value may be


def _line(value: Any) -> Any:
    """Refuse what would end a header of the AMI, or a line of the log, early."""
    if value == "":
        raise ValueError("must not be empty")
    if isinstance(value, str) and any(category(char) in ("Cc", "Cs") for char in value):
        raise ValueError("must not hold control characters")
    return value


def _secret_line(value: SecretStr) -> SecretStr:
    _line(value.get_secret_value())
    return value


def _host(value: str) -> str:
    if re.fullmatch(r"[A-Za-z0-9._-]+", value) or _is_ipv6(value):
        return value
    raise ValueError("must be a host name or an address")


def _is_ipv6(value: str) -> bool:
    """Tell an IPv6 address without a zone, which has no place in a link."""
    try:
        return IPv6Address(value).scope_id is None
    except ValueError:
        return False


def _base_url(value: str) -> str:
    """Check a URL that paths can be joined to, and drop its trailing slashes."""
    try:
        parts = urlsplit(value)
        host, _checked_when_read = parts.hostname, parts.port
    except ValueError:
        raise ValueError("must be a URL") from None
    if parts.scheme not in ("http", "https") or not host or re.search(r"[\s?#]", value):
        raise ValueError("must be an http or https URL without query and fragment")
    if "@" in parts.netloc:
        raise ValueError("must not hold credentials")
    return value.rstrip("/")


def _upper(value: Any) -> Any:
    return value.upper() if isinstance(value, str) else value


def _url_of(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


Line = Annotated[str, AfterValidator(_line)]
Host = Annotated[Line, AfterValidator(_host)]
Secret = Annotated[SecretStr, AfterValidator(_secret_line)]
File = Annotated[Path, BeforeValidator(_line)]
BaseUrl = Annotated[Line, AfterValidator(_base_url)]
LogLevel = Annotated[Literal["DEBUG", "INFO", "WARNING", "ERROR"], BeforeValidator(_upper)]


_KINDS: Mapping[Any, str] = {bool: "must be true or false", float: "must be a number"}
"""What a setting of that type must be, in an operator's words."""


class Settings(BaseSettings):
    """What an operator can set; immutable. Made by ``load``."""

    model_config = SettingsConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    ami_host: Host = "127.0.0.1"
    ami_port: int = Field(5038, ge=1, le=65535)
    ami_username: Line = "whisper-bridge"
    ami_secret: Secret
    ami_tls: bool = False
    """Whether AMI is spoken over TLS (Asterisk's tlsenable; its port is 5039 by default)."""
    ami_ca: File | None = None
    """Certificates that vouch for the PBX's, in PEM; those of this machine when not set."""
    ami_silence: float = Field(5.0, ge=0.5, le=300, allow_inf_nan=False)
    """Seconds the PBX may say nothing, not even to a ping, before the link counts as lost."""
    http_host: Host = "127.0.0.1"
    http_port: int = Field(8480, ge=1, le=65535)
    public_url: BaseUrl = Field(
        default_factory=lambda data: _url_of(data["http_host"], data["http_port"])
    )
    """What the links in answers begin with, without a trailing slash."""
    directory: File
    """The TOML document of bridge.directory."""
    state_dir: File
    """Where the keys of the tokens are kept."""
    log_level: LogLevel = "INFO"
    pbx_name: Line = "asterisk"
    """Goes into the ids of calls: bridges beside one PBX must agree on it."""
    max_whispers_per_view: int = Field(3, ge=1, le=100)
    """Supervisors who may whisper to one view at a time."""
    follow_target: bool = False
    """Whether a whisper goes on when its target comes to talk to somebody else."""

    @field_validator("*", mode="before")
    @classmethod
    def _scalar(cls, value: Any, info: ValidationInfo) -> Any:
        """Take what a variable could be as well: pydantic would read true as the port 1."""
        kind = cls.model_fields[info.field_name or ""].annotation
        given = type(value)
        mixed = (given in (bool, float) and given is not kind) or (given is int and kind is bool)
        if mixed or not isinstance(value, str | int | float | Path | SecretStr | None):
            raise ValueError(_KINDS.get(kind, "must be a string or a whole number"))
        return value

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Take what ``load`` gathered and nothing else: it knows where each value came from."""
        return (init_settings,)


NAMES: Mapping[str, str] = {f"{PREFIX}{field.upper()}": field for field in Settings.model_fields}
"""Environment variable to field."""


WORDS: Mapping[str, str] = {
    "bool_parsing": "must be true or false",
    "float_parsing": "must be a number",
    "int_parsing": "must be a whole number",
    "path_type": "must be a path",
    "string_type": "must be a string, in quotes",
}
"""What pydantic would tell a programmer, told to an operator."""


@dataclass(frozen=True, slots=True)
class _Given:
    """A value somebody gave, and where."""

    value: Any
    origin: str


def load(environ: Mapping[str, str]) -> Settings:
    """Return the settings that ``environ`` and the file named in it give.

    Raises SettingsError with every problem found; it never shows a value.
    """
    from_file, problems = _read_file(environ.get(CONFIG, ""))
    given = {**_state_dir(environ), **from_file, **_from_environment(environ)}
    problems = [*_typos(environ), *problems]
    try:
        settings = Settings.model_validate({field: item.value for field, item in given.items()})
    except ValidationError as error:
        problems += _explain(error, given)
    if problems:
        raise SettingsError(problems)
    return settings


def _from_environment(environ: Mapping[str, str]) -> dict[str, _Given]:
    return {
        field: _Given(environ[name], "environment")
        for name, field in NAMES.items()
        if environ.get(name)
    }


def _typos(environ: Mapping[str, str]) -> list[str]:
    """Report variables that resemble a setting; others may belong to somebody else."""
    problems = []
    for name in environ:
        if name.upper().startswith(PREFIX) and name not in (*NAMES, CONFIG):
            meant = _meant(name)
            problems += [f"{name} (environment): unknown; did you mean {meant}?"] if meant else []
    return problems


def _meant(name: str) -> str | None:
    """Compare without the prefix, which would make every name resemble every other."""
    known = [known.removeprefix(PREFIX) for known in (*NAMES, CONFIG)]
    close = get_close_matches(name.upper().removeprefix(PREFIX), known, n=1, cutoff=0.75)
    return f"{PREFIX}{close[0]}" if close else None


def _state_dir(environ: Mapping[str, str]) -> dict[str, _Given]:
    """Find the default: systemd's (systemd.exec, StateDirectory), else the XDG one.

    systemd joins several with colons. XDG Base Directory: a relative path is to be ignored.
    """
    if environ.get("STATE_DIRECTORY"):
        path = Path(environ["STATE_DIRECTORY"].split(":")[0])
        return {"state_dir": _Given(path, "STATE_DIRECTORY")}
    if environ.get("XDG_STATE_HOME", "").startswith("/"):
        path = Path(environ["XDG_STATE_HOME"], "whisper-bridge")
        return {"state_dir": _Given(path, "XDG_STATE_HOME")}
    if environ.get("HOME"):
        path = Path(environ["HOME"], ".local", "state", "whisper-bridge")
        return {"state_dir": _Given(path, "HOME")}
    return {}


def _read_file(path: str) -> tuple[dict[str, _Given], list[str]]:
    """Return what the file gives and what is wrong with its keys; a broken file raises."""
    if not path:
        return {}, []
    text = _text(path)
    try:
        document = tomllib.loads(text)
    except ValueError as error:
        line, reason = syntax_error(text, error)
        raise SettingsError([f"{_place(path, line)}: {reason}"]) from error
    places = {key: _place(path, line_of(text, (key,))) for key in document}
    given = {
        NAMES[key]: _Given(value, places[key]) for key, value in document.items() if key in NAMES
    }
    unknown = (key for key in document if key not in NAMES)
    hints = [f"{places[key]}: unknown key {key!r}{did_you_mean(key, NAMES)}" for key in unknown]
    return given, hints


def _text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8-sig")
    except OSError as error:
        raise SettingsError([f"{CONFIG} (environment): {path}: {error.strerror}"]) from error
    except ValueError as error:
        raise SettingsError([f"{CONFIG} (environment): {path}: no UTF-8 text"]) from error


def _place(path: str, line: int | None) -> str:
    return path if line is None else f"{path}:{line}"


def _explain(error: ValidationError, given: Mapping[str, _Given]) -> Iterable[str]:
    for detail in error.errors(include_url=False, include_input=False):
        # The default of public_url waits for fields that have a problem of their own.
        if detail["type"] != "default_factory_not_called":
            yield _sentence(detail, given)


def _sentence(detail: ErrorDetails, given: Mapping[str, _Given]) -> str:
    field = str(detail["loc"][0])
    name = f"{PREFIX}{field.upper()}"
    if field not in given:
        return f"{name}: missing; set it in the environment or in the file {CONFIG} names"
    words = detail["msg"].removeprefix("Value error, ").replace("Input should", "must")
    return f"{name} ({given[field].origin}): {WORDS.get(detail['type'], words)}"
