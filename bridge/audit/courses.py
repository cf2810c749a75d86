"""What is known of a whisper that has not ended, and what every line of it says."""

from dataclasses import dataclass
from typing import Final

from bridge.audit.sight import Line
from bridge.happenings import Moment
from bridge.model import Asker
from bridge.modes import has_keys
from bridge.whisper import Session

ASKER: Final = ("request", "app", "user", "address")
MODE: Final = ("action", "mode")
WHO: Final = (*ASKER, *MODE, "call", "leg", "supervisor", "extension", "target", "keys")


@dataclass(slots=True)
class Course:
    """A whisper that has not ended: who and whom, and when it was requested and attached.

    ``asked`` is when another mode was asked for last; its mode is in ``doubt`` until it is settled.
    It is ``recalled`` if only lines of an earlier bridge tell of it; the PBX ``listed`` it
    last at that epoch second.
    """

    who: Line
    requested: Moment | float | None = None
    attached: Moment | float | None = None
    seconds: float | None = None
    asked: float | None = None
    doubt: bool = False
    recalled: bool = False
    listed: float | None = None


def asker_of(asker: Asker) -> Line:
    """Who asked."""
    return {
        "request": asker.request,
        "app": asker.app,
        "user": asker.user,
        "address": asker.address,
    }


def who_of(session: Session) -> Line:
    """Who takes part, how, and whose wish it was."""
    return {
        **asker_of(session.asker),
        "action": session.mode.action,
        "call": session.call_id,
        "leg": session.leg,
        "supervisor": session.supervisor.number,
        "extension": session.extension.number,
        "target": session.target,
        "mode": session.mode.value,
        **({"keys": True} if has_keys(session.options) else {}),
    }


def between(begin: Moment | float | None, end: Moment) -> float | None:
    """Seconds from a moment, or an epoch second, to another moment; None without the first."""
    if begin is None:
        return None
    seconds = end.steady - begin.steady if isinstance(begin, Moment) else end.wall - begin
    return round(max(seconds, 0.0), 3)


def figure(name: str, value: float | None) -> Line:
    """A figure of a line, if there is one."""
    return {} if value is None else {name: value}
