"""The keys that sign tokens, in the file ``token.key`` of the state directory.

One key per line, the newest first: it signs, all of them verify. To rotate is to put a new one at
the top; a token of an older key stays good as long as that key is kept, which is a rotation more
at least, and longer than any token lives.
"""

import os
import secrets
import stat
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from bridge.tokens import LIFETIME, SKEW

FILE_NAME: Final = "token.key"
SHORTEST: Final = 32
"""Characters that a key must have at least."""


class KeyringError(Exception):
    """The keys cannot be read or made; as text, one line for the operator without any key."""


def signing_keys(state_dir: Path) -> list[bytes]:
    """Return the keys in ``state_dir``, newest first; make the directory and a key if absent.

    Several processes that start at once agree on one key. Raises KeyringError.
    """
    path = state_dir / FILE_NAME
    try:
        if not path.exists():
            _create(path)
        _refuse_public(path)
        return _keys(path)
    except OSError as error:
        raise KeyringError(f"{error.filename or path}: {error.strerror or error}") from error


def rotate(state_dir: Path, now: float) -> int:
    """Put a new key first and drop those that no token needs; return how many old ones stay.

    Of the old keys the newest two stay, and all of them when the last rotation is so recent that
    tokens of its time may be good at ``now``, in epoch seconds. Raises KeyringError.
    """
    keys = signing_keys(state_dir)
    path = state_dir / FILE_NAME
    try:
        recent = now - path.stat().st_mtime < LIFETIME + SKEW
        kept = keys if recent else keys[:2]
        with _draft(path, [_new_key(), *kept]) as draft:
            _take_after(draft, path)
            draft.replace(path)
    except OSError as error:
        raise KeyringError(f"{error.filename or path}: {error.strerror or error}") from error
    return len(kept)


def _create(path: Path) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _draft(path, [_new_key()]) as draft, suppress(FileExistsError):
        path.hardlink_to(draft)  # or another process was faster: its key counts


@contextmanager
def _draft(path: Path, keys: Sequence[bytes]) -> Iterator[Path]:
    """Write keys beside ``path``, to be put there whole: nobody ever sees half a file."""
    descriptor, name = tempfile.mkstemp(prefix=f"{FILE_NAME}.", dir=path.parent)
    draft = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(b"\n".join([*keys, b""]))
            file.flush()
            os.fsync(file.fileno())
        yield draft
    finally:
        draft.unlink(missing_ok=True)


def _take_after(draft: Path, path: Path) -> None:
    """Whoever may read the one may read the other: root may rotate for the service's user."""
    found = path.stat()
    os.chown(draft, found.st_uid, found.st_gid)
    draft.chmod(stat.S_IMODE(found.st_mode))


def _new_key() -> bytes:
    return secrets.token_hex(32).encode()


def _refuse_public(path: Path) -> None:
    if stat.S_IMODE(path.stat().st_mode) & stat.S_IRWXO:
        raise KeyringError(f"{path}: open to every user of this machine; run chmod 600 on it")


def _keys(path: Path) -> list[bytes]:
    keys = path.read_bytes().split()
    if not keys:
        raise KeyringError(f"{path}: holds no key; remove it and a new one is made")
    if min(map(len, keys)) < SHORTEST:
        raise KeyringError(f"{path}: each line must be one key of {SHORTEST} characters or more")
    return keys
