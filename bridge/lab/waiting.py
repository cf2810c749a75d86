"""Ways to wait for what has not happened yet, always with a limit, never by guessing how long."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Generic, TypeVar

from bridge.lab.errors import LabError

Entry = TypeVar("Entry")


async def until(happened: Callable[[], bool], what: str, *, within: float, every: float) -> None:
    """Look again and again until something that cannot tell us has happened.

    Args:
        happened: looks.
        what: what is waited for, for the error's message.
        within: seconds in all.
        every: seconds between two looks.

    Raises:
        LabError: it did not happen in time.
    """
    try:
        async with asyncio.timeout(within):
            while True:
                if happened():
                    return
                await asyncio.sleep(every)
    except TimeoutError as error:
        raise LabError(f"{what}: not within {within:g} s") from error


class Journal(Generic[Entry]):
    """An ever longer list that can be waited on.

    A wait starts at a mark, so that it sees what happened between the deed and the wait and never
    takes an older entry for the answer.
    """

    def __init__(self) -> None:
        """Start empty."""
        self.entries: list[Entry] = []
        self._grown = asyncio.Event()

    def mark(self) -> int:
        """Return where the journal ends now, to be given to `wait` as `since`."""
        return len(self.entries)

    def add(self, entry: Entry) -> None:
        """Write an entry and wake whoever waits."""
        self.entries.append(entry)
        self._grown.set()
        self._grown = asyncio.Event()

    def find(self, wanted: Callable[[Entry], bool], *, since: int = 0) -> Entry | None:
        """Return the first entry from mark `since` on that is wanted, None if there is none."""
        return next((entry for entry in self.entries[since:] if wanted(entry)), None)

    async def follow(self, since: int) -> AsyncIterator[Entry]:
        """Yield the entries from mark `since` on, and go on with each as it is written."""
        while True:
            grown = self._grown
            while since < self.mark():
                yield self.entries[since]
                since += 1
            await grown.wait()

    async def wait(
        self, wanted: Callable[[Entry], bool], what: str, *, within: float, since: int = 0
    ) -> Entry:
        """Return the first entry from mark `since` on that is wanted, as soon as there is one.

        Args:
            wanted: says whether an entry is the one.
            what: what is waited for, for the error's message.
            within: seconds.
            since: a mark; the beginning if not given.

        Raises:
            LabError: it did not come in time.
        """
        try:
            async with asyncio.timeout(within):
                while (entry := self.find(wanted, since=since)) is None:
                    await self._grown.wait()
        except TimeoutError as error:
            raise LabError(f"{what}: not within {within:g} s") from error
        return entry
