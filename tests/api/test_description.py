"""/openapi.json: a good OpenAPI 3.1 document that says what the API does, no more and no less."""

import json
from collections.abc import Iterator
from typing import Any

import aiohttp
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from bridge import errors
from bridge.api import Site
from bridge.api.application import make_app
from bridge.service import Service
from tests.support.described import Description, Undescribed
from tests.support.directory import DIRECTORY
from tests.support.pbx import FakePbx

from .house import DESCRIPTION, LIMIT, PUBLIC, TOKENS, House, served

DOCUMENT = DESCRIPTION.document
EVERYWHERE = {errors.NotFound, errors.MethodNotAllowed, errors.TooManyConnections}
"""What is answered where there is no operation; the document says so in words."""


def test_it_is_openapi_3_1() -> None:
    assert DOCUMENT["openapi"].startswith("3.1.")
    OpenAPIV31SpecValidator(DOCUMENT).validate()


@pytest.mark.parametrize("slash", ["", "/"])
async def test_it_is_served_without_a_token(slash: str) -> None:
    async with (
        served() as (url, _, _),
        aiohttp.ClientSession(timeout=LIMIT) as http,
        http.get(f"{url}/openapi.json{slash}") as answer,
    ):
        assert answer.status == 200
        assert await answer.json() == DOCUMENT
    assert DOCUMENT["servers"] == [{"url": PUBLIC}]


# What it describes


async def test_every_route_is_described_and_nothing_else() -> None:
    app = make_app(Site(Service(DIRECTORY, FakePbx()), TOKENS, PUBLIC))
    real = {
        (route.method, route.resource.canonical)
        for route in app.router.routes()
        if route.resource is not None
    }
    described = {
        (method, path + slash) for method, path in DESCRIPTION.operations for slash in ("", "/")
    }
    assert real == described


def test_every_error_is_described_somewhere() -> None:
    described = {
        pair
        for operation in DESCRIPTION.operations.values()
        for pair in DESCRIPTION.codes(operation)
    }
    for kind in set(_leaves(errors.ApiError)) - EVERYWHERE - {errors.ListParameterInvalid}:
        assert (kind.status, kind.code) in described
    assert (400, "count_invalid") in described


def _leaves(kind: type[errors.ApiError]) -> Iterator[type[errors.ApiError]]:
    narrower = kind.__subclasses__()
    if not narrower:
        yield kind
    for each in narrower:
        yield from _leaves(each)


def test_operations_have_names_of_their_own() -> None:
    names = [operation["operationId"] for operation in DESCRIPTION.operations.values()]
    assert len(set(names)) == len(names)
    assert all(operation["summary"] for operation in DESCRIPTION.operations.values())


def test_its_examples_are_valid() -> None:
    examples = list(_examples(DOCUMENT))
    assert len(examples) > 40
    for schema, example in examples:
        DESCRIPTION.require(schema, example, "an example")


def _examples(part: Any) -> Iterator[tuple[dict[str, Any], Any]]:
    """Every example in a part of the document, with its schema."""
    if isinstance(part, list):
        for each in part:
            yield from _examples(each)
    if not isinstance(part, dict):
        return
    told = part.get("examples")
    if isinstance(told, list):
        yield from ((part, example) for example in told)
    if isinstance(told, dict):
        yield from ((part["schema"], example["value"]) for example in told.values())
    if "example" in part:
        yield part["schema"], part["example"]
    for key, each in part.items():
        if key not in ("example", "examples"):
            yield from _examples(each)


# What the house compares every answer with


@pytest.fixture
def strict() -> Description:
    return Description(DOCUMENT)


@pytest.mark.parametrize(
    ("status", "change"),
    [
        pytest.param(200, {"published": "yesterday"}, id="a date that is none"),
        pytest.param(200, {"extension": 210}, id="another type"),
        pytest.param(200, {"phoneCallView": [{"id": "1"}]}, id="a view without its fields"),
        pytest.param(202, {}, id="a status of another operation"),
    ],
)
async def test_an_answer_that_is_not_as_described_is_noticed(
    house: House, strict: Description, status: int, change: dict[str, Any]
) -> None:
    path = house.path(house.call_id)
    answer = await house.get(path)
    strict.check("GET", path, 200, answer.headers, answer.body)
    wrong = json.dumps({**answer.json, **change}).encode()
    with pytest.raises(Undescribed):
        strict.check("GET", path, status, answer.headers, wrong)


async def test_an_error_that_is_not_described_is_noticed(house: House, strict: Description) -> None:
    path = house.path()
    answer = await house.get(f"{path}?count=0")
    strict.check("GET", path, 400, answer.headers, answer.body)
    assert ("listPhoneCalls", 400, "count_invalid") in strict.seen
    wrong = answer.body.replace(b"count_invalid", b"pc_timeout_invalid")
    with pytest.raises(Undescribed):
        strict.check("GET", path, 400, answer.headers, wrong)
    bare = {name: value for name, value in answer.headers.items() if name != "X-Request-Id"}
    with pytest.raises(Undescribed):
        strict.check("GET", path, 400, bare, answer.body)
