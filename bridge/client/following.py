"""A stream of calls followed for ever: over lost connections and restarts of the service."""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final

from pydantic import ValidationError

from bridge.client.connection import Connection
from bridge.client.errors import ClientError, Refused, Unreachable
from bridge.client.events import Event, Parser, events
from bridge.uapi import PhoneCallBody

PAUSE: Final = 2.0
"""Seconds before a stream that was lost is asked for again, unless the stream says otherwise."""

LONGEST_PAUSE: Final = 30.0
"""Seconds between two attempts in the end; each failure doubles the pause up to that."""


@dataclass(frozen=True, slots=True)
class News:
    """Something a stream told."""


@dataclass(frozen=True, slots=True)
class Begun(News):
    """A stream is there: what it tells first may be the whole picture anew."""


@dataclass(frozen=True, slots=True)
class Changed(News):
    """A call is like this now."""

    call: PhoneCallBody


@dataclass(frozen=True, slots=True)
class Ended(News):
    """The call with this id is not to be seen any more."""

    call_id: str


@dataclass(frozen=True, slots=True)
class Complete(News):
    """Every call there is has been told: so many."""

    total: int


@dataclass(frozen=True, slots=True)
class PbxAway(News):
    """The service cannot reach its PBX: what was told may not be so any more."""


@dataclass(frozen=True, slots=True)
class Lost(News):
    """The stream was lost, for this reason; it is asked for again in so many seconds."""

    reason: str
    seconds: float


@dataclass(slots=True)
class _Place:
    """Where in a stream a client is, and how it is to go on when that is lost."""

    last_id: str = ""
    pause: float = PAUSE
    failures: int = 0

    def after(self, error: ClientError | None) -> float:
        """Seconds to wait now that the stream was lost."""
        asked = error.retry_after if isinstance(error, Refused) else 0
        doubled = self.pause * float(1 << min(self.failures, 10))
        self.failures += 1
        return max(min(doubled, max(LONGEST_PAUSE, self.pause)), asked)


async def follow(
    connection: Connection, path: str, *, patiently: bool
) -> AsyncGenerator[News, None]:
    """Yield what the stream at ``path`` tells, and go on after what it told last when it is lost.

    Raises ClientError when there is no stream the first time, unless it is to be waited for
    ``patiently``, and whenever it is refused for a reason that does not pass.
    """
    place = _Place()
    begun = patiently
    while True:
        error: ClientError | None = None
        try:
            async with aclosing(_once(connection, path, place)) as news:
                async for each in news:
                    begun = True
                    yield each
        except ClientError as lost:
            if not begun or (isinstance(lost, Refused) and not lost.passing):
                raise
            error = lost
        seconds = place.after(error)
        yield Lost(str(error or "the service ended it"), seconds)
        await asyncio.sleep(seconds)


async def _once(connection: Connection, path: str, place: _Place) -> AsyncGenerator[News, None]:
    """Yield what one stream tells, until it ends. Raises ClientError."""
    parser = Parser()
    async with connection.stream(path, place.last_id) as reader:
        place.failures = 0
        yield Begun()
        try:
            async for event in events(reader.iter_any(), parser):
                if event.id is not None:
                    place.last_id = event.id
                if (news := _news(event)) is not None:
                    yield news
        except ValueError as error:
            raise Unreachable(f"the stream cannot be understood: {error}") from error
        finally:
            place.pause = PAUSE if parser.retry is None else parser.retry / 1000


def _news(event: Event) -> News | None:
    """What an event says, None for one that a client of today knows nothing of.

    Raises ValueError.
    """
    try:
        data = json.loads(event.data)
        if event.name == "phoneCall":
            return Changed(PhoneCallBody.model_validate(data))
        if event.name == "phoneCallEnded":
            return Ended(str(data["id"]))
        if event.name == "ready":
            return Complete(int(data["totalResults"]))
    except (ValidationError, KeyError, TypeError) as error:
        # The values may be callers' numbers.
        raise ValueError(f"{event.name} is not as the contract has it") from error
    return PbxAway() if event.name == "unavailable" else None
