"""``whisper-bridge calls``: the calls that a service shows, and who takes part in them."""

import argparse
import json
from datetime import datetime

from bridge.cli.common import Commands
from bridge.cli.remote import Exit, Remote, add_options, asking, complain, number, user
from bridge.cli.tables import calls_table, console
from bridge.client import Calls, Connection
from bridge.uapi import PhoneCallBody


def add(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "calls",
        help="show the calls of an extension, or of all of a user, as a service has them",
        description="Show the calls of EXTENSION, or of all extensions of a user.",
    )
    add_whose(parser)
    add_options(parser)
    parser.set_defaults(run=asking(_calls))


def add_whose(parser: argparse.ArgumentParser) -> None:
    """Add whose calls."""
    parser.add_argument("target", nargs="?", type=number, metavar="EXTENSION", help="default: all")
    parser.add_argument(
        "--user", type=user, metavar="ID", help="of this user; default: the token's own"
    )


def whose(connection: Connection, arguments: argparse.Namespace) -> Calls:
    """The calls of an extension, whoever owns it, or of all extensions of a user."""
    if arguments.target is None:
        return Calls(connection, "@self", arguments.user or "@me")
    return Calls(connection, arguments.target, arguments.user or "@owner")


def _calls(arguments: argparse.Namespace, remote: Remote) -> int:
    async def listed(connection: Connection) -> list[PhoneCallBody]:
        return await whose(connection, arguments).listed()

    calls = remote.run(listed)
    if arguments.json:
        print(json.dumps([call.body() for call in calls]))
    elif calls:
        console().print(calls_table(calls, datetime.now().astimezone()))
    else:
        complain(f"{arguments.target} is on no call" if arguments.target else "there are no calls")
    return Exit.DONE
