"""The words of the house: who exists, and what a call looks like from outside.

Times are seconds since the epoch (UTC), durations are seconds.
"""

from dataclasses import dataclass, field
from enum import Enum, IntEnum, StrEnum


@dataclass(frozen=True, slots=True)
class CallerId:
    """What a phone displays: a name and a number; an unknown name shows as the number."""

    name: str
    number: str

    def __str__(self) -> str:
        return f"{self.name or self.number} <{self.number}>"


@dataclass(frozen=True, slots=True)
class Organization:
    """A tenant of the PBX; the numbers of its extensions begin with ``prefix*``.

    ``notice`` is the sound by which its people are told that somebody listens, as Asterisk names
    it; None for none.
    """

    id: str
    name: str
    prefix: str
    notice: str | None = None


@dataclass(frozen=True, slots=True)
class User:
    """A person or a system that owns extensions and apps."""

    id: str
    organization: Organization


SIP_TECHNOLOGIES = ("PJSIP", "SIP")
"""Technologies of Asterisk that speak SIP: chan_pjsip and chan_sip."""


@dataclass(frozen=True, slots=True)
class SipHeader:
    """A header of a SIP request, of RFC 3261 or of a phone's maker."""

    name: str
    value: str


class ExtensionType(StrEnum):
    """What an extension is; only a ``PHONE`` (a phone terminal) can be rung for a whisper."""

    PHONE = "phone"
    QUEUE = "queue"
    IVR = "ivr"
    CONFERENCE = "conference"
    VOICEMAIL = "voicemail"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Extension:
    """An extension by its extended number (``0003*210``) and the endpoint its channels carry.

    ``endpoint`` is technology and name as Asterisk writes them, ``PJSIP/0003*210``. Nobody may
    listen in on one that is ``protected``. One that is ``discovered`` has no line of its own in the
    directory: it exists if the PBX knows its endpoint. ``auto_answer`` has its phone pick up by
    itself when it is called to whisper.
    """

    number: str
    user: User
    type: ExtensionType
    endpoint: str
    caller_id: CallerId
    protected: bool = False
    discovered: bool = False
    auto_answer: SipHeader | None = None

    @property
    def organization(self) -> Organization:
        """The organization the extension belongs to: its user's."""
        return self.user.organization


class Reach(StrEnum):
    """How far an app sees: its user's extensions, its user's organization, or everything."""

    USER = "user"
    ORGANIZATION = "organization"
    SYSTEM = "system"


class Permission(StrEnum):
    """What an app may do with calls, and a supervisor with those of others."""

    LIST = "list"
    WHISPER = "whisper"
    MONITOR = "monitor"
    BARGE = "barge"
    HANGUP = "hangup"


SUPERVISION = frozenset({Permission.WHISPER, Permission.MONITOR, Permission.BARGE})
"""What a supervisor does with his phone; the rest is an app's alone."""

DEFAULT_ACTIONS = frozenset({Permission.LIST, Permission.WHISPER})
"""What an app may do unless the directory says otherwise: what it takes to help an agent.

Listening in without a word, speaking to a customer and ending a call are asked for by name.
"""


@dataclass(frozen=True, slots=True)
class App:
    """A registered client: its id, the hash of its secret, its user, its reach, its actions."""

    client_id: str
    secret_hash: str = field(repr=False)
    user: User
    reach: Reach
    actions: frozenset[Permission] = DEFAULT_ACTIONS


@dataclass(frozen=True, slots=True)
class Asker:
    """Who asked for something, in words that outlive a directory and a restart.

    The app's and its user's ids, the client's address, and the id of the request; what is not
    known is empty.
    """

    app: str = ""
    user: str = ""
    address: str = ""
    request: str = ""


NOBODY = Asker()
"""Of whom nothing is known."""


@dataclass(frozen=True, slots=True)
class Principal:
    """Who is asking: the app behind a verified token, from which address, in which request."""

    app: App
    address: str = ""
    request: str = ""

    @property
    def asker(self) -> Asker:
        """The same in words that last."""
        return Asker(self.app.client_id, self.user.id, self.address, self.request)

    @property
    def user(self) -> User:
        """The user the token belongs to (``@me``)."""
        return self.app.user

    @property
    def reach(self) -> Reach:
        """How far the token reaches."""
        return self.app.reach


class Mode(StrEnum):
    """How a supervisor takes part in a call.

    In every mode but ``PRIVATE`` he hears both sides; ``WHISPER`` and ``PRIVATE`` let the one he
    whispers to hear him, ``BARGE`` both sides, ``LISTEN`` nobody.
    """

    LISTEN = "listen"
    WHISPER = "whisper"
    PRIVATE = "private"
    BARGE = "barge"

    @property
    def action(self) -> str:
        """The contract's name for it."""
        return _ACTIONS.get(self, "Whisper")


PERMISSIONS = {
    Mode.LISTEN: Permission.MONITOR,
    Mode.WHISPER: Permission.WHISPER,
    Mode.PRIVATE: Permission.WHISPER,
    Mode.BARGE: Permission.BARGE,
}
"""What the directory must allow for each mode."""

_ACTIONS = {Mode.LISTEN: "Monitor", Mode.BARGE: "BargeIn"}


class Flow(IntEnum):
    """Where a call goes, seen from the extension (values of the contract)."""

    LOCAL = 2
    OUTGOING = 4
    INCOMING = 8


class Status(IntEnum):
    """State of a view (values of the contract)."""

    UNKNOWN = 0
    OFF_HOOK = 1
    TRYING = 2
    RINGING = 3
    RINGING_OTHER_SIDE = 4
    ON_CALL = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class PhoneCallView:
    """The call as one extension sees it; times are epoch seconds, None while they do not apply."""

    id: str
    extension: str
    source: tuple[str, ...]
    destination: tuple[str, ...]
    caller_id: CallerId
    status: Status
    flow: Flow | None = None
    ringing: float | None = None
    answered: float | None = None
    on_hold: float | None = None
    parked: float | None = None
    recording: float | None = None
    holder: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PhoneCall:
    """A call with all its views; ``extension`` is the one charged for it.

    ``warning`` tells who asked for a whisper why it might not be heard.
    """

    id: str
    extension: str
    owner: Organization
    published: float
    answered: float | None
    views: tuple[PhoneCallView, ...]
    warning: str | None = None


class Technology(Enum):
    """What kind of channel it is, for the question who may be shown as a party."""

    DEVICE = "device"
    LOCAL = "local"
    SPY = "spy"
    INTERNAL = "internal"


WHISPER_LEG_PREFIX = "whisper-"
"""Every leg this service originates has a Uniqueid that begins so, from its first event on."""

NOTICE_PREFIX = "notice-"
"""The halves of the channels that play notices have Uniqueids that begin so."""
