"""Server-Sent Events, read line by line.

Source: WHATWG HTML, Server-sent events, "Interpreting an event stream".
"""

from collections.abc import AsyncIterable, AsyncIterator
from dataclasses import dataclass

LONGEST = 1_000_000
"""Bytes of an event; a call of a conference of thousands fits."""


@dataclass(frozen=True, slots=True)
class Event:
    """An event: its name, its data, and its id where it has one of its own."""

    name: str
    data: str
    id: str | None = None


class Parser:
    """Makes events of pieces of a stream, however it was cut.

    ``retry`` is in how many milliseconds the stream wants to be asked for again, None until it
    says.
    """

    def __init__(self) -> None:
        self.retry: int | None = None
        self._rest = b""
        self._begun = False
        self._clear()

    def feed(self, piece: bytes) -> list[Event]:
        """Take the next piece and return the events that are whole now.

        Raises ValueError for an event of more than a million bytes.
        """
        text = self._rest + piece
        # A carriage return at the end may be half of a line's end.
        kept = text[-1:] if text.endswith(b"\r") else b""
        lines = text[: len(text) - len(kept)].replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        *whole, self._rest = lines.split(b"\n")
        self._rest += kept
        events = [event for line in whole if (event := self._line(line)) is not None]
        if len(self._rest) + sum(map(len, self._data)) > LONGEST:
            raise ValueError("an event is too large")
        return events

    def _clear(self) -> None:
        self._name = ""
        self._data: list[str] = []
        self._id: str | None = None

    def _line(self, line: bytes) -> Event | None:
        text = line.decode("utf-8", "replace")
        if not self._begun:
            text, self._begun = text.removeprefix("\ufeff"), True
        if not text:
            return self._dispatch()
        name, _, value = text.partition(":")
        self._field(name, value.removeprefix(" "))
        return None

    def _field(self, name: str, value: str) -> None:
        if name == "event":
            self._name = value
        elif name == "data":
            self._data.append(value)
        elif name == "id" and "\0" not in value:
            self._id = value
        elif name == "retry" and value.isascii() and value.isdecimal():
            self.retry = int(value)

    def _dispatch(self) -> Event | None:
        event = Event(self._name or "message", "\n".join(self._data), self._id)
        empty = not self._data
        self._clear()
        return None if empty else event


async def events(pieces: AsyncIterable[bytes], parser: Parser) -> AsyncIterator[Event]:
    """Yield the events of a stream as they become whole."""
    async for piece in pieces:
        for event in parser.feed(piece):
            yield event
