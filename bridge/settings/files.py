"""Reads the settings that stand in files: the one of all settings, and one for each secret."""

import tomllib
from collections.abc import Iterator, Mapping
from io import StringIO
from pathlib import Path
from typing import Any, Final

from dotenv.parser import parse_stream

from bridge.settings.given import NAMES, Given, SettingsError, name_of
from bridge.toml_lines import did_you_mean, line_of, syntax_error

CONFIG: Final = "BRIDGE_CONFIG"
ENVIRONMENT_FILE: Final = ".env"
"""How the name of a settings file ends that is not TOML but lines of NAME=value."""

SECRET_FILES: Mapping[str, str] = {
    field: f"{field}_file" for field in NAMES.values() if f"{field}_file" in NAMES.values()
}
"""The field of a secret to that of the file it may stand in."""

Entry = tuple[str, Any, int | None]
"""A key, its value and its line."""


def read_config(path: str) -> tuple[dict[str, Given], list[str]]:
    """Return what the file of settings gives, by field, and what is wrong with its keys.

    An empty path is no file. A file that cannot be read raises SettingsError.
    """
    if not path:
        return {}, []
    given, problems = {}, []
    entries = _variables if path.endswith(ENVIRONMENT_FILE) else _toml
    for key, value, line in entries(path, _text(path)):
        if key in NAMES:
            given[NAMES[key]] = Given(value, _place(path, line))
        else:
            problems.append(f"{_place(path, line)}: unknown key {key!r}{did_you_mean(key, NAMES)}")
    return given, problems


def read_secrets(given: Mapping[str, Given]) -> tuple[dict[str, Given], list[str]]:
    """Return the secrets whose files are given, by field, and which of those cannot be read.

    The line end that an editor puts behind a secret is none of it. A path is not shown: it may be
    the secret itself, given under the wrong name.
    """
    secrets, problems = {}, []
    for secret, file in SECRET_FILES.items():
        if file in given:
            try:
                text = Path(str(given[file].value)).read_text(encoding="utf-8")
            except (OSError, ValueError) as error:
                problems.append(f"{name_of(file)} ({given[file].origin}): {_reason(error)}")
            else:
                secrets[secret] = Given(text.rstrip("\r\n"), f"the file of {name_of(file)}")
    return secrets, problems


def _toml(path: str, text: str) -> Iterator[Entry]:
    try:
        document = tomllib.loads(text)
    except ValueError as error:
        line, reason = syntax_error(text, error)
        raise SettingsError([f"{_place(path, line)}: {reason}"]) from error
    for key, value in document.items():
        yield key, value, line_of(text, (key,))


def _variables(path: str, text: str) -> Iterator[Entry]:
    """Read what systemd.exec(5) calls an environment file; an empty value counts as not set."""
    for binding in parse_stream(StringIO(text)):
        original = binding.original.string
        blank = original[: len(original) - len(original.lstrip())]
        line = binding.original.line + blank.count("\n")
        if binding.error or (binding.key and binding.value is None):
            raise SettingsError([f"{_place(path, line)}: must be NAME=value"])
        if binding.key and (binding.value or binding.key not in NAMES):
            yield binding.key, binding.value, line


def _text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        raise SettingsError([f"{CONFIG} (environment): {path}: {_reason(error)}"]) from error


def _reason(error: OSError | ValueError) -> str:
    """Why a file cannot be read, in words that show nothing of it."""
    if isinstance(error, OSError):
        return str(error.strerror)
    return "no UTF-8 text" if isinstance(error, UnicodeError) else "no path"


def _place(path: str, line: int | None) -> str:
    return path if line is None else f"{path}:{line}"
