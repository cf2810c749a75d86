"""What the handlers of all routes share."""

from collections.abc import Awaitable, Callable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field

from aiohttp import web

from bridge.addresses import Network, Proxies
from bridge.api.door import Manners
from bridge.api.gate import Gate
from bridge.authentication import Authenticator
from bridge.directory import Directory
from bridge.health import Readiness
from bridge.hooks import Hooks
from bridge.service import Service
from bridge.tokens import TokenBook

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Watch:
    """What is told without a token to clients from the networks ``near``.

    ``metrics`` takes the header ``Accept`` and gives the text and its media type.
    """

    readiness: Callable[[], Readiness]
    metrics: Callable[[str], tuple[bytes, str]]
    near: Sequence[Network]


@dataclass(frozen=True, slots=True)
class Site:
    """What the handlers work with; ``public_url`` is what links begin with, ``heartbeat`` after
    how many seconds without a change a stream shows that it lives. Without ``hooks``, clients are
    told of no call events."""

    service: Service
    tokens: TokenBook
    public_url: str
    authenticator: Authenticator = field(default_factory=Authenticator)
    proxies: Proxies = field(default_factory=Proxies)
    gate: Gate = field(default_factory=Gate)
    watch: Watch | None = None
    manners: Manners = field(default_factory=Manners)
    heartbeat: float = 15.0
    hooks: Hooks | None = None

    @property
    def directory(self) -> Directory:
        """The directory in force at this moment."""
        return self.service.directory


SITE = web.AppKey("site", Site)
REQUEST_ID: ContextVar[str] = ContextVar("request_id")
"""The id of the request that is being handled, under which the log speaks of it."""
ADDRESS: ContextVar[str] = ContextVar("address")
"""The address of the client whose request is being handled."""
