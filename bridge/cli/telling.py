"""How clients are told of call events, by the settings."""

from collections.abc import Iterator
from contextlib import contextmanager

from bridge.cli.common import UsageError
from bridge.service import Service
from bridge.settings import Settings
from bridge.webhooks import Sender, Store, StoreError, Webhooks


@contextmanager
def webhooks_file(settings: Settings) -> Iterator[Store | None]:
    """Hold the file in which is kept who is told what; None without one. Raises UsageError."""
    if settings.webhooks_db is None:
        yield None
        return
    try:
        store = Store(settings.webhooks_db)
    except StoreError as error:
        raise UsageError(f"BRIDGE_WEBHOOKS_DB cannot be used: {error}") from error
    try:
        yield store
    finally:
        store.close()


def webhooks_of(settings: Settings, store: Store | None, service: Service) -> Webhooks | None:
    """What tells clients of the calls of a service; None without a file."""
    if store is None:
        return None
    return Webhooks(store, service, Sender(settings.webhooks_allow))
