"""Raw AMI messages to typed events; what the bridge does not need becomes None.

The name of an event is looked at before anything is built from it: of the events a busy PBX
sends, most are not ours. Header names are Asterisk's own (Asterisk documentation, AMI Events).
"""

import re
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import NamedTuple

from bridge.memory import LEG_VARIABLE, SESSION_VARIABLE

Headers = Mapping[str, str]

UNKNOWN = "<unknown>"
"""What AMI prints for a name or number that is not set."""

STARTED, ANSWERED = "CDR(start,u)", "CDR(answer,u)"
"""What the PBX can be asked of a channel's times (Asterisk documentation, function CDR)."""

UNSET = "(null)"
"""What AMI prints for a variable that is not set."""

HOLDING = "holding_bridge"
"""The technology of bridges in which channels are held, and do not talk."""

_ESCAPES = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}


class ChannelState:
    """Values of the ``ChannelState`` header (Asterisk, ``include/asterisk/channelstate.h``)."""

    RING = 4
    RINGING = 5
    UP = 6


class Snapshot(NamedTuple):
    """A channel as an event describes it; numbers and names are empty when not set."""

    uniqueid: str
    linkedid: str
    name: str
    state: int
    caller_number: str
    caller_name: str
    connected_number: str
    connected_name: str
    exten: str


class Seen(NamedTuple):
    """A channel was created, or changed its state, caller id or connected line."""

    channel: Snapshot


class Renamed(NamedTuple):
    """A channel took another name (a masquerade does that)."""

    uniqueid: str
    name: str


class Leaving(NamedTuple):
    """The phone of a channel hung up, not somebody on the PBX; the end of the channel follows."""

    channel: Snapshot


class HungUp(NamedTuple):
    """A channel ended; ``cause`` is a Q.850 cause, 0 when the PBX gives none."""

    channel: Snapshot
    cause: int


class DialBegun(NamedTuple):
    """A channel (None for an Originate) began to call another."""

    caller: Snapshot | None
    dialed: Snapshot


class DialEnded(NamedTuple):
    """The call of a channel to another was answered or failed."""

    caller: Snapshot | None
    dialed: Snapshot


class Entered(NamedTuple):
    """A channel entered a bridge; in a ``holding`` bridge nobody talks; one may be for parking."""

    channel: Snapshot
    bridge: str
    holding: bool
    parking: bool


class Left(NamedTuple):
    """A channel left a bridge."""

    channel: Snapshot
    bridge: str


class LocalPaired(NamedTuple):
    """Two halves of a Local channel belong together."""

    one: Snapshot
    two: Snapshot


class HoldChanged(NamedTuple):
    """The device of a channel put its call on hold, or took it back."""

    channel: Snapshot
    held: bool


class RecordingChanged(NamedTuple):
    """A recording of a channel began or ended."""

    channel: Snapshot
    running: bool


class SpyStarted(NamedTuple):
    """A spy's audio is connected to its target."""

    spyer: Snapshot
    spyee: Snapshot


class SpyStopped(NamedTuple):
    """A spy let go of its target."""

    spyer: Snapshot


class KeyPressed(NamedTuple):
    """A key of a channel's phone was pressed and let go, or AMI had it be so."""

    channel: Snapshot
    digit: str


class Originated(NamedTuple):
    """What became of an asynchronous Originate; without a leg ``uniqueid`` may be empty."""

    action_id: str
    uniqueid: str
    success: bool


class ShutDown(NamedTuple):
    """The PBX is about to end."""


class Listed(NamedTuple):
    """A channel in the PBX's own list; ``age`` in seconds.

    ``bridge``, ``memo`` (of the leg) and ``session`` (of a whisper) may be empty; ``started`` and
    ``answered`` are epoch seconds, None where the PBX keeps no call detail records.
    """

    channel: Snapshot
    bridge: str
    application: str
    data: str
    age: int
    memo: str = ""
    session: str = ""
    started: float | None = None
    answered: float | None = None


Event = (
    Seen
    | Renamed
    | Leaving
    | HungUp
    | DialBegun
    | DialEnded
    | Entered
    | Left
    | LocalPaired
    | HoldChanged
    | RecordingChanged
    | SpyStarted
    | SpyStopped
    | KeyPressed
    | Originated
    | ShutDown
)


def unescape(text: str) -> str:
    r"""Undo the C escapes Asterisk puts into names (``Joe \"Big\"``); ``<unknown>`` is empty."""
    if text == UNKNOWN:
        return ""
    if "\\" not in text:
        return text
    plain, escaped = [], False
    for char in text:
        if escaped:
            plain.append(_ESCAPES.get(char, char))
        elif char != "\\":
            plain.append(char)
        escaped = char == "\\" and not escaped
    return "".join(plain)


def _number(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        return 0


_STATES = {str(state): state for state in range(ChannelState.UP + 1)}

_SUFFIXES = (
    "Channel",
    "ChannelState",
    "CallerIDNum",
    "CallerIDName",
    "ConnectedLineNum",
    "ConnectedLineName",
    "Exten",
    "Uniqueid",
    "Linkedid",
)


class _Part:
    """The headers of an event that describe one channel: those that begin with ``prefix``."""

    def __init__(self, prefix: str) -> None:
        self._keys = tuple(prefix + suffix for suffix in _SUFFIXES)
        # The order in which Asterisk writes them (main/manager_channels.c,
        # ast_manager_build_channel_state_string_prefix): one search in the place of nine.
        channel, state, number, name, line, other, exten, uniqueid, linkedid = (
            f"{key}: ([^\r]*)\r\n" for key in self._keys
        )
        skip = "[^\r]*\r\n"
        self._in_order = re.compile(
            f"\n{channel}{state}{skip}{number}{name}{line}{other}"
            f"{skip}{skip}{skip}{exten}{skip}{uniqueid}{linkedid}"[: -len("\r\n")]
        )

    def of(self, text: str) -> Snapshot:
        """The channel in an event. Raises KeyError when it has no name or no Uniqueid."""
        found = self._in_order.search(text)
        if found is None:
            return self.assemble(partial(field, text))
        name, state, number, caller, line, other, exten, uniqueid, linkedid = found.groups()
        if not name or not uniqueid:
            raise KeyError(self._keys[0])
        if "\\" in text or UNKNOWN in text:
            number, caller = unescape(number), unescape(caller)
            line, other = unescape(line), unescape(other)
        known = _STATES.get(state)
        known = _number(state) if known is None else known
        values = (uniqueid, linkedid, name, known, number, caller, line, other, exten)
        # What its own constructor does, in half the time.
        return tuple.__new__(Snapshot, values)

    def assemble(self, get: Callable[[str], str | None]) -> Snapshot:
        """The channel of which ``get`` gives the headers, whatever their order."""
        name, state, number, caller, line, other, exten, uniqueid, linkedid = map(get, self._keys)
        if not name or not uniqueid:
            raise KeyError(self._keys[0])
        return Snapshot(
            uniqueid,
            linkedid or uniqueid,
            name,
            _number(state or ""),
            unescape(number or ""),
            unescape(caller or ""),
            unescape(line or ""),
            unescape(other or ""),
            exten or "",
        )


_CHANNEL, _DEST, _SPYER, _SPYEE = _Part(""), _Part("Dest"), _Part("Spyer"), _Part("Spyee")
_ONE, _TWO = _Part("LocalOne"), _Part("LocalTwo")


def field(text: str, key: str) -> str | None:
    """The value of a header of an event, the first if it is repeated; None when it is not there."""
    start = text.find(f"\r\n{key}: ")
    if start < 0:
        return None
    start += len(key) + 4
    end = text.find("\r\n", start)
    return text[start:] if end < 0 else text[start:end]


def _required(text: str, key: str) -> str:
    value = field(text, key)
    if not value:
        raise KeyError(key)
    return value


def _caller(text: str) -> Snapshot | None:
    return _CHANNEL.of(text) if field(text, "Uniqueid") else None


def _entered(text: str) -> Entered:
    holding = f"\r\nBridgeTechnology: {HOLDING}\r\n" in text
    parking = "\r\nBridgeType: parking\r\n" in text
    return Entered(_CHANNEL.of(text), _required(text, "BridgeUniqueid"), holding, parking)


def _hung_up(text: str) -> HungUp:
    return HungUp(_CHANNEL.of(text), _number(field(text, "Cause") or ""))


def _originated(text: str) -> Originated:
    return Originated(
        field(text, "ActionID") or "",
        unescape(field(text, "Uniqueid") or ""),
        field(text, "Response") == "Success",
    )


def _key_pressed(text: str) -> KeyPressed:
    if field(text, "Direction") != "Received":
        raise KeyError("Direction")
    return KeyPressed(_CHANNEL.of(text), _required(text, "Digit"))


def _seen(text: str) -> Seen:
    return Seen(_CHANNEL.of(text))


_BUILDERS: dict[bytes, Callable[[str], Event]] = {
    b"Newchannel": _seen,
    b"Newstate": _seen,
    b"NewCallerid": _seen,
    b"NewConnectedLine": _seen,
    b"Rename": lambda text: Renamed(_required(text, "Uniqueid"), _required(text, "Newname")),
    b"HangupRequest": lambda text: Leaving(_CHANNEL.of(text)),
    b"Hangup": _hung_up,
    b"DialBegin": lambda text: DialBegun(_caller(text), _DEST.of(text)),
    b"DialEnd": lambda text: DialEnded(_caller(text), _DEST.of(text)),
    b"BridgeEnter": _entered,
    b"BridgeLeave": lambda text: Left(_CHANNEL.of(text), _required(text, "BridgeUniqueid")),
    b"LocalBridge": lambda text: LocalPaired(_ONE.of(text), _TWO.of(text)),
    b"Hold": lambda text: HoldChanged(_CHANNEL.of(text), held=True),
    b"Unhold": lambda text: HoldChanged(_CHANNEL.of(text), held=False),
    b"MixMonitorStart": lambda text: RecordingChanged(_CHANNEL.of(text), running=True),
    b"MixMonitorStop": lambda text: RecordingChanged(_CHANNEL.of(text), running=False),
    b"ChanSpyStart": lambda text: SpyStarted(_SPYER.of(text), _SPYEE.of(text)),
    b"ChanSpyStop": lambda text: SpyStopped(_SPYER.of(text)),
    b"DTMFEnd": _key_pressed,
    b"OriginateResponse": _originated,
    b"Shutdown": lambda text: ShutDown(),
}

BEGINNINGS = frozenset((name + b"\r\n")[:5] for name in _BUILDERS)
"""How the names of the events the bridge lives on begin: enough to pass over most others."""


def worth_reading(messages: Iterable[bytes]) -> list[bytes]:
    """Those that may be an event the bridge needs, or are no event.

    Five in six are none of ours: a glance at the name is all they get, and no line of a loop.
    """
    beginnings = BEGINNINGS
    return [message for message in messages if message[7:12] in beginnings or message[:1] != b"E"]


def headers_of(message: bytes) -> dict[str, str]:
    """The headers of one whole AMI message, without its closing blank line.

    Bytes that are no UTF-8 become U+FFFD; of a repeated header the last one stays. A channel
    variable (``Variable: NAME=value``) stands under ``Variable: NAME``, if it is set.
    """
    headers = {}
    for line in message.decode("utf-8", "replace").split("\r\n"):
        key, _, value = line.partition(": ")
        if key == "Variable" and "=" in value:
            name, _, value = value.partition("=")
            key = f"Variable: {name}"
        if value != UNSET:
            headers[key] = value
    return headers


def parse(message: bytes) -> Event | None:
    """One whole AMI message to an event.

    Returns None for a response, for an event the bridge does not need, and for one that lacks
    the headers its kind must have.
    """
    builder = _BUILDERS.get(message[7 : message.find(b"\r\n", 7)])
    if builder is None or not message.startswith(b"Event: "):
        return None
    try:
        return builder(message.decode("utf-8", "replace"))
    except KeyError:
        return None


def is_holding(headers: Headers) -> bool:
    """Whether a bridge only holds its channels (parking and the like): they do not talk."""
    return headers.get("BridgeTechnology") == HOLDING


def listed(headers: Headers) -> Listed:
    """An item of the answer to Status, asked with the variables of the memos.

    Raises KeyError when it names no channel.
    """
    get = headers.get
    return Listed(
        _CHANNEL.assemble(get),
        get("BridgeID", ""),
        get("Application", ""),
        get("Data", ""),
        _number(get("Seconds", "")),
        get(f"Variable: {LEG_VARIABLE}", ""),
        get(f"Variable: {SESSION_VARIABLE}", ""),
        _epoch(get(f"Variable: {STARTED}", "")),
        _epoch(get(f"Variable: {ANSWERED}", "")),
    )


def _epoch(text: str) -> float | None:
    """Seconds as a call detail record has them; 0 is never."""
    found = re.fullmatch(r"\d+(?:\.\d+)?", text)
    return float(text) or None if found else None
