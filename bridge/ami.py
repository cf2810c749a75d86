"""The link to Asterisk's manager interface: connect, log in, fetch the picture, notice silence.

The only importer of panoramisk. It makes no decisions: events go to a listener, the PBX's own
list follows every gap, and an action is sent once or not at all. What panoramisk would do
otherwise (reconnect on its own, send again, wait without end, decode before it looks) is taken
over here through its protocol factory and a subclass of its manager.
"""

import asyncio
import logging
import random
import secrets
import ssl
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import panoramisk
from panoramisk.ami_protocol import AMIProtocol
from panoramisk.message import Message

from bridge import actions, events
from bridge.actions import Action, Answer
from bridge.errors import LinkLost, PbxUnavailable
from bridge.events import Event, Listed
from bridge.health import Trouble

log = logging.getLogger(__name__)

END = b"\r\n\r\n"
MAX_MESSAGE = 1 << 20
"""Bytes a message may have before the peer is taken for something that is no Asterisk."""

_NEVER = 10**6
_FIRST_PAUSE = 0.05
_LONGEST_PAUSE = 0.8
_LONGEST_PAUSE_REFUSED = 30.0


class Listener(Protocol):
    """Who is told what happens on the PBX."""

    def on_event(self, event: Event) -> None:
        """One event, in the order of arrival."""

    def on_restored(
        self, listing: Sequence[Listed], holding: Sequence[str], version: str = ""
    ) -> None:
        """Everything there is on the PBX, and its version; later events continue from there."""

    def on_lost(self, quiet: float = 0.0) -> None:
        """The link is gone; the PBX was last heard of ``quiet`` seconds ago."""


class _Nobody:
    """The listener before there is one."""

    def on_event(self, event: Event) -> None: ...

    def on_restored(
        self, listing: Sequence[Listed], holding: Sequence[str], version: str = ""
    ) -> None: ...

    def on_lost(self, quiet: float = 0.0) -> None: ...


@dataclass(frozen=True, slots=True)
class Address:
    """Where the manager interface is and how to log in; ``secret`` stays out of every text.

    With ``tls``, what it trusts decides whether the PBX is the right one.
    """

    host: str
    port: int
    username: str
    secret: str = field(repr=False)
    tls: ssl.SSLContext | None = None


def trusting(certificates: Path | None) -> ssl.SSLContext:
    """What AMI over TLS trusts: the certificates in that PEM file, or this machine's.

    The PBX's name is verified too (RFC 9525). Raises OSError when the file cannot be read or
    holds no certificate.
    """
    context = ssl.create_default_context(cafile=str(certificates) if certificates else None)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


class LoginRefused(Exception):
    """The PBX does not accept the user name and secret, or not what the user asks for."""

    def __init__(self, message: str, trouble: Trouble) -> None:
        """Take a line for the operator, and what it is in short."""
        super().__init__(message)
        self.trouble = trouble


@dataclass(slots=True)
class _Pending:
    """An action on its way: its answer, and for a list the items so far."""

    future: asyncio.Future[Any]
    complete: str | None
    answer: Answer | None = None
    items: list[Mapping[str, str]] = field(default_factory=list)


class _Wire(AMIProtocol):  # type: ignore[misc]
    """Bytes to messages. Splits first and decodes whole messages, so no character is ever cut."""

    def __init__(self, deliver: Callable[[Event], None]) -> None:
        self._deliver = deliver
        self._rest = b""
        self._pending: dict[str, _Pending] = {}
        self._lists = 0
        # Unique among all links: a few events tell everybody the ActionID they belong to.
        self._name, self._sent = secrets.token_hex(4), 0
        self.version: str | None = None
        self.messages = 0
        self.heard = time.monotonic()

    def send(self, data: Mapping[str, str], as_list: object = None) -> asyncio.Future[Any]:
        """Write what panoramisk asks by itself, which is the login."""
        return self.ask(Action(data))

    def ask(self, action: Action) -> asyncio.Future[Answer]:
        """Write an action at once; the future gives its answer.

        The text is put together here: a whisper waits for it, and panoramisk's Action takes six
        times as long.
        """
        self._sent += 1
        action_id = f"{self._name}-{self._sent}"
        headers = "".join([f"{name}: {value}\r\n" for name, value in action.headers.items()])
        self.transport.write(f"{headers}ActionID: {action_id}\r\n\r\n".encode())
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._pending[action_id] = _Pending(future, action.complete)
        self._lists += action.complete is not None
        future.add_done_callback(lambda _: self._settle(action_id))
        return future

    def data_received(self, data: bytes) -> None:
        """Take in what the socket gave, cut anywhere."""
        if self.closed:
            return
        self.heard = time.monotonic()
        messages = (self._rest + data).split(END)
        self._rest = messages.pop()
        self.messages += len(messages)
        if self.version is None and messages:
            banner, _, messages[0] = messages[0].partition(b"\r\n")
            self.version = banner.decode("ascii", "replace").partition("/")[2]
        for message in messages if self._lists else events.worth_reading(messages):
            if message[:2] == b"\r\n":
                # A blank line too many (panoramisk's protocol knows of them).
                message = message.lstrip(b"\r\n")
            event = events.parse(message)
            if event is not None:
                self._deliver(event)
            elif self._pending:
                self._answer(message)
        if len(self._rest) > MAX_MESSAGE:
            log.error("the AMI sent %d bytes that are no message; the link is closed", MAX_MESSAGE)
            self.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is closed, by whomever."""
        self.close()
        if self.factory is not None:
            self.factory.connection_lost(exc)

    def close(self) -> None:
        """Close the socket; every action still unanswered fails, none is ever sent again."""
        self.closed = True
        self.transport.abort()
        for pending in list(self._pending.values()):
            if not pending.future.done():
                pending.future.set_exception(LinkLost())

    def _settle(self, action_id: str) -> None:
        pending = self._pending.pop(action_id, None)
        if pending is not None:
            self._lists -= pending.complete is not None

    def _answer(self, message: bytes) -> None:
        """A message that may belong to an action under way."""
        if message.startswith(b"Response: "):
            self._response(events.headers_of(message))
        elif self._lists:
            self._item(events.headers_of(message))

    def _response(self, headers: dict[str, str]) -> None:
        pending = self._pending.get(headers.get("ActionID", ""))
        if pending is None or pending.future.done():
            return
        answer = Answer(
            headers.get("Response") in Message.success_responses,
            headers.get("Message", ""),
            headers,
        )
        if pending.complete and answer.success:
            pending.answer = answer
        else:
            pending.future.set_result(answer)

    def _item(self, headers: dict[str, str]) -> None:
        pending = self._pending.get(headers.get("ActionID", ""))
        if pending is None or pending.answer is None:
            return
        if headers.get("Event") != pending.complete:
            pending.items.append(headers)
        elif not pending.future.done():
            answer = pending.answer._replace(items=tuple(pending.items))
            pending.future.set_result(answer)


class _Manager(panoramisk.Manager):  # type: ignore[misc]
    """One connection of panoramisk's manager; when it ends, the link decides what comes next."""

    def connection_made(self, f: asyncio.Future[Any]) -> None:
        if not f.cancelled() and f.exception() is None:
            super().connection_made(f)

    def connection_lost(self, exc: Exception | None) -> None:
        self._connected = False
        self.loop.call_soon(self.on_disconnect, self, exc)

    def login(self, future: asyncio.Future[Answer]) -> bool:
        if not future.cancelled() and future.exception() is None:
            self.authenticated = future.result().success
        return self.authenticated


class Link:
    """The link to one PBX: found again after every loss, and never older than its last word.

    ``keys`` asks to be told of the keys that are pressed. ``silence`` is how many seconds the PBX
    may say nothing, not even to a ping, and ``action_timeout`` how many an answer may take; a list
    may take six times as long. ``on_answer`` is told how many seconds an action of that name took.
    ``trouble`` is what is wrong in short.
    """

    def __init__(
        self,
        address: Address,
        *,
        keys: bool = False,
        silence: float = 5.0,
        action_timeout: float = 5.0,
        on_answer: Callable[[str, float], None] = lambda action, seconds: None,
    ) -> None:
        self._address = address
        self._events = "call,dtmf" if keys else "call"
        self._silence = silence
        self._action_timeout = action_timeout
        self._listener: Listener = _Nobody()
        self._wire: _Wire | None = None
        self._held_back: list[Event] | None = None
        self._on_answer = on_answer
        self._messages = 0
        self._complaint = ""
        self._pause = _FIRST_PAUSE
        self.trouble: Trouble | None = None

    @property
    def messages(self) -> int:
        """Messages the PBX sent since the start."""
        return self._messages + (self._wire.messages if self._wire else 0)

    @property
    def silence(self) -> float:
        """Seconds since the PBX was last heard of; 0 while there is no link."""
        return time.monotonic() - self._wire.heard if self._wire else 0.0

    @property
    def complaint(self) -> str:
        """What is wrong with the link, in a line for the operator; nothing while it is up."""
        return self._complaint

    async def run(self, listener: Listener) -> None:
        """Keep the link up until cancelled, and tell the listener everything."""
        self._listener = listener
        while True:
            longest = _LONGEST_PAUSE
            try:
                await self._session()
            except LoginRefused as error:
                longest = _LONGEST_PAUSE_REFUSED
                self._complain(str(error), error.trouble)
            except (OSError, TimeoutError, PbxUnavailable) as error:
                words = f"no link to the PBX at {self._where()}: {_words(error)}"
                uncertain = isinstance(error, ssl.SSLCertVerificationError)
                self._complain(words, Trouble.CERTIFICATE if uncertain else Trouble.UNREACHABLE)
            except Exception:
                # Nobody else would begin the link anew after a fault of ours or the listener's.
                longest = _LONGEST_PAUSE_REFUSED
                self.trouble = Trouble.FAULT
                log.exception("the picture of the PBX could not be taken in; trying on")
            self._pause = min(self._pause * 2, longest)
            await asyncio.sleep(self._pause * random.uniform(0.5, 1.0))

    def send(self, action: Action) -> Coroutine[None, None, Answer]:
        """Send an action, once and at once; awaited, it gives the answer.

        Awaiting raises LinkLost while the link is down or when it goes, and PbxUnavailable after
        the action's timeout; whether the PBX carried it out is then unknown.
        """
        wire = self._wire
        asked = None if wire is None or wire.closed else wire.ask(action)
        return self._answered(action, asked, time.monotonic())

    async def _answered(
        self, action: Action, answered: asyncio.Future[Answer] | None, began: float
    ) -> Answer:
        if answered is None:
            raise LinkLost
        # Ten thousand channels are a long list.
        patience = self._action_timeout * (6 if action.complete else 1)
        try:
            async with asyncio.timeout(patience):
                answer = await answered
        except TimeoutError:
            raise PbxUnavailable(f"The PBX did not answer {action.name} in time.") from None
        self._on_answer(action.name, time.monotonic() - began)
        return answer

    async def _session(self) -> None:
        """One connection from its beginning to its end."""
        over = asyncio.Event()
        manager = _Manager(
            host=self._address.host,
            port=self._address.port,
            username=self._address.username,
            secret=self._address.secret,
            ssl=self._address.tls or False,
            events=self._events,
            loop=asyncio.get_running_loop(),
            protocol_factory=lambda: _Wire(self._deliver),
            ping_delay=_NEVER,
            forgetable_actions=(),
            on_disconnect=lambda *_: over.set(),
            log=log,
        )
        try:
            await self._open(manager)
            await self._restore()
            await self._watch(over)
        finally:
            self._shut(manager)

    async def _open(self, manager: _Manager) -> None:
        self._held_back = []
        async with asyncio.timeout(self._action_timeout):
            await manager.connect()
            answer: Answer = await manager.authenticated_future
        if not answer.success:
            raise LoginRefused(
                f"the PBX at {self._where()} refuses the AMI login of"
                f" {self._address.username}: {answer.message}; check BRIDGE_AMI_USERNAME,"
                " BRIDGE_AMI_SECRET and the permit lines of that user in manager.conf",
                Trouble.LOGIN_REFUSED,
            )
        self._wire = manager.protocol

    async def _restore(self) -> None:
        """Fetch the whole picture; what happens meanwhile is held back and follows."""
        channels = await self._list(actions.list_channels())
        bridges = await self._list(actions.list_bridges())
        holding = [item.get("BridgeUniqueid", "") for item in bridges if events.is_holding(item)]
        listing = [events.listed(item) for item in channels if {"Channel", "Uniqueid"} <= {*item}]
        settings = await self.send(actions.core_settings())
        version = settings.headers.get("AsteriskVersion", "")
        self._listener.on_restored(listing, holding, version)
        held_back, self._held_back = self._held_back or [], None
        for event in held_back:
            self._deliver(event)
        log.info("linked to the PBX at %s", self._where())
        self._complaint, self.trouble = "", None
        self._pause = _FIRST_PAUSE

    async def _list(self, action: Action) -> Sequence[Mapping[str, str]]:
        answer = await self.send(action)
        if not answer.success:
            raise LoginRefused(
                f"the PBX refuses {action.name}: {answer.message}; the AMI user needs"
                " read=call and write=originate,call,reporting",
                Trouble.RIGHTS_MISSING,
            )
        return answer.items

    async def _watch(self, over: asyncio.Event) -> None:
        """Wait for the end of the connection, and end it when it says nothing."""
        while not over.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(self._silence / 4):
                    await over.wait()
                    break
            quiet = time.monotonic() - self._wire.heard if self._wire else 0.0
            if quiet > self._silence / 2:
                await self._ping()
        raise PbxUnavailable("the connection was closed")

    async def _ping(self) -> None:
        """Ask for a sign of life; any will do, even one read late because we were busy."""
        asked = time.monotonic()
        try:
            async with asyncio.timeout(self._silence / 4):
                await self.send(actions.ping())
        except TimeoutError:
            if self._wire is None or self._wire.heard < asked:
                raise

    def _shut(self, manager: _Manager) -> None:
        wire, self._wire, self._held_back = self._wire, None, None
        manager.close()
        if wire is not None:
            self._messages += wire.messages
            self._listener.on_lost(time.monotonic() - wire.heard)

    def _deliver(self, event: Event) -> None:
        if self._held_back is not None:
            self._held_back.append(event)
            return
        if isinstance(event, events.ShutDown):
            log.warning("the PBX shuts down")
        # The one guard around the listener: a fault in it must not cost the rest of the read.
        try:
            self._listener.on_event(event)
        except Exception:
            log.exception("an event of kind %s could not be taken in", type(event).__name__)

    def _complain(self, complaint: str, trouble: Trouble) -> None:
        """Say what is wrong once, not with every attempt."""
        if complaint != self._complaint:
            log.error("%s; trying on", complaint)
        self._complaint, self.trouble = complaint, trouble

    def _where(self) -> str:
        return f"{self._address.host}:{self._address.port}"


def _words(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        why = error.verify_message.rstrip(".")
        return f"its certificate is not accepted: {why}; check BRIDGE_AMI_CA and BRIDGE_AMI_HOST"
    return str(error) or ("no answer in time" if isinstance(error, TimeoutError) else repr(error))
