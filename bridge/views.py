"""A call as its parties see it, and which of its legs may be whispered to."""

from collections.abc import Callable, Container, Iterable

from bridge.channels import Call, Channel
from bridge.errors import ViewInvalid
from bridge.events import ChannelState
from bridge.model import Extension, Flow, PhoneCall, PhoneCallView, Status, Technology

WhisperView = Callable[[Channel], PhoneCallView | None]
"""A spy leg to the view it is to show, if it is a whisper in force."""


def peers(leg: Channel) -> list[Channel]:
    """The parties ``leg`` talks to or is being connected with, seen through Local channels."""
    found: dict[str, Channel] = {}
    passed, waiting = {leg.uniqueid}, [leg]
    while waiting:
        for other in _linked(waiting.pop()):
            if other.uniqueid in passed:
                continue
            passed.add(other.uniqueid)
            if other.is_party:
                found[other.uniqueid] = other
            else:
                waiting.append(other)
    return list(found.values())


def heard_with(leg: Channel) -> list[Extension]:
    """The extensions that whoever listens to ``leg`` hears besides its own."""
    return [party.extension for party in peers(leg) if party.extension is not None]


def _linked(leg: Channel) -> list[Channel]:
    linked = list(leg.dialing)
    linked += [other for other in (leg.dialer, leg.pair) if other is not None]
    if leg.bridge is not None and not leg.bridge.holding:
        linked += leg.bridge.members.values()
    return linked


def talks(leg: Channel) -> bool:
    """Whether a leg is answered and in a bridge in which people talk, with somebody else."""
    if not leg.is_up or leg.bridge is None or leg.bridge.holding:
        return False
    members = leg.bridge.members.values()
    return any(other is not leg and other.kind is not Technology.INTERNAL for other in members)


def is_joining(leg: Channel) -> bool:
    """Whether a leg is answered, and may yet be bridged with somebody in a moment."""
    return leg.call is not None and leg.is_up and leg.parked is None and not talks(leg)


def whisper_target(leg: Channel | None, extensions: Container[Extension]) -> Channel:
    """The leg itself, if it is one of these extensions' own device and on call.

    Raises ViewInvalid, which says why, for anything else: unsure means no whisper.
    """
    if leg is None or not leg.is_party or leg.extension not in extensions:
        raise ViewInvalid
    if leg.parked is not None:
        raise ViewInvalid("The view is parked: there is nobody on call to whisper to.")
    if not talks(leg):
        raise ViewInvalid("The view is not on call: it can be whispered to once it talks.")
    return leg


def why_unheard(leg: Channel, *, in_silence: bool, spied: float | None) -> str | None:
    """Why a whisper to this leg would not be heard, or None when nothing is known against it.

    ``in_silence`` says that the PBX's version sends it sound even when nobody else does, ``spied``
    since when (epoch seconds) somebody has whispered to it: then the music on hold has gone on, and
    a whisper with it, but only where the hold came later.
    """
    if leg.holding is not None:
        return "The target has put the call on hold: its phone is sent no sound until it resumes."
    holds = [other.holding for other in peers(leg)]
    held = [since for since in holds if since is not None]
    if in_silence or not held or len(held) < len(holds):
        return None
    if spied is not None and spied <= max(held):
        return None
    return (
        "The target is on hold. On this version of Asterisk it hears no whisper until the other"
        " side resumes the call."
    )


def number_of(party: Channel) -> str:
    """Who a party is: an extension by its number, anybody else by the number he came with."""
    if party.extension is not None:
        return party.extension.number
    return party.own_number or party.caller_number


def parties_to_end(call: Call, reaches: Callable[[Extension], bool]) -> list[Channel]:
    """The legs that may be hung up together, whoever called before those who were called.

    Otherwise the dialplan would take a caller on to somebody else, once the one he talks to is
    gone. Extensions beyond reach stay, and as long as one takes part, so does everybody outside.
    """
    parties = call.parties()
    beyond = any(leg.extension and not reaches(leg.extension) for leg in parties)
    ended = [leg for leg in parties if (reaches(leg.extension) if leg.extension else not beyond)]
    return sorted(ended, key=lambda leg: leg.was_dialed)


def phone_call(call: Call, whisper_view: WhisperView) -> PhoneCall | None:
    """The call as the contract shows it, or None while no extension takes part in it.

    ``whisper_view`` turns the spy legs of the call into views.
    """
    legs = call.views()
    if not legs:
        return None
    # Of a call from outside: who answered it, and until then who was called first.
    charged = call.charged or owner_of(legs[0])
    spies = (leg for leg in call.channels.values() if leg.view and not leg.is_party)
    whispers = [view for view in map(whisper_view, spies) if view is not None]
    return PhoneCall(
        id=call.id,
        extension=charged.number,
        owner=charged.organization,
        published=call.published,
        answered=call.answered,
        views=tuple(sorted([*map(_view, legs), *whispers], key=lambda view: int(view.id))),
    )


def view_id(number: int) -> str:
    """A view's number as the contract writes it: ``01``."""
    return f"{number:02d}"


def owner_of(leg: Channel) -> Extension:
    """The extension whose view a leg is. Raises LookupError for a leg that is no view."""
    if leg.extension is None:
        raise LookupError(f"channel {leg.uniqueid} has a view but no extension")
    return leg.extension


def _view(leg: Channel) -> PhoneCallView:
    others = peers(leg)
    holds = [party for party in (leg, *others) if party.holding is not None]
    status = _status(leg, others)
    return PhoneCallView(
        id=view_id(leg.view),
        extension=owner_of(leg).number,
        source=_source(leg, others),
        destination=_destination(leg, others),
        caller_id=leg.connected if leg.was_dialed and leg.connected_number else leg.caller,
        flow=_flow(leg, others),
        status=status,
        ringing=_ringing(leg, others, status),
        answered=leg.answered,
        on_hold=min((party.holding for party in holds if party.holding), default=None),
        parked=leg.parked,
        recording=leg.recording,
        holder=leg.holding is not None,
    )


def _status(leg: Channel, others: list[Channel]) -> Status:
    if leg.state == ChannelState.RINGING:
        return Status.RINGING
    if leg.is_up and (leg.bridge is not None or not leg.dialing):
        return Status.ON_CALL
    if any(other.state == ChannelState.RINGING for other in others):
        return Status.RINGING_OTHER_SIDE
    if leg.state == ChannelState.RING or leg.dialing or leg.was_dialed:
        return Status.TRYING
    return Status.UNKNOWN


def _ringing(leg: Channel, others: list[Channel], status: Status) -> float | None:
    if status is Status.RINGING:
        return leg.ringing
    if status is Status.RINGING_OTHER_SIDE:
        return min((other.ringing for other in others if other.ringing), default=None)
    return None


def _flow(leg: Channel, others: list[Channel]) -> Flow:
    outsiders = [other for other in others if other.extension is None]
    if not outsiders or len(outsiders) < len(others):
        return Flow.LOCAL
    if leg.was_dialed:
        return Flow.INCOMING
    # Somebody from outside may have come to the same conference: he was not called.
    return Flow.OUTGOING if any(other.was_dialed for other in outsiders) else Flow.LOCAL


def _source(leg: Channel, others: list[Channel]) -> tuple[str, ...]:
    if not leg.was_dialed:
        return (owner_of(leg).number,)
    return _numbers(others) or _known(leg.connected_number)


def _destination(leg: Channel, others: list[Channel]) -> tuple[str, ...]:
    if leg.was_dialed:
        return (owner_of(leg).number,)
    return _numbers(other for other in others if other.extension) or _known(leg.dialed_number)


def _numbers(parties: Iterable[Channel]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(filter(None, map(number_of, parties))))


def _known(number: str) -> tuple[str, ...]:
    return (number,) if number else ()
