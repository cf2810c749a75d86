"""What a PBX tells, in a few words: builders of channels and of the events about them."""

from collections.abc import Iterator

from bridge import events
from bridge.events import ChannelState, Event, Listed, Snapshot

RINGING, UP = ChannelState.RINGING, ChannelState.UP


def leg(
    number: str,
    uniqueid: str,
    born_of: str = "",
    *,
    state: int = 0,
    name: str = "",
    caller: tuple[str, str] = ("", ""),
    connected: tuple[str, str] = ("", ""),
    exten: str = "",
) -> Snapshot:
    """A channel of an endpoint; ``born_of`` is the Uniqueid of the channel it was made for."""
    return Snapshot(
        uniqueid=uniqueid,
        linkedid=born_of or uniqueid,
        name=name or f"PJSIP/{number}-{uniqueid}",
        state=state,
        caller_name=caller[0],
        caller_number=caller[1] or number,
        connected_name=connected[0],
        connected_number=connected[1],
        exten=exten,
    )


def local(half: int, uniqueid: str, born_of: str = "") -> Snapshot:
    """One half of the Local channel ``Local/agent@context-1``."""
    return leg("", uniqueid, born_of, name=f"Local/agent@context-1;{half}")


def seen(channel: Snapshot, state: int | None = None) -> Event:
    """A channel is there, in this state."""
    return events.Seen(channel if state is None else channel._replace(state=state))


def renamed(channel: Snapshot, name: str) -> Event:
    """A channel got another name."""
    return events.Renamed(channel.uniqueid, name)


def hung_up(channel: Snapshot, cause: int = 16) -> Event:
    """A channel ended."""
    return events.HungUp(channel, cause)


def dials(caller: Snapshot | None, dialed: Snapshot) -> Event:
    """A channel begins to call another."""
    return events.DialBegun(caller, dialed)


def dial_ends(caller: Snapshot | None, dialed: Snapshot) -> Event:
    """The call of a channel to another was answered or failed."""
    return events.DialEnded(caller, dialed)


def enters(channel: Snapshot, bridge: str) -> Event:
    """A channel enters a bridge: the one called ``parking`` parks, ``holding…`` only hold."""
    parking = bridge == "parking"
    holding = parking or bridge.startswith("holding")
    return events.Entered(channel._replace(state=UP), bridge, holding, parking)


def leaves(channel: Snapshot, bridge: str) -> Event:
    """A channel leaves a bridge."""
    return events.Left(channel._replace(state=UP), bridge)


def paired(one: Snapshot, two: Snapshot) -> Event:
    """Two halves of a Local channel belong together."""
    return events.LocalPaired(one, two)


def held(channel: Snapshot) -> Event:
    """The device of a channel put its call on hold."""
    return events.HoldChanged(channel, held=True)


def unheld(channel: Snapshot) -> Event:
    """The device of a channel took its call back."""
    return events.HoldChanged(channel, held=False)


def recording(channel: Snapshot, *, running: bool = True) -> Event:
    """A recording of a channel began or ended."""
    return events.RecordingChanged(channel, running)


def spies(spyer: Snapshot, spyee: Snapshot) -> Event:
    """A spy is connected to its target."""
    return events.SpyStarted(spyer, spyee)


def lets_go(spyer: Snapshot) -> Event:
    """A spy let go of its target."""
    return events.SpyStopped(spyer)


def presses(spyer: Snapshot, digit: str) -> Event:
    """A key of a channel's phone was taken."""
    return events.KeyPressed(spyer, digit)


def originated(uniqueid: str, *, success: bool) -> Event:
    """What became of an asynchronous Originate."""
    return events.Originated("", uniqueid, success)


def listed(
    channel: Snapshot, *, bridge: str = "", application: str = "", data: str = "", age: int = 0
) -> Listed:
    """A channel in the PBX's own list."""
    return Listed(channel, bridge, application, data, age)


def call(caller: Snapshot, callee: Snapshot) -> Iterator[Event]:
    """A channel calls another and its phone rings."""
    yield seen(caller, ChannelState.RING)
    yield seen(callee)
    yield dials(caller, callee)
    yield seen(callee, RINGING)


def answer(caller: Snapshot, callee: Snapshot, bridge: str = "bridge") -> Iterator[Event]:
    """The one who was called answers, and both talk."""
    yield seen(callee, UP)
    yield dial_ends(caller, callee)
    yield seen(caller, UP)
    yield enters(callee, bridge)
    yield enters(caller, bridge)


def talk(caller: Snapshot, callee: Snapshot, bridge: str = "bridge") -> Iterator[Event]:
    """A channel calls another, which answers."""
    yield from call(caller, callee)
    yield from answer(caller, callee, bridge)


def end(*channels: Snapshot, bridge: str = "bridge") -> Iterator[Event]:
    """Channels leave their bridge and end."""
    for channel in channels:
        yield leaves(channel, bridge)
        yield hung_up(channel)
