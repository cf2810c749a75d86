"""Signs what is sent, so that the client knows whose it is and when it was sent.

HMAC-SHA256 over the EventID, the time of the attempt and the body, or the query of a GET as it is
sent. Source: Standard Webhooks, version 1, Signature scheme; RFC 2104.
"""

import hmac
import secrets
from base64 import b64encode
from hashlib import sha256
from typing import Final

ID: Final = "Webhook-Id"
TIMESTAMP: Final = "Webhook-Timestamp"
SIGNATURE: Final = "Webhook-Signature"

_BYTES: Final = 32


def new_secret() -> bytes:
    """A key for a new subscription."""
    return secrets.token_bytes(_BYTES)


def spell(secret: bytes) -> str:
    """Return a key as it is shown."""
    return "whsec_" + b64encode(secret).decode("ascii")


def headers_of(secret: bytes, event_id: str, timestamp: int, content: str) -> dict[str, str]:
    """Return the headers that prove ``content``, sent at ``timestamp`` (epoch seconds)."""
    signed = f"{event_id}.{timestamp}.{content}".encode()
    signature = b64encode(hmac.new(secret, signed, sha256).digest()).decode("ascii")
    return {ID: event_id, TIMESTAMP: str(timestamp), SIGNATURE: f"v1,{signature}"}
