"""``whisper-bridge lab``: a whisper proven by ear."""

import argparse
import asyncio

from bridge.cli.common import Commands
from bridge.lab.run import Wish, run_lab


def add(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser("lab", help="prove a whisper on a real Asterisk with real phones")
    parser.add_argument("--private", action="store_true", help="the supervisor hears nothing")
    parser.add_argument("--asterisk", choices=("16", "22"), default="22", help="default: 22")
    parser.add_argument("--keep", action="store_true", help="keep the run folder for a look")
    parser.set_defaults(run=_lab)


def _lab(arguments: argparse.Namespace) -> int:
    wish = Wish(asterisk=arguments.asterisk, private=arguments.private, keep=arguments.keep)
    return asyncio.run(run_lab(wish))
