"""A real SIP softphone that plays a tone into its microphone and records what it hears.

It is baresip, told what to do over its ctrl_tcp interface: JSON in netstrings, one connection
(baresip 1.0.0, modules/ctrl_tcp/ctrl_tcp.c).
"""

import asyncio
import contextlib
import json
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from bridge.lab import processes
from bridge.lab.errors import LabError
from bridge.lab.packages import BaresipBuild
from bridge.lab.ports import free_tcp, free_udp
from bridge.lab.waiting import Journal

_ANSWER_LIMIT = 5.0
_CALLED = ("CALL_INCOMING", "CALL_ESTABLISHED")


@dataclass(frozen=True)
class PhoneEvent:
    """Something baresip reported.

    Attributes:
        at: when, on `time.monotonic()`.
        type: baresip's name for it, e.g. `CALL_INCOMING` or `REGISTER_OK`.
        call_id: the SIP Call-ID, if it is about a call.
        direction: `incoming` or `outgoing`, if it is about a call.
        number: the other party's number as this phone shows it.
        name: the other party's name as this phone shows it.
        param: what more there is, e.g. the reason of `CALL_CLOSED`.
    """

    at: float
    type: str
    call_id: str = ""
    direction: str = ""
    number: str = ""
    name: str = ""
    param: str = ""


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
        self._control: _Control | None = None

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
        self._process = await processes.spawn(
            (*self._build.command, "-f", str(self._directory)),
            cwd=self._directory,
            env=self._build.env,
            output=self._log,
        )
        try:
            self._control = await _Control.connect(control_port, self.events, self._alive)
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """End it; baresip hangs up and unregisters on its way out."""
        if self._control is not None:
            await self._control.close()
            self._control = None
        if self._process is not None:
            await processes.stop(self._process, patience=2)

    async def kill(self) -> None:
        """End it at once, as if its cable were pulled: nothing is hung up or unregistered."""
        if self._control is not None:
            await self._control.close()
            self._control = None
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
        if "OK" not in await self._do("reginfo"):
            await self.event("REGISTER_OK", within=within)

    # What one does with a phone

    async def dial(self, number: str) -> None:
        """Call a number through Asterisk; returns at once."""
        await self._do("dial", self._uri(number))

    async def pick_up(self) -> None:
        """Answer the call that rings."""
        await self._do("accept")

    async def hang_up(self) -> None:
        """End the current call; one that still rings is refused as busy (486)."""
        await self._do("hangup")

    async def hold(self) -> None:
        """Put the current call on hold."""
        await self._do("hold")

    async def resume(self) -> None:
        """Take the current call off hold."""
        await self._do("resume")

    async def transfer(self, number: str) -> None:
        """Send the other party of the current call to a number, unannounced (SIP REFER)."""
        await self._do("transfer", self._uri(number))

    async def press(self, keys: str) -> None:
        """Press keys during the current call (`0`-`9`, `*`, `#`), sent as RFC 4733 events."""
        for key in keys:
            await self._do("sndcode", key)

    async def do(self, command: str, params: str = "") -> str:
        """Run any other command of baresip's menu and return what it printed.

        Raises:
            LabError: baresip refused it or has gone.
        """
        return await self._do(command, params)

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

    async def closed(self, within: float = 5, *, since: int = 0) -> str:
        """Wait until a call has ended and return the reason the phone shows."""
        return (await self.event("CALL_CLOSED", within=within, since=since)).param

    # What it hears

    @property
    def recordings(self) -> list[Path]:
        """What it heard, one WAV file per call (and per change of codec), oldest first.

        Raises:
            LabError: baresip names them by the second; two calls in one second share one.
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

    @property
    def _log(self) -> Path:
        return self._directory / "log"

    def _uri(self, number: str) -> str:
        return f"sip:{number}@127.0.0.1:{self._sip_port}"

    async def _do(self, command: str, params: str = "") -> str:
        if self._control is None:
            raise LabError(f"{self.number} is not started")
        return await self._control.do(command, params)

    def _alive(self) -> None:
        if self.pid:
            return
        end = processes.last_lines(self._log.read_text(errors="replace"), 12)
        raise LabError(f"baresip of {self.number} ended while starting; its log ends with:\n{end}")

    def _write_files(self, control_port: int) -> None:
        settings = _CONFIG.format(
            sip=free_udp(),
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
jitter_buffer_delay 1-10
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


class _Control:
    """The connection to a phone's ctrl_tcp."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        events: Journal[PhoneEvent],
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._events = events
        self._responses: Journal[dict[str, Any]] = Journal()
        self._sent = 0
        self._reading = asyncio.create_task(self._read())

    @classmethod
    async def connect(
        cls, port: int, events: Journal[PhoneEvent], check: Any, limit: float = 10
    ) -> "_Control":
        try:
            async with asyncio.timeout(limit):
                while True:
                    check()
                    with contextlib.suppress(OSError):
                        return cls(*await asyncio.open_connection("127.0.0.1", port), events)
                    await asyncio.sleep(0.01)
        except TimeoutError as error:
            raise LabError(f"baresip does not listen after {limit:g} s") from error

    async def do(self, command: str, params: str) -> str:
        self._sent += 1
        token = str(self._sent)
        fields = {"command": command, "token": token, **({"params": params} if params else {})}
        text = json.dumps(fields).encode()
        self._writer.write(b"%d:%s," % (len(text), text))
        try:
            await asyncio.wait_for(self._writer.drain(), _ANSWER_LIMIT)
        except (OSError, TimeoutError) as error:
            raise LabError(f"baresip has gone: {error}") from error
        response = await self._responses.wait(
            lambda r: r.get("token") == token,
            f"baresip's answer to {command}",
            within=_ANSWER_LIMIT,
        )
        if not response["ok"]:
            raise LabError(f"baresip refused {command}: {response['data'].strip()}")
        return str(response["data"])

    async def close(self) -> None:
        self._reading.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._reading
        self._writer.close()
        with contextlib.suppress(OSError, TimeoutError):
            await asyncio.wait_for(self._writer.wait_closed(), 1)

    async def _read(self) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while True:
                size = int((await self._reader.readuntil(b":"))[:-1])
                text = await self._reader.readexactly(size + 1)
                self._deliver(json.loads(text[:-1].decode(errors="replace")))

    def _deliver(self, message: dict[str, Any]) -> None:
        if message.get("response"):
            self._responses.add(message)
            return
        self._events.add(
            PhoneEvent(
                at=time.monotonic(),
                type=message.get("type", ""),
                call_id=message.get("id", ""),
                direction=message.get("direction", ""),
                number=_user(message.get("peeruri", "")),
                name=message.get("peerdisplayname", ""),
                param=message.get("param", ""),
            )
        )


def _user(uri: str) -> str:
    """Return who a SIP URI names: of `sip:0003*210@127.0.0.1:5060` it is `0003*210`."""
    return uri.partition(":")[2].partition("@")[0]
