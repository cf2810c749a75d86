"""The SQLite file: hooks, what waits to be sent for them, and of which calls they were told.

Every method waits for the disk, and raises StoreError; one thread at a time may call them. What
was written when a method returns outlives the process and the machine.
"""

import os
import sqlite3
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

from bridge.callevents import Part
from bridge.hooks import EventType, Hook, HookMethod
from bridge.model import CallerId

VERSION: Final = 2

_PRAGMAS: Final = (
    "locking_mode = EXCLUSIVE",
    "journal_mode = WAL",
    "synchronous = FULL",
    "foreign_keys = ON",
    "secure_delete = ON",
)
_FIRST: Final = (
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
)
_SECOND: Final = (
    "CREATE TABLE followed (extension TEXT PRIMARY KEY)",
    """
    CREATE TABLE parts (
        leg TEXT PRIMARY KEY,
        extension TEXT NOT NULL REFERENCES followed (extension) ON DELETE CASCADE,
        call TEXT NOT NULL, incoming INTEGER NOT NULL, answered INTEGER NOT NULL,
        caller_name TEXT NOT NULL, caller_number TEXT NOT NULL,
        other TEXT NOT NULL, dialed TEXT NOT NULL, did TEXT NOT NULL
    )
    """,
    "CREATE INDEX parts_of_extension ON parts (extension)",
)
_STEPS: Final = (_FIRST, _SECOND)
"""What each version has that the one before it had not."""

_HOOK: Final = "id, app, extension, type, method, url, enabled, note, secret, modified"
_PART: Final = (
    "leg, extension, call, incoming, answered, caller_name, caller_number, other, dialed, did"
)


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


@dataclass(frozen=True, slots=True)
class Entry:
    """What is written all or none: what happened, and what is known of the calls from then on.

    Extensions that are ``followed`` from now on, parts in calls by the Uniqueids of their legs
    (None for one that is over), and what is to be told of it. Of what was to be told before, by
    their numbers: how often it was tried and when it is due, and what is ``finished``.
    """

    followed: Collection[str] = ()
    parts: Mapping[str, Part | None] = field(default_factory=dict)
    deliveries: Sequence[Delivery] = ()
    postponed: Mapping[int, tuple[int, float]] = field(default_factory=dict)
    finished: Collection[int] = ()


class Kept(NamedTuple):
    """All there is in the file.

    The hooks, the oldest first; what waits to be sent, in order; the extensions of whose calls
    everything was told or waits to be, and their parts in calls by the Uniqueids of their legs.
    """

    hooks: list[Hook]
    waiting: list[Delivery]
    followed: set[str]
    parts: dict[str, Part]


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
        except (OSError, sqlite3.Error) as error:
            raise StoreError(str(error)) from error
        try:
            self._prepare()
        except (sqlite3.Error, StoreError) as error:
            self._db.close()
            raise StoreError(str(error)) from error

    def _prepare(self) -> None:
        for pragma in _PRAGMAS:
            self._db.execute(f"PRAGMA {pragma}")
        with self._transaction():
            (version,) = self._db.execute("PRAGMA user_version").fetchone()
            if not 0 <= version <= VERSION:
                raise StoreError(f"it is of version {version}, and {VERSION} is known here")
            for statement in (statement for step in _STEPS[version:] for statement in step):
                self._db.execute(statement)
            self._db.execute(f"PRAGMA user_version = {VERSION}")

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def kept(self) -> Kept:
        """All there is."""
        return Kept(self.hooks(), self.waiting(), self.followed(), self.parts())

    # Hooks

    def hooks(self) -> list[Hook]:
        """Every hook, the oldest first."""
        return [_hook(row) for row in self._rows(f"SELECT {_HOOK} FROM hooks ORDER BY rowid")]

    def keep_hook(self, hook: Hook) -> None:
        """Write a hook, a new one or one that changed."""
        changes = ", ".join(f"{name} = excluded.{name}" for name in _HOOK.split(", "))
        with self._transaction():
            self._db.execute(
                f"INSERT INTO hooks ({_HOOK}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
                f" ON CONFLICT (id) DO UPDATE SET {changes}",
                _row(hook),
            )

    def remove_hooks(self, ids: Iterable[str]) -> None:
        """Remove hooks, what waits for them, and the parts of extensions of which none is left."""
        with self._transaction():
            rows = [(known_as,) for known_as in ids]
            self._db.executemany("DELETE FROM hooks WHERE id = ?", rows)
            self._db.execute(
                "DELETE FROM followed WHERE extension NOT IN (SELECT extension FROM hooks)"
            )

    # Calls

    def followed(self) -> set[str]:
        """The extensions of whose calls everything was told or waits to be."""
        return {number for (number,) in self._rows("SELECT extension FROM followed")}

    def parts(self) -> dict[str, Part]:
        """Their parts in calls, by the Uniqueids of their legs."""
        return dict(map(_part, self._rows(f"SELECT {_PART} FROM parts")))

    def write(self, entry: Entry) -> list[int]:
        """Write an entry and return the numbers of its deliveries: 0 for one whose hook is gone."""
        execute, many = self._db.execute, self._db.executemany
        with self._transaction():
            for extension in entry.followed:
                execute(
                    "INSERT OR IGNORE INTO followed"
                    " SELECT ? WHERE EXISTS (SELECT 1 FROM hooks WHERE extension = ?)",
                    (extension, extension),
                )
            for leg, part in entry.parts.items():
                self._keep(leg, part)
            numbers = [self._add(delivery) for delivery in entry.deliveries]
            rows = [(*tried, number) for number, tried in entry.postponed.items()]
            many("UPDATE deliveries SET attempts = ?, due = ? WHERE number = ?", rows)
            many("DELETE FROM deliveries WHERE number = ?", [(n,) for n in entry.finished])
            return numbers

    def _keep(self, leg: str, part: Part | None) -> None:
        if part is None:
            self._db.execute("DELETE FROM parts WHERE leg = ?", (leg,))
            return
        self._db.execute(
            f"INSERT OR REPLACE INTO parts ({_PART}) SELECT ?, ?, ?, ?, ?, ?, ?, ?, ?, ?"
            " WHERE EXISTS (SELECT 1 FROM followed WHERE extension = ?)",
            (*_part_row(leg, part), part.extension),
        )

    # Deliveries

    def waiting(self) -> list[Delivery]:
        """What waits to be sent, in order."""
        columns = "hook, event, content, number, attempts, due"
        found = self._rows(f"SELECT {columns} FROM deliveries ORDER BY number")
        return [Delivery(*row) for row in found]

    def _add(self, delivery: Delivery) -> int:
        done = self._db.execute(
            "INSERT INTO deliveries (hook, event, content)"
            " SELECT ?, ?, ? WHERE EXISTS (SELECT 1 FROM hooks WHERE id = ?)",
            (delivery.hook, delivery.event, delivery.content, delivery.hook),
        )
        return (done.lastrowid or 0) if done.rowcount == 1 else 0

    def _rows(self, query: str) -> list[tuple[Any, ...]]:
        try:
            return list(self._db.execute(query))
        except sqlite3.Error as error:
            raise StoreError(str(error)) from error

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


def _part_row(leg: str, part: Part) -> tuple[object, ...]:
    return (
        *(leg, part.extension, part.call_id, part.incoming, part.answered),
        *(part.caller.name, part.caller.number, part.other, part.dialed, part.did),
    )


def _part(row: tuple[Any, ...]) -> tuple[str, Part]:
    leg, extension, call_id, incoming, answered, name, number, other, dialed, did = row
    return leg, Part(
        extension=extension,
        call_id=call_id,
        incoming=bool(incoming),
        answered=bool(answered),
        caller=CallerId(name, number),
        other=other,
        dialed=dialed,
        did=did,
    )
