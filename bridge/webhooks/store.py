"""The SQLite file: hooks, and what waits to be sent for them.

Every method waits for the disk, and raises StoreError; one thread at a time may call them. What
was written when a method returns outlives the process and the machine.
"""

import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from bridge.hooks import EventType, Hook, HookMethod

VERSION: Final = 1

_PRAGMAS: Final = (
    "locking_mode = EXCLUSIVE",
    "journal_mode = WAL",
    "synchronous = FULL",
    "foreign_keys = ON",
    "secure_delete = ON",
)
_SCHEMA: Final = (
    """
    CREATE TABLE hooks (
        id TEXT PRIMARY KEY, app TEXT NOT NULL, extension TEXT NOT NULL, type INTEGER NOT NULL,
        method INTEGER NOT NULL, url TEXT NOT NULL, enabled INTEGER NOT NULL, note TEXT NOT NULL,
        secret BLOB NOT NULL, modified REAL NOT NULL
    )
    """,
    """
    CREATE TABLE deliveries (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        hook TEXT NOT NULL REFERENCES hooks (id) ON DELETE CASCADE,
        event TEXT NOT NULL, content TEXT NOT NULL,
        attempts INTEGER NOT NULL DEFAULT 0, due REAL NOT NULL DEFAULT 0
    )
    """,
    "CREATE INDEX deliveries_of_hook ON deliveries (hook)",
    f"PRAGMA user_version = {VERSION}",
)
_HOOK: Final = "id, app, extension, type, method, url, enabled, note, secret, modified"


class StoreError(Exception):
    """The file cannot be opened, read or written; the message says why."""


@dataclass(slots=True)
class Delivery:
    """An event to be told: its EventID and the encoded parameters.

    ``number`` is its place in the file, 0 as long as it has none; ``attempts`` were made in vain,
    and the next one is ``due`` at that epoch second.
    """

    hook: str
    event: str
    content: str = field(repr=False)
    number: int = 0
    attempts: int = 0
    due: float = 0.0


class Store:
    """The file at ``path``, made if it is not there, which no other process may use."""

    def __init__(self, path: Path) -> None:
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            # It holds secrets and numbers; SQLite gives its other files the rights of this one.
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
            self._db = sqlite3.connect(
                path, timeout=1, isolation_level=None, check_same_thread=False
            )
            self._prepare()
        except (OSError, sqlite3.Error) as error:
            raise StoreError(str(error)) from error

    def _prepare(self) -> None:
        for pragma in _PRAGMAS:
            self._db.execute(f"PRAGMA {pragma}")
        with self._transaction():
            (version,) = self._db.execute("PRAGMA user_version").fetchone()
            if version not in (0, VERSION):
                raise StoreError(f"it is of version {version}, and {VERSION} is known here")
            for statement in _SCHEMA if version == 0 else ():
                self._db.execute(statement)

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    # Hooks

    def hooks(self) -> list[Hook]:
        """Every hook, the oldest first."""
        return [_hook(row) for row in self._rows(f"SELECT {_HOOK} FROM hooks ORDER BY rowid")]

    def keep_hook(self, hook: Hook) -> None:
        """Write a hook, a new one or one that changed."""
        changes = ", ".join(f"{name} = excluded.{name}" for name in _HOOK.split(", "))
        self._write(
            f"INSERT INTO hooks ({_HOOK}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
            f" ON CONFLICT (id) DO UPDATE SET {changes}",
            [_row(hook)],
        )

    def remove_hooks(self, ids: Iterable[str]) -> None:
        """Remove hooks, and what waits for them."""
        self._write("DELETE FROM hooks WHERE id = ?", [(known_as,) for known_as in ids])

    # Deliveries

    def waiting(self) -> list[Delivery]:
        """What waits to be sent, in order."""
        columns = "hook, event, content, number, attempts, due"
        found = self._rows(f"SELECT {columns} FROM deliveries ORDER BY number")
        return [Delivery(*row) for row in found]

    def add(self, deliveries: Sequence[Delivery]) -> list[int]:
        """Write deliveries, all or none, and return their numbers: 0 if their hook is gone."""
        with self._transaction():
            return [self._add(delivery) for delivery in deliveries]

    def _add(self, delivery: Delivery) -> int:
        done = self._db.execute(
            "INSERT INTO deliveries (hook, event, content)"
            " SELECT ?, ?, ? WHERE EXISTS (SELECT 1 FROM hooks WHERE id = ?)",
            (delivery.hook, delivery.event, delivery.content, delivery.hook),
        )
        return (done.lastrowid or 0) if done.rowcount == 1 else 0

    def postpone(self, delivery: Delivery) -> None:
        """Write down how often it was tried, and when it is tried again."""
        self._write(
            "UPDATE deliveries SET attempts = ?, due = ? WHERE number = ?",
            [(delivery.attempts, delivery.due, delivery.number)],
        )

    def finish(self, numbers: Iterable[int]) -> None:
        """Remove deliveries that need not be sent any more."""
        self._write("DELETE FROM deliveries WHERE number = ?", [(number,) for number in numbers])

    def _rows(self, query: str) -> list[tuple[Any, ...]]:
        try:
            return list(self._db.execute(query))
        except sqlite3.Error as error:
            raise StoreError(str(error)) from error

    def _write(self, statement: str, rows: Iterable[tuple[object, ...]]) -> None:
        with self._transaction():
            self._db.executemany(statement, rows)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        try:
            self._db.execute("BEGIN IMMEDIATE")
            yield
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            raise StoreError(str(error)) from error
        finally:
            # After a failure; a full disk may have had SQLite do so itself.
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")


def _row(hook: Hook) -> tuple[object, ...]:
    return (
        *(hook.id, hook.app, hook.extension, hook.type.value, hook.method.value),
        *(hook.url, hook.enabled, hook.note, hook.secret, hook.modified),
    )


def _hook(row: tuple[Any, ...]) -> Hook:
    known_as, app, extension, kind, method, url, enabled, note, secret, modified = row
    return Hook(
        id=known_as,
        app=app,
        extension=extension,
        type=EventType(kind),
        method=HookMethod(method),
        url=url,
        enabled=bool(enabled),
        note=note,
        secret=secret,
        modified=modified,
    )
