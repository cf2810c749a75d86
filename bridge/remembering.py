"""Writes memos on the channels of calls that changed: soon, in one go, and only what is new."""

import asyncio
import logging

from bridge import actions
from bridge.actions import Pbx
from bridge.calls import Picture
from bridge.channels import Channel
from bridge.errors import PbxUnavailable
from bridge.memory import pack_leg

log = logging.getLogger(__name__)

DELAY = 0.002
"""Seconds after a change: the events of one moment arrive together."""

AT_ONCE = 20
"""Variables under way at a time: whispers on the same link must not wait behind thousands."""


class Remembering:
    """Keeps the memos of one picture's channels."""

    def __init__(self, pbx: Pbx, picture: Picture) -> None:
        self._pbx = pbx
        self._picture = picture
        self._task: asyncio.Task[None] | None = None

    def changed(self) -> None:
        """Have the memos of the calls that were touched written soon."""
        if self._picture.touched and (self._task is None or self._task.done()):
            self._task = asyncio.get_running_loop().create_task(self._write_soon())

    async def close(self) -> None:
        """Stop writing."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _write_soon(self) -> None:
        await asyncio.sleep(DELAY)
        while self._picture.touched:
            legs = [leg for call in self._picture.take_touched() for leg in call.legs_to_remember()]
            for first in range(0, len(legs), AT_ONCE):
                await asyncio.gather(*map(self._write, legs[first : first + AT_ONCE]))

    async def _write(self, leg: Channel) -> None:
        if leg.call is None:
            return
        value = pack_leg(leg.call.memo(), leg.memo())
        if value == leg.remembered:
            return
        leg.remembered = value
        try:
            await self._pbx.send(actions.remember(leg.uniqueid, value))
        except PbxUnavailable:
            # After the gap every call is touched again.
            leg.remembered = ""
