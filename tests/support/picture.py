"""What must be true of a picture of calls at any time, whatever it was fed."""

from collections.abc import Iterable

from bridge.calls import Picture
from bridge.channels import Call, Channel
from bridge.directory import Directory
from bridge.events import Event
from bridge.model import PhoneCall, PhoneCallView, Technology
from bridge.views import phone_call
from tests.support.directory import DIRECTORY

NOW = 1_795_000_000.0


def picture(events: Iterable[Event] = (), *, now: float = NOW) -> Picture:
    """A picture that has been fed these events, a second apart."""
    new = Picture("lab", DIRECTORY.by_endpoint, DIRECTORY.extension)
    feed(new, events, now=now)
    return new


def feed(into: Picture, events: Iterable[Event], *, now: float = NOW) -> None:
    """Feed events, a second apart."""
    for second, event in enumerate(events):
        into.feed(event, now + second)


def the_call(of: Picture) -> Call:
    """The only call there is."""
    (only,) = of.calls()
    return only


def shown(call: Call) -> PhoneCall:
    """A call as the contract shows it, without whispers."""
    found = phone_call(call, lambda leg: None)
    if found is None:
        raise LookupError("no extension takes part in the call")
    return found


def view_of(call: Call, number: str) -> PhoneCallView:
    """The only view of an extension in a call."""
    (only,) = (view for view in shown(call).views if view.extension == number)
    return only


def check(of: Picture, directory: Directory = DIRECTORY) -> None:
    """Fail unless the picture agrees with itself and the directory."""
    for uniqueid, channel in of.channels.items():
        assert channel.uniqueid == uniqueid
        _check_links(of, channel)
    for bridge in of.bridges.values():
        assert bridge.members
        for uniqueid, member in bridge.members.items():
            assert of.channels.get(uniqueid) is member
            assert member.bridge is bridge
    for call in of.calls():
        _check_call(of, call)
        _check_views(call, directory)


def _check_links(of: Picture, channel: Channel) -> None:
    if channel.call is not None:
        assert channel.call in of.calls()
        assert channel.call.channels.get(channel.uniqueid) is channel
    if channel.bridge is not None:
        assert of.bridges.get(channel.bridge.id) is channel.bridge
        assert channel.bridge.members.get(channel.uniqueid) is channel
        if not channel.bridge.holding:
            assert len(_calls(channel.bridge.members.values())) <= 1
    if channel.pair is not None:
        assert _lives(of, channel.pair)
        assert channel.pair.pair is channel
        assert len(_calls((channel, channel.pair))) <= 1
    if channel.dialer is not None:
        assert _lives(of, channel.dialer)
        assert channel in channel.dialer.dialing
        assert len(_calls((channel, channel.dialer))) <= 1
    for dialed in channel.dialing:
        assert _lives(of, dialed)
        assert dialed.dialer is channel


def _lives(of: Picture, channel: Channel) -> bool:
    return of.channels.get(channel.uniqueid) is channel


def _calls(channels: Iterable[Channel]) -> set[str]:
    """The calls of those channels that make calls: a spy is in its target's and joins nothing."""
    return {
        channel.call.id
        for channel in channels
        if channel.call is not None and channel.kind is not Technology.SPY
    }


def _check_call(of: Picture, call: Call) -> None:
    assert of.call(call.id) is call
    assert call.channels
    for known_as in call.absorbed:
        assert of.call(known_as) is call
    for uniqueid, channel in call.channels.items():
        assert of.channels.get(uniqueid) is channel
        assert channel.call is call
    numbers = [channel.view for channel in call.channels.values() if channel.view]
    assert len(numbers) == len(set(numbers))
    assert all(number > 0 for number in numbers)


def _check_views(call: Call, directory: Directory) -> None:
    for leg in call.views():
        assert leg.extension is not None
        assert directory.by_endpoint(leg.name.rpartition("-")[0]) == leg.extension
        assert call.view(call.id, leg.view) is leg
    found = phone_call(call, lambda leg: None)
    assert (found is None) == (not list(call.views()))
