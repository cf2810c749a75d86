"""Health, readiness and metrics on a real socket, and who gets to see them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from ipaddress import ip_network
from typing import Any

import aiohttp
import pytest

from bridge.addresses import Proxies
from bridge.api import Site, Watch, serving
from bridge.events import Listed
from bridge.health import Health, Trouble
from bridge.metrics import Metrics
from bridge.service import Service
from tests.support.directory import DIRECTORY
from tests.support.pbx import FakePbx
from tests.support.scene import EPOCH

from .house import DESCRIPTION, LIMIT, TOKENS, nothing

PATHS = ("/healthz", "/readyz", "/metrics")


@dataclass
class Link:
    """A link with its trouble."""

    trouble: Trouble | None = None


@dataclass
class Desk:
    """The API, and what may be wrong behind it."""

    url: str
    http: aiohttp.ClientSession
    service: Service
    link: Link = field(default_factory=Link)

    async def get(self, path: str, **headers: str) -> tuple[int, Any]:
        """Ask for a path without a token."""
        async with self.http.get(self.url + path, headers=headers) as answer:
            body = await answer.read()
            DESCRIPTION.check("GET", path, answer.status, answer.headers, body)
            json = answer.content_type == "application/json"
            return answer.status, await answer.json() if json else await answer.text()


@asynccontextmanager
async def a_desk(near: str = "127.0.0.0/8", proxies: str = "") -> AsyncIterator[Desk]:
    link, metrics = Link(), Metrics()
    trusted = Proxies([ip_network(proxies)] if proxies else [])
    health = Health(link, EPOCH)
    service = Service(DIRECTORY, FakePbx(), listeners=[health, metrics])
    watch = Watch(health.readiness, metrics.text, [ip_network(near)])
    site = Site(service, TOKENS, "https://pbx.example.com", proxies=trusted, watch=watch)
    async with (
        serving(site, nothing(), "127.0.0.1", 0) as (host, port),
        aiohttp.ClientSession(timeout=LIMIT) as http,
    ):
        yield Desk(f"http://{host}:{port}", http, service, link)
        await service.close()


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    async with a_desk() as desk:
        yield desk


async def test_it_is_alive_and_not_ready_before_the_picture_is_complete(desk: Desk) -> None:
    assert await desk.get("/healthz") == (200, {"alive": True})
    status, said = await desk.get("/readyz")
    assert (status, said["ready"], said["reason"]) == (503, False, "starting")
    assert datetime.fromisoformat(said["since"]).timestamp() == EPOCH


async def test_it_is_ready_since_the_picture_is_complete(desk: Desk) -> None:
    desk.service.on_restored([], [])
    status, said = await desk.get("/readyz")
    assert (status, said["ready"]) == (200, True)
    assert datetime.fromisoformat(said["since"]).timestamp() > EPOCH
    assert said.keys() == {"ready", "since"}


@pytest.mark.parametrize("trouble", Trouble)
async def test_what_is_wrong_is_said_plainly(desk: Desk, trouble: Trouble) -> None:
    listing: list[Listed] = []
    desk.service.on_restored(listing, [])
    desk.service.on_lost()
    desk.link.trouble = trouble
    status, said = await desk.get("/readyz")
    assert (status, said["reason"]) == (503, trouble.name.lower())
    assert said["message"] == trouble.value
    assert datetime.fromisoformat(said["since"]).timestamp() > EPOCH


async def test_it_shows_metrics_of_requests_by_route(desk: Desk) -> None:
    for path in ("/uapi/phoneCalls/12/0003*210", "/0003*210", "/uapi/phoneCalls/12/0003*211/"):
        await desk.get(path)
    status, text = await desk.get("/metrics")
    assert status == 200
    route = 'route="/uapi/phoneCalls/{userId}/{extension}"'
    assert f'requests_total{{method="GET",{route},status="401"}} 2.0' in text
    assert 'requests_total{method="GET",route="(no route)",status="404"} 1.0' in text
    assert "0003*" not in text


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded", "X-Real-IP"])
async def test_what_a_proxy_passes_on_finds_nothing(desk: Desk, path: str, header: str) -> None:
    status, said = await desk.get(path, **{header: "127.0.0.1"})
    assert (status, said["error"]["code"]) == (404, "not_found")


@pytest.mark.parametrize("path", PATHS)
async def test_who_is_not_near_finds_nothing(path: str) -> None:
    async with a_desk(near="10.0.0.0/8") as desk:
        status, said = await desk.get(path)
        assert (status, said["error"]["code"]) == (404, "not_found")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"X-Forwarded-For": "10.0.0.7"}, 200),
        ({"X-Forwarded-For": "10.0.0.7, 192.0.2.1"}, 404),
        ({"X-Forwarded-For": "192.0.2.1, 10.0.0.7"}, 200),
        ({"X-Real-IP": "10.0.0.7"}, 404),
        ({}, 404),
    ],
)
async def test_through_a_trusted_proxy_it_is_the_client_that_counts(
    headers: dict[str, str], status: int
) -> None:
    async with a_desk(near="10.0.0.0/8", proxies="127.0.0.1") as desk:
        assert (await desk.get("/metrics", **headers))[0] == status


@pytest.mark.parametrize("path", PATHS)
async def test_there_is_nothing_to_change(desk: Desk, path: str) -> None:
    async with desk.http.post(desk.url + path) as answer:
        assert answer.status == 405
