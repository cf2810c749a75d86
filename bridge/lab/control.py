"""The remote control of a phone: commands there, events back.

It is what baresip's ctrl_tcp speaks: JSON in netstrings (baresip 1.0.0,
modules/ctrl_tcp/ctrl_tcp.c).
"""

import asyncio
import contextlib
import json
import re
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Self, TypeAlias

from bridge.lab.errors import LabError
from bridge.lab.waiting import Journal

_ANSWER_LIMIT = 5.0

Message: TypeAlias = dict[str, Any]
"""What one netstring holds: a command, the response to one, or an event."""
Connecting: TypeAlias = Coroutine[Any, Any, tuple[asyncio.StreamReader, asyncio.StreamWriter]]


@dataclass(frozen=True)
class PhoneEvent:
    """Something baresip reported.

    Attributes:
        at: when, on `time.monotonic()`.
        type: baresip's name for it, e.g. `CALL_INCOMING` or `REGISTER_OK`.
        call_id: the SIP Call-ID, if it is about a call.
        direction: `incoming` or `outgoing`, if it is about a call.
        number: the other party's number as this phone shows it.
        name: the other party's name as this phone shows it.
        param: what more there is, e.g. the reason of `CALL_CLOSED`.
    """

    at: float
    type: str
    call_id: str = ""
    direction: str = ""
    number: str = ""
    name: str = ""
    param: str = ""

    @classmethod
    def parse(cls, message: Message) -> Self:
        """Read what a phone reports just now."""
        return cls(
            at=time.monotonic(),
            type=message.get("type", ""),
            call_id=message.get("id", ""),
            direction=message.get("direction", ""),
            number=_user(message.get("peeruri", "")),
            name=_unquoted(message.get("peerdisplayname", "")),
            param=message.get("param", ""),
        )

    def message(self) -> Message:
        """The same as a phone reports it; `parse` reads it."""
        return {
            "event": True,
            "type": self.type,
            "id": self.call_id,
            "direction": self.direction,
            "peeruri": f"sip:{self.number}",
            "peerdisplayname": _quoted(self.name),
            "param": self.param,
        }


def netstring(message: Message) -> bytes:
    """Wrap a message for the wire."""
    text = json.dumps(message).encode()
    return b"%d:%s," % (len(text), text)


async def read_netstring(reader: asyncio.StreamReader) -> Message:
    """Return the next message; raises IncompleteReadError at the end and ValueError for rubbish."""
    size = int((await reader.readuntil(b":"))[:-1])
    text = await reader.readexactly(size + 1)
    message: Message = json.loads(text[:-1].decode(errors="replace"))
    return message


class Control:
    """The connection to what controls a phone.

    Raises:
        LabError: from every method, when the phone refuses, is silent or has gone.
    """

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        events: Journal[PhoneEvent],
    ) -> None:
        """Take over a connection; `connect` is what makes one."""
        self._reader = reader
        self._writer = writer
        self._events = events
        self._waiting: dict[str, asyncio.Future[Message]] = {}
        self._sent = 0
        self._reading = asyncio.create_task(self._read())

    @classmethod
    async def connect(
        cls,
        connecting: Callable[[], Connecting],
        events: Journal[PhoneEvent],
        *,
        still_alive: Callable[[], None],
        within: float = 10,
    ) -> "Control":
        """Connect to a phone that may be just starting.

        Args:
            connecting: opens a connection; called again and again until it succeeds.
            events: where to write what the phone reports.
            still_alive: raises when there is no more hope.
            within: seconds.
        """
        try:
            async with asyncio.timeout(within):
                while True:
                    still_alive()
                    with contextlib.suppress(OSError):
                        return cls(*await connecting(), events)
                    await asyncio.sleep(0.01)
        except TimeoutError as error:
            raise LabError(f"the phone's control does not listen after {within:g} s") from error

    async def do(self, command: str, params: str) -> str:
        """Run a command of baresip's menu and return what it printed."""
        if self._reading.done():
            raise LabError("the phone has gone")
        self._sent += 1
        token = str(self._sent)
        response = self._waiting[token] = asyncio.get_running_loop().create_future()
        fields = {"command": command, "token": token, **({"params": params} if params else {})}
        self._writer.write(netstring(fields))
        try:
            async with asyncio.timeout(_ANSWER_LIMIT):
                await self._writer.drain()
                return _printed(command, await response)
        except TimeoutError as error:
            raise LabError(f"no answer to {command} within {_ANSWER_LIMIT:g} s") from error
        except OSError as error:
            raise LabError(f"the phone has gone: {error}") from error
        finally:
            del self._waiting[token]

    async def close(self) -> None:
        """End the connection; the phone goes on."""
        self._reading.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._reading
        self._writer.close()
        with contextlib.suppress(OSError, TimeoutError):
            await asyncio.wait_for(self._writer.wait_closed(), 1)

    async def _read(self) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while True:
                self._deliver(await read_netstring(self._reader))

    def _deliver(self, message: Message) -> None:
        if not message.get("response"):
            self._events.add(PhoneEvent.parse(message))
            return
        waiting = self._waiting.get(message.get("token", ""))
        if waiting is not None and not waiting.done():
            waiting.set_result(message)


def _printed(command: str, response: Message) -> str:
    """Return what a command printed; raises LabError if it was refused."""
    if not response["ok"]:
        raise LabError(f"the phone refused {command}: {response['data'].strip()}")
    return str(response["data"])


def _quoted(name: str) -> str:
    """Return a display name as it stands between quotes (RFC 3261, 25.1)."""
    return re.sub(r'(["\\])', r"\\\1", name)


def _unquoted(name: str) -> str:
    """Return a display name without the backslashes of its quoted pairs (RFC 3261, 25.1)."""
    return re.sub(r"\\(.)", r"\1", name)


def _user(uri: str) -> str:
    """Return who a SIP URI names: of `sip:0003*210@127.0.0.1:5060` it is `0003*210`."""
    return uri.partition(":")[2].partition("@")[0]
