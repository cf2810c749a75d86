"""``whisper-bridge rotate-key``: a new key for the tokens, while those that live stay good."""

import argparse
import os
import time

from bridge.cli.common import Commands
from bridge.keyring import rotate
from bridge.settings import load


def add(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser("rotate-key", help="have a new key sign tokens; old ones go on")
    parser.set_defaults(run=_rotate_key)


def _rotate_key(arguments: argparse.Namespace) -> int:
    kept = rotate(load(os.environ).state_dir, time.time())
    keys = "1 older key" if kept == 1 else f"{kept} older keys"
    print(f"a new key signs once the service is told, by SIGHUP; tokens of {keys} stay good")
    return 0
