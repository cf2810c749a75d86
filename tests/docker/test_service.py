"""The service under a real systemd, as its guide has it installed, beside a real Asterisk.

The unit is the one that is shipped: nothing of it is relaxed.
"""

import json
import re
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from bridge.lab import packages, tones
from bridge.lab.asterisk import OBSERVER_SECRET, PHONE_PASSWORD
from bridge.lab.errors import LabError
from bridge.lab.observer import Observer
from bridge.lab.phone import Phone
from tests.e2e.client import Api, views, whisper
from tests.e2e.stage import AGENT, CUSTOMER, SUPERVISOR, Call, a_call, level
from tests.support.clients import SECRET, SECRET_HASH
from tests.support.directory import TEXT
from tests.support.guides import PACKAGING as GUIDE

from .machine import Machine

# Whichever comes first waits for an engine, an image and a package.
pytestmark = [pytest.mark.docker, pytest.mark.timeout(1500)]

ETC = "/etc/whisper-bridge"
PANEL = f"""
[[apps]]
client_id = "panel"
client_secret_hash = "{SECRET_HASH}"
user = "12"
reach = "organization"
"""


@pytest.fixture(scope="module")
async def service(machine: Machine) -> Machine:
    """The machine with the service on it, installed and started as the guide says."""
    await machine.start_asterisk()
    for command in GUIDE.commands("Install"):
        await machine.run(command, limit=120)
    settings = f"BRIDGE_AMI_PORT={machine.ports.ami}\nBRIDGE_HTTP_PORT={machine.http_port}\n"
    await machine.run(f"printf '{settings}' >> {ETC}/bridge.env")
    await write_directory(machine, TEXT + PANEL)
    for command in (*GUIDE.commands("Configure"), *GUIDE.commands("Start")):
        await machine.run(command)
    return machine


@pytest.fixture(autouse=True)
async def _in_order(request: pytest.FixtureRequest) -> AsyncIterator[None]:
    """Every test finds the service at work, and leaves nothing in its log that it should not."""
    service: Machine = request.getfixturevalue("service")
    await service.run("systemctl start asterisk whisper-bridge")
    yield
    log = await service.journal()
    assert secret_of(log, await service.run(f"cat {ETC}/ami-secret", may_fail=True)) == []


def number(pattern: str, text: str) -> float:
    """The number in the group of a pattern."""
    found = re.search(pattern, text)
    assert found, text
    return float(found[1])


def secret_of(text: str, *secrets: str) -> list[str]:
    """The lines of a text that hold a secret, or a token, or a caller's number."""
    words = [word.strip() for word in secrets if word.strip()]
    pattern = "|".join(map(re.escape, [*words, CUSTOMER, "Bearer ", "argon2"]))
    return [line for line in text.splitlines() if re.search(pattern, line)]


async def write_directory(machine: Machine, text: str) -> None:
    """Write the directory, as an editor does that keeps owner and mode."""
    await machine.container.write(f"{ETC}/directory.toml", text)


@pytest.fixture
async def api(service: Machine) -> AsyncIterator[Api]:
    """A client of the service, with a token that the command on the machine gave."""
    (command,) = (typed for typed in GUIDE.commands("Start") if "token" in typed)
    token = (await service.run(command)).strip()
    async with aiohttp.ClientSession() as http:
        yield Api(http, f"http://127.0.0.1:{service.http_port}", token)


@asynccontextmanager
async def phone(service: Machine, folder: Path, number: str, tone_hz: int) -> AsyncIterator[Phone]:
    """A phone that is registered and picks up by itself."""
    phone = Phone(
        await packages.baresip(print),
        folder / number.replace("*", "-"),
        number=number,
        password=PHONE_PASSWORD,
        sip_port=service.ports.sip,
        tone_hz=tone_hz,
    )
    async with phone:
        await phone.registered()
        yield phone


@pytest.fixture
async def whispered(
    service: Machine, api: Api, tmp_path: Path
) -> AsyncIterator[tuple[Call, Phone]]:
    """A call with a whisper in force, and the supervisor's phone."""
    async with AsyncExitStack() as stack:
        agent, customer, supervisor = [
            await stack.enter_async_context(phone(service, tmp_path, number, tone_hz))
            for number, tone_hz in (
                (AGENT, tones.AGENT_HZ),
                (CUSTOMER, tones.CUSTOMER_HZ),
                (SUPERVISOR, tones.SUPERVISOR_HZ),
            )
        ]
        call = await stack.enter_async_context(a_call(api, customer, agent))
        assert (await api.put(call.path, whisper())).status == 202
        await api.until(call.path, lambda a: "02" in views(a), "the whisper in force")
        yield call, supervisor


async def survived(api: Api, whispered: tuple[Call, Phone], before: object) -> None:
    """Whether the call is shown as before, with its whisper, and the agent hears the supervisor."""
    call, supervisor = whispered
    after = await api.until(call.path, lambda a: a.status == 200, "the call is shown again", 10)
    assert after.body == before
    assert (await api.put(call.path, whisper())).status == 202
    assert await level(call.callee, supervisor) > tones.HEARD_DB


# The unit


async def test_it_may_do_little(service: Machine) -> None:
    unit = "/lib/systemd/system/whisper-bridge.service"
    offline = f"systemd-analyze security --no-pager --offline=true --threshold=15 {unit}"
    overall = r"Overall exposure level for \S+: ([0-9.]+)"
    rating = number(overall, await service.run(offline))
    assert rating <= 1.5
    assert rating == float(GUIDE.said(r"rates that \(0 is best, 10 worst;\s([0-9.]+) here\)"))
    online = await service.run("systemd-analyze security --no-pager whisper-bridge")
    assert rating == number(overall, online)


async def test_systemd_finds_no_mistake_in_it(service: Machine) -> None:
    assert await service.run("systemd-analyze verify whisper-bridge.service 2>&1") == ""


async def test_what_it_may_not_do_is_in_force(service: Machine) -> None:
    pid = await service.show("MainPID")
    status = await service.run(f"cat /proc/{pid}/status")
    assert 61184 <= number(r"Uid:\t(\d+)", status) <= 65519
    assert re.search(r"CapBnd:\t0+\n", status)
    assert "NoNewPrivs:\t1" in status
    assert "Seccomp:\t2" in status
    lines = (await service.run(f"cat /proc/{pid}/mountinfo")).splitlines()
    mounts = {fields[4]: fields[5].split(",")[0] for fields in map(str.split, lines)}
    assert mounts["/"] == mounts["/dev"] == mounts["/var/lib/private"] == "ro"
    assert mounts["/var/lib/private/whisper-bridge"] == "rw"
    assert mounts["/home"] == mounts["/root"] == "ro"
    for name in ("user", "ipc", "mnt", "uts"):
        theirs = await service.run(f"readlink /proc/1/ns/{name} /proc/{pid}/ns/{name}")
        assert len(set(theirs.split())) == 2, name


# Start and end


async def test_it_is_ready_when_the_picture_of_the_pbx_is_complete(
    service: Machine, api: Api
) -> None:
    await service.run("systemctl stop whisper-bridge asterisk")
    await service.run("systemctl start --no-block whisper-bridge")
    await service.until("StatusText", "no link to the PBX at 127.0.0.1")
    assert await service.show("ActiveState") == "activating"
    assert (await api.get(f"12/{AGENT}")).status == 503
    await service.start_asterisk()
    await service.until("ActiveState", "active")
    assert (await api.get(f"12/{AGENT}")).status == 204
    assert (await service.show("StatusText")).startswith("linked to the PBX; channels: 0")


async def test_a_pbx_that_is_away_does_not_hold_up_the_start_of_the_machine(
    service: Machine,
) -> None:
    await service.reboot()
    assert await service.show("ActiveState") == "activating"
    await service.start_asterisk()
    await service.until("ActiveState", "active")


async def test_it_starts_behind_asterisk(service: Machine) -> None:
    await service.run("systemctl enable asterisk")
    await service.reboot()
    await service.until("ActiveState", "active")
    order = [
        int(await service.show("ExecMainStartTimestampMonotonic", unit))
        for unit in ("asterisk", "whisper-bridge")
    ]
    assert order == sorted(order)


async def test_it_ends_in_order_when_told_to(service: Machine) -> None:
    mark = await service.run("date '+%Y-%m-%d %H:%M:%S.%6N'")
    await service.run("systemctl stop whisper-bridge")
    assert await service.show("Result") == "success"
    assert await service.show("ExecMainStatus") == "0"
    log = await service.journal("--since", mark.strip())
    assert "stopping: requests under way finish" in log
    assert not re.search("ERROR|CRITICAL|Traceback|SIGKILL", log)


async def test_its_log_is_json_and_the_journal_knows_how_bad_each_line_is(
    service: Machine,
) -> None:
    said = await service.run("journalctl --unit whisper-bridge --output json --no-pager")
    entries = [json.loads(line) for line in said.splitlines()]
    lines = [entry for entry in entries if str(entry["MESSAGE"]).startswith("{")]
    priorities = {"INFO": "6", "WARNING": "4", "ERROR": "3", "CRITICAL": "2"}
    found = {(json.loads(line["MESSAGE"])["level"], line["PRIORITY"]) for line in lines}
    assert ("INFO", "6") in found
    assert found <= set(priorities.items())


async def test_a_wrong_setting_is_told_with_its_line_and_not_tried_again(
    service: Machine,
) -> None:
    await service.run(f"cp -p {ETC}/bridge.env {ETC}/kept")
    await service.run(f"echo BRIDGE_LOG_LEVEL=loud >> {ETC}/bridge.env")
    line = (await service.run(f"wc -l < {ETC}/bridge.env")).strip()
    try:
        await service.fails("systemctl restart whisper-bridge")
        assert await service.show("SubState") == "failed"
        said = f"BRIDGE_LOG_LEVEL ({ETC}/bridge.env:{line}): must be 'DEBUG', 'INFO', 'WARNING' or"
        assert said in await service.journal()
    finally:
        await service.run(f"mv {ETC}/kept {ETC}/bridge.env")


# Secrets


async def test_the_secret_comes_from_a_file_that_only_root_can_read(service: Machine) -> None:
    secret = (await service.run(f"cat {ETC}/ami-secret")).strip()
    pid = await service.show("MainPID")
    shown = await service.run(
        "systemctl show whisper-bridge; systemctl cat whisper-bridge; systemctl status"
        f" whisper-bridge; tr '\\0' '\\n' < /proc/{pid}/environ; cat /proc/{pid}/cmdline;"
        " journalctl --no-pager"
    )
    assert "BRIDGE_AMI_SECRET_FILE=/run/credentials/whisper-bridge.service/ami-secret" in shown
    assert secret_of(shown, secret) == []
    uid = await service.run(f"stat --format %u /proc/{pid}")
    await service.fails(f"setpriv --reuid={uid.strip()} --clear-groups cat {ETC}/ami-secret")


async def test_a_missing_secret_is_told(service: Machine) -> None:
    await service.run(f"mv {ETC}/ami-secret {ETC}/kept")
    try:
        await service.run("systemctl restart --no-block whisper-bridge")
        await service.until("Result", "exit-code")
        assert "credentials" in await service.journal("--lines", "20")
    finally:
        await service.run(f"mv {ETC}/kept {ETC}/ami-secret")
    await service.until("ActiveState", "active")


async def test_an_app_gets_a_token_of_the_service(service: Machine) -> None:
    """Argon2 works within what the unit allows."""
    url = f"http://127.0.0.1:{service.http_port}/oauth/token.php"
    form = {"grant_type": "client_credentials", "client_id": "panel", "client_secret": SECRET}
    async with aiohttp.ClientSession() as http, http.post(url, data=form) as answer:
        assert answer.status == 200, await answer.text()


# Reload


async def test_a_reload_puts_the_directory_into_force(service: Machine, api: Api) -> None:
    pid = await service.show("MainPID")
    await write_directory(service, TEXT)
    (command,) = GUIDE.commands("Reload")
    await service.run(command)
    await api.until(f"12/{AGENT}", lambda a: a.status == 401, "the app is gone")
    await write_directory(service, TEXT + PANEL)
    await service.run(command)
    await api.until(f"12/{AGENT}", lambda a: a.status == 204, "the app is back")
    assert await service.show("MainPID") == pid
    assert await service.show("ActiveState") == "active"


async def test_a_broken_directory_fails_the_reload_and_changes_nothing(
    service: Machine, api: Api
) -> None:
    pid = await service.show("MainPID")
    try:
        await write_directory(service, "\n[[extension]]\n")
        await service.fails(GUIDE.commands("Reload")[0])
        assert (await api.get(f"12/{AGENT}")).status == 204
        assert await service.show("ActiveState") == "active"
        assert await service.show("MainPID") == pid
        said = "whisper-bridge: directory.toml:2: unknown table 'extension'"
        assert said in await service.journal("--lines", "20")
    finally:
        await write_directory(service, TEXT + PANEL)


# What a call and its whisper outlive


async def test_a_bridge_that_hangs_is_restarted_and_the_whisper_goes_on(
    service: Machine, api: Api, whispered: tuple[Call, Phone]
) -> None:
    before = (await api.get(whispered[0].path)).body
    restarts = int(await service.show("NRestarts"))
    began = time.monotonic()
    await service.run(f"kill -STOP {await service.show('MainPID')}")
    await service.until("NRestarts", str(restarts + 1), within=60)
    assert 5 < time.monotonic() - began < 40
    await service.until("ActiveState", "active")
    log = await service.journal()
    assert "Watchdog timeout" in log
    assert "Fatal Python error: Aborted" in log
    await survived(api, whispered, before)


async def test_a_bridge_that_crashes_is_restarted_and_the_whisper_goes_on(
    service: Machine, api: Api, whispered: tuple[Call, Phone]
) -> None:
    before = (await api.get(whispered[0].path)).body
    restarts = int(await service.show("NRestarts"))
    await service.run(f"kill -KILL {await service.show('MainPID')}")
    await service.until("NRestarts", str(restarts + 1))
    await service.until("ActiveState", "active")
    await survived(api, whispered, before)


async def test_an_upgrade_keeps_files_calls_and_whispers(
    service: Machine, api: Api, whispered: tuple[Call, Phone]
) -> None:
    before = (await api.get(whispered[0].path)).body
    pid = await service.show("MainPID")
    files = await service.run(f"cd {ETC}; stat --format '%n %U %G %a' *; cat *")
    await service.run(
        "dpkg-deb --raw-extract whisper-bridge_*.deb new; rm *.deb;"
        " sed -i 's/^Version: .*/&+1/' new/DEBIAN/control;"
        " dpkg-deb --root-owner-group --build new . ; rm -r new",
        limit=120,
    )
    for command in GUIDE.commands("Upgrade"):
        await service.run(command, limit=120)
    assert await service.until("ActiveState", "active")
    assert await service.show("MainPID") != pid
    assert await service.run(f"cd {ETC}; stat --format '%n %U %G %a' *; cat *") == files
    await survived(api, whispered, before)


async def test_what_was_done_stands_in_the_audit(
    service: Machine, whispered: tuple[Call, Phone]
) -> None:
    call, _ = whispered
    said = await service.run(f"whisper-bridge audit --call {call.id}")
    assert SUPERVISOR in said


# Measured


async def test_what_it_takes(
    service: Machine, package: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(3):
        await service.run("systemctl restart whisper-bridge")
    began, ready = [
        int(await service.show(f"{name}TimestampMonotonic"))
        for name in ("InactiveExit", "ActiveEnter")
    ]
    pid = await service.show("MainPID")
    status = await service.run(f"cat /proc/{pid}/status")
    memory = number(r"VmRSS:\s+(\d+)", status)
    seconds, size = (ready - began) / 1e6, package.stat().st_size
    with capsys.disabled():
        print(f"\npackage {size / 1e6:.1f} MB, ready in {seconds:.2f} s, {memory / 1e3:.0f} MB")
    assert size < 10e6
    assert seconds < 10
    assert memory < 100_000


# The end


async def test_removed_it_leaves_the_machine_as_it_was(service: Machine) -> None:
    secret = (await service.run(f"cat {ETC}/ami-secret")).strip()
    async with await Observer.connect(service.ports.ami, secret, user="whisper-bridge"):
        pass
    for command in GUIDE.commands("Remove"):
        await service.run(command.replace("purge", "purge --yes"), limit=120)
    with pytest.raises(LabError):
        await Observer.connect(service.ports.ami, secret, user="whisper-bridge")
    async with await Observer.connect(service.ports.ami, OBSERVER_SECRET):
        pass
    listed = "systemctl list-unit-files --no-pager --no-legend 'whisper*'"
    assert await service.run(listed, may_fail=True) == ""
    found = "find /etc /usr /lib /var/lib /run -xdev -name '*whisper*' -not -path '/var/lib/dpkg/*'"
    assert await service.run(found) == ""
