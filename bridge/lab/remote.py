"""Phones that others run: shared by several users at once, over a Unix socket in their folder."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from bridge.lab.control import Control, Message, netstring, read_netstring
from bridge.lab.errors import LabError
from bridge.lab.handset import Handset, calls_up

SOCKET = "control"
"""Its name in the phone's folder."""


class RemotePhone(Handset):
    """A phone that somebody else runs and shares; its folder is where both have it.

    Use `async with RemotePhone(…) as phone:`. Of what was before, `events` tells which calls are
    up.
    """

    async def __aenter__(self) -> Self:
        """Connect to it. Raises LabError when it is not there."""
        path = self._directory / SOCKET
        try:
            reader, writer = await asyncio.open_unix_connection(path)
        except OSError as error:
            raise LabError(
                f"the phone of {self.number} is not running ({path}: {error})"
            ) from error
        self._control = Control(reader, writer, self.events)
        # The answer comes after the calls that are up: from here on they are known.
        await self.do("reginfo")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leave it; it goes on."""
        await self._let_go()


@asynccontextmanager
async def shared(phone: Handset, directory: Path) -> AsyncIterator[None]:
    """Share a phone with whoever can open its folder, as baresip's ctrl_tcp would with one user.

    Raises LabError when the socket cannot be made.
    """
    path = directory / SOCKET
    users: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        users.add(task)
        try:
            await _serve(phone, reader, writer)
        finally:
            users.discard(task)

    try:
        path.unlink(missing_ok=True)
        server = await asyncio.start_unix_server(serve, path)
    except OSError as error:
        raise LabError(f"cannot share the phone at {path}: {error}") from error
    try:
        yield
    finally:
        server.close()
        for user in users:
            user.cancel()
        await asyncio.gather(*users, return_exceptions=True)
        path.unlink(missing_ok=True)


async def _serve(
    phone: Handset, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    mark = phone.events.mark()
    for event in calls_up(phone.events.entries):
        writer.write(netstring(event.message()))
    telling = asyncio.create_task(_tell(phone, mark, writer))
    try:
        while True:
            command = await read_netstring(reader)
            writer.write(netstring(await _done(phone, command)))
            await writer.drain()
    except (OSError, ValueError, asyncio.IncompleteReadError):
        pass  # he has gone, or speaks something else
    finally:
        # Before anything is awaited, which may be cancelled.
        telling.cancel()
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def _tell(phone: Handset, mark: int, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        async for event in phone.events.follow(mark):
            writer.write(netstring(event.message()))
            await writer.drain()


async def _done(phone: Handset, command: Message) -> Message:
    """Do what a user commands and return the response to him."""
    response = {"response": True, "token": command.get("token", "")}
    try:
        printed = await phone.do(str(command.get("command", "")), str(command.get("params", "")))
    except LabError as error:
        return {**response, "ok": False, "data": str(error)}
    return {**response, "ok": True, "data": printed}
