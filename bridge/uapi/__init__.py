"""The contract's JSON: requests read, calls listed, answers presented.

The only place that knows the names of JSON fields and query parameters; it knows no clock,
network or environment.
"""

from bridge.uapi.events import present_event
from bridge.uapi.hanging_up import HangUpQuery, parse_hang_up
from bridge.uapi.hook_shapes import (
    HookBody,
    HookChanges,
    HookCollectionBody,
    HookListQuery,
    HookPath,
    HookTypePath,
    NewHook,
    NewHookBody,
)
from bridge.uapi.hooks import (
    hook_list_errors,
    hooks_link,
    parse_event_type,
    parse_hook_changes,
    parse_hook_id,
    parse_hook_list,
    parse_new_hook,
    present_hook,
    present_hooks,
    present_new_hook,
    present_removed,
)
from bridge.uapi.listing import ListQuery, Page, list_errors, parse_list, select
from bridge.uapi.paths import CallPath, CallsPath
from bridge.uapi.preferring import LONGEST_PREFERRED, Preferences, parse_wait
from bridge.uapi.presenting import (
    call_link,
    list_link,
    present_accepted,
    present_attached,
    present_call,
    present_error,
    present_page,
)
from bridge.uapi.requests import WhisperAction, WhisperForm, parse_action, parse_call_id
from bridge.uapi.shapes import (
    AcceptedBody,
    AttachedBody,
    CollectionBody,
    ErrorBody,
    ErrorDetail,
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
    "LONGEST_PREFERRED",
    "AcceptedBody",
    "AttachedBody",
    "CallPath",
    "CallsPath",
    "CollectionBody",
    "ErrorBody",
    "ErrorDetail",
    "HangUpQuery",
    "HookBody",
    "HookChanges",
    "HookCollectionBody",
    "HookListQuery",
    "HookPath",
    "HookTypePath",
    "ListQuery",
    "NewHook",
    "NewHookBody",
    "Page",
    "PhoneCallBody",
    "PhoneCallViewBody",
    "Preferences",
    "WhisperAction",
    "WhisperForm",
    "call_link",
    "hook_list_errors",
    "hooks_link",
    "list_errors",
    "list_link",
    "parse_action",
    "parse_call_id",
    "parse_event_type",
    "parse_hang_up",
    "parse_hook_changes",
    "parse_hook_id",
    "parse_hook_list",
    "parse_list",
    "parse_new_hook",
    "parse_wait",
    "present_accepted",
    "present_attached",
    "present_beginning",
    "present_call",
    "present_change",
    "present_error",
    "present_event",
    "present_hook",
    "present_hooks",
    "present_new_hook",
    "present_page",
    "present_ready",
    "present_removed",
    "present_unavailable",
    "select",
]
