"""Call events out of the picture: who was called, who answered, whose part in a call ended.

An extension's part is its leg, known by its Uniqueid: calls may merge and views be renumbered,
and nobody was called or hung up by that. Source: UnifiedAPI, call events.
"""

from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from bridge.channels import Call, Channel
from bridge.events import ChannelState
from bridge.hooks import CallEvent, EventType
from bridge.model import CallerId, Extension, Organization
from bridge.views import owner_of, peers

Written = Callable[[str, Organization], Extension | None]

_NOWHERE = ""
"""Where a part is as long as its call has not been seen."""


@dataclass(frozen=True, slots=True)
class Part:
    """An extension's part in a call, as it was seen last; of it all that was to tell was told."""

    extension: str
    call_id: str
    incoming: bool
    answered: bool
    caller: CallerId = field(repr=False)
    other: str = field(repr=False)
    dialed: str = field(repr=False)
    did: str = field(repr=False)


class Tracker:
    """Compares the legs of calls with what they were.

    ``channels`` are those there are, ``written`` finds the extension of a number that somebody of
    an organization dialed, ``parts`` are those known from before, by the Uniqueids of their legs.
    """

    def __init__(
        self, channels: Mapping[str, Channel], written: Written, parts: Mapping[str, Part]
    ) -> None:
        self._begun = False
        self._channels = channels
        self._written = written
        self._parts: dict[str, dict[str, Part]] = {_NOWHERE: dict(parts)}
        self._homes = dict.fromkeys(parts, _NOWHERE)
        self._changed: dict[str, Part | None] = {}

    def begin(self, calls: Iterable[Call], known: Container[str]) -> list[CallEvent]:
        """Every call there is is in the picture; return what happened since it was so before.

        The first time, what there is of extensions that are not ``known`` by their numbers is
        taken for what there was before.
        """
        first, self._begun = not self._begun, True
        events = self._gone(list(self._homes))
        for call in calls:
            events += self.look(call.id, call)
        return [event for event in events if not first or event.extension in known]

    def look(self, call_id: str, call: Call | None) -> list[CallEvent]:
        """Look at a call that may have changed, None when it is gone; return what happened.

        Before it has begun, nothing is certain and nothing is looked at.
        """
        if not self._begun:
            return []
        events = [
            event
            for leg in (call.views() if call is not None else ())
            if _is_placed(leg) or leg.uniqueid in self._homes
            for event in self._seen(call_id, leg)
        ]
        return events + self._gone(list(self._parts.get(call_id, ())))

    def take_changed(self) -> dict[str, Part | None]:
        """The parts that changed since the last time by the Uniqueids of their legs.

        None for one that is over.
        """
        changed, self._changed = self._changed, {}
        return changed

    def parts_of(self, extension: str) -> dict[str, Part]:
        """The parts of the extension with a number by the Uniqueids of their legs."""
        everything = (item for parts in self._parts.values() for item in parts.items())
        return {uniqueid: part for uniqueid, part in everything if part.extension == extension}

    def _gone(self, uniqueids: Iterable[str]) -> list[CallEvent]:
        gone = (uniqueid for uniqueid in uniqueids if not self._is_there(uniqueid))
        return [event for uniqueid in gone for event in self._lost(uniqueid)]

    def _is_there(self, uniqueid: str) -> bool:
        """Whether a leg is in a call still: if in another one, that changed as well."""
        leg = self._channels.get(uniqueid)
        return leg is not None and leg.is_view and leg.call is not None

    def _seen(self, call_id: str, leg: Channel) -> Iterator[CallEvent]:
        before, now = self._take(leg.uniqueid), self._part(call_id, leg)
        if before is not None:
            # Under the id it began with, so that a client knows which call it is that ends.
            answered = before.answered or now.answered
            now = replace(now, call_id=before.call_id, incoming=before.incoming, answered=answered)
        if before is not None and not peers(leg):
            # The other side hung up a moment sooner.
            now = replace(now, caller=before.caller, other=before.other, did=before.did)
        self._parts.setdefault(call_id, {})[leg.uniqueid] = now
        self._homes[leg.uniqueid] = call_id
        if now != before:
            self._changed[leg.uniqueid] = now
        if before is None:
            yield _event(EventType.DIAL_IN if now.incoming else EventType.DIAL_OUT, now)
        if now.answered and not (before and before.answered):
            yield _event(EventType.ANSWERED_IN if now.incoming else EventType.ANSWERED_OUT, now)

    def _lost(self, uniqueid: str) -> Iterator[CallEvent]:
        part, self._changed[uniqueid] = self._take(uniqueid), None
        # A leg that is there, but nobody's since the directory was read anew, goes on.
        if part is not None and uniqueid not in self._channels:
            yield _event(EventType.HANGUP, part)

    def _part(self, call_id: str, leg: Channel) -> Part:
        others, extension = peers(leg), owner_of(leg)
        other = next((party.extension for party in others if party.extension is not None), None)
        if other is None and not leg.was_dialed:
            other = self._written(leg.dialed_number, extension.organization)
        return Part(
            extension=extension.number,
            call_id=call_id,
            incoming=leg.was_dialed,
            answered=_is_answered(leg),
            caller=_caller(leg, others),
            other=other.number if other is not None else "",
            dialed="" if leg.was_dialed else leg.dialed_number,
            did=_did(leg, others),
        )

    def _take(self, uniqueid: str) -> Part | None:
        home = self._homes.pop(uniqueid, "")
        parts = self._parts.get(home, {})
        part = parts.pop(uniqueid, None)
        if not parts:
            self._parts.pop(home, None)
        return part


def _is_placed(leg: Channel) -> bool:
    """Whether it is known who called: a leg is born a moment before it is dialed or dials."""
    return leg.was_dialed or leg.is_up or leg.state == ChannelState.RING or bool(leg.dialing)


def _is_answered(leg: Channel) -> bool:
    """Whether it was answered; a caller is when who was called is, or the PBX itself."""
    if leg.answered is None:
        return False
    return leg.was_dialed or leg.bridge is not None or not leg.dialing


def _caller(leg: Channel, others: list[Channel]) -> CallerId:
    if not leg.was_dialed:
        return leg.caller
    # Its phone may be called a moment before it is told by whom.
    return leg.connected if leg.connected_number or not others else others[0].caller


def _did(leg: Channel, others: list[Channel]) -> str:
    """The public number that somebody outside dialed, if it is not just an extension's."""
    outside = next((party for party in others if party.extension is None), None)
    if outside is None or not leg.was_dialed:
        return ""
    dialed, short = outside.dialed_number, owner_of(leg).number.partition("*")[2]
    return "" if "*" in dialed or dialed == short else dialed


def _event(kind: EventType, part: Part) -> CallEvent:
    called = part.extension if part.incoming else part.other
    return CallEvent(
        type=kind,
        extension=part.extension,
        call_id=part.call_id,
        incoming=part.incoming,
        answered=part.answered,
        caller=part.caller,
        caller_extension=part.other if part.incoming else part.extension,
        called_extension=called,
        called_number=part.did or called or part.dialed,
        called_did=part.did,
    )
