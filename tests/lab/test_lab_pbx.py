"""The lab itself: a real Asterisk, real phones, and ears to tell who hears whom."""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pytest

from bridge.lab import packages, tones
from bridge.lab.asterisk import PHONE_PASSWORD, Asterisk
from bridge.lab.errors import LabError
from bridge.lab.observer import Observer
from bridge.lab.packages import BaresipBuild
from bridge.lab.phone import Phone
from bridge.lab.ports import Ports
from bridge.lab.refusal import RefusingPhone
from bridge.lab.waiting import until

pytestmark = pytest.mark.pbx

AGENT, OTHER_AGENT, SUPERVISOR, CUSTOMER = "0003*210", "0003*211", "0003*024", "7778888"
HZ = {
    AGENT: tones.AGENT_HZ,
    OTHER_AGENT: tones.AGENT_HZ,
    SUPERVISOR: tones.SUPERVISOR_HZ,
    CUSTOMER: tones.CUSTOMER_HZ,
}
BRIDGE_SECRET = "the-bridge's-own"

StartPhone = Callable[..., Coroutine[Any, Any, Phone]]


@pytest.fixture(scope="module")
async def baresip() -> BaresipBuild:
    return await packages.baresip(print)


@pytest.fixture(scope="module", params=["22", "16"])
async def any_pbx(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Asterisk]:
    """Each of the two Asterisks in turn."""
    build = await packages.asterisk(request.param, print)
    directory = tmp_path_factory.mktemp(f"pbx{request.param}")
    starting = Asterisk.start(build, directory, bridge_secret=BRIDGE_SECRET)
    async with await starting as pbx:
        yield pbx


@pytest.fixture(scope="module")
async def pbx(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Asterisk]:
    build = await packages.asterisk("22", print)
    starting = Asterisk.start(build, tmp_path_factory.mktemp("pbx"), bridge_secret=BRIDGE_SECRET)
    async with await starting as pbx:
        yield pbx


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    """Whatever a test starts, ended after it."""
    async with AsyncExitStack() as stack:
        yield stack


@pytest.fixture
def start(stack: AsyncExitStack, baresip: BaresipBuild, tmp_path: Path) -> StartPhone:
    """Start a phone and wait until it is registered."""

    async def start(
        number: str,
        sip_port: int,
        *,
        answer: Literal["auto", "manual"] = "auto",
        max_calls: int = 4,
    ) -> Phone:
        phone = Phone(
            baresip,
            tmp_path / number.replace("*", "-"),
            number=number,
            password=PHONE_PASSWORD,
            sip_port=sip_port,
            tone_hz=HZ.get(number, tones.AGENT_HZ),
            answer=answer,
            max_calls=max_calls,
        )
        await stack.enter_async_context(phone)
        await phone.registered()
        return phone

    return start


async def heard(phone: Phone) -> set[int]:
    """Return the tones a phone hears from now on; each must be clearly there or clearly not."""
    recording = phone.recording
    end = await tones.fresh(recording, 0.6)
    levels = {hz: tones.level(recording, hz, 0.5, end) for hz in (*HZ.values(), tones.MUSIC_HZ)}
    unclear = {hz: db for hz, db in levels.items() if tones.SILENT_DB < db < tones.HEARD_DB}
    assert not unclear
    return {hz for hz, db in levels.items() if db > tones.HEARD_DB}


async def hears(phone: Phone, *expected: int) -> None:
    """Wait until a phone hears exactly these tones, and go on hearing them."""
    recording = phone.recording
    for _ in range(10):
        end = await tones.fresh(recording, 0.2)
        if all(tones.level(recording, hz, 0.1, end) > tones.HEARD_DB for hz in expected):
            break
    assert await heard(phone) == set(expected)


async def call(caller: Phone, callee: Phone) -> None:
    """Call and wait until both are connected."""
    marks = caller.events.mark(), callee.events.mark()
    await caller.dial(callee.number)
    await callee.established(since=marks[1])
    await caller.established(since=marks[0])


async def whisper(observer: Observer, *, to: str, by: str = SUPERVISOR) -> None:
    """Let a supervisor whisper to an extension's channel, as the bridge would."""
    channels = await observer.rows("CoreShowChannels")
    [target] = [c for c in channels if c["Channel"].startswith(f"PJSIP/{to}-")]
    mark = observer.events.mark()
    await observer.action(
        "Originate",
        Channel=f"PJSIP/{by}",
        Application="ChanSpy",
        Data=f"{target['Uniqueid']},uqwES",
        CallerID="Whisper To Me <42420042>",
        Async="true",
    )
    await observer.event(lambda e: e["Event"] == "ChanSpyStart", "the whisper", since=mark)


# Asterisk


async def test_it_starts_without_a_complaint(any_pbx: Asterisk) -> None:
    complaints = [line for line in any_pbx.log.read_text().splitlines() if _is_complaint(line)]
    assert complaints == []
    assert any_pbx.boot_seconds < 10


def _is_complaint(line: str) -> bool:
    if "chan_sip" in line and "deprecated" in line:
        return False
    return " ERROR[" in line or " WARNING[" in line


async def test_nobody_outside_can_reach_it(any_pbx: Asterisk) -> None:
    mine = {fd.stat().st_ino for fd in Path(f"/proc/{any_pbx.pid}/fd").iterdir()}
    ports = set()
    for table in ("tcp", "udp", "tcp6", "udp6"):
        for row in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            _, local, _, state, *_, inode = row.split()[:10]
            if int(inode) in mine:
                address, port = local.split(":")
                ports.add((table[:3], address, int(port, 16), state))
    # The SIP stack also has a socket to ask a name server with; it answers nobody.
    reachable = {p for p in ports if p[0] == "tcp" or p[2] in vars(any_pbx.ports).values()}
    assert {address for _, address, _, _ in reachable} == {"0100007F"}
    assert {any_pbx.sip_port, any_pbx.ami_port} <= {port for _, _, port, _ in reachable}


async def test_the_operators_ami_user_may_do_what_the_bridge_does(any_pbx: Asterisk) -> None:
    connecting = Observer.connect(any_pbx.ami_port, BRIDGE_SECRET, user="whisper-bridge")
    async with await connecting as bridge:
        assert await bridge.rows("CoreShowChannels") == []
        assert await bridge.rows("Status") == []


@pytest.mark.parametrize(
    ("action", "headers"),
    [
        ("Command", {"Command": "core show version"}),
        ("PJSIPShowEndpoints", {}),
        ("GetConfig", {"Filename": "manager.conf"}),
        ("Originate", {"Channel": "Local/600@services", "Application": "System", "Data": "true"}),
    ],
)
async def test_the_operators_ami_user_may_do_no_more(
    pbx: Asterisk, action: str, headers: dict[str, str]
) -> None:
    connecting = Observer.connect(pbx.ami_port, BRIDGE_SECRET, user="whisper-bridge")
    async with await connecting as bridge:
        with pytest.raises(LabError, match=f"refused {action}"):
            await bridge.action(action, **headers)


async def test_a_crash_and_a_start_later_it_is_where_it_was(tmp_path: Path) -> None:
    build = await packages.asterisk("22", print)
    async with await Asterisk.start(build, tmp_path, bridge_secret=BRIDGE_SECRET) as pbx:
        before = pbx.pid, pbx.ami_port
        await pbx.kill()
        assert pbx.pid == 0
        await pbx.boot()
        assert pbx.pid not in (0, before[0])
        async with await pbx.observer() as observer:
            assert await observer.rows("CoreShowChannels") == []
        await pbx.restart()
        assert (pbx.pid > 0, pbx.ami_port) == (True, before[1])
    assert pbx.pid == 0


async def test_one_that_does_not_start_says_why(tmp_path: Path) -> None:
    build = await packages.asterisk("22", print)
    broken = replace(build, command=("/bin/sh", "-c", "echo no such luck; exit 1"))
    with pytest.raises(LabError, match=r"ended while starting(.|\n)*no such luck"):
        await Asterisk.start(broken, tmp_path, bridge_secret=BRIDGE_SECRET)


async def test_one_that_hangs_in_starting_is_given_up(tmp_path: Path) -> None:
    build = await packages.asterisk("22", print)
    pid = tmp_path / "pid"
    hanging = replace(build, command=("/bin/sh", "-c", f"echo $$ > {pid}; exec sleep 60"))
    starting = asyncio.create_task(
        Asterisk.start(hanging, tmp_path, bridge_secret=BRIDGE_SECRET, ports=Ports.free())
    )
    await until(lambda: pid.exists() and pid.read_text() != "", "a start", within=5, every=0.01)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert not _is_running(int(pid.read_text()))


async def test_a_path_too_long_for_its_socket_is_an_error(tmp_path: Path) -> None:
    build = await packages.asterisk("22", print)
    with pytest.raises(LabError, match="choose a shorter one"):
        await Asterisk.start(build, tmp_path / ("x" * 100), bridge_secret=BRIDGE_SECRET)


# Phones


async def test_a_call_is_heard_while_it_lasts(any_pbx: Asterisk, start: StartPhone) -> None:
    agent = await start(AGENT, any_pbx.sip_port)
    customer = await start(CUSTOMER, any_pbx.sip_port)
    await call(customer, agent)
    await hears(agent, tones.CUSTOMER_HZ)
    await hears(customer, tones.AGENT_HZ)


async def test_a_whisper_reaches_the_agent_only(
    any_pbx: Asterisk, start: StartPhone, stack: AsyncExitStack
) -> None:
    agent = await start(AGENT, any_pbx.sip_port)
    customer = await start(CUSTOMER, any_pbx.sip_port)
    supervisor = await start(SUPERVISOR, any_pbx.sip_port)
    observer = await stack.enter_async_context(await any_pbx.observer())
    await call(customer, agent)
    await whisper(observer, to=AGENT)
    display = await supervisor.incoming()
    assert (display.name, display.number) == ("Whisper To Me", "42420042")
    await hears(agent, tones.CUSTOMER_HZ, tones.SUPERVISOR_HZ)
    await hears(supervisor, tones.CUSTOMER_HZ, tones.AGENT_HZ)
    await hears(customer, tones.AGENT_HZ)
    await customer.hang_up()
    await supervisor.closed()


async def test_a_customer_becomes_known_by_the_phone_book(
    any_pbx: Asterisk, start: StartPhone, stack: AsyncExitStack
) -> None:
    agent = await start(AGENT, any_pbx.sip_port)
    customer = await start(CUSTOMER, any_pbx.sip_port)
    observer = await stack.enter_async_context(await any_pbx.observer())
    await call(customer, agent)
    display = await agent.incoming()
    assert (display.name, display.number) == ("John Doe", "3334444")
    ours = [e for e in observer.events.entries if "7778888-" in e.get("Channel", "")]
    told = [(e["Event"], e.get("CallerIDNum", "")) for e in ours]
    born = told.index(("Newchannel", "7778888"))
    named = told.index(("NewCallerid", "3334444"))
    assert born < named


async def test_the_old_sip_driver_has_a_phone_too(
    stack: AsyncExitStack, start: StartPhone, tmp_path: Path
) -> None:
    build = await packages.asterisk("16", print)
    starting = Asterisk.start(build, tmp_path / "pbx", bridge_secret=BRIDGE_SECRET)
    pbx = await stack.enter_async_context(await starting)
    agent = await start("0003*230", pbx.ports.chan_sip)
    customer = await start(CUSTOMER, pbx.sip_port)
    await call(customer, agent)
    await hears(agent, tones.CUSTOMER_HZ)
    # Phones go before the PBX does, or they would wait for its answer.
    await agent.stop()
    await customer.stop()


async def test_hold_is_music_for_the_other_and_over_when_resumed(
    pbx: Asterisk, start: StartPhone
) -> None:
    agent = await start(AGENT, pbx.sip_port)
    customer = await start(CUSTOMER, pbx.sip_port)
    await call(customer, agent)
    await agent.hold()
    await hears(customer, tones.MUSIC_HZ)
    await agent.resume()
    await hears(customer, tones.AGENT_HZ)
    await hears(agent, tones.CUSTOMER_HZ)


async def test_a_blind_transfer_hands_the_caller_over(pbx: Asterisk, start: StartPhone) -> None:
    agent = await start(AGENT, pbx.sip_port)
    customer = await start(CUSTOMER, pbx.sip_port)
    supervisor = await start(SUPERVISOR, pbx.sip_port)
    await call(customer, agent)
    await agent.transfer(SUPERVISOR)
    await supervisor.established()
    assert await agent.closed() == "Call transfered"
    await hears(customer, tones.SUPERVISOR_HZ)
    await hears(supervisor, tones.CUSTOMER_HZ)


async def test_an_attended_transfer_joins_the_two_others(pbx: Asterisk, start: StartPhone) -> None:
    agent = await start(AGENT, pbx.sip_port)
    customer = await start(CUSTOMER, pbx.sip_port)
    supervisor = await start(SUPERVISOR, pbx.sip_port)
    await call(customer, agent)
    held = (await agent.incoming()).call_id
    await agent.hold()
    mark = agent.events.mark()
    await call(agent, supervisor)
    consulted = (await agent.established(since=mark)).call_id
    await agent.introduce(held, consulted)
    await agent.events.wait(lambda e: e.param == "Call transfered", "the transfer", within=5)
    await hears(customer, tones.SUPERVISOR_HZ)
    await hears(supervisor, tones.CUSTOMER_HZ)


async def test_two_callers_can_be_introduced_to_each_other(
    pbx: Asterisk, start: StartPhone
) -> None:
    agent = await start(AGENT, pbx.sip_port)
    customer = await start(CUSTOMER, pbx.sip_port)
    supervisor = await start(SUPERVISOR, pbx.sip_port)
    await call(customer, agent)
    held = (await agent.incoming()).call_id
    await agent.hold()
    mark = agent.events.mark()
    await call(supervisor, agent)
    consulted = (await agent.incoming(since=mark)).call_id
    await agent.introduce(held, consulted)
    await agent.events.wait(lambda e: e.param == "Call transfered", "the transfer", within=5)
    await hears(customer, tones.SUPERVISOR_HZ)
    await hears(supervisor, tones.CUSTOMER_HZ)


async def test_a_phone_switched_off_and_on_again_registers_again(
    pbx: Asterisk, start: StartPhone, stack: AsyncExitStack
) -> None:
    agent = await start(AGENT, pbx.sip_port)
    observer = await stack.enter_async_context(await pbx.observer())
    mark = observer.events.mark()
    await agent.stop()
    await observer.event(lambda e: e.get("ContactStatus") == "Removed", "its leaving", since=mark)
    with pytest.raises(LabError, match="not started"):
        await agent.dial(SUPERVISOR)
    await agent.start()
    await agent.registered()
    await observer.event(
        lambda e: e.get("ContactStatus") in ("Reachable", "NonQualified"),
        "its return",
        since=mark,
    )


async def test_there_is_nobody_to_introduce_without_a_call(
    pbx: Asterisk, start: StartPhone
) -> None:
    agent = await start(AGENT, pbx.sip_port)
    with pytest.raises(LabError, match="no answered call"):
        await agent.introduce("nobody", "nobody-else")


async def test_keys_reach_the_other_phone(pbx: Asterisk, start: StartPhone) -> None:
    agent = await start(AGENT, pbx.sip_port)
    customer = await start(CUSTOMER, pbx.sip_port)
    await call(customer, agent)
    await agent.press("5*#")
    await customer.events.wait(
        lambda e: (e.type, e.param) == ("CALL_DTMF_START", "#"), "the last key", within=5
    )
    keys = [e.param for e in customer.events.entries if e.type == "CALL_DTMF_START"]
    assert keys == ["5", "*", "#"]


async def test_a_ringing_phone_can_be_answered_or_refused(pbx: Asterisk, start: StartPhone) -> None:
    agent = await start(AGENT, pbx.sip_port, answer="manual")
    customer = await start(CUSTOMER, pbx.sip_port)
    await customer.dial(AGENT)
    await agent.incoming()
    await agent.hang_up()
    assert await customer.closed() == "486 Busy Here"
    mark = agent.events.mark()
    await customer.dial(AGENT)
    await agent.incoming(since=mark)
    await agent.pick_up()
    await customer.established()


async def test_a_phone_with_one_line_is_busy_during_a_call(
    pbx: Asterisk, start: StartPhone
) -> None:
    agent = await start(AGENT, pbx.sip_port, max_calls=1)
    customer = await start(CUSTOMER, pbx.sip_port)
    other = await start(OTHER_AGENT, pbx.sip_port)
    await call(customer, agent)
    await other.dial(AGENT)
    assert await other.closed() == "486 Busy Here"


@pytest.mark.parametrize(
    ("code", "cause"),
    [(404, "1"), (480, "19"), (486, "17"), (488, "58"), (500, "38"), (603, "21")],
)
async def test_a_call_can_be_refused_in_every_way(
    pbx: Asterisk, stack: AsyncExitStack, code: int, cause: str
) -> None:
    observer = await stack.enter_async_context(await pbx.observer())
    phone = await stack.enter_async_context(
        RefusingPhone(number=SUPERVISOR, password=PHONE_PASSWORD, sip_port=pbx.sip_port, code=code)
    )
    mark = observer.events.mark()
    await observer.action(
        "Originate",
        Channel=f"PJSIP/{SUPERVISOR}",
        Application="Echo",
        CallerID='"Joe \\"Big\\" Müller" <42420042>',
        Async="true",
    )
    end = await observer.event(lambda e: e["Event"] == "Hangup", "the refusal", since=mark)
    assert end["Cause"] == cause
    [refused] = phone.calls.entries
    assert (refused.name, refused.number) == ('Joe "Big" Müller', "42420042")


async def test_a_wrong_password_does_not_register(pbx: Asterisk) -> None:
    phone = RefusingPhone(number=SUPERVISOR, password="wrong", sip_port=pbx.sip_port, code=603)
    with pytest.raises(LabError, match=r"may not register: SIP/2\.0 401"):
        await phone.start()
    with pytest.raises(LabError, match="may not register"):
        await phone.stop()


async def test_echo_queue_conference_and_parking_are_there(
    pbx: Asterisk, start: StartPhone, stack: AsyncExitStack
) -> None:
    observer = await stack.enter_async_context(await pbx.observer())
    agent = await start(AGENT, pbx.sip_port)
    customer = await start(CUSTOMER, pbx.sip_port)

    await agent.dial("600")
    await agent.established()
    await hears(agent, tones.AGENT_HZ)
    await agent.hang_up()

    mark = agent.events.mark()
    await customer.dial("650")
    await agent.established(since=mark)
    await hears(customer, tones.AGENT_HZ)
    await customer.hang_up()
    await agent.closed(since=mark)

    mark = customer.events.mark()
    await customer.dial("660")
    await customer.established(since=mark)
    mark = agent.events.mark()
    await agent.dial("660")
    await agent.established(since=mark)
    await hears(customer, tones.AGENT_HZ)
    await customer.hang_up()
    await agent.hang_up()

    mark = agent.events.mark()
    await agent.dial("700")
    await agent.established(since=mark)
    parked = await observer.event(lambda e: e["Event"] == "ParkedCall", "parking", since=0)
    assert parked["ParkingSpace"] == "701"


# What is left when we are gone

ORPHAN_MAKER = """
import asyncio, sys
from pathlib import Path
from bridge.lab import packages
from bridge.lab.asterisk import Asterisk, PHONE_PASSWORD
from bridge.lab.phone import Phone

async def main(directory):
    pbx = await Asterisk.start(
        await packages.asterisk("22", lambda line: None), directory, bridge_secret="x"
    )
    phone = Phone(
        await packages.baresip(lambda line: None), directory / "phone", number="0003*210",
        password=PHONE_PASSWORD, sip_port=pbx.sip_port, tone_hz=437,
    )
    await phone.start()
    print(pbx.pid, phone.pid, flush=True)
    await asyncio.sleep(60)

asyncio.run(main(Path(sys.argv[1])))
"""


async def test_nothing_lives_on_when_the_lab_is_killed(tmp_path: Path) -> None:
    lab = await asyncio.create_subprocess_exec(
        sys.executable, "-c", ORPHAN_MAKER, tmp_path, stdout=asyncio.subprocess.PIPE
    )
    assert lab.stdout is not None
    line = await asyncio.wait_for(lab.stdout.readline(), 60)
    pids = [int(word) for word in line.split()]
    assert len(pids) == 2
    lab.kill()
    await lab.wait()
    await until(lambda: not any(map(_is_running, pids)), "their end", within=5, every=0.02)


def _is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"
