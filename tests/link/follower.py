"""A client that follows the calls of an extension as a stream, and goes on where it was."""

import asyncio
import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import aiohttp

_PAUSE = 0.05


class Follower:
    """Follows until it is cancelled.

    Attributes:
        board: what the calls look like, by their ids.
        wrong: what it was told that a client is not to be told.
        gaps: how often it was told that the PBX cannot be reached.
        resumed: how often it went on where it was.
    """

    def __init__(self, http: aiohttp.ClientSession, url: str, token: str) -> None:
        self.board: dict[str, Any] = {}
        self.wrong: list[str] = []
        self.gaps = self.resumed = 0
        self._http, self._url = http, url
        self._token = token
        self._last = ""
        self._ready = False
        self._fresh: dict[str, Any] | None = None
        self._answer: aiohttp.ClientResponse | None = None

    def shows(self, calls: Mapping[str, Any]) -> bool:
        """Whether it was told of just these calls as they are, and that these are all."""
        return self._ready and self.board == calls

    def drop(self) -> None:
        """Lose the connection."""
        if self._answer is not None:
            self._answer.close()

    async def run(self) -> None:
        """Ask for the stream, and again when it is lost."""
        while True:
            with suppress(aiohttp.ClientError, ConnectionError):
                await self._once()
            self._ready = False
            await asyncio.sleep(_PAUSE)

    async def _once(self) -> None:
        headers = {"Authorization": f"Bearer {self._token}", "Last-Event-ID": self._last}
        timeout = aiohttp.ClientTimeout(total=None, sock_read=30)
        async with self._http.get(self._url, headers=headers, timeout=timeout) as answer:
            if answer.status != 200:
                return
            self._answer, self._fresh = answer, {}
            fields: dict[str, str] = {}
            async for line in answer.content:
                name, _, value = line.decode().rstrip("\n").partition(": ")
                if name:
                    fields[name] = value
                elif "event" in fields:
                    self._take(fields["event"], json.loads(fields["data"]), fields.get("id"))
                    fields = {}
                else:
                    fields = {}

    def _take(self, event: str, data: Any, mark: str | None) -> None:
        if event == "phoneCall":
            self._call(data["id"], data, mark)
        elif event == "phoneCallEnded":
            self._call(data["id"], None, mark)
        elif event == "ready":
            self._complete(data["totalResults"], mark)
        elif event == "unavailable":
            self.gaps += 1
            if not self._ready:
                self.wrong.append("unavailable, and was not ready")
            self._ready = False
        else:
            self.wrong.append(f"an event {event}")
        self._last = mark or self._last

    def _call(self, call: str, shown: Any, mark: str | None) -> None:
        if self._fresh is not None and mark is None:
            # What has no mark is the picture anew.
            self._fresh[call] = shown
            return
        # Of what it missed, the end may be all it is told; otherwise everything is news.
        if self._fresh is None and self.board.get(call) == shown:
            self.wrong.append(f"call {call} twice as {shown}")
        if shown is None:
            self.board.pop(call, None)
        else:
            self.board[call] = shown

    def _complete(self, total: int, mark: str | None) -> None:
        if self._ready:
            self.wrong.append("ready twice")
        era = (mark or "").partition("-")[0]
        if self._fresh is not None and era == self._last.partition("-")[0]:
            self.resumed += 1
        elif self._fresh is not None:
            self.board = self._fresh
        if self._fresh and era == self._last.partition("-")[0]:
            self.wrong.append("the whole picture, although it had gone on where it was")
        self._fresh, self._ready = None, True
        if total != len(self.board):
            self.wrong.append(f"{total} calls, and was told of {len(self.board)}")
