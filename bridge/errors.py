"""Every error the API can answer, as a class.

::

    ApiError
    ├── BadRequest (400)
    │   ├── RequestInvalid        request_invalid            body is no JSON object, action missing
    │   ├── UserInvalid           user_invalid
    │   ├── ExtensionInvalid      extension_invalid
    │   ├── TimeoutInvalid        pc_timeout_invalid         waitForPickup
    │   ├── CallerIdInvalid       pc_callerid_invalid        callerId
    │   ├── PhoneCallInvalid      pc_honecall_invalid        phoneCallId (spelled so in the spec)
    │   ├── ViewInvalid           pc_phonecallview_invalid   phoneCallViewId
    │   ├── PrivateInvalid        pc_private_invalid         private
    │   ├── SendCallToInvalid     pc_sendcallto_invalid      sendCallTo
    │   ├── PhoneNumberInvalid    pc_phonenumber_invalid     phoneNumber
    │   ├── HookInvalid           pce_id_invalid             the id of a phone call event
    │   ├── HookTypeInvalid       pce_type_invalid           type
    │   ├── HookMethodInvalid     pce_method_invalid         method
    │   ├── HookUrlInvalid        pce_url_invalid            url
    │   ├── HookStatusInvalid     pce_status_invalid         status
    │   ├── HookNoteInvalid       pce_note_invalid           note
    │   └── ListParameterInvalid  count_invalid, startindex_invalid, …: one per list parameter
    ├── AccessDenied (401)        access_denied
    │   └── TokenExpired          it was good once
    ├── ActionForbidden (403)     access_denied              the app does not have the action
    ├── ActionConflict (409)      pc_action_conflict         that cannot be changed while it lasts
    ├── TooManyHooks (409)        pce_limit_reached          the app has as many as it may
    ├── NotAttached (409)         what is told to who waits for the supervisor to take part
    │   ├── SupervisorBusy        pc_sendcallto_busy
    │   ├── SupervisorDeclined    pc_sendcallto_declined
    │   ├── NotPickedUp           pc_sendcallto_no_answer
    │   ├── SupervisorHungUp      pc_sendcallto_hung_up
    │   └── TargetGone            pc_phonecallview_gone
    ├── TokenError                what the token endpoint answers (RFC 6749, section 5.2)
    │   ├── InvalidTokenRequest (400)   invalid_request
    │   ├── UnsupportedGrantType (400)  unsupported_grant_type
    │   └── InvalidClient (401)         invalid_client
    ├── NotFound (404)            not_found
    ├── MethodNotAllowed (405)    method_not_allowed
    ├── RequestTimeout (408)      request_timeout            the request did not arrive in time
    ├── BodyTooLarge (413)        request_too_large
    ├── TooManyRequests (429)     too_many_requests
    │   └── TooManyConnections (503)  too_many_connections
    ├── InternalServerError (500) internal_server_error
    ├── NotImplementedYet (501)   request_not_implemented
    ├── HooksUnavailable (503)    pce_unavailable            the file of phone call events
    └── PbxUnavailable (503)      pbx_unavailable
        └── LinkLost              the link went, or is down

Messages are written for the client's developer. They never repeat what the client sent: a
caller's number must not wander into a log through an error.
"""

from typing import ClassVar


class ApiError(Exception):
    """An error of the contract: HTTP ``status``, ``code`` and a ``message`` in plain words."""

    status: ClassVar[int] = 500
    code: str = "internal_server_error"
    default: ClassVar[str] = "The service failed; the log has the details under the request's id."

    def __init__(self, message: str = "") -> None:
        self.message = message or self.default
        super().__init__(self.message)


class BadRequest(ApiError):
    """Something in the request is wrong; nothing was changed."""

    status = 400
    code = "request_invalid"
    default = "The request is invalid."


class RequestInvalid(BadRequest):
    """The body is no JSON object, or its action is missing or no string."""

    default = "The body must be a JSON object with an action."


class UserInvalid(BadRequest):
    """The user in the path is malformed, unknown or outside the token's reach."""

    code = "user_invalid"
    default = "userId must be the id of a user within reach, @me, @viewer or @owner."


class ExtensionInvalid(BadRequest):
    """The extension in the path is malformed, unknown or not that user's."""

    code = "extension_invalid"
    default = "The extension must be an extension number of that user, or @self."


class TimeoutInvalid(BadRequest):
    """``waitForPickup`` is wrong."""

    code = "pc_timeout_invalid"
    default = "waitForPickup must be a whole number of seconds higher than 0."


class CallerIdInvalid(BadRequest):
    """``callerId`` is wrong."""

    code = "pc_callerid_invalid"
    default = "callerId must have the format: John Doe <+3334444>."


class PhoneCallInvalid(BadRequest):
    """``phoneCallId`` is malformed or names no call of that extension.

    The code is spelled as the customer's specification spells it: clients match on it.
    """

    code = "pc_honecall_invalid"
    default = "phoneCallId must be alphanumeric and reference an existing call of the extension."


class ViewInvalid(BadRequest):
    """``phoneCallViewId`` is wrong, or that view cannot be whispered to now."""

    code = "pc_phonecallview_invalid"
    default = "phoneCallViewId must reference the extension's own view of the phone call."


class PrivateInvalid(BadRequest):
    """``private`` is wrong."""

    code = "pc_private_invalid"
    default = "private must be 0 or 1."


class SendCallToInvalid(BadRequest):
    """``sendCallTo`` is wrong, or that phone cannot be called."""

    code = "pc_sendcallto_invalid"
    default = (
        "sendCallTo must be the number of a phone terminal extension in the same organization."
    )


class PhoneNumberInvalid(BadRequest):
    """``phoneNumber`` is wrong."""

    code = "pc_phonenumber_invalid"
    default = "phoneNumber must be one number: digits, * and #, perhaps after a +."


class HookInvalid(BadRequest):
    """The id of a phone call event is malformed, or there is none to change."""

    code = "pce_id_invalid"
    default = "The id must be alphanumeric and reference an existing phone call event of the app."


class HookTypeInvalid(BadRequest):
    """``type`` is wrong, in the body or in the path."""

    code = "pce_type_invalid"
    default = (
        "type must be 0 (dial-in), 1 (dial-out), 2 (hangup), 3 (an incoming call is answered) or"
        " 4 (an outgoing call is answered)."
    )


class HookMethodInvalid(BadRequest):
    """``method`` is wrong."""

    code = "pce_method_invalid"
    default = "method must be 0 (GET) or 1 (POST)."


class HookUrlInvalid(BadRequest):
    """``url`` is wrong, or leads where nothing is sent."""

    code = "pce_url_invalid"
    default = (
        "url must be an http or https URL of at most 2000 characters (RFC 3986), without"
        " credentials and without a fragment."
    )


class HookStatusInvalid(BadRequest):
    """``status`` is wrong."""

    code = "pce_status_invalid"
    default = "status must be 0 (disabled) or 1 (enabled)."


class HookNoteInvalid(BadRequest):
    """``note`` is wrong."""

    code = "pce_note_invalid"
    default = "note must be a text of at most 1000 characters."


class ListParameterInvalid(BadRequest):
    """A parameter of a list request is wrong; its name is in the code."""

    def __init__(self, parameter: str, message: str) -> None:
        self.code = f"{parameter.lower()}_invalid"
        super().__init__(message)


class AccessDenied(ApiError):
    """No token, a bad one, an expired one, or a resource outside its reach."""

    status = 401
    code = "access_denied"
    default = "The token is missing, invalid or expired, or the resource is outside its reach."


class TokenExpired(AccessDenied):
    """The token was good, but its time is over: no attempt to guess one."""


class ActionForbidden(ApiError):
    """The token is good, but its app does not have the action.

    The contract's code for what is denied, and the status that keeps a client from asking for
    another token in vain (RFC 6750, section 3.1, insufficient_scope).
    """

    status = 403
    code = "access_denied"
    default = "The app may not do this: its actions in the directory do not say so."


class TokenError(ApiError):
    """A request for a token is refused; the codes are OAuth's own (RFC 6749, section 5.2)."""

    status = 400


class InvalidTokenRequest(TokenError):
    """A parameter is missing, repeated or malformed, or the client is named in two ways."""

    code = "invalid_request"
    default = "The request must be a form with grant_type, client_id and client_secret."


class UnsupportedGrantType(TokenError):
    """Tokens are given for client credentials only."""

    code = "unsupported_grant_type"
    default = "grant_type must be client_credentials."


class InvalidClient(TokenError):
    """The client is unknown, its secret is wrong, or it did not say who it is."""

    status = 401
    code = "invalid_client"
    default = "The client is unknown or its secret is wrong."


class ActionConflict(ApiError):
    """The supervisor takes part already, and cannot come to do so in that way; nothing changed."""

    status = 409
    code = "pc_action_conflict"
    default = (
        "The extension of sendCallTo takes part in the call in another way, which cannot be changed"
        " to this one while it lasts."
    )


class TooManyHooks(ApiError):
    """The app has as many phone call events as it may; one that is removed makes room."""

    status = 409
    code = "pce_limit_reached"
    default = "The app has as many phone call events as it may have."


class NotAttached(ApiError):
    """The phone was called, but the supervisor does not take part in the call.

    As things are, not as they were asked for: the same request may succeed later.
    """

    status = 409


class SupervisorBusy(NotAttached):
    """The phone refuses the call as it is busy."""

    code = "pc_sendcallto_busy"
    default = "The phone of sendCallTo is busy."


class SupervisorDeclined(NotAttached):
    """The supervisor does not want the call."""

    code = "pc_sendcallto_declined"
    default = "The call was declined at the phone of sendCallTo."


class NotPickedUp(NotAttached):
    """Nobody picks up, or the phone is away."""

    code = "pc_sendcallto_no_answer"
    default = "Nobody picked up the phone of sendCallTo in time."


class SupervisorHungUp(NotAttached):
    """Somebody had it hung up while it rang, or the supervisor picked up and did so himself."""

    code = "pc_sendcallto_hung_up"
    default = "The phone of sendCallTo was hung up."


class TargetGone(NotAttached):
    """The one to be whispered to has left the call."""

    code = "pc_phonecallview_gone"
    default = "The party of phoneCallViewId has left the call."


class NotFound(ApiError):
    """There is no such path."""

    status = 404
    code = "not_found"
    default = "There is nothing at this path."


class MethodNotAllowed(ApiError):
    """The path does not take this method."""

    status = 405
    code = "method_not_allowed"
    default = "This path does not take this method."


class RequestTimeout(ApiError):
    """The head or the body of the request took too long to arrive."""

    status = 408
    code = "request_timeout"
    default = "The request took too long to arrive."


class BodyTooLarge(ApiError):
    """The body is larger than the service reads."""

    status = 413
    code = "request_too_large"
    default = "The body is too large."


class TooManyRequests(ApiError):
    """The client must slow down; ``retry_after`` is in seconds."""

    status = 429
    code = "too_many_requests"
    default = "Too many requests."

    def __init__(self, retry_after: int, message: str = "") -> None:
        self.retry_after = retry_after
        super().__init__(message)


class TooManyConnections(TooManyRequests):
    """The service has as many connections as it takes, all of them busy."""

    status = 503
    code = "too_many_connections"
    default = "There are too many connections."


class InternalServerError(ApiError):
    """The service or the PBX did what it should never do."""


class NotImplementedYet(ApiError):
    """The action is unknown or not offered."""

    status = 501
    code = "request_not_implemented"
    default = "This action is not implemented."


class HooksUnavailable(ApiError):
    """What is kept of phone call events cannot be read or written; retry after some seconds."""

    status = 503
    code = "pce_unavailable"
    default = "Phone call events cannot be read or written now."
    retry_after = 10


class PbxUnavailable(ApiError):
    """No live AMI session, or its picture of the PBX is not complete; retry after some seconds."""

    status = 503
    code = "pbx_unavailable"
    default = "The PBX cannot be reached now."

    def __init__(self, message: str = "", retry_after: int = 2) -> None:
        self.retry_after = retry_after
        super().__init__(message)


class LinkLost(PbxUnavailable):
    """The link to the PBX went before it answered, or is down."""

    default = "The link to the PBX is lost."
