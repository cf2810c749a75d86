"""The service as a process, beside a manager interface on a real socket.

It tells what a real PBX told of such calls, and all its phones are busy.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bridge.keyring import signing_keys
from bridge.lab.server import Server
from bridge.tokens import TokenBook
from tests.link.fake_pbx import SECRET, AmiServer, Asked, a_pbx, hangup, new_channel
from tests.support.raw_http import Pipe, RawAnswer, request
from tests.support.unlimited import UNLIMITED

from .world import CLIENTS, TALKS, Client, Talk, directory, told

BATCH = 32
"""Requests that are on their way at once: as many as the service takes in."""


@dataclass(frozen=True)
class House:
    """The service and its PBX.

    Attributes:
        calls: the id of each call.
        views: of each call, whose view which one is.
    """

    server: Server
    pbx: AmiServer
    tokens: Mapping[Client | None, str]
    calls: Mapping[Talk, str]
    views: Mapping[Talk, Mapping[str, str]]

    async def ask(self, requests: Iterable[bytes]) -> list[RawAnswer]:
        """The answers to requests, in order."""
        waiting, found = list(requests), []
        async with Pipe.to(self.server.url) as pipe:
            for start in range(0, len(waiting), BATCH):
                found += await pipe.ask(*waiting[start : start + BATCH])
        return found

    def get(self, client: Client | None, path: str) -> bytes:
        """A GET; ``path`` is what follows /uapi/phoneCalls/."""
        return request("GET", f"/uapi/phoneCalls/{path}", self.tokens[client])

    def put(
        self, client: Client | None, path: str, action: str = "Whisper", **fields: object
    ) -> bytes:
        """A PUT of an action with these fields."""
        body = json.dumps({"action": action, **fields}).encode()
        return request("PUT", f"/uapi/phoneCalls/{path}", self.tokens[client], body)

    def hooks(
        self, method: str, client: Client | None, path: str, more: str = "", **fields: object
    ) -> bytes:
        """A request for phone call events; ``path`` is user and extension."""
        whole = f"/uapi/extensions/{path}/phoneCallEvents{more}"
        return request(method, whole, self.tokens[client], json.dumps(fields).encode())

    def originated(self, mark: int) -> list[Asked]:
        """The calls to phones that the PBX was asked for since a mark."""
        return [asked for asked in self.pbx.asked.entries[mark:] if asked.name == "Originate"]


@asynccontextmanager
async def a_house(run_dir: Path) -> AsyncIterator[House]:
    """The service, once it knows of all calls."""
    path = run_dir / "directory.toml"
    path.write_text(directory())
    async with (
        a_pbx() as pbx,
        await Server.start(
            run_dir,
            ami_port=pbx.port,
            ami_secret=SECRET,
            directory=path,
            BRIDGE_WEBHOOKS_DB=str(run_dir / "webhooks.sqlite"),
            **UNLIMITED,
        ) as server,
    ):
        pbx.replies["Originate"] = _busy
        pbx.line.say(told())
        tokens = _tokens(run_dir)
        calls = await _calls(server.url, tokens)
        yield House(
            server,
            pbx,
            tokens,
            {talk: call["id"] for talk, call in calls.items()},
            {
                talk: {v["id"]: v["extension"] for v in c["phoneCallView"]}
                for talk, c in calls.items()
            },
        )


def _busy(asked: Asked) -> bytes:
    """The phone is called, and is busy."""
    leg, number = asked.headers["ChannelId"], asked.headers["Channel"].partition("/")[2]
    end = hangup(leg, number).replace(b"Cause: 16", b"Cause: 17")
    return asked.succeeds() + new_channel(leg, number) + end


def _tokens(run_dir: Path) -> dict[Client | None, str]:
    book = TokenBook(signing_keys(run_dir / "state"))
    return {None: "", **{client: book.issue(client.id, time.time()) for client in CLIENTS}}


async def _calls(url: str, tokens: Mapping[Client | None, str]) -> dict[Talk, dict[str, Any]]:
    """Every call, as one sees it who may see all."""
    everything = next(client for client in CLIENTS if client.reach == "system")
    async with asyncio.timeout(10), Pipe.to(url) as pipe:
        found: dict[Talk, dict[str, Any]] = {}
        while len(found) < len(TALKS):
            for talk in TALKS:
                path = f"/uapi/phoneCalls/@owner/{talk.callee}"
                (answer,) = await pipe.ask(request("GET", path, tokens[everything]))
                if answer.status == 200 and _talk(answer.json["entry"][0]):
                    found[talk] = answer.json["entry"][0]
    return found


def _talk(call: Mapping[str, Any]) -> bool:
    return all(view["status"] == "5" for view in call["phoneCallView"])
