"""The tables of the document: which keys their rows have, and what each may say."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import bridge.directory.kinds as kinds
from bridge.client_secrets import checked_hash
from bridge.directory.auto_answer import auto_answer
from bridge.directory.kinds import Reader
from bridge.model import SUPERVISION, ExtensionType, Permission, Reach
from bridge.toml_lines import TomlPath, did_you_mean

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Table:
    """How one table is written: its keys; the first names the row in messages if it is a text."""

    singular: str
    keys: Mapping[str, Reader]
    optional: frozenset[str] = frozenset()
    unique: tuple[str, ...] = ()
    retired: Mapping[str, str] = field(default_factory=dict)
    """Keys that rows must not have any more, and what to do instead."""

    @property
    def name_key(self) -> str:
        """The key that names a row."""
        return next(iter(self.keys))


TABLES: Mapping[str, Table] = {
    "organizations": Table(
        "organization",
        {
            "id": kinds.identifier,
            "name": kinds.text,
            "prefix": kinds.matching(re.compile("[0-9]+"), 'must be digits in quotes, like "0003"'),
            "notice": kinds.sound,
        },
        optional=frozenset({"notice"}),
        unique=("id", "prefix"),
    ),
    "users": Table(
        "user", {"id": kinds.identifier, "organization": kinds.identifier}, unique=("id",)
    ),
    "extensions": Table(
        "extension",
        {
            "number": kinds.matching(kinds.EXTENDED, 'must be an extended number, like "0003*210"'),
            "user": kinds.identifier,
            "type": kinds.one_of(ExtensionType),
            "endpoint": kinds.endpoint,
            "caller_id": kinds.caller_id,
            "protected": kinds.flag,
            "auto_answer": auto_answer,
        },
        optional=frozenset({"type", "endpoint", "caller_id", "protected", "auto_answer"}),
        unique=("number", "endpoint"),
    ),
    "discovery": Table(
        "discovery",
        {
            "endpoint": kinds.with_number(kinds.endpoint),
            "numbers": kinds.list_of(kinds.number_pattern),
            "user": kinds.identifier,
            "type": kinds.one_of(ExtensionType),
            "caller_id": kinds.with_number(kinds.caller_id),
            "protected": kinds.flag,
            "auto_answer": auto_answer,
        },
        optional=frozenset({"type", "caller_id", "protected", "auto_answer"}),
    ),
    "apps": Table(
        "app",
        {
            "client_id": kinds.client_id,
            "client_secret_hash": checked_hash,
            "user": kinds.identifier,
            "reach": kinds.one_of(Reach),
            "actions": kinds.list_of(kinds.one_of(Permission)),
        },
        optional=frozenset({"reach", "actions"}),
        unique=("client_id",),
        retired={
            "client_secret": "is kept in plain; write client_secret_hash and what"
            " whisper-bridge hash-secret prints for it"
        },
    ),
    "supervision": Table(
        "supervision",
        {
            "supervisors": kinds.list_of(kinds.member),
            "targets": kinds.list_of(kinds.member),
            "actions": kinds.list_of(kinds.one_of(sorted(SUPERVISION))),
        },
        optional=frozenset({"actions"}),
    ),
}


class Misplaced(Exception):
    """A mistake at ``path`` of the document, whose lines are not looked at yet."""

    def __init__(self, path: TomlPath, reason: str) -> None:
        self.path = path
        self.reason = reason
        super().__init__(reason)


@dataclass(frozen=True, slots=True)
class Row:
    """A row whose values have the right form."""

    label: str
    path: TomlPath
    values: Mapping[str, Any]

    def __getitem__(self, key: str) -> Any:
        return self.values[key]

    def refer(self, key: str, known: Mapping[str, T]) -> T:
        """What ``key`` refers to among those known. Raises Misplaced when it is not there."""
        if self[key] not in known:
            raise self.mistake(key, f'{key} "{self[key]}" does not exist')
        return known[self[key]]

    def mistake(self, key: str, reason: str) -> Misplaced:
        """The mistake at ``key``, to be raised."""
        return Misplaced((*self.path, key), f"{self.label}: {reason}")


def read_tables(document: Mapping[str, Any]) -> dict[str, list[Row]]:
    """Read the rows of every table by its name. Raises Misplaced for the first mistake found."""
    for name in document:
        if name not in TABLES:
            raise Misplaced((name,), f"unknown table {name!r}{did_you_mean(name, TABLES)}")
    tables = {name: list(_rows(name, document.get(name, []))) for name in TABLES}
    for name, rows in tables.items():
        for key in TABLES[name].unique:
            _refuse_twins(rows, key)
    return tables


def _rows(name: str, items: Any) -> Iterator[Row]:
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise Misplaced((name,), f"{name} must be tables, each under its own [[{name}]]")
    for index, item in enumerate(items):
        yield _row(TABLES[name], (name, index), item)


def _row(table: Table, path: TomlPath, item: Mapping[str, Any]) -> Row:
    label = _label(table, item)
    for key in item:
        if key in table.retired:
            raise Misplaced((*path, key), f"{label}: {key} {table.retired[key]}")
        if key not in table.keys:
            hint = did_you_mean(key, table.keys)
            raise Misplaced((*path, key), f"{label}: unknown key {key!r}{hint}")
    for key in table.keys:
        if key not in item and key not in table.optional:
            raise Misplaced(path, f"{label}: {key} is missing")
    values = {key: _value(table, key, item[key], path, label) for key in item}
    return Row(label, path, _with_defaults(values))


def _value(table: Table, key: str, value: Any, path: TomlPath, label: str) -> Any:
    try:
        return table.keys[key](value)
    except ValueError as error:
        raise Misplaced((*path, key), f"{label}: {key} {error}") from None


def _label(table: Table, item: Mapping[str, Any]) -> str:
    """Name the row for a message; a name that is no name is left out."""
    try:
        name = table.keys[table.name_key](item.get(table.name_key))
    except ValueError:
        return table.singular
    return f"{table.singular} {name}" if isinstance(name, str) else table.singular


def _with_defaults(values: dict[str, Any]) -> dict[str, Any]:
    if "number" not in values:
        return values
    return {"endpoint": f"PJSIP/{values['number']}", **values}


def _refuse_twins(rows: Iterable[Row], key: str) -> None:
    first: dict[str, Row] = {}
    for row in rows:
        twin = first.setdefault(row[key], row)
        if twin is not row:
            by = "" if twin.label == row.label else f" by {twin.label}"
            raise row.mistake(key, f'{key} "{row[key]}" is taken already{by}')
