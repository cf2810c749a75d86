"""Vouches, while somebody takes part in a call, that nothing of it has been missed.

The PBX tells everything in order: once it has answered, what happened before has been told of. A
bridge that is killed says nothing more, so the last answer is until when its word holds.
"""

import asyncio
from collections.abc import Callable, Coroutine, Sized

from bridge import actions
from bridge.actions import Pbx
from bridge.errors import PbxUnavailable
from bridge.happenings import Vouched
from bridge.reporting import Reporting

EVERY = 5.0
"""Seconds from one answer to the next question."""


class Vouching:
    """Vouches as long as there is a session in ``book``; ``spawn`` runs the task that does."""

    def __init__(
        self,
        pbx: Pbx,
        book: Sized,
        report: Reporting,
        spawn: Callable[[Coroutine[None, None, None]], "asyncio.Task[None]"],
    ) -> None:
        self._pbx = pbx
        self._book = book
        self._report = report
        self._spawn = spawn
        self._task: asyncio.Task[None] | None = None

    def attend(self) -> None:
        """Begin if there is something to vouch for."""
        if self._book and (self._task is None or self._task.done()):
            self._task = self._spawn(self._run())

    async def _run(self) -> None:
        while self._book:
            await asyncio.sleep(EVERY)
            try:
                answer = await self._pbx.send(actions.ping())
            except PbxUnavailable:
                continue
            if answer.success:
                self._report(Vouched())
