"""Has a supervisor take part in a call, and says what becomes of it or why nothing does."""

import argparse
import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, suppress
from typing import Final, NamedTuple, TypeAlias

from bridge.cli.remote import Exit, complain, said, visible
from bridge.client import (
    Board,
    Calls,
    ClientError,
    Connection,
    Cut,
    Lost,
    Target,
    Unreachable,
    supervisors_view,
)
from bridge.uapi import AcceptedBody, AttachedBody, PhoneCallBody

Picture: TypeAlias = PhoneCallBody | None
"""A call as it is, None when it is over."""

Asked: TypeAlias = "asyncio.Task[AttachedBody | AcceptedBody | None]"
"""What was asked of the service, answered or not yet."""


class _Mode(NamedTuple):
    """What the API calls it, and what is said of the supervisor."""

    action: str
    does: str


MODES: Final = {
    "whisper": _Mode("Whisper", "whispers to"),
    "monitor": _Mode("Monitor", "listens to"),
    "barge": _Mode("BargeIn", "has barged in on"),
}

MARGIN: Final = 2
"""Seconds after the phone has stopped ringing in which the service says that nobody picked up.
With them, as long as a phone rings by default, proxies who have 30 seconds' patience let it."""

GRACE: Final = 5.0
"""Seconds after the phone has stopped ringing in which he may still be on his way into the call,
and in which a service that was asked is heard of."""

_PAUSE: Final = 0.2


class TakingPart:
    """A supervisor who is to take part in the call of a target."""

    def __init__(
        self, connection: Connection, arguments: argparse.Namespace, target: Target
    ) -> None:
        self._arguments = arguments
        self._by: str = arguments.by
        self._target = target
        self._id = target.call.id
        self._calls = Calls(connection, target.view.extension)
        self._board = Board()

    async def run(self) -> int:
        """Ask for it, wait for what becomes of it, and return the exit code. Raises ClientError."""
        wait: int = self._arguments.wait
        until = asyncio.get_running_loop().time() + wait + GRACE
        if not self._takes_part(self._target.call):
            self._say(f"calling the phone of {self._by}, for {wait} s at most")
        asked: Asked = asyncio.create_task(self._calls.act(self._id, self._body(), wait + MARGIN))
        try:
            return await self._outcome(asked, until)
        except asyncio.CancelledError:
            if self._arguments.hang_up:
                await self._hang_up(asked)
            else:
                complain(f"what was asked for {self._by} stands, and goes on without this command")
            raise
        finally:
            asked.cancel()
            with suppress(asyncio.CancelledError, ClientError):
                await asked

    async def _outcome(self, asked: Asked, until: float) -> int:
        try:
            # Whoever is to be hung up is hung up before the answer is let go of.
            answer = await asyncio.shield(asked)
        except Cut as cut:
            complain(f"{cut}; whether {self._by} comes to take part is looked at instead")
            return await self._followed(until)
        if answer is None:
            return self._over()
        if answer.warning:
            complain(answer.warning)
        if isinstance(answer, AttachedBody):
            return await self._attached(answer)
        return await self._followed(until)

    async def _followed(self, until: float) -> int:
        """Look whether he takes part, where the service does not say why he does not."""
        soonest = asyncio.get_running_loop().time() + GRACE
        async with aclosing(self._pictures()) as pictures:
            try:
                async with asyncio.timeout_at(max(until, soonest)):
                    call = await _first(pictures, self._takes_part)
            except TimeoutError:
                return self._absent()
        return self._over() if call is None else await self._attached(call)

    async def _attached(self, call: PhoneCallBody) -> int:
        if self._arguments.json:
            print(json.dumps(call.body()), flush=True)
        does = MODES[self._arguments.mode].does
        self._say(f"{self._by} {does} {self._target.view.extension} in call {self._id}")
        if self._arguments.stay or self._arguments.hang_up:
            async with aclosing(self._pictures()) as pictures:
                await _first(pictures, lambda call: not self._takes_part(call))
            self._say(f"{self._by} takes part no more")
        return Exit.DONE

    async def _pictures(self) -> AsyncGenerator[Picture, None]:
        """Yield the call as it is, again and again while that is known; None when it is over."""
        async with aclosing(self._calls.follow(patiently=True)) as news:
            async for each in news:
                self._board.take(each)
                if isinstance(each, Lost):
                    complain(self._board.trouble)
                if self._board.complete:
                    yield self._board.calls.get(self._id)

    def _body(self) -> dict[str, object]:
        arguments = self._arguments
        body: dict[str, object] = {
            "action": MODES[arguments.mode].action,
            "sendCallTo": self._by,
            "phoneCallViewId": self._target.view.id,
            "waitForPickup": arguments.wait,
        }
        if arguments.mode == "whisper":
            body["private"] = int(arguments.private)
        if arguments.caller_id is not None:
            body["callerId"] = arguments.caller_id
        return body

    def _takes_part(self, call: PhoneCallBody) -> bool:
        return supervisors_view(call, self._target, self._by) is not None

    async def _hang_up(self, asked: Asked) -> None:
        try:
            async with asyncio.timeout(GRACE):
                ended = await self._ended(asked)
        except (ClientError, TimeoutError) as error:
            why = said(error, self._arguments) if isinstance(error, ClientError) else "no answer"
            complain(f"{self._by} could not be hung up: {why}")
        else:
            self._say(f"{self._by} is hung up" if ended else f"{self._by} took part no more")

    async def _ended(self, asked: Asked) -> bool:
        """End his part, which the service may not have heard of yet: what was asked overtakes."""
        while True:
            answered = asked.done()
            if await self._calls.hang_up(self._id, self._by):
                return True
            if answered:
                return False
            await asyncio.wait({asked}, timeout=_PAUSE)

    def _absent(self) -> int:
        if self._board.trouble:
            raise Unreachable(f"whether {self._by} takes part is not known: {self._board.trouble}")
        complain(
            f"{self._by} does not take part: busy, declined, not there, or not picked up within"
            f" {self._arguments.wait} s; the service does not say which"
        )
        return Exit.NOT_ATTACHED

    def _over(self) -> int:
        complain(f"the call of {self._target.view.extension} is over")
        return Exit.NO_CALL

    def _say(self, words: str) -> None:
        if not self._arguments.json:
            print(visible(words), flush=True)


async def _first(
    pictures: AsyncIterator[Picture], wanted: Callable[[PhoneCallBody], bool]
) -> Picture:
    """The call as soon as it is as wanted, None when it is over before."""
    async for call in pictures:
        if call is None or wanted(call):
            return call
    return None
