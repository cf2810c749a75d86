"""A client of the API that hides nothing: every answer with its status, headers and body."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import aiohttp
from yarl import URL

from bridge.model import Mode

PATIENCE = 3.0
"""Seconds in which what was done on the phones shows in the API, on a busy machine."""

Json = dict[str, Any]

PATHS = [
    f"{user}/{extension}/{{}}{slash}"
    for user in ("12", "@me", "%40me", "@viewer", "@owner")
    for extension in ("0003*210", "0003%2A210", "210")
    for slash in ("", "/")
] + ["@me/@self/{}", "%40me/%40self/{}/", "12/@self/{}"]
"""Every way to name a call of 0003*210 in a path."""


@dataclass(frozen=True)
class Answer:
    """What came back; `body` is the decoded JSON, None when there is nothing."""

    status: int
    headers: Mapping[str, str]
    body: Any

    @property
    def code(self) -> str:
        """The code of an error."""
        return str(self.body["error"]["code"])

    @property
    def message(self) -> str:
        """The message of an error."""
        return str(self.body["error"]["message"])

    @property
    def refusal(self) -> tuple[int, str]:
        """Status and code of an error."""
        return self.status, self.code


class Api:
    """A client with a token. Paths are what follows `/uapi/phoneCalls/`, sent as they are."""

    def __init__(self, http: aiohttp.ClientSession, server: str, token: str = "") -> None:
        self.base = f"{server}/uapi/phoneCalls/"
        self._http = http
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}

    async def get(self, path: str, **query: object) -> Answer:
        """GET with a query."""
        pairs = (f"{name}={quote(str(value), safe='')}" for name, value in query.items())
        return await self.request("GET", f"{self.base}{path}?{'&'.join(pairs)}".rstrip("?"))

    async def put(self, path: str, body: object, prefer: str = "") -> Answer:
        """PUT a body: text or bytes as they are, anything else as JSON."""
        data = body if isinstance(body, str | bytes) else json.dumps(body, ensure_ascii=False)
        headers = {**self._headers, "Prefer": prefer} if prefer else self._headers
        return await self.request("PUT", f"{self.base}{path}", data=data, headers=headers)

    async def delete(self, path: str, number: str = "") -> Answer:
        """DELETE, a party's number or all."""
        query = f"?phoneNumber={quote(number, safe='*')}" if number else ""
        return await self.request("DELETE", f"{self.base}{path}{query}")

    async def request(self, method: str, url: str, **options: Any) -> Answer:
        """Any request, by its whole URL."""
        options = {"headers": self._headers, **options}
        async with self._http.request(method, URL(url, encoded=True), **options) as answer:
            text = await answer.text()
            return Answer(answer.status, answer.headers, json.loads(text) if text else None)

    @asynccontextmanager
    async def stream(self, url: str) -> AsyncIterator[aiohttp.ClientResponse]:
        """An answer as it comes, for as long as the context lasts."""
        async with self._http.get(URL(url, encoded=True), headers=self._headers) as answer:
            yield answer

    async def until(
        self, path: str, wanted: Callable[[Answer], bool], what: str, within: float = PATIENCE
    ) -> Answer:
        """GET until the answer is as wanted."""
        answer = None
        try:
            async with asyncio.timeout(within):
                while True:
                    answer = await self.get(path)
                    if wanted(answer):
                        return answer
                    await asyncio.sleep(0.02)
        except TimeoutError:
            raise AssertionError(
                f"{what}: not within {within:g} s; the last was {answer}"
            ) from None


def whisper(**fields: object) -> Json:
    """The body of a PUT: 0003*024 whispers to view 01, or as the fields say; None drops one."""
    asked = {"action": "Whisper", "sendCallTo": "0003*024", "phoneCallViewId": "01", **fields}
    return {name: value for name, value in asked.items() if value is not None}


def action(mode: Mode) -> Json:
    """What a PUT says of a mode."""
    actions = {Mode.LISTEN: "Monitor", Mode.BARGE: "BargeIn"}
    if mode in actions:
        return {"action": actions[mode]}
    return {"action": "Whisper", "private": int(mode is Mode.PRIVATE)}


def in_mode(mode: Mode, **fields: object) -> Json:
    """The body of a PUT by which the supervisor takes part in a mode, or comes to do so."""
    return whisper(**action(mode), **fields)


def views(answer: Answer) -> dict[str, Json]:
    """The views of a call, or of the only call of a list, by their ids."""
    if answer.status != 200:
        return {}
    call = answer.body["entry"][0] if "entry" in answer.body else answer.body
    return {view["id"]: view for view in call["phoneCallView"]}
