"""A real SIP softphone, baresip, that plays a tone as its microphone and records what it hears."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Final, Literal, Self, TypeAlias

from bridge.lab import housekeeping, processes
from bridge.lab.control import Control
from bridge.lab.errors import LabError
from bridge.lab.handset import Handset
from bridge.lab.housekeeping import Kept
from bridge.lab.packages import BaresipBuild
from bridge.lab.ports import free_ports, free_tcp

Answering: TypeAlias = Literal["auto", "manual", "header"]
"""When a phone picks up by itself: always, never, or when its INVITE asks for it (baresip 1.1)."""

_ACCOUNT: Final[Mapping[Answering, str]] = {
    "auto": "answermode=auto",
    "manual": "answermode=manual",
    "header": "answermode=manual;sip_autoanswer=yes",
}
_LOOPBACK = "127.0.0.1"


class Phone(Handset):
    """A softphone with one account, run by us.

    Use `async with Phone(…) as phone:`, which starts and stops it, or `start` and `stop`.
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
        answer: Answering = "auto",
        max_calls: int = 4,
        user: str = "",
        pbx: str = _LOOPBACK,
        address: str = _LOOPBACK,
        kept: Kept | None = None,
    ) -> None:
        """Describe the phone; nothing is started yet.

        Args:
            build: which baresip to run.
            directory: where it keeps its files and recordings; made if it is not there.
            number: its number.
            password: its SIP password.
            sip_port: Asterisk's UDP port.
            tone_hz: the tone it plays, a whole number so that it goes on without a click.
            answer: whether it picks up by itself, and why.
            max_calls: further calls are refused as busy (486).
            user: its SIP user name; the number if not given.
            pbx: the host where Asterisk is.
            address: the address of this machine that Asterisk can reach it at.
            kept: how much of its recordings and log to keep; more than any test needs.
        """
        super().__init__(
            directory.resolve(), number=number, tone_hz=tone_hz, pbx=f"{pbx}:{sip_port}"
        )
        self._build = build
        self._account = (
            f"<sip:{user or number}@{self._pbx};transport=udp>;auth_user={user or number}"
            f";auth_pass={password};regint=60;{_ACCOUNT[answer]};audio_codecs=PCMU\n"
        )
        self._max_calls = max_calls
        self._address = address
        self._kept = kept or Kept()
        self._process: asyncio.subprocess.Process | None = None
        self._house: asyncio.Task[None] | None = None

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
        self._house = asyncio.create_task(housekeeping.keep(self._directory, self._kept))
        try:
            # -s: the SIP messages are logged as well; `introduce` reads them.
            self._process = await processes.spawn(
                (*self._build.command, "-f", str(self._directory), "-s"),
                cwd=self._directory,
                env={**self._build.env, "TZ": "UTC0"},
                output=self._log,
            )
            self._control = await Control.connect(
                lambda: asyncio.open_connection(_LOOPBACK, control_port),
                self.events,
                still_alive=self._still_alive,
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

    # Inside

    async def _let_go(self) -> None:
        if self._house is not None:
            self._house.cancel()
            await asyncio.gather(self._house, return_exceptions=True)
            self._house = None
        await super()._let_go()

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
            address=self._address,
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
sip_listen {address}:{sip}
net_interface {address}
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
sip_autoanswer_beep no
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
