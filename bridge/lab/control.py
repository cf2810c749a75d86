"""The remote control of a baresip: commands there, events back.

It is baresip's ctrl_tcp: JSON in netstrings, over one connection (baresip 1.0.0,
modules/ctrl_tcp/ctrl_tcp.c).
"""

import asyncio
import contextlib
import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bridge.lab.errors import LabError
from bridge.lab.waiting import Journal

_ANSWER_LIMIT = 5.0


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


class Control:
    """The connection to a baresip's ctrl_tcp.

    Raises:
        LabError: from every method, when baresip refuses, is silent or has gone.
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
        self._responses: Journal[dict[str, Any]] = Journal()
        self._sent = 0
        self._reading = asyncio.create_task(self._read())

    @classmethod
    async def connect(
        cls,
        port: int,
        events: Journal[PhoneEvent],
        *,
        still_alive: Callable[[], None],
        within: float = 10,
    ) -> "Control":
        """Connect to a baresip that is just starting.

        Args:
            port: the TCP port on 127.0.0.1 it will listen on.
            events: where to write what it reports.
            still_alive: raises when there is no more hope.
            within: seconds.
        """
        try:
            async with asyncio.timeout(within):
                while True:
                    still_alive()
                    with contextlib.suppress(OSError):
                        return cls(*await asyncio.open_connection("127.0.0.1", port), events)
                    await asyncio.sleep(0.01)
        except TimeoutError as error:
            raise LabError(f"baresip does not listen after {within:g} s") from error

    async def do(self, command: str, params: str) -> str:
        """Run a command of baresip's menu and return what it printed."""
        if self._reading.done():
            raise LabError("baresip has gone")
        self._sent += 1
        token = str(self._sent)
        fields = {"command": command, "token": token, **({"params": params} if params else {})}
        text = json.dumps(fields).encode()
        self._writer.write(b"%d:%s," % (len(text), text))
        try:
            await asyncio.wait_for(self._writer.drain(), _ANSWER_LIMIT)
        except (OSError, TimeoutError) as error:
            raise LabError(f"baresip has gone: {error}") from error
        response = await self._responses.wait(
            lambda r: r.get("token") == token,
            f"baresip's answer to {command}",
            within=_ANSWER_LIMIT,
        )
        if not response["ok"]:
            raise LabError(f"baresip refused {command}: {response['data'].strip()}")
        return str(response["data"])

    async def close(self) -> None:
        """End the connection; baresip goes on."""
        self._reading.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._reading
        self._writer.close()
        with contextlib.suppress(OSError, TimeoutError):
            await asyncio.wait_for(self._writer.wait_closed(), 1)

    async def _read(self) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while True:
                size = int((await self._reader.readuntil(b":"))[:-1])
                text = await self._reader.readexactly(size + 1)
                self._deliver(json.loads(text[:-1].decode(errors="replace")))

    def _deliver(self, message: dict[str, Any]) -> None:
        if message.get("response"):
            self._responses.add(message)
            return
        self._events.add(
            PhoneEvent(
                at=time.monotonic(),
                type=message.get("type", ""),
                call_id=message.get("id", ""),
                direction=message.get("direction", ""),
                number=_user(message.get("peeruri", "")),
                name=_unquoted(message.get("peerdisplayname", "")),
                param=message.get("param", ""),
            )
        )


def _unquoted(name: str) -> str:
    """Return a display name without the backslashes of its quoted pairs (RFC 3261, 25.1)."""
    return re.sub(r"\\(.)", r"\1", name)


def _user(uri: str) -> str:
    """Return who a SIP URI names: of `sip:0003*210@127.0.0.1:5060` it is `0003*210`."""
    return uri.partition(":")[2].partition("@")[0]
