"""OAuth 2.0 for clients of the API: requests for a token read, answers presented (RFC 6749)."""

import binascii
from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal
from urllib.parse import parse_qsl, unquote_plus

from pydantic import BaseModel, ConfigDict, Field

from bridge.errors import (
    ApiError,
    BodyTooLarge,
    InternalServerError,
    InvalidClient,
    InvalidTokenRequest,
    MethodNotAllowed,
    NotFound,
    RequestInvalid,
    RequestTimeout,
    UnsupportedGrantType,
)
from bridge.tokens import LIFETIME

FORM: Final = "application/x-www-form-urlencoded"


class TokenRequest(BaseModel):
    """What a client sends for a token; id and secret may be in HTTP Basic instead."""

    model_config = ConfigDict(title="TokenRequest")

    grant_type: Literal["client_credentials"]
    client_id: str | None = Field(default=None, min_length=1, examples=["panel"])
    client_secret: str | None = Field(default=None, min_length=1, examples=["a long random one"])


class TokenBody(BaseModel):
    """A token (RFC 6749, section 5.1)."""

    model_config = ConfigDict(title="Token")

    access_token: str = Field(
        description="To be sent as `Authorization: Bearer T`.",
        json_schema_extra={"pattern": "^[A-Za-z0-9_.-]{10,}$"},
    )
    token_type: Literal["Bearer"] = "Bearer"
    expires_in: int = Field(default=LIFETIME, description="Seconds it is good for.")


class TokenErrorBody(BaseModel):
    """Why there is no token (RFC 6749, section 5.2)."""

    model_config = ConfigDict(title="TokenError")

    error: str = Field(examples=["invalid_client"])
    error_description: str


@dataclass(frozen=True, slots=True)
class Credentials:
    """Who a client says it is."""

    client_id: str
    client_secret: str = field(repr=False)


def read_token_request(
    body: bytes, content_type: str, authorization: str = ""
) -> tuple[Credentials, ...]:
    """Read a request for a token by client credentials (RFC 6749, section 4.4.2).

    Takes the body and the two headers as they came, empty where there is none. Returns the
    credentials to try, in this order: usually one, two where HTTP Basic can be understood in two
    ways. Parameters that are not known are ignored.
    Raises InvalidTokenRequest, UnsupportedGrantType and InvalidClient.
    """
    form = _form(body, content_type)
    if "grant_type" not in form:
        raise InvalidTokenRequest("grant_type is missing.")
    if form["grant_type"] != "client_credentials":
        raise UnsupportedGrantType
    scheme, _, encoded = authorization.strip().partition(" ")
    if scheme.lower() == "basic":
        return _from_basic(encoded.strip(), form)
    return _from_form(form)


def present_token(token: str) -> Mapping[str, Any]:
    """The answer that hands out a token (RFC 6749, section 5.1)."""
    return TokenBody(access_token=token).model_dump()


def present_error(error: ApiError) -> Mapping[str, Any]:
    """The answer that refuses one: OAuth's form also for what HTTP has against a request."""
    if isinstance(
        error, NotFound | MethodNotAllowed | BodyTooLarge | RequestInvalid | RequestTimeout
    ):
        code = InvalidTokenRequest.code
    else:
        code = "server_error" if isinstance(error, InternalServerError) else error.code
    return TokenErrorBody(error=code, error_description=error.message).model_dump()


def _form(body: bytes, content_type: str) -> dict[str, str]:
    """Read the parameters; one without a value counts as left out (RFC 6749, section 3.2)."""
    if content_type.partition(";")[0].strip().lower() != FORM:
        raise InvalidTokenRequest(f"The Content-Type must be {FORM}.")
    try:
        pairs = parse_qsl(body.decode(), errors="strict", max_num_fields=100)
    except ValueError as error:
        raise InvalidTokenRequest("The body is no form in UTF-8.") from error
    form = dict(pairs)
    if len(form) < len(pairs):
        raise InvalidTokenRequest("A parameter is there more than once.")
    return form


def _from_form(form: Mapping[str, str]) -> tuple[Credentials, ...]:
    if "client_id" not in form or "client_secret" not in form:
        raise InvalidClient("client_id and client_secret are missing, in the form or HTTP Basic.")
    return (Credentials(form["client_id"], form["client_secret"]),)


def _from_basic(encoded: str, form: Mapping[str, str]) -> tuple[Credentials, ...]:
    """Read HTTP Basic (RFC 7617); id and secret are form-encoded in it (RFC 6749, section 2.3.1).

    curl and many a library leave that encoding out, so a ``+`` or ``%`` may stand for itself.
    """
    if "client_secret" in form:
        raise InvalidTokenRequest("The client must say who it is in one way only.")
    try:
        name, colon, secret = b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        raise InvalidClient("HTTP Basic is malformed.") from None
    if not colon:
        raise InvalidClient("HTTP Basic is malformed.")
    written = Credentials(name, secret)
    encoded_too = Credentials(unquote_plus(name), unquote_plus(secret))
    found = tuple(dict.fromkeys((encoded_too, written)))
    if "client_id" in form and form["client_id"] not in {each.client_id for each in found}:
        raise InvalidTokenRequest("client_id is not the one of HTTP Basic.")
    return found
