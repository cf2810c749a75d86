"""Records what calls look like on the AMI to the bridge's own user (``read = call``).

``python -m tests.recordings.record [NAME …]`` plays each scenario, or those named, on a real
Asterisk 22 with real phones and writes what the user ``whisper-bridge`` was told into ``NAME.txt``
beside this file: the raw messages with LF for CR LF, and between them ``# = MOMENT`` where the
scenario had reached that moment and the PBX had nothing more to say.
"""

import asyncio
import contextlib
import re
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

from bridge import actions
from bridge.actions import Spy
from bridge.lab import packages, tones
from bridge.lab.asterisk import PHONE_PASSWORD, Asterisk
from bridge.lab.observer import Message, Observer
from bridge.lab.packages import BaresipBuild
from bridge.lab.phone import Phone
from bridge.lab.refusal import RefusingPhone
from bridge.model import CallerId

HERE = Path(__file__).parent
WHISPER = "whisper-0123456789abcdef0123"
SECOND_WHISPER = "whisper-abcdef0123456789abcd"
DISPLAY = CallerId("Whisper To Me", "42420042")

AGENT, COLLEAGUE, NEIGHBOUR = "0003*210", "0003*211", "0003*2100"
SUPERVISOR, SECOND_SUPERVISOR = "0003*024", "0003*025"
CUSTOMER, OTHER_CUSTOMER = "7778888", "7779999"
FORK, LOCAL, LOCAL_KEPT = "610", "620", "621"
QUEUE, CONFERENCE, PARKING, ECHO = "650", "660", "700", "600"

_SECRET = "recorder"
_QUIET = 0.4
_PATIENCE = 15.0


class Tap:
    """An AMI session of the bridge's user that keeps every byte of every event."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._grown = asyncio.Event()
        self._reading = asyncio.create_task(self._read())
        self.story: list[str] = []

    @classmethod
    async def open(cls, port: int) -> "Tap":
        """Log in as the bridge does."""
        tap = cls(*await asyncio.open_connection("127.0.0.1", port))
        tap.send({"Action": "Login", "Username": "whisper-bridge", "Secret": _SECRET})
        return tap

    def send(self, headers: Any) -> None:
        """Send an action; its answer is not kept."""
        lines = "".join(f"{key}: {value}\r\n" for key, value in headers.items())
        self._writer.write(f"{lines}\r\n".encode())

    async def close(self) -> None:
        """End the session."""
        self._reading.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._reading
        self._writer.close()

    async def quiet(self) -> None:
        """Wait until the PBX has said nothing for a moment."""
        async with asyncio.timeout(_PATIENCE):
            while await self._more(_QUIET):
                pass

    async def until(self, wanted: str) -> str:
        """Wait for a message that matches this expression, and give it."""
        async with asyncio.timeout(_PATIENCE):
            while not (found := [text for text in self.story if re.search(wanted, text)]):
                await self._more(_PATIENCE)
        return found[-1]

    async def _more(self, seconds: float) -> bool:
        self._grown.clear()
        try:
            await asyncio.wait_for(self._grown.wait(), seconds)
        except TimeoutError:
            return False
        return True

    async def _read(self) -> None:
        await self._reader.readline()
        while True:
            message = (await self._reader.readuntil(b"\r\n\r\n")).decode()
            if message.startswith("Event: "):
                self.story.append(message.replace("\r\n", "\n"))
                self._grown.set()


class Stage:
    """One scenario: its phones, its recording."""

    def __init__(
        self, build: BaresipBuild, pbx: Asterisk, tap: Tap, observer: Observer, folder: Path
    ) -> None:
        self._build, self._pbx, self._folder = build, pbx, folder
        self._exits = contextlib.AsyncExitStack()
        self.tap, self.observer = tap, observer

    async def phone(self, number: str, *, answer: Any = "auto") -> Phone:
        """A registered phone."""
        phone = Phone(
            self._build,
            self._folder / number,
            number=number,
            password=PHONE_PASSWORD,
            sip_port=self._pbx.sip_port,
            tone_hz=tones.AGENT_HZ,
            answer=answer,
        )
        await self._exits.enter_async_context(phone)
        await phone.registered()
        return phone

    async def refusing_phone(self, number: str, code: int) -> None:
        """A registered phone that refuses every call."""
        phone = RefusingPhone(
            number=number, password=PHONE_PASSWORD, sip_port=self._pbx.sip_port, code=code
        )
        await self._exits.enter_async_context(phone)

    async def reach(self, moment: str) -> None:
        """Note that the scenario has reached a moment, once the PBX has nothing more to say."""
        await self.tap.quiet()
        self.tap.story.append(f"# = {moment}\n\n")

    async def leg(self, number: str) -> Message:
        """The channel of an extension, as the PBX lists it."""
        rows = await self.observer.rows("CoreShowChannels")
        return next(row for row in rows if row["Channel"].startswith(f"PJSIP/{number}-"))

    async def whisper(self, number: str, supervisor: str = SUPERVISOR, leg: str = WHISPER) -> None:
        """Ask for a whisper exactly as the bridge does."""
        target = (await self.leg(number))["Uniqueid"]
        self.tap.send(
            actions.originate_spy(
                leg, f"PJSIP/{supervisor}", Spy(target, "uqwES"), DISPLAY, 20, "recorded"
            ).headers
        )

    async def whispering(self, leg: str = WHISPER) -> None:
        """Wait until a whisper is in force."""
        await self.tap.until(rf"^Event: ChanSpyStart\n(.*\n)*SpyerUniqueid: {leg}\n")

    async def hang_up_all(self) -> None:
        """End every call there still is, and wait for the last word about them."""
        for row in await self.observer.rows("CoreShowChannels"):
            # It may have gone with the one before.
            with contextlib.suppress(Exception):
                await self.observer.action("Hangup", Channel=row["Uniqueid"], Cause="16")
        async with asyncio.timeout(_PATIENCE):
            while await self.observer.rows("CoreShowChannels"):
                await asyncio.sleep(0.05)
        await self.tap.quiet()

    async def close(self) -> None:
        """Stop the phones."""
        await self._exits.aclose()


Scenario = Callable[[Stage], Awaitable[None]]
SCENARIOS: dict[str, Scenario] = {}


def scenario(play: Scenario) -> Scenario:
    """Register a scenario under its function's name; its docstring opens the recording."""
    SCENARIOS[play.__name__.replace("_", "-")] = play
    return play


# Plain calls


@scenario
async def answered(stage: Stage) -> None:
    """A customer calls an agent, who picks up after a moment; the customer hangs up."""
    agent, customer = await stage.phone(AGENT, answer="manual"), await stage.phone(CUSTOMER)
    await customer.dial(AGENT)
    await agent.incoming()
    await stage.reach("ringing")
    await agent.pick_up()
    await customer.established()
    await stage.reach("talking")
    await customer.hang_up()
    await stage.reach("over")


@scenario
async def outgoing(stage: Stage) -> None:
    """An agent calls an outside number, which answers; the agent hangs up."""
    agent, customer = await stage.phone(AGENT), await stage.phone(CUSTOMER, answer="manual")
    await agent.dial(CUSTOMER)
    await customer.incoming()
    await stage.reach("ringing")
    await customer.pick_up()
    await agent.established()
    await stage.reach("talking")
    await agent.hang_up()
    await stage.reach("over")


@scenario
async def cancelled(stage: Stage) -> None:
    """A customer calls an agent and hangs up before anybody answers."""
    agent, customer = await stage.phone(AGENT, answer="manual"), await stage.phone(CUSTOMER)
    await customer.dial(AGENT)
    await agent.incoming()
    await stage.reach("ringing")
    await customer.hang_up()
    await stage.reach("over")


@scenario
async def busy(stage: Stage) -> None:
    """A customer calls an agent whose phone is busy (486)."""
    await stage.refusing_phone(AGENT, 486)
    customer = await stage.phone(CUSTOMER)
    await customer.dial(AGENT)
    await customer.closed()
    await stage.reach("over")


@scenario
async def extensions(stage: Stage) -> None:
    """Extension 0003*211 calls extension 0003*210; the callee hangs up."""
    agent, colleague = await stage.phone(AGENT, answer="manual"), await stage.phone(COLLEAGUE)
    await colleague.dial(AGENT)
    await agent.incoming()
    await stage.reach("ringing")
    await agent.pick_up()
    await colleague.established()
    await stage.reach("talking")
    await agent.hang_up()
    await stage.reach("over")


@scenario
async def two_calls(stage: Stage) -> None:
    """Two customers are connected to one agent, who talks to the second; both hang up."""
    await stage.phone(AGENT)
    first, second = await stage.phone(CUSTOMER), await stage.phone(OTHER_CUSTOMER)
    await first.dial(AGENT)
    await first.established()
    await stage.reach("one")
    await second.dial(AGENT)
    await second.established()
    await stage.reach("two")
    await first.hang_up()
    await stage.reach("one again")
    await second.hang_up()
    await stage.reach("over")


@scenario
async def neighbours(stage: Stage) -> None:
    """0003*210 and 0003*2100 are on calls at once; then there is a whisper to 0003*210."""
    for number in (AGENT, NEIGHBOUR, SUPERVISOR):
        await stage.phone(number)
    first, second = await stage.phone(CUSTOMER), await stage.phone(OTHER_CUSTOMER)
    await second.dial(NEIGHBOUR)
    await second.established()
    await first.dial(AGENT)
    await first.established()
    await stage.whisper(AGENT)
    await stage.whispering()
    await stage.reach("whispering")
    await first.hang_up()
    await stage.reach("one over")
    await second.hang_up()
    await stage.reach("over")


# Whispers


async def _talking(stage: Stage) -> tuple[Phone, Phone]:
    agent, customer = await stage.phone(AGENT), await stage.phone(CUSTOMER)
    await customer.dial(AGENT)
    await customer.established()
    await stage.reach("talking")
    return agent, customer


@scenario
async def whisper(stage: Stage) -> None:
    """A supervisor whispers to an agent on a call and hangs up; then the call ends."""
    supervisor = await stage.phone(SUPERVISOR, answer="manual")
    _, customer = await _talking(stage)
    await stage.whisper(AGENT)
    await supervisor.incoming()
    await stage.reach("ringing")
    await supervisor.pick_up()
    await stage.whispering()
    await stage.reach("whispering")
    await supervisor.hang_up()
    await stage.reach("talking again")
    await customer.hang_up()
    await stage.reach("over")


@scenario
async def whisper_target_gone(stage: Stage) -> None:
    """A supervisor whispers to an agent until the agent hangs up: the whisper ends with it."""
    await stage.phone(SUPERVISOR)
    agent, _ = await _talking(stage)
    await stage.whisper(AGENT)
    await stage.whispering()
    await stage.reach("whispering")
    await agent.hang_up()
    await stage.reach("over")


@scenario
async def whisper_cancelled(stage: Stage) -> None:
    """A whisper is hung up by us while the supervisor's phone rings."""
    supervisor = await stage.phone(SUPERVISOR, answer="manual")
    _, customer = await _talking(stage)
    await stage.whisper(AGENT)
    await supervisor.incoming()
    await stage.reach("ringing")
    stage.tap.send(actions.hang_up(WHISPER).headers)
    await stage.reach("cancelled")
    await customer.hang_up()
    await stage.reach("over")


async def _refused(stage: Stage, code: int) -> None:
    await stage.refusing_phone(SUPERVISOR, code)
    _, customer = await _talking(stage)
    await stage.whisper(AGENT)
    await stage.tap.until("^Event: OriginateResponse\n")
    await stage.reach("refused")
    await customer.hang_up()
    await stage.reach("over")


@scenario
async def whisper_busy(stage: Stage) -> None:
    """The supervisor's phone is busy (486)."""
    await _refused(stage, 486)


@scenario
async def whisper_declined(stage: Stage) -> None:
    """The supervisor's phone declines (603)."""
    await _refused(stage, 603)


@scenario
async def whisper_unregistered(stage: Stage) -> None:
    """The supervisor's phone is not registered: the PBX cannot even begin to call it."""
    _, customer = await _talking(stage)
    await stage.whisper(AGENT)
    await stage.tap.until("^Event: OriginateResponse\n")
    await stage.reach("refused")
    await customer.hang_up()
    await stage.reach("over")


@scenario
async def whisper_two(stage: Stage) -> None:
    """Two supervisors whisper to one agent; the first leaves, then the call ends."""
    first = await stage.phone(SUPERVISOR)
    await stage.phone(SECOND_SUPERVISOR)
    _, customer = await _talking(stage)
    await stage.whisper(AGENT)
    await stage.whispering()
    await stage.reach("one")
    await stage.whisper(AGENT, SECOND_SUPERVISOR, SECOND_WHISPER)
    await stage.whispering(SECOND_WHISPER)
    await stage.reach("two")
    await first.hang_up()
    await stage.reach("one again")
    await customer.hang_up()
    await stage.reach("over")


@scenario
async def whisper_taken_over(stage: Stage) -> None:
    """A supervisor transfers his spy leg, attended, to an outsider, who takes the spy over."""
    supervisor = await stage.phone(SUPERVISOR)
    await stage.phone(OTHER_CUSTOMER)
    _, customer = await _talking(stage)
    await stage.whisper(AGENT)
    await stage.whispering()
    await stage.reach("whispering")
    spying = await supervisor.incoming()
    consulting = await _consult(supervisor, OTHER_CUSTOMER)
    await stage.reach("consulting")
    await supervisor.introduce(spying.call_id, consulting)
    await stage.reach("taken over")
    await customer.hang_up()
    await stage.reach("over")


# Queues, forks, Local channels


@scenario
async def queue(stage: Stage) -> None:
    """A customer calls a queue, which rings its first agent; the customer hangs up."""
    agent = await stage.phone(AGENT, answer="manual")
    await stage.phone(COLLEAGUE, answer="manual")
    customer = await stage.phone(CUSTOMER)
    await customer.dial(QUEUE)
    await agent.incoming()
    await stage.reach("ringing")
    await agent.pick_up()
    await agent.established()
    await stage.reach("talking")
    await customer.hang_up()
    await stage.reach("over")


@scenario
async def fork(stage: Stage) -> None:
    """A customer calls a number that rings two agents; the second picks up."""
    agent = await stage.phone(AGENT, answer="manual")
    colleague = await stage.phone(COLLEAGUE, answer="manual")
    customer = await stage.phone(CUSTOMER)
    await customer.dial(FORK)
    await agent.incoming()
    await colleague.incoming()
    await stage.reach("ringing")
    await colleague.pick_up()
    await customer.established()
    await stage.reach("talking")
    await customer.hang_up()
    await stage.reach("over")


async def _through_local(stage: Stage, number: str) -> None:
    agent, customer = await stage.phone(AGENT, answer="manual"), await stage.phone(CUSTOMER)
    await customer.dial(number)
    await agent.incoming()
    await stage.reach("ringing")
    await agent.pick_up()
    await customer.established()
    await stage.reach("talking")
    await customer.hang_up()
    await stage.reach("over")


@scenario
async def local_optimised(stage: Stage) -> None:
    """A customer reaches an agent through a Local channel that optimises itself away."""
    await _through_local(stage, LOCAL)


@scenario
async def local_kept(stage: Stage) -> None:
    """A customer reaches an agent through a Local channel that stays (``/n``)."""
    await _through_local(stage, LOCAL_KEPT)


# What becomes of calls


@scenario
async def hold(stage: Stage) -> None:
    """The agent puts the customer on hold and takes him back."""
    agent, customer = await _talking(stage)
    await agent.hold()
    await stage.reach("held")
    await agent.resume()
    await stage.reach("talking again")
    await customer.hang_up()
    await stage.reach("over")


@scenario
async def hold_by_customer(stage: Stage) -> None:
    """The customer puts the agent on hold and takes him back."""
    agent, customer = await _talking(stage)
    await customer.hold()
    await stage.reach("held")
    await customer.resume()
    await stage.reach("talking again")
    await agent.hang_up()
    await stage.reach("over")


@scenario
async def recorded(stage: Stage) -> None:
    """The agent's leg is recorded for a while."""
    _, customer = await _talking(stage)
    channel = (await stage.leg(AGENT))["Channel"]
    await stage.observer.action("MixMonitor", Channel=channel, File="agent.wav")
    await stage.reach("recording")
    await stage.observer.action("StopMixMonitor", Channel=channel)
    await stage.reach("talking again")
    await customer.hang_up()
    await stage.reach("over")


@scenario
async def blind_by_agent(stage: Stage) -> None:
    """The agent sends the customer to a colleague, unannounced."""
    await stage.phone(COLLEAGUE)
    agent, customer = await _talking(stage)
    await agent.transfer(COLLEAGUE)
    await stage.tap.until(rf"^Event: BridgeEnter\n(.*\n)*Channel: PJSIP/{re.escape(COLLEAGUE)}-")
    await stage.reach("transferred")
    await customer.hang_up()
    await stage.reach("over")


@scenario
async def blind_by_customer(stage: Stage) -> None:
    """The customer sends the agent to a colleague, unannounced, while there is a whisper."""
    await stage.phone(COLLEAGUE)
    await stage.phone(SUPERVISOR)
    agent, customer = await _talking(stage)
    await stage.whisper(AGENT)
    await stage.whispering()
    await stage.reach("whispering")
    await customer.transfer(COLLEAGUE)
    await stage.tap.until(rf"^Event: BridgeEnter\n(.*\n)*Channel: PJSIP/{re.escape(COLLEAGUE)}-")
    await stage.reach("transferred")
    await agent.hang_up()
    await stage.reach("over")


async def _consult(phone: Phone, number: str) -> str:
    """Call somebody besides, and give the Call-ID."""
    mark = phone.events.mark()
    await phone.hold()
    await phone.dial(number)
    return (await phone.established(since=mark)).call_id


@scenario
async def attended_by_agent(stage: Stage) -> None:
    """The agent asks a colleague first, then joins him and the customer, during a whisper."""
    await stage.phone(COLLEAGUE)
    await stage.phone(SUPERVISOR)
    agent, customer = await _talking(stage)
    await stage.whisper(AGENT)
    await stage.whispering()
    await stage.reach("whispering")
    held = (await agent.incoming()).call_id
    consulting = await _consult(agent, COLLEAGUE)
    await stage.reach("consulting")
    await agent.introduce(held, consulting)
    await stage.reach("transferred")
    await customer.hang_up()
    await stage.reach("over")


@scenario
async def attended_to_agent(stage: Stage) -> None:
    """A colleague asks the agent first, then hands him the customer."""
    await stage.phone(AGENT)
    colleague, customer = await stage.phone(COLLEAGUE), await stage.phone(CUSTOMER)
    await customer.dial(COLLEAGUE)
    await customer.established()
    await stage.reach("talking")
    held = (await colleague.incoming()).call_id
    consulting = await _consult(colleague, AGENT)
    await stage.reach("consulting")
    await colleague.introduce(held, consulting)
    await stage.reach("transferred")
    await customer.hang_up()
    await stage.reach("over")


@scenario
async def redirected(stage: Stage) -> None:
    """During a whisper a manager sends the agent's leg to an echo; the customer's call ends."""
    await stage.phone(SUPERVISOR)
    agent, _ = await _talking(stage)
    await stage.whisper(AGENT)
    await stage.whispering()
    await stage.reach("whispering")
    channel = (await stage.leg(AGENT))["Channel"]
    await stage.observer.action(
        "Redirect", Channel=channel, Context="extensions", Exten=ECHO, Priority="1"
    )
    await stage.reach("redirected")
    await agent.hang_up()
    await stage.reach("over")


@scenario
async def both_redirected(stage: Stage) -> None:
    """A manager sends both legs of a call into a conference."""
    _, customer = await _talking(stage)
    mine, other = (await stage.leg(AGENT))["Channel"], (await stage.leg(CUSTOMER))["Channel"]
    await stage.observer.action(
        "Redirect",
        Channel=mine,
        Context="extensions",
        Exten=CONFERENCE,
        Priority="1",
        ExtraChannel=other,
        ExtraContext="extensions",
        ExtraExten=CONFERENCE,
        ExtraPriority="1",
    )
    await stage.reach("redirected")
    await customer.hang_up()
    await stage.reach("one left")
    await stage.hang_up_all()
    await stage.reach("over")


@scenario
async def conference(stage: Stage) -> None:
    """An agent and two customers meet in a conference; they leave one after the other."""
    agent, customer = await stage.phone(AGENT), await stage.phone(CUSTOMER)
    other = await stage.phone(OTHER_CUSTOMER)
    for phone in (agent, customer, other):
        await phone.dial(CONFERENCE)
        await phone.established()
        await stage.reach(f"{phone.number} is in")
    for phone in (customer, agent):
        await phone.hang_up()
        await stage.reach(f"{phone.number} has left")
    await other.hang_up()
    await stage.reach("over")


@scenario
async def parked(stage: Stage) -> None:
    """Two agents each park their customer; one customer is fetched back, both hang up."""
    agent, colleague = await stage.phone(AGENT), await stage.phone(COLLEAGUE)
    customer, other = await stage.phone(CUSTOMER), await stage.phone(OTHER_CUSTOMER)
    await customer.dial(AGENT)
    await customer.established()
    await other.dial(COLLEAGUE)
    await other.established()
    await stage.reach("talking")
    await agent.transfer(PARKING)
    await stage.reach("one parked")
    await colleague.transfer(PARKING)
    await stage.reach("two parked")
    mark = agent.events.mark()
    await agent.dial("701")
    await agent.established(since=mark)
    await stage.reach("fetched")
    await customer.hang_up()
    await other.hang_up()
    await stage.reach("over")


@scenario
async def agent_parked(stage: Stage) -> None:
    """A customer's transfer parks the agent himself; then the agent hangs up."""
    agent, customer = await stage.phone(AGENT), await stage.phone(COLLEAGUE)
    await customer.dial(AGENT)
    await customer.established()
    await stage.reach("talking")
    await customer.transfer(PARKING)
    await stage.reach("parked")
    await agent.hang_up()
    await stage.reach("over")


# The recorder


async def record(names: list[str]) -> None:
    """Play these scenarios one after the other and write their recordings."""
    build, baresip = await packages.asterisk("22", print), await packages.baresip(print)
    with tempfile.TemporaryDirectory(prefix="whisper-rec-") as folder:
        run_dir = Path(folder)
        async with (
            await Asterisk.start(build, run_dir / "pbx", bridge_secret=_SECRET) as pbx,
            await pbx.observer() as observer,
        ):
            for number, name in enumerate(names):
                async with _stage(baresip, pbx, observer, run_dir / str(number)) as stage:
                    await _play(name, stage)


@contextlib.asynccontextmanager
async def _stage(
    build: BaresipBuild, pbx: Asterisk, observer: Observer, folder: Path
) -> AsyncIterator[Stage]:
    tap = await Tap.open(pbx.ami_port)
    stage = Stage(build, pbx, tap, observer, folder)
    try:
        yield stage
    finally:
        await stage.hang_up_all()
        await stage.close()
        await tap.close()


async def _play(name: str, stage: Stage) -> None:
    play = SCENARIOS[name]
    await play(stage)
    opening = "".join(f"# {line.strip()}\n" for line in (play.__doc__ or name).splitlines())
    text = f"{opening}\n{''.join(stage.tap.story)}"
    (HERE / f"{name}.txt").write_text(text.rstrip() + "\n", encoding="utf-8")
    print(f"{name}: {len(stage.tap.story)} messages, {len(text) // 1024} KB")


if __name__ == "__main__":
    asyncio.run(record(sys.argv[1:] or list(SCENARIOS)))
