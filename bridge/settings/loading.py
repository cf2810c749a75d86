"""Gathers the settings from the environment and the file, and says what is wrong and where."""

import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from bridge.settings.fields import Settings
from bridge.toml_lines import did_you_mean, line_of, syntax_error

PREFIX: Final = "BRIDGE_"
CONFIG: Final = "BRIDGE_CONFIG"


class SettingsError(Exception):
    """The service cannot start with these settings: ``problems``, one readable line each."""

    def __init__(self, problems: Sequence[str]) -> None:
        """Take the problems, none of which may hold the value of a setting."""
        self.problems = tuple(problems)
        super().__init__("\n".join(problems))


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
