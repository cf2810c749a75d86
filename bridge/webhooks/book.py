"""The hooks there are, managed by clients, and the events that are told through them."""

import asyncio
import logging
import secrets
import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import replace
from types import TracebackType
from typing import Final, Self

from bridge import uapi
from bridge.callevents import Tracker
from bridge.channels import Call
from bridge.errors import HookInvalid, HookTypeInvalid, HookUrlInvalid, TooManyHooks
from bridge.happenings import HookManaged, HookStep, Outcome, Told
from bridge.hooks import CallEvent, Chosen, EventType, Hook, HookForm, HookMethod
from bridge.model import Asker, Permission
from bridge.service import Service
from bridge.webhooks.intake import Intake
from bridge.webhooks.lanes import Carrier, Lane, Patience
from bridge.webhooks.sending import Sender
from bridge.webhooks.shelf import Shelf
from bridge.webhooks.signing import new_secret, spell
from bridge.webhooks.store import Delivery, Store, StoreError

log = logging.getLogger(__name__)

MOST_HOOKS: Final = 1000
"""Hooks that one app may have."""


class Webhooks:
    """Watches the calls of a service and tells of them, while its context lasts.

    ``store`` keeps what must last. An app may have ``most_hooks``; ``wall`` gives epoch seconds.
    """

    def __init__(
        self,
        store: Store,
        service: Service,
        sender: Sender,
        patience: Patience | None = None,
        *,
        most_hooks: int = MOST_HOOKS,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._most_hooks = most_hooks
        self._shelf = Shelf(store)
        self._service = service
        self._sender = sender
        self._patience = patience or Patience()
        self._wall = wall
        self._tracker = Tracker(
            service.picture.channels, lambda *dialed: service.directory.written(*dialed)
        )
        self._lanes: dict[str, Lane] = {}
        self._full: set[str] = set()
        self._intake = Intake(self._shelf, self._pass)
        self._managing = asyncio.Lock()
        self._stack = AsyncExitStack()
        self._carrier = Carrier(
            sender.send,
            self._may,
            self._postpone,
            self._finish,
            lambda outcome: service.report(Told(outcome)),
            wall,
            self._patience,
        )

    async def __aenter__(self) -> Self:
        await self._stack.enter_async_context(self._sender)
        store = self._shelf.store
        for hook in await self._shelf.do(store.hooks):
            self._lanes[hook.id] = Lane(hook, self._carrier)
        left = await self._shelf.do(store.waiting)
        if left:
            log.info("%d events wait to be told to clients", len(left))
        self._pass(left)
        self._writer = asyncio.create_task(self._intake.run())
        self._service.observe(self)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        lanes, self._lanes = list(self._lanes.values()), {}
        await asyncio.gather(*(lane.close() for lane in lanes))
        # Without lanes, what is written waits for the next start.
        self._intake.stop()
        await self._writer
        await self._stack.aclose()
        self._shelf.close()

    # What clients manage

    def chosen(self, chosen: Chosen) -> Sequence[Hook]:
        """Those hooks, the oldest first."""
        return [lane.hook for lane in self._lanes.values() if lane.hook in chosen]

    def spell(self, hook: Hook) -> str:
        """Return a hook's secret, as it is shown to whoever made it."""
        return spell(hook.secret)

    async def create(self, chosen: Chosen, form: HookForm, asker: Asker) -> Hook:
        """Make a hook. Raises HookTypeInvalid, HookUrlInvalid, TooManyHooks."""
        if form.type is None:
            raise HookTypeInvalid
        hook = Hook(
            id=secrets.token_hex(10),
            app=chosen.app.client_id,
            extension=chosen.extension.number,
            type=form.type,
            method=form.method or HookMethod.GET,
            url=self._required(form.url),
            enabled=form.enabled is not False,
            note=form.note or "",
            secret=new_secret(),
            modified=self._wall(),
        )
        async with self._managing:
            if sum(lane.hook.app == hook.app for lane in self._lanes.values()) >= self._most_hooks:
                raise TooManyHooks
            await self._shelf.do(self._shelf.store.keep_hook, hook)
            self._lanes[hook.id] = Lane(hook, self._carrier)
        self._service.report(HookManaged(asker, HookStep.CREATED, hook))
        return hook

    async def change(self, chosen: Chosen, form: HookForm, asker: Asker) -> Hook:
        """Change the hook that is chosen. Raises HookInvalid, HookUrlInvalid."""
        async with self._managing:
            found = self.chosen(chosen)
            if not found:
                raise HookInvalid
            before = found[0]
            hook = replace(
                before,
                method=before.method if form.method is None else form.method,
                url=before.url if form.url is None else self._required(form.url),
                enabled=before.enabled if form.enabled is None else form.enabled,
                note=before.note if form.note is None else form.note,
                modified=self._wall(),
            )
            await self._shelf.do(self._shelf.store.keep_hook, hook)
            self._lanes[hook.id].change(hook)
        self._service.report(HookManaged(asker, HookStep.CHANGED, hook))
        return hook

    async def remove(self, chosen: Chosen, asker: Asker) -> Sequence[Hook]:
        """Remove the hooks that are chosen, with all that waits to be sent for them."""
        async with self._managing:
            found = self.chosen(chosen)
            await self._shelf.do(self._shelf.store.remove_hooks, [hook.id for hook in found])
            lanes = [self._lanes.pop(hook.id) for hook in found]
        for lane in lanes:
            for _ in range(await lane.close()):
                self._service.report(Told(Outcome.WITHDRAWN))
            self._service.report(HookManaged(asker, HookStep.REMOVED, lane.hook))
        return found

    def _required(self, url: str | None) -> str:
        if url is None:
            raise HookUrlInvalid
        if not self._sender.may_reach(url):
            raise HookUrlInvalid("The address in url is not one to which events are sent.")
        return url

    # What happens

    def look(self, call_id: str, call: Call | None) -> None:
        """Look at a call that may have changed."""
        for event in self._tracker.look(call_id, call):
            for lane in self._listening(event.extension, event.type):
                self._tell(lane, event)

    def begin(self) -> None:
        """Take what was looked at so far for what there was before."""
        self._tracker.begun = True

    def _listening(self, extension: str, kind: EventType) -> list[Lane]:
        wanted = (extension, kind)
        return [
            lane
            for lane in self._lanes.values()
            if (lane.hook.extension, lane.hook.type) == wanted and self._may(lane.hook)
        ]

    def _tell(self, lane: Lane, event: CallEvent) -> None:
        hook = lane.hook.id
        if lane.waiting + self._intake.waiting[hook] >= self._patience.most:
            self._service.report(Told(Outcome.DROPPED))
            if hook not in self._full:
                log.warning("webhook %s: %d events wait, no more are kept", hook, lane.waiting)
            self._full.add(hook)
            return
        self._full.discard(hook)
        event_id = secrets.token_hex(16)
        self._intake.put(Delivery(hook, event_id, uapi.present_event(event, event_id)))

    def _pass(self, deliveries: Sequence[Delivery]) -> None:
        for delivery in deliveries:
            lane = self._lanes.get(delivery.hook)
            if lane is not None:
                lane.put([delivery])

    # What the lanes ask

    def _may(self, hook: Hook) -> bool:
        """Whether its app may see the extension's calls, by the directory in force."""
        directory = self._service.directory
        app, extension = directory.app(hook.app), directory.extension(hook.extension)
        if not hook.enabled or app is None or extension is None:
            return False
        return bool(directory.may(app, Permission.LIST, extension))

    async def _postpone(self, delivery: Delivery) -> None:
        # Without it, an attempt more is made after a restart; the log says what is wrong.
        with suppress(StoreError):
            await self._shelf.do(self._shelf.store.postpone, delivery)

    async def _finish(self, delivery: Delivery) -> None:
        # Without it, the client is told once more after a restart.
        with suppress(StoreError):
            await self._shelf.do(self._shelf.store.finish, [delivery.number])
