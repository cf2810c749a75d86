"""The lab in containers, as somebody who has just cloned the project meets it."""

import asyncio
import json
import re
from pathlib import Path

import pytest

from bridge.lab import tones
from bridge.lab.asterisk import PHONE_PASSWORD
from bridge.lab.cast import AGENT, CUSTOMER, GUEST, SUPERVISOR
from bridge.lab.packages import BaresipBuild
from bridge.lab.phone import Phone

from .conftest import IMAGES, Lab

pytestmark = [pytest.mark.docker, pytest.mark.timeout(900)]

SERVICES = ("asterisk", "bridge", "customer", "agent", "supervisor")
LISTENERS = ("agent", "customer", "supervisor")
UID = 10001


_LOOK = """id -u; cat /proc/1/status /proc/1/mounts
for place in / /opt /usr/bin /etc /var/tmp; do touch $place/x && echo IT-WORKED; done"""


def cells(said: str) -> dict[str, list[str]]:
    """Of the table that the proof prints: listener to what he hears."""
    rows = re.findall(r"^(\w+) hears\s+(.*)$", said, re.MULTILINE)
    return {name: re.findall(r"(heard|silent|faint)\s+(?:ok|WRONG)", row) for name, row in rows}


async def test_all_are_well(lab: Lab) -> None:
    for service in SERVICES:
        state = (await lab.inspect(service))["State"]
        assert state["Health"]["Status"] == "healthy", service
        assert state["Running"], service


async def test_the_first_proof_ran_by_itself(lab: Lab) -> None:
    name = await lab.container("proof")
    assert (await lab.engine.docker("wait", name)).strip() == "0"
    assert "proven" in await lab.engine.docker("logs", name)


async def test_it_is_proven_again_at_will(lab: Lab) -> None:
    for _ in range(2):
        code, said = await lab.proof()
        assert code == 0, said
        assert cells(said) == {
            "agent": ["silent", "heard", "heard"],
            "customer": ["heard", "silent", "silent"],
            "supervisor": ["heard", "heard", "silent"],
        }


async def test_a_private_whisper_is_proven_as_well(lab: Lab) -> None:
    code, said = await lab.proof("proof", "--private")
    assert code == 0, said
    assert cells(said)["supervisor"] == ["silent", "silent", "silent"]


async def test_it_is_not_proven_without_the_agent(lab: Lab) -> None:
    await lab.compose("stop", "agent")
    try:
        code, said = await lab.proof(alone=True)
        assert code == 2, said
        assert f"the phone of {AGENT.number} is not running" in said
    finally:
        await lab.compose("start", "agent")
        await lab.healthy("agent")
    code, said = await lab.proof()
    assert code == 0, said


async def test_a_phone_that_has_hung_is_not_well(lab: Lab) -> None:
    name = await lab.container("supervisor")
    await lab.engine.docker("pause", name)
    try:
        code, said = await lab.proof(alone=True)
        assert code == 2, said
    finally:
        await lab.engine.docker("unpause", name)
    await lab.healthy("supervisor")


async def test_nobody_is_root_and_nothing_can_be_written(lab: Lab) -> None:
    for service in SERVICES:
        said = await lab.run(service, _LOOK)
        assert said.startswith(f"{UID}\n"), service
        assert re.search(r"CapBnd:\t0+\n", said), service
        assert "NoNewPrivs:\t1" in said
        assert "IT-WORKED" not in said, service
        assert said.count("cannot touch") == 5, service
        assert re.search(r"^\S+ / \S+ ro,", said, re.MULTILINE), service


async def test_nothing_is_published_beyond_loopback(lab: Lab) -> None:
    for service in SERVICES:
        ports = (await lab.inspect(service))["NetworkSettings"]["Ports"]
        hosts = {entry["HostIp"] for entries in ports.values() for entry in entries or ()}
        assert hosts <= {"127.0.0.1"}, service


async def test_a_softphone_of_ones_own_is_the_supervisor(
    lab: Lab, baresip: BaresipBuild, tmp_path: Path
) -> None:
    """It is outside of all containers and knows the published port only."""
    guest = Phone(
        baresip,
        tmp_path,
        number=GUEST,
        password=PHONE_PASSWORD,
        sip_port=5060,
        tone_hz=SUPERVISOR.tone_hz,
    )
    async with guest:
        await guest.registered(10)
        hosting = asyncio.create_task(lab.proof("proof", "--you"))
        try:
            call = await guest.incoming(60)
            assert (call.name, call.number) == ("Whisper To Me", "42420042")
            await guest.established_call(10)
            end = await tones.fresh(guest.recording, 3)
            heard = [tones.level(guest.recording, r.tone_hz, 1.5, end) for r in (AGENT, CUSTOMER)]
            assert min(heard) > tones.HEARD_DB
            assert await _level(lab, "agent", SUPERVISOR.tone_hz) > tones.HEARD_DB
            assert await _level(lab, "customer", SUPERVISOR.tone_hz) < tones.SILENT_DB
            await guest.hang_up()
        finally:
            code, said = await hosting
        assert code == 0, said
        assert "you have hung up" in said


async def _level(lab: Lab, listener: str, tone_hz: int) -> float:
    """How loud a tone is in the last second that a phone in its container heard."""
    script = (
        "from pathlib import Path; from bridge.lab import housekeeping, tones;"
        f"heard = housekeeping.recordings(Path('/phones/{listener}'))[-1];"
        f"print(tones.level(heard, {tone_hz}, 1.0, tones.length(heard)))"
    )
    return float(await lab.run(listener, f'python -c "{script}"'))


async def test_the_images_hold_no_secret_and_no_way_of_this_machine(lab: Lab) -> None:
    for name in IMAGES.values():
        found = json.loads(await lab.engine.docker("inspect", name))[0]
        assert found["Config"]["User"] == "whisper-bridge"
        assert found["Config"]["Healthcheck"]["Test"][0] == "CMD"
    listed = await lab.run("agent", "ls -d /run/ca.pem /etc/pip.conf /opt/whisper-bridge/bin/py*3")
    assert listed.count("No such file") >= 2


async def test_what_it_takes(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    sizes = {}
    for name in IMAGES.values():
        found = json.loads(await lab.engine.docker("inspect", name))[0]
        sizes[name] = found["Size"] / 1e6
    with capsys.disabled():
        shown = ", ".join(f"{name} {size:.0f} MB" for name, size in sizes.items())
        print(f"\n{shown}; from nothing to all well in {lab.seconds:.1f} s")
    assert max(sizes.values()) < 400
    assert lab.seconds < 120
