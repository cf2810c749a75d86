"""Tells clients of call events by requests to their URLs: in order, signed, until they have it.

What is to be told is in an SQLite file before it is sent, and stays there until the client took
it: an event may be told twice, with the same EventID, and is not lost when the bridge is killed.
"""

from bridge.webhooks.book import Webhooks
from bridge.webhooks.lanes import Patience
from bridge.webhooks.sending import Sender
from bridge.webhooks.signing import spell
from bridge.webhooks.store import Store, StoreError

__all__ = ["Patience", "Sender", "Store", "StoreError", "Webhooks", "spell"]
