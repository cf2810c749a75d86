"""Who hears the notice that somebody listens, and what becomes of a supervisor without one."""

import asyncio
import csv
import re
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from io import StringIO
from pathlib import Path

import pytest

from bridge.lab import tones
from bridge.lab.server import Server
from bridge.model import NOTICE_PREFIX, WHISPER_LEG_PREFIX, Mode
from tests.api.test_streams import Reader
from tests.e2e.client import Json, action
from tests.support.modes import HEARS
from tests.support.receiver import Receiver, receiving
from tests.support.windows import FAINT, WINDOW

from .cast import HZ, PATIENCE, Cast, playing
from .modes import NAMES, hears
from .pbx import CASTS, KINDS, directory
from .plain import IN, PLAIN, WHISPER
from .world import World, a_world

pytestmark = [pytest.mark.pbx, pytest.mark.timeout(600)]

NOTICE_HZ = HZ["deputy"]
"""Nobody else plays it here: the deputy takes no part."""

SECONDS, LONG = 0.6, 3.0


@contextmanager
def sounding(house: World, seconds: float) -> Iterator[None]:
    """The notice is of another length."""
    file = sound(house)
    tones.write(file, NOTICE_HZ, seconds)
    try:
        yield
    finally:
        tones.write(file, NOTICE_HZ, SECONDS)


@asynccontextmanager
async def without(house: World, missing: str) -> AsyncIterator[None]:
    """The sound or the context is not there."""
    context = house.pbx.run_dir / "etc/extensions.d/whisper-bridge.conf"
    file = sound(house) if missing == "sound" else context
    before = file.read_bytes()
    reload = house.casts[0].observer.action
    file.write_bytes(b"") if missing == "context" else file.unlink()
    try:
        await reload("Command", Command="dialplan reload")
        yield
    finally:
        file.write_bytes(before)
        await reload("Command", Command="dialplan reload")


def sound(house: World) -> Path:
    return house.pbx.run_dir.parent / "notice.wav"


@asynccontextmanager
async def following(cast: Cast, url: str) -> AsyncIterator[list[tuple[str, Json]]]:
    """Whatever a stream of the agent's calls tells meanwhile."""
    told: list[tuple[str, Json]] = []

    async def follow(reader: Reader) -> None:
        while (event := await reader.event())[0]:
            told.append(event)

    path = f"/uapi/phoneCallStream/{cast.number}1/@self"
    async with cast.api.stream(f"{url}{path}") as answer:
        task = asyncio.create_task(follow(Reader(answer)))
        try:
            yield told
            await asyncio.sleep(0.5)
        finally:
            task.cancel()


async def calls_counted(cast: Cast, server: Server) -> float:
    """How many calls the bridge's metrics have."""
    async with cast.api.stream(f"{server.url}/metrics") as answer:
        figures = (await answer.text()).splitlines()
    (row,) = (row for row in figures if row.startswith("whisper_bridge_calls "))
    return float(row.split()[1])


COLUMNS = (
    *("accountcode", "src", "dst", "dcontext", "clid", "channel", "dstchannel", "lastapp"),
    *("lastdata", "start", "answer", "end", "duration", "billsec", "disposition", "amaflags"),
    "uniqueid",
)
"""What cdr_csv writes (Asterisk documentation, cdr.conf)."""


async def recorded(house: World) -> Path:
    """Have the PBX write call detail records, as it does by default, from now on."""
    with (house.pbx.run_dir / "etc/cdr.conf").open("a") as file:
        file.write("[csv]\nloguniqueid = yes\n")
    records = house.pbx.run_dir / "log/cdr-csv/Master.csv"
    records.parent.mkdir()
    observer = house.casts[0].observer
    await observer.action("ModuleLoad", Module="cdr_csv.so", LoadType="load")
    return records


def kept(records: Path) -> Iterator[dict[str, str]]:
    """The call detail records so far."""
    with records.open(newline="") if records.exists() else StringIO() as file:
        yield from csv.DictReader(file, COLUMNS)


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as receiver:
        yield receiver


@pytest.fixture(scope="module", params=KINDS, ids=str)
async def house(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[World]:
    run_dir = tmp_path_factory.mktemp(f"n{request.param}")
    tones.write(run_dir / "notice.wav", NOTICE_HZ, SECONDS)
    prefix = 'prefix = "0003"\n'
    text = directory(request.param).replace(prefix, f'{prefix}notice = "{run_dir}/notice"\n')
    async with a_world(request.param, run_dir, CASTS[:1], people=text) as world:
        yield world


@pytest.fixture
def cast(house: World) -> Cast:
    return house.casts[0]


def heard(cast: Cast, role: str, begin: float) -> float:
    """For how many seconds somebody has heard the notice, however faintly."""
    file = cast.phones[role].recording
    windows = range(round(begin / WINDOW), round(tones.length(file) / WINDOW))
    levels = (tones.level(file, NOTICE_HZ, WINDOW, (at + 1) * WINDOW) for at in windows)
    return WINDOW * sum(level > FAINT for level in levels)


async def logged(cast: Cast, words: str) -> None:
    async with asyncio.timeout(PATIENCE):
        while words not in cast.logged():
            await asyncio.sleep(0.02)


@contextmanager
def watching(cast: Cast) -> Iterator[list[list[list[str]]]]:
    """Whatever the API shows meanwhile."""
    seen: list[list[list[str]]] = []

    async def watch() -> None:
        while True:
            seen.append(await cast.shown())
            await asyncio.sleep(0.02)

    task = asyncio.create_task(watch())
    try:
        yield seen
    finally:
        task.cancel()


@pytest.mark.parametrize("mode", [Mode.LISTEN, Mode.WHISPER, Mode.BARGE], ids=NAMES.get)
async def test_the_agent_hears_it_and_nobody_else(cast: Cast, mode: Mode) -> None:
    async with playing(cast):
        cast.barged = mode is Mode.BARGE
        await cast.dial("customer", "agent")
        await cast.hears("before", **PLAIN)
        begin = {role: tones.length(cast.phones[role].recording) for role in ("agent", "customer")}
        with watching(cast) as seen:
            await cast.whisper(**action(mode))
            await logged(cast, "notice leg=")
            await cast.hears("after", **hears(mode))
        assert seen
        assert all(shown in ([[IN]], [[IN, WHISPER]]) for shown in seen), seen
        assert SECONDS - 0.1 < heard(cast, "agent", begin["agent"]) < SECONDS + 0.1
        assert heard(cast, "customer", begin["customer"]) == 0
        assert heard(cast, "supervisor", 0) == 0
        assert set(HEARS[mode]) == {"agent", "customer", "supervisor"}
        assert len(await cast.legs()) == 1


async def test_each_begin_has_one_and_a_change_has_none(cast: Cast) -> None:
    async with playing(cast):
        await cast.dial("customer", "agent")
        await cast.whisper()
        await logged(cast, "notice leg=")
        await cast.ask(**action(Mode.LISTEN))
        await cast.ask(**action(Mode.WHISPER))
        await cast.supervisor.hang_up()
        await cast.no_legs()
        assert cast.logged().count("notice leg=") == 1
        await cast.whisper()
        async with asyncio.timeout(PATIENCE):
            while cast.logged().count("notice leg=") < 2:
                await asyncio.sleep(0.02)


async def test_who_waits_is_answered_once_it_has_begun(house: World) -> None:
    cast = house.casts[0]
    with sounding(house, LONG):
        async with playing(cast):
            await cast.dial("customer", "agent")
            await cast.expect("before", [IN])
            await cast.call_of()
            begin = tones.length(cast.agent.recording)
            asked = time.monotonic()
            answer = await cast.ask(prefer="wait=20")
            took = time.monotonic() - asked
            assert answer.status == 200, answer
            assert 0.3 < took < LONG - 0.5
            assert "notice leg=" not in cast.logged()
            again = time.monotonic()
            assert (await cast.ask(prefer="wait=20")).status == 200
            assert time.monotonic() - again < LONG - 0.5
            await logged(cast, "notice leg=")
            assert LONG - 0.1 < heard(cast, "agent", begin) < LONG + 0.1
            assert (await cast.ask(prefer="wait=20")).status == 200
            assert cast.logged().count("notice leg=") == 1


@pytest.mark.parametrize("missing", ["sound", "context"])
@pytest.mark.parametrize("prefer", ["", "wait=20"], ids=["not waiting", "waiting"])
async def test_without_it_nobody_listens(house: World, missing: str, prefer: str) -> None:
    cast = house.casts[0]
    async with without(house, missing), playing(cast):
        await cast.dial("customer", "agent")
        await cast.expect("before", [IN])
        answer = await cast.ask(prefer=prefer)
        if prefer:
            assert answer.refusal == (500, "internal_server_error"), answer
            assert "notice to the agent" in answer.message
        else:
            assert answer.status == 202
        await logged(cast, "reason=no_notice")
        assert re.search(r"ERROR .*: the notice \S+/notice was not played", cast.logged())
        await cast.no_legs()
        await cast.expect("after", [IN])
        await cast.hears("after", **PLAIN)


async def test_it_is_no_call_to_anybody(house: World, receiver: Receiver) -> None:
    """Not in the list, in a stream, in what clients are told of, nor in what is counted."""
    cast = house.casts[0]
    kinds = range(5)
    for number in (cast.no("agent"), cast.no("supervisor")):
        url = f"{house.server.url}/uapi/extensions/@owner/{number}/phoneCallEvents"
        for kind in kinds:
            hook = {"type": kind, "url": receiver.url(f"/{number}/{kind}"), "method": 1}
            assert (await cast.api.request("POST", url, json=hook)).status == 200
    with sounding(house, LONG):
        async with playing(cast), following(cast, house.server.url) as told:
            await cast.dial("customer", "agent")
            await cast.expect("before", [IN])
            call = await cast.call_of()
            await cast.whisper()
            halves: set[str] = set()
            with watching(cast) as seen:
                while "notice leg=" not in cast.logged():
                    listed = await cast.observer.rows("CoreShowChannels")
                    halves |= {row["Uniqueid"] for row in listed if "Local/" in row["Channel"]}
                    assert await calls_counted(cast, house.server) == 1
                    await asyncio.sleep(0.1)
            assert len(halves) == 2
            assert all(half.startswith(NOTICE_PREFIX) for half in halves)
            assert len(seen) > 10
            assert all(shown == [[IN, WHISPER]] for shown in seen), seen
            await cast.supervisor.hang_up()
            await cast.no_legs()
        taken = await receiver.until(3)
        await asyncio.sleep(0.5)
    # Each kind of event once, all of the agent's: dial-in, hangup, answered in.
    expected = [f"/{cast.no('agent')}/{kind}" for kind in (0, 2, 3)]
    assert sorted(one.path for one in taken) == expected
    assert len(receiver.taken) == 3
    assert {one.parameters["CallID"] for one in taken} == {call["id"]}
    assert {event for event, _ in told} <= {"ready", "phoneCall", "phoneCallEnded"}
    assert {body["id"] for event, body in told if event != "ready"} == {call["id"]}
    sources = [
        [view["source"][0] for view in body["phoneCallView"]]
        for event, body in told
        if event == "phoneCall"
    ]
    who = [cast.no("customer")], [cast.no("customer"), cast.no("supervisor")]
    assert all(each in who for each in sources), sources
    assert who[1] in sources


async def test_it_is_no_call_in_the_records(house: World) -> None:
    """A whisper is one record, the supervisor's; one that nobody picks up is none."""
    cast = house.casts[0]
    records = await recorded(house)
    async with playing(cast):
        await cast.dial("customer", "agent")
        await cast.expect("before", [IN])
        await cast.whisper()
        await logged(cast, "notice leg=")
        await cast.supervisor.hang_up()
        await cast.expect("after", [IN])
        await cast.manual("supervisor")
        mark = cast.supervisor.events.mark()
        assert (await cast.ask()).status == 202
        await cast.supervisor.incoming(PATIENCE, since=mark)
        assert (await cast.hang_up("supervisor")).status == 200
        await cast.no_legs()
    async with asyncio.timeout(PATIENCE):
        while len(list(kept(records))) < 2:
            await asyncio.sleep(0.05)
    await asyncio.sleep(0.5)
    whisper, call = sorted(kept(records), key=lambda row: row["lastapp"])
    assert (whisper["lastapp"], call["lastapp"]) == ("ChanSpy", "Dial")
    assert whisper["channel"].startswith(f"{cast.kind.technology}/{cast.no('supervisor')}-")
    assert whisper["uniqueid"].startswith(WHISPER_LEG_PREFIX)
    assert (whisper["src"], whisper["dstchannel"]) == (cast.no("supervisor"), "")
    assert call["dstchannel"].startswith(f"{cast.kind.technology}/{cast.no('agent')}-")
