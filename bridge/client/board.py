"""The calls as a stream told them so far."""

from collections.abc import Iterator
from dataclasses import dataclass

from bridge.client.following import Begun, Changed, Complete, Ended, Lost, News, PbxAway
from bridge.uapi import PhoneCallBody, PhoneCallViewBody


@dataclass(frozen=True, slots=True)
class Step:
    """What became of a view of a call; ``view`` is as it is now, or was when it is ``over``."""

    call_id: str
    view: PhoneCallViewBody
    over: bool = False


class Board:
    """What is known of calls, kept up with the news of a stream.

    ``trouble`` says why it may not be so any more, and is empty while all is well; ``complete``
    whether everything there is has been told.
    """

    def __init__(self) -> None:
        self.calls: dict[str, PhoneCallBody] = {}
        self.trouble = ""
        self.complete = False
        self._told: set[str] = set()

    def take(self, news: News) -> list[Step]:
        """Take some news and return what changed by it."""
        before = dict(self.calls)
        self._note(news)
        ids = dict.fromkeys([*before, *self.calls])
        return [
            step
            for call_id in ids
            if before.get(call_id) is not self.calls.get(call_id)
            for step in _steps(call_id, before.get(call_id), self.calls.get(call_id))
        ]

    def _note(self, news: News) -> None:
        match news:
            case Begun():
                self._told.clear()
            case Changed(call):
                self.calls[call.id] = call
                self._told.add(call.id)
            case Ended(call_id):
                self.calls.pop(call_id, None)
            case Complete(total):
                self._tidy(total)
                self.complete, self.trouble = True, ""
            case PbxAway():
                self.complete, self.trouble = False, "the service cannot reach its PBX"
            case Lost(reason, seconds):
                self.complete = False
                self.trouble = f"{reason}; trying again in {seconds:g} s"

    def _tidy(self, total: int) -> None:
        """Forget calls that ended unseen.

        A stream that was resumed tells what changed, one that was not tells every call there is:
        only then can there be more here than it counts.
        """
        if len(self.calls) != total:
            self.calls = {key: call for key, call in self.calls.items() if key in self._told}


def _steps(
    call_id: str, before: PhoneCallBody | None, after: PhoneCallBody | None
) -> Iterator[Step]:
    old, new = _views(before), _views(after)
    for view_id, view in new.items():
        if old.get(view_id) != view:
            yield Step(call_id, view)
    for view_id, view in old.items():
        if view_id not in new:
            yield Step(call_id, view, over=True)


def _views(call: PhoneCallBody | None) -> dict[str, PhoneCallViewBody]:
    return {view.id: view for view in (call.phone_call_view or [])} if call else {}
