"""Bearer tokens: issue and verify, with nothing to store.

A token is the client's id and the time of issue, signed. Any bridge with the same keys verifies
it, also after a restart.
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from hashlib import sha384
from typing import Final

from itsdangerous import BadSignature, Signer
from itsdangerous.encoding import base64_decode, base64_encode

from bridge.errors import AccessDenied, TokenExpired

LIFETIME: Final = 3600
"""Seconds a token lives (UnifiedAPI, Tokens)."""

KEPT: Final = 1024
"""Tokens whose signature need not be checked again."""

SKEW: Final = 30
"""Seconds by which the clock of another bridge with the same keys may be ahead."""

_TOKEN = re.compile(r"([A-Za-z0-9_-]+)\.([0-9]{1,16})\.[A-Za-z0-9_-]{64}")


class TokenBook:
    """Issues and verifies tokens with one set of keys."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        """Take the signing keys, newest first: the first signs, all of them verify.

        Raises ValueError without any key.
        """
        self.take(keys)

    def take(self, keys: Sequence[bytes]) -> None:
        """Work with other keys from now on. Raises ValueError without any key."""
        if not keys:
            raise ValueError("a token book needs at least one key")
        # 48 bytes are 64 characters without a spare bit, so a signature has one spelling only.
        self._signer = Signer(
            list(reversed(keys)),
            salt=b"whisper-bridge.token",
            key_derivation="hmac",
            digest_method=sha384,
        )
        # A client sends the same token for an hour; what is not a token is never kept.
        self._read = lru_cache(maxsize=KEPT)(self._unsigned)

    def issue(self, client_id: str, now: float) -> str:
        """Return a token for ``client_id`` that lives LIFETIME seconds from ``now``.

        It matches ``[A-Za-z0-9_.-]{10,}`` (UnifiedAPI, Tokens).
        """
        payload = base64_encode(client_id) + b".%d" % _milliseconds(now)
        return self._signer.sign(payload).decode("ascii")

    def verify(self, token: str, now: float) -> str:
        """Return the client id that ``token`` was issued for.

        Raises AccessDenied if it is malformed or forged, and TokenExpired if it is expired or
        issued in the future.
        """
        client_id, issued = self._read(token)
        if not -SKEW * 1000 <= _milliseconds(now) - issued < LIFETIME * 1000:
            raise TokenExpired
        return client_id

    def _unsigned(self, token: str) -> tuple[str, int]:
        """The client id of a token and the millisecond of its issue, if it is one of ours."""
        parts = _TOKEN.fullmatch(token)
        if parts is None:
            raise AccessDenied
        try:
            self._signer.unsign(token)
        except BadSignature as error:
            raise AccessDenied from error
        return base64_decode(parts[1]).decode(), int(parts[2])


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)
