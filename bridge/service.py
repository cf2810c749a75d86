"""Joins what clients ask to what the PBX does: one picture and the whispers of one PBX.

Requests come in as plain calls, events as they are read. Nothing here knows HTTP or the AMI wire.
"""

import asyncio
import logging
import secrets
import time
from collections import defaultdict
from collections.abc import Callable, Container, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import Any, Final, NamedTuple

from bridge import actions, modes
from bridge.actions import Pbx
from bridge.attaching import Attaching
from bridge.authority import Authority
from bridge.calls import Picture
from bridge.channels import Call, Channel
from bridge.directory import Directory, Named
from bridge.ending import Ending
from bridge.errors import (
    ActionConflict,
    PbxUnavailable,
    PhoneCallInvalid,
    SendCallToInvalid,
    ViewInvalid,
)
from bridge.events import DialEnded, Entered, Event, HungUp, Left, Listed
from bridge.following import Following, Observer
from bridge.happenings import HANG_UP, Decided, Linked, Listener, Requested, Unlinked, refusal
from bridge.model import (
    SUPERVISION,
    WHISPER_LEG_PREFIX,
    Asker,
    CallerId,
    Extension,
    Flow,
    Mode,
    Permission,
    PhoneCall,
    PhoneCallView,
    Principal,
    Status,
)
from bridge.outcomes import IMMEDIATE, failure
from bridge.remembering import Remembering
from bridge.reporting import Reporting
from bridge.uapi import WhisperForm
from bridge.versions import heard_in_silence
from bridge.views import (
    heard_with,
    is_joining,
    owner_of,
    peers,
    phone_call,
    view_id,
    whisper_target,
    why_unheard,
)
from bridge.whisper import DEADLINE_SLACK, Session, State
from bridge.whispering import Whispering

log = logging.getLogger(__name__)

JOINING = 0.25
"""Seconds in which a leg that was answered is bridged; the PBX tells of both in turn."""


_PARTING: Final[dict[type, Callable[[Any], str]]] = {
    HungUp: attrgetter("channel.uniqueid"),
    Left: attrgetter("channel.uniqueid"),
    DialEnded: attrgetter("dialed.uniqueid"),
}
"""The events by which a channel parts from another, and its Uniqueid."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What an operator decides.

    The PBX's name, which goes into call ids; how many may whisper to one view at a time; whether
    a whisper follows its target into another conversation; whether the keys of who may barge in
    are followed, which lets him come to barge in and leave off again.
    """

    pbx_name: str = "asterisk"
    max_whispers_per_view: int = 3
    follow_target: bool = False
    follow_keys: bool = False


class Whispered(NamedTuple):
    """A call, None when it has ended, and whether the supervisor is attached to its party."""

    call: PhoneCall | None
    attached: bool


class Service:
    """Calls and whispers of one PBX.

    ``rules`` are the operator's; ``listeners`` are told what happens. ``wall`` gives epoch seconds,
    ``steady`` seconds that never jump.
    """

    def __init__(
        self,
        directory: Directory,
        pbx: Pbx,
        rules: Rules | None = None,
        *,
        listeners: Sequence[Listener] = (),
        wall: Callable[[], float] = time.time,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        self._rules = rules or Rules()
        self._pbx = pbx
        self._authority = authority = Authority(directory)
        self.picture = Picture(self._rules.pbx_name, authority.by_endpoint, authority.by_number)
        self.following = Following(self.picture, self._show)
        self.attaching = Attaching(lambda leg: self.whispering.settled(leg))
        ours = self.following.on_happening, self.attaching.on_happening
        self.report = Reporting((*ours, *listeners), wall, steady)
        self.whispering = Whispering(
            pbx,
            self.picture,
            authority,
            self.report,
            follow=self._rules.follow_target,
            wall=wall,
            steady=steady,
        )
        self.ending = Ending(
            pbx, self.picture, authority, self.whispering, lambda: self._next(HungUp)
        )
        self.remembering = Remembering(pbx, self.picture)
        self.events: dict[type[Event], int] = defaultdict(int)
        """How many events there were of each kind."""
        self._version = ""
        self._awaited: dict[type[Event], asyncio.Event] = {}
        self._complete = asyncio.Event()
        self._wall, self._steady = wall, steady

    async def close(self) -> None:
        """Stop everything under way here; whispers in force go on in the PBX."""
        self._complete.clear()
        self.following.close()
        await self.whispering.close()
        await self.remembering.close()
        self.report.flush()

    # The directory

    @property
    def directory(self) -> Directory:
        """The directory in force; ask for it anew each time, it may be replaced."""
        return self._authority.directory

    def replace_directory(self, directory: Directory) -> None:
        """Put another directory into force; whispers that it does not allow are ended."""
        self._authority.directory = directory
        self.picture.reassign()
        self.whispering.uphold()
        self.remembering.changed()
        self.following.everything()
        self.following.wake()

    @property
    def complete(self) -> bool:
        """Whether every call of the PBX is known."""
        return self._complete.is_set()

    async def until_complete(self) -> None:
        """Wait until every call of the PBX is known, for as long as that takes."""
        await self._complete.wait()

    def observe(self, observer: Observer) -> None:
        """Have every call looked at from now on, or from when all of them are known."""
        self.following.observe(observer)
        if self.complete:
            observer.begin()

    # What clients ask

    async def require_known(self, principal: Principal, named: Named, call_id: str = "") -> None:
        """Have the PBX confirm an extension that has no line of its own in the directory.

        It need not be asked when the extension takes part in the call with that id.
        Raises what ``principal`` is to be told when there is no such extension, and PbxUnavailable.
        """
        extension = named.one
        if extension is None or not extension.discovered:
            return
        call = self.picture.call(call_id)
        if call is not None and _involves(call, named):
            return
        answer = await self._pbx.send(actions.device_state(extension.endpoint))
        if not answer.success:
            log.error("the PBX refuses to tell the state of a device: %s", answer.message)
            raise PbxUnavailable("The PBX does not tell whether it knows the extension.")
        known = answer.headers.get("Value") != actions.NO_DEVICE
        error = self.directory.missing(principal.app, extension, known=known)
        if error is not None:
            raise error

    def list_calls(self, extensions: Container[Extension]) -> list[PhoneCall]:
        """The calls in which one of these extensions takes part.

        Raises PbxUnavailable while the picture is not complete.
        """
        self._require_picture()
        shown = (self._show(call) for call in self.picture.calls() if _involves(call, extensions))
        return [call for call in shown if call is not None]

    def find_call(self, extensions: Container[Extension], call_id: str) -> PhoneCall | None:
        """The call with that id, if one of these extensions takes part in it.

        Raises PbxUnavailable while the picture is not complete.
        """
        self._require_picture()
        call = self.picture.call(call_id)
        return self._show(call) if call and _involves(call, extensions) else None

    async def whisper(
        self,
        principal: Principal,
        extensions: Container[Extension],
        call_id: str,
        form: WhisperForm,
    ) -> PhoneCall | None:
        """Have an extension whisper to one of ``extensions`` on a call.

        Returns the call once the supervisor's phone is being called, or None when the call ended
        first. The same whisper again, while its phone rings or it is in force, is the same one.
        Raises the BadRequest of the first wrong field in the order of the specification's error
        table, and PbxUnavailable.
        """
        target, session = await self._asked_for(principal, extensions, call_id, form)
        await self._called(session, form.mode, principal.asker)
        return self._as_it_is(call_id, target)

    async def whisper_attached(
        self,
        principal: Principal,
        extensions: Container[Extension],
        call_id: str,
        form: WhisperForm,
        patience: AbstractAsyncContextManager[object],
    ) -> Whispered:
        """Do as ``whisper`` does, and wait until the supervisor is attached in the form's mode.

        ``patience`` ends the wait by a TimeoutError; that changes nothing else. Raises as
        ``whisper`` does and, when he will not be attached, the NotAttached or other ApiError that
        says why.
        """
        target, session = await self._asked_for(principal, extensions, call_id, form)
        attached = False
        with self.attaching.fate(session) as fate:
            await self._called(session, form.mode, principal.asker)
            with suppress(TimeoutError):
                async with patience:
                    await self.attaching.attached(fate)
                    attached = True
        return Whispered(self._as_it_is(call_id, target), attached)

    async def hang_up(
        self,
        principal: Principal,
        extensions: Container[Extension],
        call_id: str,
        number: str | None = None,
    ) -> PhoneCall | None:
        """End a call of one of ``extensions``, or of its parties the one with a number.

        The number of who whispers ends his whisper, be his phone still ringing. Nobody beyond the
        app's reach is hung up. Returns the call as it was, with the views that ended; None when
        there was nothing to end. Raises ActionForbidden and PbxUnavailable.
        """
        try:
            self.directory.may(principal.app, Permission.HANGUP).require()
            shown = self.find_call(extensions, call_id)
        except Exception as reason:
            self.report(refusal(principal.asker, HANG_UP, call_id, reason))
            raise
        call = self.picture.call(call_id)
        legs, sessions = self.ending.chosen(principal, call, number) if shown and call else ([], [])
        self.report(Decided(principal.asker, HANG_UP, call_id, sessions[0].leg if sessions else ""))
        if call is None or shown is None or not (legs or sessions):
            return None
        ended = {leg.uniqueid for leg in legs} | {session.leg for session in sessions}
        ended |= {s.leg for leg in legs for s in self.whispering.book.on_target(leg.uniqueid)}
        numbers = {view_id(c.view) for uid, c in call.channels.items() if uid in ended}
        await self.ending.end(legs, sessions)
        return replace(shown, views=tuple(view for view in shown.views if view.id in numbers))

    # What the PBX says

    def on_event(self, event: Event) -> None:
        """Take in one event, in the order of arrival."""
        self.events[type(event)] += 1
        parting = _PARTING.get(type(event))
        if parting is not None:
            self.following.parting(parting(event))
        self.picture.feed(event, self._wall())
        self.whispering.on_event(event)
        awaited = self._awaited.pop(type(event), None)
        if awaited is not None:
            awaited.set()
        self.remembering.changed()
        self.following.happened()

    def on_restored(
        self, listing: Sequence[Listed], holding: Iterable[str], version: str = ""
    ) -> None:
        """Take in the PBX's own list of channels and holding bridges: the picture is complete."""
        self._version = version
        self.picture.reconcile(listing, holding, self._wall())
        items = {item.channel.uniqueid: item for item in listing}
        self.whispering.reconcile(items)
        self._complete.set()
        self.report(Linked(frozenset(uid for uid in items if uid.startswith(WHISPER_LEG_PREFIX))))
        self.remembering.changed()
        self.following.complete()
        self.following.wake()
        log.info(
            "the picture of the PBX is complete: %d channels, %d calls",
            len(self.picture.channels),
            len(self.picture.calls()),
        )

    def on_lost(self, quiet: float = 0.0) -> None:
        """The link is gone: nothing is known for sure until it is back.

        The PBX was last heard of ``quiet`` seconds ago.
        """
        self._complete.clear()
        self.report(Unlinked(quiet))
        self.whispering.on_lost()
        self.following.wake()

    # Whispers

    async def _asked_for(
        self,
        principal: Principal,
        extensions: Container[Extension],
        call_id: str,
        form: WhisperForm,
    ) -> tuple[Channel, Session]:
        """What is promised; that it is refused is reported."""
        try:
            return await self._promised(principal, extensions, call_id, form)
        except Exception as reason:
            self.report(refusal(principal.asker, form.action, call_id, reason))
            raise

    async def _called(self, session: Session, mode: Mode, asker: Asker) -> None:
        """Wait until the phone of a session is being called, and bring it into a mode.

        Raises ApiError when it is not called, or cannot be brought there.
        """
        session = await self.whispering.first_sign(session)
        reason = session.reason or session.verdict
        if reason is not None and reason in IMMEDIATE:
            raise failure(reason)
        await self.whispering.changing.change(session, mode, asker)

    def _as_it_is(self, call_id: str, target: Channel) -> PhoneCall | None:
        """The call now, with what is known against a whisper to ``target``."""
        call = self.picture.call(call_id)
        shown = self._show(call) if call else None
        return replace(shown, warning=self._warning(target)) if shown else None

    async def _promised(
        self,
        principal: Principal,
        extensions: Container[Extension],
        call_id: str,
        form: WhisperForm,
    ) -> tuple[Channel, Session]:
        """The leg to be whispered to and the whisper: a new one, or the same one under way."""
        permission = form.permission
        self.directory.may(principal.app, permission).require()
        self._require_picture()
        # Read in the order of the error table: each field raises its own error.
        seconds, caller_id = form.wait_for_pickup, form.caller_id
        call = self.picture.call(call_id)
        if call is None or not _involves(call, extensions):
            raise PhoneCallInvalid
        leg = _leg(call, call_id, form.view_id)
        if leg is not None and is_joining(leg):
            await self._joined(leg)
        target = whisper_target(leg, extensions)
        self.directory.may(
            principal.app, permission, owner_of(target), others=heard_with(target)
        ).require()
        mode, asker = form.mode, principal.asker
        supervisor = self._supervisor(principal, permission, target, form.send_call_to)
        same = self.whispering.book.find(target.uniqueid, supervisor)
        if same is not None and not modes.reaches(same.options, mode):
            raise ActionConflict
        keys = self._rules.follow_keys and self._may_all(principal, target, supervisor)
        session = same or self._begin(
            asker, call_id, target, supervisor, caller_id, seconds, mode, keys=keys
        )
        self.report(Decided(asker, form.action, call_id, session.leg))
        if same is None:
            self.report(Requested(session))
        return target, session

    async def _joined(self, leg: Channel) -> None:
        """Wait a moment for a leg that has just been answered to be bridged with the other side."""
        with suppress(TimeoutError):
            async with asyncio.timeout(JOINING):
                while is_joining(leg):
                    await self._next(Entered)

    async def _next(self, kind: type[Event]) -> None:
        """Wait until the PBX has told of the next event of a kind."""
        await self._awaited.setdefault(kind, asyncio.Event()).wait()

    def _begin(
        self,
        asker: Asker,
        call_id: str,
        target: Channel,
        supervisor: Extension,
        caller_id: CallerId | None,
        seconds: int,
        mode: Mode,
        *,
        keys: bool,
    ) -> Session:
        if (
            len(self.whispering.book.on_target(target.uniqueid))
            >= self._rules.max_whispers_per_view
        ):
            raise ViewInvalid("As many extensions as may whisper to this view do so already.")
        options, wall = modes.options(mode, keys=keys), self._wall()
        session = Session(
            leg=WHISPER_LEG_PREFIX + secrets.token_hex(10),
            target=target.uniqueid,
            call_id=call_id,
            extension=owner_of(target),
            supervisor=supervisor,
            caller_id=caller_id or supervisor.caller_id,
            mode=mode,
            options=options,
            deadline=self._steady() + seconds + DEADLINE_SLACK,
            others=frozenset(party.uniqueid for party in peers(target)),
            asker=asker,
            requested=wall,
            until=wall + seconds,
            settled=modes.starts_as(options) is mode,
        )
        self.whispering.begin(session, seconds)
        return session

    def _may_all(self, principal: Principal, target: Channel, supervisor: Extension) -> bool:
        """Whether a supervisor may take part in every way there is: then his keys may, too."""
        extension, others = owner_of(target), heard_with(target)
        return all(
            self.directory.may(principal.app, permission, extension, supervisor, others)
            for permission in SUPERVISION
        )

    def _supervisor(
        self, principal: Principal, permission: Permission, target: Channel, number: str
    ) -> Extension:
        supervisor = self.directory.terminal_for(principal, permission, owner_of(target), number)
        if target.call and any(leg.extension == supervisor for leg in target.call.views()):
            raise SendCallToInvalid("The extension of sendCallTo is a party of the call.")
        return supervisor

    def _warning(self, target: Channel) -> str | None:
        sessions = self.whispering.book.on_target(target.uniqueid)
        spies = (self.picture.channels.get(session.leg) for session in sessions)
        since = [spy.spying for spy in spies if spy is not None and spy.spying is not None]
        in_silence = heard_in_silence(self._version)
        return why_unheard(target, in_silence=in_silence, spied=min(since, default=None))

    # What is shown

    def _require_picture(self) -> None:
        if not self.complete:
            raise PbxUnavailable("The picture of the PBX is not complete yet.")

    def _show(self, call: Call) -> PhoneCall | None:
        return phone_call(call, self._whisper_view)

    def _whisper_view(self, leg: Channel) -> PhoneCallView | None:
        session = self.whispering.book.get(leg.uniqueid)
        if session is None or session.state is not State.ATTACHED or session.verdict is not None:
            return None
        return PhoneCallView(
            id=view_id(leg.view),
            extension=session.extension.number,
            source=(session.supervisor.number,),
            destination=(session.extension.number,),
            caller_id=session.caller_id,
            flow=Flow.LOCAL,
            status=Status.ON_CALL,
            answered=leg.spying,
        )


def _involves(call: Call, extensions: Container[Extension]) -> bool:
    return any(leg.extension in extensions for leg in call.views())


def _leg(call: Call, known_as: str, view: str) -> Channel | None:
    number = int(view)
    if view_id(number) != view:
        raise ViewInvalid
    return call.view(known_as, number)
