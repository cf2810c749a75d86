"""Answers: what every one of them has, and errors in the form of the API or of OAuth."""

import secrets

from aiohttp import web

from bridge import errors, oauth, uapi
from bridge.errors import AccessDenied, ActionForbidden, ApiError, InvalidClient

BASIC = 'Basic realm="whisper-bridge", charset="UTF-8"'
"""How a client may say who it is (RFC 7617; a 401 must say so: RFC 9110, section 15.5.2)."""


_PASSING = (errors.HooksUnavailable, errors.PbxUnavailable, errors.TooManyRequests)
"""What is worth another try, and when."""


def named(response: web.StreamResponse, request_id: str) -> None:
    """Give an answer the name of its request in the log, and let nobody keep it."""
    response.headers["X-Request-Id"] = request_id
    response.headers["Cache-Control"] = "no-store"


def refusal(error: ApiError, path: str, status: int | None = None) -> web.Response:
    """The answer that an error is; ``status`` where it is not the error's own."""
    of_oauth = path.startswith("/oauth/")
    present = oauth.present_error if of_oauth else uapi.present_error
    response = web.json_response(present(error), status=status or error.status)
    if of_oauth:
        response.headers["Pragma"] = "no-cache"
    if isinstance(error, _PASSING):
        response.headers["Retry-After"] = str(error.retry_after)
    if isinstance(error, AccessDenied):
        response.headers["WWW-Authenticate"] = "Bearer"
    if isinstance(error, ActionForbidden):
        response.headers["WWW-Authenticate"] = 'Bearer error="insufficient_scope"'
    if isinstance(error, InvalidClient):
        response.headers["WWW-Authenticate"] = BASIC
    return response


def refusal_of_http(error: web.HTTPException, path: str) -> web.Response:
    """The answer for what aiohttp refuses by itself."""
    kind = _KINDS.get(error.status)
    ours = kind() if kind else errors.RequestInvalid(f"{error.reason}.")
    response = refusal(ours, path, error.status)
    if "Allow" in error.headers:
        response.headers["Allow"] = error.headers["Allow"]
    return response


def farewell(error: ApiError) -> bytes:
    """The answer that an error is, byte for byte, to somebody who has not asked yet."""
    response = refusal(error, "")
    named(response, secrets.token_hex(8))
    body = response.body if isinstance(response.body, bytes) else b""
    head = {**response.headers, "Content-Length": str(len(body)), "Connection": "close"}
    lines = [
        f"HTTP/1.1 {response.status} {response.reason}",
        *(f"{n}: {v}" for n, v in head.items()),
    ]
    return "\r\n".join([*lines, "", ""]).encode() + body


_KINDS: dict[int, type[ApiError]] = {
    404: errors.NotFound,
    405: errors.MethodNotAllowed,
    413: errors.BodyTooLarge,
}
