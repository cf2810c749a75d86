"""The words in which a route is described."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

from pydantic import BaseModel

from bridge.errors import (
    AccessDenied,
    ApiError,
    BodyTooLarge,
    InternalServerError,
    RequestTimeout,
    TooManyRequests,
)

JSON: Final = "application/json"

Errors = tuple[type[ApiError] | ApiError, ...]
"""Errors of the API: classes, or one of a class whose code differs from error to error."""


class Access(Enum):
    """How a client shows that it may ask."""

    TOKEN = "token"
    """A bearer token (RFC 6750)."""
    CLIENT = "client"
    """The client's own id and secret, in HTTP Basic or in the form (RFC 6749, section 2.3.1)."""
    NONE = "none"
    """Not at all."""


@dataclass(frozen=True, slots=True)
class ErrorForm:
    """What an error looks like: its ``shape``, at which ``place`` in it the code is, and how an
    error of the API is presented in it."""

    shape: type[BaseModel]
    place: tuple[str, ...]
    present: Callable[[ApiError], Mapping[str, Any]]

    def code(self, error: ApiError) -> str:
        """The code an error is presented with."""
        found: Any = self.present(error)
        for name in self.place:
            found = found[name]
        return str(found)


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer that is no error.

    ``body`` is its type, anything pydantic has a schema for; None: it has no body. ``may_say``
    names headers that it may have beyond those of every answer.
    """

    status: int
    meaning: str
    body: Any = None
    media_type: str = JSON
    may_say: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """What a client must know of one method of one path.

    ``name`` is unique; generated clients name their functions so. The fields of ``path``,
    ``query`` and ``headers`` are the parameters by their aliases, ``body`` is the type of the
    request's body. ``errors`` are those that are this operation's own: what every operation of its
    kind answers is added.
    """

    name: str
    summary: str
    replies: tuple[Reply, ...]
    form: ErrorForm
    description: str = ""
    errors: Errors = ()
    path: type[BaseModel] | None = None
    query: type[BaseModel] | None = None
    headers: type[BaseModel] | None = None
    body: Any = None
    body_type: str = JSON
    access: Access = Access.TOKEN

    def every_error(self) -> list[ApiError]:
        """Its own errors, and those that go with its kind."""
        every: Errors = (TooManyRequests(1), InternalServerError)
        kinds = (*self.errors, *self._of_its_kind(), *every)
        return [kind if isinstance(kind, ApiError) else kind() for kind in kinds]

    def _of_its_kind(self) -> Errors:
        token: Errors = (AccessDenied,) if self.access is Access.TOKEN else ()
        body: Errors = () if self.body is None else (BodyTooLarge, RequestTimeout)
        return token + body
