"""The phone calls over HTTP: listed, shown, acted on."""

from collections.abc import Collection, Container
from datetime import UTC, datetime, tzinfo
from typing import Final, TypeAlias

from aiohttp import web

from bridge import uapi
from bridge.api.asking import body_of, principal_of, reader_of, resolve
from bridge.api.attempts import Attempt
from bridge.api.routes import UAPI_ERRORS, Route
from bridge.api.site import SITE
from bridge.api.waiting import PREFER, WAITING
from bridge.errors import (
    ActionConflict,
    ActionForbidden,
    CallerIdInvalid,
    ExtensionInvalid,
    NotImplementedYet,
    NotPickedUp,
    PbxUnavailable,
    PhoneCallInvalid,
    PhoneNumberInvalid,
    PrivateInvalid,
    RequestInvalid,
    SendCallToInvalid,
    SupervisorBusy,
    SupervisorDeclined,
    SupervisorHungUp,
    TargetGone,
    TimeoutInvalid,
    UserInvalid,
    ViewInvalid,
)
from bridge.happenings import HANG_UP
from bridge.model import Extension, PhoneCall, Principal
from bridge.openapi import Operation, Reply

CALLS = "/uapi/phoneCalls/{userId}/{extension}"
CALL = CALLS + "/{phoneCallId}"

_Asked: TypeAlias = tuple[Principal, Container[Extension], str, uapi.WhisperForm]


async def list_calls(request: web.Request) -> web.Response:
    """The calls of extensions."""
    site, extensions = request.app[SITE], await resolve(request, reader_of(request))
    query = uapi.parse_list(request.query)
    page = uapi.select(site.service.list_calls(extensions), query, zone())
    if not page.total:
        return web.Response(status=204)
    user, extension = request.match_info["userId"], request.match_info["extension"]
    body = uapi.present_page(
        page,
        query,
        zone(),
        link_list=uapi.list_link(site.public_url, user, extension),
        link_call=lambda call: uapi.call_link(site.public_url, user, extension, call.id),
    )
    return web.json_response(body)


async def get_call(request: web.Request) -> web.Response:
    """One call."""
    site, extensions = request.app[SITE], await resolve(request, reader_of(request))
    call_id = uapi.parse_call_id(request.match_info["phoneCallId"])
    query = uapi.parse_list(request.query)
    call = site.service.find_call(extensions, call_id)
    if call is None:
        return web.Response(status=204)
    return _shown(request, call, query.fields)


async def act_on_call(request: web.Request) -> web.Response:
    """Do something with a call: whisper, listen, barge in."""
    site = request.app[SITE]
    with Attempt(request) as attempt:
        principal = attempt.by(principal_of(request))
        extensions = await resolve(request, principal)
        form = attempt.to(uapi.parse_action(await body_of(request)))
    asked = principal, extensions, request.match_info["phoneCallId"], form
    if PREFER in request.headers:
        return await _act_patiently(request, asked)
    return _accepted(request, await site.service.whisper(*asked))


async def _act_patiently(request: web.Request, asked: _Asked) -> web.Response:
    """Do it, and wait until the supervisor is attached as long as the client prefers to."""
    service = request.app[SITE].service
    with request.app[WAITING].of(request) as patience:
        if patience is None:
            return _accepted(request, await service.whisper(*asked))
        call, attached = await service.whisper_attached(*asked, patience)
    answer = _attached(request, call) if call and attached else _accepted(request, call)
    answer.headers["Preference-Applied"] = f"wait={patience.seconds}"
    return answer


def _attached(request: web.Request, call: PhoneCall) -> web.Response:
    """The answer once the supervisor takes part."""
    return web.json_response(uapi.present_attached(call, _link(request, call.id), zone()))


def _accepted(request: web.Request, call: PhoneCall | None) -> web.Response:
    """The answer while the phone is being called."""
    if call is None:
        return web.Response(status=204)
    body = uapi.present_accepted(call, _link(request, call.id))
    return web.json_response(body, status=202)


def _shown(
    request: web.Request, call: PhoneCall, fields: Collection[str] | None = None
) -> web.Response:
    """The answer that is the call itself."""
    return web.json_response(uapi.present_call(call, _link(request, call.id), zone(), fields))


async def hang_up(request: web.Request) -> web.Response:
    """End a call, or one party's part in it."""
    site = request.app[SITE]
    with Attempt(request, HANG_UP) as attempt:
        principal = attempt.by(principal_of(request))
        extensions = await resolve(request, principal)
        call_id = uapi.parse_call_id(request.match_info["phoneCallId"])
        number = uapi.parse_hang_up(request.query)
        attempt.number = number or ""
    call = await site.service.hang_up(principal, extensions, call_id, number)
    if call is None:
        return web.Response(status=204)
    return web.json_response([uapi.present_call(call, _link(request, call.id), zone())])


def _link(request: web.Request, call_id: str) -> str:
    site, path = request.app[SITE], request.match_info
    return uapi.call_link(site.public_url, path["userId"], path["extension"], call_id)


def zone() -> tzinfo:
    """The machine's zone, asked anew because its offset changes twice a year."""
    return datetime.now().astimezone().tzinfo or UTC


_OF_PATH: Final = (UserInvalid, ExtensionInvalid, ActionForbidden, PbxUnavailable)
_NONE: Final = Reply(204, "There is none.")
_APPLIED: Final = ("Preference-Applied",)

CALL_ROUTES: Final = (
    Route(
        "PUT",
        CALL,
        act_on_call,
        Operation(
            name="actOnPhoneCall",
            summary="Whisper to a party of a call, listen to it, or barge in",
            description="The same request again, while the phone rings or the supervisor takes "
            "part, rings nothing; one for another action or another `private` changes what goes on "
            "in place, where the PBX can do that. With `Prefer: wait=N` the answer is 200 with the "
            "call once the supervisor takes part in it so, at once where he does already, and an "
            "error once it is known that he will not; after N seconds it is 202. Where agents are "
            "played a notice, he takes part once it has begun. A client that goes away meanwhile "
            "changes nothing, and the same request again waits on.",
            path=uapi.CallPath,
            headers=uapi.Preferences,
            body=uapi.WhisperAction,
            replies=(
                Reply(
                    200,
                    "The supervisor takes part, and the client preferred to wait for that.",
                    uapi.AttachedBody,
                    may_say=_APPLIED,
                ),
                Reply(
                    202,
                    "The phone of sendCallTo is being called.",
                    uapi.AcceptedBody,
                    may_say=_APPLIED,
                ),
                Reply(204, "The call has ended.", may_say=_APPLIED),
            ),
            errors=(
                *_OF_PATH,
                *(RequestInvalid, TimeoutInvalid, CallerIdInvalid, PhoneCallInvalid, ViewInvalid),
                *(PrivateInvalid, SendCallToInvalid, ActionConflict, NotImplementedYet),
                *(SupervisorBusy, SupervisorDeclined, NotPickedUp, SupervisorHungUp, TargetGone),
            ),
            form=UAPI_ERRORS,
        ),
    ),
    Route(
        "DELETE",
        CALL,
        hang_up,
        Operation(
            name="hangUpPhoneCall",
            summary="Hang up a call, or one of its parties",
            description="Extensions beyond the token's reach are never hung up. With the number of "
            "whoever whispers, listens or has barged in, that alone ends.",
            path=uapi.CallPath,
            query=uapi.HangUpQuery,
            replies=(
                Reply(
                    200,
                    "What was hung up: the call as it was, with those of its views that ended.",
                    list[uapi.PhoneCallBody],
                ),
                Reply(204, "There was nothing to hang up."),
            ),
            errors=(*_OF_PATH, PhoneCallInvalid, PhoneNumberInvalid),
            form=UAPI_ERRORS,
        ),
    ),
    Route(
        "GET",
        CALL,
        get_call,
        Operation(
            name="getPhoneCall",
            summary="One call of an extension",
            description="The parameters of a list are checked, and only `fields` matters.",
            path=uapi.CallPath,
            query=uapi.ListQuery,
            replies=(Reply(200, "The call.", uapi.PhoneCallBody), _NONE),
            errors=(*_OF_PATH, PhoneCallInvalid, *uapi.list_errors()),
            form=UAPI_ERRORS,
        ),
    ),
    Route(
        "GET",
        CALLS,
        list_calls,
        Operation(
            name="listPhoneCalls",
            summary="The calls of an extension, or of all extensions of a user",
            path=uapi.CallsPath,
            query=uapi.ListQuery,
            replies=(Reply(200, "A page of calls.", uapi.CollectionBody), _NONE),
            errors=(*_OF_PATH, *uapi.list_errors()),
            form=UAPI_ERRORS,
        ),
    ),
)
