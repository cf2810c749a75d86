"""The hooks there are, each with what waits for it, within bounds that no dead receiver breaks."""

import logging
import secrets
from collections import defaultdict
from collections.abc import Iterable, Sequence

from bridge import uapi
from bridge.happenings import Outcome
from bridge.hooks import CallEvent, Chosen, EventType, Hook
from bridge.webhooks.lanes import Carrier, Lane
from bridge.webhooks.store import Delivery

log = logging.getLogger(__name__)


class Outbox:
    """Lanes by their hooks. ``carrier`` is what they share."""

    def __init__(self, carrier: Carrier) -> None:
        self._carrier = carrier
        self._lanes: dict[str, Lane] = {}
        self._of: defaultdict[tuple[str, EventType], dict[str, Lane]] = defaultdict(dict)

    def open(self, hooks: Iterable[Hook], left: Sequence[Delivery]) -> None:
        """Go on with the hooks there were, and with what was left for them."""
        for hook in hooks:
            self.add(hook)
        for delivery in left:
            self._lanes[delivery.hook].expected += 1
        self.put(left)

    async def close(self) -> None:
        """Send no more; what is written from now on waits for the next start."""
        for hook in list(self._lanes):
            await self.remove(hook)

    # Hooks

    def add(self, hook: Hook) -> None:
        """Have a hook."""
        lane = Lane(hook, self._carrier)
        self._lanes[hook.id] = self._of[hook.extension, hook.type][hook.id] = lane

    def change(self, hook: Hook) -> None:
        """Go on with a hook as it is now."""
        self._lanes[hook.id].change(hook)

    async def remove(self, hook: str) -> int:
        """Have the hook with that id no more, and return how many events were left for it."""
        lane = self._lanes.pop(hook)
        of = lane.hook.extension, lane.hook.type
        del self._of[of][hook]
        if not self._of[of]:
            del self._of[of]
        return await lane.close()

    def chosen(self, chosen: Chosen) -> list[Hook]:
        """Those hooks, the oldest first."""
        return [lane.hook for lane in self._lanes.values() if lane.hook in chosen]

    def count(self, app: str) -> int:
        """How many an app has."""
        return sum(lane.hook.app == app for lane in self._lanes.values())

    @property
    def extensions(self) -> set[str]:
        """Whose calls there are hooks for."""
        return {extension for extension, _ in self._of}

    # Events

    @property
    def waiting(self) -> int:
        """How many events wait, for all hooks together."""
        return sum(lane.expected for lane in self._lanes.values())

    def deliveries(self, event: CallEvent) -> list[Delivery]:
        """What is to be told of an event; once that is written it is to be ``put`` in."""
        lanes = self._of.get((event.extension, event.type), {}).values()
        return [
            self._delivery(lane, event)
            for lane in lanes
            if self._carrier.may(lane.hook) and self._has_room(lane)
        ]

    def put(self, deliveries: Iterable[Delivery]) -> None:
        """Have deliveries sent that are in the file."""
        for delivery in deliveries:
            lane = self._lanes.get(delivery.hook)
            if lane is not None and delivery.number:
                lane.put([delivery])

    def _delivery(self, lane: Lane, event: CallEvent) -> Delivery:
        lane.expected += 1
        event_id = secrets.token_hex(16)
        return Delivery(lane.hook.id, event_id, uapi.present_event(event, event_id))

    def _has_room(self, lane: Lane) -> bool:
        full = lane.expected >= self._most(lane)
        if full:
            self._carrier.report(Outcome.DROPPED)
        if full and not lane.full:
            log.warning("webhook %s: %d events wait, no more are kept", lane.hook.id, lane.expected)
        lane.full = full
        return not full

    def _most(self, lane: Lane) -> int:
        """How many may wait for a hook now: where few do, all others need not be counted."""
        patience = self._carrier.patience
        share = patience.altogether // len(self._lanes)
        if lane.expected < share or self.waiting < patience.altogether:
            return patience.most
        return min(patience.most, share)
