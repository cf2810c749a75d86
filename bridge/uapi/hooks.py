"""Phone call events: requests that manage them read, answers presented.

Source: UnifiedAPI, PhoneCallEvents service and resource; RFC 3986 for URLs.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import tzinfo
from ipaddress import ip_address
from typing import Any, Final, TypeVar
from urllib.parse import quote, urlsplit

from pydantic import ValidationError

from bridge.errors import (
    ApiError,
    HookInvalid,
    HookMethodInvalid,
    HookNoteInvalid,
    HookStatusInvalid,
    HookTypeInvalid,
    HookUrlInvalid,
    ListParameterInvalid,
    RequestInvalid,
)
from bridge.hooks import EventType, Hook, HookForm, HookMethod
from bridge.uapi.hook_shapes import (
    LONGEST_NOTE,
    LONGEST_URL,
    HookBody,
    HookCollectionBody,
    HookListQuery,
)
from bridge.uapi.listing import LARGEST_START
from bridge.uapi.requests import json_object
from bridge.uapi.shapes import PageLinks, SelfLink
from bridge.uapi.types import call_id, flag, present_date

T = TypeVar("T")

_URL: Final = re.compile(
    r"https?://(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?"
    r"(?:[/?](?:[A-Za-z0-9._~:/?@!$&'()*+,;=-]|%[0-9A-Fa-f]{2})*)?"
)
"""An http or https URL without credentials and fragment (RFC 3986, appendix A)."""

_NUMERIC: Final = re.compile(r"(?:.*\.)?(?:[0-9]+|0[xX][0-9A-Fa-f]*)\.?")
"""A host that some read as an IPv4 address (WHATWG URL, ends in a number)."""

_PAGING: Final = {str(field.alias): field for field in HookListQuery.model_fields.values()}


# What is read


def parse_new_hook(body: bytes) -> HookForm:
    """Read the body of a POST.

    Raises RequestInvalid, and the error of the first field that is wrong: type, method, url,
    status, note.
    """
    fields = _fields(body)
    method = _field(fields, "method", HookMethodInvalid, _method)
    return HookForm(
        type=_required(_field(fields, "type", HookTypeInvalid, _type), HookTypeInvalid),
        method=HookMethod.GET if method is None else method,
        url=_required(_field(fields, "url", HookUrlInvalid, _url), HookUrlInvalid),
        enabled=_field(fields, "status", HookStatusInvalid, flag) is not False,
        note=_field(fields, "note", HookNoteInvalid, _note) or "",
    )


def parse_hook_changes(body: bytes) -> HookForm:
    """Read the body of a PUT; raises as ``parse_new_hook``, but nothing is required."""
    fields = _fields(body)
    return HookForm(
        method=_field(fields, "method", HookMethodInvalid, _method),
        url=_field(fields, "url", HookUrlInvalid, _url),
        enabled=_field(fields, "status", HookStatusInvalid, flag),
        note=_field(fields, "note", HookNoteInvalid, _note),
    )


def parse_event_type(text: str) -> EventType:
    """Read the type in a path. Raises HookTypeInvalid."""
    return _read(text, HookTypeInvalid, _type)


def parse_hook_id(text: str) -> str:
    """Read the id in a path, 1 to 64 ASCII letters and digits. Raises HookInvalid."""
    return _read(text, HookInvalid, call_id)


def parse_hook_list(query: Mapping[str, str]) -> HookListQuery:
    """Read the query of a list; other parameters are ignored. Raises ListParameterInvalid."""
    times = Counter(name for name, _ in query.items())
    for name in _PAGING:
        if times[name] > 1:
            raise _wrong_page(name)
    try:
        return HookListQuery.model_validate(dict(query))
    except ValidationError as cause:
        raise _wrong_page(str(cause.errors(include_input=False)[0]["loc"][0])) from cause


def hook_list_errors() -> tuple[ListParameterInvalid, ...]:
    """Return the error of each parameter of a list."""
    return tuple(map(_wrong_page, _PAGING))


def _wrong_page(name: str) -> ListParameterInvalid:
    return ListParameterInvalid(name, f"{name} is invalid. {_PAGING[name].description}")


def _fields(body: bytes) -> dict[str, object]:
    try:
        return json_object(body)
    except RequestInvalid as cause:
        raise RequestInvalid("The body must be a JSON object.") from cause


def _field(
    fields: Mapping[str, object],
    name: str,
    error: type[ApiError],
    read: Callable[[object], T],
) -> T | None:
    value = fields.get(name)
    return None if value is None else _read(value, error, read)


def _read(value: object, error: type[ApiError], read: Callable[[Any], T]) -> T:
    try:
        return read(value)
    except ValueError as cause:
        raise error from cause


def _required(value: T | None, error: type[ApiError]) -> T:
    if value is None:
        raise error
    return value


def _type(value: object) -> EventType:
    return EventType(_digit(value))


def _method(value: object) -> HookMethod:
    return HookMethod(_digit(value))


def _digit(value: object) -> int:
    """A number or a text of one digit; true and 1.0 are equal to 1 in Python, but none."""
    if type(value) is int or (isinstance(value, str) and re.fullmatch("[0-9]", value)):
        return int(value)
    raise ValueError("not a digit")


def _url(value: object) -> str:
    if not isinstance(value, str) or len(value) > LONGEST_URL or not _URL.fullmatch(value):
        raise ValueError("not a URL")
    # Raises ValueError for what is no address in brackets, and for no port.
    parts = urlsplit(value)
    if parts.port == 0:
        raise ValueError("not a port")
    if _NUMERIC.fullmatch(parts.hostname or ""):
        # 127.1 and 0x7f000001 are addresses to some readers and names to others.
        ip_address(parts.hostname or "")
    return value


def _note(value: object) -> str:
    if not isinstance(value, str) or len(value) > LONGEST_NOTE:
        raise ValueError("not a note")
    return value


# What is answered


def hooks_link(public_url: str, user_id: str, extension: str) -> str:
    """Return the URL of an extension's phone call events."""
    path = "/".join(quote(segment, safe="*@") for segment in (user_id, extension))
    return f"{public_url.rstrip('/')}/uapi/extensions/{path}/phoneCallEvents"


def present_hook(hook: Hook, link_list: str, tz: tzinfo) -> dict[str, object]:
    """Return a hook's body, without its secret; ``link_list`` is the URL of them all."""
    return _body(hook, link_list, tz).body()


def present_new_hook(hook: Hook, secret: str, link_list: str, tz: tzinfo) -> dict[str, object]:
    """Return the body of a hook that was made, with its secret as text."""
    return {**present_hook(hook, link_list, tz), "secret": secret}


def present_hooks(
    hooks: Sequence[Hook], query: HookListQuery, link_list: str, tz: tzinfo
) -> dict[str, object]:
    """Return the page of hooks that was asked for."""
    start, total = query.start_index, len(hooks)
    page = hooks[start : start + query.count]
    after, before = start + query.count, min(start, total)
    links = PageLinks(
        next=_page(link_list, query, after) if after < total and after <= LARGEST_START else None,
        prev=_page(link_list, query, max(0, before - query.count)) if before else None,
    )
    return HookCollectionBody(
        entry=[_body(hook, link_list, tz) for hook in page],
        total_results=total,
        start_index=start,
        items_per_page=query.count,
        link=links if links.next or links.prev else None,
    ).body()


def present_removed(hooks: Iterable[Hook], link_list: str, tz: tzinfo) -> list[dict[str, object]]:
    """Return hooks that were removed, as they were."""
    return [present_hook(hook, link_list, tz) for hook in hooks]


def _body(hook: Hook, link_list: str, tz: tzinfo) -> HookBody:
    return HookBody(
        id=hook.id,
        type=str(hook.type.value),
        method=str(hook.method.value),
        url=hook.url,
        status="1" if hook.enabled else "0",
        note=hook.note or None,
        modified=present_date(hook.modified, tz),
        link=SelfLink(self=f"{link_list}/{hook.type.value}/{hook.id}"),
    )


def _page(link_list: str, query: HookListQuery, start: int) -> str:
    return f"{link_list}?count={query.count}&startIndex={start}"
