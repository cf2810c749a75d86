"""What the commands that ask a service over HTTP share: where it is, and what went wrong."""

import argparse
import asyncio
import json
import os
import re
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from enum import IntEnum
from http import HTTPStatus
from typing import Final, TypeVar

from bridge.cli.common import UsageError
from bridge.client import (
    Ambiguous,
    AppSecret,
    ClientError,
    Connection,
    Credential,
    CredentialError,
    Refused,
    Token,
    TokenFile,
    is_safe,
)
from bridge.settings import ClientSettings, load_client
from bridge.uapi.types import extension_number

T = TypeVar("T")

Run = Callable[[argparse.Namespace], int]
"""What ``main`` calls for the exit code of a command."""

_USER: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*|@me|@viewer|@owner")


class Exit(IntEnum):
    """What the exit codes of these commands mean."""

    DONE = 0
    NO_CALL = 1
    """There is no such call, or it is over."""
    USAGE = 2
    SEVERAL = 3
    """There are several calls, and nobody to ask which."""
    NOT_ATTACHED = 4
    """The supervisor did not come to take part, and the service does not say why."""
    REFUSED = 5
    """The service refuses what was asked."""
    DENIED = 6
    """The token or the secret is not good, or the app may not do that."""
    UNAVAILABLE = 7
    """The service or its PBX cannot be reached now."""
    BUSY = 8
    """The supervisor's phone is busy."""
    DECLINED = 9
    """The supervisor declined."""
    NO_ANSWER = 10
    """Nobody picked up the supervisor's phone."""
    HUNG_UP = 11
    """The supervisor's phone was hung up."""
    CLOSED = 141
    """Nobody reads what is printed any more; as a shell tells of SIGPIPE."""
    TERMINATED = 143
    """Ended by SIGTERM, as a shell tells of it."""


CODES: Final = (
    "Exit codes: 0 done, 1 no such call or none any more, 2 usage, 3 several calls and nobody to"
    " ask which, 4 the supervisor does not take part and the service does not say why, 5 refused,"
    " or his phone cannot be called, 6 not allowed, 7 the service or its PBX cannot be reached now,"
    " 8 his phone is busy, 9 he declined, 10 nobody picked up, 11 he was hung up, 130 Ctrl-C."
)

_NO_TOKEN: Final = "the token is not good, or {target} is out of its reach"
_NO_RIGHT: Final = "the app of this token may not do that"
_WORDS: Final[Mapping[str, str]] = {
    "extension_invalid": "there is no extension {target}",
    "user_invalid": "there is no such user within the token's reach",
    "pc_honecall_invalid": "{target} has no such call",
    "pc_phonecallview_invalid": "nobody can take part in that call now",
    "pc_sendcallto_invalid": "the phone of {by} cannot be called",
    "pc_callerid_invalid": "that is no caller id",
    "pc_timeout_invalid": "that is no time to wait",
    "pc_action_conflict": "{by} takes part already, in another way",
    "pc_sendcallto_busy": "the phone of {by} is busy",
    "pc_sendcallto_declined": "{by} declined",
    "pc_sendcallto_no_answer": "nobody picked up the phone of {by}",
    "pc_sendcallto_hung_up": "{by} was hung up",
    "pc_phonecallview_gone": "{target} is not in that call any more",
    "invalid_client": "the id or the secret of the app is wrong",
    "too_many_requests": "the service was asked too often",
    "too_many_connections": "the service has too many clients",
    "pbx_unavailable": "the service cannot reach its PBX now",
    "request_not_implemented": "this service cannot do that",
}
_CODES: Final[Mapping[str, Exit]] = {
    "pc_honecall_invalid": Exit.NO_CALL,
    "pc_phonecallview_gone": Exit.NO_CALL,
    "pc_sendcallto_busy": Exit.BUSY,
    "pc_sendcallto_declined": Exit.DECLINED,
    "pc_sendcallto_no_answer": Exit.NO_ANSWER,
    "pc_sendcallto_hung_up": Exit.HUNG_UP,
}


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add where the service is, and what opens its door."""
    parser.epilog = CODES
    # --token would be --token-file, and a complaint of that file would show the token.
    parser.allow_abbrev = False
    parser.add_argument(
        "--json", action="store_true", help="JSON of the API's shapes, its errors too"
    )
    group = parser.add_argument_group(
        "the service", "each is WHISPER_ and its name in the environment, too: WHISPER_URL"
    )
    group.add_argument("--url", help="default: the service of this machine, by its settings")
    group.add_argument(
        "--token-file",
        metavar="FILE",
        help="a token; in the environment WHISPER_TOKEN may hold one",
    )
    group.add_argument("--client-id", metavar="ID", help="or the id of an app")
    group.add_argument("--client-secret-file", metavar="FILE", help="and the app's secret")
    group.add_argument("--ca-file", metavar="FILE", help="who vouches for its certificate, in PEM")


def number(text: str) -> str:
    """The number of an extension, for argparse."""
    try:
        return extension_number(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of an extension") from None


def user(text: str) -> str:
    """A user of a path, for argparse."""
    if not _USER.fullmatch(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no id of a user")
    return text


class Remote:
    """The service that somebody's settings and options name."""

    def __init__(self, settings: ClientSettings) -> None:
        if not is_safe(settings.url):
            raise UsageError(
                f"{settings.url}: a token may leave this machine over TLS only, by an https URL"
            )
        self._settings = settings
        self._credential = _credential(settings)

    @classmethod
    def of(cls, arguments: argparse.Namespace) -> "Remote":
        """By the options of a command. Raises UsageError and SettingsError."""
        names = ("url", "token_file", "client_id", "client_secret_file", "ca_file")
        options = {name: getattr(arguments, name) for name in names}
        return cls(load_client(os.environ, options))

    def connection(self) -> AbstractAsyncContextManager[Connection]:
        """A connection to it."""
        settings = self._settings
        return Connection.to(settings.url, self._credential, settings.ca_file)

    def run(self, deed: Callable[[Connection], Awaitable[T]]) -> T:
        """Do something with a connection until it is done, or ended by Ctrl-C or SIGTERM.

        Raises ClientError, and once the deed has cleaned up KeyboardInterrupt or CancelledError.
        """
        return asyncio.run(self._done(deed))

    async def _done(self, deed: Callable[[Connection], Awaitable[T]]) -> T:
        task = asyncio.current_task()
        assert task is not None
        # As asyncio.run does it for Ctrl-C: there may be a call to hang up, a screen to leave.
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
        async with self.connection() as connection:
            return await deed(connection)


def asking(command: Callable[[argparse.Namespace, Remote], int]) -> Run:
    """Return what runs a command that asks a service, and says in plain words what went wrong."""

    def run(arguments: argparse.Namespace) -> int:
        try:
            code = _told(command, arguments)
            sys.stdout.flush()
        except asyncio.CancelledError:
            return Exit.TERMINATED
        except BrokenPipeError:
            # Python flushes once more at its end, and would complain.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return Exit.CLOSED
        return code

    return run


def _told(
    command: Callable[[argparse.Namespace, Remote], int], arguments: argparse.Namespace
) -> int:
    try:
        return command(arguments, Remote.of(arguments))
    except ClientError as error:
        if arguments.json and isinstance(error, Refused):
            print(json.dumps(error.body()))
        complain(said(error, arguments))
        return _code(error)


def complain(words: str) -> None:
    """Tell whoever runs a command what is wrong, or what he may want to know."""
    print(f"whisper-bridge: {visible(words)}", file=sys.stderr)


def visible(text: str) -> str:
    """The text without what would steer a terminal: a caller chooses his own name."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)


def _credential(settings: ClientSettings) -> Credential:
    if settings.token is not None:
        return Token(settings.token.get_secret_value())
    if settings.token_file is not None:
        return TokenFile(settings.token_file)
    if settings.client_id is not None and settings.client_secret_file is not None:
        return AppSecret(settings.client_id, settings.client_secret_file)
    raise UsageError(
        "there is no credential: name a --token-file, or an app by --client-id and"
        " --client-secret-file, or set WHISPER_TOKEN"
    )


def said(error: ClientError, arguments: argparse.Namespace) -> str:
    """What went wrong, in the words of somebody who gave these arguments."""
    if not isinstance(error, Refused):
        return str(error)
    if error.code == "access_denied":
        words = _NO_RIGHT if error.status == HTTPStatus.FORBIDDEN else _NO_TOKEN
    else:
        words = _WORDS.get(error.code, "the service refuses")
    asked = {"target": arguments.target or "that", "by": getattr(arguments, "by", "")}
    why = f" ({error.code}: {error.message})" if error.message else f" ({error.code})"
    again = f"; try again in {error.retry_after} s" if error.retry_after else ""
    return f"{words.format_map(asked)}{why}{again}"


def _code(error: ClientError) -> Exit:
    if isinstance(error, CredentialError | Ambiguous):
        return Exit.USAGE
    if not isinstance(error, Refused) or error.passing:
        return Exit.UNAVAILABLE
    return _CODES.get(error.code, Exit.DENIED if error.denied else Exit.REFUSED)
