"""What is measured, and that no label can hold what somebody sent."""

import asyncio
import time
from dataclasses import dataclass

import pytest
from prometheus_client.parser import text_string_to_metric_families

from bridge.events import Seen
from bridge.happenings import (
    Adopted,
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
from bridge.metrics import Metrics
from bridge.metrics.meters import MOST_ATTEMPTS
from bridge.model import Asker, CallerId, Mode
from bridge.service import Service
from bridge.whisper import Reason, Session
from tests.support.directory import AGENT, DIRECTORY, SUPERVISOR
from tests.support.happenings import UP, seen
from tests.support.pbx import FakePbx
from tests.support.scene import AGENT_LEG, EPOCH, scene
from tests.support.timing import in_virtual_time

ASKER = Asker("panel", "12", "10.0.0.9", "c0ffee")
SESSION = Session(
    leg="whisper-1",
    target="1.2",
    call_id="ca11",
    extension=AGENT,
    supervisor=SUPERVISOR,
    caller_id=CallerId("", "42420042"),
    mode=Mode.WHISPER,
    options="uqwES",
    deadline=None,
    asker=ASKER,
)
ENDED = Ended(
    Session(
        **{name: getattr(SESSION, name) for name in SESSION.__slots__ if name != "reason"},
        reason=Reason.COMPLETED,
    )
)


@dataclass
class Link:
    """A link as it is measured."""

    messages: int = 100
    silence: float = 0.5


@dataclass
class Audit:
    """An audit as it is measured."""

    written: int = 7
    missing: int = 2
    waiting: int = 1


@dataclass
class Webhooks:
    """Webhooks as they are measured."""

    waiting: int = 5
    well: bool = True


def told(metrics: Metrics, *happenings: tuple[Happening, float]) -> None:
    for happening, seconds in happenings:
        metrics(happening, Moment(EPOCH + seconds, seconds))


def samples(metrics: Metrics) -> dict[str, float]:
    """Every sample, by its name and labels as they are written."""
    text = metrics.text("")[0].decode()
    return {
        _written(sample.name, sample.labels): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if not sample.name.endswith("_created")
    }


def _written(name: str, labels: dict[str, str]) -> str:
    name = name.removeprefix("whisper_bridge_")
    inner = ",".join(f'{key}="{value}"' for key, value in sorted(labels.items()))
    return f"{name}{{{inner}}}" if inner else name


def moved(metrics: Metrics, *happenings: tuple[Happening, float]) -> dict[str, float]:
    """The samples that change, and by how much; of histograms, sum and count."""
    before = samples(metrics)
    told(metrics, *happenings)
    return {
        name: round(value - before.get(name, 0.0), 3)
        for name, value in samples(metrics).items()
        if value != before.get(name, 0.0) and "_bucket{" not in name
        if not name.startswith(("process_", "python_"))
    }


def test_a_whisper_is_timed_from_the_attempt() -> None:
    changed = moved(
        Metrics(),
        (Attempted(ASKER, "Whisper", "0003*210", "ca11"), 10.0),
        (Decided(ASKER, "Whisper", "ca11", leg="whisper-1"), 10.001),
        (Requested(SESSION), 10.001),
        (Ringing(SESSION), 10.02),
        (Attached(SESSION, EPOCH + 12), 12.0),
        (Detached(SESSION), 72.0),
        (ENDED, 72.1),
    )
    assert changed == {
        'decisions_total{action="Whisper",outcome="allowed"}': 1,
        "ringing_seconds_count": 1,
        "ringing_seconds_sum": 0.02,
        "attached_seconds_count": 1,
        "attached_seconds_sum": 2,
        "whisper_seconds_count": 1,
        "whisper_seconds_sum": 60,
        'whispers_ended_total{reason="completed"}': 1,
    }


def test_one_that_ends_without_letting_go_first_is_timed_all_the_same() -> None:
    changed = moved(
        Metrics(),
        (Requested(SESSION), 0),
        (Attached(SESSION, EPOCH), 1),
        (ENDED, 31),
    )
    assert changed["whisper_seconds_sum"] == 30
    assert changed["attached_seconds_sum"] == 1


def test_one_that_was_under_way_before_is_counted_and_not_timed() -> None:
    changed = moved(
        Metrics(),
        (Adopted(SESSION), 0),
        (Attached(SESSION, EPOCH - 100), 0),
        (ENDED, 5),
    )
    assert changed == {'whispers_ended_total{reason="completed"}': 1}


def test_the_same_whisper_asked_for_again_is_timed_from_the_first_time() -> None:
    changed = moved(
        Metrics(),
        (Decided(ASKER, "Whisper", "ca11", leg="whisper-1"), 1),
        (Decided(ASKER, "Whisper", "ca11", leg="whisper-1"), 5),
        (Ringing(SESSION), 6),
    )
    assert changed["ringing_seconds_sum"] == 5


def test_decisions_by_code() -> None:
    changed = moved(
        Metrics(),
        (Decided(ASKER, "Whisper", "ca11", code="access_denied"), 0),
        (Decided(ASKER, "0003*210", "ca11", code="request_invalid"), 0),
        (Decided(ASKER, "", "ca11", code="access_denied"), 0),
    )
    assert changed == {
        'decisions_total{action="Whisper",outcome="access_denied"}': 1,
        'decisions_total{action="other",outcome="access_denied"}': 1,
        'decisions_total{action="other",outcome="request_invalid"}': 1,
    }


ELSE: tuple[tuple[Happening, float], ...] = (
    (WrongTarget(SESSION, "9.9"), 0),
    (TakenOver(SESSION, "8.1"), 0),
    (TokenAsked(ASKER), 0),
    (TokenAsked(ASKER, "invalid_client"), 0),
    (ModeChanged(SESSION, "whisper", ASKER), 0),
    (ModeChanged(SESSION, "whisper"), 0),
    (Linked(frozenset()), 0),
    (Unlinked(), 0),
    (Responded("/uapi/phoneCalls/{userId}/{extension}/", "GET", 200, 0.25), 0),
    (Responded("/uapi/phoneCalls/{userId}/{extension}", "GET", 204, 0.25), 0),
    (Responded("/stream", "GET", 200, None), 0),
    (Happening(), 0),
)


def everything_told() -> Metrics:
    """Metrics with a sample of each kind."""
    metrics = Metrics()
    metrics.watch(Service(DIRECTORY, FakePbx()), Link(), Audit(), Webhooks())
    metrics.answered("Originate", 0.004)
    told(
        metrics,
        (Decided(ASKER, "Whisper", "ca11", leg="whisper-1"), 0),
        (Ringing(SESSION), 1),
        (Attached(SESSION, EPOCH), 2),
        (ENDED, 3),
        *ELSE,
    )
    return metrics


def test_everything_else_that_is_counted() -> None:
    changed = moved(Metrics(), *ELSE)
    route = 'route="/uapi/phoneCalls/{userId}/{extension}"'
    assert changed == {
        'alarms_total{kind="wrong_target"}': 1,
        'alarms_total{kind="taken_over"}': 1,
        'tokens_total{outcome="issued"}': 1,
        'tokens_total{outcome="invalid_client"}': 1,
        'mode_changes_total{by="api",mode="whisper"}': 1,
        'mode_changes_total{by="key",mode="whisper"}': 1,
        "link_established_total": 1,
        "link_lost_total": 1,
        f'http_requests_total{{method="GET",{route},status="200"}}': 1,
        f'http_requests_total{{method="GET",{route},status="204"}}': 1,
        'http_requests_total{method="GET",route="/stream",status="200"}': 1,
        f'http_request_seconds_count{{method="GET",{route}}}': 2,
        f'http_request_seconds_sum{{method="GET",{route}}}': 0.5,
    }


def test_alarms_and_ends_are_there_from_the_beginning() -> None:
    """So that a first one is a rise from zero, which is what alerts look for."""
    found = samples(Metrics())
    assert found['alarms_total{kind="wrong_target"}'] == 0
    assert {name for name in found if name.startswith("whispers_ended_total")} == {
        f'whispers_ended_total{{reason="{reason.name.lower()}"}}' for reason in Reason
    }


def test_attempts_whose_client_went_are_not_kept_for_ever() -> None:
    metrics = Metrics()
    for number in range(3 * MOST_ATTEMPTS):
        asker = Asker(request=str(number))
        told(metrics, (Attempted(asker, "Whisper", "0003*210", "ca11"), number))
    assert len(metrics._meters._asked) <= MOST_ATTEMPTS


def test_no_label_holds_what_somebody_sent() -> None:
    metrics = Metrics()
    secret = Asker("secret-app", "secret-user", "secret-address", "secret-request")
    told(
        metrics,
        (Attempted(secret, "secret", "secret", "secret", "secret", "secret"), 0),
        (Decided(secret, "secret", "secret", code="access_denied"), 0),
        (Requested(SESSION), 0),
        (Ringing(SESSION), 0),
        (Attached(SESSION, EPOCH), 0),
        (ENDED, 1),
    )
    text = metrics.text("")[0].decode()
    sent = ("secret", "0003*", "4242", "ca11", "whisper-1", "panel", "10.0.0.9", "c0ffee")
    assert [word for word in sent if word in text] == []


def test_how_webhooks_are_is_looked_up() -> None:
    metrics, webhooks = Metrics(), Webhooks()
    metrics.watch(Service(DIRECTORY, FakePbx()), Link(), Audit(), webhooks)
    found = samples(metrics)
    assert (found["webhook_events_waiting"], found["webhook_file_up"]) == (5, 1)
    webhooks.well = False
    assert samples(metrics)["webhook_file_up"] == 0


@in_virtual_time
async def test_what_there_is_is_looked_up() -> None:
    metrics = Metrics()
    async with scene() as now:
        metrics.watch(now.service, Link(), Audit())
        call = now.talk()
        await now.attached(call)
        await now.ringing(call, sendCallTo="0003*025")
        now.service.following.subscribe(())
        found = samples(metrics)
        counted = sum(now.service.events.values())
        now.service.on_lost()
        assert samples(metrics)["link_up"] == 0
    assert found["link_up"] == 1
    assert found["link_silence_seconds"] == 0.5
    assert found["channels"] == 4
    assert found["calls"] == 1
    assert found['whispers{state="attached"}'] == 1
    assert found['whispers{state="ringing"}'] == 1
    assert found['supervisors{mode="whisper"}'] == 1
    assert found['supervisors{mode="barge"}'] == 0
    assert found["streams"] == 1
    assert found['whispers{state="detached"}'] == 0
    assert found['events_total{kind="spy_started"}'] == 1
    assert found['events_total{kind="other"}'] == 100 - counted
    assert found["audit_lines_written_total"] == 7
    assert "webhook_file_up" not in found
    assert found["audit_lines_missing_total"] == 2
    assert found["audit_lines_waiting"] == 1


@in_virtual_time
async def test_events_are_counted_by_kind() -> None:
    async with scene() as now:
        now.talk()
        before = dict(now.service.events)
        now.feed(seen(AGENT_LEG, UP), seen(AGENT_LEG, UP))
        assert now.service.events == before | {Seen: before[Seen] + 2}


async def test_the_lag_of_the_loop_is_measured() -> None:
    metrics = Metrics()
    task = asyncio.create_task(metrics.measure_lag())
    await asyncio.sleep(0.01)
    time.sleep(0.5)
    await asyncio.sleep(0.01)
    task.cancel()
    found = samples(metrics)
    assert found["loop_lag_seconds_count"] == 1
    assert 0.2 < found["loop_lag_seconds_sum"] < 2


def test_answers_of_the_pbx_are_timed() -> None:
    metrics = Metrics()
    metrics.answered("Originate", 0.004)
    assert samples(metrics)['ami_answer_seconds_sum{action="Originate"}'] == 0.004


@pytest.mark.parametrize(
    ("accept", "media_type", "end"),
    [
        ("", "text/plain; version=0.0.4", b"\n"),
        ("application/openmetrics-text; version=1.0.0", "application/openmetrics", b"# EOF\n"),
    ],
)
def test_the_format_is_the_one_that_is_preferred(accept: str, media_type: str, end: bytes) -> None:
    body, given = Metrics().text(accept)
    assert given.startswith(media_type)
    assert body.endswith(end)


def test_two_services_in_one_process_do_not_share_figures() -> None:
    one, other = Metrics(), Metrics()
    told(one, (Linked(frozenset()), 0))
    assert samples(one)["link_established_total"] == 1
    assert samples(other)["link_established_total"] == 0
