"""What is written of each happening, and what must be known of a whisper to write its end.

Durations are seconds of a steady clock; where the bridge was started anew in between, they are
what the wall clock says.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from bridge.happenings import (
    Adopted,
    Answered,
    Attached,
    Attempted,
    Decided,
    Detached,
    Ended,
    Happening,
    HookManaged,
    Linked,
    ModeChanged,
    Moment,
    Noticed,
    OfWhisper,
    Requested,
    Ringing,
    TakenOver,
    TokenAsked,
    Unlinked,
    WrongTarget,
)
from bridge.model import NOBODY, Asker
from bridge.whisper import Session

Line = dict[str, Any]

UNSEEN: Final = "unseen"
"""The reason of an end that fell into a time in which the bridge did not run."""


def iso(epoch: float) -> str:
    """A time with the machine's offset from UTC, to the millisecond (RFC 3339)."""
    return datetime.fromtimestamp(epoch).astimezone().isoformat(timespec="milliseconds")


def epoch(text: object) -> float | None:
    """The reverse of ``iso``; None if it is none."""
    try:
        return datetime.fromisoformat(str(text)).timestamp()
    except ValueError:
        return None


@dataclass(slots=True)
class Course:
    """A whisper that has not ended: who and whom, and when it was requested and attached."""

    who: Line
    requested: Moment | float | None = None
    attached: Moment | float | None = None
    seconds: float | None = None


class Clerk:
    """Turns happenings into lines, in their order."""

    def __init__(self) -> None:
        self._courses: dict[str, Course] = {}
        self._blind: float | None = None

    def recall(self, line: Mapping[str, Any]) -> None:
        """Take in a line that was written before this bridge was started."""
        leg, at = line.get("leg"), epoch(line.get("time"))
        self._blind = at or self._blind
        if not isinstance(leg, str) or not leg:
            return
        match line.get("event"):
            case "requested" | "adopted":
                who = {key: line[key] for key in _WHO if key in line}
                self._courses.setdefault(leg, Course(who, epoch(line.get("since")) or at))
            case "attached" if leg in self._courses:
                self._courses[leg].attached = epoch(line.get("since")) or at
            case "ended":
                self._courses.pop(leg, None)

    def lines(self, happening: Happening, moment: Moment) -> list[Line]:
        """What is to be written of a happening."""
        write = _WRITERS.get(type(happening))
        if write is None:
            return []
        told = write(self, happening, moment)
        return [{"time": iso(moment.wall), **line} for line in told]

    # Requests

    def _attempted(self, told: Attempted, moment: Moment) -> Iterable[Line]:
        yield {
            "event": "attempt",
            **_asker(told.asker),
            "action": told.action,
            "call": told.call_id,
            "view": told.view,
            "supervisor": told.supervisor,
            "extension": told.extension,
            **({"number": told.number} if told.number else {}),
        }

    def _decided(self, told: Decided, moment: Moment) -> Iterable[Line]:
        line = {
            "event": "decision",
            **_asker(told.asker),
            "action": told.action,
            "call": told.call_id,
            "outcome": "refused" if told.code else "allowed",
        }
        more = {"reason": told.code} if told.code else {"leg": told.leg}
        yield line | more

    def _token_asked(self, told: TokenAsked, moment: Moment) -> Iterable[Line]:
        outcome = (
            {"outcome": "refused", "reason": told.code} if told.code else {"outcome": "issued"}
        )
        yield {"event": "token", **_asker(told.asker)} | outcome

    def _hook_managed(self, told: HookManaged, moment: Moment) -> Iterable[Line]:
        hook = told.hook
        about = {"hook": hook.id, "type": hook.type.value, "extension": hook.extension}
        yield {"event": "webhook", **_asker(told.asker), "outcome": told.step.value, **about}

    # Whispers

    def _requested(self, told: Requested, moment: Moment) -> Iterable[Line]:
        self._courses[told.session.leg] = Course(_who(told.session), moment)
        yield {"event": "requested", **_who(told.session)}

    def _adopted(self, told: Adopted, moment: Moment) -> Iterable[Line]:
        session = told.session
        requested = session.requested or moment.wall
        course = self._courses.setdefault(session.leg, Course(_who(session), requested))
        yield {"event": "adopted", **course.who, "since": iso(requested)}

    def _ringing(self, told: Ringing, moment: Moment) -> Iterable[Line]:
        yield self._step("ringing", told, moment)

    def _answered(self, told: Answered, moment: Moment) -> Iterable[Line]:
        yield self._step("answered", told, moment)

    def _attached(self, told: Attached, moment: Moment) -> Iterable[Line]:
        course = self._course(told.session)
        before = moment.wall - told.since
        if course.attached is None:
            course.attached = told.since if before > _A_MOMENT else moment
        yield self._step("attached", told, moment) | {"since": iso(told.since)}

    def _detached(self, told: Detached, moment: Moment) -> Iterable[Line]:
        course = self._course(told.session)
        course.seconds = _between(course.attached, moment)
        yield self._step("detached", told, moment) | _figure("seconds", course.seconds)

    def _ended(self, told: Ended, moment: Moment) -> Iterable[Line]:
        session = told.session
        course = self._course(session)
        line = self._step("ended", told, moment)
        self._courses.pop(session.leg, None)
        reason = session.reason.name.lower() if session.reason else ""
        yield line | {"reason": reason} | self._attached_for(course, moment) | self._not_before()

    def _mode_changed(self, told: ModeChanged, moment: Moment) -> Iterable[Line]:
        by = _asker(told.by) if told.by else {"key": True}
        yield self._step("mode", told, moment) | {"before": told.before} | by

    def _noticed(self, told: Noticed, moment: Moment) -> Iterable[Line]:
        yield self._step("notice", told, moment) | {"sound": told.sound}

    def _wrong_target(self, told: WrongTarget, moment: Moment) -> Iterable[Line]:
        alarm = {"reason": "wrong_target", "attached_to": told.attached_to}
        yield self._step("alarm", told, moment) | alarm

    def _taken_over(self, told: TakenOver, moment: Moment) -> Iterable[Line]:
        alarm = {"reason": "taken_over", "successor": told.successor}
        yield self._step("alarm", told, moment) | alarm

    # The link

    def _linked(self, told: Linked, moment: Moment) -> Iterable[Line]:
        yield {"event": "linked"}
        for leg in self._courses.keys() - told.legs:
            course = self._courses.pop(leg)
            ended = {"event": "ended", **course.who, "reason": UNSEEN}
            yield ended | self._attached_for(course, moment) | self._not_before()
        self._blind = None

    def _unlinked(self, told: Unlinked, moment: Moment) -> Iterable[Line]:
        self._blind = moment.wall
        yield {"event": "unlinked"}

    # Parts of lines

    def _course(self, session: Session) -> Course:
        return self._courses.setdefault(
            session.leg, Course(_who(session), session.requested or None)
        )

    def _step(self, event: str, told: OfWhisper, moment: Moment) -> Line:
        course = self._course(told.session)
        who = _who(told.session)
        # Who asked did not fit on the leg: the lines before the restart know.
        known = course.who if told.session.asker == NOBODY else {}
        after = _figure("after", _between(course.requested, moment))
        return {"event": event, **who, **known, **after}

    def _attached_for(self, course: Course, moment: Moment) -> Line:
        seconds = course.seconds
        return _figure("seconds", _between(course.attached, moment) if seconds is None else seconds)

    def _not_before(self) -> Line:
        """Since when it may have ended: nobody watched."""
        return {} if self._blind is None else {"not_before": iso(self._blind)}


_A_MOMENT = 1.0
"""Seconds between a sign and its report, at most."""

_WHO = (
    *("request", "app", "user", "address", "action", "call", "leg"),
    *("supervisor", "extension", "target", "mode"),
)


def _asker(asker: Asker) -> Line:
    return {
        "request": asker.request,
        "app": asker.app,
        "user": asker.user,
        "address": asker.address,
    }


def _who(session: Session) -> Line:
    return {
        **_asker(session.asker),
        "action": session.mode.action,
        "call": session.call_id,
        "leg": session.leg,
        "supervisor": session.supervisor.number,
        "extension": session.extension.number,
        "target": session.target,
        "mode": session.mode.value,
    }


def _between(begin: Moment | float | None, end: Moment) -> float | None:
    if begin is None:
        return None
    seconds = end.steady - begin.steady if isinstance(begin, Moment) else end.wall - begin
    return round(max(seconds, 0.0), 3)


def _figure(name: str, value: float | None) -> Line:
    return {} if value is None else {name: value}


_WRITERS: dict[type, Callable[[Clerk, Any, Moment], Iterable[Line]]] = {
    Attempted: Clerk._attempted,
    Decided: Clerk._decided,
    TokenAsked: Clerk._token_asked,
    HookManaged: Clerk._hook_managed,
    Requested: Clerk._requested,
    Adopted: Clerk._adopted,
    Ringing: Clerk._ringing,
    Answered: Clerk._answered,
    Attached: Clerk._attached,
    Detached: Clerk._detached,
    Ended: Clerk._ended,
    ModeChanged: Clerk._mode_changed,
    Noticed: Clerk._noticed,
    WrongTarget: Clerk._wrong_target,
    TakenOver: Clerk._taken_over,
    Linked: Clerk._linked,
    Unlinked: Clerk._unlinked,
}
