"""A real SIP softphone, baresip, that plays a tone as its microphone and records what it hears."""

import asyncio
import contextlib
import re
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Literal, Self
from urllib.parse import quote

from bridge.lab import processes, tones
from bridge.lab.control import Control, PhoneEvent
from bridge.lab.errors import LabError
from bridge.lab.packages import BaresipBuild
from bridge.lab.ports import free_ports, free_tcp
from bridge.lab.waiting import Journal, until

_CALLED = ("CALL_INCOMING", "CALL_ESTABLISHED")


@dataclass(frozen=True)
class IncomingCall:
    """A call that makes this phone ring: the caller as shown on the display, and its Call-ID."""

    name: str
    number: str
    call_id: str


class Phone:
    """A softphone with one account.

    Use `async with Phone(…) as phone:`, which starts and stops it, or `start` and `stop`.

    Attributes:
        number: its extension or outside number.
        tone_hz: the tone it plays as its microphone, as long as a call lasts.
        events: everything baresip reported since the start.
    """

    def __init__(
        self,
        build: BaresipBuild,
        directory: Path,
        *,
        number: str,
        password: str,
        sip_port: int,
        tone_hz: int,
        answer: Literal["auto", "manual"] = "auto",
        max_calls: int = 4,
    ) -> None:
        """Describe the phone; nothing is started yet.

        Args:
            build: which baresip to run.
            directory: where it keeps its files and recordings; made if it is not there.
            number: its number, which is also its SIP user name.
            password: its SIP password.
            sip_port: Asterisk's UDP port on 127.0.0.1.
            tone_hz: the tone it plays, a whole number so that it goes on without a click.
            answer: whether it picks up by itself, at once.
            max_calls: further calls are refused as busy (486).
        """
        self.number = number
        self.tone_hz = tone_hz
        self.events: Journal[PhoneEvent] = Journal()
        self._build = build
        self._directory = directory.resolve()
        self._account = (
            f"<sip:{number}@127.0.0.1:{sip_port};transport=udp>;auth_user={number}"
            f";auth_pass={password};regint=60;answermode={answer};audio_codecs=PCMU\n"
        )
        self._sip_port = sip_port
        self._max_calls = max_calls
        self._process: asyncio.subprocess.Process | None = None
        self._control: Control | None = None
        self._house: asyncio.Task[None] | None = None
        self._started = 0

    async def __aenter__(self) -> Self:
        """Start the phone."""
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop the phone."""
        await self.stop()

    # Its life

    async def start(self) -> None:
        """Start it; it begins to register by itself.

        Raises:
            LabError: baresip does not come up; the message has the end of its log.
        """
        control_port = free_tcp()
        self._write_files(control_port)
        self._started = self.events.mark()
        self._house = asyncio.create_task(self._keep_house())
        try:
            # -s: the SIP messages are logged as well; `introduce` reads them.
            self._process = await processes.spawn(
                (*self._build.command, "-f", str(self._directory), "-s"),
                cwd=self._directory,
                env={**self._build.env, "TZ": "UTC0"},
                output=self._log,
            )
            self._control = await Control.connect(
                control_port, self.events, still_alive=self._still_alive
            )
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """End it; baresip hangs up and unregisters on its way out."""
        await self._let_go()
        if self._process is not None:
            await processes.stop(self._process, patience=2)

    async def kill(self) -> None:
        """End it at once, as if its cable were pulled: nothing is hung up or unregistered."""
        await self._let_go()
        if self._process is not None and self._process.returncode is None:
            await processes.kill(self._process)

    @property
    def pid(self) -> int:
        """Its process id; 0 when it is not running."""
        process = self._process
        return process.pid if process is not None and process.returncode is None else 0

    async def registered(self, within: float = 5) -> None:
        """Wait until Asterisk has accepted its registration.

        Args:
            within: seconds.

        Raises:
            LabError: it was refused or not answered.
        """
        # It may have registered before we were connected: then only `reginfo` knows.
        if "OK" not in await self.do("reginfo"):
            await self.event("REGISTER_OK", within=within, since=self._started)

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
        over = {event.call_id for event in self.events.entries if event.type == "CALL_CLOSED"}
        begun = (event for event in self.events.entries if event.type == "CALL_ESTABLISHED")
        return [event.call_id for event in begun if event.call_id not in over]

    async def closed(self, within: float = 5, *, since: int = 0) -> str:
        """Wait until a call has ended and return the reason the phone shows."""
        return (await self.event("CALL_CLOSED", within=within, since=since)).param

    # What it hears

    @property
    def recordings(self) -> list[Path]:
        """What it heard, oldest first: a WAV file per call, and a new one when it holds a call.

        baresip names them by the second: of two calls begun in one second only the later is there.
        """
        return sorted(self._directory.glob("dump-*-dec.wav"))

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
        if self._house is not None:
            self._house.cancel()
            await asyncio.gather(self._house, return_exceptions=True)
            self._house = None
        if self._control is not None:
            await self._control.close()
            self._control = None

    async def _keep_house(self) -> None:
        while True:
            _forbid_own_voice(self._directory)
            for recording in self.recordings:
                tones.forget(recording, _KEPT_SECONDS)
            await asyncio.sleep(_HOUSE_EVERY)

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
        return f"sip:{number}@127.0.0.1:{self._sip_port}"

    def _still_alive(self) -> None:
        if self.pid:
            return
        end = processes.last_lines(self._log.read_text(errors="replace"), 12)
        raise LabError(f"baresip of {self.number} ended while starting; its log ends with:\n{end}")

    def _write_files(self, control_port: int) -> None:
        settings = _CONFIG.format(
            # It also listens for SIP over TLS, on the port after this one.
            sip=free_ports(2),
            control=control_port,
            tone=self.tone_hz,
            max_calls=self._max_calls,
            modules=self._build.module_dir,
        )
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            (self._directory / "accounts").write_text(self._account)
            (self._directory / "contacts").write_text("")
            (self._directory / "config").write_text(settings)
        except OSError as error:
            raise LabError(f"cannot write to {self._directory}: {error}") from error


_KEPT_SECONDS = 600.0
_HOUSE_EVERY = 5.0


def _forbid_own_voice(directory: Path) -> None:
    """Make baresip fail to record what the phone says, for the next seconds.

    Its recorder has two halves, and when the phone puts a call on hold baresip drops the half for
    what is heard, and sets up both again only if there is neither (1.0.0, src/audio.c,
    audio_decoder_set and aufilt_setup). So the other half must never come to be: a directory
    stands where its file would be, which is named after the second it starts in.
    """
    now = int(time.time())
    ahead = range(now - 1, now + 3 * int(_HOUSE_EVERY))
    names = [time.strftime("dump-%Y-%m-%d-%H-%M-%S-enc.wav", time.gmtime(t)) for t in ahead]
    for old in directory.glob("dump-*-enc.wav"):
        if old.name not in names and old.is_dir():
            old.rmdir()
    for name in names:
        with contextlib.suppress(FileExistsError):
            (directory / name).mkdir()


def _party(message: str, header: str) -> tuple[str, str]:
    """Return number and tag of a From or To header of a SIP message."""
    found = re.search(rf"^{header}:.*?sip:([^@>]*)@.*;tag=([^;\s]+)", message, re.MULTILINE)
    if found is None:
        raise LabError(f"no {header} with a tag in what baresip logged")
    return found.group(1), found.group(2)


# ausine knows only 48 kHz stereo, but goes on for ever; aufile would load the whole file at each
# call and hang up at its end. The player is a bridge with nobody at the other side: the recording
# is made before it. snd_path is the working directory, because a longer path would be cut off.
_CONFIG = """\
poll_method epoll
sip_listen 127.0.0.1:{sip}
net_interface 127.0.0.1
call_local_timeout 120
call_max_calls {max_calls}
audio_source ausine,{tone}
audio_player aubridge,nobody
audio_alert aubridge,nobody
ausrc_srate 48000
ausrc_channels 2
auplay_srate 8000
auplay_channels 1
audio_buffer 20-160
rtp_ports 40000-49999
jitter_buffer_delay 0-0
snd_path .
menu_bell no
ringback_disabled yes
statmode_default off
ctrl_tcp_listen 127.0.0.1:{control}
module_path {modules}
module g711.so
module ausine.so
module aubridge.so
module sndfile.so
module_tmp account.so
module_app menu.so
module_app ctrl_tcp.so
"""
