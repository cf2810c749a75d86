"""The phone calls of extensions, asked about and acted on."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from http import HTTPStatus
from typing import Any, Final, TypeVar
from urllib.parse import quote, urlencode

from pydantic import BaseModel, TypeAdapter, ValidationError

from bridge.client.connection import Connection
from bridge.client.errors import Unreachable
from bridge.client.following import News, follow
from bridge.uapi import LONGEST_PREFERRED, AcceptedBody, AttachedBody, CollectionBody, PhoneCallBody

PAGE: Final = 500
"""Calls asked for at a time."""

_HUNG_UP: Final = TypeAdapter(list[PhoneCallBody])

Body = TypeVar("Body", bound=BaseModel)


class Calls:
    """The calls of ``extension`` of ``user``, each as the contract has it in a path.

    Every method raises ClientError.
    """

    def __init__(self, connection: Connection, extension: str, user: str = "@owner") -> None:
        self._connection = connection
        self._place = "/".join(quote(part, safe="*@") for part in (user, extension))

    async def listed(self) -> list[PhoneCallBody]:
        """All there are, the oldest first."""
        found: list[PhoneCallBody] = []
        while True:
            query = urlencode({"count": PAGE, "startIndex": len(found), "sortOrder": "ascending"})
            page = await self._page(f"{self._path()}?{query}")
            if page is None or not page.entry:
                return found
            found += page.entry
            if len(found) >= page.total_results:
                return found

    async def get(self, call_id: str) -> PhoneCallBody | None:
        """One of them, None when there is none."""
        content = await self._connection.ask("GET", self._path(call_id))
        return None if content is None else _read(PhoneCallBody, content)

    async def act(
        self, call_id: str, action: Mapping[str, object], wait: int
    ) -> AttachedBody | AcceptedBody | None:
        """Have somebody whisper, listen or barge in as a PUT's body says.

        Gives the call once he takes part in it, and raises Refused with the reason once he will
        not; gives what was accepted where the service does not wait for that, or not as long.
        ``wait`` is in seconds. None when the call is over. Raises Cut where none of that is known.
        """
        seconds = max(1, min(wait, LONGEST_PREFERRED))
        answer = await self._connection.put(self._path(call_id), action, seconds)
        if answer.content is None:
            return None
        if answer.status == HTTPStatus.OK:
            return _read(AttachedBody, answer.content)
        return _read(AcceptedBody, answer.content)

    async def hang_up(self, call_id: str, number: str) -> list[PhoneCallBody]:
        """End the part of a party, by his number; what ended, nothing when there was nothing."""
        query = urlencode({"phoneNumber": number}, safe="*")
        content = await self._connection.ask("DELETE", f"{self._path(call_id)}?{query}")
        try:
            return _HUNG_UP.validate_python(content or [])
        except ValidationError as error:
            raise _strange(error) from error

    async def follow(self, *, patiently: bool = False) -> AsyncGenerator[News, None]:
        """Yield what becomes of them, for ever; see ``bridge.client.following.follow``."""
        path = f"/uapi/phoneCallStream/{self._place}"
        async with aclosing(follow(self._connection, path, patiently=patiently)) as news:
            async for each in news:
                yield each

    def _path(self, *more: str) -> str:
        return "/".join(("/uapi/phoneCalls", self._place, *(quote(part, safe="") for part in more)))

    async def _page(self, path: str) -> CollectionBody | None:
        content = await self._connection.ask("GET", path)
        return None if content is None else _read(CollectionBody, content)


def _read(body: type[Body], content: Any) -> Body:
    try:
        return body.model_validate(content)
    except ValidationError as error:
        raise _strange(error) from error


def _strange(error: ValidationError) -> Unreachable:
    # The values may be callers' numbers: only where it went wrong is told.
    place = ".".join(map(str, error.errors(include_input=False, include_url=False)[0]["loc"]))
    return Unreachable(f"the service's answer cannot be understood (at {place or 'its root'})")
