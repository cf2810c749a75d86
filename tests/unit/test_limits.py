"""Token buckets: how much goes through, how long to wait, how little is kept."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.limits import Buckets

RATES = st.floats(0.01, 1000)
BURSTS = st.integers(1, 50)
STEPS = st.lists(st.floats(0, 5), max_size=200)


def test_a_burst_then_the_rate() -> None:
    buckets = Buckets(rate=2, burst=5)
    assert [buckets.take("a", 100.0) for _ in range(5)] == [0.0] * 5
    assert buckets.take("a", 100.0) == pytest.approx(0.5, abs=1e-4)
    assert buckets.take("a", 100.4) == pytest.approx(0.1, abs=1e-4)
    assert buckets.take("a", 100.5) == 0.0
    assert buckets.take("a", 100.5) > 0.0
    assert [buckets.take("a", 200.0) for _ in range(6)][4:] == [0.0, pytest.approx(0.5, abs=1e-4)]


def test_each_has_a_bucket_of_his_own() -> None:
    buckets = Buckets(rate=1, burst=1)
    assert buckets.take("a", 0.0) == 0.0
    assert buckets.take("b", 0.0) == 0.0
    assert buckets.take("a", 0.0) > 0.0


@given(RATES, BURSTS, STEPS)
def test_never_more_than_the_burst_and_the_rate(
    rate: float, burst: int, steps: list[float]
) -> None:
    buckets, now, through = Buckets(rate, burst), 1000.0, 0
    for step in steps:
        now += step
        through += buckets.take("a", now) == 0.0
    assert through <= burst + (now - 1000.0) * rate + 0.01


@given(RATES, BURSTS, STEPS)
def test_who_waits_as_long_as_he_is_told_goes_through(
    rate: float, burst: int, steps: list[float]
) -> None:
    buckets, now = Buckets(rate, burst), 1000.0
    for step in steps:
        now += step
        wait = buckets.take("a", now)
        if wait:
            assert wait <= 1 / rate + 1e-5
            now += wait + 1e-6
            assert buckets.take("a", now) == 0.0


@given(RATES, BURSTS, STEPS)
def test_who_is_slower_than_the_rate_never_waits(
    rate: float, burst: int, steps: list[float]
) -> None:
    buckets, now = Buckets(rate, burst), 1000.0
    for step in steps:
        now += 1 / rate + step
        assert buckets.take("a", now) == 0.0


def test_what_is_given_back_can_be_taken_again() -> None:
    buckets = Buckets(rate=1, burst=2)
    for _ in range(10):
        assert buckets.take("a", 0.0) == 0.0
        buckets.give_back("a")
    assert buckets.take("a", 0.0) == 0.0
    assert buckets.take("a", 0.0) == 0.0
    assert buckets.take("a", 0.0) > 0.0
    buckets.give_back("nobody")
    assert len(buckets) == 1


@given(st.integers(1, 40), st.lists(st.tuples(st.integers(0, 200), st.floats(0, 0.3))))
def test_what_is_kept_is_bounded(kept: int, visits: list[tuple[int, float]]) -> None:
    buckets, now = Buckets(rate=1, burst=3, kept=kept), 0.0
    for key, step in visits:
        now += step
        buckets.take(key, now)
        assert len(buckets) <= kept


def test_strangers_do_not_wash_a_busy_ones_bucket_away() -> None:
    buckets = Buckets(rate=1, burst=10, kept=100)
    for _ in range(10):
        assert buckets.take("busy", 0.0) == 0.0
    for stranger in range(10_000):
        buckets.take(stranger, 0.0)
    assert buckets.take("busy", 0.0) > 0.0


@pytest.mark.parametrize(("rate", "burst", "kept"), [(0, 1, 1), (-1, 1, 1), (1, 0.5, 1), (1, 1, 0)])
def test_a_bucket_without_room_or_rate_is_refused(rate: float, burst: float, kept: int) -> None:
    with pytest.raises(ValueError, match="a bucket needs a rate and room for one token"):
        Buckets(rate, burst, kept)
