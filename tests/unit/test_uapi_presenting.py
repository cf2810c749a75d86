"""What the API answers, to the letter of the specification's example."""

import json
from datetime import UTC, datetime, timedelta, timezone
from urllib.parse import parse_qsl, unquote, urlsplit
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import MultiDict

from bridge.errors import ApiError, ListParameterInvalid, PhoneCallInvalid
from bridge.model import CallerId, Flow, Organization, PhoneCall, PhoneCallView, Status
from bridge.uapi import (
    PhoneCallBody,
    call_link,
    list_link,
    parse_list,
    present_accepted,
    present_call,
    present_error,
    present_page,
    select,
)

TZ = timezone(timedelta(hours=3))
OWNER = Organization("3", "Default Organization", "0003")
ANSWERED = datetime(2012, 6, 27, 13, 8, 55, tzinfo=UTC).timestamp()
LINK = "https://x.x.x.x/uapi/phoneCalls/12/0003*210/b817d2618fe6f1804333"
LIST = "https://x.x.x.x/uapi/phoneCalls/12/0003*210"

WHISPER_VIEW = PhoneCallView(
    id="02",
    extension="0003*210",
    source=("0003*024",),
    destination=("0003*210",),
    caller_id=CallerId("Whisper To Me", "42420042"),
    status=Status.ON_CALL,
    answered=ANSWERED,
)
FIRST_VIEW = PhoneCallView(
    id="01",
    extension="0003*210",
    source=("7778888",),
    destination=("0003*210",),
    caller_id=CallerId("John Doe", "3334444"),
    status=Status.ON_CALL,
    flow=Flow.INCOMING,
    ringing=ANSWERED - 5,
    answered=ANSWERED + 0.999,
    on_hold=ANSWERED + 1,
    parked=ANSWERED + 2,
    recording=ANSWERED + 3,
    holder=True,
)
CALL = PhoneCall(
    id="b817d2618fe6f1804333",
    extension="0003*210",
    owner=OWNER,
    published=ANSWERED - 4.5,
    answered=ANSWERED,
    views=(FIRST_VIEW, WHISPER_VIEW),
)
VIEWS: list[dict[str, object]] = [
    {
        "id": "01",
        "extension": "0003*210",
        "answered": "2012-06-27T16:08:55+03:00",
        "status": "5",
        "callerId": "John Doe <3334444>",
        "source": ["7778888"],
        "destination": ["0003*210"],
        "flow": 8,
        "ringing": "2012-06-27T16:08:50+03:00",
        "onHold": "2012-06-27T16:08:56+03:00",
        "parked": "2012-06-27T16:08:57+03:00",
        "recording": "2012-06-27T16:08:58+03:00",
        "holder": 1,
    },
    {
        "id": "02",
        "extension": "0003*210",
        "answered": "2012-06-27T16:08:55+03:00",
        "status": "5",
        "callerId": "Whisper To Me <42420042>",
        "source": ["0003*024"],
        "destination": ["0003*210"],
    },
]
BODY: dict[str, object] = {
    "id": "b817d2618fe6f1804333",
    "extension": "0003*210",
    "ownerId": "3",
    "ownerName": "Default Organization",
    "answered": "2012-06-27T16:08:55+03:00",
    "published": "2012-06-27T16:08:50+03:00",
    "phoneCallView": VIEWS,
    "link": {"self": LINK},
}


def bare_call(call_id: str = "a1", published: float = 0.0) -> PhoneCall:
    return PhoneCall(
        id=call_id, extension="0003*210", owner=OWNER, published=published, answered=None, views=()
    )


def page_of(total: int, parameters: dict[str, str] | MultiDict[str]) -> dict[str, object]:
    query = parse_list(parameters)
    calls = [bare_call(f"{number:04}", float(number)) for number in range(total)]
    return present_page(
        select(calls, query, TZ), query, TZ, link_list=LIST, link_call=lambda call: LINK
    )


def links_of(body: dict[str, object]) -> dict[str, dict[str, str]]:
    links = body.get("link", {})
    assert isinstance(links, dict)
    return {name: dict(parse_qsl(urlsplit(url).query)) for name, url in links.items()}


def ids_of(body: dict[str, object]) -> list[str]:
    entry = body["entry"]
    assert isinstance(entry, list)
    return [call["id"] for call in entry]


def test_a_call_and_its_views() -> None:
    body = present_call(CALL, LINK, TZ)
    assert json.dumps(body) == json.dumps(BODY)


def test_a_call_that_is_not_answered_says_nothing_of_it() -> None:
    body = present_call(bare_call(), LINK, TZ)
    assert body == {
        "id": "a1",
        "extension": "0003*210",
        "ownerId": "3",
        "ownerName": "Default Organization",
        "published": "1970-01-01T03:00:00+03:00",
        "phoneCallView": [],
        "link": {"self": LINK},
    }


@pytest.mark.parametrize(
    ("status", "text"), [(Status.UNKNOWN, "0"), (Status.RINGING, "3"), (Status.ON_CALL, "5")]
)
def test_the_status_is_a_string_of_its_digit(status: Status, text: str) -> None:
    view = PhoneCallView(
        id="01",
        extension="0003*210",
        source=(),
        destination=(),
        caller_id=CallerId("", ""),
        status=status,
    )
    call = PhoneCall(
        id="a", extension="1", owner=OWNER, published=0.0, answered=None, views=(view,)
    )
    assert present_call(call, LINK, TZ)["phoneCallView"] == [
        {"id": "01", "extension": "0003*210", "status": text, "source": [], "destination": []}
    ]


def test_only_the_fields_asked_for() -> None:
    body = present_call(CALL, LINK, TZ, fields=("link", "id", "ownerName"))
    assert body == {
        "id": CALL.id,
        "ownerName": "Default Organization",
        "link": {"self": LINK},
    }


@pytest.mark.parametrize(
    ("zone", "text"),
    [
        (UTC, "2012-06-27T13:08:55+00:00"),
        (ZoneInfo("America/St_Johns"), "2012-06-27T10:38:55-02:30"),
        (ZoneInfo("Europe/Bucharest"), "2012-06-27T16:08:55+03:00"),
    ],
)
def test_dates_have_the_offset_of_the_zone(zone: timezone | ZoneInfo, text: str) -> None:
    assert present_call(CALL, LINK, zone, fields=("answered",)) == {"answered": text}


@given(st.floats(-2e9, 4e9), st.integers(-14 * 60, 14 * 60))
def test_a_date_is_the_second_that_has_begun(published: float, minutes: int) -> None:
    zone = timezone(timedelta(minutes=minutes))
    body = present_call(bare_call(published=published), LINK, zone, fields=("published",))
    second = datetime.fromisoformat(str(body["published"])).timestamp()
    assert second == int(second)
    assert second <= published < second + 1


def test_accepted_is_the_answer_of_the_example() -> None:
    body = {"id": "b817d2618fe6f1804333", "extension": "0003*210", "link": {"self": LINK}}
    assert json.dumps(present_accepted(CALL, LINK)) == json.dumps(body)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (PhoneCallInvalid("No such call."), "pc_honecall_invalid"),
        (ListParameterInvalid("startIndex", "No such call."), "startindex_invalid"),
        (ApiError("No such call."), "internal_server_error"),
    ],
)
def test_an_error(error: ApiError, code: str) -> None:
    assert present_error(error) == {"error": {"code": code, "message": "No such call."}}


def test_links_write_the_extension_as_the_example_does() -> None:
    call_url = call_link("https://x.x.x.x", "12", "0003*210", "b817d2618fe6f1804333")
    assert call_url == LINK
    assert list_link("https://x.x.x.x/", "@me", "@self") == (
        "https://x.x.x.x/uapi/phoneCalls/@me/@self"
    )


@given(st.text(min_size=1), st.text(min_size=1), st.text(min_size=1))
def test_a_link_has_one_segment_for_each_part(user: str, extension: str, call_id: str) -> None:
    url = call_link("https://pbx.example.com/bridge", user, extension, call_id)
    base = "https://pbx.example.com/bridge/uapi/phoneCalls/"
    assert url.startswith(base)
    assert url.isascii()
    segments = [unquote(segment) for segment in url.removeprefix(base).split("/")]
    assert segments == [user, extension, call_id]
    assert not set(url) & set('?# "<>\\')


def test_a_collection() -> None:
    query = parse_list({"count": "5000"})
    page = select([CALL], query, TZ)
    body = present_page(page, query, TZ, link_list=LIST, link_call=lambda call: LINK)
    expected = {"entry": [BODY], "totalResults": 1, "startIndex": 0, "itemsPerPage": 5000}
    assert json.dumps(body) == json.dumps(expected)


def test_an_empty_collection_has_no_links() -> None:
    assert page_of(0, {"startIndex": "40"}) == {
        "entry": [],
        "totalResults": 0,
        "startIndex": 40,
        "itemsPerPage": 20,
    }


def test_a_collection_of_the_fields_asked_for() -> None:
    assert page_of(2, {"fields": "id"})["entry"] == [{"id": "0000"}, {"id": "0001"}]


@pytest.mark.parametrize(
    ("total", "start", "count", "before", "after"),
    [
        (20, 0, 20, None, None),
        (21, 0, 20, None, "20"),
        (41, 20, 20, "0", "40"),
        (40, 20, 20, "0", None),
        (40, 5, 20, "0", "25"),
        (30, 100, 20, "10", None),
        (3, 100, 20, "0", None),
        (5003, 4999, 1, "4998", "5000"),
        (5003, 5000, 1, "4999", None),
    ],
)
def test_links_lead_to_pages_that_exist(
    total: int, start: int, count: int, before: str | None, after: str | None
) -> None:
    links = links_of(page_of(total, {"startIndex": str(start), "count": str(count)}))
    expected = {
        name: {"count": str(count), "startIndex": index}
        for name, index in (("next", after), ("prev", before))
        if index is not None
    }
    assert links == expected


def test_links_repeat_the_list_parameters_and_nothing_else() -> None:
    asked = MultiDict(
        [
            ("accessRequestToken", "Bearer abcdefghij"),
            ("debug", "1"),
            ("filterBy", "published"),
            ("filterOp", "greaterThan"),
            ("filterValue", "1960-01-01T00:00:00+03:00"),
            ("sortOrder", "descending"),
            ("fields", "id,link"),
            ("count", "5"),
        ]
    )
    kept = {
        "count": "5",
        "startIndex": "5",
        "filterBy": "published",
        "filterOp": "greaterThan",
        "filterValue": "1960-01-01T00:00:00+03:00",
        "sortOrder": "descending",
        "fields": "id,link",
    }
    body = page_of(9, asked)
    assert links_of(body) == {"next": kept}
    assert "%2B03%3A00" in str(body["link"])


@pytest.mark.parametrize("value", ["0&count=1", "0#x", "0%31", "0 0", "0+0", "0é/?=;"])
def test_a_filter_value_survives_in_the_link(value: str) -> None:
    parameters = {"filterBy": "id", "filterOp": "lessThan", "filterValue": value, "count": "1"}
    query = parse_list(parameters)
    page = select([bare_call(""), bare_call("0")], query, TZ)
    body = present_page(page, query, TZ, link_list=LIST, link_call=lambda call: LINK)
    assert links_of(body)["next"]["filterValue"] == value


@given(st.integers(0, 60), st.integers(1, 9), st.sampled_from(["ascending", "descending"]))
def test_following_next_shows_each_call_once(total: int, count: int, order: str) -> None:
    parameters = {"count": str(count), "sortOrder": order}
    seen: list[str] = []
    while parameters:
        body = page_of(total, parameters)
        seen.extend(ids_of(body))
        parameters = links_of(body).get("next", {})
    whole = [f"{number:04}" for number in range(total)]
    assert seen == (whole if order == "ascending" else whole[::-1])


@given(st.integers(1, 60), st.integers(0, 99), st.integers(1, 9))
def test_following_prev_leads_to_the_first_call(total: int, start: int, count: int) -> None:
    body = page_of(total, {"count": str(count), "startIndex": str(start)})
    while "prev" in (links := links_of(body)):
        body = page_of(total, links["prev"])
        assert ids_of(body)
    assert ids_of(body)[0] == "0000"


def test_the_description_of_a_call_names_the_fields_of_the_contract() -> None:
    schema = PhoneCallBody.model_json_schema(mode="serialization")
    assert set(schema["properties"]) == set(BODY)
    assert set(schema["$defs"]["PhoneCallViewBody"]["properties"]) == set(VIEWS[0])
