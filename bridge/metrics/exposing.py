"""What is looked up when somebody asks, and the text of it all."""

import asyncio
import platform
import re
import time
from collections import Counter
from collections.abc import Iterator
from importlib.metadata import version
from typing import Final, Protocol

from prometheus_client import CollectorRegistry, GCCollector, Info, ProcessCollector
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from bridge.happenings import Happening, Moment
from bridge.metrics.meters import Meters
from bridge.model import Mode
from bridge.service import Service
from bridge.whisper import State

LAG_EVERY: Final = 0.25
"""Seconds between two looks at how late the event loop is."""


class Link(Protocol):
    """The link to the PBX, as far as it is measured."""

    @property
    def messages(self) -> int:
        """Messages the PBX sent since the start."""

    @property
    def silence(self) -> float:
        """Seconds since the PBX was last heard of; 0 while there is no link."""


class Audit(Protocol):
    """The audit, as far as it is measured."""

    @property
    def written(self) -> int:
        """Lines written since the start."""

    @property
    def missing(self) -> int:
        """Lines there was no room for."""

    @property
    def waiting(self) -> int:
        """Lines that are not written yet."""


class Webhooks(Protocol):
    """What tells clients of call events, as far as it is measured."""

    @property
    def waiting(self) -> int:
        """Events that wait to be told."""

    @property
    def well(self) -> bool:
        """Whether its file can be read and written."""


class Metrics:
    """A listener that measures; ``text`` shows the metrics once it ``watches`` a service."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._meters = Meters(self._registry)
        ProcessCollector(registry=self._registry)
        GCCollector(registry=self._registry)
        build = Info("whisper_bridge_build", "What runs here.", registry=self._registry)
        build.info({"version": version("whisper-bridge"), "python": platform.python_version()})

    def __call__(self, happening: Happening, moment: Moment) -> None:
        """Take in a happening."""
        self._meters(happening, moment)

    def answered(self, action: str, seconds: float) -> None:
        """Take in how long an action on the AMI took to be answered."""
        self._meters.time("ami_answer_seconds", seconds, action)

    def watch(
        self, service: Service, link: Link, audit: Audit, webhooks: Webhooks | None = None
    ) -> None:
        """Look at these whenever somebody asks."""
        self._registry.register(_Looked(service, link, audit, webhooks))

    def text(self, accept: str) -> tuple[bytes, str]:
        """Every metric, in the format that the header ``Accept`` prefers, and its media type."""
        encode, media_type = choose_encoder(accept)
        return encode(self._registry), media_type

    async def measure_lag(self) -> None:
        """Measure how late the event loop is, until cancelled."""
        while True:
            due = time.monotonic() + LAG_EVERY
            await asyncio.sleep(LAG_EVERY)
            self._meters.time("loop_lag_seconds", max(0.0, time.monotonic() - due))


class _Looked(Collector):
    """What is looked up."""

    def __init__(
        self, service: Service, link: Link, audit: Audit, webhooks: Webhooks | None
    ) -> None:
        self._service, self._link, self._audit = service, link, audit
        self._webhooks = webhooks

    def collect(self) -> Iterator[Metric]:
        """Every metric that is looked up."""
        yield from self._of_the_link()
        yield from self._of_calls()
        yield from self._of_the_audit()
        if self._webhooks is not None:
            yield from self._of_webhooks(self._webhooks)

    def _of_the_link(self) -> Iterator[Metric]:
        up, silence = self._service.complete, self._link.silence
        yield _gauge("link_up", "Whether every call of the PBX is known.", up)
        yield _gauge("link_silence_seconds", "Since the PBX was last heard of.", silence)
        what = "Events of the PBX, by kind; other ones are passed over."
        events = CounterMetricFamily("whisper_bridge_events", what, labels=["kind"])
        for kind, count in self._service.events.items():
            events.add_metric([_snake(kind.__name__)], count)
        events.add_metric(["other"], self._link.messages - sum(self._service.events.values()))
        yield events

    def _of_calls(self) -> Iterator[Metric]:
        picture = self._service.picture
        yield _gauge("channels", "Channels there are on the PBX.", len(picture.channels))
        yield _gauge("calls", "Calls there are on the PBX.", len(picture.calls()))
        book = list(self._service.whispering.book)
        states = Counter(session.state for session in book)
        what = "Whispers under way, by how far they have come."
        whispers = GaugeMetricFamily("whisper_bridge_whispers", what, labels=["state"])
        for state in State:
            if state is not State.ENDED:
                whispers.add_metric([state.value], states[state])
        yield whispers
        modes = Counter(s.mode for s in book if s.state is State.ATTACHED)
        what = "Supervisors who take part in a call, by how they do."
        supervisors = GaugeMetricFamily("whisper_bridge_supervisors", what, labels=["mode"])
        for mode in Mode:
            supervisors.add_metric([mode], modes[mode])
        yield supervisors
        streams = self._service.following.subscribers
        yield _gauge("streams", "Streams of calls that clients follow.", streams)

    def _of_the_audit(self) -> Iterator[Metric]:
        written, missing, waiting = self._audit.written, self._audit.missing, self._audit.waiting
        yield _counter("audit_lines_written", "Lines written to the audit.", written)
        yield _counter("audit_lines_missing", "Lines the audit had no room for.", missing)
        yield _gauge("audit_lines_waiting", "Lines not written to the audit yet.", waiting)

    def _of_webhooks(self, webhooks: Webhooks) -> Iterator[Metric]:
        what = "Call events that clients have not been told yet."
        yield _gauge("webhook_events_waiting", what, webhooks.waiting)
        what = "Whether the file of BRIDGE_WEBHOOKS_DB can be read and written."
        yield _gauge("webhook_file_up", what, webhooks.well)


def _gauge(name: str, what: str, value: float) -> Metric:
    return GaugeMetricFamily(f"whisper_bridge_{name}", what, value)


def _counter(name: str, what: str, value: float) -> Metric:
    return CounterMetricFamily(f"whisper_bridge_{name}", what, value)


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()
