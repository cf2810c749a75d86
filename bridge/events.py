"""Raw AMI messages to typed events; what the bridge does not need becomes None.

The name of an event is looked at before anything is built from it: of the events a busy PBX
sends, most are not ours. Header names are Asterisk's own (Asterisk documentation, AMI Events).
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

Headers = Mapping[str, str]

UNKNOWN = "<unknown>"
"""What AMI prints for a name or number that is not set."""

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


class Originated(NamedTuple):
    """What became of an asynchronous Originate; without a leg ``uniqueid`` may be empty."""

    action_id: str
    uniqueid: str
    success: bool


class Listed(NamedTuple):
    """A channel in the answer to CoreShowChannels; ``age`` in seconds, ``bridge`` may be empty."""

    channel: Snapshot
    bridge: str
    application: str
    data: str
    age: int


Event = (
    Seen
    | Renamed
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
    | Originated
)


class _Keys(NamedTuple):
    uniqueid: str
    linkedid: str
    name: str
    state: str
    caller_number: str
    caller_name: str
    connected_number: str
    connected_name: str
    exten: str


def _keys(prefix: str) -> _Keys:
    suffixes = (
        "Uniqueid Linkedid Channel ChannelState CallerIDNum CallerIDName"
        " ConnectedLineNum ConnectedLineName Exten"
    )
    return _Keys(*(prefix + suffix for suffix in suffixes.split()))


_PLAIN, _DEST, _SPYER, _SPYEE = _keys(""), _keys("Dest"), _keys("Spyer"), _keys("Spyee")
_ONE, _TWO = _keys("LocalOne"), _keys("LocalTwo")


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
    return int(text) if text.isascii() and text.isdigit() else 0


def _seconds(duration: str) -> int:
    parts = duration.split(":")
    return sum(_number(part) * 60**power for power, part in enumerate(reversed(parts)))


def _snapshot(headers: Headers, keys: _Keys = _PLAIN) -> Snapshot:
    get = headers.get
    uniqueid = headers[keys.uniqueid]
    return Snapshot(
        uniqueid,
        get(keys.linkedid) or uniqueid,
        headers[keys.name],
        _number(get(keys.state, "")),
        unescape(get(keys.caller_number, "")),
        unescape(get(keys.caller_name, "")),
        unescape(get(keys.connected_number, "")),
        unescape(get(keys.connected_name, "")),
        get(keys.exten, ""),
    )


def _caller(headers: Headers) -> Snapshot | None:
    return _snapshot(headers) if headers.get("Uniqueid") else None


def _entered(headers: Headers) -> Entered:
    return Entered(
        _snapshot(headers),
        headers["BridgeUniqueid"],
        is_holding(headers),
        headers.get("BridgeType") == "parking",
    )


def _originated(headers: Headers) -> Originated:
    uniqueid = headers.get("Uniqueid", "")
    return Originated(
        headers.get("ActionID", ""),
        "" if uniqueid == UNKNOWN else uniqueid,
        headers.get("Response") == "Success",
    )


def _seen(headers: Headers) -> Seen:
    return Seen(_snapshot(headers))


_BUILDERS: dict[str, Callable[[Headers], Event]] = {
    "Newchannel": _seen,
    "Newstate": _seen,
    "NewCallerid": _seen,
    "NewConnectedLine": _seen,
    "Rename": lambda h: Renamed(h["Uniqueid"], h["Newname"]),
    "Hangup": lambda h: HungUp(_snapshot(h), _number(h.get("Cause", ""))),
    "DialBegin": lambda h: DialBegun(_caller(h), _snapshot(h, _DEST)),
    "DialEnd": lambda h: DialEnded(_caller(h), _snapshot(h, _DEST)),
    "BridgeEnter": _entered,
    "BridgeLeave": lambda h: Left(_snapshot(h), h["BridgeUniqueid"]),
    "LocalBridge": lambda h: LocalPaired(_snapshot(h, _ONE), _snapshot(h, _TWO)),
    "Hold": lambda h: HoldChanged(_snapshot(h), held=True),
    "Unhold": lambda h: HoldChanged(_snapshot(h), held=False),
    "MixMonitorStart": lambda h: RecordingChanged(_snapshot(h), running=True),
    "MixMonitorStop": lambda h: RecordingChanged(_snapshot(h), running=False),
    "ChanSpyStart": lambda h: SpyStarted(_snapshot(h, _SPYER), _snapshot(h, _SPYEE)),
    "ChanSpyStop": lambda h: SpyStopped(_snapshot(h, _SPYER)),
    "OriginateResponse": _originated,
}

WANTED = frozenset(_BUILDERS)
"""Names of the events the bridge lives on."""


def headers_of(message: bytes) -> dict[str, str]:
    """The headers of one whole AMI message, without its closing blank line.

    Bytes that are no UTF-8 become U+FFFD; of a repeated header the last one stays.
    """
    lines = message.decode("utf-8", "replace").split("\r\n")
    return {key: value for key, _, value in (line.partition(": ") for line in lines)}


def name_of(message: bytes) -> str | None:
    """The name of an event, or None when the message is no event."""
    if not message.startswith(b"Event: "):
        return None
    end = message.find(b"\r\n")
    return message[7 : end if end >= 0 else None].decode("latin-1")


def parse(message: bytes) -> Event | None:
    """One whole AMI message to an event.

    Returns None for a response, for an event the bridge does not need, and for one that lacks
    the headers its kind must have.
    """
    builder = _BUILDERS.get(name_of(message) or "")
    if builder is None:
        return None
    try:
        return builder(headers_of(message))
    except KeyError:
        return None


def is_holding(headers: Headers) -> bool:
    """Whether a bridge only holds its channels (parking and the like): they do not talk."""
    return headers.get("BridgeTechnology") == "holding_bridge"


def listed(headers: Headers) -> Listed:
    """A ``CoreShowChannel`` item of the answer to CoreShowChannels.

    Raises KeyError when it names no channel.
    """
    return Listed(
        _snapshot(headers),
        headers.get("BridgeId", ""),
        headers.get("Application", ""),
        headers.get("ApplicationData", ""),
        _seconds(headers.get("Duration", "")),
    )
