"""Calls and their views on a terminal: a table, or a line for each change."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from bridge.cli.remote import visible
from bridge.client import Step
from bridge.uapi import PhoneCallBody, PhoneCallViewBody

_STATES: Final = {
    "0": "unknown",
    "1": "off hook",
    "2": "trying",
    "3": "ringing",
    "4": "calling",
    "5": "on call",
}
_COLUMNS: Final = ("CALL", "VIEW", "EXTENSION", "STATE", "FROM", "TO", "CALLER ID", "SINCE", "TIME")
_ANY_WIDTH: Final = 1000
"""Columns of what is no terminal: nothing is cut there."""


def console() -> Console:
    """What is printed on: a terminal, or a file without colours and cuts."""
    made = Console(highlight=False, emoji=False, markup=False)
    if not made.is_terminal:
        made.width = _ANY_WIDTH
    return made


def calls_table(calls: Iterable[PhoneCallBody], now: datetime) -> Table:
    """Every view of these calls, with how long it has lasted by ``now``."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in _COLUMNS:
        table.add_column(
            name, no_wrap=name != "CALLER ID", justify="right" if name == "TIME" else "left"
        )
    for call in calls:
        for view in call.phone_call_view or []:
            table.add_row(*(Text(visible(cell)) for cell in _row(call.id, view, now)))
    return table


def line(step: Step, now: datetime) -> str:
    """What became of a view, as a line for people and for grep."""
    view = step.view
    state = "over" if step.over else state_of(view)
    parties = f"{', '.join(view.source)} -> {', '.join(view.destination)}"
    caller = f" {view.caller_id}" if view.caller_id else ""
    when = now.isoformat(timespec="seconds")
    return visible(f"{when} {step.call_id} {view.id} {view.extension} {state}: {parties}{caller}")


def state_of(view: PhoneCallViewBody) -> str:
    """The state of a view in words."""
    if view.parked:
        return "parked"
    if view.on_hold:
        return "holds" if view.holder else "on hold"
    return _STATES.get(view.status, _STATES["0"])


def began(view: PhoneCallViewBody) -> datetime | None:
    """Since when a view is what it is: answered, or ringing."""
    written = view.answered or view.ringing
    return datetime.fromisoformat(written).astimezone() if written else None


def _row(call_id: str, view: PhoneCallViewBody, now: datetime) -> tuple[str, ...]:
    since = began(view)
    return (
        call_id,
        view.id,
        view.extension,
        state_of(view),
        ", ".join(view.source),
        ", ".join(view.destination),
        view.caller_id or "",
        f"{since:%H:%M:%S}" if since else "",
        _lasted(now - since) if since else "",
    )


def _lasted(time: timedelta) -> str:
    # The clocks of two machines may differ a little.
    seconds = max(0, int(time.total_seconds()))
    minutes, hours = seconds // 60 % 60, seconds // 3600
    return f"{hours}:{minutes:02}:{seconds % 60:02}" if hours else f"{minutes}:{seconds % 60:02}"
