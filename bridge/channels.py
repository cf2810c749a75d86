"""Channels, the bridges they are in and the calls they make up, as they are known at a moment."""

from dataclasses import dataclass, field
from operator import attrgetter

from bridge.events import ChannelState
from bridge.memory import CallMemo, LegMemo
from bridge.model import NOTICE_PREFIX, WHISPER_LEG_PREFIX, CallerId, Extension, Technology

_INTERNAL = frozenset(
    {
        "Announcer",
        "AsyncGoto",
        "Bridge",
        "CBAnn",
        "CBRec",
        "Message",
        "MulticastRTP",
        "Recorder",
        "Snoop",
        "Surrogate",
        "UnicastRTP",
    }
)


@dataclass(slots=True, eq=False)
class Bridge:
    """A bridge with its members by Uniqueid; in a ``holding`` one nobody talks."""

    id: str
    holding: bool
    parking: bool
    members: dict[str, "Channel"] = field(default_factory=dict)


@dataclass(slots=True, eq=False)
class Channel:
    """A channel as the events have described it so far; times are epoch seconds."""

    uniqueid: str
    name: str
    kind: Technology
    extension: Extension | None
    dialed_number: str
    own_number: str
    state: int = 0
    caller_number: str = ""
    caller_name: str = ""
    connected_number: str = ""
    connected_name: str = ""
    call: "Call | None" = None
    view: int = 0
    bridge: Bridge | None = None
    parked: float | None = None
    pair: "Channel | None" = None
    dialer: "Channel | None" = None
    dialing: "tuple[Channel, ...]" = ()
    was_dialed: bool = False
    ringing: float | None = None
    answered: float | None = None
    holding: float | None = None
    recording: float | None = None
    spying: float | None = None
    remembered: str = ""

    @property
    def caller(self) -> CallerId:
        """The caller id of the channel itself."""
        return CallerId(self.caller_name, self.caller_number)

    @property
    def connected(self) -> CallerId:
        """What the channel's phone displays of the other side."""
        return CallerId(self.connected_name, self.connected_number)

    @property
    def is_party(self) -> bool:
        """Whether somebody's device is behind it, rather than a Local half or a spy."""
        return self.kind is Technology.DEVICE

    @property
    def is_view(self) -> bool:
        """Whether it is how an extension sees its call."""
        return self.view > 0 and self.kind is Technology.DEVICE and self.extension is not None

    @property
    def is_up(self) -> bool:
        """Whether it is answered."""
        return self.state == ChannelState.UP

    def memo(self) -> LegMemo:
        """What the PBX does not remember of it."""
        return LegMemo(**{name: getattr(self, name) for name in LegMemo.model_fields})

    def recall(self, memo: LegMemo) -> None:
        """Take over what was remembered of it; its view is the call's to give."""
        for name in LegMemo.model_fields:
            if name != "view":
                setattr(self, name, getattr(memo, name))


@dataclass(slots=True, eq=False)
class Call:
    """Channels that belong together; ``absorbed`` maps the ids and view numbers of calls it ate."""

    id: str
    published: float
    channels: dict[str, Channel] = field(default_factory=dict)
    absorbed: dict[str, dict[int, int]] = field(default_factory=dict)
    views_given: int = 0
    answered: float | None = None
    charged: Extension | None = None

    def parties(self) -> list[Channel]:
        """The legs of whoever takes part, extensions or not."""
        return [leg for leg in self.channels.values() if leg.is_party]

    def views(self) -> list[Channel]:
        """The legs that are views: device legs of extensions, in the order of their numbers."""
        legs = [leg for leg in self.channels.values() if leg.is_view]
        legs.sort(key=attrgetter("view"))
        return legs

    def view(self, call_id: str, number: int) -> Channel | None:
        """The view with that number in the call as ``call_id`` knew it."""
        if call_id in self.absorbed:
            number = self.absorbed[call_id].get(number, 0)
        return next((leg for leg in self.views() if leg.view == number), None)

    def number_view(self, leg: Channel) -> None:
        """Give a leg the next number; numbers are never given again."""
        self.views_given += 1
        leg.view = self.views_given

    def legs_to_remember(self) -> list[Channel]:
        """The legs that carry memos: all that last, in a call that has or had a view."""
        if not self.views_given:
            return []
        return [leg for leg in self.channels.values() if leg.kind is not Technology.LOCAL]

    def memo(self) -> CallMemo:
        """What the PBX does not remember of it."""
        return CallMemo(
            id=self.id,
            published=self.published,
            answered=self.answered,
            views_given=self.views_given,
            absorbed=self.absorbed,
            charged=self.charged.number if self.charged else None,
        )


def endpoint_of(name: str) -> str:
    """``PJSIP/0003*210-000001ed`` to ``PJSIP/0003*210``: exactly the endpoint, never a prefix."""
    return name.rpartition("-")[0]


def spied(data: str) -> str:
    """The Uniqueid a ChanSpy is bound to, from its application data ``UNIQUEID,OPTIONS``."""
    return data.partition(",")[0]


def kind_of(name: str, uniqueid: str) -> Technology:
    """What kind of channel it is, by its name and Uniqueid."""
    if uniqueid.startswith(WHISPER_LEG_PREFIX):
        return Technology.SPY
    if uniqueid.startswith(NOTICE_PREFIX):
        return Technology.INTERNAL
    technology = name.partition("/")[0]
    if technology in _INTERNAL or name.endswith("<ZOMBIE>"):
        return Technology.INTERNAL
    return Technology.LOCAL if technology == "Local" else Technology.DEVICE
