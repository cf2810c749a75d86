"""What clients manage of their hooks, and the parts by which events are told through them."""

import asyncio
import logging
import secrets
import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from types import TracebackType
from typing import Final, Self

from bridge.errors import HookInvalid, HookTypeInvalid, HookUrlInvalid, TooManyHooks
from bridge.happenings import HookManaged, HookStep, Outcome, Told
from bridge.hooks import Chosen, Hook, HookForm, HookMethod
from bridge.model import Asker, Permission
from bridge.service import Service
from bridge.webhooks.intake import Intake
from bridge.webhooks.lanes import Carrier, Patience
from bridge.webhooks.outbox import Outbox
from bridge.webhooks.sending import Sender
from bridge.webhooks.shelf import Shelf
from bridge.webhooks.signing import new_secret, spell
from bridge.webhooks.store import Store
from bridge.webhooks.witness import Witness

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
        self._wall = wall
        self._managing = asyncio.Lock()
        self._stack = AsyncExitStack()
        self._outbox = Outbox(
            Carrier(
                sender.send,
                self._may,
                lambda delivery: self._intake.postpone(delivery),
                lambda delivery: self._intake.finish(delivery),
                lambda outcome: service.report(Told(outcome)),
                wall,
                patience or Patience(),
            )
        )

    async def __aenter__(self) -> Self:
        await self._stack.enter_async_context(self._sender)
        do, store = self._shelf.do, self._shelf.store
        parts, followed = await do(store.parts), await do(store.followed)
        self._intake = Intake(self._shelf, self._outbox.put, parts)
        self._witness = Witness(self._service, self._outbox, self._intake, parts, followed)
        left = await do(store.waiting)
        if left:
            log.info("%d events wait to be told to clients", len(left))
        self._outbox.open(await do(store.hooks), left)
        self._writer = asyncio.create_task(self._intake.run())
        self._service.observe(self._witness)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._outbox.close()
        self._intake.stop()
        await self._writer
        await self._stack.aclose()
        self._shelf.close()

    # What clients manage

    def chosen(self, chosen: Chosen) -> Sequence[Hook]:
        """Those hooks, the oldest first."""
        return self._outbox.chosen(chosen)

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
            if self._outbox.count(hook.app) >= self._most_hooks:
                raise TooManyHooks
            await self._shelf.do(self._shelf.store.keep_hook, hook)
            self._outbox.add(hook)
            self._witness.follow(hook.extension)
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
            self._outbox.change(hook)
        self._service.report(HookManaged(asker, HookStep.CHANGED, hook))
        return hook

    async def remove(self, chosen: Chosen, asker: Asker) -> Sequence[Hook]:
        """Remove the hooks that are chosen, with all that waits to be sent for them."""
        async with self._managing:
            found = self.chosen(chosen)
            await self._shelf.do(self._shelf.store.remove_hooks, [hook.id for hook in found])
            left = [await self._outbox.remove(hook.id) for hook in found]
            self._witness.leave()
        for hook, count in zip(found, left, strict=True):
            for _ in range(count):
                self._service.report(Told(Outcome.WITHDRAWN))
            self._service.report(HookManaged(asker, HookStep.REMOVED, hook))
        return found

    def _required(self, url: str | None) -> str:
        if url is None:
            raise HookUrlInvalid
        if not self._sender.may_reach(url):
            raise HookUrlInvalid("The address in url is not one to which events are sent.")
        return url

    def _may(self, hook: Hook) -> bool:
        """Whether its app may see the extension's calls, by the directory in force."""
        directory = self._service.directory
        app, extension = directory.app(hook.app), directory.extension(hook.extension)
        if not hook.enabled or app is None or extension is None:
            return False
        return bool(directory.may(app, Permission.LIST, extension))
