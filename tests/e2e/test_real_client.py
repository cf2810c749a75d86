"""A client of the UnifiedAPI as there are many: tokens and calls over HTTPS, by a private CA."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import trustme
from yarl import URL

from bridge.lab.phone import Phone
from bridge.lab.server import Server

from .client import Answer, Api, views
from .stage import Call, Stage

pytestmark = pytest.mark.pbx

SECRET = "lab-only-not-a-secret-1"


@dataclass
class Client:
    """A client with nothing but its id, its secret and an authority to trust."""

    server: Server
    http: aiohttp.ClientSession

    async def token(self, secret: str = SECRET) -> Mapping[str, Any]:
        """Ask for a token in the way the vendor's own client does."""
        form = {
            "grant_type": "client_credentials",
            "client_id": "lab-app",
            "client_secret": secret,
            "redirect_uri": "https://client.example.com/",
            "type": "unifiedapi",
        }
        async with self.http.post(f"{self.server.url}/oauth/token.php", data=form) as answer:
            found = await answer.json()
            return {"status": answer.status, **found}

    async def put(self, path: str, token: str, body: Mapping[str, str]) -> Answer:
        """PUT with a slash at the end, the star and the at sign as they come."""
        url = URL(f"{self.server.url}/uapi/phoneCalls/{path}/", encoded=True)
        headers = {"Authorization": f"Bearer {token}"}
        async with self.http.put(url, json=dict(body), headers=headers) as answer:
            return Answer(answer.status, answer.headers, await answer.json())


@pytest.fixture
async def authority(stage: Stage) -> Path:
    """The private CA's certificate; what it issued for the service lies beside it."""
    found = trustme.CA()
    folder = stage.run_dir / "tls"
    folder.mkdir(exist_ok=True)
    leaf = found.issue_cert("localhost")
    (folder / "tls.crt").write_bytes(b"".join(blob.bytes() for blob in leaf.cert_chain_pems))
    leaf.private_key_pem.write_to_path(folder / "tls.key")
    found.cert_pem.write_to_path(folder / "ca.pem")
    return folder / "ca.pem"


@pytest.fixture
async def client(stage: Stage, authority: Path) -> AsyncIterator[Client]:
    server = await stage.another_server(
        authority=authority,
        BRIDGE_TLS_CERT=str(authority.with_name("tls.crt")),
        BRIDGE_TLS_KEY=str(authority.with_name("tls.key")),
        BRIDGE_HTTP_HOST="localhost",
    )
    async with server, server.client() as http:
        yield Client(server, http)
    assert not stage.faults(server.log.read_text())
    assert SECRET not in server.log.read_text()


async def test_from_the_secret_to_view_02(client: Client, call: Call, supervisor: Phone) -> None:
    given = await client.token()
    assert (given["status"], given["token_type"], given["expires_in"]) == (200, "Bearer", 3600)
    token = given["access_token"]
    asked = {
        "action": "Whisper",
        "sendCallTo": "0003*024",
        "private": "0",
        "waitForPickup": "20",
        "phoneCallViewId": "01",
    }
    path = f"@me/0003*210/{call.id}"
    accepted = await client.put(path, token, asked)
    assert accepted.status == 202
    assert accepted.body["link"]["self"] == f"{client.server.url}/uapi/phoneCalls/{path}"
    api = Api(client.http, client.server.url, token)
    shown = await api.until(f"{path}/", lambda a: "02" in views(a), "the whisper in force")
    assert views(shown)["02"]["source"] == ["0003*024"]
    followed = await api.request("GET", accepted.body["link"]["self"])
    assert followed.body == shown.body
    await supervisor.hang_up()
    await api.until(path, lambda a: list(views(a)) == ["01"], "the end of the whisper")


async def test_a_wrong_secret_gets_nothing_and_rings_nobody(
    client: Client, stage: Stage, call: Call
) -> None:
    refused = await client.token(SECRET + "0")
    assert (refused["status"], refused["error"]) == (401, "invalid_client")
    answer = await client.put(f"@me/0003*210/{call.id}", "no.token.at-all", {"action": "Whisper"})
    assert (answer.status, answer.code) == (401, "access_denied")
    assert not await stage.whisper_legs()


async def test_who_does_not_trust_the_authority_says_nothing(client: Client) -> None:
    """Such a client ends the handshake before it sends its secret."""
    async with aiohttp.ClientSession() as stranger:
        with pytest.raises(aiohttp.ClientConnectorCertificateError):
            await Client(client.server, stranger).token()
