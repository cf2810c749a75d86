"""``whisper-bridge whisper``: has a supervisor take part in a call, and says what becomes of it."""

import argparse
import asyncio
import json
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Sequence
from contextlib import aclosing, suppress
from functools import partial
from typing import Any, Final, TypeAlias, TypeVar

from bridge.cli.common import Commands, UsageError
from bridge.cli.remote import Exit, Remote, add_options, asking, complain, number, said, visible
from bridge.cli.tables import began
from bridge.client import (
    Board,
    Calls,
    ClientError,
    Connection,
    Lost,
    Target,
    Unreachable,
    supervisors_view,
    targets,
)
from bridge.uapi import PhoneCallBody
from bridge.uapi.types import call_id

T = TypeVar("T")
Picture: TypeAlias = PhoneCallBody | None
"""A call as it is, None when it is over."""

_ACTIONS: Final = {"whisper": "Whisper", "monitor": "Monitor", "barge": "BargeIn"}
_DOES: Final = {
    "whisper": "whispers to",
    "monitor": "listens to",
    "barge": "has barged in on",
}
GRACE: Final = 5.0
"""Seconds after the phone has stopped ringing in which he may still be on his way into the call."""


def add(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "whisper",
        help="have a supervisor whisper to an extension on call, listen to it or barge in",
        description="Have SUPERVISOR whisper to TARGET, which is on a call, listen to it or barge"
        " in. It ends when he is connected, or when he does not come to be.",
    )
    parser.add_argument("target", type=number, metavar="TARGET", help="the extension on call")
    parser.add_argument("--by", required=True, type=number, metavar="SUPERVISOR")
    parser.add_argument("--mode", choices=tuple(_ACTIONS), default="whisper")
    parser.add_argument("--private", action="store_true", help="of a whisper: he hears nothing")
    parser.add_argument("--call", metavar="ID", type=_call, help="which call, where it has several")
    parser.add_argument("--caller-id", metavar="'NAME <NUMBER>'", help="what his phone shows")
    parser.add_argument("--wait", type=int, default=25, metavar="SECONDS", help="default: 25")
    parser.add_argument("--stay", action="store_true", help="go on until he takes part no more")
    parser.add_argument(
        "--hang-up", action="store_true", help="stay, and hang him up at Ctrl-C or SIGTERM"
    )
    add_options(parser)
    parser.set_defaults(run=asking(_whisper))


def _call(text: str) -> str:
    try:
        return call_id(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no id of a call") from None


def _whisper(arguments: argparse.Namespace, remote: Remote) -> int:
    if arguments.private and arguments.mode != "whisper":
        raise UsageError("--private is of --mode whisper only")
    found = remote.run(partial(_found, arguments))
    if not found:
        return _none(arguments)
    target = found[0] if len(found) == 1 else _choice(arguments, found)
    if target is None:
        return Exit.SEVERAL

    async def supervise(connection: Connection) -> int:
        return await _Supervision(connection, arguments, target).run()

    return remote.run(supervise)


async def _found(arguments: argparse.Namespace, connection: Connection) -> list[Target]:
    calls = Calls(connection, arguments.target)
    if arguments.call is None:
        return targets(await calls.listed(), arguments.target)
    call = await calls.get(arguments.call)
    return [] if call is None else targets([call], arguments.target)


def _none(arguments: argparse.Namespace) -> int:
    which = f"call {arguments.call}" if arguments.call else "a call"
    complain(f"{arguments.target} does not talk in {which} now")
    return Exit.NO_CALL


def _choice(arguments: argparse.Namespace, found: Sequence[Target]) -> Target | None:
    """Ask which call is meant; None when there is nobody to ask."""
    print(f"{arguments.target} talks in {len(found)} calls:", file=sys.stderr)
    for place, target in enumerate(found, 1):
        print(f"  {place}  {visible(_described(target))}", file=sys.stderr)
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        complain("name one of them with --call")
        return None
    while True:
        print(f"Which one? [1-{len(found)}] ", end="", file=sys.stderr, flush=True)
        typed = sys.stdin.readline()
        if not typed:
            return None
        if typed.strip() in map(str, range(1, len(found) + 1)):
            return found[int(typed) - 1]


def _described(target: Target) -> str:
    view = target.view
    since = began(view)
    parties = f"{', '.join(view.source)} -> {', '.join(view.destination)}"
    when = f", since {since:%H:%M:%S}" if since else ""
    return f"{target.call.id}  {parties}  {view.caller_id or ''}{when}"


class _Supervision:
    """A supervisor who is to take part in the call of a target."""

    def __init__(
        self, connection: Connection, arguments: argparse.Namespace, target: Target
    ) -> None:
        self._arguments = arguments
        self._by: str = arguments.by
        self._target = target
        self._id = target.call.id
        self._calls = Calls(connection, target.view.extension)
        self._board = Board()

    async def run(self) -> int:
        """Ask for it, follow what becomes of it, and return the exit code. Raises ClientError."""
        try:
            return await self._asked()
        except asyncio.CancelledError:
            if self._arguments.hang_up:
                await self._hang_up()
            else:
                complain(f"what was asked for {self._by} stands, and goes on without this command")
            raise

    async def _asked(self) -> int:
        accepted = await _to_its_end(self._calls.act(self._id, self._body()))
        if accepted is None:
            return self._over()
        if accepted.warning:
            complain(accepted.warning)
        if not self._takes_part(self._target.call):
            self._say(f"the phone of {self._by} is called, for {self._arguments.wait} s at most")
        async with aclosing(self._pictures()) as pictures:
            return await self._followed(pictures)

    async def _followed(self, pictures: AsyncIterator[Picture]) -> int:
        try:
            async with asyncio.timeout(self._arguments.wait + GRACE):
                call = await _first(pictures, self._takes_part)
        except TimeoutError:
            return self._absent()
        if call is None:
            return self._over()
        self._attached(call)
        if self._arguments.stay or self._arguments.hang_up:
            await _first(pictures, lambda call: not self._takes_part(call))
            self._say(f"{self._by} takes part no more")
        return Exit.DONE

    async def _pictures(self) -> AsyncGenerator[Picture, None]:
        """Yield the call as it is, again and again while that is known; None when it is over."""
        async with aclosing(self._calls.follow()) as news:
            async for each in news:
                self._board.take(each)
                if isinstance(each, Lost):
                    complain(self._board.trouble)
                if self._board.complete:
                    yield self._board.calls.get(self._id)

    def _body(self) -> dict[str, object]:
        arguments = self._arguments
        body: dict[str, object] = {
            "action": _ACTIONS[arguments.mode],
            "sendCallTo": self._by,
            "phoneCallViewId": self._target.view.id,
            "waitForPickup": arguments.wait,
        }
        if arguments.mode == "whisper":
            body["private"] = int(arguments.private)
        if arguments.caller_id is not None:
            body["callerId"] = arguments.caller_id
        return body

    def _takes_part(self, call: PhoneCallBody) -> bool:
        return supervisors_view(call, self._target, self._by) is not None

    async def _hang_up(self) -> None:
        try:
            ended = await self._calls.hang_up(self._id, self._by)
        except ClientError as error:
            complain(f"{self._by} could not be hung up: {said(error, self._arguments)}")
        else:
            self._say(f"{self._by} is hung up" if ended else f"{self._by} took part no more")

    def _attached(self, call: PhoneCallBody) -> None:
        if self._arguments.json:
            print(json.dumps(call.body()), flush=True)
        does = _DOES[self._arguments.mode]
        self._say(f"{self._by} {does} {self._target.view.extension} in call {self._id}")

    def _absent(self) -> int:
        if self._board.trouble:
            raise Unreachable(f"whether {self._by} takes part is not known: {self._board.trouble}")
        complain(
            f"{self._by} does not take part: busy, declined, not there, or not picked up within"
            f" {self._arguments.wait} s"
        )
        return Exit.NOT_ATTACHED

    def _over(self) -> int:
        complain(f"the call of {self._target.view.extension} is over")
        return Exit.NO_CALL

    def _say(self, words: str) -> None:
        if not self._arguments.json:
            print(visible(words), flush=True)


async def _first(
    pictures: AsyncIterator[Picture], wanted: Callable[[PhoneCallBody], bool]
) -> Picture:
    """The call as soon as it is as wanted, None when it is over before."""
    async for call in pictures:
        if call is None or wanted(call):
            return call
    return None


async def _to_its_end(deed: Coroutine[Any, Any, T]) -> T:
    """Let a request be answered, even while this is ended: what it begins is to be known."""
    task = asyncio.create_task(deed)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        with suppress(ClientError):
            await task
        raise
