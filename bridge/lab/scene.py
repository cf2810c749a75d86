"""A whisper from the request to the proof, whoever runs the phones and the PBX."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

from bridge.lab import proof
from bridge.lab.cast import AGENT, CUSTOMER
from bridge.lab.client import Client
from bridge.lab.errors import LabError
from bridge.lab.handset import Handset, calls_up
from bridge.lab.proof import Party

CALLER_ID = "Whisper To Me <42420042>"
PATIENCE = 10.0
"""Seconds until anything that ought to happen has happened."""

_GUEST_PATIENCE, _GUEST_STAYS = 30.0, 3600.0

Say = Callable[[str], None]


@dataclass(frozen=True)
class Scene:
    """The three phones, and the bridge beside their PBX."""

    client: Client
    agent: Handset
    customer: Handset
    supervisor: Handset

    @asynccontextmanager
    async def call(self) -> AsyncIterator[None]:
        """Have the customer call the agent, and hang up at the end."""
        # A call of an earlier proof that was killed would be taken for ours.
        if calls_up(self.customer.events.entries):
            await self._over()
        await self.customer.dial(self.agent.number)
        try:
            yield
        finally:
            await self._over()

    async def _over(self) -> None:
        mark = self.customer.events.mark()
        await self.customer.hang_up()
        with suppress(LabError):
            await self.customer.closed(since=mark)

    def parties(self, *, private: bool) -> tuple[Party, ...]:
        """The three in the table's order."""
        hears = proof.expected(private=private)
        phones = {"agent": self.agent, "customer": self.customer, "supervisor": self.supervisor}
        return tuple(Party(name, phone, hears[name]) for name, phone in phones.items())


async def prove(scene: Scene, say: Say, *, private: bool) -> bool:
    """Have the supervisor whisper to the agent, who talks to the customer, and say who hears whom.

    Returns whether everybody hears exactly whom he should. Raises LabError when it does not come to
    a whisper.
    """
    mark = scene.supervisor.events.mark()
    agent, customer = scene.agent.number, scene.customer.number
    call = await call_in_progress(scene.client, say, agent, customer)
    link = await ask(scene.client, call, scene.supervisor.number, agent, private=private)
    display = await scene.supervisor.incoming(PATIENCE, since=mark)
    number = scene.supervisor.number
    say(f"PUT Whisper: 202; the phone of {number} shows {display.name} <{display.number}>")
    await begun(scene.client, link, say, within=PATIENCE)
    table = await proof.listen(scene.parties(private=private))
    right = proof.is_right(table)
    print("\n" + proof.render(table) + "\n", flush=True)
    say(_verdict(right=right, private=private))
    return right


async def host(scene: Scene, guest: str, say: Say, *, private: bool) -> bool:
    """Have a supervisor with a phone of his own whisper until he hangs up.

    Returns whether it came to a whisper. Raises LabError when his phone cannot be rung.
    """
    call = await call_in_progress(scene.client, say)
    link = await ask(scene.client, call, guest, private=private)
    say(f"PUT Whisper: 202; your phone {guest} rings: pick it up")
    await begun(scene.client, link, say, within=_GUEST_PATIENCE)
    say("the agent hears you, the customer does not; hang up to end it")
    await scene.client.until(link, _alone, "the end of the whisper", within=_GUEST_STAYS)
    say("you have hung up")
    return True


async def call_in_progress(
    client: Client, say: Say, agent: str = AGENT.number, customer: str = CUSTOMER.number
) -> dict[str, Any]:
    """Return the agent's call, as soon as he talks. Raises LabError when he does not."""
    what = f"a call of {agent}"
    call = await client.until(f"@owner/{agent}", _on_call, what, within=PATIENCE)
    say(f"the customer {customer} talks to the agent {agent}: call {call['id']}")
    return call


async def ask(
    client: Client,
    call: dict[str, Any],
    supervisor: str,
    agent: str = AGENT.number,
    *,
    private: bool,
) -> str:
    """Ask for the whisper and return the path of the call. Raises LabError when it is refused."""
    body = {
        "action": "Whisper",
        "sendCallTo": supervisor,
        "private": int(private),
        "callerId": CALLER_ID,
        "waitForPickup": "20",
        "phoneCallViewId": _view_of(call, agent)["id"],
    }
    return await client.whisper(f"@owner/{agent}/{call['id']}", body)


async def begun(client: Client, link: str, say: Say, *, within: float) -> None:
    """Wait until the call shows the whisper. Raises LabError when it does not."""
    call = await client.until(link, _whispered, "a whisper on this call", within=within)
    say(f"view {call['phoneCallView'][-1]['id']} is there: the supervisor whispers")


def _verdict(*, right: bool, private: bool) -> str:
    if not right:
        return "WRONG: somebody hears what he should not, or does not hear what he should"
    alone = ", who hears nothing himself," if private else ""
    return f"proven: the agent hears the supervisor{alone} and the customer does not"


def _on_call(page: dict[str, Any]) -> dict[str, Any] | None:
    calls: list[dict[str, Any]] = page["entry"]
    talking = (all(view["status"] == "5" for view in call["phoneCallView"]) for call in calls)
    return next((call for call, talks in zip(calls, talking, strict=True) if talks), None)


def _view_of(call: dict[str, Any], extension: str) -> dict[str, Any]:
    views: list[dict[str, Any]] = call["phoneCallView"]
    return next(view for view in views if view["extension"] == extension)


def _whispered(call: dict[str, Any]) -> dict[str, Any] | None:
    """The call, once two of its views are of one extension: its own, and the whisper to it."""
    extensions = [view["extension"] for view in call["phoneCallView"]]
    return call if len(set(extensions)) < len(extensions) else None


def _alone(call: dict[str, Any]) -> dict[str, Any] | None:
    return None if _whispered(call) else call
