"""The live picture of the PBX: its events move channels, bridges and calls along.

A call is what belongs together by Dial, by a bridge in which people talk, or by a Local pair. A
Linkedid joins a channel to its call at birth only: later it may change without an event. When
two calls become one, the older id lives on and the younger keeps resolving.

Events may come early, twice or never. A channel is adopted from whichever event names it first,
and one that has ended is never brought back by a straggler.
"""

from collections import deque
from collections.abc import Callable, Iterable
from hashlib import sha256
from typing import Any

from bridge import events
from bridge.channels import Bridge, Call, Channel, endpoint_of, kind_of, spied
from bridge.events import ChannelState, Event, Listed, Snapshot
from bridge.memory import CallMemo, Memo, unpack
from bridge.model import WHISPER_LEG_PREFIX, Extension, Technology

ExtensionOf = Callable[[str], Extension | None]
"""Endpoint (``PJSIP/0003*210``) to the extension that owns it."""

_REMEMBERED_ENDS = 1024


def call_id(pbx: str, linkedid: str) -> str:
    """The id of the call that began as ``linkedid``: 20 hex digits, the same after a restart."""
    return sha256(f"{pbx}\n{linkedid}".encode()).hexdigest()[:20]


class Picture:
    """The channels and calls of one PBX, kept true by its events.

    ``pbx`` is the PBX's name (it goes into call ids), ``extension_of`` says whose endpoint it is
    and ``extension_by_number`` whose number. Feed every event in the order of arrival with the
    time it was read, in epoch seconds.
    """

    def __init__(
        self,
        pbx: str,
        extension_of: ExtensionOf,
        extension_by_number: ExtensionOf = lambda number: None,
    ) -> None:
        self._pbx = pbx
        self._extension_of = extension_of
        self._extension_by_number = extension_by_number
        self._calls: dict[str, Call] = {}
        self._ended: deque[str] = deque(maxlen=_REMEMBERED_ENDS)
        self._ended_set: set[str] = set()
        self.channels: dict[str, Channel] = {}
        self.bridges: dict[str, Bridge] = {}
        self.touched: dict[str, Call] = {}
        """Calls of which something changed that must be remembered."""
        self.changed: dict[str, None] | None = None
        """Ids of calls that may look different to clients, in the order in which they came to;
        None while nobody follows them."""

    def take_touched(self) -> list[Call]:
        """The calls that were touched since the last time; they are untouched now."""
        touched, self.touched = list(self.touched.values()), {}
        return touched

    def call(self, call_id: str) -> Call | None:
        """The call with that id, or the one that took it over."""
        return self._calls.get(call_id)

    def calls(self) -> list[Call]:
        """Every call, each once."""
        return [call for known_as, call in self._calls.items() if known_as == call.id]

    def feed(self, event: Event, now: float) -> None:
        """Move the picture along by one event."""
        move = _MOVES.get(type(event))
        if move is not None:
            move(self, event, now)

    def reconcile(self, listing: Iterable[Listed], holding: Iterable[str], now: float) -> None:
        """Make the picture what the PBX lists: what is not there has ended, what is there lives.

        ``holding`` are the ids of holding bridges. What is known of a channel that lives on (its
        call, its view, its times) is kept.
        """
        items = {item.channel.uniqueid: item for item in listing}
        for uniqueid in [known for known in self.channels if known not in items]:
            self._forget(uniqueid)
        for channel in self.channels.values():
            self._undial(channel)
        silent = frozenset(holding)
        # Numbers that were given before come first, then the oldest channels.
        for item in sorted(items.values(), key=lambda item: (not item.memo, -item.age)):
            self._restore(item, silent, now)
        self._restore_pairs()
        for item in items.values():
            self._restore_dial(item)
            self._restore_spy(item, now)
        self.touched = {call.id: call for call in self.calls()}

    def reassign(self) -> None:
        """Ask anew whose the endpoints of all channels are, once their owners may have changed.

        A leg that was nobody's becomes a view, one that is nobody's any more is shown no longer.
        """
        for channel in self.channels.values():
            channel.extension = self._extension_of(endpoint_of(channel.name))
            self._number(channel)
            if channel.is_view and channel.call is not None:
                channel.call.answered = channel.call.answered or channel.answered
        for call in self.calls():
            if call.charged is not None:
                call.charged = self._extension_by_number(call.charged.number) or call.charged

    # Moves, one for each kind of event

    def _seen(self, event: events.Seen, now: float) -> None:
        self._adopt(event.channel, now)

    def _renamed(self, event: events.Renamed, now: float) -> None:
        channel = self.channels.get(event.uniqueid)
        if channel is not None:
            self._rename(channel, event.name, now)

    def _hung_up(self, event: events.HungUp, now: float) -> None:
        self._forget(event.channel.uniqueid)

    def _dial_begun(self, event: events.DialBegun, now: float) -> None:
        dialed = self._adopt(event.dialed, now)
        caller = event.caller and self._adopt(event.caller, now)
        if dialed is None:
            return
        dialed.was_dialed = True
        self._touch(dialed)
        if caller is None or caller is dialed:
            return
        self._dial(caller, dialed)

    def _dial_ended(self, event: events.DialEnded, now: float) -> None:
        dialed = self.channels.get(event.dialed.uniqueid)
        if dialed is not None:
            self._mark(dialed.call)
            self._undial(dialed)

    def _entered(self, event: events.Entered, now: float) -> None:
        channel = self._adopt(event.channel, now)
        if channel is None:
            return
        known = self.bridges.get(event.bridge)
        bridge = known or Bridge(event.bridge, event.holding, event.parking)
        self._enter(channel, bridge, now)

    def _left(self, event: events.Left, now: float) -> None:
        channel = self.channels.get(event.channel.uniqueid)
        if channel is not None and channel.bridge and channel.bridge.id == event.bridge:
            self._mark(channel.call)
            self._leave(channel)

    def _local_paired(self, event: events.LocalPaired, now: float) -> None:
        one, two = self._adopt(event.one, now), self._adopt(event.two, now)
        if one is None or two is None or one is two:
            return
        self._pair(one, two)

    def _hold_changed(self, event: events.HoldChanged, now: float) -> None:
        channel = self._adopt(event.channel, now)
        if channel is not None:
            channel.holding = (channel.holding or now) if event.held else None
            self._touch(channel)

    def _recording_changed(self, event: events.RecordingChanged, now: float) -> None:
        channel = self._adopt(event.channel, now)
        if channel is not None:
            channel.recording = (channel.recording or now) if event.running else None
            self._touch(channel)

    def _spy_started(self, event: events.SpyStarted, now: float) -> None:
        spyer, spyee = self._adopt(event.spyer, now), self._adopt(event.spyee, now)
        if spyer is not None:
            self._spy(spyer, spyee, now)

    # Channels

    def _adopt(self, seen: Snapshot, now: float) -> Channel | None:
        """The channel an event names, made known if need be; None when it has ended already."""
        if seen.uniqueid in self._ended_set:
            return None
        channel = self.channels.get(seen.uniqueid)
        if channel is None:
            channel = self._create(seen, now)
        self._update(channel, seen, now)
        self._mark(channel.call)
        return channel

    def _create(self, seen: Snapshot, now: float) -> Channel:
        channel = self._new_channel(seen)
        self._place(channel, seen.linkedid, now)
        return channel

    def _new_channel(self, seen: Snapshot) -> Channel:
        channel = Channel(
            uniqueid=seen.uniqueid,
            name=seen.name,
            kind=kind_of(seen.name, seen.uniqueid),
            extension=self._extension_of(endpoint_of(seen.name)),
            dialed_number=seen.exten,
            own_number=seen.caller_number,
        )
        self.channels[seen.uniqueid] = channel
        return channel

    def _place(self, channel: Channel, linkedid: str, now: float) -> None:
        """Put a new channel into the call it was born into."""
        if channel.kind not in (Technology.DEVICE, Technology.LOCAL):
            return
        known_as = call_id(self._pbx, linkedid)
        call = self._calls.get(known_as)
        if call is None:
            call = self._calls[known_as] = Call(known_as, now)
        self._add(call, channel)
        if channel.is_party and channel.extension is not None:
            call.number_view(channel)
            if channel.uniqueid == linkedid and call.charged is None:
                call.charged = channel.extension

    def _add(self, call: Call, channel: Channel) -> None:
        call.channels[channel.uniqueid] = channel
        channel.call = call
        self.touched[call.id] = call
        self._mark(call)

    def _touch(self, channel: Channel) -> None:
        if channel.call is not None:
            self.touched[channel.call.id] = channel.call
            self._mark(channel.call)

    def _mark(self, call: Call | None) -> None:
        if self.changed is not None and call is not None:
            self.changed[call.id] = None

    def _update(self, channel: Channel, seen: Snapshot, now: float) -> None:
        if seen.name != channel.name:
            self._rename(channel, seen.name, now)
        channel.caller_number, channel.caller_name = seen.caller_number, seen.caller_name
        channel.connected_number, channel.connected_name = (
            seen.connected_number,
            seen.connected_name,
        )
        # A channel that is up never rings again: a smaller state is a late event.
        if seen.state > channel.state:
            self._advance(channel, seen.state, now)

    def _advance(self, channel: Channel, state: int, now: float) -> None:
        channel.state = state
        self._touch(channel)
        if state == ChannelState.RINGING:
            channel.ringing = channel.ringing or now
        if state != ChannelState.UP or channel.answered is not None:
            return
        channel.answered = now
        if channel.is_view and channel.call is not None:
            channel.call.answered = channel.call.answered or now
            channel.call.charged = channel.call.charged or channel.extension

    def _rename(self, channel: Channel, name: str, now: float) -> None:
        channel.name = name
        channel.extension = self._extension_of(endpoint_of(name))
        if channel.kind is Technology.SPY:
            return
        self._reclassify(channel, kind_of(name, channel.uniqueid), now)
        self._number(channel)

    def _number(self, channel: Channel) -> None:
        """Have a leg that came to be an extension's be a view of its call."""
        if channel.is_party and channel.extension and channel.call and not channel.view:
            channel.call.number_view(channel)
            self._touch(channel)

    def _reclassify(self, channel: Channel, kind: Technology, now: float) -> None:
        """A channel turned out to be something else: only parties and Local halves make calls."""
        if channel.kind is kind:
            return
        channel.kind = kind
        if kind in (Technology.SPY, Technology.INTERNAL):
            self._withdraw(channel)
        elif channel.call is None:
            self._place(channel, channel.uniqueid, now)
            self._join_members(channel)
            for other in (channel.pair, channel.dialer, *channel.dialing):
                if other is not None:
                    self._join(channel, other)

    def _forget(self, uniqueid: str) -> None:
        self._remember_end(uniqueid)
        channel = self.channels.pop(uniqueid, None)
        if channel is None:
            return
        self._leave(channel)
        self._undial(channel)
        for dialed in channel.dialing:
            dialed.dialer = None
        channel.dialing = ()
        self._unpair(channel)
        self._withdraw(channel)

    def _remember_end(self, uniqueid: str) -> None:
        if uniqueid in self._ended_set:
            return
        if len(self._ended) == _REMEMBERED_ENDS:
            self._ended_set.discard(self._ended[0])
        self._ended.append(uniqueid)
        self._ended_set.add(uniqueid)

    # Links between channels

    def _enter(self, channel: Channel, bridge: Bridge, now: float) -> None:
        if channel.bridge is not bridge:
            self._leave(channel)
        self.bridges[bridge.id] = bridge
        bridge.members[channel.uniqueid] = channel
        channel.bridge = bridge
        if bridge.parking and channel.parked is None:
            channel.parked = now
            self._touch(channel)
        self._join_members(channel)

    def _join_members(self, channel: Channel) -> None:
        # All parked channels share one holding bridge: strangers, not a call.
        if channel.bridge is None or channel.bridge.holding:
            return
        for other in list(channel.bridge.members.values()):
            self._join(channel, other)

    def _leave(self, channel: Channel) -> None:
        bridge, channel.bridge = channel.bridge, None
        if bridge is None:
            return
        channel.parked = None
        bridge.members.pop(channel.uniqueid, None)
        if not bridge.members:
            self.bridges.pop(bridge.id, None)

    def _dial(self, caller: Channel, dialed: Channel) -> None:
        self._undial(dialed)
        dialed.dialer, caller.dialing = caller, (*caller.dialing, dialed)
        self._join(caller, dialed)

    def _undial(self, dialed: Channel) -> None:
        caller, dialed.dialer = dialed.dialer, None
        if caller is not None:
            caller.dialing = tuple(other for other in caller.dialing if other is not dialed)

    def _pair(self, one: Channel, two: Channel) -> None:
        self._unpair(one)
        self._unpair(two)
        one.pair, two.pair = two, one
        self._join(one, two)

    def _unpair(self, half: Channel) -> None:
        other, half.pair = half.pair, None
        if other is not None:
            other.pair = None

    # Calls

    def _spy(self, spyer: Channel, spyee: Channel | None, now: float) -> None:
        """A spy is no party; one of our own gets a view in the call it listens to."""
        self._reclassify(spyer, Technology.SPY, now)
        spyer.spying = spyer.spying or now
        ours = spyer.uniqueid.startswith(WHISPER_LEG_PREFIX)
        if ours and spyer.call is None and spyee is not None and spyee.call is not None:
            self._add(spyee.call, spyer)
            spyee.call.number_view(spyer)

    def _withdraw(self, channel: Channel) -> None:
        call, channel.call, channel.view = channel.call, None, 0
        if call is None:
            return
        self._mark(call)
        call.channels.pop(channel.uniqueid, None)
        if not call.channels:
            self.touched.pop(call.id, None)
            for known_as in (call.id, *call.absorbed):
                self._calls.pop(known_as, None)

    def _join(self, one: Channel, other: Channel) -> None:
        if one.call is None or other.call is None or one.call is other.call:
            return
        # A spy is in the call it listens to, whomever else it is connected with.
        if Technology.SPY in (one.kind, other.kind):
            return
        older, younger = sorted((one.call, other.call), key=lambda call: (call.published, call.id))
        self._absorb(older, younger)

    def _absorb(self, older: Call, younger: Call) -> None:
        self._mark(younger)
        renumbered: dict[int, int] = {}
        for leg in sorted(younger.channels.values(), key=lambda leg: leg.view):
            self._add(older, leg)
            if leg.view:
                before = leg.view
                older.number_view(leg)
                renumbered[before] = leg.view
        older.absorbed[younger.id] = renumbered
        for known_as, numbers in younger.absorbed.items():
            older.absorbed[known_as] = {
                old: renumbered[new] for old, new in numbers.items() if new in renumbered
            }
        for known_as in (younger.id, *younger.absorbed):
            self._calls[known_as] = older
        self.touched.pop(younger.id, None)
        older.charged = older.charged or younger.charged
        answers = [call.answered for call in (older, younger) if call.answered is not None]
        older.answered = min(answers, default=None)

    # The PBX's own list

    def _restore(self, item: Listed, silent: frozenset[str], now: float) -> None:
        channel = self._restored(item, now)
        if channel is None:
            return
        if not item.bridge:
            self._leave(channel)
            return
        held = item.bridge in silent
        bridge = self.bridges.get(item.bridge) or Bridge(item.bridge, held, held)
        self._enter(channel, bridge, now)

    def _restored(self, item: Listed, now: float) -> Channel | None:
        uniqueid = item.channel.uniqueid
        if uniqueid in self._ended_set:
            return None
        if uniqueid not in self.channels and item.memo:
            self._recall(item)
        channel, changed = self.channels.get(uniqueid), now
        if channel is None:
            changed = item.started or now - item.age
            channel = self._create(item.channel, changed)
        self._update(channel, item.channel, item.answered or changed)
        return channel

    def _recall(self, item: Listed) -> None:
        """Make a channel known as it was remembered, rather than as one just born."""
        memo = unpack(Memo, item.memo)
        if memo is None:
            return
        channel = self._new_channel(item.channel)
        channel.recall(memo.leg)
        channel.remembered = item.memo
        if channel.kind is Technology.INTERNAL:
            return
        call = self._recall_call(memo.call)
        self._add(call, channel)
        taken = {leg.view for leg in call.channels.values() if leg is not channel}
        # Kept for a leg that is nobody's now as well: the directory may give it back.
        channel.view = 0 if memo.leg.view in taken else memo.leg.view
        seen = channel.kind is Technology.SPY or channel.extension is not None
        if seen and not channel.view:
            call.number_view(channel)

    def _recall_call(self, memo: CallMemo) -> Call:
        call = self._calls.get(memo.id)
        if call is None:
            call = self._calls[memo.id] = Call(memo.id, memo.published)
        call.views_given = max(call.views_given, memo.views_given)
        call.answered = call.answered or memo.answered
        call.charged = call.charged or self._extension_by_number(memo.charged or "")
        for known_as, numbers in memo.absorbed.items():
            call.absorbed.setdefault(known_as, numbers)
            self._calls.setdefault(known_as, call)
        return call

    def _restore_pairs(self) -> None:
        """Pair the halves of Local channels by their names: they were told of once only."""
        halves = {
            channel.name: channel
            for channel in self.channels.values()
            if channel.kind is Technology.LOCAL
        }
        for name, one in halves.items():
            two = halves.get(f"{name.removesuffix(';1')};2")
            if two is not None and one.pair is None and one is not two:
                self._pair(one, two)

    def _restore_dial(self, item: Listed) -> None:
        channel = self.channels.get(item.channel.uniqueid)
        if channel is None or not item.application.startswith(("AppDial", "AppQueue")):
            return
        channel.was_dialed = True
        caller = self.channels.get(item.channel.linkedid)
        if channel.is_up or channel.dialer is not None or caller is None or caller is channel:
            return
        self._dial(caller, channel)

    def _restore_spy(self, item: Listed, now: float) -> None:
        channel = self.channels.get(item.channel.uniqueid)
        if channel is not None and item.application == "ChanSpy":
            # It listens since a moment after its phone was answered.
            self._spy(channel, self.channels.get(spied(item.data)), item.answered or now)


_MOVES: dict[type, Callable[[Picture, Any, float], None]] = {
    events.Seen: Picture._seen,
    events.Renamed: Picture._renamed,
    events.HungUp: Picture._hung_up,
    events.DialBegun: Picture._dial_begun,
    events.DialEnded: Picture._dial_ended,
    events.Entered: Picture._entered,
    events.Left: Picture._left,
    events.LocalPaired: Picture._local_paired,
    events.HoldChanged: Picture._hold_changed,
    events.RecordingChanged: Picture._recording_changed,
    events.SpyStarted: Picture._spy_started,
}
