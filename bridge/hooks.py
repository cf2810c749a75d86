"""Call events and who wants to be told of them (UnifiedAPI, call events).

The contract calls a subscription a PhoneCallEvent; here it is a hook, and an event is what happens.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Protocol

from bridge.model import App, Asker, CallerId, Extension


class EventType(IntEnum):
    """What happens to an extension's part in a call (values of the contract)."""

    DIAL_IN = 0
    DIAL_OUT = 1
    HANGUP = 2
    ANSWERED_IN = 3
    ANSWERED_OUT = 4


class HookMethod(IntEnum):
    """How the client's URL is asked for (values of the contract)."""

    GET = 0
    POST = 1


@dataclass(frozen=True, slots=True)
class CallEvent:
    """Something that happened to an extension's part in a call.

    ``incoming`` says that the extension was called, ``answered`` that it was or is connected;
    numbers that are not known are empty. ``called_did`` is the public number that was dialed.
    """

    type: EventType
    extension: str
    call_id: str
    incoming: bool
    answered: bool
    caller: CallerId = field(repr=False)
    caller_extension: str = field(repr=False)
    called_extension: str = field(repr=False)
    called_number: str = field(repr=False)
    called_did: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Hook:
    """A client's wish to be told of one type of event of one extension.

    It is the ``app``'s (a client_id) that made it. ``secret`` signs what is sent; ``modified`` is
    in epoch seconds.
    """

    id: str
    app: str
    extension: str
    type: EventType
    method: HookMethod
    url: str = field(repr=False)
    enabled: bool
    note: str = field(repr=False)
    secret: bytes = field(repr=False)
    modified: float


@dataclass(frozen=True, slots=True)
class HookForm:
    """What a client wrote of a hook; what it did not write is None."""

    type: EventType | None = None
    method: HookMethod | None = None
    url: str | None = field(default=None, repr=False)
    enabled: bool | None = None
    note: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Chosen:
    """Which of an app's hooks on an extension are meant: all, those of a type, or one."""

    app: App
    extension: Extension
    type: EventType | None = None
    id: str | None = None

    def __contains__(self, hook: Hook) -> bool:
        return (
            (hook.app, hook.extension) == (self.app.client_id, self.extension.number)
            and self.type in (None, hook.type)
            and self.id in (None, hook.id)
        )


class Hooks(Protocol):
    """Where hooks are kept, and how clients manage theirs.

    All but ``spell`` raise HooksUnavailable while they cannot be read or written.
    """

    def chosen(self, chosen: Chosen) -> Sequence[Hook]:
        """Those hooks, the oldest first."""
        ...

    def spell(self, hook: Hook) -> str:
        """Return a hook's secret, as it is shown to whoever made it."""
        ...

    async def create(self, chosen: Chosen, form: HookForm, asker: Asker) -> Hook:
        """Make one for the extension that is chosen.

        Raises HookTypeInvalid and HookUrlInvalid when it has none, HookUrlInvalid when its URL
        leads where nothing is sent, and TooManyHooks.
        """
        ...

    async def change(self, chosen: Chosen, form: HookForm, asker: Asker) -> Hook:
        """Change the one that is chosen. Raises HookInvalid if there is none, HookUrlInvalid."""
        ...

    async def remove(self, chosen: Chosen, asker: Asker) -> Sequence[Hook]:
        """Remove those, with all that waits to be sent for them, and return them."""
        ...
