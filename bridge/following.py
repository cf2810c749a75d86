"""Follows what clients see of the calls, and hands every change to whoever subscribed.

A change says that a call is not what it was; what it is now is looked up when it is handed over.
So a subscriber who is slow misses steps in between but never the outcome, and what waits for him
is bounded by the number of calls.
"""

import asyncio
import secrets
from collections import deque
from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from bridge.calls import Picture
from bridge.channels import Call
from bridge.happenings import Happening, Moment, OfWhisper
from bridge.model import Extension, PhoneCall

GATHERING = 0.005
"""Seconds for which changes are gathered: the events of one moment arrive together."""

KEPT = 10_000
"""Changes a subscriber may have missed and still need not begin anew."""

Show = Callable[[Call], PhoneCall | None]


class Mark(NamedTuple):
    """A place in the sequence of changes; ``era`` is that of this process."""

    era: str
    number: int

    def __str__(self) -> str:
        return f"{self.era}-{self.number}"


class Change(NamedTuple):
    """A call that changed: what it is now, or None when the subscriber sees it no more."""

    mark: Mark
    call_id: str
    call: PhoneCall | None


class _Known(NamedTuple):
    """A call as it was shown last."""

    call: PhoneCall
    extensions: frozenset[Extension]


class _Entry(NamedTuple):
    """A change: which call, and the extensions that took part in it before or after."""

    number: int
    call_id: str
    extensions: frozenset[Extension]


@dataclass(slots=True, eq=False)
class Subscription:
    """Somebody who follows the calls of some extensions; ``woken`` when he is to look again.

    ``over`` when there will be nothing more.
    """

    extensions: Container[Extension]
    woken: asyncio.Event = field(default_factory=asyncio.Event)
    waiting: dict[str, int] = field(default_factory=dict)
    over: bool = False

    def concerns(self, extensions: frozenset[Extension]) -> bool:
        """Whether one of these extensions is followed."""
        return any(extension in self.extensions for extension in extensions)

    def note(self, entry: _Entry) -> None:
        """Let a change wait to be handed over, if it concerns these extensions."""
        if self.concerns(entry.extensions):
            # Of a call that changes again the place in the sequence is the newest.
            self.waiting.pop(entry.call_id, None)
            self.waiting[entry.call_id] = entry.number
            self.woken.set()


class Observer(Protocol):
    """Who looks at every call that changed, in order, and misses no step but those of a moment."""

    def look(self, call_id: str, call: Call | None) -> None:
        """Look at a call that may have changed; None when it is gone, or goes on under another id.

        It must be quick and not wait for anything.
        """
        ...

    def begin(self) -> None:
        """Look at every call: all there are are in the picture, for the first time or again."""
        ...


class Following:
    """The changes of one picture. ``show`` is how clients see a call.

    Nothing is followed, and nothing costs, before the first subscription or the observer.
    """

    def __init__(self, picture: Picture, show: Show) -> None:
        self._picture = picture
        self._show = show
        self._era = secrets.token_hex(4)
        self._number = 0
        self._known: dict[str, _Known] = {}
        self._log: deque[_Entry] = deque(maxlen=KEPT)
        self._subscriptions: set[Subscription] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._observer: Observer | None = None

    def close(self) -> None:
        """Follow no longer, and let every subscriber go."""
        for subscription in self._subscriptions:
            subscription.over = True
        self.wake()
        if self._timer is not None:
            self._timer.cancel()
        self._picture.changed = None

    def wake(self) -> None:
        """Have every subscriber look again: something other than a call changed."""
        for subscription in self._subscriptions:
            subscription.woken.set()

    # What happens

    def happened(self) -> None:
        """Something happened to the picture."""
        if self._picture.changed and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(GATHERING, self._gather)

    def on_happening(self, happening: Happening, moment: Moment) -> None:
        """Something happened to a whisper: the call whispered to may look different."""
        if not isinstance(happening, OfWhisper) or self._picture.changed is None:
            return
        for uniqueid in (happening.session.leg, happening.session.target):
            channel = self._picture.channels.get(uniqueid)
            if channel is not None and channel.call is not None:
                self._picture.changed[channel.call.id] = None
        self.happened()

    def everything(self) -> None:
        """The picture was fetched anew: whatever differs from before has changed."""
        if self._picture.changed is None:
            return
        there = (call.id for call in self._picture.calls())
        self._picture.changed |= dict.fromkeys([*self._known, *there])
        self._gather()

    def complete(self) -> None:
        """The picture was fetched anew, and every call there is is in it."""
        self.everything()
        if self._observer is not None:
            self._observer.begin()

    def parting(self, uniqueid: str) -> None:
        """A channel is about to part from another: who was with whom is looked at before."""
        if self._observer is None:
            return
        channel = self._picture.channels.get(uniqueid)
        call = channel.call if channel is not None else None
        if call is not None and call.id in (self._picture.changed or ()):
            self._observe(call.id)

    def observe(self, observer: Observer) -> None:
        """Have all calls looked at that change from now on."""
        self._observer = observer
        self._begin()

    # Subscribers

    def subscribe(self, extensions: Container[Extension]) -> Subscription:
        """Follow the calls of these extensions from now on."""
        self._begin()
        subscription = Subscription(extensions)
        self._subscriptions.add(subscription)
        return subscription

    def unsubscribe(self, subscription: Subscription) -> None:
        """Follow them no longer."""
        self._subscriptions.discard(subscription)

    def count(self, subscription: Subscription) -> int:
        """How many calls he sees, once what waits is handed over to him."""
        return sum(subscription.concerns(known.extensions) for known in self._known.values())

    @property
    def subscribers(self) -> int:
        """How many follow."""
        return len(self._subscriptions)

    @property
    def mark(self) -> Mark:
        """The place of the newest change."""
        return Mark(self._era, self._number)

    def resume(self, subscription: Subscription, text: str) -> bool:
        """Let wait what was missed since the mark written as ``text``.

        False when that is not known any more, so that the subscriber must begin anew.
        """
        era, _, number = text.partition("-")
        if era != self._era or not (number.isascii() and number.isdigit()):
            return False
        missed = self._number - int(number)
        if not 0 <= missed <= len(self._log):
            return False
        for entry in list(self._log)[len(self._log) - missed :]:
            subscription.note(entry)
        return True

    def take(self, subscription: Subscription) -> Iterator[Change]:
        """Hand over what waits, in order; each change is what its call is at that moment."""
        while subscription.waiting:
            call_id = next(iter(subscription.waiting))
            number = subscription.waiting.pop(call_id)
            known = self._known.get(call_id)
            seen = known is not None and subscription.concerns(known.extensions)
            yield Change(Mark(self._era, number), call_id, known.call if known and seen else None)

    # What changed

    def _begin(self) -> None:
        if self._picture.changed is None:
            self._picture.changed = {}
            for call in self._picture.calls():
                self._remember(call.id)
        self._gather()

    def _gather(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        changed, self._picture.changed = self._picture.changed or {}, {}
        for call_id in changed:
            self._observe(call_id)
            before = self._known.get(call_id)
            after = self._remember(call_id)
            if (before and before.call) != (after and after.call):
                self._tell(call_id, before, after)

    def _observe(self, call_id: str) -> None:
        if self._observer is not None:
            self._observer.look(call_id, self._call(call_id))

    def _call(self, call_id: str) -> Call | None:
        """The call of that id; one that another took over goes on under the other's id only."""
        call = self._picture.call(call_id)
        return call if call is not None and call.id == call_id else None

    def _remember(self, call_id: str) -> _Known | None:
        call = self._call(call_id)
        shown = self._show(call) if call is not None else None
        if call is None or shown is None:
            self._known.pop(call_id, None)
            return None
        parties = frozenset(leg.extension for leg in call.views() if leg.extension is not None)
        known = _Known(shown, parties)
        self._known[call_id] = known
        return known

    def _tell(self, call_id: str, before: _Known | None, after: _Known | None) -> None:
        self._number += 1
        concerned = (known.extensions for known in (before, after) if known)
        entry = _Entry(self._number, call_id, frozenset[Extension]().union(*concerned))
        self._log.append(entry)
        for subscription in self._subscriptions:
            subscription.note(entry)
