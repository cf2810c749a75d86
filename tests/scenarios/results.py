"""Writes what was observed: a page of rows against versions and channel technologies."""

from pathlib import Path

from .world import SCENES, World

PAGE = Path(__file__).with_name("RESULTS.md")
_OPENING = """# Every kind of call, as observed

Written by the test run (`pytest tests/scenarios`); do not edit. Each row was played with real
phones on real Asterisk. A line is a moment, and what the API showed of the calls then: of each view
its id, extension, status, flow, source > destination and callerId, then what else it has; calls are
separated by ` / `. Numbers are replaced by who has them. "Heard by" is measured by the tones that
the phones play; that neither customer nor stranger ever heard a supervisor is checked in every
row over its whole length.
"""


def write(worlds: list[World]) -> None:
    """Write the page."""
    kinds = [str(world.kind) for world in worlds]
    lines = [_OPENING, f"| scenario | {' | '.join(kinds)} |", f"|---|{'---|' * len(kinds)}"]
    for name in SCENES:
        marks = ["proven" if name in world.notes else "FAILED" for world in worlds]
        lines.append(f"| {name} | {' | '.join(marks)} |")
    for name in SCENES:
        lines += ["", f"## {name}", "", *_observed(name, worlds)]
    PAGE.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _observed(name: str, worlds: list[World]) -> list[str]:
    """The notes of a scenario, told once where the worlds agree."""
    told: dict[tuple[str, ...], list[str]] = {}
    for world in worlds:
        told.setdefault(tuple(world.notes.get(name, ("FAILED",))), []).append(str(world.kind))
    lines: list[str] = []
    for notes, kinds in told.items():
        lines += [f"{', '.join(kinds)}:", "", *(f"- {note}" for note in notes), ""]
    return lines[:-1]
