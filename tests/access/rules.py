"""Who may reach what, written down from the contract alone: the matrix is compared with this.

Nothing here is the bridge's. Source: UnifiedAPI, Types, List parameters, Errors and Tokens.
"""

import re
from dataclasses import dataclass
from typing import Final

from .world import LINES, OWNERS, TALKS, Client, Line, Owner, Talk

Refusal = tuple[int, str]

DENIED: Final = (401, "access_denied")
NO_USER: Final = (400, "user_invalid")
NO_EXTENSION: Final = (400, "extension_invalid")
NO_CALL: Final = (400, "pc_honecall_invalid")
NO_SUPERVISOR: Final = (400, "pc_sendcallto_invalid")

_BY_ID: Final = {owner.id: owner for owner in OWNERS}
_BY_NUMBER: Final = {line.number: line for line in LINES}


@dataclass(frozen=True)
class Asked:
    """What a path names: parts as a client means them, decoded; no call for a list."""

    user: str
    extension: str
    call: str | None = None


def reached(client: Client | None, asked: Asked) -> set[str] | Refusal:
    """The numbers of the extensions a path names for a client, or how it is refused."""
    if client is None:
        return DENIED
    owner = _owner(client, asked.user)
    if isinstance(owner, tuple):
        return owner
    if asked.extension == "@self":
        return {line.number for line in LINES if line.owner == (owner or client.owner)}
    return _line(client, owner, asked.extension)


def _owner(client: Client, user: str) -> Owner | Refusal | None:
    """``@me`` and ``@viewer`` are the token's user, ``@owner`` whoever owns the extension.

    "A user id that is unknown or outside the reach is 400 user_invalid in both cases."
    """
    if user in ("@me", "@viewer"):
        return client.owner
    if user == "@owner":
        return None
    owner = _BY_ID.get(user)
    if owner is None or not _within(client, owner):
        return NO_USER
    return owner


def _within(client: Client, owner: Owner) -> bool:
    """ "Its reach is one of: that user's own extensions; every extension of the user's

    organization; the whole system."
    """
    return {
        "user": owner == client.owner,
        "organization": owner.prefix == client.owner.prefix,
        "system": True,
    }[client.reach]


def _line(client: Client, owner: Owner | None, written: str) -> set[str] | Refusal:
    """ "A number whose form lies outside the token's reach (another organization's prefix; for a

    user's token, a number that is not his) is 401 whether it exists or not, inside the reach an
    unknown one is 400 extension_invalid; [...] an extension that is not that user's is 400
    extension_invalid."
    """
    if not re.fullmatch(r"([0-9]+\*)?[0-9]+", written):
        return NO_EXTENSION
    number = written if "*" in written else f"{client.owner.prefix}*{written}"
    line = _BY_NUMBER.get(number)
    if client.reach == "user" and (line is None or line.owner != client.owner):
        return DENIED
    if client.reach == "organization" and number.split("*")[0] != client.owner.prefix:
        return DENIED
    if line is None or (owner is not None and line.owner != owner):
        return NO_EXTENSION
    return {number}


def listed(numbers: set[str]) -> list[Talk]:
    """The calls in which one of these extensions takes part."""
    return [talk for talk in TALKS if talk.parties() & numbers]


def may_whisper(client: Client, target: Line, talk: Talk, written: str) -> bool:
    """Whether a number may be sendCallTo.

    "Must be in the same Organization as the Extension given in the URI-Fragment. Must refer to a
    Phone Terminal Extension" (Whisper specification, Request Payload); short numbers are inside
    the caller's own organization. Nobody whispers to himself, or into his own call.
    """
    number = written if "*" in written else f"{client.owner.prefix}*{written}"
    line = _BY_NUMBER.get(number)
    return (
        line is not None
        and line.phone
        and line.owner.prefix == target.owner.prefix
        and number not in talk.parties()
    )
