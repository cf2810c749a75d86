"""What one does with a phone and sees on it, wherever it runs."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from bridge.lab.control import Control, PhoneEvent
from bridge.lab.errors import LabError
from bridge.lab.housekeeping import recordings
from bridge.lab.waiting import Journal, until

_CALLED = ("CALL_INCOMING", "CALL_ESTABLISHED")


@dataclass(frozen=True)
class IncomingCall:
    """A call that makes this phone ring: the caller as shown on the display, and its Call-ID."""

    name: str
    number: str
    call_id: str


class Handset:
    """A phone with one account, as whoever sits before it uses it.

    Attributes:
        number: its extension or outside number.
        tone_hz: the tone it plays as its microphone, as long as a call lasts.
        events: everything the phone reported since it is watched.
    """

    def __init__(self, directory: Path, *, number: str, tone_hz: int, pbx: str) -> None:
        """Describe the phone; a subclass connects to its control.

        Args:
            directory: where the phone keeps its log and recordings.
            number: its number, which is also its SIP user name.
            tone_hz: the tone it plays, a whole number so that it goes on without a click.
            pbx: Asterisk's address for SIP, `host:port`.
        """
        self.number = number
        self.tone_hz = tone_hz
        self.events: Journal[PhoneEvent] = Journal()
        self._directory = directory
        self._pbx = pbx
        self._control: Control | None = None
        self._started = 0

    async def registered(self, within: float = 5) -> None:
        """Wait until Asterisk has accepted its registration.

        Args:
            within: seconds.

        Raises:
            LabError: it was refused or not answered.
        """
        # It may have registered before we were connected: then only `reginfo` knows.
        if not await self.is_registered():
            await self.event("REGISTER_OK", within=within, since=self._started)

    async def is_registered(self) -> bool:
        """Say whether it is registered now. Raises LabError when it has gone."""
        return "OK" in await self.do("reginfo")

    # What one does with a phone

    async def dial(self, number: str) -> None:
        """Call a number through Asterisk; returns at once."""
        await self.do("dial", self._uri(number))

    async def pick_up(self) -> None:
        """Answer the call that rings."""
        await self.do("accept")

    async def hang_up(self) -> None:
        """End the current call; one that still rings is refused as busy (486)."""
        await self.do("hangup")

    async def hold(self) -> None:
        """Put the current call on hold."""
        await self.established_call()
        await self.do("hold")

    async def resume(self) -> None:
        """Take the current call off hold."""
        await self.do("resume")

    async def transfer(self, number: str) -> None:
        """Send the other party of the current call to a number, unannounced (SIP REFER)."""
        await self.established_call()
        await self.do("transfer", self._uri(number))

    async def introduce(self, held: str, consulted: str) -> None:
        """Join the parties of our two calls and leave (attended transfer, RFC 3891 and RFC 5589).

        Args:
            held: the Call-ID of the call with the party to be handed over.
            consulted: the Call-ID of the call with the party who takes over.

        Raises:
            LabError: there is no such call.
        """
        number, mine, other = self._dialog(consulted)
        replaces = quote(f"{consulted};to-tag={other};from-tag={mine}", safe="")
        await self.choose(held)
        await self.do("transfer", f"{self._uri(number)}?Replaces={replaces}")

    async def choose(self, call_id: str) -> None:
        """Make one of several calls the current one, by its Call-ID.

        Raises:
            LabError: there is no such call.
        """
        if "not found" in await self.do("callfind", call_id):
            raise LabError(f"{self.number} has no call {call_id}")

    async def press(self, keys: str) -> None:
        """Press keys during the current call (`0`-`9`, `*`, `#`), sent as RFC 4733 events."""
        for key in keys:
            await self.do("sndcode", key)

    async def do(self, command: str, params: str = "") -> str:
        """Run any command of baresip's menu and return what it printed.

        Raises:
            LabError: baresip refused it or has gone.
        """
        if self._control is None:
            raise LabError(f"{self.number} is not started")
        return await self._control.do(command, params)

    # What the phone shows

    async def event(self, kind: str, *, within: float = 5, since: int = 0) -> PhoneEvent:
        """Return the first event of a type from mark `since` on.

        Args:
            kind: baresip's name for it, e.g. `CALL_ESTABLISHED`.
            within: seconds.
            since: what `events.mark()` returned before the deed.

        Raises:
            LabError: it did not come in time.
        """
        return await self.events.wait(
            lambda e: e.type == kind, f"{kind} on {self.number}", within=within, since=since
        )

    async def incoming(self, within: float = 5, *, since: int = 0) -> IncomingCall:
        """Return the first incoming call from mark `since` on, as the display shows it."""
        # A phone that answers by itself never says CALL_INCOMING, only CALL_ESTABLISHED.
        event = await self.events.wait(
            lambda e: e.direction == "incoming" and e.type in _CALLED,
            f"a call to {self.number}",
            within=within,
            since=since,
        )
        return IncomingCall(event.name, event.number, event.call_id)

    def invite(self, call_id: str) -> str:
        """Return the INVITE with which a call came in, as it was received.

        Raises:
            LabError: no such call came in.
        """
        log = self._log.read_text(errors="replace").replace("\r", "")
        for message in re.findall(r"^INVITE sip:.*?\n\n", log, re.DOTALL | re.MULTILINE):
            if f"\nCall-ID: {call_id}\n" in message:
                return str(message)
        raise LabError(f"{self.number} was not invited to {call_id}")

    async def established(self, within: float = 5, *, since: int = 0) -> PhoneEvent:
        """Wait until a call is answered, by whichever side."""
        return await self.event("CALL_ESTABLISHED", within=within, since=since)

    async def established_call(self, within: float = 5) -> str:
        """Wait until a call is established, and return the Call-ID of the newest that is.

        The other side, and Asterisk, may know it a moment before: the phone waits for the ACK.
        """
        await until(
            lambda: bool(self._established()),
            f"a call of {self.number} is established",
            within=within,
            every=0.01,
        )
        return self._established()[-1]

    def _established(self) -> list[str]:
        return [event.call_id for event in calls_up(self.events.entries)]

    async def closed(self, within: float = 5, *, since: int = 0) -> str:
        """Wait until a call has ended and return the reason the phone shows."""
        return (await self.event("CALL_CLOSED", within=within, since=since)).param

    # What it hears

    @property
    def recordings(self) -> list[Path]:
        """What it heard, oldest first: a WAV file per call, and a new one when it holds a call.

        baresip names them by the second: of two calls begun in one second only the later is there.
        """
        return recordings(self._directory)

    @property
    def recording(self) -> Path:
        """What it hears in the call it is in, or heard in the last one.

        Raises:
            LabError: it has heard nothing yet.
        """
        files = self.recordings
        if not files:
            raise LabError(f"{self.number} has heard nothing yet")
        return files[-1]

    # Inside

    async def _let_go(self) -> None:
        if self._control is not None:
            await self._control.close()
            self._control = None

    def _dialog(self, call_id: str) -> tuple[str, str, str]:
        """Return of a call: the other's number, our and the other's SIP tag."""
        log = self._log.read_text(errors="replace")
        for answer in re.findall(r"^SIP/2\.0 200 .*?^\r?$", log, re.DOTALL | re.MULTILINE):
            if f"\nCall-ID: {call_id}" in answer and " INVITE" in answer:
                caller, called = _party(answer, "From"), _party(answer, "To")
                me, other = (caller, called) if caller[0] == self.number else (called, caller)
                return other[0], me[1], other[1]
        raise LabError(f"{self.number} has no answered call {call_id}")

    @property
    def _log(self) -> Path:
        return self._directory / "log"

    def _uri(self, number: str) -> str:
        return f"sip:{number}@{self._pbx}"


def calls_up(events: Iterable[PhoneEvent]) -> list[PhoneEvent]:
    """Return of a phone's events those that began the calls that are up."""
    begun: dict[str, PhoneEvent] = {}
    for event in events:
        if event.type == "CALL_ESTABLISHED":
            begun[event.call_id] = event
        if event.type == "CALL_CLOSED":
            begun.pop(event.call_id, None)
    return list(begun.values())


def _party(message: str, header: str) -> tuple[str, str]:
    """Return number and tag of a From or To header of a SIP message."""
    found = re.search(rf"^{header}:.*?sip:([^@>]*)@.*;tag=([^;\s]+)", message, re.MULTILINE)
    if found is None:
        raise LabError(f"no {header} with a tag in what baresip logged")
    return found.group(1), found.group(2)
