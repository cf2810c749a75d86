"""The query of a GET: what it takes, and which calls it chooses."""

from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import MultiDict

from bridge.errors import ListParameterInvalid
from bridge.model import Organization, PhoneCall
from bridge.uapi import ListQuery, parse_list, select

TZ = timezone(timedelta(hours=3))
OWNER = Organization("3", "Default Organization", "0003")
EPOCH = datetime(2012, 6, 27, 13, 8, 50, tzinfo=UTC).timestamp()
"""2012-06-27T16:08:50+03:00"""


def call(call_id: str, published: float = EPOCH) -> PhoneCall:
    return PhoneCall(
        id=call_id,
        extension="0003*210",
        owner=OWNER,
        published=published,
        answered=None,
        views=(),
    )


CALLS = (call("c3", EPOCH + 10.9), call("a1", EPOCH + 0.4), call("b2", EPOCH + 5.0), call("ab"))


def chosen(**parameters: str) -> list[str]:
    page = select(CALLS, parse_list(parameters), TZ)
    return [found.id for found in page.calls]


def code_of(query: dict[str, str] | MultiDict[str]) -> str:
    with pytest.raises(ListParameterInvalid) as raised:
        parse_list(query)
    return raised.value.code


def test_an_empty_query_has_the_defaults() -> None:
    query = parse_list({})
    assert (query.count, query.start_index, query.sort_order) == (20, 0, "ascending")
    assert (query.filter_by, query.fields) == (None, None)
    assert chosen() == ["ab", "a1", "b2", "c3"]


@pytest.mark.parametrize(
    ("parameters", "ids"),
    [
        ({"sortOrder": "descending"}, ["c3", "b2", "a1", "ab"]),
        ({"count": "2"}, ["ab", "a1"]),
        ({"count": "2", "startIndex": "1"}, ["a1", "b2"]),
        ({"startIndex": "4"}, []),
        ({"startIndex": "5000", "count": "5000"}, []),
        ({"filterBy": "id", "filterValue": "a1"}, ["a1"]),
        ({"filterBy": "id", "filterOp": "equals", "filterValue": "a"}, []),
        ({"filterBy": "id", "filterOp": "equals", "filterValue": "A1"}, []),
        ({"filterBy": "id", "filterOp": "contains", "filterValue": "b"}, ["ab", "b2"]),
        ({"filterBy": "id", "filterOp": "startsWith", "filterValue": "a"}, ["ab", "a1"]),
        ({"filterBy": "id", "filterOp": "present"}, ["ab", "a1", "b2", "c3"]),
        ({"filterBy": "id", "filterOp": "present", "filterValue": "x"}, ["ab", "a1", "b2", "c3"]),
        ({"filterBy": "id", "filterOp": "inArray", "filterValue": "c3,a1,zz"}, ["a1", "c3"]),
        ({"filterBy": "id", "filterOp": "greaterThan", "filterValue": "ab"}, ["b2", "c3"]),
        ({"filterBy": "id", "filterOp": "lessThan", "filterValue": "ab"}, ["a1"]),
        ({"filterBy": "published", "filterValue": "2012-06-27T16:08:50+03:00"}, ["ab", "a1"]),
        ({"filterBy": "published", "filterValue": "2012-06-27T13:08:50Z"}, ["ab", "a1"]),
        ({"filterBy": "published", "filterValue": "2012-06-27T13:08:50.000000000Z"}, ["ab", "a1"]),
        ({"filterBy": "published", "filterValue": "2012-06-27T13:08:50.5Z"}, []),
        (
            {
                "filterBy": "published",
                "filterOp": "greaterThan",
                "filterValue": "2012-06-27T13:08:50Z",
            },
            ["b2", "c3"],
        ),
        (
            {
                "filterBy": "published",
                "filterOp": "lessThan",
                "filterValue": "2012-06-27T23:08:55+10:00",
            },
            ["ab", "a1"],
        ),
        (
            {
                "filterBy": "published",
                "filterOp": "inArray",
                "filterValue": "2012-06-27T13:08:55Z,2012-06-27T15:09:00+02:00",
            },
            ["b2", "c3"],
        ),
        ({"filterBy": "published", "filterOp": "contains", "filterValue": "16:09"}, ["c3"]),
        (
            {
                "filterBy": "published",
                "filterOp": "startsWith",
                "filterValue": "2012-06-27T16:08:5",
            },
            ["ab", "a1", "b2"],
        ),
        ({"filterBy": "published", "filterOp": "startsWith", "filterValue": "2012-06-27T13"}, []),
        ({"filterBy": "published", "filterOp": "present"}, ["ab", "a1", "b2", "c3"]),
    ],
)
def test_the_calls_chosen(parameters: dict[str, str], ids: list[str]) -> None:
    assert chosen(**parameters) == ids


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(
            ("count", value)
            for value in ("0", "5001", "-1", "", " 5", "5.0", "\u0665", "all", "\udc80")
        ),
        *(("startIndex", value) for value in ("5001", "-1", "", "1.0", "+1", "9" * 5000)),
        *(("filterBy", value) for value in ("", "ID", "extension", "id,published", "\udc80")),
        *(("filterOp", value) for value in ("", "Equals", "eq", "startswith")),
        *(("sortOrder", value) for value in ("", "asc", "Ascending", "published")),
        *(("fields", value) for value in ("", ",", "id,", "id, extension", "ID", "views", "@all")),
        *(("filterValue", value) for value in ("", "\udc80")),
    ],
)
def test_a_malformed_parameter_is_named_by_the_code(name: str, value: str) -> None:
    whole_filter = {"filterBy": "id", "filterOp": "equals", "filterValue": "a"}
    assert code_of(whole_filter | {name: value}) == f"{name.lower()}_invalid"


@pytest.mark.parametrize(
    "name",
    ["count", "startIndex", "filterBy", "filterOp", "filterValue", "sortOrder", "fields"],
)
def test_a_repeated_parameter_is_invalid(name: str) -> None:
    query = MultiDict([(name, "1"), ("count", "5"), (name, "1")])
    assert code_of(query) == f"{name.lower()}_invalid"


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ({"filterOp": "equals"}, "filterby_invalid"),
        ({"filterOp": "present"}, "filterby_invalid"),
        ({"filterValue": "a"}, "filterby_invalid"),
        ({"filterBy": "id"}, "filtervalue_invalid"),
        ({"filterBy": "id", "filterOp": "contains"}, "filtervalue_invalid"),
        ({"filterBy": "id", "filterOp": "inArray", "filterValue": "a,,b"}, "filtervalue_invalid"),
        ({"filterBy": "published", "filterOp": "contains"}, "filtervalue_invalid"),
    ],
)
def test_a_filter_whose_parts_do_not_fit(query: dict[str, str], code: str) -> None:
    assert code_of(query) == code


@pytest.mark.parametrize("filter_op", ["equals", "inArray", "greaterThan", "lessThan"])
@pytest.mark.parametrize(
    "date",
    [
        "now",
        "1340806130",
        "2012-06-27",
        "2012-06-27T16:08:50",
        "2012-06-27T16:08:50 03:00",
        "2012-06-27T16:08:50+0300",
        "2012-06-27T16:08:50+03",
        "2012-06-27T16:08:50+14:01",
        "2012-06-27T16:08:50+03:00:30",
        "2012-06-27T16:08:50+24:00",
        "2012-06-27 16:08:50Z",
        "2012-06-27t16:08:50z",
        "2012-06-27T16:08Z",
        "2012-06-27T16:08:50.Z",
        "2012-06-27T24:00:00Z",
        "2012-06-31T16:08:50Z",
        "2012-06-27T16:08:60Z",
        "0000-06-27T16:08:50Z",
        "12012-06-27T16:08:50Z",
        "-2012-06-27T16:08:50Z",
        "2012-W26-3T16:08:50Z",
        "\u0662\u0660\u0661\u0662-06-27T16:08:50Z",
        "2012-06-27T16:08:50Z\n",
    ],
)
def test_a_date_that_names_no_instant(filter_op: str, date: str) -> None:
    query = {"filterBy": "published", "filterOp": filter_op, "filterValue": date}
    assert code_of(query) == "filtervalue_invalid"


@pytest.mark.parametrize(
    "date",
    ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "2012-02-29T00:00:00-00:00"],
)
def test_a_date_far_away_is_a_date(date: str) -> None:
    assert chosen(filterBy="published", filterValue=date) == []


def test_fields_keep_their_names_and_order() -> None:
    assert parse_list({"fields": "link,id,phoneCallView"}).fields == (
        "link",
        "id",
        "phoneCallView",
    )


def test_unknown_parameters_are_ignored() -> None:
    query = MultiDict(
        [("accessRequestToken", "Bearer x"), ("a", "1"), ("a", "2"), ("start_index", "7")]
    )
    assert parse_list(query) == ListQuery()


def test_the_first_fault_in_the_order_of_the_contract_is_reported() -> None:
    query = {"fields": "x", "sortOrder": "x", "filterOp": "x", "startIndex": "x", "count": "1"}
    assert code_of(query) == "startindex_invalid"


@pytest.mark.parametrize(
    "query",
    [
        {"count": "48151623"},
        {"fields": "48151623"},
        {"filterBy": "48151623"},
        {"filterBy": "published", "filterValue": "48151623"},
    ],
)
def test_an_error_does_not_repeat_what_the_client_sent(query: dict[str, str]) -> None:
    with pytest.raises(ListParameterInvalid) as raised:
        parse_list(query)
    assert "48151623" not in f"{raised.value.message} {raised.value} {raised.value.__cause__}"


texts = st.text(st.characters())
names = st.sampled_from([str(field.alias) for field in ListQuery.model_fields.values()])
plausible = st.sampled_from(
    ["1", "id", "published", "inArray", "lessThan", "present", "2012-06-27T13:08:50Z,", "ascending"]
)


@given(st.lists(st.tuples(names | texts, plausible | texts), max_size=6))
def test_any_query_lists_or_is_an_error_of_ours(items: list[tuple[str, str]]) -> None:
    with suppress(ListParameterInvalid):
        page = select(CALLS, parse_list(MultiDict(items)), TZ)
        assert set(page.calls) <= set(CALLS)


published_times = st.floats(0, 4e9) | st.integers(0, 5)


@given(
    st.dictionaries(st.text("abc123", min_size=1, max_size=6), published_times, max_size=40),
    st.integers(1, 9),
    st.sampled_from(["ascending", "descending"]),
)
def test_the_pages_show_each_call_once_and_in_order(
    times: dict[str, float], count: int, order: str
) -> None:
    calls = [call(call_id, published) for call_id, published in times.items()]
    shown: list[PhoneCall] = []
    for start in range(0, len(calls) + 1, count):
        query = parse_list({"count": str(count), "startIndex": str(start), "sortOrder": order})
        page = select(calls, query, TZ)
        assert page.total == len(calls)
        shown.extend(page.calls)
    whole = sorted(calls, key=lambda one: (one.published, one.id), reverse=order == "descending")
    assert shown == whole


@given(st.floats(0, 4e9), st.integers(-14 * 60, 14 * 60))
def test_a_call_is_found_by_the_date_it_shows(published: float, minutes: int) -> None:
    zone = timezone(timedelta(minutes=minutes))
    shown = datetime.fromtimestamp(int(published), zone).isoformat()
    for filter_op in ("equals", "inArray", "contains", "startsWith"):
        query = {"filterBy": "published", "filterOp": filter_op, "filterValue": shown}
        assert select([call("a", published)], parse_list(query), zone).total == 1
    for filter_op in ("greaterThan", "lessThan"):
        query = {"filterBy": "published", "filterOp": filter_op, "filterValue": shown}
        assert select([call("a", published)], parse_list(query), zone).total == 0
