"""The API's own description, /openapi.json."""

import json
from collections.abc import Iterable
from importlib.metadata import version
from typing import Any, Final

from aiohttp import web

from bridge.api.oauth import TOKEN
from bridge.api.routes import UAPI_ERRORS, Route
from bridge.api.site import SITE
from bridge.openapi import About, Access, Operation, Reply, describe

DESCRIPTION = web.AppKey("description", bytes)

_TEXT: Final = """\
Whisper to an agent on a live call of an Asterisk PBX.

Every path is also reached with a slash at the end. `*` and `@` in paths may be written `%2A` and
`%40`. Every error is JSON with a code to match on and a message for developers: on a path that is
not here 404 `not_found`, with a method that is not here 405 `method_not_allowed` and `Allow`, and
anywhere: to whoever asks too often 429 `too_many_requests` and `Retry-After`; to what is no HTTP
400 `request_invalid`, and to an `Expect` other than `100-continue` 417 `request_invalid`; while
more clients are busy than can be served 503 `too_many_connections` and `Retry-After`.
"""


async def get_description(request: web.Request) -> web.Response:
    """Show the description."""
    return web.Response(
        body=request.app[DESCRIPTION], content_type="application/json", charset="utf-8"
    )


DESCRIPTION_ROUTES: Final = (
    Route(
        "GET",
        "/openapi.json",
        get_description,
        Operation(
            name="getDescription",
            summary="This description",
            replies=(Reply(200, "The description, in OpenAPI 3.1.", dict[str, Any]),),
            form=UAPI_ERRORS,
            access=Access.NONE,
        ),
    ),
)


def publish(app: web.Application, routes: Iterable[Route]) -> None:
    """Have an application show the description of these routes."""
    described = document(routes, app[SITE].public_url)
    app[DESCRIPTION] = json.dumps(described, ensure_ascii=False).encode()


def document(routes: Iterable[Route], public_url: str) -> dict[str, Any]:
    """The description of routes, served at a URL."""
    about = About("whisper-bridge", version("whisper-bridge"), _TEXT, public_url, TOKEN)
    return describe(about, ((route.method, route.path, route.operation) for route in routes))
