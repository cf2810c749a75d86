"""How much is done between a request and the Originate: a supervisor waits for all of it.

Work is counted, not time, so the count is the same on every machine. With the caches gone cold
between two requests, a call of a function costs one to two microseconds; what may follow the
Originate (logs, the audit, metrics) is to follow it: see ``bridge.reporting``.
"""

import sys
from collections import Counter
from dataclasses import dataclass, field
from types import FrameType

from bridge.api.middlewares import logged
from tests.support.pbx import FakePbx

from .house import House

MOST_CALLS = 250
"""Functions called between the outermost middleware and the link, aiohttp's included.

Before this is raised: can it be done after the Originate, once at the start, or in a call that is
there already?
"""

WAITS = frozenset({"_run_once", "select"})
"""What runs when the event loop takes over."""


@dataclass
class Way:
    """The functions that are called from a request's first line to the Originate."""

    calls: list[str] = field(default_factory=list)
    under_way: bool | None = None

    def __call__(self, frame: FrameType, event: str, argument: object) -> None:
        """Take in what the interpreter is about to do."""
        if event != "call":
            return
        if frame.f_code is FakePbx.send.__code__ and self.under_way:
            self.under_way = False
        elif frame.f_code is logged.__code__ and self.under_way is None:
            self.under_way = True
        if self.under_way:
            self.calls.append(frame.f_code.co_qualname)


async def test_a_whisper_is_asked_for_with_little_work(house: House) -> None:
    await house.get(house.path(house.call_id))
    way = Way()
    sys.setprofile(way)
    try:
        answer = await house.put()
    finally:
        sys.setprofile(None)
    assert answer.status == 202
    assert way.under_way is False
    assert {"TokenBook.verify", "originate_spy"} <= set(way.calls)
    assert not [name for name in way.calls if name.rpartition(".")[2] in WAITS], "it waits"
    most = Counter(way.calls).most_common(12)
    assert len(way.calls) <= MOST_CALLS, f"{len(way.calls)} calls; the most frequent: {most}"
