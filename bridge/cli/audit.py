"""``whisper-bridge audit``: who did what, read back."""

import argparse
import json
import os
import re
import sys
import time
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from bridge.audit import Archive, Wanted, span_table, spans, table
from bridge.cli.common import Commands, UsageError
from bridge.settings import load

_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


def add(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser("audit", help="show who asked for what, and what became of it")
    parser.add_argument("--call", default="", metavar="ID", help="of this call")
    parser.add_argument("--supervisor", default="", metavar="NUMBER", help="by this extension")
    parser.add_argument(
        "--target", default="", metavar="NUMBER", help="whispered to this extension"
    )
    parser.add_argument(
        "--since", default=0.0, type=_moment, metavar="WHEN", help="2026-11-24, 09:30, 2h, 7d"
    )
    parser.add_argument(
        "--spans",
        action="store_true",
        help="who took part in whose call, from when to when, in which mode",
    )
    parser.add_argument(
        "--json", action="store_true", help="a line of JSON each, as it was written"
    )
    parser.add_argument(
        "file", nargs="?", type=Path, metavar="FILE", help="default: what BRIDGE_AUDIT says"
    )
    parser.set_defaults(run=_audit)


def _audit(arguments: argparse.Namespace) -> int:
    wanted = Wanted(
        call=arguments.call,
        supervisor=arguments.supervisor,
        target=arguments.target,
        since=arguments.since,
    )
    path = arguments.file or load(os.environ).audit
    archive = Archive(path)
    if not archive.files():
        raise UsageError(f"there is no audit at {path}")
    lines = _spans(archive, wanted) if arguments.spans else archive.lines(wanted)
    rows = (json.dumps(line) for line in lines)
    shown = span_table if arguments.spans else table
    for row in rows if arguments.json else shown(lines):
        print(row)
    if archive.damaged:
        print(f"{archive.damaged} lines are damaged and left out", file=sys.stderr)
    return 0


def _spans(archive: Archive, wanted: Wanted) -> Iterable[dict[str, Any]]:
    """The spans of what is wanted that had not ended by its time.

    All lines are read: a whisper of any length may last into that time.
    """
    for span in spans(archive.lines(Wanted())):
        line = span.line()
        if wanted.fits({**line, "time": line["to"] or datetime.now().astimezone().isoformat()}):
            yield line


def _moment(text: str) -> float:
    """A date, a date and time, a time of today, or how long ago, as an epoch second."""
    ago = re.fullmatch(r"([0-9]{1,9})([smhdw])", text)
    if ago:
        return time.time() - int(ago[1]) * _UNITS[ago[2]]
    today = f"{datetime.now():%Y-%m-%d}T{text}" if re.match(r"\d\d:\d\d", text) else text
    try:
        return datetime.fromisoformat(today).timestamp()
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no date, time or time ago") from None
