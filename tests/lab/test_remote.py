"""Phones that somebody else runs, shared over a socket."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from bridge.lab import packages, tones
from bridge.lab.asterisk import PHONE_PASSWORD, Asterisk
from bridge.lab.cast import AGENT, CUSTOMER, Role
from bridge.lab.errors import LabError
from bridge.lab.phone import Phone
from bridge.lab.remote import SOCKET, RemotePhone, shared

pytestmark = pytest.mark.pbx


class Office:
    """Two phones that are shared, and a way to take up either."""

    def __init__(self, run_dir: Path, sip_port: int) -> None:
        self._run_dir = run_dir
        self._sip_port = sip_port

    def folder(self, role: Role) -> Path:
        """Where a phone is."""
        return self._run_dir / role.name

    async def phone(self, role: Role) -> Phone:
        """A phone that is not running yet."""
        return Phone(
            await packages.baresip(print),
            self.folder(role),
            number=role.number,
            password=PHONE_PASSWORD,
            sip_port=self._sip_port,
            tone_hz=role.tone_hz,
        )

    def remote(self, role: Role) -> RemotePhone:
        """The same phone, as somebody else has it."""
        pbx = f"127.0.0.1:{self._sip_port}"
        return RemotePhone(self.folder(role), number=role.number, tone_hz=role.tone_hz, pbx=pbx)


@pytest.fixture
async def office(tmp_path: Path) -> AsyncIterator[Office]:
    build = await packages.asterisk("22", print)
    async with AsyncExitStack() as stack:
        starting = Asterisk.start(build, tmp_path / "pbx", bridge_secret="x" * 20)
        pbx = await stack.enter_async_context(await starting)
        office = Office(tmp_path, pbx.sip_port)
        for role in (AGENT, CUSTOMER):
            phone = await stack.enter_async_context(await office.phone(role))
            await phone.registered()
            await stack.enter_async_context(shared(phone, office.folder(role)))
        yield office


async def test_a_call_is_made_and_heard_through_shared_phones(office: Office) -> None:
    async with office.remote(AGENT) as agent, office.remote(CUSTOMER) as customer:
        assert await agent.is_registered()
        await customer.dial(AGENT.number)
        assert (await agent.incoming()).name == "John Doe"
        await customer.established_call()
        end = await tones.fresh(agent.recording, 1)
        assert tones.level(agent.recording, CUSTOMER.tone_hz, 0.5, end) > tones.HEARD_DB
        await agent.hang_up()
        await customer.closed()


async def test_several_share_a_phone_and_each_has_his_own_answers(office: Office) -> None:
    async with office.remote(AGENT) as one, office.remote(AGENT) as other:
        answers = await asyncio.gather(*(who.do("reginfo") for who in (one, other, one, other)))
        assert all("OK" in answer for answer in answers)
        async with office.remote(CUSTOMER) as customer:
            await customer.dial(AGENT.number)
            calls = [await who.incoming() for who in (one, other)]
    assert calls[0] == calls[1]


async def test_whoever_comes_late_knows_which_calls_are_up(office: Office) -> None:
    async with office.remote(CUSTOMER) as customer:
        await customer.dial(AGENT.number)
        call = await customer.established_call()
        async with office.remote(CUSTOMER) as late:
            assert await late.established_call(within=0) == call
        await customer.hang_up()
        await customer.closed()
    async with office.remote(CUSTOMER) as later:
        assert later.events.entries == []


async def test_a_command_that_is_refused_is_an_error_for_whoever_gave_it(office: Office) -> None:
    async with office.remote(AGENT) as agent:
        with pytest.raises(LabError, match="refused nonsense"):
            await agent.do("nonsense")
        assert await agent.is_registered()


async def test_rubbish_on_the_socket_disturbs_nobody(office: Office) -> None:
    path = office.folder(AGENT) / SOCKET
    async with office.remote(AGENT) as agent:
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(b"GET / HTTP/1.1\r\n\r\n" + b"x" * 100_000 + b":")
        assert await asyncio.wait_for(reader.read(), 5) == b""
        writer.close()
        assert await agent.is_registered()


async def test_a_phone_that_is_not_there_is_said_to_be(office: Office) -> None:
    gone = Role("gone", "0003*211", tones.AGENT_HZ)
    with pytest.raises(LabError, match=r"the phone of 0003\*211 is not running"):
        async with office.remote(gone):
            pass
