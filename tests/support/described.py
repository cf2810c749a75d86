"""Answers compared with the description the service gives of itself."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from jsonschema import Draft202012Validator, FormatChecker

Json = dict[str, Any]

FORMATS = FormatChecker(())
ANYWHERE = {
    400: "request_invalid",
    404: "not_found",
    405: "method_not_allowed",
    417: "request_invalid",
    429: "too_many_requests",
}
"""What the description says in words of every path, be it there or not."""


@FORMATS.checks("date-time", raises=ValueError)
def _is_date_time(value: object) -> bool:
    return datetime.fromisoformat(str(value)).tzinfo is not None


class Undescribed(AssertionError):
    """An answer that the description does not know."""


@dataclass(frozen=True)
class Description:
    """An OpenAPI document.

    ``seen`` gathers what was checked: operation, status, and the code of an error.
    """

    document: Json
    seen: set[tuple[str, int, str]] = field(default_factory=set)

    @property
    def operations(self) -> dict[tuple[str, str], Json]:
        """Every operation by its method and path."""
        return {
            (method.upper(), path): operation
            for path, item in self.document["paths"].items()
            for method, operation in item.items()
        }

    def codes(self, operation: Json) -> Iterator[tuple[int, str]]:
        """Status and code of each error an operation may answer."""
        for status, response in operation["responses"].items():
            for content in response.get("content", {}).values():
                for code in content.get("examples", {}):
                    yield int(status), code

    def check(
        self, method: str, path: str, status: int, headers: Mapping[str, str], body: bytes
    ) -> None:
        """Find an answer in the description. Raises Undescribed where it is not as described.

        ``path`` is as it was sent, without a query.
        """
        item = self._item(path)
        operation = item.get(method.lower())
        if operation is None or status == 417:
            self._anywhere(method, item, status, headers, body)
        else:
            self._of(operation, status, headers, body)

    def _item(self, path: str) -> Json:
        segments = path.removesuffix("/").split("/")
        for template, item in self.document["paths"].items():
            parts = template.split("/")
            if len(parts) == len(segments) and all(map(_fits, parts, segments)):
                return dict(item)
        return {}

    def _anywhere(
        self, method: str, item: Json, status: int, headers: Mapping[str, str], body: bytes
    ) -> None:
        """What is answered where there is no operation, or before one is looked for."""
        if item and status == 405:
            allowed = set(headers["Allow"].split(","))
            _require(allowed == {name.upper() for name in item}, f"Allow: {allowed}")
        if method != "HEAD":
            found = _json(headers, body)["error"]
            code = found if isinstance(found, str) else found["code"]
            _require(status != (404 if item else 405), f"{status} of this path")
            _require(code in (ANYWHERE.get(status), "invalid_request"), f"{status} {code}")

    def _of(self, operation: Json, status: int, headers: Mapping[str, str], body: bytes) -> None:
        name = operation["operationId"]
        response = operation["responses"].get(str(status))
        _require(response is not None, f"{name} answers {status}")
        for header, reference in response["headers"].items():
            self._header(header, reference, headers)
        contents = response.get("content")
        if contents is None:
            _require(body == b"", f"{name} answers {status} with a body")
            self.seen.add((name, status, ""))
            return
        media_type = headers["Content-Type"].partition(";")[0]
        _require(media_type in contents, f"{name} answers {status} in {media_type}")
        if media_type == "application/json":
            code = self._body(f"{name} {status}", contents[media_type], _json(headers, body))
            self.seen.add((name, status, code))

    def _header(self, name: str, reference: Json, headers: Mapping[str, str]) -> None:
        described = self.document["components"]["headers"][reference["$ref"].rpartition("/")[2]]
        if name not in headers and not described["required"]:
            return
        _require(name in headers, f"there is no {name}")
        self.require(described["schema"], headers[name], name)

    def _body(self, what: str, content: Json, body: Any) -> str:
        self.require(content["schema"], body, what)
        return next(
            (code for code in content.get("examples", {}) if f'"{code}"' in json.dumps(body)), ""
        )

    def require(self, schema: Json, value: Any, what: str) -> None:
        """Compare a value with a schema. Raises Undescribed."""
        whole = {**schema, "components": self.document["components"]}
        faults = Draft202012Validator(whole, format_checker=FORMATS).iter_errors(value)
        said = [f"{fault.json_path}: {fault.message}" for fault in faults]
        _require(not said, f"{what}: {said}")


def _fits(part: str, segment: str) -> bool:
    return segment != "" if part.startswith("{") else part == segment


def _json(headers: Mapping[str, str], body: bytes) -> Any:
    _require(
        headers["Content-Type"] == "application/json; charset=utf-8",
        f"Content-Type: {headers['Content-Type']}",
    )
    return json.loads(body)


def _require(condition: bool, what: str) -> None:
    if not condition:
        raise Undescribed(what)
