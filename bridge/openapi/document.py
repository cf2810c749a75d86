"""The OpenAPI document, from operations.

Source: OpenAPI Specification 3.1.1.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from itertools import groupby
from typing import Any, Final

from pydantic import BaseModel

from bridge.errors import ApiError
from bridge.openapi.operations import JSON, Access, ErrorForm, Operation, Reply
from bridge.openapi.schemas import Schema, Schemas

Described = Iterable[tuple[str, str, Operation]]
"""Method, path with its parameters in braces, and what a client must know of them."""


@dataclass(frozen=True, slots=True)
class About:
    """What the document says of the API as a whole; ``url`` is where it is served."""

    title: str
    version: str
    description: str
    url: str
    token_path: str


def describe(about: About, routes: Described) -> dict[str, Any]:
    """Return the document, as JSON types."""
    listed = list(routes)
    schemas = _schemas([operation for _, _, operation in listed])
    paths: dict[str, Any] = {}
    for method, path, operation in listed:
        paths.setdefault(path, {})[method.lower()] = _operation(operation, schemas)
    return {
        "openapi": "3.1.1",
        "info": {
            "title": about.title,
            "version": about.version,
            "description": about.description,
        },
        "servers": [{"url": about.url}],
        "paths": paths,
        "components": {
            "schemas": schemas.components,
            "headers": _HEADERS,
            "securitySchemes": _schemes(about.token_path),
        },
    }


def _schemas(operations: Sequence[Operation]) -> Schemas:
    bodies = [one.body for one in operations if one.body and one.body_type == JSON]
    forms = [one.body for one in operations if one.body and one.body_type != JSON]
    replies = [reply.body for one in operations for reply in one.replies if reply.body]
    errors = [one.form.shape for one in operations]
    parameters = [shape for one in operations for _, shape in _places(one)]
    return Schemas(bodies, [*forms, *replies, *errors], parameters)


def _operation(operation: Operation, schemas: Schemas) -> dict[str, Any]:
    described = {
        "operationId": operation.name,
        "summary": operation.summary,
        "description": operation.description,
        "parameters": _parameters(operation, schemas),
        "requestBody": _request_body(operation, schemas),
        "responses": _responses(operation, schemas),
    }
    # An empty list of requirements says that there are none; left out, the default would hold.
    return {name: value for name, value in described.items() if value} | {
        "security": _SECURITY[operation.access]
    }


# What is asked


def _parameters(operation: Operation, schemas: Schemas) -> list[dict[str, Any]]:
    return [
        _parameter(place, name, schema, required=required)
        for place, shape in _places(operation)
        for name, schema, required in schemas.fields(shape)
    ]


def _places(operation: Operation) -> list[tuple[str, type[BaseModel]]]:
    places = ("path", operation.path), ("query", operation.query), ("header", operation.headers)
    return [(place, shape) for place, shape in places if shape is not None]


def _parameter(place: str, name: str, schema: Schema, *, required: bool) -> dict[str, Any]:
    schema = dict(schema)
    parameter = {"name": name, "in": place, "description": schema.pop("description", "")}
    # Of several forms the first: in a URL a number and its digits are written alike.
    schema |= schema.pop("anyOf", [{}])[0]
    parameter |= {"required": required, "schema": schema}
    if schema.get("type") == "array":
        parameter |= {"style": "form", "explode": False}
    return parameter


def _request_body(operation: Operation, schemas: Schemas) -> dict[str, Any] | None:
    if operation.body is None:
        return None
    return {
        "required": True,
        "content": {operation.body_type: {"schema": schemas.of(operation.body)}},
    }


# What is answered


def _responses(operation: Operation, schemas: Schemas) -> dict[str, Any]:
    good = {str(reply.status): _response(reply, schemas) for reply in operation.replies}
    errors = sorted(operation.every_error(), key=lambda error: error.status)
    return good | {
        str(status): _refusal(status, list(of_it), operation.form, schemas)
        for status, of_it in groupby(errors, key=lambda error: error.status)
    }


def _response(reply: Reply, schemas: Schemas) -> dict[str, Any]:
    described: dict[str, Any] = {
        "description": reply.meaning,
        "headers": _headers(reply.status, reply.may_say),
    }
    if reply.body is not None:
        described["content"] = {reply.media_type: {"schema": schemas.of(reply.body)}}
    return described


def _refusal(
    status: int, errors: list[ApiError], form: ErrorForm, schemas: Schemas
) -> dict[str, Any]:
    by_code = {form.code(error): error for error in errors}
    schema = {"allOf": [schemas.of(form.shape), _one_of(list(by_code), form.place)]}
    examples = {
        code: {"summary": error.message, "value": form.present(error)}
        for code, error in by_code.items()
    }
    return {
        "description": f"{HTTPStatus(status).phrase}: {', '.join(f'`{code}`' for code in by_code)}",
        "headers": _headers(status),
        "content": {JSON: {"schema": schema, "examples": examples}},
    }


def _one_of(codes: list[str], place: tuple[str, ...]) -> Schema:
    schema: Schema = {"enum": codes}
    for name in reversed(place):
        schema = {"properties": {name: schema}}
    return schema


def _headers(status: int, more: Iterable[str] = ()) -> dict[str, Any]:
    named = ("X-Request-Id", "Cache-Control", *_OF_STATUS.get(status, ()), *more)
    return {name: {"$ref": f"#/components/headers/{name}"} for name in named}


def _header(
    description: str, example: str, *, required: bool = True, **schema: Any
) -> dict[str, Any]:
    return {
        "description": description,
        "required": required,
        "schema": {"type": "string", **schema},
        "example": example,
    }


_HEADERS: Final = {
    "X-Request-Id": _header(
        "The name of the request in the service's log.",
        "b817d2618fe6f180",
        pattern="^[0-9a-f]{16}$",
    ),
    "Cache-Control": _header("Answers are not to be kept.", "no-store", const="no-store"),
    "Retry-After": _header("Seconds until it is worth another try.", "2", pattern="^[0-9]+$"),
    "Preference-Applied": _header(
        "For how many seconds the answer was waited for, where the client preferred to (RFC 7240).",
        "wait=26",
        required=False,
        pattern="^wait=[0-9]+$",
    ),
    "WWW-Authenticate": _header("What kind of credentials is asked for (RFC 9110).", "Bearer"),
}
_OF_STATUS: Final[Mapping[int, tuple[str, ...]]] = {
    401: ("WWW-Authenticate",),
    403: ("WWW-Authenticate",),
    429: ("Retry-After",),
    503: ("Retry-After",),
}


# Who may ask

_SECURITY: Final[Mapping[Access, list[dict[str, list[str]]]]] = {
    Access.TOKEN: [{"bearer": []}, {"accessRequestToken": []}, {"oauth2": []}],
    Access.CLIENT: [{"basic": []}, {}],
    Access.NONE: [],
}


def _schemes(token_path: str) -> dict[str, Any]:
    flow = {"clientCredentials": {"tokenUrl": token_path, "scopes": {}}}
    return {
        "bearer": {"type": "http", "scheme": "bearer", "description": "RFC 6750."},
        "accessRequestToken": {
            "type": "apiKey",
            "in": "query",
            "name": "accessRequestToken",
            "description": "The token, for clients that cannot set headers; also as `Bearer T`.",
        },
        "oauth2": {
            "type": "oauth2",
            "description": "Where tokens come from (RFC 6749, section 4.4).",
            "flows": flow,
        },
        "basic": {
            "type": "http",
            "scheme": "basic",
            "description": "The app's client_id and client_secret (RFC 6749, section 2.3.1); they "
            "may be in the form instead.",
        },
    }
