"""What the API answers: calls, pages and errors as JSON objects, and the links in them.

Source: Whisper specification, Example; UnifiedAPI, PhoneCall, List parameters and Errors.
"""

from collections.abc import Callable, Collection
from datetime import tzinfo
from typing import Final
from urllib.parse import quote, urlencode

from bridge.errors import ApiError
from bridge.model import CallerId, PhoneCall, PhoneCallView
from bridge.uapi.listing import LARGEST_START, ListQuery, Page
from bridge.uapi.shapes import (
    PHONE_CALL_FIELDS,
    AcceptedBody,
    AttachedBody,
    CollectionBody,
    ErrorBody,
    ErrorDetail,
    PageLinks,
    PhoneCallBody,
    PhoneCallViewBody,
    SelfLink,
)
from bridge.uapi.types import present_date

# Written raw in the specification's example; RFC 3986 section 3.3 allows both in a path.
_RAW_IN_PATH: Final = "*@"


def list_link(public_url: str, user_id: str, extension: str) -> str:
    """Return the URL of an extension's calls; ``public_url`` may end with a slash."""
    return _link(public_url, user_id, extension)


def call_link(public_url: str, user_id: str, extension: str, call_id: str) -> str:
    """Return the URL of one call; ``public_url`` may end with a slash."""
    return _link(public_url, user_id, extension, call_id)


def _link(public_url: str, *segments: str) -> str:
    path = "/".join(quote(segment, safe=_RAW_IN_PATH) for segment in segments)
    return f"{public_url.rstrip('/')}/uapi/phoneCalls/{path}"


def present_call(
    call: PhoneCall, link_self: str, tz: tzinfo, fields: Collection[str] | None = None
) -> dict[str, object]:
    """Return a PhoneCall's body; ``fields`` are the JSON names to show, all when None.

    Dates are in ``tz``, in whole seconds. Source: Whisper specification, Example.
    """
    return _call(call, link_self, tz).body(exclude=_not_asked(fields))


def _call(call: PhoneCall, link_self: str, tz: tzinfo) -> PhoneCallBody:
    return PhoneCallBody(
        id=call.id,
        extension=call.extension,
        owner_id=call.owner.id,
        owner_name=call.owner.name,
        answered=_date(call.answered, tz),
        published=_date(call.published, tz),
        phone_call_view=[_view(view, tz) for view in call.views],
        link=SelfLink(self=link_self),
    )


def _not_asked(fields: Collection[str] | None) -> set[str]:
    if fields is None:
        return set()
    return {attribute for name, attribute in PHONE_CALL_FIELDS.items() if name not in fields}


def present_attached(call: PhoneCall, link_self: str, tz: tzinfo) -> dict[str, object]:
    """Return the body of a PUT's 200: the call as ``present_call`` has it, and any warning."""
    shown = _call(call, link_self, tz)
    return AttachedBody(**dict(shown), warning=call.warning).body()


def present_accepted(call: PhoneCall, link_self: str) -> dict[str, object]:
    """Return the body of a 202: the call's id, its extension, where to follow it, any warning."""
    link = SelfLink(self=link_self)
    return AcceptedBody(
        id=call.id, extension=call.extension, link=link, warning=call.warning
    ).body()


def present_page(
    page: Page,
    query: ListQuery,
    tz: tzinfo,
    *,
    link_list: str,
    link_call: Callable[[PhoneCall], str],
) -> dict[str, object]:
    """Return the body of a collection.

    ``link_list`` is the collection's URL without a query, ``link_call`` gives a call's own. The
    links to other pages repeat the list parameters of ``query`` and nothing else of the request.
    Source: UnifiedAPI, List parameters.
    """
    return CollectionBody(
        entry=[_call(call, link_call(call), tz) for call in page.calls],
        total_results=page.total,
        start_index=query.start_index,
        items_per_page=query.count,
        link=_page_links(page, query, link_list),
    ).body(exclude={"entry": {"__all__": _not_asked(query.fields)}})


def present_error(error: ApiError) -> dict[str, object]:
    """Return the body of an error: its code and message (UnifiedAPI, Errors)."""
    return ErrorBody(error=ErrorDetail(code=error.code, message=error.message)).body()


def _page_links(page: Page, query: ListQuery, link_list: str) -> PageLinks | None:
    after, before = _next_start(page, query), _previous_start(page, query)
    if after is None and before is None:
        return None
    return PageLinks(
        next=_page_link(query, after, link_list), prev=_page_link(query, before, link_list)
    )


def _next_start(page: Page, query: ListQuery) -> int | None:
    start = query.start_index + query.count
    # Beyond the largest startIndex there are calls, but no page that could be asked for.
    return start if start < page.total and start <= LARGEST_START else None


def _previous_start(page: Page, query: ListQuery) -> int | None:
    # From beyond the end, back to the last page that has calls.
    end = min(query.start_index, page.total)
    return max(0, end - query.count) if end else None


def _page_link(query: ListQuery, start: int | None, link_list: str) -> str | None:
    if start is None:
        return None
    return f"{link_list}?{urlencode(query.page_parameters(start), quote_via=quote, safe='')}"


def _view(view: PhoneCallView, tz: tzinfo) -> PhoneCallViewBody:
    return PhoneCallViewBody(
        id=view.id,
        extension=view.extension,
        answered=_date(view.answered, tz),
        status=str(view.status.value),
        caller_id=_caller_id(view.caller_id),
        source=list(view.source),
        destination=list(view.destination),
        flow=None if view.flow is None else view.flow.value,
        ringing=_date(view.ringing, tz),
        on_hold=_date(view.on_hold, tz),
        parked=_date(view.parked, tz),
        recording=_date(view.recording, tz),
        holder=1 if view.holder else None,
    )


def _caller_id(caller: CallerId) -> str | None:
    # A caller who withholds both has none to show.
    return str(caller) if caller.name or caller.number else None


def _date(seconds: float | None, tz: tzinfo) -> str | None:
    return None if seconds is None else present_date(seconds, tz)
