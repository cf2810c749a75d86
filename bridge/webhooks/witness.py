"""Sees what happens to calls, and keeps in the file what was told of each that goes on.

So whatever is told is told once, though the link was lost or the bridge away: what was not seen
is the difference between the calls there are and what was told of them.
"""

from collections.abc import Mapping, Sequence

from bridge.callevents import Part, Tracker
from bridge.channels import Call
from bridge.hooks import CallEvent
from bridge.service import Service
from bridge.webhooks.intake import Intake
from bridge.webhooks.outbox import Outbox


class Witness:
    """An observer of a service; what happened goes to ``intake``.

    ``parts`` are those in the file, of all extensions that are ``followed`` there.
    """

    def __init__(
        self,
        service: Service,
        outbox: Outbox,
        intake: Intake,
        parts: Mapping[str, Part],
        followed: set[str],
    ) -> None:
        self._service, self._outbox, self._intake = service, outbox, intake
        self._followed = followed
        self._begun = False
        self._tracker = Tracker(
            service.picture.channels, lambda *dialed: service.directory.written(*dialed), parts
        )

    def look(self, call_id: str, call: Call | None) -> None:
        """Look at a call that may have changed."""
        self._take(self._tracker.look(call_id, call))

    def begin(self) -> None:
        """Look at every call there is: what happened meanwhile is told now."""
        self._begun = True
        self._take(self._tracker.begin(self._service.picture.calls(), self._followed))
        for extension in self._outbox.extensions:
            self.follow(extension)

    def follow(self, extension: str) -> None:
        """Keep the parts of an extension from now on, be they begun before."""
        if self._begun and extension not in self._followed:
            self._followed.add(extension)
            self._intake.put(parts=self._tracker.parts_of(extension), followed=[extension])

    def leave(self) -> None:
        """Keep no longer the parts of extensions for which there are no hooks any more."""
        self._followed &= self._outbox.extensions

    def _take(self, events: Sequence[CallEvent]) -> None:
        parts = self._tracker.take_changed()
        kept = {
            leg: part
            for leg, part in parts.items()
            if part is None or part.extension in self._followed
        }
        told = [delivery for event in events for delivery in self._outbox.deliveries(event)]
        if told or kept:
            self._intake.put(told, kept)
