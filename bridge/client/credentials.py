"""Where a client's token comes from."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Protocol

from bridge.client.errors import CredentialError

Exchange = Callable[[str, str], Awaitable[str]]
"""Has the service give a token for the id and the secret of an app."""


class Credential(Protocol):
    """What a client shows to be let in."""

    async def token(self, exchange: Exchange) -> str:
        """A bearer token. Raises ClientError."""

    def refused(self) -> bool:
        """The last token was refused: whether there may be another one."""


class Token:
    """A token that somebody else got."""

    def __init__(self, text: str) -> None:
        self._text = text

    async def token(self, exchange: Exchange) -> str:
        """The token it is."""
        return self._text

    def refused(self) -> bool:
        """There is no other."""
        return False


class TokenFile:
    """A token in a file, which whoever keeps it there may replace before it expires."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known = ""

    async def token(self, exchange: Exchange) -> str:
        """What the file says. Raises CredentialError."""
        # Read once: it may be a pipe.
        self._known = self._known or line_in(self._path, "token")
        return self._known

    def refused(self) -> bool:
        """Whether the file says something else by now."""
        before = self._known
        try:
            self._known = line_in(self._path, "token")
        except CredentialError:
            return False
        return self._known != before


class AppSecret:
    """The id of an app and a file with its secret, for which the service gives tokens."""

    def __init__(self, client_id: str, path: Path) -> None:
        self._client_id = client_id
        self._path = path
        self._known = ""

    async def token(self, exchange: Exchange) -> str:
        """The token of this app, a new one where there is none. Raises ClientError."""
        if not self._known:
            secret = line_in(self._path, "secret")
            self._known = await exchange(self._client_id, secret)
        return self._known

    def refused(self) -> bool:
        """Another one is to be had."""
        self._known = ""
        return True


def line_in(path: Path, what: str) -> str:
    """Return the only line of a file, without its end. Raises CredentialError.

    Neither what it says nor more than its path stands in the error.
    """
    try:
        text = path.read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "no UTF-8 text"
        raise CredentialError(f"the {what} file {path} cannot be read: {reason}") from error
    if not text or not (text.isascii() and text.isprintable()):
        raise CredentialError(f"the {what} file {path} must hold one line of ASCII characters")
    return text
