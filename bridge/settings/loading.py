"""Gathers the settings from the environment and the file, and says what is wrong and where."""

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from bridge.settings.fields import Settings
from bridge.settings.files import CONFIG, SECRET_FILES, read_config, read_secrets
from bridge.settings.given import NAMES, PREFIX, Given, SettingsError, name_of

WORDS: Mapping[str, str] = {
    "bool_parsing": "must be true or false",
    "float_parsing": "must be a number",
    "int_parsing": "must be a whole number",
    "path_type": "must be a path",
    "string_type": "must be a string, in quotes",
}
"""What pydantic would tell a programmer, told to an operator."""


def load(environ: Mapping[str, str]) -> Settings:
    """Return the settings that ``environ`` and the files named in it give.

    Raises SettingsError with every problem found; it never shows a value.
    """
    from_file, unknown = read_config(environ.get(CONFIG, ""))
    from_environment = _from_environment(environ)
    problems = [*_typos(environ), *unknown, *_twice(from_file), *_twice(from_environment)]
    given = _merged(_state_dir(environ), from_file, from_environment)
    secrets, unread = read_secrets(given)
    problems += unread
    given |= secrets
    try:
        settings = Settings.model_validate({field: item.value for field, item in given.items()})
    except ValidationError as error:
        problems += _explain(error, given)
    if problems:
        raise SettingsError(problems)
    return settings


def _from_environment(environ: Mapping[str, str]) -> dict[str, Given]:
    return {
        field: Given(environ[name], "environment")
        for name, field in NAMES.items()
        if environ.get(name)
    }


def _twice(source: Mapping[str, Given]) -> Iterable[str]:
    """Report secrets that one source gives itself and in a file: which of the two is meant?"""
    for secret, file in SECRET_FILES.items():
        if secret in source and file in source:
            yield f"{name_of(file)} ({source[file].origin}): {name_of(secret)} is given as well"


def _merged(*sources: Mapping[str, Given]) -> dict[str, Given]:
    """Let later sources win, over a secret's file with the secret itself and the reverse too."""
    merged: dict[str, Given] = {}
    for source in sources:
        for secret, file in SECRET_FILES.items():
            if secret in source or file in source:
                merged.pop(secret, None)
                merged.pop(file, None)
        merged |= source
    return merged


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


def _state_dir(environ: Mapping[str, str]) -> dict[str, Given]:
    """Find the default: systemd's (systemd.exec, StateDirectory), else the XDG one.

    systemd joins several with colons. XDG Base Directory: a relative path is to be ignored.
    """
    if environ.get("STATE_DIRECTORY"):
        path = Path(environ["STATE_DIRECTORY"].split(":")[0])
        return {"state_dir": Given(path, "STATE_DIRECTORY")}
    if environ.get("XDG_STATE_HOME", "").startswith("/"):
        path = Path(environ["XDG_STATE_HOME"], "whisper-bridge")
        return {"state_dir": Given(path, "XDG_STATE_HOME")}
    if environ.get("HOME"):
        path = Path(environ["HOME"], ".local", "state", "whisper-bridge")
        return {"state_dir": Given(path, "HOME")}
    return {}


def _explain(error: ValidationError, given: Mapping[str, Given]) -> Iterable[str]:
    for detail in error.errors(include_url=False, include_input=False):
        # The default of public_url waits for fields that have a problem of their own.
        waits = detail["type"] == "default_factory_not_called"
        # A secret whose file could not be read has been told of.
        unread = SECRET_FILES.get(str(detail["loc"][0])) in given and detail["type"] == "missing"
        if not waits and not unread:
            yield _sentence(detail, given)


def _sentence(detail: ErrorDetails, given: Mapping[str, Given]) -> str:
    field = str(detail["loc"][0])
    name = name_of(field)
    if field not in given:
        return f"{name}: missing; set it in the environment or in the file {CONFIG} names"
    return f"{name} ({given[field].origin}): {words_of(detail)}"


def words_of(detail: ErrorDetails) -> str:
    """What is wrong with a value, in an operator's words."""
    words = detail["msg"].removeprefix("Value error, ").replace("Input should", "must")
    return WORDS.get(detail["type"], words)
