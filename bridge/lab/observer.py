"""The lab's own eyes and hands on Asterisk: a plain AMI client that sees and may do everything.

It shares no code with the bridge, so that a mistake there is not repeated here.
"""

import asyncio
import contextlib
from collections.abc import Callable
from types import TracebackType
from typing import Self

from bridge.lab.errors import LabError
from bridge.lab.waiting import Journal

Message = dict[str, str]
"""One AMI message; of a repeated header the last value."""


class Observer:
    """A logged-in AMI connection; `events` has every event since then.

    Raises:
        LabError: from every method, when Asterisk refuses, is silent or has gone.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take over a connection; `connect` is what makes a logged-in one."""
        self.events: Journal[Message] = Journal()
        self._responses: Journal[Message] = Journal()
        self._reader = reader
        self._writer = writer
        self._sent = 0
        self._reading = asyncio.create_task(self._read())

    @classmethod
    async def connect(cls, port: int, secret: str, *, user: str = "lab") -> "Observer":
        """Connect to AMI on this machine and log in.

        Args:
            port: AMI's TCP port.
            secret: the user's secret.
            user: the AMI user.
        """
        try:
            async with asyncio.timeout(5):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
        except (OSError, TimeoutError) as error:
            raise LabError(f"no AMI on port {port}: {error}") from error
        observer = cls(reader, writer)
        try:
            await observer.action("Login", Username=user, Secret=secret)
        except BaseException:
            await observer.close()
            raise
        return observer

    async def __aenter__(self) -> Self:
        """Return itself."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the connection."""
        await self.close()

    async def action(self, name: str, **headers: str) -> Message:
        """Run an AMI action and return its response.

        Args:
            name: the action.
            headers: its headers; a trailing underscore is dropped, so `Async_` is not a keyword.

        Raises:
            LabError: it was refused or not answered within 5 s.
        """
        response = await self._ask(name, **headers)
        if response.get("Response") == "Error":
            raise LabError(f"AMI refused {name}: {response.get('Message', '')}")
        return response

    async def rows(self, name: str, **headers: str) -> list[Message]:
        """Run an AMI action that answers with a list and return the list's events."""
        mark = self.events.mark()
        response = await self.action(name, **headers)
        mine = response["ActionID"]
        await self.event(
            lambda e: e.get("ActionID") == mine and e.get("EventList") == "Complete",
            f"the end of {name}",
            since=mark,
        )
        found = [e for e in self.events.entries[mark:] if e.get("ActionID") == mine]
        return [e for e in found if e.get("EventList") != "Complete"]

    async def event(
        self,
        wanted: Callable[[Message], bool],
        what: str,
        *,
        within: float = 5,
        since: int = 0,
    ) -> Message:
        """Return the first event from mark `since` on that is wanted."""
        return await self.events.wait(wanted, what, within=within, since=since)

    async def close(self) -> None:
        """End the connection."""
        self._reading.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._reading
        self._writer.close()
        with contextlib.suppress(OSError, TimeoutError):
            await asyncio.wait_for(self._writer.wait_closed(), 1)

    async def _ask(self, name: str, **headers: str) -> Message:
        if self._reading.done():
            raise LabError("AMI has gone")
        self._sent += 1
        action_id = f"lab-{self._sent}"
        fields = {"Action": name, "ActionID": action_id, **headers}
        lines = [f"{key.rstrip('_')}: {value}\r\n" for key, value in fields.items()]
        self._writer.write("".join((*lines, "\r\n")).encode())
        try:
            await asyncio.wait_for(self._writer.drain(), 5)
        except (OSError, TimeoutError) as error:
            raise LabError(f"AMI has gone: {error}") from error
        return await self._responses.wait(
            lambda r: r.get("ActionID") == action_id, f"an answer to {name}", within=5
        )

    async def _read(self) -> None:
        message: Message = {}
        with contextlib.suppress(OSError, ValueError):
            # The first line is AMI's banner: it has no colon and so leaves nothing behind.
            while line := await self._reader.readline():
                key, colon, value = line.decode(errors="replace").rstrip("\r\n").partition(": ")
                if key and colon:
                    message[key] = value
                elif not key and message:
                    self._deliver(message)
                    message = {}

    def _deliver(self, message: Message) -> None:
        # OriginateResponse has a Response header as well: it is an event all the same.
        journal = self.events if "Event" in message else self._responses
        journal.add(message)
