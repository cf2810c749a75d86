"""The contract's JSON: requests read, calls listed, answers presented.

The only place that knows the names of JSON fields and query parameters; it knows no clock,
network or environment.
"""

from bridge.uapi.hanging_up import HangUpQuery, parse_hang_up
from bridge.uapi.listing import ListQuery, Page, list_errors, parse_list, select
from bridge.uapi.paths import CallPath, CallsPath
from bridge.uapi.presenting import (
    call_link,
    list_link,
    present_accepted,
    present_call,
    present_error,
    present_page,
)
from bridge.uapi.requests import WhisperAction, WhisperForm, parse_action, parse_call_id
from bridge.uapi.shapes import (
    AcceptedBody,
    CollectionBody,
    ErrorBody,
    PhoneCallBody,
    PhoneCallViewBody,
)
from bridge.uapi.streaming import (
    HEARTBEAT,
    present_beginning,
    present_change,
    present_ready,
    present_unavailable,
)

__all__ = [
    "HEARTBEAT",
    "AcceptedBody",
    "CallPath",
    "CallsPath",
    "CollectionBody",
    "ErrorBody",
    "HangUpQuery",
    "ListQuery",
    "Page",
    "PhoneCallBody",
    "PhoneCallViewBody",
    "WhisperAction",
    "WhisperForm",
    "call_link",
    "list_errors",
    "list_link",
    "parse_action",
    "parse_call_id",
    "parse_hang_up",
    "parse_list",
    "present_accepted",
    "present_beginning",
    "present_call",
    "present_change",
    "present_error",
    "present_page",
    "present_ready",
    "present_unavailable",
    "select",
]
