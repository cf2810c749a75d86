"""What tells clients of call events, part by part: addresses, signatures, the file, the lanes."""

import asyncio
import sqlite3
from base64 import b64decode
from collections.abc import Callable, Iterator
from ipaddress import ip_network
from itertools import pairwise
from pathlib import Path

import pytest

from bridge.callevents import Part
from bridge.happenings import Outcome
from bridge.hooks import EventType, Hook, HookMethod
from bridge.model import CallerId
from bridge.webhooks.addresses import may_reach
from bridge.webhooks.intake import Intake
from bridge.webhooks.lanes import Carrier, Lane, Patience
from bridge.webhooks.shelf import Shelf
from bridge.webhooks.signing import headers_of, new_secret, spell
from bridge.webhooks.store import VERSION, Delivery, Entry, Store, StoreError
from tests.support.timing import in_virtual_time

NOTHING = Patience()


def hook(known_as: str = "a1", **changes: object) -> Hook:
    """A hook of the lab's app."""
    fields: dict[str, object] = {
        "id": known_as,
        "app": "lab-app",
        "extension": "0003*210",
        "type": EventType.DIAL_IN,
        "method": HookMethod.POST,
        "url": "https://crm.example.com/calls",
        "enabled": True,
        "note": "",
        "secret": b"k" * 32,
        "modified": 1_800_000_000.25,
    }
    return Hook(**{**fields, **changes})  # type: ignore[arg-type]


def part(extension: str = "0003*210", *, answered: bool = False) -> Part:
    """An extension's part in a call from outside."""
    caller = CallerId("John Doe", "3334444")
    return Part(extension, "b817d2618fe6f1804333", True, answered, caller, "", "", "5550100")


def added(store: Store, *deliveries: Delivery) -> list[int]:
    """The numbers of deliveries that were written."""
    return store.write(Entry(deliveries=deliveries))


# Addresses


@pytest.mark.parametrize(
    "address",
    [
        *("8.8.8.8", "192.0.0.9", "223.255.255.254", "2606:4700::1111", "2a00:1450::1"),
        *("::ffff:8.8.8.8", "64:ff9b::808:808", "2002:808:808::1"),
    ],
)
def test_a_global_address_may_be_reached(address: str) -> None:
    assert may_reach(address, ())


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "127.1.2.3", "0.0.0.0", "10.0.0.1", "172.16.0.1", "192.168.1.1"),
        *("169.254.169.254", "100.64.0.1", "192.0.2.1", "198.18.0.1", "203.0.113.5"),
        *("224.0.0.1", "224.0.1.1", "239.1.1.1", "240.0.0.1", "255.255.255.255", "192.88.99.1"),
        *("::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1", "fd12::1", "fec0::1", "ff02::1"),
        *("ff0e::1", "2001:db8::1", "100::1", "::7f00:1", "::10.0.0.1", "4000::1"),
        *("::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a00:1"),
        *("2002:7f00:1::", "2002:a00:1::1", "::ffff:169.254.169.254"),
    ],
)
def test_any_other_address_may_not(address: str) -> None:
    assert not may_reach(address, ())


def test_unless_it_is_allowed() -> None:
    allowed = [ip_network("10.1.0.0/16"), ip_network("::1/128")]
    assert may_reach("10.1.2.3", allowed)
    assert may_reach("::ffff:10.1.2.3", allowed)
    assert may_reach("::1", allowed)
    assert not may_reach("10.2.0.1", allowed)


# Signatures


def test_a_signature_is_that_of_standard_webhooks() -> None:
    """The example of the specification's own libraries."""
    key = b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    event, at, content = "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, '{"test": 2432232314}'
    assert spell(key) == "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    assert headers_of(key, event, at, content) == {
        "Webhook-Id": event,
        "Webhook-Timestamp": str(at),
        "Webhook-Signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


def test_every_secret_is_another_one() -> None:
    made = {new_secret() for _ in range(100)}
    assert len(made) == 100
    assert {len(secret) for secret in made} == {32}


def test_secrets_and_numbers_do_not_show_in_a_log() -> None:
    delivery = Delivery("a1", "e1", "CallerIDNum=3334444")
    shown = repr(hook(note="call 3334444")) + repr(delivery)
    assert not [word for word in ("kkk", "crm.example.com", "3334444") if word in shown]


# The file


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "more" / "webhooks.sqlite"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    store = Store(path)
    yield store
    store.close()


def test_what_is_written_is_there_after_a_restart(store: Store, path: Path) -> None:
    kept = [hook("b2", note="é\0", method=HookMethod.GET), hook("a1", enabled=False)]
    for each in kept:
        store.keep_hook(each)
    numbers = added(store, *(Delivery("b2", f"e{n}", f"n={n}") for n in range(3)))
    tried = Delivery("b2", "e1", "n=1", numbers[1], attempts=2, due=1_800_000_000.5)
    store.write(Entry(postponed={numbers[1]: (2, tried.due)}, finished=numbers[:1]))
    store.close()
    again = Store(path)
    assert again.hooks() == kept
    assert again.waiting() == [tried, Delivery("b2", "e2", "n=2", numbers[2])]
    again.close()


def test_a_hook_that_is_changed_keeps_its_place_and_its_deliveries(store: Store) -> None:
    for each in (hook("a1"), hook("b2")):
        store.keep_hook(each)
    added(store, Delivery("a1", "e1", "n=1"))
    store.keep_hook(hook("a1", url="https://other.example.com/"))
    assert [each.id for each in store.hooks()] == ["a1", "b2"]
    assert store.hooks()[0].url == "https://other.example.com/"
    assert len(store.waiting()) == 1


def test_with_a_hook_goes_what_waits_for_it(store: Store) -> None:
    store.keep_hook(hook("a1"))
    store.keep_hook(hook("b2"))
    added(store, Delivery("a1", "e1", ""), Delivery("b2", "e2", ""))
    store.remove_hooks(["a1"])
    assert [waiting.hook for waiting in store.waiting()] == ["b2"]
    assert added(store, Delivery("a1", "e3", ""), Delivery("b2", "e4", ""))[0] == 0
    assert [waiting.event for waiting in store.waiting()] == ["e2", "e4"]


def test_numbers_never_come_again(store: Store) -> None:
    store.keep_hook(hook("a1"))
    (first,) = added(store, Delivery("a1", "e1", ""))
    store.write(Entry(finished=[first]))
    assert added(store, Delivery("a1", "e2", "")) == [first + 1]


def test_nobody_else_reads_the_file(store: Store, path: Path) -> None:
    store.keep_hook(hook())
    rights = {entry.stat().st_mode & 0o777 for entry in path.parent.iterdir()}
    assert rights == {0o600}
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_two_bridges_do_not_share_a_file(store: Store, path: Path) -> None:
    with pytest.raises(StoreError, match="locked"):
        Store(path)


def test_a_file_that_is_none_of_ours_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "other"
    path.write_bytes(b"no database" * 100)
    with pytest.raises(StoreError, match="not a database"):
        Store(path)
    assert path.read_bytes() == b"no database" * 100


def test_a_file_of_a_later_version_is_refused(path: Path, store: Store) -> None:
    store.close()
    with sqlite3.connect(path) as database:
        database.execute(f"PRAGMA user_version = {VERSION + 1}")
    database.close()
    with pytest.raises(StoreError, match=f"version {VERSION + 1}"):
        Store(path)


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError):
        Store(tmp_path / "file" / "webhooks.sqlite")


def test_of_many_that_cannot_be_written_none_is(store: Store) -> None:
    store.keep_hook(hook())
    with pytest.raises(StoreError):
        added(store, Delivery("a1", "e1", ""), Delivery("a1", None, ""))  # type: ignore[arg-type]
    assert store.waiting() == []
    assert added(store, Delivery("a1", "e1", "")) == [1]


def test_parts_are_written_with_what_is_told_of_them_or_not_at_all(store: Store) -> None:
    store.keep_hook(hook())
    store.write(Entry(["0003*210"], {"8.1": part(), "8.2": part(answered=True)}))
    assert store.parts() == {"8.1": part(), "8.2": part(answered=True)}
    broken = Delivery("a1", None, "")  # type: ignore[arg-type]
    changes = {"8.1": part(answered=True), "8.2": None, "8.3": part()}
    with pytest.raises(StoreError):
        store.write(Entry(parts=changes, deliveries=[broken]))
    assert store.parts() == {"8.1": part(), "8.2": part(answered=True)}
    store.write(Entry(parts=changes, deliveries=[Delivery("a1", "e1", "")]))
    assert store.parts() == {"8.1": part(answered=True), "8.3": part()}


def test_calls_are_followed_of_extensions_with_hooks_only(store: Store) -> None:
    for each in (hook("a1"), hook("b2"), hook("c3", extension="0003*211")):
        store.keep_hook(each)
    others = {"8.2": part("0003*211"), "8.3": part("0003*212")}
    store.write(Entry(["0003*210", "0003*211", "0003*212"], {"8.1": part(), **others}))
    assert store.followed() == {"0003*210", "0003*211"}
    assert store.parts().keys() == {"8.1", "8.2"}
    store.remove_hooks(["a1", "c3"])
    assert store.followed() == {"0003*210"}
    assert store.parts().keys() == {"8.1"}
    store.remove_hooks(["b2"])
    assert (store.followed(), store.parts()) == (set(), {})


def test_a_file_of_the_first_version_is_brought_up_to_date(path: Path, store: Store) -> None:
    store.keep_hook(hook())
    added(store, Delivery("a1", "e1", ""))
    store.close()
    with sqlite3.connect(path) as database:
        for table in ("parts", "followed"):
            database.execute(f"DROP TABLE {table}")
        database.execute("PRAGMA user_version = 1")
    database.close()
    again = Store(path)
    assert again.hooks() == [hook()]
    assert [waiting.event for waiting in again.waiting()] == ["e1"]
    again.write(Entry(["0003*210"], {"8.1": part()}))
    assert again.parts() == {"8.1": part()}
    again.close()


# The lanes


class Post:
    """What carries for a lane: it says of each event what is to become of it."""

    def __init__(self, patience: Patience, *answers: str) -> None:
        self.answers = list(answers)
        self.sent: list[tuple[float, str, str]] = []
        self.outcomes: list[Outcome] = []
        self.postponed: list[int] = []
        self.finished: list[str] = []
        self.allowed = True
        self.now: Callable[[], float] = asyncio.get_running_loop().time
        self.lane = Lane(hook(), self._carrier(patience))

    def _carrier(self, patience: Patience) -> Carrier:
        return Carrier(
            self._send,
            lambda _: self.allowed,
            self._postpone,
            self._finish,
            self.outcomes.append,
            self.now,
            patience,
        )

    async def _send(self, to: Hook, delivery: Delivery) -> str:
        self.sent.append((self.now(), delivery.event, to.url))
        return self.answers.pop(0) if self.answers else ""

    def _postpone(self, delivery: Delivery) -> None:
        self.postponed.append(delivery.attempts)

    async def _finish(self, delivery: Delivery) -> None:
        self.finished.append(delivery.event)

    def put(self, *events: str) -> None:
        self.lane.put([Delivery("a1", event, "") for event in events])

    @property
    def pauses(self) -> list[float]:
        """Seconds between attempts."""
        times = [at for at, *_ in self.sent]
        return [later - earlier for earlier, later in pairwise(times)]


@in_virtual_time
async def test_events_are_sent_in_order_and_one_is_waited_for() -> None:
    post = Post(NOTHING, "", "status 500", "status 500")
    post.put("e1", "e2", "e3")
    await asyncio.sleep(60)
    assert [event for _, event, _ in post.sent] == ["e1", "e2", "e2", "e2", "e3"]
    assert post.finished == ["e1", "e2", "e3"]
    assert post.postponed == [1, 2]
    assert post.outcomes.count(Outcome.FAILED) == 2
    assert post.outcomes.count(Outcome.DELIVERED) == 3
    post.put("e4")
    await asyncio.sleep(1)
    assert post.finished[-1] == "e4"


@in_virtual_time
async def test_pauses_double_with_a_part_left_to_chance_up_to_a_limit() -> None:
    post = Post(Patience(first=1, longest=20, attempts=9), *["status 500"] * 9)
    post.put("e1", "e2")
    await asyncio.sleep(600)
    wholes = [1, 2, 4, 8, 16, 20, 20, 20]
    parts = [pause / whole for pause, whole in zip(post.pauses, wholes, strict=False)]
    assert all(0.5 <= part <= 1.001 for part in parts)
    assert len({round(part, 6) for part in parts}) > 1
    assert [event for _, event, _ in post.sent] == ["e1"] * 9 + ["e2"]
    assert post.outcomes[-2:] == [Outcome.GIVEN_UP, Outcome.DELIVERED]
    assert post.finished == ["e1", "e2"]


@in_virtual_time
async def test_a_hook_that_is_changed_is_tried_at_once_where_it_leads_then() -> None:
    post = Post(Patience(first=500), "status 404")
    post.put("e1")
    await asyncio.sleep(1)
    post.lane.change(hook(url="https://right.example.com/"))
    await asyncio.sleep(1)
    assert [url for _, _, url in post.sent] == [hook().url, "https://right.example.com/"]


@in_virtual_time
async def test_what_may_not_be_told_any_more_is_not_sent() -> None:
    post = Post(NOTHING, "status 500")
    post.put("e1", "e2")
    await asyncio.sleep(0.1)
    post.allowed = False
    await asyncio.sleep(60)
    assert [event for _, event, _ in post.sent] == ["e1"]
    assert post.outcomes[-2:] == [Outcome.WITHDRAWN] * 2
    assert post.finished == ["e1", "e2"]


@in_virtual_time
async def test_a_lane_that_is_closed_sends_no_more_and_says_what_is_left() -> None:
    post = Post(NOTHING, "status 500")
    post.put("e1", "e2")
    await asyncio.sleep(0.1)
    assert await post.lane.close() == 2
    await asyncio.sleep(60)
    assert len(post.sent) == 1
    assert post.finished == []


@in_virtual_time
async def test_a_clock_that_is_set_back_does_not_stop_a_lane() -> None:
    post = Post(Patience(longest=20))
    post.lane.put([Delivery("a1", "e1", "", due=post.now() + 86_400)])
    await asyncio.sleep(30)
    assert post.finished == ["e1"]


def test_the_defaults_try_for_about_an_hour() -> None:
    waited = [sum(NOTHING.pause(n) for n in range(1, NOTHING.attempts)) for _ in range(50)]
    assert all(30 * 60 < seconds < 75 * 60 for seconds in waited)


# The intake


class Full:
    """A file with a limit, as a full disk has one: SQLite itself says that it is full."""

    def __init__(self, path: Path) -> None:
        self.store = Store(path)
        self.store.keep_hook(hook())
        self.limit(0)

    def limit(self, pages: int) -> None:
        """Let the file be so many pages larger than it is."""
        database = self.store._db
        (count,) = database.execute("PRAGMA page_count").fetchone()
        database.execute(f"PRAGMA max_page_count = {count + pages}")


async def test_what_a_full_disk_does_not_take_is_written_when_there_is_room(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    full, passed = Full(path), list[Delivery]()
    shelf = Shelf(lambda: full.store)
    await shelf.open()
    intake = Intake(shelf, passed.extend)
    task = asyncio.create_task(intake.run())
    for number in range(200):
        intake.put([Delivery("a1", f"e{number}", "x" * 500)])
    async with asyncio.timeout(5):
        while "full" not in caplog.text:
            await asyncio.sleep(0.01)
    assert passed == []
    full.limit(1000)
    intake.put([Delivery("a1", "e200", "")])
    async with asyncio.timeout(5):
        while len(passed) < 201:
            await asyncio.sleep(0.01)
    intake.stop()
    await task
    assert [delivery.event for delivery in passed] == [f"e{n}" for n in range(201)]
    assert [one.number for one in await shelf.do(Store.waiting)] == list(range(1, 202))
    assert "is used again" in caplog.text
    shelf.close()


async def test_what_comes_while_it_is_stopped_is_written(path: Path) -> None:
    store = Store(path)
    store.keep_hook(hook())
    shelf = Shelf(lambda: store)
    await shelf.open()
    intake = Intake(shelf, lambda _: None)
    task = asyncio.create_task(intake.run())
    intake.put([Delivery("a1", "e1", "")])
    await asyncio.sleep(0)
    intake.put([Delivery("a1", "e2", "")])
    intake.stop()
    await task
    assert [delivery.event for delivery in store.waiting()] == ["e1", "e2"]
    shelf.close()
