"""A service with a PBX behind it that does as it is told, in virtual time."""

import asyncio
import json
from collections.abc import AsyncIterator, Container, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from bridge import uapi
from bridge.directory import Directory
from bridge.events import Event, Listed, Snapshot
from bridge.happenings import Ended, Happening
from bridge.model import Extension, PhoneCall, Principal
from bridge.service import Rules, Service, Whispered
from bridge.whisper import Reason, Session
from tests.support.directory import AGENT, DIRECTORY
from tests.support.happenings import RINGING, UP, leg, listed, seen, spies, talk
from tests.support.pbx import FakePbx
from tests.support.picture import check
from tests.support.timing import settle

LAB = Rules("lab")
EPOCH = 1_795_000_000.0
CUSTOMER = leg("7778888", "1.1", exten="0003*210")
AGENT_LEG = leg("0003*210", "1.2", "1.1", connected=("John Doe", "3334444"))
WHISPER: Mapping[str, object] = {
    "action": "Whisper",
    "sendCallTo": "0003*024",
    "private": 0,
    "callerId": "Whisper To Me <42420042>",
    "waitForPickup": "20",
    "phoneCallViewId": "01",
}
"""The body of the specification's example."""


def form(**changes: object) -> uapi.WhisperForm:
    """The request of the specification's example with these fields changed, None left out."""
    fields = {**WHISPER, **changes}
    left = {key: value for key, value in fields.items() if value is not None}
    return uapi.parse_action(json.dumps(left).encode())


class Scene:
    """A service whose picture is complete; nobody talks yet."""

    def __init__(self, rules: Rules = LAB, directory: Directory = DIRECTORY) -> None:
        loop = asyncio.get_running_loop()
        self.began = loop.time()
        self.pbx = FakePbx()
        self.told: list[Happening] = []
        self.service = Service(
            directory,
            self.pbx,
            rules,
            listeners=[lambda happening, _: self.told.append(happening)],
            wall=lambda: EPOCH + loop.time() - self.began,
            steady=loop.time,
        )
        self.service.on_restored([], [])
        self._asks = self.principal()

    # What happens

    def feed(self, *events: Event) -> None:
        """The PBX tells something."""
        for event in events:
            self.service.on_event(event)
        check(self.service.picture, self.service.directory)

    def reads(self, directory: str) -> None:
        """The directory is read anew, and this is what it says."""
        self.service.replace_directory(Directory.parse(directory))
        check(self.service.picture, self.service.directory)

    def restored(self, *listing: Listed, holding: Iterable[str] = ()) -> None:
        """The link is back, and this is what the PBX lists."""
        self.service.on_restored(listing, list(holding))
        check(self.service.picture, self.service.directory)

    def talk(self) -> str:
        """The customer calls the agent, who answers; gives the id of the call."""
        self.feed(*talk(CUSTOMER, AGENT_LEG))
        self.feed(seen(CUSTOMER._replace(caller_name="John Doe", caller_number="3334444")))
        (call,) = self.service.picture.calls()
        return call.id

    # What clients ask

    def principal(self) -> Principal:
        """Who asks with a token of the first app there is, in the directory in force."""
        for client_id in ("lab-app", "other-app"):
            app = self.service.directory.app(client_id)
            if app is not None:
                return Principal(app)
        raise LookupError("lab-app")

    async def whisper(
        self,
        call_id: str,
        *,
        who: Principal | None = None,
        extensions: Container[Extension] | None = None,
        **changes: object,
    ) -> PhoneCall | None:
        """Ask for the whisper of the specification's example, with these fields changed."""
        asking, directory = who or self._asks, self.service.directory
        if extensions is None:
            extensions = directory.resolve(asking, "@owner", AGENT.number)
        return await self.service.whisper(asking, extensions, call_id, form(**changes))

    def ask(self, call_id: str, **changes: Any) -> "asyncio.Task[PhoneCall | None]":
        """Ask in a task of its own."""
        return asyncio.create_task(self.whisper(call_id, **changes))

    def waits(
        self, call_id: str, seconds: float = 30.0, **changes: object
    ) -> "asyncio.Task[Whispered]":
        """Ask, and wait until the supervisor is attached, for so many seconds."""
        extensions = self.service.directory.resolve(self._asks, "@owner", AGENT.number)
        patience = asyncio.timeout(seconds)
        return asyncio.create_task(
            self.service.whisper_attached(
                self._asks, extensions, call_id, form(**changes), patience
            )
        )

    async def requested(self, call_id: str, **changes: object) -> "Asked":
        """Ask, and go on as soon as the PBX was told to call the phone."""
        task = self.ask(call_id, **changes)
        await settle()
        return Asked(task, self.leg)

    async def ringing(self, call_id: str, **changes: object) -> Snapshot:
        """Ask for a whisper until the supervisor's phone rings; gives its leg."""
        asked = await self.requested(call_id, **changes)
        self.feed(seen(asked.leg), seen(asked.leg, RINGING))
        await asked.task
        return asked.leg

    async def attached(self, call_id: str, **changes: object) -> Snapshot:
        """Ask for a whisper until it is in force; gives its leg."""
        leg = await self.ringing(call_id, **changes)
        self.feed(seen(leg, UP), spies(leg, AGENT_LEG))
        return leg

    # What there is

    @property
    def leg(self) -> Snapshot:
        """The leg of the last Originate, as the PBX will describe it."""
        headers = self.pbx.of("Originate")[-1]
        number = headers["Channel"].removeprefix("PJSIP/")
        return leg(number, headers["ChannelId"], name=f"{headers['Channel']}-0000000f")

    def session(self, of: Snapshot) -> Session | None:
        """What the book has of a leg."""
        return self.service.whispering.book.get(of.uniqueid)

    def ends(self) -> dict[str, Reason | None]:
        """Why which legs ended, as it was told."""
        ends = (told.session for told in self.told if isinstance(told, Ended))
        return {session.leg: session.reason for session in ends}

    def views(self, call_id: str) -> list[tuple[str, str]]:
        """Number and source of each view of the agent's call."""
        call = self.service.find_call((AGENT,), call_id)
        return [(view.id, view.source[0]) for view in call.views] if call else []

    def listing(self, *more: Listed) -> list[Listed]:
        """The PBX's list while customer and agent talk."""
        both = (CUSTOMER._replace(state=UP), AGENT_LEG._replace(state=UP))
        return [*(listed(each, bridge="bridge", age=60) for each in both), *more]


class Asked:
    """A request that waits for the PBX's first sign."""

    def __init__(self, task: "asyncio.Task[PhoneCall | None]", leg: Snapshot) -> None:
        self.task, self.leg = task, leg


@asynccontextmanager
async def scene(rules: Rules = LAB, directory: Directory = DIRECTORY) -> AsyncIterator[Scene]:
    """A service that is closed at the end."""
    new = Scene(rules, directory)
    try:
        yield new
    finally:
        await new.service.close()
