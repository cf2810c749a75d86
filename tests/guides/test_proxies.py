"""A bridge behind nginx and behind Caddy, configured as the guide says, on a real PBX."""

import asyncio
import json
import re
import ssl
import tempfile
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import trustme
from yarl import URL

from bridge.lab import tones
from bridge.lab.ports import free_tcp
from bridge.settings import NAMES, load
from tests.e2e.stage import AGENT, CUSTOMER, Stage, a_stage
from tests.support import proxies
from tests.support.guides import PACKAGING

pytestmark = [pytest.mark.pbx, pytest.mark.timeout(600)]

SECTION = "Behind a proxy"
PUBLIC = "https://pbx.example.com"
CLIENT, MADE_UP = "127.0.0.2", "203.0.113.66"
LIMIT = aiohttp.ClientTimeout(total=20)
ON_HOST, ELSEWHERE = (
    dict(line.split("=", 1) for line in block.splitlines())
    for block in PACKAGING.blocks(SECTION, "ini")
)


@dataclass
class Front:
    """A proxy before a bridge, with a client that trusts its certificate."""

    url: str
    audit: Path
    stage: Stage
    http: aiohttp.ClientSession

    def asked(self) -> list[tuple[str, str]]:
        """Who asked for something and from where, by the bridge's audit."""
        return asked(self.audit)


def asked(audit: Path) -> list[tuple[str, str]]:
    lines = map(json.loads, audit.read_text().splitlines())
    return [(line["app"], line["address"]) for line in lines if "app" in line]


@pytest.fixture(scope="module")
async def stage(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    async with a_stage(tmp_path_factory.mktemp("guides")) as stage:
        yield stage


@pytest.fixture(scope="module", params=["nginx", "caddy"])
async def front(request: pytest.FixtureRequest, stage: Stage) -> AsyncIterator[Front]:
    with tempfile.TemporaryDirectory(prefix="guides-") as folder:
        audit = stage.run_dir / request.param / "audit.jsonl"
        audit.parent.mkdir()
        settings: dict[str, Any] = {**ON_HOST, "BRIDGE_AUDIT": str(audit)}
        server = await stage.another_server(**settings)
        port, behind = free_tcp(), int(server.url.rpartition(":")[2])
        start = {"nginx": nginx, "caddy": caddy}[request.param]
        authority = _certify(Path(folder))
        local = aiohttp.TCPConnector(ssl=authority, local_addr=(CLIENT, 0))
        async with (
            server,
            start(Path(folder), port, behind),
            aiohttp.ClientSession(connector=local, timeout=LIMIT) as http,
        ):
            url = f"https://localhost:{port}"
            yield Front(url, audit, stage, http)


def _certify(folder: Path) -> ssl.SSLContext:
    authority = trustme.CA()
    pair = authority.issue_cert("localhost")
    pair.private_key_pem.write_to_path(folder / "key.pem")
    for pem in pair.cert_chain_pems:
        pem.write_to_path(folder / "cert.pem", append=True)
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


def written(language: str, *changes: tuple[str, str]) -> str:
    """The guide's block, with what is particular to this machine in its places."""
    (text,) = PACKAGING.blocks(SECTION, language)
    for pattern, here in changes:
        assert len(re.findall(pattern, text)) == 1, pattern
        text = re.sub(pattern, here, text)
    return text


def nginx(folder: Path, port: int, behind: int) -> AbstractAsyncContextManager[None]:
    block = written(
        "nginx",
        ("listen 443 ssl", f"listen 127.0.0.1:{port} ssl"),
        ("/etc/ssl/pbx.example.com.pem", f"{folder}/cert.pem"),
        ("/etc/ssl/private/pbx.example.com.key", f"{folder}/key.pem"),
        ("127.0.0.1:8480", f"127.0.0.1:{behind}"),
    )
    return proxies.nginx(folder, block, port)


def caddy(folder: Path, port: int, behind: int) -> AbstractAsyncContextManager[None]:
    certificate = f"tls {folder}/cert.pem {folder}/key.pem"
    block = written(
        "caddyfile",
        (r"pbx\.example\.com \{", f"https://localhost:{port} {{\nbind 127.0.0.1\n{certificate}"),
        ("127.0.0.1:8480", f"127.0.0.1:{behind}"),
    )
    return proxies.caddy(folder, block, port)


async def test_requests_get_through_with_every_spelling(front: Front) -> None:
    headers = {"Authorization": f"Bearer {front.stage.token}"}
    for extension in (AGENT, AGENT.replace("*", "%2A"), "@self", "%40self"):
        path = f"{front.url}/uapi/phoneCalls/@me/{extension}/"
        async with front.http.get(URL(path, encoded=True), headers=headers) as answer:
            assert answer.status == 204, path
    async with front.http.get(f"{front.url}/openapi.json") as answer:
        assert answer.status == 200
        assert (await answer.json())["servers"][0]["url"] == PUBLIC
    async with front.http.get(f"{front.url}/uapi/phoneCalls/@me/@self") as answer:
        assert (answer.status, (await answer.json())["error"]["code"]) == (401, "access_denied")


@pytest.mark.parametrize("path", ["/", "/healthz", "/readyz", "/metrics", "/openapi.jsonx"])
async def test_nothing_else_gets_through(front: Front, path: str) -> None:
    async with front.http.get(front.url + path) as answer:
        assert answer.status == 404
        assert "X-Request-Id" not in answer.headers


async def test_the_client_is_known_by_its_own_address(front: Front) -> None:
    form = {"grant_type": "client_credentials", "client_id": "lab-app", "client_secret": "wrong"}
    forged = {"X-Forwarded-For": MADE_UP, "Forwarded": f"for={MADE_UP}", "X-Real-IP": MADE_UP}
    url = f"{front.url}/oauth/token.php"
    async with front.http.post(url, data=form, headers=forged) as answer:
        assert answer.status == 401
    async with asyncio.timeout(5):
        while not (told := front.asked()):
            await asyncio.sleep(0.02)
    assert told == [("lab-app", CLIENT)]


async def test_a_stream_tells_of_a_call_at_once(front: Front) -> None:
    headers = {"Authorization": f"Bearer {front.stage.token}"}
    url = URL(f"{front.url}/uapi/phoneCallStream/12/{AGENT}", encoded=True)
    async with (
        front.stage.phone(AGENT, tones.AGENT_HZ),
        front.stage.phone(CUSTOMER, tones.CUSTOMER_HZ) as customer,
        front.http.get(url, headers=headers) as answer,
    ):
        assert (answer.status, answer.content_type) == (200, "text/event-stream")
        await _told(answer, "ready", within=1)
        await customer.dial(AGENT)
        told = await _told(answer, "phoneCall", within=3)
        assert told["link"]["self"].startswith(f"{PUBLIC}/uapi/phoneCalls/12/")
        await customer.hang_up()
        await _told(answer, "phoneCallEnded", within=3)


async def _told(answer: aiohttp.ClientResponse, event: str, within: float) -> Any:
    """The data of the next event of a name."""
    name = ""
    async with asyncio.timeout(within):
        async for raw in answer.content:
            field, _, value = raw.decode().rstrip("\n").partition(": ")
            name = value if field == "event" else name
            if field == "data" and name == event:
                return json.loads(value)
    raise AssertionError(f"the stream ended before {event}")


async def test_without_the_setting_every_client_is_the_proxy(stage: Stage, tmp_path: Path) -> None:
    audit = tmp_path / "audit.jsonl"
    async with await stage.another_server(BRIDGE_AUDIT=str(audit)) as server:
        form = {"grant_type": "client_credentials", "client_id": "lab-app", "client_secret": "no"}
        told = {"X-Forwarded-For": CLIENT}
        async with stage.http.post(f"{server.url}/oauth/token.php", data=form, headers=told):
            pass
    assert asked(audit) == [("lab-app", "127.0.0.1")]


def test_the_settings_for_another_machine_let_the_bridge_start() -> None:
    assert {*ON_HOST, *ELSEWHERE} <= set(NAMES)
    needed = {"BRIDGE_AMI_SECRET": "s", "BRIDGE_DIRECTORY": "d", "HOME": "/h"}
    found = load({**needed, **ELSEWHERE})
    assert (found.http_host, found.public_url) == ("0.0.0.0", PUBLIC)
    assert found.plain_http_behind_proxy
    assert [str(network) for network in found.trusted_proxies] == ["192.0.2.10/32"]
