"""``whisper-bridge``: builds the parts and runs them; the only place that names every part.

Each command is a module of its own that adds its parser.
"""

import argparse
import sys
from collections.abc import Sequence

from bridge.cli import (
    audit,
    calls,
    check,
    container,
    hash_secret,
    lab,
    may,
    rotate_key,
    selftest,
    serve,
    token,
    watch,
    whisper,
)
from bridge.cli.common import MISTAKES
from bridge.lab.errors import LabError

_COMMANDS = (
    *(serve, check, selftest, token, hash_secret, rotate_key, may, audit),
    *(whisper, calls, watch, lab, container),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``whisper-bridge`` with these arguments (default: the process's) to its exit code."""
    arguments = _parser().parse_args(argv)
    try:
        code: int = arguments.run(arguments)
    except (*MISTAKES, LabError) as error:
        print(f"whisper-bridge: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="whisper-bridge", description="Whisper on any Asterisk PBX through one HTTP request."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in _COMMANDS:
        command.add(commands)
    return parser
