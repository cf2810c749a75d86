"""Requests for a token as they are read, and how they are answered."""

import base64
import re
from collections.abc import Iterator
from urllib.parse import quote_plus, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge import errors
from bridge.errors import ApiError, InvalidClient, InvalidTokenRequest, UnsupportedGrantType
from bridge.oauth import FORM, Credentials, present_error, present_token, read_token_request

GRANT = {"grant_type": "client_credentials"}
PANEL = {"client_id": "panel", "client_secret": "s3cret"}
WHO = Credentials("panel", "s3cret")
TEXT = st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=40)


def basic(name: str, secret: str) -> str:
    return "Basic " + base64.b64encode(f"{name}:{secret}".encode()).decode()


def read(
    form: dict[str, str] | str, authorization: str = "", content_type: str = FORM
) -> tuple[Credentials, ...]:
    body = form if isinstance(form, str) else urlencode(form)
    return read_token_request(body.encode(), content_type, authorization)


# Taken


def test_credentials_in_the_form() -> None:
    assert read(GRANT | PANEL) == (WHO,)


def test_what_the_vendors_client_adds_is_no_matter() -> None:
    more = {"type": "unifiedapi", "redirect_uri": "http://client.example.com/cb", "scope": "all"}
    assert read(GRANT | PANEL | more) == (WHO,)


@pytest.mark.parametrize(
    "content_type", [FORM, f"{FORM}; charset=UTF-8", FORM.upper(), f" {FORM} ;charset=utf-8"]
)
def test_the_type_may_have_parameters(content_type: str) -> None:
    assert read(GRANT | PANEL, content_type=content_type) == (WHO,)


@pytest.mark.parametrize("scheme", ["Basic", "basic", "BASIC", "Basic  "])
def test_credentials_in_http_basic(scheme: str) -> None:
    assert read(GRANT, basic("panel", "s3cret").replace("Basic", scheme)) == (WHO,)


@pytest.mark.parametrize("more", [{"client_id": "panel"}, {"client_secret": ""}])
def test_the_form_may_repeat_the_client_id_of_http_basic(more: dict[str, str]) -> None:
    assert read(GRANT | more, basic("panel", "s3cret")) == (WHO,)


def test_a_colon_belongs_to_the_secret() -> None:
    assert read(GRANT, basic("panel", "a:b:")) == (Credentials("panel", "a:b:"),)


@pytest.mark.parametrize("other", ["Bearer old.token", "Digest x", "", "Basics abc"])
def test_another_scheme_does_not_hide_the_form(other: str) -> None:
    """A client may send the token it has with every request, this one included."""
    assert read(GRANT | PANEL, other) == (WHO,)


@given(TEXT, TEXT)
def test_form_encoding_inside_http_basic(name: str, secret: str) -> None:
    found = read(GRANT, basic(quote_plus(name), quote_plus(secret)))
    assert found[0] == Credentials(name, secret)
    assert len(found) <= 2


@given(TEXT.filter(lambda text: ":" not in text), TEXT)
def test_http_basic_as_curl_writes_it(name: str, secret: str) -> None:
    assert Credentials(name, secret) in read(GRANT, basic(name, secret))


@given(TEXT, TEXT)
def test_any_credentials_in_the_form(name: str, secret: str) -> None:
    assert read(GRANT | {"client_id": name, "client_secret": secret}) == (
        Credentials(name, secret),
    )


# Refused


def refused() -> Iterator[object]:
    for name, form, authorization, error in (
        ("nothing", "", "", InvalidTokenRequest),
        ("no grant", dict(PANEL), "", InvalidTokenRequest),
        ("an empty grant", {"grant_type": "", **PANEL}, "", InvalidTokenRequest),
        ("another grant", {"grant_type": "password", **PANEL}, "", UnsupportedGrantType),
        ("a grant in capitals", {"grant_type": "CLIENT_CREDENTIALS"}, "", UnsupportedGrantType),
        ("a repeated grant", urlencode(GRANT | PANEL | GRANT) + "&grant_type=x", "", None),
        ("a repeated unknown", urlencode(GRANT | PANEL) + "&a=1&a=1", "", None),
        ("nobody", GRANT, "", InvalidClient),
        ("no secret", GRANT | {"client_id": "panel"}, "", InvalidClient),
        ("no id", GRANT | {"client_secret": "s"}, "", InvalidClient),
        ("an empty secret", GRANT | PANEL | {"client_secret": ""}, "", InvalidClient),
        ("another scheme only", GRANT, "Bearer x", InvalidClient),
        ("two ways", GRANT | PANEL, basic("panel", "s3cret"), InvalidTokenRequest),
        ("two clients", GRANT | {"client_id": "other"}, basic("panel", "s"), InvalidTokenRequest),
        ("an empty basic", GRANT, "Basic", InvalidClient),
        ("no base64", GRANT, "Basic ####", InvalidClient),
        ("no padding", GRANT, "Basic cGE6c", InvalidClient),
        ("no colon", GRANT, "Basic cGFuZWw=", InvalidClient),
        ("no UTF-8", GRANT, "Basic //86//8=", InvalidClient),
        ("not ASCII", GRANT, "Basic cGE6\u00e9", InvalidClient),
        ("a broken escape", "grant_type=client_credentials&client_id=%ff", "", None),
        ("too many", "&".join(f"p{n}=1" for n in range(101)), "", None),
    ):
        yield pytest.param(form, authorization, error or InvalidTokenRequest, id=name)


@pytest.mark.parametrize(("form", "authorization", "error"), list(refused()))
def test_what_is_refused(
    form: dict[str, str] | str, authorization: str, error: type[ApiError]
) -> None:
    with pytest.raises(error):
        read(form, authorization)


@pytest.mark.parametrize(
    "content_type", ["", "application/json", "multipart/form-data; boundary=x"]
)
def test_a_body_of_another_type_is_refused(content_type: str) -> None:
    with pytest.raises(InvalidTokenRequest, match="Content-Type"):
        read(GRANT | PANEL, content_type=content_type)


@given(st.binary(max_size=300), st.text(max_size=60))
def test_garbage_is_refused(body: bytes, authorization: str) -> None:
    with pytest.raises((InvalidTokenRequest, UnsupportedGrantType)):
        read_token_request(body, FORM, authorization)


@given(st.text(max_size=60))
def test_a_garbled_header_is_refused(garbage: str) -> None:
    with pytest.raises(InvalidClient):
        read(GRANT, f"Basic {garbage}#")


def test_a_secret_is_not_shown() -> None:
    assert "s3cret" not in repr(WHO)


# Answered


def test_a_token_is_presented_as_oauth_wants_it() -> None:
    assert present_token("T") == {"access_token": "T", "token_type": "Bearer", "expires_in": 3600}


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.InvalidTokenRequest(), "invalid_request"),
        (errors.UnsupportedGrantType(), "unsupported_grant_type"),
        (errors.InvalidClient(), "invalid_client"),
        (errors.MethodNotAllowed(), "invalid_request"),
        (errors.NotFound(), "invalid_request"),
        (errors.BodyTooLarge(), "invalid_request"),
        (errors.TooManyRequests(1), "too_many_requests"),
        (errors.InternalServerError(), "server_error"),
    ],
)
def test_an_error_is_presented_as_oauth_wants_it(error: ApiError, code: str) -> None:
    shown = present_error(error)
    assert shown == {"error": code, "error_description": error.message}
    # RFC 6749, section 5.2: characters that error_description may have.
    assert re.fullmatch(r"[\x20-\x21\x23-\x5b\x5d-\x7e]+", shown["error_description"])
