"""A client of the API, as far as a whisper needs one."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

from bridge.lab.errors import LabError

Wanted = Callable[[dict[str, Any]], dict[str, Any] | None]
"""Picks what is wanted out of an answer; None, and it is asked for again."""

LAB_APP = {"client_id": "lab-app", "client_secret": "lab-only-not-a-secret-1"}
"""As in the lab's directory."""

_NO_WAY_THERE = (aiohttp.ClientConnectionError, TimeoutError)


class Client:
    """Asks one bridge, with one token, about the phone calls below it."""

    def __init__(self, http: aiohttp.ClientSession, base: str) -> None:
        self._http = http
        self._base = base

    @classmethod
    @asynccontextmanager
    async def of(cls, url: str, token: str) -> AsyncIterator["Client"]:
        """Yield a client of the bridge at `url`, e.g. `http://127.0.0.1:8480`."""
        headers = {"Authorization": f"Bearer {token}"}
        limit = aiohttp.ClientTimeout(total=10)
        async with aiohttp.ClientSession(headers=headers, timeout=limit) as http:
            yield cls(http, f"{url}/uapi/phoneCalls")

    @staticmethod
    async def token(url: str) -> str:
        """Return a token of the bridge at `url` for the lab's app, whose secret is no secret.

        Raises:
            LabError: it gives none.
        """
        form = {"grant_type": "client_credentials", **LAB_APP}
        try:
            async with (
                aiohttp.ClientSession() as http,
                http.post(f"{url}/oauth/token.php", data=form) as answer,
            ):
                content = await answer.json()
        except _NO_WAY_THERE as error:
            raise LabError(f"the bridge at {url} gives no token: {error}") from error
        if answer.status != 200:
            raise LabError(f"the bridge at {url} gives no token: {content}")
        return str(content["access_token"])

    async def whisper(self, path: str, body: Mapping[str, Any]) -> str:
        """Ask for a whisper to a call and return the path of that call.

        Raises:
            LabError: it is refused, or nobody answers.
        """
        try:
            async with self._http.put(f"{self._base}/{path}", json=body) as answer:
                content = await answer.json()
        except _NO_WAY_THERE as error:
            raise LabError(f"PUT has no answer: {error}") from error
        if answer.status != 202:
            raise LabError(f"PUT answers {answer.status}: {content}")
        # The link is what the bridge is to clients; we may know it by another name.
        return str(content["link"]["self"]).partition("/uapi/phoneCalls/")[2]

    async def until(self, path: str, wanted: Wanted, what: str, *, within: float) -> dict[str, Any]:
        """GET until the answer is as wanted.

        Args:
            path: what to ask for, below `/uapi/phoneCalls`.
            wanted: picks what is returned.
            what: what is waited for, for the error's message.
            within: seconds.

        Raises:
            LabError: it was not in time.
        """
        last = "no answer"
        try:
            async with asyncio.timeout(within):
                while True:
                    with contextlib.suppress(*_NO_WAY_THERE):
                        async with self._http.get(f"{self._base}/{path}") as answer:
                            last = f"status {answer.status}"
                            found = wanted(await answer.json()) if answer.status == 200 else None
                        if found is not None:
                            return found
                    await asyncio.sleep(0.05)
        except TimeoutError as error:
            raise LabError(f"{what}: not within {within:g} s; GET had {last}") from error
