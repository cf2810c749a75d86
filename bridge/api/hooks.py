"""Phone call events over HTTP: of what a client is told at its own URL."""

from typing import Final

from aiohttp import web

from bridge import uapi
from bridge.api.asking import body_of, reader_of, resolve
from bridge.api.calls import zone
from bridge.api.routes import UAPI_ERRORS, Route
from bridge.api.site import SITE
from bridge.errors import (
    ActionForbidden,
    ExtensionInvalid,
    HookInvalid,
    HookMethodInvalid,
    HookNoteInvalid,
    HookStatusInvalid,
    HooksUnavailable,
    HookTypeInvalid,
    HookUrlInvalid,
    NotImplementedYet,
    PbxUnavailable,
    RequestInvalid,
    TooManyHooks,
    UserInvalid,
)
from bridge.hooks import Chosen, Hooks
from bridge.model import Principal
from bridge.openapi import Operation, Reply

HOOKS: Final = "/uapi/extensions/{userId}/{extension}/phoneCallEvents"
OF_TYPE: Final = HOOKS + "/{eventType}"
HOOK: Final = OF_TYPE + "/{eventId}"


async def create_hook(request: web.Request) -> web.Response:
    """Have a client be told of a type of event."""
    principal, hooks, chosen = await _asked(request)
    form = uapi.parse_new_hook(await body_of(request))
    hook = await hooks.create(chosen, form, principal.asker)
    body = uapi.present_new_hook(hook, hooks.spell(hook), _link(request), zone())
    return web.json_response(body)


async def list_hooks(request: web.Request) -> web.Response:
    """The phone call events of an extension, all or of a type."""
    _, hooks, chosen = await _asked(request)
    query = uapi.parse_hook_list(request.query)
    found = hooks.chosen(chosen)
    if not found:
        return web.Response(status=204)
    return web.json_response(uapi.present_hooks(found, query, _link(request), zone()))


async def get_hook(request: web.Request) -> web.Response:
    """One phone call event."""
    _, hooks, chosen = await _asked(request)
    found = hooks.chosen(chosen)
    if not found:
        return web.Response(status=204)
    return web.json_response(uapi.present_hook(found[0], _link(request), zone()))


async def change_hook(request: web.Request) -> web.Response:
    """Change one phone call event."""
    principal, hooks, chosen = await _asked(request)
    form = uapi.parse_hook_changes(await body_of(request))
    hook = await hooks.change(chosen, form, principal.asker)
    return web.json_response(uapi.present_hook(hook, _link(request), zone()))


async def remove_hooks(request: web.Request) -> web.Response:
    """Remove phone call events: all, those of a type, or one."""
    principal, hooks, chosen = await _asked(request)
    found = await hooks.remove(chosen, principal.asker)
    if not found:
        return web.Response(status=204)
    return web.json_response(uapi.present_removed(found, _link(request), zone()))


async def _asked(request: web.Request) -> tuple[Principal, Hooks, Chosen]:
    """Who asks, and which phone call events his path means."""
    principal, path = reader_of(request), request.match_info
    extension = (await resolve(request, principal)).one
    if extension is None:
        raise ExtensionInvalid("The extension must be one extension number of that user.")
    kind = uapi.parse_event_type(path["eventType"]) if "eventType" in path else None
    known_as = uapi.parse_hook_id(path["eventId"]) if "eventId" in path else None
    hooks = request.app[SITE].hooks
    if hooks is None:
        raise NotImplementedYet("Call events are not told here: BRIDGE_WEBHOOKS_DB is not set.")
    return principal, hooks, Chosen(principal.app, extension, kind, known_as)


def _link(request: web.Request) -> str:
    path = request.match_info
    return uapi.hooks_link(request.app[SITE].public_url, path["userId"], path["extension"])


_OF_PATH: Final = (
    UserInvalid,
    ExtensionInvalid,
    ActionForbidden,
    NotImplementedYet,
    PbxUnavailable,
    HooksUnavailable,
)
_OF_BODY: Final = (
    *(RequestInvalid, HookMethodInvalid, HookUrlInvalid, HookStatusInvalid, HookNoteInvalid),
)
_NONE: Final = Reply(204, "The app has none.")
_REMOVED: Final = Reply(200, "What was removed, as it was.", list[uapi.HookBody])
_PAGE: Final = Reply(200, "A page of phone call events.", uapi.HookCollectionBody)

_TELLING: Final = """\
When it happens, the URL is asked for by GET with the parameters in its query, or by POST with the \
parameters as a form: `CallID`, `CallerIDNum`, `CallerIDName`, `CalledDID`, `CalledExtension`, \
`CallStatus` (`CALLING`, `ANSWER`, or `UNKNOWN` for a call that ended unanswered), `CallFlow` \
(`IN` or `OUT`), `CallerExtension`, `CalledNumber` and `EventID`; what is not known is empty.

Each request is signed: `Webhook-Signature` is `v1,` and the base64 of the HMAC-SHA256, with the \
secret that is shown when the phone call event is made, over `Webhook-Id` (the `EventID`), a dot, \
`Webhook-Timestamp` (epoch seconds), a dot, and the body of a POST or the whole query of a GET, as \
they are sent.

Any status but 2xx, a redirect too, has it sent again, after pauses that double up to 10 minutes, \
16 times in all; what comes later waits, 1000 events at most, and fewer while very many wait in \
all. An event may come twice, with the same `EventID`.

What changed while the service was away from the PBX, or not running, is told once it is back: a \
call that ended meanwhile its hangup, as `UNKNOWN` if it was not known to be answered, and one \
that began and goes on whatever it came to. Of one that began and ended meanwhile nothing is told.
"""

HOOK_ROUTES: Final = (
    Route(
        "POST",
        HOOKS,
        create_hook,
        Operation(
            name="createPhoneCallEvent",
            summary="Be told of a type of event of an extension",
            description=_TELLING,
            path=uapi.CallsPath,
            body=uapi.NewHook,
            replies=(Reply(200, "It was made.", uapi.NewHookBody),),
            errors=(*_OF_PATH, HookTypeInvalid, *_OF_BODY, TooManyHooks),
            form=UAPI_ERRORS,
        ),
    ),
    Route(
        "GET",
        HOOKS,
        list_hooks,
        Operation(
            name="listPhoneCallEvents",
            summary="The phone call events that the app has on an extension",
            path=uapi.CallsPath,
            query=uapi.HookListQuery,
            replies=(_PAGE, _NONE),
            errors=(*_OF_PATH, *uapi.hook_list_errors()),
            form=UAPI_ERRORS,
        ),
    ),
    Route(
        "DELETE",
        HOOKS,
        remove_hooks,
        Operation(
            name="deletePhoneCallEvents",
            summary="Remove all phone call events that the app has on an extension",
            path=uapi.CallsPath,
            replies=(_REMOVED, _NONE),
            errors=_OF_PATH,
            form=UAPI_ERRORS,
        ),
    ),
    Route(
        "GET",
        OF_TYPE,
        list_hooks,
        Operation(
            name="listPhoneCallEventsOfType",
            summary="The phone call events of a type that the app has on an extension",
            path=uapi.HookTypePath,
            query=uapi.HookListQuery,
            replies=(_PAGE, _NONE),
            errors=(*_OF_PATH, HookTypeInvalid, *uapi.hook_list_errors()),
            form=UAPI_ERRORS,
        ),
    ),
    Route(
        "DELETE",
        OF_TYPE,
        remove_hooks,
        Operation(
            name="deletePhoneCallEventsOfType",
            summary="Remove the phone call events of a type that the app has on an extension",
            path=uapi.HookTypePath,
            replies=(_REMOVED, _NONE),
            errors=(*_OF_PATH, HookTypeInvalid),
            form=UAPI_ERRORS,
        ),
    ),
    Route(
        "GET",
        HOOK,
        get_hook,
        Operation(
            name="getPhoneCallEvent",
            summary="One phone call event of the app",
            path=uapi.HookPath,
            replies=(Reply(200, "The phone call event.", uapi.HookBody), _NONE),
            errors=(*_OF_PATH, HookTypeInvalid, HookInvalid),
            form=UAPI_ERRORS,
        ),
    ),
    Route(
        "PUT",
        HOOK,
        change_hook,
        Operation(
            name="updatePhoneCallEvent",
            summary="Change one phone call event of the app",
            description="What waits to be sent is sent as it is then.",
            path=uapi.HookPath,
            body=uapi.HookChanges,
            replies=(Reply(200, "It was changed.", uapi.HookBody),),
            errors=(*_OF_PATH, HookTypeInvalid, HookInvalid, *_OF_BODY),
            form=UAPI_ERRORS,
        ),
    ),
    Route(
        "DELETE",
        HOOK,
        remove_hooks,
        Operation(
            name="deletePhoneCallEvent",
            summary="Remove one phone call event of the app",
            path=uapi.HookPath,
            replies=(_REMOVED, _NONE),
            errors=(*_OF_PATH, HookTypeInvalid, HookInvalid),
            form=UAPI_ERRORS,
        ),
    ),
)
