"""The specification's example, request and answers, field by field."""

import re
import time
from datetime import datetime

import pytest

from bridge.lab.phone import Phone

from .client import Api, Json, views
from .stage import Call

pytestmark = pytest.mark.pbx

REQUEST = {
    "action": "Whisper",
    "sendCallTo": "0003*024",
    "private": 0,
    "callerId": "Whisper To Me <42420042>",
    "waitForPickup": "20",
    "phoneCallViewId": "01",
}


async def test_the_answers_are_those_of_the_specification(
    api: Api, call: Call, supervisor: Phone
) -> None:
    mark = supervisor.events.mark()
    accepted = await api.put(call.path, REQUEST)
    link = f"{api.base}12/0003*210/{call.id}"
    assert accepted.status == 202
    assert accepted.body == {"id": call.id, "extension": "0003*210", "link": {"self": link}}
    shown = await supervisor.incoming(since=mark)
    assert (shown.name, shown.number) == ("Whisper To Me", "42420042")
    await api.until(call.path, lambda a: "02" in views(a), "the whisper in force")

    answer = await api.request("GET", link)
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "application/json; charset=utf-8"
    dates = _dates_taken(answer.body)
    assert answer.body == {
        "id": call.id,
        "extension": "0003*210",
        "ownerId": "3",
        "ownerName": "Default Organization",
        "phoneCallView": [
            {
                "id": "01",
                "extension": "0003*210",
                "status": "5",
                "callerId": "John Doe <3334444>",
                "source": ["7778888"],
                "destination": ["0003*210"],
                "flow": 8,
            },
            {
                "id": "02",
                "extension": "0003*210",
                "status": "5",
                "callerId": "Whisper To Me <42420042>",
                "source": ["0003*024"],
                "destination": ["0003*210"],
                "flow": 2,
            },
        ],
        "link": {"self": link},
    }
    assert dates == sorted(dates)
    assert time.time() - 30 < dates[0]
    assert dates[-1] <= time.time()


async def test_the_id_of_a_call_is_20_hex_digits(call: Call) -> None:
    assert re.fullmatch("[0-9a-f]{20}", call.id)


async def test_the_whisper_has_its_view_from_its_connection_to_its_end_only(
    api: Api, call: Call, ringing: Phone
) -> None:
    mark = ringing.events.mark()
    await api.put(call.path, {**REQUEST, "sendCallTo": "0003*025"})
    await ringing.incoming(since=mark)
    assert list(views(await api.get(call.path))) == ["01"]
    await ringing.pick_up()
    await api.until(call.path, lambda a: list(views(a)) == ["01", "02"], "the whisper in force")
    await ringing.hang_up()
    await api.until(call.path, lambda a: list(views(a)) == ["01"], "the end of the whisper")


async def test_the_number_of_a_view_is_never_given_again(
    api: Api, call: Call, supervisor: Phone
) -> None:
    for number in ("02", "03", "04"):
        await api.put(call.path, REQUEST)
        await api.until(call.path, lambda a: len(views(a)) == 2, "the whisper in force")
        assert list(views(await api.get(call.path))) == ["01", number]
        await supervisor.hang_up()
        await api.until(call.path, lambda a: list(views(a)) == ["01"], "the end of the whisper")


def _dates_taken(call: Json) -> list[float]:
    """Take the dates out of a call, in the order in which they have to be."""
    first, second = call["phoneCallView"]
    parts = [(call, "published"), (call, "answered"), (first, "answered"), (second, "answered")]
    return [_instant(part.pop(name)) for part, name in parts]


def _instant(date: str) -> float:
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d\d:\d\d", date)
    return datetime.fromisoformat(date).timestamp()
