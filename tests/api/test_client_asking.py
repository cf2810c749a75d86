"""Asking for something once, and hearing of it or not: services and proxies of every kind."""

import argparse
import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from bridge.cli.taking_part import TakingPart
from bridge.client import Calls, Connection, Cut, Refused, Target, Token, Unreachable
from bridge.lab.ports import free_tcp
from bridge.uapi import AcceptedBody, AttachedBody, PhoneCallBody

from .house import House

AGENT = "0003*210"
ID = "b817d2618fe6f1804333"
ACCEPTED = {"id": ID, "extension": AGENT, "link": {"self": "https://pbx.example.com/x"}}
VIEW = {"id": "01", "extension": AGENT, "status": "5", "source": [], "destination": []}
CALL = {**ACCEPTED, "phoneCallView": [VIEW]}

Answering = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def answering(handler: Answering) -> AsyncIterator[Connection]:
    """A connection to something that answers every request so."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        async with Connection.to(url, Token("x" * 20)) as connection:
            yield connection
    finally:
        await runner.cleanup()


async def acted(handler: Answering, wait: int = 7) -> AttachedBody | AcceptedBody | None:
    async with answering(handler) as connection:
        return await Calls(connection, AGENT).act(ID, {"action": "Whisper"}, wait)


@pytest.mark.parametrize(("wait", "preferred"), [(7, "wait=7"), (120, "wait=50")])
async def test_the_outcome_is_asked_for(wait: int, preferred: str) -> None:
    asked: list[web.Request] = []

    async def attached(request: web.Request) -> web.Response:
        asked.append(request)
        assert await request.json() == {"action": "Whisper"}
        return web.json_response({**CALL, "warning": "nobody may hear it"})

    call = await acted(attached, wait)
    assert isinstance(call, AttachedBody)
    assert (call.id, call.warning) == (ID, "nobody may hear it")
    assert [each.headers["Prefer"] for each in asked] == [preferred]


async def test_a_service_that_does_not_wait_says_what_it_accepted() -> None:
    async def accepted(_: web.Request) -> web.Response:
        return web.json_response(ACCEPTED, status=202)

    assert isinstance(await acted(accepted), AcceptedBody)


async def test_a_call_that_is_over_is_none() -> None:
    async def over(_: web.Request) -> web.Response:
        return web.Response(status=204)

    assert await acted(over) is None


async def test_why_he_does_not_take_part_is_raised() -> None:
    async def busy(_: web.Request) -> web.Response:
        error = {"code": "pc_sendcallto_busy", "message": "Busy."}
        return web.json_response({"error": error}, status=409)

    with pytest.raises(Refused) as raised:
        await acted(busy)
    assert (raised.value.status, raised.value.code) == (409, "pc_sendcallto_busy")
    assert raised.value.body() == {"error": {"code": "pc_sendcallto_busy", "message": "Busy."}}


@pytest.mark.parametrize("status", [502, 504, 524])
async def test_a_proxy_that_has_no_more_patience_leaves_it_open(status: int) -> None:
    async def gateway(_: web.Request) -> web.Response:
        return web.Response(status=status, text="<h1>no</h1>", content_type="text/html")

    with pytest.raises(Cut, match=f"a proxy answers .*status {status}, text/html"):
        await acted(gateway)


async def test_what_was_sent_and_cut_is_left_open_and_sent_once() -> None:
    asked: list[str] = []

    async def cut(request: web.Request) -> web.Response:
        asked.append(request.method)
        assert request.transport
        request.transport.abort()
        return web.Response()

    with pytest.raises(Cut):
        await acted(cut)
    assert asked == ["PUT"]


async def test_what_never_was_sent_is_not_left_open() -> None:
    async with Connection.to(f"http://127.0.0.1:{free_tcp()}", Token("x" * 20)) as connection:
        with pytest.raises(Unreachable, match="Connection refused") as raised:
            await Calls(connection, AGENT).act(ID, {}, 7)
    assert not isinstance(raised.value, Cut)


async def test_the_service_itself_waits_for_who_asks_so(house: House) -> None:
    house.pbx.replies["Originate"] = house.whispers
    body = {"action": "Whisper", "sendCallTo": "0003*024", "phoneCallViewId": "01"}
    async with Connection.to(house.url, Token(house.token)) as connection:
        call = await Calls(connection, AGENT).act(house.call_id, body, 7)
    assert isinstance(call, AttachedBody)
    assert [view.id for view in call.phone_call_view or []] == ["01", "02"]


async def test_who_is_to_be_hung_up_is_hung_up_though_he_is_asked_for_only_then(
    capsys: pytest.CaptureFixture[str],
) -> None:
    on_its_way, known = asyncio.Event(), asyncio.Event()
    answers: list[int] = []

    async def slowly(request: web.Request) -> web.Response:
        if request.method == "PUT":
            on_its_way.set()
            await known.wait()
            return web.json_response(ACCEPTED, status=202)
        answers.append(200 if known.is_set() else 204)
        if len(answers) == 2:
            known.set()
        return web.json_response([CALL]) if answers[-1] == 200 else web.Response(status=204)

    call = PhoneCallBody.model_validate(CALL)
    asked = argparse.Namespace(target=AGENT, by="0003*024", wait=25, mode="whisper", private=False)
    vars(asked).update(caller_id=None, stay=False, hang_up=True, json=False)
    async with answering(slowly) as connection:
        part = TakingPart(connection, asked, Target(call, (call.phone_call_view or [])[0]))
        running = asyncio.create_task(part.run())
        await on_its_way.wait()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
    assert answers == [204, 204, 200]
    assert capsys.readouterr().out.endswith("0003*024 is hung up\n")
