"""The service as a process beside a real PBX, with a call on it and its line to the PBX tapped."""

import asyncio
import json
import os
import re
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from bridge.lab import tones
from bridge.lab.phone import Phone
from bridge.lab.refusal import RefusingPhone
from bridge.lab.server import Server
from tests.e2e.client import Api
from tests.e2e.stage import (
    AGENT,
    CUSTOMER,
    SECOND_SUPERVISOR,
    SUPERVISOR,
    Call,
    Stage,
    a_call,
    a_stage,
)
from tests.link.proxy import Proxy
from tests.support.unlimited import UNLIMITED

from .hostile import Target

APPS = ("lab-app", "agent-app", "system-app")
_LOG_LINE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} (INFO|WARNING) +bridge[\w.]*: ")


@dataclass(frozen=True)
class Siege:
    """What is besieged.

    Attributes:
        line: the service's line to the PBX, with all that it said.
        supervisor: a phone that picks up, and is hung up again and again.
        busy: a phone that is always busy.
    """

    stage: Stage
    server: Server
    line: Proxy
    call: Call
    supervisor: Phone
    busy: RefusingPhone
    audit: Path

    @property
    def api(self) -> Api:
        """A client that means well."""
        return Api(self.stage.http, self.server.url, self.stage.token)

    @property
    def target(self) -> Target:
        """What an attacker knows: he has good tokens."""
        tokens = [self.stage.tokens.issue(app, time.time()) for app in APPS]
        return Target(self.call.id, tokens)

    @property
    def wire(self) -> bytes:
        """Everything that the service said to the PBX."""
        return b"".join(self.line.forwarded)

    @property
    def memory(self) -> float:
        """Megabytes of memory the service has, not counting what is swapped out."""
        status = Path(f"/proc/{self.server.pid}/status").read_text()
        return int(re.findall(r"^VmRSS:\s+(\d+) kB", status, re.MULTILINE)[0]) / 1024

    @property
    def files(self) -> int:
        """Files and sockets the service has open."""
        return len(os.listdir(f"/proc/{self.server.pid}/fd"))  # noqa: PTH208

    async def quiet(self) -> None:
        """Wait until no whisper is left."""
        await self.supervisor.hang_up()
        await self.stage.no_whisper_leg(within=15)

    def faults(self) -> list[str]:
        """Lines of the log that speak of trouble, tell a secret, or are none of its own."""
        text = self.server.log.read_text()
        strange = [line for line in text.splitlines() if not _LOG_LINE.match(line)]
        return [*self.stage.faults(text), *strange]

    def audited(self) -> int:
        """How many lines the audit has; raises ValueError if one of them is no JSON object."""
        lines = self.audit.read_bytes().splitlines()
        if not all(isinstance(json.loads(line), dict) for line in lines):
            raise ValueError("a line that is no object")
        return len(lines)


@asynccontextmanager
async def a_siege(run_dir: Path) -> AsyncIterator[Siege]:
    """A customer talks to the agent, and the service knows."""
    async with AsyncExitStack() as stack:
        stage = await stack.enter_async_context(a_stage(run_dir))
        await stage.server.stop()
        line = await stack.enter_async_context(Proxy(stage.pbx.ami_port))
        audit = run_dir / "audit.jsonl"
        starting = stage.another_server(
            ami_port=line.port,
            BRIDGE_AUDIT=str(audit),
            BRIDGE_WEBHOOKS_DB=str(run_dir / "webhooks.sqlite"),
            **UNLIMITED,
        )
        server = await stack.enter_async_context(await starting)
        phones = [
            await stack.enter_async_context(stage.phone(number, hz))
            for number, hz in (
                (CUSTOMER, tones.CUSTOMER_HZ),
                (AGENT, tones.AGENT_HZ),
                (SUPERVISOR, tones.SUPERVISOR_HZ),
            )
        ]
        busy = await stack.enter_async_context(stage.refusing_phone(SECOND_SUPERVISOR, 486))
        api = Api(stage.http, server.url, stage.token)
        call = await stack.enter_async_context(a_call(api, phones[0], phones[1]))
        stop = asyncio.Event()
        hanging = asyncio.create_task(_hang_up(phones[2], stop))
        try:
            yield Siege(stage, server, line, call, phones[2], busy, audit)
        finally:
            stop.set()
            await hanging


async def _hang_up(phone: Phone, stop: asyncio.Event) -> None:
    """Every now and then, so that a new whisper can begin."""
    while not stop.is_set():
        await phone.hang_up()
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), 0.3)
