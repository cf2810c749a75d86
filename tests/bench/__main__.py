"""``python -m tests.bench``: every figure, each compared with its rival in the same run."""

import asyncio
import json
import platform
import statistics
import subprocess
import sys
from datetime import date

from tests.bench import following, footprint, latency, telling
from tests.bench.readers import READERS

EVENTS = 200_000
ROUNDS = 5

Figures = dict[str, float]


def main() -> None:
    """Measure and print."""
    print(f"{date.today()}, Python {platform.python_version()}, {platform.machine()}\n")
    _throughput()
    _latency()
    _following()
    _telling()
    _footprint()


def _throughput() -> None:
    command = [sys.executable, "-m", "tests.bench.source", str(EVENTS)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as source:
        try:
            assert source.stdout is not None
            port, total = source.stdout.readline().split()
            rounds = [{name: _read(name, port) for name in READERS} for _ in range(ROUNDS)]
        finally:
            source.terminate()
    _print_throughput(rounds, int(total))


def _read(name: str, port: str) -> Figures:
    command = [sys.executable, "-m", "tests.bench.readers", name, port]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=400)
    figures: Figures = json.loads(done.stdout)
    return figures


def _print_throughput(rounds: list[dict[str, Figures]], total: int) -> None:
    print(f"{total} events; medians of {ROUNDS} rounds in turn")
    print("reader          events/s   CPU s   peak MB   x stock_all   x stock_needed   x floor")
    for name in READERS:
        rate = total / statistics.median(one[name]["seconds"] for one in rounds)
        cpu = statistics.median(one[name]["cpu"] for one in rounds)
        peak = statistics.median(one[name]["peak_mb"] for one in rounds)
        ratios = (_ratio(rounds, other, name) for other in ("stock_all", "stock_needed", "floor"))
        print(
            f"{name:14} {rate:9.0f} {cpu:7.2f} {peak:9.1f} "
            + "".join(f"{ratio:14.2f}" for ratio in ratios)
        )
    print()


def _ratio(rounds: list[dict[str, Figures]], slower: str, faster: str) -> float:
    """How many times as fast, round by round."""
    return statistics.median(one[slower]["seconds"] / one[faster]["seconds"] for one in rounds)


def _latency() -> None:
    print("PUT to INVITE, in turns with a raw Originate")
    latency.report(asyncio.run(latency.run()))
    print()


def _following() -> None:
    print(f"Event of the PBX to a client of the stream, at {following.PACE} events/s")
    following.report(asyncio.run(following.run()))
    print()


def _telling() -> None:
    print(f"With webhooks, at {following.PACE} events/s")
    telling.report(asyncio.run(telling.run()))
    print()


def _footprint() -> None:
    figures = footprint.measure()
    print(f"a live channel in the picture: {figures.per_channel:.0f} bytes")
    print(f"after {footprint.CYCLES} calls: {figures.left_over:+d} blocks of memory")


if __name__ == "__main__":
    main()
