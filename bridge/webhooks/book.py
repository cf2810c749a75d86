"""What clients manage of their hooks, and the parts by which events are told through them."""

import asyncio
import logging
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from types import TracebackType
from typing import Final, Self, TypeVar

from bridge.errors import (
    HookInvalid,
    HooksUnavailable,
    HookTypeInvalid,
    HookUrlInvalid,
    TooManyHooks,
)
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
from bridge.webhooks.store import Store, StoreError
from bridge.webhooks.witness import Witness

log = logging.getLogger(__name__)

REOPEN: Final = 5.0
"""Seconds between two attempts to open the file."""

T = TypeVar("T")

MOST_HOOKS: Final = 1000
"""Hooks that one app may have."""


class Webhooks:
    """Watches the calls of a service and tells of them, while its context lasts.

    The file that ``opens`` opens keeps what must last; while it cannot be opened, that is tried
    again every ``reopen`` seconds, and nothing is told. An app may have ``most_hooks``; ``wall``
    gives epoch seconds.
    """

    def __init__(
        self,
        opens: Callable[[], Store],
        service: Service,
        sender: Sender,
        patience: Patience | None = None,
        *,
        most_hooks: int = MOST_HOOKS,
        reopen: float = REOPEN,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._most_hooks, self._reopen = most_hooks, reopen
        self._shelf = Shelf(opens)
        self._service = service
        self._sender = sender
        self._wall = wall
        self._managing = asyncio.Lock()
        self._witness: Witness | None = None
        self._opening: asyncio.Task[None] | None = None
        self._writer: asyncio.Task[None] | None = None
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
        self._intake = Intake(self._shelf, self._outbox.put)

    async def __aenter__(self) -> Self:
        await self._sender.__aenter__()
        if not await self._open():
            self._opening = asyncio.create_task(self._open_later())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._opening is not None:
            self._opening.cancel()
            await asyncio.wait([self._opening])
        await self._outbox.close()
        self._intake.stop()
        if self._writer is not None:
            await self._writer
        await self._sender.__aexit__(kind, error, trace)
        self._shelf.close()

    async def _open_later(self) -> None:
        while True:
            await asyncio.sleep(self._reopen)
            if await self._open():
                return

    async def _open(self) -> bool:
        """Begin with what is in the file; False if it cannot be opened, which the log has."""
        try:
            kept = await self._shelf.open()
        except StoreError:
            return False
        if kept.waiting:
            log.info("%d events wait to be told to clients", len(kept.waiting))
        self._intake.know(kept.parts)
        self._outbox.open(kept.hooks, kept.waiting)
        self._witness = Witness(
            self._service, self._outbox, self._intake, kept.parts, kept.followed
        )
        self._writer = asyncio.create_task(self._intake.run())
        self._service.observe(self._witness)
        return True

    # How it is

    @property
    def waiting(self) -> int:
        """How many events wait to be told."""
        return self._outbox.waiting

    @property
    def well(self) -> bool:
        """Whether the file can be read and written."""
        return self._shelf.well

    # What clients manage

    def chosen(self, chosen: Chosen) -> Sequence[Hook]:
        """Those hooks, the oldest first. Raises HooksUnavailable."""
        self._require_open()
        return self._outbox.chosen(chosen)

    def spell(self, hook: Hook) -> str:
        """Return a hook's secret, as it is shown to whoever made it."""
        return spell(hook.secret)

    async def create(self, chosen: Chosen, form: HookForm, asker: Asker) -> Hook:
        """Make a hook.

        Raises HookTypeInvalid, HookUrlInvalid, TooManyHooks and HooksUnavailable.
        """
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
            witness = self._require_open()
            if self._outbox.count(hook.app) >= self._most_hooks:
                raise TooManyHooks
            await self._write(Store.keep_hook, hook)
            self._outbox.add(hook)
            witness.follow(hook.extension)
        self._service.report(HookManaged(asker, HookStep.CREATED, hook))
        return hook

    async def change(self, chosen: Chosen, form: HookForm, asker: Asker) -> Hook:
        """Change the hook that is chosen.

        Raises HookInvalid, HookUrlInvalid and HooksUnavailable.
        """
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
            await self._write(Store.keep_hook, hook)
            self._outbox.change(hook)
        self._service.report(HookManaged(asker, HookStep.CHANGED, hook))
        return hook

    async def remove(self, chosen: Chosen, asker: Asker) -> Sequence[Hook]:
        """Remove the hooks that are chosen, with all that waits to be sent for them.

        Raises HooksUnavailable.
        """
        async with self._managing:
            witness, found = self._require_open(), self.chosen(chosen)
            await self._write(Store.remove_hooks, [hook.id for hook in found])
            left = [await self._outbox.remove(hook.id) for hook in found]
            witness.leave()
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

    def _require_open(self) -> Witness:
        if self._witness is None:
            raise HooksUnavailable
        return self._witness

    async def _write(self, method: Callable[[Store, T], None], value: T) -> None:
        try:
            await self._shelf.do(method, value)
        except StoreError as error:
            raise HooksUnavailable from error

    def _may(self, hook: Hook) -> bool:
        """Whether its app may see the extension's calls, by the directory in force."""
        directory = self._service.directory
        app, extension = directory.app(hook.app), directory.extension(hook.extension)
        if not hook.enabled or app is None or extension is None:
            return False
        return bool(directory.may(app, Permission.LIST, extension))
