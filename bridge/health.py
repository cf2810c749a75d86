"""How the service is: whether it is ready, and if not, since when and why."""

from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from bridge.happenings import Happening, Linked, Moment, Unlinked


class Trouble(Enum):
    """What keeps the link to the PBX from being up, in words that tell nothing secret."""

    STARTING = "The picture of the PBX is not complete yet."
    UNREACHABLE = "The PBX cannot be reached, or it is not its AMI that answers there."
    CERTIFICATE = "The certificate of the PBX is not accepted; see BRIDGE_AMI_CA."
    LOGIN_REFUSED = "The PBX refuses the AMI user: its name, its secret or its permit is wrong."
    RIGHTS_MISSING = "The AMI user lacks rights: read=call and write=originate,call,reporting."
    FAULT = "The picture of the PBX could not be taken in; the log has the details."


class Link(Protocol):
    """The link to the PBX, as far as it matters here."""

    @property
    def trouble(self) -> Trouble | None:
        """What is wrong with it, if that is known."""


@dataclass(frozen=True, slots=True)
class Readiness:
    """Whether the service can do its work, ``since`` which epoch second, and what is wrong."""

    ready: bool
    since: float
    trouble: Trouble | None = None


class Health:
    """A listener that knows how the service is; ``began`` is the epoch second of its start."""

    def __init__(self, link: Link, began: float) -> None:
        self._link = link
        self._ready, self._since = False, began

    def __call__(self, happening: Happening, moment: Moment) -> None:
        """Take in a happening."""
        if isinstance(happening, Linked | Unlinked):
            self._ready, self._since = isinstance(happening, Linked), moment.wall

    def readiness(self) -> Readiness:
        """How the service is now."""
        trouble = None if self._ready else self._link.trouble or Trouble.STARTING
        return Readiness(self._ready, self._since, trouble)
