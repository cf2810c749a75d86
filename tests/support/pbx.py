"""A PBX that answers as it is told to, behind the seam of the real link."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field

from bridge.actions import Action, Answer
from bridge.errors import PbxUnavailable

Reply = Callable[[Action], Answer]


def success(**headers: str) -> Answer:
    """A good answer with these headers."""
    return Answer(True, "", headers)


def error(message: str) -> Answer:
    """A refusal."""
    return Answer(False, message, {})


def rows(*items: Mapping[str, str]) -> Answer:
    """A good answer with a list."""
    return Answer(True, "", {}, items)


@dataclass
class FakePbx:
    """Keeps every action; success unless told otherwise.

    ``replies`` gives answers by action name and may raise, ``stuck`` has the names of actions that
    are answered only when their event is set, ``broken`` those that fail before they are sent.
    """

    sent: list[Action] = field(default_factory=list)
    replies: dict[str, Reply] = field(default_factory=dict)
    stuck: dict[str, asyncio.Event] = field(default_factory=dict)
    broken: dict[str, Exception] = field(default_factory=dict)

    def send(self, action: Action) -> Coroutine[None, None, Answer]:
        """Take an action at once; awaited, it gives the answer."""
        if action.name in self.broken:
            raise self.broken[action.name]
        self.sent.append(action)
        return self._answer(action)

    async def _answer(self, action: Action) -> Answer:
        if action.name in self.stuck:
            await self.stuck[action.name].wait()
        reply = self.replies.get(action.name)
        return reply(action) if reply else success()

    def of(self, name: str) -> list[Mapping[str, str]]:
        """The headers of every action of that name so far."""
        return [action.headers for action in self.sent if action.name == name]

    def sent_of_client(self) -> list[str]:
        """The names of the actions that a request led to: not what is written on channels."""
        return [action.name for action in self.sent if action.name != "Setvar"]

    def hung_up(self) -> list[str]:
        """The channels it was asked to hang up."""
        return [headers["Channel"] for headers in self.of("Hangup")]

    def answer(self, name: str, answer: Answer) -> None:
        """Give this answer to every action of that name."""
        self.replies[name] = lambda action: answer

    def lose(self, name: str) -> None:
        """Lose the link whenever an action of that name is sent."""

        def lost(action: Action) -> Answer:
            raise PbxUnavailable

        self.replies[name] = lost

    def hold_back(self, name: str) -> asyncio.Event:
        """Answer actions of that name only once the event is set."""
        self.stuck[name] = asyncio.Event()
        return self.stuck[name]
