"""``whisper-bridge token``: a bearer token for an operator."""

import argparse
import os
import time

from bridge.cli.common import Commands, UsageError, read_directory
from bridge.keyring import signing_keys
from bridge.settings import load
from bridge.tokens import TokenBook


def add(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser("token", help="print a bearer token for an app of the directory")
    parser.add_argument("client_id", metavar="CLIENT_ID")
    parser.set_defaults(run=_token)


def _token(arguments: argparse.Namespace) -> int:
    settings = load(os.environ)
    if read_directory(settings).app(arguments.client_id) is None:
        raise UsageError(f"the directory has no app {arguments.client_id!r}")
    tokens = TokenBook(signing_keys(settings.state_dir))
    print(tokens.issue(arguments.client_id, time.time()))
    return 0
