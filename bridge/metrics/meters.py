"""What is counted and timed as it happens."""

from collections.abc import Callable
from typing import Any, Final

from prometheus_client import CollectorRegistry, Counter, Histogram

from bridge.happenings import (
    Attached,
    Attempted,
    Decided,
    Detached,
    Ended,
    Happening,
    Linked,
    ModeChanged,
    Moment,
    Requested,
    Responded,
    Ringing,
    TakenOver,
    TokenAsked,
    Unlinked,
    WrongTarget,
)
from bridge.whisper import Reason

ACTIONS: Final = ("Whisper",)
"""What can be asked for; whatever else is asked for counts as ``other``."""

MOST_ATTEMPTS: Final = 1000
"""Attempts whose decision is waited for: of those whose client went, nothing more is heard."""

_QUICK = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)
_PATIENT = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15, 20, 30, 60, 120)
_TALK = (5, 15, 30, 60, 120, 300, 600, 1800, 3600, 7200)


class Meters:
    """A listener that counts."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def counter(name: str, what: str, *labels: str) -> Counter:
            return Counter(f"whisper_bridge_{name}", what, labels, registry=registry)

        def histogram(name: str, what: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
            full = f"whisper_bridge_{name}"
            return Histogram(full, what, labels, buckets=buckets, registry=registry)

        self.decisions = counter(
            "decisions", "What was attempted, by action and outcome.", "action", "outcome"
        )
        self.tokens = counter("tokens", "Tokens asked for over HTTP, by outcome.", "outcome")
        self.ends = counter("whispers_ended", "Whispers that ended, by reason.", "reason")
        self.ringing = histogram(
            "ringing_seconds", "From a request until the supervisor's phone is called.", _QUICK
        )
        self.attached = histogram(
            "attached_seconds", "From a request until the whisper is in force.", _PATIENT
        )
        self.lasted = histogram("whisper_seconds", "How long whispers were in force.", _TALK)
        self.modes = counter("mode_changes", "Whispers whose mode changed, by what.", "by")
        self.alarms = counter("alarms", "Legs that were attached to somebody else.", "kind")
        self.links = counter("link_established", "Times the link to the PBX came up.")
        self.losses = counter("link_lost", "Times the link to the PBX was lost.")
        self.requests = counter("http_requests", "Requests over HTTP.", "route", "method", "status")
        self.responses = histogram(
            "http_request_seconds", "Time to answer a request.", _QUICK, "route", "method"
        )
        self.lag = histogram("loop_lag_seconds", "How late the event loop is.", _QUICK)
        self.answers = histogram(
            "ami_answer_seconds", "From an action on the AMI to its answer.", _QUICK, "action"
        )
        self._asked: dict[str, float] = {}
        self._began: dict[str, float] = {}
        self._in_force: dict[str, float] = {}
        for reason in Reason:
            self.ends.labels(_word(reason))
        for kind in ("wrong_target", "taken_over"):
            self.alarms.labels(kind)

    def __call__(self, happening: Happening, moment: Moment) -> None:
        """Take in a happening."""
        count = _COUNTED.get(type(happening))
        if count is not None:
            count(self, happening, moment.steady)

    # Requests

    def _responded(self, told: Responded, now: float) -> None:
        route = told.route.rstrip("/") or "/"
        self.requests.labels(route, told.method, told.status).inc()
        if told.seconds is not None:
            self.responses.labels(route, told.method).observe(told.seconds)

    def _attempted(self, told: Attempted, now: float) -> None:
        if len(self._asked) >= MOST_ATTEMPTS:
            self._asked.clear()
        self._asked[told.asker.request] = now

    def _decided(self, told: Decided, now: float) -> None:
        action = told.action if told.action in ACTIONS else "other"
        self.decisions.labels(action, told.code or "allowed").inc()
        asked = self._asked.pop(told.asker.request, now)
        if told.leg:
            self._began.setdefault(told.leg, asked)

    def _token_asked(self, told: TokenAsked, now: float) -> None:
        self.tokens.labels(told.code or "issued").inc()

    # Whispers

    def _requested(self, told: Requested, now: float) -> None:
        self._began.setdefault(told.session.leg, now)

    def _ringing(self, told: Ringing, now: float) -> None:
        if told.session.leg in self._began:
            self.ringing.observe(now - self._began[told.session.leg])

    def _attached(self, told: Attached, now: float) -> None:
        began = self._began.get(told.session.leg)
        if began is not None:
            self.attached.observe(now - began)
            self._in_force[told.session.leg] = now

    def _detached(self, told: Detached, now: float) -> None:
        began = self._in_force.pop(told.session.leg, None)
        if began is not None:
            self.lasted.observe(now - began)

    def _ended(self, told: Ended, now: float) -> None:
        session = told.session
        self.ends.labels(_word(session.reason or Reason.FAILED)).inc()
        self._began.pop(session.leg, None)
        began = self._in_force.pop(session.leg, None)
        if began is not None:
            self.lasted.observe(now - began)

    def _mode_changed(self, told: ModeChanged, now: float) -> None:
        self.modes.labels("api" if told.by else "key").inc()

    def _wrong_target(self, told: WrongTarget, now: float) -> None:
        self.alarms.labels("wrong_target").inc()

    def _taken_over(self, told: TakenOver, now: float) -> None:
        self.alarms.labels("taken_over").inc()

    # The link

    def _linked(self, told: Linked, now: float) -> None:
        self.links.inc()

    def _unlinked(self, told: Unlinked, now: float) -> None:
        self.losses.inc()


def _word(reason: Reason) -> str:
    return reason.name.lower()


_COUNTED: dict[type, Callable[[Meters, Any, float], None]] = {
    Responded: Meters._responded,
    Attempted: Meters._attempted,
    Decided: Meters._decided,
    TokenAsked: Meters._token_asked,
    Requested: Meters._requested,
    Ringing: Meters._ringing,
    Attached: Meters._attached,
    Detached: Meters._detached,
    Ended: Meters._ended,
    ModeChanged: Meters._mode_changed,
    WrongTarget: Meters._wrong_target,
    TakenOver: Meters._taken_over,
    Linked: Meters._linked,
    Unlinked: Meters._unlinked,
}
