"""Client secrets as the directory keeps them: hashed with Argon2id (RFC 9106), never in plain."""

import binascii
import re
from base64 import b64decode, b64encode
from collections import Counter
from collections.abc import Iterable
from typing import Final

from argon2 import PasswordHasher
from argon2.exceptions import VerifyMismatchError

MEMORY: Final = 19 * 1024
"""KiB that hashing takes, with two passes and one lane: about 20 ms of one core.

The least that OWASP's Password Storage Cheat Sheet holds strong enough; the PBX beside the
service has better use for a machine.
"""

SALT: Final = 16
"""Bytes of a salt (RFC 9106, section 3.1)."""

_MOST = {"m": 64 * 1024, "t": 4, "p": 4}
"""The highest cost that is taken: a request for a token must not be able to stall the machine."""

_HASHER: Final = PasswordHasher(time_cost=2, memory_cost=MEMORY, parallelism=1)
_NUMBER = "[1-9][0-9]{0,8}"
_COST = rf"\$argon2id\$v=19\$m=(?P<m>{_NUMBER}),t=(?P<t>{_NUMBER}),p=(?P<p>{_NUMBER})"
_HASH: Final = re.compile(
    rf"(?P<cost>{_COST})\$(?P<salt>[A-Za-z0-9+/]+)\$(?P<digest>[A-Za-z0-9+/]+)"
)


def hash_secret(secret: str, salt: bytes) -> str:
    """Return what the directory is to hold for ``secret``: a PHC string; ``salt`` is random."""
    return _HASHER.hash(secret, salt=salt)


def checked_hash(text: object) -> str:
    """Return ``text`` if secrets can be compared with it.

    Raises ValueError with the reason, which never holds the text.
    """
    parts = _HASH.fullmatch(text) if isinstance(text, str) else None
    if parts is None or not _is_whole(parts):
        raise ValueError("must be what whisper-bridge hash-secret prints")
    if any(int(parts[name]) > most for name, most in _MOST.items()):
        most = ",".join(f"{name}={most}" for name, most in _MOST.items())
        raise ValueError(f"would cost too much to compare with: at most {most}")
    return parts[0]


def matches(secret_hash: str, secret: str) -> bool:
    """Tell whether ``secret`` is the one behind a checked hash, by its whole cost in any case."""
    try:
        return _HASHER.verify(secret_hash, secret)
    except VerifyMismatchError:
        return False


def decoy(hashes: Iterable[str]) -> str:
    """Return a hash that no secret matches, at the cost that most of ``hashes`` have.

    Who asks for a client that does not exist is compared with it, so that the time does not tell.
    """
    costs = Counter(parts["cost"] for parts in map(_HASH.fullmatch, hashes) if parts)
    commonest = costs.most_common(1)
    cost = commonest[0][0] if commonest else f"$argon2id$v=19$m={MEMORY},t=2,p=1"
    salt, digest = (b64encode(bytes(size)).decode().rstrip("=") for size in (SALT, 32))
    return f"{cost}${salt}${digest}"


def _is_whole(parts: re.Match[str]) -> bool:
    """Tell what Argon2 would refuse (RFC 9106, section 3.1) or what could be guessed."""
    return (
        int(parts["m"]) >= 8 * int(parts["p"])
        and _bytes(parts["salt"]) >= 8
        and _bytes(parts["digest"]) >= 16
    )


def _bytes(text: str) -> int:
    """How many bytes unpadded Base64 stands for; 0 where it has another spelling or none."""
    try:
        decoded = b64decode(text + "=" * (-len(text) % 4), validate=True)
    except binascii.Error:
        return 0
    return len(decoded) if b64encode(decoded).decode().rstrip("=") == text else 0
