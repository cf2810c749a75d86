"""What is written of each happening.

Durations are seconds of a steady clock; where the bridge was started anew in between, they are
what the wall clock says.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from bridge.audit.courses import ASKER, MODE, WHO, Course, asker_of, between, figure, who_of
from bridge.audit.sight import Line, Sight
from bridge.audit.times import epoch, iso
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
    ModeDoubted,
    ModeSettled,
    Moment,
    Noticed,
    OfWhisper,
    Requested,
    Ringing,
    TakenOver,
    TokenAsked,
    Unlinked,
    Vouched,
    WrongTarget,
)
from bridge.model import NOBODY
from bridge.whisper import Session

UNSEEN: Final = "unseen"
"""The reason of an end that fell into a time in which the bridge did not run."""


class Clerk:
    """Turns happenings into lines, in their order."""

    def __init__(self) -> None:
        self._courses: dict[str, Course] = {}
        self._sight = Sight()

    def recall(self, line: Mapping[str, Any]) -> None:
        """Take in a line that was written before this bridge was started."""
        self._sight.take(dict(line))
        leg, at = line.get("leg"), epoch(line.get("time"))
        if not isinstance(leg, str) or not leg:
            return
        match line.get("event"):
            case "requested" | "adopted":
                who = {key: line[key] for key in WHO if key in line}
                since = epoch(line.get("since")) or at
                self._courses.setdefault(leg, Course(who, since, recalled=True))
            case "attached" if leg in self._courses:
                self._courses[leg].attached = epoch(line.get("since")) or at
            case "mode" | "settled" if leg in self._courses:
                self._courses[leg].who |= {key: line[key] for key in MODE if key in line}
            case "ended":
                self._courses.pop(leg, None)

    def started(self, now: float) -> Line:
        """The first line of a bridge, once it has recalled what was written before it."""
        return self._seen({"time": iso(now), "event": "started"})

    def lines(self, happening: Happening, moment: Moment) -> list[Line]:
        """What is to be written of a happening."""
        write = _WRITERS.get(type(happening))
        if write is None:
            return []
        told = list(write(self, happening, moment))
        return [self._seen({"time": iso(moment.wall), **line}) for line in told]

    def _seen(self, line: Line) -> Line:
        self._sight.take(line)
        return line

    # Requests

    def _attempted(self, told: Attempted, moment: Moment) -> Iterable[Line]:
        yield {
            "event": "attempt",
            **asker_of(told.asker),
            "action": told.action,
            "call": told.call_id,
            "view": told.view,
            "supervisor": told.supervisor,
            "extension": told.extension,
            **({"number": told.number} if told.number else {}),
        }

    def _decided(self, told: Decided, moment: Moment) -> Iterable[Line]:
        if told.leg in self._courses:
            self._courses[told.leg].asked = moment.wall
        line = {
            "event": "decision",
            **asker_of(told.asker),
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
        yield {"event": "token", **asker_of(told.asker)} | outcome

    def _hook_managed(self, told: HookManaged, moment: Moment) -> Iterable[Line]:
        hook = told.hook
        about = {"hook": hook.id, "type": hook.type.value, "extension": hook.extension}
        yield {"event": "webhook", **asker_of(told.asker), "outcome": told.step.value, **about}

    # Whispers

    def _requested(self, told: Requested, moment: Moment) -> Iterable[Line]:
        self._courses[told.session.leg] = Course(who_of(told.session), moment)
        yield {"event": "requested", **who_of(told.session)}

    def _adopted(self, told: Adopted, moment: Moment) -> Iterable[Line]:
        session = told.session
        requested = session.requested or moment.wall
        course = self._courses.setdefault(session.leg, Course(who_of(session), requested))
        course.doubt, course.recalled = True, False
        yield {"event": "adopted", **self._who(session), "since": iso(requested)}

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
        course.seconds = between(course.attached, moment)
        yield self._step("detached", told, moment) | figure("seconds", course.seconds)

    def _ended(self, told: Ended, moment: Moment) -> Iterable[Line]:
        session = told.session
        course = self._course(session)
        line = self._step("ended", told, moment)
        self._courses.pop(session.leg, None)
        reason = session.reason.name.lower() if session.reason else ""
        yield line | {"reason": reason} | self._attached_for(course, moment) | self._not_before()

    def _mode_changed(self, told: ModeChanged, moment: Moment) -> Iterable[Line]:
        course = self._course(told.session)
        course.asked, course.doubt = None, course.doubt and not told.session.settled
        by = asker_of(told.by) if told.by else {"key": True}
        doubt = {"doubt": True} if course.doubt else {}
        yield self._step("mode", told, moment) | {"before": told.before} | by | doubt

    def _mode_doubted(self, told: ModeDoubted, moment: Moment) -> Iterable[Line]:
        course = self._course(told.session)
        course.doubt = True
        since = moment.wall if course.asked is None else course.asked
        yield self._step("doubt", told, moment) | {"since": iso(since)}

    def _mode_settled(self, told: ModeSettled, moment: Moment) -> Iterable[Line]:
        course = self._course(told.session)
        course.asked, doubt = None, course.doubt
        if doubt:
            course.doubt = False
            yield self._step("settled", told, moment)

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
        yield {"event": "linked", **({"legs": sorted(told.legs)} if told.legs else {})}
        for leg, course in [*self._courses.items()]:
            if course.recalled and leg in told.legs:
                course.listed = moment.wall
            elif course.recalled:
                del self._courses[leg]
                ended = {"event": "ended", **course.who, "reason": UNSEEN}
                yield ended | self._attached_for(course, moment) | self._not_before(course.listed)

    def _unlinked(self, told: Unlinked, moment: Moment) -> Iterable[Line]:
        for course in self._courses.values():
            course.doubt = course.doubt or course.who.get("keys", False)
        yield {"event": "unlinked", "since": iso(moment.wall - told.quiet)}

    def _vouched(self, told: Vouched, moment: Moment) -> Iterable[Line]:
        yield {"event": "vouched"}

    # Parts of lines

    def _course(self, session: Session) -> Course:
        return self._courses.setdefault(
            session.leg, Course(who_of(session), session.requested or None)
        )

    def _step(self, event: str, told: OfWhisper, moment: Moment) -> Line:
        course = self._course(told.session)
        after = figure("after", between(course.requested, moment))
        return {"event": event, **self._who(told.session), **after}

    def _who(self, session: Session) -> Line:
        """Who and whom, as it is now."""
        course = self._course(session)
        who = who_of(session)
        if session.asker == NOBODY:
            # Who asked did not fit on the leg: the lines before the restart know.
            who |= {key: course.who[key] for key in ASKER if key in course.who}
        course.who = who
        return who

    def _attached_for(self, course: Course, moment: Moment) -> Line:
        seconds = course.seconds
        return figure("seconds", between(course.attached, moment) if seconds is None else seconds)

    def _not_before(self, listed: float | None = None) -> Line:
        """Since when it may have ended: nobody watched, or it was ``listed`` last."""
        since = self._sight.blind if listed is None else listed
        return {} if since is None else {"not_before": iso(since)}


_A_MOMENT = 0.1
"""Seconds between a sign and its report, at most."""

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
    ModeDoubted: Clerk._mode_doubted,
    ModeSettled: Clerk._mode_settled,
    Noticed: Clerk._noticed,
    WrongTarget: Clerk._wrong_target,
    TakenOver: Clerk._taken_over,
    Linked: Clerk._linked,
    Unlinked: Clerk._unlinked,
    Vouched: Clerk._vouched,
}
