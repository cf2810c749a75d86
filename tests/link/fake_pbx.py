"""An AMI server on a real socket: it does what a test tells it and keeps what it was sent."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from bridge.lab.ports import free_tcp
from bridge.lab.waiting import Journal

USERNAME, SECRET = "whisper-bridge", "the-right-secret"
BANNER = b"Asterisk Call Manager/11.0.0\r\n"
END = b"\r\n\r\n"

Headers = Mapping[str, str]


def message(headers: Headers) -> bytes:
    """A message as it stands on the wire."""
    return "".join(f"{key}: {value}\r\n" for key, value in headers.items()).encode() + b"\r\n"


def event(name: str, **headers: str) -> bytes:
    """An event."""
    return message({"Event": name, "Privilege": "call,all", **headers})


def channel(uniqueid: str, number: str = "0003*210", **headers: str) -> dict[str, str]:
    """The headers that describe a channel, in the order of Asterisk."""
    return {
        "Channel": f"PJSIP/{number}-{uniqueid}",
        "ChannelState": "6",
        "ChannelStateDesc": "Up",
        "CallerIDNum": number,
        "CallerIDName": "<unknown>",
        "ConnectedLineNum": "<unknown>",
        "ConnectedLineName": "<unknown>",
        "Language": "en",
        "AccountCode": "",
        "Context": "extensions",
        "Exten": "",
        "Priority": "1",
        "Uniqueid": uniqueid,
        "Linkedid": uniqueid,
        **headers,
    }


def new_channel(uniqueid: str, number: str = "0003*210", **headers: str) -> bytes:
    """The event that announces a channel."""
    return event("Newchannel", **channel(uniqueid, number, **headers))


def hangup(uniqueid: str, number: str = "0003*210") -> bytes:
    """The event that ends a channel."""
    return event("Hangup", **channel(uniqueid, number), Cause="16")


@dataclass(frozen=True)
class Asked:
    """An action as it arrived: on which line, and when by ``time.monotonic()``."""

    line: "Line"
    headers: Headers
    at: float

    @property
    def name(self) -> str:
        """The action's name."""
        return self.headers["Action"]

    @property
    def id(self) -> str:
        """Its ActionID."""
        return self.headers["ActionID"]

    def succeeds(self, text: str = "fine", **headers: str) -> bytes:
        """The answer that it was carried out."""
        return message({"Response": "Success", "ActionID": self.id, "Message": text, **headers})

    def fails(self, text: str) -> bytes:
        """The answer that it was refused."""
        return message({"Response": "Error", "ActionID": self.id, "Message": text})

    def lists(self, name: str, complete: str, rows: Iterable[Headers]) -> list[bytes]:
        """The messages of an answer that is a list."""
        items = [event(name, ActionID=self.id, **row) for row in rows]
        end = event(complete, ActionID=self.id, EventList="Complete", ListItems=str(len(items)))
        return [self.succeeds(EventList="start"), *items, end]


class Line:
    """One connection to the server, with every byte that came on it."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self.received = bytearray()
        self.over = asyncio.Event()
        self._writer = writer

    def say(self, data: bytes) -> None:
        """Send bytes."""
        self._writer.write(data)

    async def say_in(self, chunks: Iterable[bytes]) -> None:
        """Send bytes in chunks, each of which is read by itself."""
        for chunk in chunks:
            self._writer.write(chunk)
            # One turn of the loop looks at the sockets, the next one calls the reader.
            await asyncio.sleep(0)
            await asyncio.sleep(0)

    def cut(self) -> None:
        """End the connection at once (a TCP reset)."""
        self._writer.transport.abort()

    def close(self) -> None:
        """End the connection in order, after everything said."""
        self._writer.close()


Reply = Callable[[Asked], bytes]


class AmiServer:
    """A PBX's manager interface.

    ``replies`` gives the bytes an action is answered with, by its name; anything else succeeds.
    While it is ``silent`` it takes everything in and says nothing, not even to a new connection.

    Attributes:
        port: where it listens, the same after every restart.
        lines: every connection there ever was.
        asked: every action, in the order of arrival.
        channels, bridges: what it lists.
    """

    def __init__(self) -> None:
        self.port = free_tcp()
        self.secret = SECRET
        self.banner = BANNER
        self.silent = False
        self.lines: list[Line] = []
        self.asked: Journal[Asked] = Journal()
        self.channels: list[Headers] = []
        self.bridges: list[Headers] = []
        self.replies: dict[str, Reply] = {
            "Login": self._login,
            "Status": lambda a: b"".join(a.lists("Status", "StatusComplete", self.channels)),
            "BridgeList": lambda a: b"".join(
                a.lists("BridgeListItem", "BridgeListComplete", self.bridges)
            ),
        }
        self._server: asyncio.Server | None = None
        self.serving: set[asyncio.Task[None]] = set()

    @property
    def line(self) -> Line:
        """The newest connection."""
        return self.lines[-1]

    @property
    def received(self) -> bytes:
        """Every byte that ever came, on whichever line."""
        return b"".join(bytes(line.received) for line in self.lines)

    def count(self, name: str) -> int:
        """How often an action came."""
        return sum(asked.name == name for asked in self.asked.entries)

    def mark(self) -> int:
        """Where the journal of actions ends now."""
        return self.asked.mark()

    async def gets(self, name: str, *, since: int = 0, within: float = 3) -> Asked:
        """Wait for an action of that name."""
        return await self.asked.wait(
            lambda asked: asked.name == name, f"the action {name}", within=within, since=since
        )

    async def start(self) -> None:
        """Listen."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)

    async def stop(self) -> None:
        """Listen no more and cut every line."""
        if self._server is not None:
            self._server.close()
        for line in self.lines:
            line.cut()
        await asyncio.gather(*self.serving)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.serving.add(task)
        task.add_done_callback(self.serving.discard)
        line = Line(writer)
        self.lines.append(line)
        if not self.silent:
            line.say(self.banner)
        with suppress(OSError):
            await self._read(line, reader)
        writer.close()
        line.over.set()

    async def _read(self, line: Line, reader: asyncio.StreamReader) -> None:
        rest = b""
        while data := await reader.read(1 << 16):
            line.received += data
            *actions, rest = (rest + data).split(END)
            for action in actions:
                self._take(Asked(line, _headers(action), time.monotonic()))

    def _take(self, asked: Asked) -> None:
        reply = self.replies.get(asked.name, Asked.succeeds)
        if not self.silent:
            asked.line.say(reply(asked))
        self.asked.add(asked)

    def _login(self, asked: Asked) -> bytes:
        if (asked.headers["Username"], asked.headers["Secret"]) == (USERNAME, self.secret):
            return asked.succeeds("Authentication accepted")
        asyncio.get_running_loop().call_soon(asked.line.close)
        return asked.fails("Authentication failed")


def _headers(action: bytes) -> dict[str, str]:
    pairs = (line.partition(": ") for line in action.decode().split("\r\n"))
    return {key: value for key, _, value in pairs}


def unanswered(asked: Asked) -> bytes:
    """The reply of a PBX that does not answer."""
    return b""


@asynccontextmanager
async def a_pbx() -> AsyncIterator[AmiServer]:
    """A server that listens."""
    server = AmiServer()
    await server.start()
    try:
        yield server
    finally:
        await server.stop()
