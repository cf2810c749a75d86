"""A route: where it is, what handles it, and what a client must know of it."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby
from typing import Final

from aiohttp import web

from bridge import oauth, uapi
from bridge.api.site import Handler
from bridge.openapi import ErrorForm, Operation

UAPI_ERRORS: Final = ErrorForm(uapi.ErrorBody, ("error", "code"), uapi.present_error)
OAUTH_ERRORS: Final = ErrorForm(oauth.TokenErrorBody, ("error",), oauth.present_error)


@dataclass(frozen=True, slots=True)
class Route:
    """One method of one path, with and without a slash at the end.

    ``operation`` describes it in /openapi.json: a test compares what is described with what the
    route answers.
    """

    method: str
    path: str
    handler: Handler
    operation: Operation


def add(app: web.Application, routes: Iterable[Route]) -> None:
    """Let an application serve these routes; those of one path stand together."""
    for path, at_path in groupby(routes, key=lambda route: route.path):
        methods = list(at_path)
        # By itself aiohttp takes a parameter for none that holds a brace.
        pattern = path.replace("}", ":[^/]+}")
        for spelled in (pattern, pattern + "/"):
            resource = app.router.add_resource(spelled)
            for route in methods:
                resource.add_route(route.method, route.handler)
