"""What a client is told of a call event: the parameters of the request to its URL.

Source: UnifiedAPI, call events, extra parameters.
"""

from typing import Final
from urllib.parse import urlencode

from bridge.hooks import CallEvent, EventType

CALLING: Final = "CALLING"
ANSWER: Final = "ANSWER"
UNKNOWN: Final = "UNKNOWN"
"""How a call ended that nobody answered."""


def present_event(event: CallEvent, event_id: str) -> str:
    """Return the parameters, encoded as a form; each is there once, and empty if not known.

    Source: WHATWG URL, application/x-www-form-urlencoded.
    """
    return urlencode(
        {
            "CallID": event.call_id,
            "CallerIDNum": event.caller.number,
            "CallerIDName": event.caller.name,
            "CalledDID": event.called_did,
            "CalledExtension": event.called_extension,
            "CallStatus": _status(event),
            "CallFlow": "IN" if event.incoming else "OUT",
            "CallerExtension": event.caller_extension,
            "CalledNumber": event.called_number,
            "EventID": event_id,
        },
        errors="replace",
    )


def _status(event: CallEvent) -> str:
    if event.type in (EventType.DIAL_IN, EventType.DIAL_OUT):
        return CALLING
    return ANSWER if event.answered else UNKNOWN
