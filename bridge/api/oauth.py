"""Tokens over HTTP, for clients that say who they are (OAuth 2.0, client credentials)."""

import logging
import time
from collections.abc import Sequence
from typing import Final

from aiohttp import web

from bridge import oauth
from bridge.api.asking import body_of
from bridge.api.routes import OAUTH_ERRORS, Route
from bridge.api.site import ADDRESS, REQUEST_ID, SITE, Site
from bridge.errors import (
    ApiError,
    InvalidClient,
    InvalidTokenRequest,
    UnsupportedGrantType,
)
from bridge.happenings import TokenAsked
from bridge.model import App, Asker
from bridge.oauth import Credentials
from bridge.openapi import Access, Operation, Reply

log = logging.getLogger(__name__)

TOKEN = "/oauth/token.php"


async def issue_token(request: web.Request) -> web.Response:
    """Give a token to an app that knows its secret."""
    site = request.app[SITE]
    asked = await _credentials(request)
    named = next(filter(None, (site.directory.app(who.client_id) for who in asked)), None)
    asker = _asker(request, named)
    try:
        client_id = await _authenticated(site, asked, asker.address)
    except ApiError as error:
        log.warning("no token: %s", error.message)
        site.service.report(TokenAsked(asker, error.code))
        raise
    log.info("app %s has a new token", client_id)
    site.service.report(TokenAsked(asker))
    token = site.tokens.issue(client_id, time.time())
    # Beside the Cache-Control of every answer (RFC 6749, section 5.1).
    return web.json_response(oauth.present_token(token), headers={"Pragma": "no-cache"})


async def _credentials(request: web.Request) -> tuple[Credentials, ...]:
    if "client_secret" in request.query:
        raise InvalidTokenRequest("A secret does not belong in a URL, where others see it.")
    headers = request.headers.getall("Authorization", [])
    if len(headers) > 1:
        raise InvalidTokenRequest("There is more than one Authorization header.")
    content_type = request.headers.get("Content-Type", "")
    return oauth.read_token_request(await body_of(request), content_type, *headers)


def _asker(request: web.Request, app: App | None) -> Asker:
    named = (app.client_id, app.user.id) if app else ("", "")
    return Asker(*named, ADDRESS.get(), REQUEST_ID.get())


async def _authenticated(site: Site, asked: Sequence[Credentials], address: str) -> str:
    """The id of the client that one of these credentials is right for.

    Raises InvalidClient and TooManyRequests.
    """
    # An unknown client is compared as well: the time must not tell which clients exist.
    offered = [(who, site.directory.secret_hash(who.client_id)) for who in asked]
    for who, secret_hash in offered:
        if site.authenticator.remembers(secret_hash, who.client_secret):
            return who.client_id
    with site.gate.guess(address, asked[0].client_id):
        for who, secret_hash in offered:
            if await site.authenticator.compare(secret_hash, who.client_secret):
                return who.client_id
        raise InvalidClient


TOKEN_ROUTES: Final = (
    Route(
        "POST",
        TOKEN,
        issue_token,
        Operation(
            name="issueToken",
            summary="A token for an app",
            description="OAuth 2.0, client credentials (RFC 6749, section 4.4).",
            body=oauth.TokenRequest,
            body_type=oauth.FORM,
            replies=(Reply(200, "The token.", oauth.TokenBody),),
            errors=(InvalidTokenRequest, UnsupportedGrantType, InvalidClient),
            form=OAUTH_ERRORS,
            access=Access.CLIENT,
        ),
    ),
)
