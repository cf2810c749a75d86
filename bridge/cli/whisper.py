"""``whisper-bridge whisper``: which call a supervisor is to take part in, and how."""

import argparse
import sys
from collections.abc import Sequence
from functools import partial

from bridge.cli.common import Commands, UsageError
from bridge.cli.remote import Exit, Remote, add_options, asking, complain, number, visible
from bridge.cli.tables import began
from bridge.cli.taking_part import MODES, TakingPart
from bridge.client import Calls, Connection, Target, targets
from bridge.uapi.types import call_id


def add(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "whisper",
        help="have a supervisor whisper to an extension on call, listen to it or barge in",
        description="Have SUPERVISOR whisper to TARGET, which is on a call, listen to it or barge"
        " in. It ends when he is connected, or says why he is not.",
    )
    parser.add_argument("target", type=number, metavar="TARGET", help="the extension on call")
    parser.add_argument("--by", required=True, type=number, metavar="SUPERVISOR")
    parser.add_argument("--mode", choices=tuple(MODES), default="whisper")
    parser.add_argument("--private", action="store_true", help="of a whisper: he hears nothing")
    parser.add_argument("--call", metavar="ID", type=_call, help="which call, where it has several")
    parser.add_argument("--caller-id", metavar="'NAME <NUMBER>'", help="what his phone shows")
    parser.add_argument(
        "--wait",
        type=int,
        default=25,
        metavar="SECONDS",
        help="how long his phone rings; default: 25",
    )
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
        return await TakingPart(connection, arguments, target).run()

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
