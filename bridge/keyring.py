"""The keys that sign tokens, in the file ``token.key`` of the state directory.

One key per line, the newest first. To rotate, put a new line at the top and restart; after an
hour no token of the old key is left and its line may go.
"""

import os
import secrets
import stat
import tempfile
from pathlib import Path
from typing import Final

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


def _create(path: Path) -> None:
    """Write a key beside ``path``, then link it there: nobody ever sees half a file."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=f"{FILE_NAME}.", dir=path.parent)
    draft = Path(name)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(f"{secrets.token_hex(32)}\n")
            file.flush()
            os.fsync(file.fileno())
        path.hardlink_to(draft)
    except FileExistsError:
        return  # another process was faster: its key counts
    finally:
        draft.unlink()


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
