"""What a client prefers, however it writes it, and what is passed over."""

import time

import pytest

from bridge.uapi import LONGEST_PREFERRED, parse_wait


@pytest.mark.parametrize(
    ("fields", "seconds"),
    [
        pytest.param(["wait=26"], 26, id="plain"),
        pytest.param(["WAIT = 26"], 26, id="spaces and capitals"),
        pytest.param(["wait=0026"], 26, id="leading zeros"),
        pytest.param(['wait="26"'], 26, id="quoted"),
        pytest.param(["respond-async, wait=26"], 26, id="after another"),
        pytest.param(['note="a, wait=1", wait=26'], 26, id="a comma in quotes parts nothing"),
        pytest.param(['note="a \\", wait=1", wait=26'], 26, id="nor a quote that is escaped"),
        pytest.param(["return=minimal; wait=1, wait=26"], 26, id="a parameter is no preference"),
        pytest.param(["wait=26; foo=bar"], 26, id="parameters of its own"),
        pytest.param(["respond-async", "wait=26"], 26, id="two headers"),
        pytest.param([", ,wait=26,"], 26, id="empty elements"),
        pytest.param(["???, wait=26"], 26, id="after what is none"),
        pytest.param(["wait=26, wait=1"], 26, id="of two the first"),
        pytest.param(["wait=51"], LONGEST_PREFERRED, id="too long"),
        pytest.param(["wait=" + "9" * 8000], LONGEST_PREFERRED, id="far too long"),
    ],
)
def test_how_long_a_client_would_wait(fields: list[str], seconds: int) -> None:
    assert parse_wait(fields) == seconds


@pytest.mark.parametrize(
    "field",
    [
        *("", "respond-async", "waits=5", "await=5", "return=minimal", "wait", "wait=", 'wait=""'),
        *(
            "wait=0",
            "wait=00",
            "wait=-1",
            "wait=+5",
            "wait=5.5",
            "wait=5s",
            "wait=1e3",
            "wait=\u0665",
        ),
        *("wait=soon", "wait=5 6", 'wait="5', "wait:5", "wait==5", "x wait=5", "wait='5'"),
        *("wait=soon, wait=5", '"wait=5', 'note="wait=5"', "\x00wait=5", "wait=5\udcff"),
    ],
)
def test_what_is_none_is_passed_over(field: str) -> None:
    assert parse_wait([field]) is None


@pytest.mark.parametrize(
    "field",
    ['"' * 8000, 'a="\\' * 2000, "wait=" + " " * 8000 + '"', " \t" * 4000 + "\x00", "a=;" * 2600],
)
def test_it_is_read_in_no_time(field: str) -> None:
    began = time.perf_counter()
    assert parse_wait([field]) is None
    assert time.perf_counter() - began < 0.1
