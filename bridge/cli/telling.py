"""How clients are told of call events, by the settings."""

from functools import partial

from bridge.service import Service
from bridge.settings import Settings
from bridge.webhooks import Sender, Store, Webhooks


def webhooks_of(settings: Settings, service: Service) -> Webhooks | None:
    """What tells clients of the calls of a service; None where no file is named for it."""
    if settings.webhooks_db is None:
        return None
    return Webhooks(partial(Store, settings.webhooks_db), service, Sender(settings.webhooks_allow))
