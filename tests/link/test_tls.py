"""AMI over TLS, with a real Asterisk at the other end."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest
import trustme

from bridge.ami import Address, Link, trusting
from bridge.directory import Directory
from bridge.lab import packages
from bridge.lab.asterisk import Asterisk, conf_dir
from bridge.lab.server import Server
from tests.e2e.client import Answer, Api

from .beside import Beside, a_bridge
from .ear import PATIENCE, Ear, Restored, running
from .fake_pbx import AmiServer
from .proxy import Proxy

pytestmark = pytest.mark.pbx

SECRET = "a-secret-for-tls"
DIRECTORY = conf_dir() / "lab" / "directory.toml"
CALLS = "12/0003*210"
REFUSED = "its certificate is not accepted: "


@dataclass(frozen=True)
class Trust:
    """Who vouches for the PBX, and somebody else who does not."""

    right: Path
    wrong: Path


@pytest.fixture(scope="module")
def trust(tmp_path_factory: pytest.TempPathFactory) -> Trust:
    folder = tmp_path_factory.mktemp("trust")
    right, wrong = trustme.CA(), trustme.CA()
    right.cert_pem.write_to_path(str(folder / "right.pem"))
    wrong.cert_pem.write_to_path(str(folder / "wrong.pem"))
    right.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(
        str(folder / "pbx.pem")
    )
    return Trust(folder / "right.pem", folder / "wrong.pem")


@pytest.fixture(scope="module")
async def pbx(trust: Trust, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Asterisk]:
    build = await packages.asterisk("22", print)
    starting = Asterisk.start(
        build,
        tmp_path_factory.mktemp("tls"),
        bridge_secret=SECRET,
        certificate=trust.right.with_name("pbx.pem"),
    )
    async with await starting as pbx:
        yield pbx


@asynccontextmanager
async def over_tls(
    pbx: Asterisk, certificates: Path | None, host: str = "localhost", port: int = 0
) -> AsyncIterator[Beside]:
    """A bridge that speaks TLS with the PBX, trusting these."""
    tls = trusting(certificates)
    address = Address(host, port or pbx.ami_tls_port, "whisper-bridge", SECRET, tls)
    async with a_bridge(address, Directory.parse(DIRECTORY.read_text())) as bridge:
        yield bridge


def unavailable(answer: Answer) -> bool:
    """Whether an answer says that the PBX cannot be reached."""
    return answer.status == 503 and answer.code == "pbx_unavailable"


async def complaint(caplog: pytest.LogCaptureFixture) -> str:
    """The only complaint, after enough time for several attempts."""
    async with asyncio.timeout(PATIENCE):
        while not caplog.messages:
            await asyncio.sleep(0.01)
    await asyncio.sleep(0.8)
    (only,) = [r.getMessage() for r in caplog.records if r.levelname in ("ERROR", "WARNING")]
    return only


async def test_with_the_right_authority_the_picture_comes_over_tls(
    pbx: Asterisk, trust: Trust
) -> None:
    async with (
        Proxy(pbx.ami_tls_port) as proxy,
        over_tls(pbx, trust.right, port=proxy.port) as ours,
    ):
        await ours.api.until(CALLS, lambda a: a.status == 204, "the picture")
        channels = ours.service.picture.channels
        async with await pbx.observer() as observer:
            where = {"Channel": "Local/600@services/n", "Application": "Echo", "Async_": "true"}
            await observer.action("Originate", **where)
            await _until(channels, 2)
            await observer.action("Hangup", Channel="/.*/")
            await _until(channels, 0)
        proxy.shut()
        await ours.api.until(CALLS, unavailable, "503")
        await proxy.open()
        await ours.api.until(CALLS, lambda a: a.status == 204, "the picture again")
        assert not any(b"Secret" in data or b"Action" in data for data in proxy.forwarded)


async def _until(channels: Mapping[str, object], count: int) -> None:
    async with asyncio.timeout(PATIENCE):
        while len(channels) != count:
            await asyncio.sleep(0.01)


async def test_an_authority_that_is_not_trusted_is_refused(
    pbx: Asterisk, trust: Trust, caplog: pytest.LogCaptureFixture
) -> None:
    async with over_tls(pbx, trust.wrong) as ours:
        said = await complaint(caplog)
        assert unavailable(await ours.api.get(CALLS))
    assert f"no link to the PBX at localhost:{pbx.ami_tls_port}: " in said
    assert REFUSED in said
    assert "BRIDGE_AMI_CA" in said
    assert "\n" not in said


async def test_this_machines_authorities_do_not_vouch_for_it(
    pbx: Asterisk, caplog: pytest.LogCaptureFixture
) -> None:
    async with over_tls(pbx, None):
        assert REFUSED in await complaint(caplog)


async def test_a_certificate_for_another_name_is_refused(
    pbx: Asterisk, trust: Trust, caplog: pytest.LogCaptureFixture
) -> None:
    async with over_tls(pbx, trust.right, host="127.0.0.1") as ours:
        said = await complaint(caplog)
        assert unavailable(await ours.api.get(CALLS))
    assert "127.0.0.1" in said.partition(REFUSED)[2]


async def test_a_port_without_tls_is_no_link(
    pbx: Asterisk, trust: Trust, caplog: pytest.LogCaptureFixture
) -> None:
    async with over_tls(pbx, trust.right, port=pbx.ami_port) as ours:
        assert "no link to the PBX" in await complaint(caplog)
        assert unavailable(await ours.api.get(CALLS))


async def test_a_pbx_that_does_not_shake_hands_is_noticed(
    server: AmiServer, trust: Trust, caplog: pytest.LogCaptureFixture
) -> None:
    server.silent = True
    tls = trusting(trust.right)
    link = Link(Address("localhost", server.port, "u", "s", tls), action_timeout=0.2)
    ear = Ear()
    async with running(link, ear):
        assert "no answer in time" in await complaint(caplog)
    assert ear.count(Restored) == 0


# As an operator sets it


async def test_the_service_speaks_tls_when_it_is_set_so(
    pbx: Asterisk, trust: Trust, tmp_path: Path
) -> None:
    async with await _server(pbx, tmp_path, trust.right, ready=True) as server:
        assert await server.token("lab-app")
    assert "linked to the PBX at localhost" in server.log.read_text()


async def test_the_service_says_why_it_does_not_trust_the_pbx(
    pbx: Asterisk, trust: Trust, tmp_path: Path
) -> None:
    starting = _server(pbx, tmp_path, trust.wrong, ready=False)
    async with await starting as server, aiohttp.ClientSession() as http:
        api = Api(http, server.url, await server.token("lab-app"))
        assert unavailable(await api.get(CALLS))
    (line,) = [line for line in server.log.read_text().splitlines() if "ERROR" in line]
    assert REFUSED in line


async def _server(pbx: Asterisk, folder: Path, authority: Path, *, ready: bool) -> Server:
    return await Server.start(
        folder,
        ami_port=pbx.ami_tls_port,
        ami_secret=SECRET,
        directory=DIRECTORY,
        ready=ready,
        BRIDGE_AMI_HOST="localhost",
        BRIDGE_AMI_TLS="true",
        BRIDGE_AMI_CA=str(authority),
    )
