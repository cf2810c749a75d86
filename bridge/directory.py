"""Who exists and who may do what: organizations, users, extensions, apps and their reach.

The directory is one TOML document, read once and never changed::

    [[organizations]]
    id = "3"
    name = "Default Organization"
    prefix = "0003"

    [[users]]
    id = "12"
    organization = "3"

    [[extensions]]
    number = "0003*210"
    user = "12"
    type = "phone"                          # the default; see model.ExtensionType
    endpoint = "PJSIP/0003*210"             # the default: PJSIP and the number
    caller_id = "Agent 210 <0003*210>"      # default: no name, and the number

    [[apps]]
    client_id = "my-app"
    client_secret = "..."
    user = "12"
    reach = "organization"                  # user (the default), organization or system
"""

import re
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Self, TypeVar

from bridge.callerid import parse_caller_id
from bridge.errors import AccessDenied, ExtensionInvalid, SendCallToInvalid, UserInvalid
from bridge.model import (
    App,
    CallerId,
    Extension,
    ExtensionType,
    Organization,
    Principal,
    Reach,
    User,
)
from bridge.toml_lines import TomlPath, did_you_mean, line_of, syntax_error

T = TypeVar("T")


class DirectoryError(Exception):
    """The document is no directory: ``reason``, and the ``line`` (from 1) where it is known.

    As text it is one line, ``directory.toml:14: extension 0003*210: user "13" does not exist``.
    """

    def __init__(self, line: int | None, reason: str, source: str = "directory.toml") -> None:
        """Take the place and the reason; ``source`` is what the document is called."""
        self.line = line
        self.reason = reason
        place = source if line is None else f"{source}:{line}"
        super().__init__(f"{place}: {reason}")


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Directory:
    """Every organization, user, extension and app of one PBX; immutable."""

    _users: Mapping[str, User]
    _apps: Mapping[str, App]
    _extensions: Mapping[str, Extension]
    _endpoints: Mapping[str, Extension]
    _owned: Mapping[str, tuple[Extension, ...]]

    @classmethod
    def parse(cls, text: str, source: str = "directory.toml") -> Self:
        """Take the text of a TOML document and return the directory it describes.

        ``source`` is what error messages call the document.
        Raises DirectoryError for the first mistake found.
        """
        try:
            return cls._build(tomllib.loads(text))
        except _PlacedError as mistake:
            raise DirectoryError(line_of(text, mistake.path), mistake.reason, source) from None
        except ValueError as error:
            raise DirectoryError(*syntax_error(text, error), source) from error

    @classmethod
    def _build(cls, document: Mapping[str, Any]) -> Self:
        tables = _read(document)
        organizations = {
            row["id"]: Organization(row["id"], row["name"], row["prefix"])
            for row in tables["organizations"]
        }
        users = {
            row["id"]: User(row["id"], row.refer("organization", organizations))
            for row in tables["users"]
        }
        extensions = [_extension(row, users) for row in tables["extensions"]]
        return cls(
            _users=users,
            _apps={row["client_id"]: _app(row, users) for row in tables["apps"]},
            _extensions={extension.number: extension for extension in extensions},
            _endpoints={extension.endpoint: extension for extension in extensions},
            _owned=_by_owner(extensions),
        )

    def app(self, client_id: str) -> App | None:
        """Return the app registered under ``client_id``."""
        return self._apps.get(client_id)

    def by_endpoint(self, endpoint: str) -> Extension | None:
        """Return the extension whose channels carry exactly ``endpoint`` (``PJSIP/0003*210``)."""
        return self._endpoints.get(endpoint)

    def extension(self, number: str) -> Extension | None:
        """Return the extension with the extended ``number`` (``0003*210``)."""
        return self._extensions.get(number)

    def resolve(self, principal: Principal, user_id: str, extension: str) -> tuple[Extension, ...]:
        """Return the extensions that ``{userId}/{extension}`` of a path name for ``principal``.

        One extension, or with ``@self`` all those of the user, which may be none.
        ``@owner`` asks nothing of the owner; ``@owner`` with ``@self`` names no extension to
        be owned, so it means the token's own user.

        Raises, checked in this order (UnifiedAPI, Types and Errors): UserInvalid for a user
        unknown or out of reach, ExtensionInvalid for a malformed number, AccessDenied for one
        whose form is out of reach, ExtensionInvalid for one unknown or not that user's.
        """
        user = self._named_user(principal, user_id)
        if extension == "@self":
            return self._owned.get((user or principal.user).id, ())
        found = self._reachable(principal, extension)
        if user is not None and found.user.id != user.id:
            raise ExtensionInvalid
        return (found,)

    def terminal_for(self, target: Extension, principal: Principal, number: str) -> Extension:
        """Return the phone terminal that may whisper to ``target``: the rule of ``sendCallTo``.

        ``number`` is extended, or short inside the organization of ``principal``.
        Raises SendCallToInvalid with the rule that is broken; a number that is unknown and one
        of another organization are not told apart.
        """
        found = self._extensions.get(_extended(number, principal.user.organization) or "")
        if found is None or found.organization.id != target.organization.id:
            raise SendCallToInvalid
        if found.type is not ExtensionType.PHONE:
            raise SendCallToInvalid("sendCallTo must be a phone terminal, not another extension.")
        if found.number == target.number:
            raise SendCallToInvalid("sendCallTo must differ from the extension whispered to.")
        return found

    def _named_user(self, principal: Principal, user_id: str) -> User | None:
        """Return the user, or None for ``@owner``: whoever owns the extension."""
        if user_id == "@owner":
            return None
        if user_id in ("@me", "@viewer"):
            return principal.user
        user = self._users.get(user_id)
        if user is None or not _reaches_user(principal, user):
            raise UserInvalid
        return user

    def _reachable(self, principal: Principal, extension: str) -> Extension:
        number = _extended(extension, principal.user.organization)
        if number is None:
            raise ExtensionInvalid
        found = self._extensions.get(number)
        if not _reaches_number(principal, number, found):
            raise AccessDenied
        if found is None:
            raise ExtensionInvalid
        return found


def _extended(number: str, organization: Organization) -> str | None:
    """Return the extended form of a short or extended number, None if it has neither form."""
    if re.fullmatch(r"[0-9]+", number):
        return f"{organization.prefix}*{number}"
    return number if EXTENDED.fullmatch(number) else None


def _reaches_user(principal: Principal, user: User) -> bool:
    match principal.reach:
        case Reach.USER:
            return user.id == principal.user.id
        case Reach.ORGANIZATION:
            return user.organization.id == principal.user.organization.id
        case Reach.SYSTEM:
            return True


def _reaches_number(principal: Principal, number: str, found: Extension | None) -> bool:
    """Decide by the number's form where that can be done, so that nothing tells it exists."""
    match principal.reach:
        case Reach.USER:
            return found is not None and found.user.id == principal.user.id
        case Reach.ORGANIZATION:
            return _prefix(number) == principal.user.organization.prefix
        case Reach.SYSTEM:
            return True


def _prefix(number: str) -> str:
    return number.partition("*")[0]


# The four tables

EXTENDED = re.compile(r"[0-9]+\*[0-9]+")
IDENTIFIER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
ENDPOINT = re.compile(r"[A-Za-z][A-Za-z0-9_]*/[A-Za-z0-9_.*@+#:-]+")
Reader = Callable[[Any], str]


def _identifier(value: Any) -> str:
    text = str(value) if type(value) is int and 0 <= value < 2**63 else value
    return _matching(IDENTIFIER, "must be a number, or letters, digits and . _ -")(text)


def _text(value: Any) -> str:
    if isinstance(value, str) and value.strip() and value.isprintable():
        return value
    raise ValueError("must be a string of printable characters")


def _caller_id(value: Any) -> str:
    try:
        return str(parse_caller_id(value))
    except ValueError:
        raise ValueError("must have the form Name <number>, without control characters") from None


def _matching(pattern: re.Pattern[str], reason: str) -> Reader:
    def read(value: Any) -> str:
        if isinstance(value, str) and pattern.fullmatch(value):
            return value
        raise ValueError(reason)

    return read


def _one_of(words: Iterable[str]) -> Reader:
    known = list(words)

    def read(value: Any) -> str:
        if isinstance(value, str) and value in known:
            return value
        raise ValueError(f"must be one of {', '.join(known)}{did_you_mean(value, known)}")

    return read


@dataclass(frozen=True, slots=True)
class _Table:
    """How one table is written: its keys, the first of which names the row in messages."""

    singular: str
    keys: Mapping[str, Reader]
    optional: frozenset[str] = frozenset()
    unique: tuple[str, ...] = ()

    @property
    def name_key(self) -> str:
        return next(iter(self.keys))


# RFC 6749, appendices A.1 and A.2: visible ASCII characters and the space.
_credential = _matching(re.compile(r"[ -~]+"), "must be a string of ASCII characters")

TABLES: Mapping[str, _Table] = {
    "organizations": _Table(
        "organization",
        {
            "id": _identifier,
            "name": _text,
            "prefix": _matching(re.compile("[0-9]+"), 'must be digits in quotes, like "0003"'),
        },
        unique=("id", "prefix"),
    ),
    "users": _Table("user", {"id": _identifier, "organization": _identifier}, unique=("id",)),
    "extensions": _Table(
        "extension",
        {
            "number": _matching(EXTENDED, 'must be an extended number, like "0003*210"'),
            "user": _identifier,
            "type": _one_of(ExtensionType),
            "endpoint": _matching(ENDPOINT, "must be a technology and a name, like PJSIP/0003*210"),
            "caller_id": _caller_id,
        },
        optional=frozenset({"type", "endpoint", "caller_id"}),
        unique=("number", "endpoint"),
    ),
    "apps": _Table(
        "app",
        {
            "client_id": _credential,
            "client_secret": _credential,
            "user": _identifier,
            "reach": _one_of(Reach),
        },
        optional=frozenset({"reach"}),
        unique=("client_id",),
    ),
}


# From rows to what they describe


class _PlacedError(Exception):
    """A mistake at ``path`` of the document, whose lines are not looked at yet."""

    def __init__(self, path: TomlPath, reason: str) -> None:
        self.path = path
        self.reason = reason
        super().__init__(reason)


@dataclass(frozen=True, slots=True)
class _Row:
    """A row whose values have the right form."""

    label: str
    path: TomlPath
    values: Mapping[str, str]

    def __getitem__(self, key: str) -> str:
        return self.values[key]

    def refer(self, key: str, known: Mapping[str, T]) -> T:
        if self[key] not in known:
            raise self.mistake(key, f'{key} "{self[key]}" does not exist')
        return known[self[key]]

    def mistake(self, key: str, reason: str) -> _PlacedError:
        return _PlacedError((*self.path, key), f"{self.label}: {reason}")


def _read(document: Mapping[str, Any]) -> dict[str, list[_Row]]:
    for name in document:
        if name not in TABLES:
            raise _PlacedError((name,), f"unknown table {name!r}{did_you_mean(name, TABLES)}")
    tables = {name: list(_rows(name, document.get(name, []))) for name in TABLES}
    for name, rows in tables.items():
        for key in TABLES[name].unique:
            _refuse_twins(rows, key)
    return tables


def _rows(name: str, items: Any) -> Iterator[_Row]:
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise _PlacedError((name,), f"{name} must be tables, each under its own [[{name}]]")
    for index, item in enumerate(items):
        yield _row(TABLES[name], (name, index), item)


def _row(table: _Table, path: TomlPath, item: Mapping[str, Any]) -> _Row:
    label = _label(table, item)
    for key in item:
        if key not in table.keys:
            hint = did_you_mean(key, table.keys)
            raise _PlacedError((*path, key), f"{label}: unknown key {key!r}{hint}")
    for key in table.keys:
        if key not in item and key not in table.optional:
            raise _PlacedError(path, f"{label}: {key} is missing")
    values = {key: _value(table, key, item[key], path, label) for key in item}
    return _Row(label, path, _with_defaults(values))


def _value(table: _Table, key: str, value: Any, path: TomlPath, label: str) -> str:
    try:
        return table.keys[key](value)
    except ValueError as error:
        raise _PlacedError((*path, key), f"{label}: {key} {error}") from None


def _label(table: _Table, item: Mapping[str, Any]) -> str:
    """Name the row for a message; a name that is no name is left out."""
    try:
        return f"{table.singular} {table.keys[table.name_key](item.get(table.name_key))}"
    except ValueError:
        return table.singular


def _with_defaults(values: dict[str, str]) -> dict[str, str]:
    if "number" not in values:
        return values
    return {"endpoint": f"PJSIP/{values['number']}", **values}


def _refuse_twins(rows: Iterable[_Row], key: str) -> None:
    first: dict[str, _Row] = {}
    for row in rows:
        twin = first.setdefault(row[key], row)
        if twin is not row:
            by = "" if twin.label == row.label else f" by {twin.label}"
            raise row.mistake(key, f'{key} "{row[key]}" is taken already{by}')


def _extension(row: _Row, users: Mapping[str, User]) -> Extension:
    user = row.refer("user", users)
    if _prefix(row["number"]) != user.organization.prefix:
        prefix = user.organization.prefix
        raise row.mistake("number", f'the organization of user "{user.id}" has prefix {prefix}')
    return Extension(
        number=row["number"],
        user=user,
        type=ExtensionType(row.values.get("type", ExtensionType.PHONE)),
        endpoint=row["endpoint"],
        caller_id=_shown_as(row),
    )


def _shown_as(row: _Row) -> CallerId:
    written = row.values.get("caller_id")
    return CallerId("", row["number"]) if written is None else parse_caller_id(written)


def _app(row: _Row, users: Mapping[str, User]) -> App:
    return App(
        client_id=row["client_id"],
        client_secret=row["client_secret"],
        user=row.refer("user", users),
        reach=Reach(row.values.get("reach", Reach.USER)),
    )


def _by_owner(extensions: Iterable[Extension]) -> dict[str, tuple[Extension, ...]]:
    owned: dict[str, tuple[Extension, ...]] = {}
    for extension in extensions:
        owned[extension.user.id] = (*owned.get(extension.user.id, ()), extension)
    return owned
