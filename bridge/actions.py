"""What the bridge asks of the PBX, as AMI actions.

The only place that knows action names. A control character in a value would end the header and
begin another one, or another action, so none ever passes (Asterisk documentation, AMI Actions).
"""

import re
from collections.abc import Collection, Coroutine, Mapping
from enum import Enum
from typing import NamedTuple, Protocol

from bridge.events import ANSWERED, STARTED
from bridge.memory import LEG_VARIABLE, SESSION_VARIABLE
from bridge.model import CallerId, SipHeader

_UNIQUEID = re.compile(r"[\w.-]+")

# Control characters, line and paragraph separators, and halves of surrogate pairs.
_FORBIDDEN = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


_LOUD, _SILENT = "0", "-32767"
"""Values of VOLUME: as it is, and every sample of 16 bits divided until nothing is left."""


GONE = frozenset({"No such channel", "Channel not found"})
"""What the PBX answers when the channel has just ended."""


class Direction(Enum):
    """One of the directions of a channel's sound, as the function VOLUME names it."""

    FROM_PHONE = "VOLUME(RX)"
    TO_PHONE = "VOLUME(TX)"


class Action(NamedTuple):
    """An AMI action: headers in order, and for a list action the event that closes its answer."""

    headers: Mapping[str, str]
    complete: str | None = None

    @property
    def name(self) -> str:
        """The action's name."""
        return self.headers["Action"]


class Answer(NamedTuple):
    """What the PBX said to an action; ``items`` is the list, where one was asked for."""

    success: bool
    message: str
    headers: Mapping[str, str]
    items: tuple[Mapping[str, str], ...] = ()


class Pbx(Protocol):
    """The link to a PBX."""

    def send(self, action: Action) -> Coroutine[None, None, Answer]:
        """Send an action, once; awaited, it gives the answer.

        Awaiting raises LinkLost when the link is down or goes, and PbxUnavailable when the PBX
        stays silent too long; whether the action was carried out is then unknown.
        """


def _action(name: str, complete: str | None = None, **headers: str) -> Action:
    # The one gate: all values in one search, since a whisper waits for it.
    if _FORBIDDEN.search("".join(headers.values())):
        wrong = next(header for header, value in headers.items() if _FORBIDDEN.search(value))
        raise ValueError(f"a control character in {wrong} of {name}")
    return Action({"Action": name, **headers}, complete)


class Spy(NamedTuple):
    """A spy to be: the exact Uniqueid of its target, ChanSpy's options, and what is silenced."""

    target: str
    options: str
    silenced: Collection[Direction] = ()


def originate_spy(
    leg: str,
    endpoint: str,
    spy: Spy,
    caller_id: CallerId,
    seconds: int,
    memo: str,
    header: SipHeader | None = None,
) -> Action:
    """Call a phone and, once it answers, let it listen, whisper or barge in.

    ``leg`` becomes the new channel's Uniqueid, ``endpoint`` is whom to call (``PJSIP/0003*024``),
    ``seconds`` how long to ring, ``memo`` what the leg is to remember and ``header`` what its
    INVITE is to say besides (in both a comma would begin another variable). Raises ValueError when
    a value holds a control character or the target is no Uniqueid. Source: Asterisk documentation,
    Originate.
    """
    if not _UNIQUEID.fullmatch(spy.target):
        raise ValueError("the target is no Uniqueid")
    more = "".join(f",{direction.value}={_SILENT}" for direction in spy.silenced)
    if header is not None:
        more += f",{_sent_with_invite(endpoint, header)}"
    return _action(
        "Originate",
        Channel=endpoint,
        Application="ChanSpy",
        Data=f"{spy.target},{spy.options}",
        CallerID=f"{caller_id.name} <{caller_id.number}>".lstrip(),
        Timeout=str(seconds * 1000),
        ChannelId=leg,
        Variable=f"{SESSION_VARIABLE}={memo}{more}",
        Async="true",
    )


_NO_CDR = "CDR_PROP(disable)=1"
"""The variable that has the PBX keep no call detail record of a channel."""

NOTICE_CONTEXT = "whisper-bridge-notice"
"""The context of the dialplan that plays notices."""


def originate_notice(spy: str, player: str, target: str, sound: str) -> Action:
    """Have a sound whispered to a channel and to nobody else.

    ``spy`` and ``player`` become the Uniqueids of the halves of a Local channel: one whispers to
    ``target`` (a Uniqueid) what the other plays, which ends with the sound. Raises ValueError as
    ``originate_spy`` does. Source: Asterisk documentation, Originate, Local Channel, ChanSpy.
    """
    if not _UNIQUEID.fullmatch(target):
        raise ValueError("the target is no Uniqueid")
    return _play(spy, player, sound, Application="ChanSpy", Data=f"{target},uqwES")


def originate_trial(hears: str, player: str, sound: str, seconds: int) -> Action:
    """Have a sound played as a notice is, but to nobody, for so many seconds at most.

    ``hears`` and ``player`` become the Uniqueids of the halves of a Local channel. Raises
    ValueError as ``originate_spy`` does. Source: Asterisk documentation, Originate, Local Channel.
    """
    return _play(hears, player, sound, Application="Wait", Data=str(seconds))


def _play(half: str, player: str, sound: str, **to: str) -> Action:
    return _action(
        "Originate",
        Channel=f"Local/s@{NOTICE_CONTEXT}",
        ChannelId=half,
        OtherChannelId=player,
        Variable=f"WHISPER_BRIDGE_NOTICE={sound},{_NO_CDR}",
        Async="true",
        **to,
    )


def application(uniqueid: str) -> Action:
    """Ask which application of the dialplan a channel is in: ``Application`` of the one item."""
    return _action("Status", complete="StatusComplete", Channel=uniqueid)


def context_exists(context: str) -> Action:
    """Ask whether the dialplan has the extension s of a context: the ``Value`` is 1 or 0.

    It is empty where func_dialplan is not loaded (Asterisk documentation, DIALPLAN_EXISTS).
    """
    return _action("Getvar", Variable=f"DIALPLAN_EXISTS({context},s,1)")


def _sent_with_invite(endpoint: str, header: SipHeader) -> str:
    """The variable that has Asterisk send a header with the INVITE to an endpoint.

    Source: Asterisk documentation, function PJSIP_HEADER; chan_sip's SIPAddHeader leaves what it
    adds in variables named so.
    """
    if endpoint.startswith("SIP/"):
        return f"SIPADDHEADER01={header.name}: {header.value}"
    return f"PJSIP_HEADER(add,{header.name})={header.value}"


def set_volume(uniqueid: str, direction: Direction, *, loud: bool) -> Action:
    """Let a channel's sound of one direction pass, or silence it.

    Source: Asterisk documentation, function VOLUME; it goes on sending silence, where MUTEAUDIO
    would send nothing at all and have the phone think that the line is dead.
    """
    value = _LOUD if loud else _SILENT
    return _action("Setvar", Channel=uniqueid, Variable=direction.value, Value=value)


def press(uniqueid: str, digit: str) -> Action:
    """Press a key of a channel's phone, as if it had been: nobody hears it.

    Source: Asterisk documentation, PlayDTMF with ``Receive``.
    """
    return _action("PlayDTMF", Channel=uniqueid, Digit=digit, Receive="true")


def hang_up(uniqueid: str) -> Action:
    """End a channel with cause 16, normal clearing (ITU-T Q.850)."""
    return _action("Hangup", Channel=uniqueid, Cause="16")


def remember(uniqueid: str, memo: str) -> Action:
    """Write a memo on a channel."""
    return _action("Setvar", Channel=uniqueid, Variable=LEG_VARIABLE, Value=memo)


def remember_session(uniqueid: str, memo: str) -> Action:
    """Write the memo of a session on its leg."""
    return _action("Setvar", Channel=uniqueid, Variable=SESSION_VARIABLE, Value=memo)


NO_DEVICE = "INVALID"
"""The state of a device of which the PBX knows nothing."""


def device_state(endpoint: str) -> Action:
    """Ask for the state of a device: the answer's ``Value`` is ``UNAVAILABLE``, ``INVALID``, …."""
    return _action("Getvar", Variable=f"DEVICE_STATE({endpoint})")


def list_devices() -> Action:
    """List the devices whose state the PBX knows, each with its ``Device`` and ``State``."""
    return _action("DeviceStateList", complete="DeviceStateListComplete")


def list_channels() -> Action:
    """List all channels, each with its memos and times."""
    variables = ",".join((LEG_VARIABLE, SESSION_VARIABLE, STARTED, ANSWERED))
    return _action("Status", complete="StatusComplete", Variables=variables)


def originate_nowhere(leg: str, endpoint: str) -> Action:
    """Call an endpoint that does not exist: it fails at once, and no phone rings.

    ``leg`` is the Uniqueid the channel would have; the OriginateResponse names it.
    """
    return _action(
        "Originate",
        Channel=endpoint,
        Application="ChanSpy",
        Data=f"{leg},uqES",
        Timeout="1000",
        ChannelId=leg,
        Async="true",
    )


def list_commands() -> Action:
    """Ask which actions this AMI user may use: each is a header of the answer."""
    return _action("ListCommands")


def module_loaded(module: str) -> Action:
    """Ask whether a module is loaded: the answer's ``Value`` is 1 or 0.

    It is empty where func_module is not loaded itself (Asterisk documentation, IFMODULE).
    """
    return _action("Getvar", Variable=f"IFMODULE({module}.so)")


def core_settings() -> Action:
    """Ask for the ``AsteriskVersion``, among others."""
    return _action("CoreSettings")


def list_bridges() -> Action:
    """List all bridges."""
    return _action("BridgeList", complete="BridgeListComplete")


def ping() -> Action:
    """Ask for a sign of life; the answer's ``Timestamp`` is the PBX's time in epoch seconds."""
    return _action("Ping")
