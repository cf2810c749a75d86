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
    Outcome,
    Requested,
    Responded,
    Ringing,
    TakenOver,
    TokenAsked,
    Told,
    Unlinked,
    WrongTarget,
)
from bridge.model import Mode
from bridge.whisper import Reason

ACTIONS: Final = {mode.action for mode in Mode}
"""What can be asked for; whatever else is asked for counts as ``other``."""

MOST_ATTEMPTS: Final = 1000
"""Attempts whose decision is waited for: of those whose client went, nothing more is heard."""

_QUICK = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)
_PATIENT = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15, 20, 30, 60, 120)
_TALK = (5, 15, 30, 60, 120, 300, 600, 1800, 3600, 7200)

_COUNTERS: Final[dict[str, tuple[str, ...]]] = {
    "decisions": ("What was attempted, by action and outcome.", "action", "outcome"),
    "tokens": ("Tokens asked for over HTTP, by outcome.", "outcome"),
    "whispers_ended": ("Whispers that ended, by reason.", "reason"),
    "mode_changes": ("Changes of mode, by what, and to which.", "by", "mode"),
    "alarms": ("Legs that were attached to somebody else.", "kind"),
    "webhook_deliveries": ("Attempts to tell clients of call events, by outcome.", "outcome"),
    "link_established": ("Times the link to the PBX came up.",),
    "link_lost": ("Times the link to the PBX was lost.",),
    "http_requests": ("Requests over HTTP.", "route", "method", "status"),
}
"""What each counts, and its labels."""

_HISTOGRAMS: Final[dict[str, tuple[tuple[float, ...], str, tuple[str, ...]]]] = {
    "ringing_seconds": (_QUICK, "From a request until the supervisor's phone is called.", ()),
    "attached_seconds": (_PATIENT, "From a request until the whisper is in force.", ()),
    "whisper_seconds": (_TALK, "How long whispers were in force.", ()),
    "http_request_seconds": (_QUICK, "Time to answer a request.", ("route", "method")),
    "loop_lag_seconds": (_QUICK, "How late the event loop is.", ()),
    "ami_answer_seconds": (_QUICK, "From an action on the AMI to its answer.", ("action",)),
}
"""Where the buckets of each end, what it measures, and its labels."""


class Meters:
    """A listener that counts and times."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._counters = {
            name: Counter(f"whisper_bridge_{name}", what, labels, registry=registry)
            for name, (what, *labels) in _COUNTERS.items()
        }
        self._histograms = {
            name: Histogram(
                f"whisper_bridge_{name}", what, labels, buckets=buckets, registry=registry
            )
            for name, (buckets, what, labels) in _HISTOGRAMS.items()
        }
        self._asked: dict[str, float] = {}
        self._began: dict[str, float] = {}
        self._in_force: dict[str, float] = {}
        # A first one is a rise from zero only if there was a zero before.
        for reason in Reason:
            self._counters["whispers_ended"].labels(_word(reason))
        for kind in ("wrong_target", "taken_over"):
            self._counters["alarms"].labels(kind)
        for outcome in Outcome:
            self._counters["webhook_deliveries"].labels(outcome.value)

    def count(self, name: str, *labels: object) -> None:
        """Count one more."""
        counter = self._counters[name]
        (counter.labels(*labels) if labels else counter).inc()

    def time(self, name: str, seconds: float, *labels: str) -> None:
        """Take in how long something took."""
        histogram = self._histograms[name]
        (histogram.labels(*labels) if labels else histogram).observe(seconds)

    def __call__(self, happening: Happening, moment: Moment) -> None:
        """Take in a happening."""
        count = _COUNTED.get(type(happening))
        if count is not None:
            count(self, happening, moment.steady)

    # Requests

    def _responded(self, told: Responded, now: float) -> None:
        route = told.route.rstrip("/") or "/"
        self.count("http_requests", route, told.method, told.status)
        if told.seconds is not None:
            self.time("http_request_seconds", told.seconds, route, told.method)

    def _attempted(self, told: Attempted, now: float) -> None:
        if len(self._asked) >= MOST_ATTEMPTS:
            self._asked.clear()
        self._asked[told.asker.request] = now

    def _decided(self, told: Decided, now: float) -> None:
        action = told.action if told.action in ACTIONS else "other"
        self.count("decisions", action, told.code or "allowed")
        asked = self._asked.pop(told.asker.request, now)
        if told.leg:
            self._began.setdefault(told.leg, asked)

    def _token_asked(self, told: TokenAsked, now: float) -> None:
        self.count("tokens", told.code or "issued")

    def _told(self, told: Told, now: float) -> None:
        self.count("webhook_deliveries", told.outcome.value)

    # Whispers

    def _requested(self, told: Requested, now: float) -> None:
        self._began.setdefault(told.session.leg, now)

    def _ringing(self, told: Ringing, now: float) -> None:
        if told.session.leg in self._began:
            self.time("ringing_seconds", now - self._began[told.session.leg])

    def _attached(self, told: Attached, now: float) -> None:
        began = self._began.get(told.session.leg)
        if began is not None:
            self.time("attached_seconds", now - began)
            self._in_force[told.session.leg] = now

    def _detached(self, told: Detached, now: float) -> None:
        began = self._in_force.pop(told.session.leg, None)
        if began is not None:
            self.time("whisper_seconds", now - began)

    def _ended(self, told: Ended, now: float) -> None:
        session = told.session
        self.count("whispers_ended", _word(session.reason or Reason.FAILED))
        self._began.pop(session.leg, None)
        began = self._in_force.pop(session.leg, None)
        if began is not None:
            self.time("whisper_seconds", now - began)

    def _mode_changed(self, told: ModeChanged, now: float) -> None:
        self.count("mode_changes", "api" if told.by else "key", told.session.mode)

    def _wrong_target(self, told: WrongTarget, now: float) -> None:
        self.count("alarms", "wrong_target")

    def _taken_over(self, told: TakenOver, now: float) -> None:
        self.count("alarms", "taken_over")

    # The link

    def _linked(self, told: Linked, now: float) -> None:
        self.count("link_established")

    def _unlinked(self, told: Unlinked, now: float) -> None:
        self.count("link_lost")


def _word(reason: Reason) -> str:
    return reason.name.lower()


_COUNTED: dict[type, Callable[[Meters, Any, float], None]] = {
    Responded: Meters._responded,
    Attempted: Meters._attempted,
    Decided: Meters._decided,
    TokenAsked: Meters._token_asked,
    Told: Meters._told,
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
