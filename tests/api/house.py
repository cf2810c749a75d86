"""The API on a real socket, with a service that is told what happens instead of an Asterisk."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import aiohttp
from yarl import URL

from bridge.actions import Action, Answer
from bridge.api import Site, Tls, serving
from bridge.api.application import ROUTES
from bridge.api.description import document
from bridge.directory import Directory
from bridge.events import Snapshot
from bridge.happenings import Listener
from bridge.service import Rules, Service
from bridge.tokens import TokenBook
from bridge.webhooks import Webhooks
from tests.support.described import Description
from tests.support.directory import DIRECTORY
from tests.support.happenings import UP, leg, seen, spies
from tests.support.pbx import FakePbx, success
from tests.support.scene import AGENT_LEG, WHISPER

TOKENS = TokenBook([b"k" * 64])
PUBLIC = "https://pbx.example.com"
DESCRIPTION = Description(document(ROUTES, PUBLIC))
"""What every answer in these tests is compared with."""
LIMIT = aiohttp.ClientTimeout(total=10)


@dataclass
class House:
    """The API, its service and its PBX, and a client."""

    url: str
    service: Service
    pbx: FakePbx
    http: aiohttp.ClientSession
    token: str
    call_id: str

    def path(self, *more: str) -> str:
        """The path of the agent's calls."""
        return "/".join(("/uapi/phoneCalls/12/0003*210", *more))

    async def ask(
        self, method: str, path: str, *, token: str | None = "", **more: Any
    ) -> "Answered":
        """Ask for a path as it is written, with the token unless told otherwise."""
        headers = dict(more.pop("headers", {}))
        if token is not None:
            headers["Authorization"] = f"Bearer {token or self.token}"
        url = URL(self.url + path, encoded=True)
        async with self.http.request(method, url, headers=headers, **more) as answer:
            answered = Answered(answer.status, answer.headers, await answer.read())
        DESCRIPTION.check(
            method, path.partition("?")[0], answered.status, answered.headers, answered.body
        )
        return answered

    async def get(self, path: str, **more: Any) -> "Answered":
        """GET."""
        return await self.ask("GET", path, **more)

    async def put(self, **changes: object) -> "Answered":
        """PUT the whisper of the specification's example."""
        return await self.ask("PUT", self.path(self.call_id), json={**WHISPER, **changes})

    def rings(self, action: Action) -> Answer:
        """Reply to an Originate: the phone rings at once."""
        self.service.on_event(seen(self.spy(action)))
        return success()

    def whispers(self, action: Action) -> Answer:
        """Reply to an Originate: the phone answers and whispers at once."""
        self.service.on_event(spies(self.spy(action), AGENT_LEG))
        return success()

    def spy(self, action: Action | None = None) -> Snapshot:
        """The leg an Originate asks for."""
        headers = action.headers if action else self.pbx.of("Originate")[-1]
        return leg("0003*024", headers["ChannelId"], state=UP)


@dataclass(frozen=True)
class Answered:
    """An answer of the API."""

    status: int
    headers: Any
    body: bytes

    @property
    def json(self) -> Any:
        """The body, which must say that it is JSON."""
        assert self.headers["Content-Type"].startswith("application/json")
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """The code of an error, which has a message besides and nothing else."""
        ((key, error),) = self.json.items()
        assert key == "error"
        assert set(error) == {"code", "message"}
        assert error["message"]
        return str(error["code"])


@asynccontextmanager
async def nothing() -> AsyncIterator[None]:
    """No resource at all."""
    yield


@asynccontextmanager
async def served(
    *listeners: Listener,
    directory: Directory = DIRECTORY,
    tls: Tls | None = None,
    webhooks: Callable[[Service], Webhooks] | None = None,
    **more: Any,
) -> AsyncIterator[tuple[str, Service, FakePbx]]:
    """A service without a picture yet, served on a free port; more goes to its site."""
    pbx = FakePbx()
    service = Service(directory, pbx, Rules("lab"), listeners=listeners)
    hooks = webhooks(service) if webhooks else None
    site = Site(service, TOKENS, PUBLIC, hooks=hooks, **more)
    try:
        async with (
            hooks or nullcontext(),
            serving(site, nothing(), "127.0.0.1", 0, tls=tls) as (host, port),
        ):
            yield f"https://localhost:{port}" if tls else f"http://{host}:{port}", service, pbx
    finally:
        await service.close()
