"""What GET shows: one call, the calls of an extension, pages, filters and fields."""

from collections.abc import AsyncIterator

import pytest

from bridge.lab.phone import Phone

from .client import Api, Json
from .stage import Call, Stage, a_call

pytestmark = pytest.mark.pbx


@pytest.fixture(scope="module")
async def _phone_2100(stage: Stage) -> AsyncIterator[Phone]:
    async with stage.phone("0003*2100", 613) as phone:
        yield phone


@pytest.fixture(scope="module")
async def two_calls(
    stage: Stage, customer: Phone, agent: Phone, second_customer: Phone, _phone_2100: Phone
) -> AsyncIterator[tuple[Call, Call]]:
    """Both agents of user 12 are on calls, 0003*210 a little longer."""
    async with (
        a_call(stage.api, customer, agent) as older,
        a_call(stage.api, second_customer, _phone_2100) as younger,
    ):
        yield older, younger


def ids(page: Json) -> list[str]:
    """The ids of the calls on a page."""
    return [entry["id"] for entry in page["entry"]]


@pytest.mark.parametrize(
    "path",
    [
        "12/0003*210",
        "12/0003*210/",
        "12/0003%2A210",
        "12/210",
        "@me/210/",
        "%40me/210",
        "@owner/210",
    ],
)
async def test_an_extension_shows_its_own_calls_only(
    api: Api, two_calls: tuple[Call, Call], path: str
) -> None:
    page = (await api.get(path)).body
    call = (await api.get(two_calls[0].path)).body
    path = path.rstrip("/").replace("%2A", "*").replace("%40", "@")
    call["link"]["self"] = f"{api.base}{path}/{two_calls[0].id}"
    assert page == {"entry": [call], "totalResults": 1, "startIndex": 0, "itemsPerPage": 20}


@pytest.mark.parametrize("path", ["@me/@self", "%40me/%40self/", "12/@self", "@viewer/@self"])
async def test_a_user_sees_the_calls_of_all_his_extensions(
    api: Api, two_calls: tuple[Call, Call], path: str
) -> None:
    page = (await api.get(path)).body
    assert sorted(ids(page)) == sorted(call.id for call in two_calls)
    assert page["totalResults"] == 2


@pytest.mark.parametrize("path", ["12/0003*211", "24/0003*024", "24/@self"])
async def test_who_is_on_no_call_gets_no_content(
    api: Api, two_calls: tuple[Call, Call], path: str
) -> None:
    for answer in (await api.get(path), await api.get(f"{path}/{two_calls[0].id}")):
        assert (answer.status, answer.body) == (204, None)


@pytest.mark.parametrize(
    "path", ["{}/0003*210/{}", "{}/0003*210/{}/", "{}/0003%2A210/{}", "{}/210/{}", "{}/@self/{}/"]
)
@pytest.mark.parametrize("user", ["12", "@me", "%40viewer", "@owner"])
async def test_one_call_is_found_by_every_way_to_write_its_path(
    api: Api, two_calls: tuple[Call, Call], user: str, path: str
) -> None:
    call_id = two_calls[0].id
    answer = await api.get(path.format(user, call_id))
    assert (answer.status, answer.body["id"]) == (200, call_id)
    followed = await api.request("GET", answer.body["link"]["self"])
    assert followed.body == answer.body


async def test_the_links_between_pages_lead_through_all_calls(
    api: Api, two_calls: tuple[Call, Call]
) -> None:
    both = ids((await api.get("12/@self")).body)
    first = (await api.get("12/@self", count=1)).body
    second = (await api.request("GET", first["link"]["next"])).body
    assert [ids(first), ids(second)] == [[call_id] for call_id in both]
    assert [page["startIndex"] for page in (first, second)] == [0, 1]
    assert {page["totalResults"] for page in (first, second)} == {2}
    assert "prev" not in first["link"]
    assert "next" not in second["link"]
    assert (await api.request("GET", second["link"]["prev"])).body == first


async def test_calls_come_in_the_order_asked_for(api: Api, two_calls: tuple[Call, Call]) -> None:
    expected = [call.id for call in two_calls]
    assert ids((await api.get("12/@self", sortOrder="ascending")).body) == expected
    assert ids((await api.get("12/@self", sortOrder="descending")).body) == expected[::-1]


async def test_a_filter_shows_the_calls_that_fit(api: Api, two_calls: tuple[Call, Call]) -> None:
    for call in two_calls:
        page = (await api.get("12/@self", filterBy="id", filterValue=call.id)).body
        assert (ids(page), page["totalResults"]) == ([call.id], 1)
    none = await api.get("12/@self", filterBy="id", filterValue="0123456789abcdef0123")
    assert none.status == 204


async def test_only_the_fields_asked_for_are_shown(api: Api, two_calls: tuple[Call, Call]) -> None:
    wanted = {"fields": "id,extension"}
    call = {"id": two_calls[0].id, "extension": "0003*210"}
    assert (await api.get("12/0003*210", **wanted)).body["entry"] == [call]
    assert (await api.get(two_calls[0].path, **wanted)).body == call


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        *(("count", "0"), ("count", "5001"), ("count", "x"), ("startIndex", "-1")),
        *(("filterBy", "extension"), ("filterOp", "is"), ("sortOrder", "up"), ("fields", "id,x")),
    ],
)
async def test_a_wrong_parameter_is_named(api: Api, name: str, wrong: str) -> None:
    answer = await api.get("12/0003*210", **{name: wrong})
    assert answer.refusal == (400, f"{name.lower()}_invalid")
