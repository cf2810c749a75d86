"""The query of a GET: which calls, in which order, which page, which fields.

Source: UnifiedAPI, List parameters.
"""

import operator
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import tzinfo
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, WithJsonSchema
from pydantic.alias_generators import to_camel

from bridge.errors import ListParameterInvalid
from bridge.model import PhoneCall
from bridge.uapi.shapes import PHONE_CALL_FIELDS
from bridge.uapi.types import WholeNumber, parse_date, present_date, whole_second

LARGEST_COUNT: Final = 5000
LARGEST_START: Final = 5000

FilterBy = Literal["id", "published"]
FilterOp = Literal[
    "equals", "contains", "startsWith", "present", "inArray", "greaterThan", "lessThan"
]


def _field_names(value: object) -> object:
    if value is None or isinstance(value, tuple):
        return value
    names = tuple(str(value).split(","))
    if not PHONE_CALL_FIELDS.keys() >= set(names):
        raise ValueError("not a field of PhoneCall")
    return names


# Read by the function above, written in a URL as names separated by commas.
FieldNames = Annotated[
    tuple[str, ...],
    BeforeValidator(_field_names),
    WithJsonSchema({"type": "array", "items": {"enum": list(PHONE_CALL_FIELDS)}, "minItems": 1}),
]


class ListQuery(BaseModel):
    """The parameters of a list request (UnifiedAPI, List parameters)."""

    model_config = ConfigDict(
        alias_generator=to_camel, extra="ignore", frozen=True, hide_input_in_errors=True
    )

    count: Annotated[int, WholeNumber(1, LARGEST_COUNT)] = Field(
        default=20, description=f"Calls per page, 1 to {LARGEST_COUNT}."
    )
    start_index: Annotated[int, WholeNumber(0, LARGEST_START)] = Field(
        default=0, description=f"Position of the page's first call, 0 to {LARGEST_START}."
    )
    filter_by: FilterBy | None = Field(
        default=None, description="What to filter by, id or published; nothing filters without."
    )
    filter_op: FilterOp | None = Field(
        default=None,
        description="How to compare: equals (default), contains, startsWith, present, inArray, "
        "greaterThan or lessThan.",
    )
    filter_value: Annotated[str, Field(min_length=1)] | None = Field(
        default=None,
        description="What to compare with; for inArray several, separated by commas. Published "
        "dates have an offset (2012-06-27T16:08:55+03:00, the + written %2B).",
    )
    sort_order: Literal["ascending", "descending"] = Field(
        default="ascending", description="Order by published, ascending or descending."
    )
    fields: FieldNames | None = Field(
        default=None,
        description="Fields of PhoneCall to show, separated by commas: "
        f"{', '.join(PHONE_CALL_FIELDS)}.",
    )

    def page_parameters(self, start_index: int) -> dict[str, str]:
        """Return the query of this list's page at ``start_index``, by parameter name."""
        asked = self.model_dump(by_alias=True, exclude_defaults=True)
        if self.fields:
            asked["fields"] = ",".join(self.fields)
        page = {"count": self.count, "startIndex": start_index}
        return {name: str(value) for name, value in (asked | page).items()}


@dataclass(frozen=True, slots=True)
class Page:
    """The calls of one page, and how many there are on all of them."""

    calls: tuple[PhoneCall, ...]
    total: int


def parse_list(query: Mapping[str, str]) -> ListQuery:
    """Read the query of a list request; a multidict shows its repeated parameters.

    Parameters the contract does not know are ignored. A filter whose parts do not fit is refused
    rather than left aside, since more calls than asked for would be shown: ``filterOp`` or
    ``filterValue`` without ``filterBy`` is `filterby_invalid`, no value for anything but
    ``present`` `filtervalue_invalid`. ``present`` takes no notice of a value. A parameter given
    twice is invalid, even with one value.

    Raises ListParameterInvalid: for a repeated parameter, a malformed one, a filter that does not
    fit, in this order and within it in the contract's.
    """
    _refuse_repeated(query)
    try:
        parsed = ListQuery.model_validate(dict(query))
    except ValidationError as cause:
        raise _invalid(str(cause.errors(include_input=False)[0]["loc"][0])) from cause
    _check_filter(parsed)
    return parsed


def select(calls: Iterable[PhoneCall], query: ListQuery, tz: tzinfo) -> Page:
    """Return the page of ``calls`` the query asks for, by published time, ties by id.

    ``tz`` is the zone dates are shown in. Ids compare as text, case and all. Published dates
    compare as instants in the whole seconds clients see, with ``contains`` and ``startsWith`` as
    the text they see.
    """
    wanted = sorted(
        filter(_predicate(query, tz), calls), key=lambda call: (call.published, call.id)
    )
    if query.sort_order == "descending":
        wanted.reverse()
    page = wanted[query.start_index : query.start_index + query.count]
    return Page(tuple(page), len(wanted))


_NAMES: Final = {str(field.alias): field for field in ListQuery.model_fields.values()}


def list_errors() -> tuple[ListParameterInvalid, ...]:
    """Return the error of each parameter."""
    return tuple(map(_invalid, _NAMES))


def _invalid(name: str) -> ListParameterInvalid:
    return ListParameterInvalid(name, f"{name} is invalid. {_NAMES[name].description}")


def _refuse_repeated(query: Mapping[str, str]) -> None:
    # The items of a multidict repeat a name, those of a dict cannot.
    times = Counter(name for name, _ in query.items())
    for name in _NAMES:
        if times[name] > 1:
            raise _invalid(name)


def _check_filter(query: ListQuery) -> None:
    if query.filter_by is None:
        if query.filter_op or query.filter_value:
            raise _invalid("filterBy")
        return
    if query.filter_op == "present":
        return
    try:
        _operand(query)
    except ValueError as cause:
        raise _invalid("filterValue") from cause


_INSTANT_OPS: Final = frozenset({"equals", "inArray", "greaterThan", "lessThan"})

_COMPARE: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "equals": operator.eq,
    "contains": operator.contains,
    "startsWith": str.startswith,
    "inArray": lambda value, array: value in array,
    "greaterThan": operator.gt,
    "lessThan": operator.lt,
}


def _predicate(query: ListQuery, tz: tzinfo) -> Callable[[PhoneCall], bool]:
    # Every call has an id and a published date: ``present`` is true of all.
    if query.filter_by is None or query.filter_op == "present":
        return lambda call: True
    compare, operand = _COMPARE[_op(query)], _operand(query)
    value = _value_of(query, tz)
    return lambda call: compare(value(call), operand)


def _op(query: ListQuery) -> str:
    return query.filter_op or "equals"


def _value_of(query: ListQuery, tz: tzinfo) -> Callable[[PhoneCall], object]:
    if query.filter_by == "id":
        return lambda call: call.id
    if _op(query) in _INSTANT_OPS:
        return lambda call: whole_second(call.published)
    return lambda call: present_date(call.published, tz)


def _operand(query: ListQuery) -> object:
    """What the filter compares with; ValueError when filterValue cannot be that."""
    if query.filter_value is None:
        raise ValueError("there is no value")
    dated = query.filter_by == "published" and _op(query) in _INSTANT_OPS
    read: Callable[[str], object] = parse_date if dated else str
    if _op(query) != "inArray":
        return read(query.filter_value)
    texts = query.filter_value.split(",")
    if "" in texts:
        raise ValueError("an element is empty")
    return {read(text) for text in texts}
