"""Who may whisper, how many, and what a supervisor can and cannot do with his leg."""

import asyncio

from .cast import Cast
from .plain import IN, PLAIN, WHISPER, WHISPERED
from .world import scene


@scene("two supervisors on one agent are mixed")
async def two_supervisors(cast: Cast) -> None:
    await cast.dial("customer", "agent")
    await cast.whisper()
    await cast.whisper("deputy")
    second = "03 agent on call, local, deputy > agent, Deputy <deputy>"
    await cast.expect("during", [IN, WHISPER, second])
    await cast.hears(
        "during",
        agent="customer supervisor deputy",
        customer="agent",
        supervisor="agent customer",
        deputy="agent customer",
    )
    await cast.supervisor.hang_up()
    await cast.expect("one has left", [IN, second])
    await cast.hears("one has left", agent="customer deputy", customer="agent")


@scene("one supervisor twice is one session")
async def twice(cast: Cast) -> None:
    await cast.dial("customer", "agent")
    await cast.whisper()
    mark = cast.supervisor.events.mark()
    assert (await cast.ask()).status == 202
    await cast.expect("asked again", [IN, WHISPER])
    assert len(await cast.legs()) == 1
    await cast.hears("asked again", **WHISPERED)
    later = {event.type for event in cast.supervisor.events.entries[mark:]}
    assert not later & {"CALL_INCOMING", "CALL_ESTABLISHED"}
    cast.note("the phone did not ring again; one leg")


@scene("supervisor on himself, supervisor a party of the call: refused")
async def himself(cast: Cast) -> None:
    await cast.dial("colleague", "agent")
    await cast.call_of()
    await cast.refused("on himself", "pc_sendcallto_invalid", by="agent")
    await cast.refused("a party of the call", "pc_sendcallto_invalid", by="colleague")
    await cast.refused("a party, the other way", "pc_sendcallto_invalid", "agent", "colleague")
    assert not await cast.legs()


@scene("the supervisor's phone is busy: a clear outcome, nothing left behind")
async def busy(cast: Cast) -> None:
    await cast.dial("customer", "agent")
    answer = await cast.ask("busy")
    assert answer.status == 202
    await cast.no_legs()
    await cast.expect("after", [IN])
    async with asyncio.timeout(3):
        while "reason=busy" not in cast.logged():
            await asyncio.sleep(0.02)
    cast.note("asked: 202; the log says busy")
    await cast.whisper()
    await cast.expect("another supervisor then", [IN, WHISPER])


@scene("at most three whisper to a view: the fourth is refused")
async def fourth(cast: Cast) -> None:
    await cast.dial("customer", "agent")
    for by in ("supervisor", "deputy", "colleague"):
        await cast.whisper(by)
    await cast.refused("the fourth", "pc_phonecallview_invalid", by="busy")
    assert len(await cast.legs()) == 3
    await cast.hears("three", agent="customer supervisor deputy colleague", customer="agent")
    await cast.deputy.hang_up()
    await cast.expect(
        "one has left",
        [IN, WHISPER, "04 agent on call, local, colleague > agent, Colleague <colleague>"],
    )
    await cast.whisper("deputy")
    assert len(await cast.legs()) == 3
    cast.note("when one has left, another is admitted")


def _keys(keys: str) -> None:
    @scene(f"the supervisor presses {keys}: he reaches nobody else, nobody else hears him")
    async def play(cast: Cast) -> None:
        await cast.dial("stranger", "colleague")
        await cast.dial("customer", "agent")
        await cast.whisper()
        await cast.hears("before", **WHISPERED)
        await cast.supervisor.press(keys)
        await cast.hears(
            "after the keys", customer="agent", stranger="colleague", colleague="stranger"
        )
        await cast.never_heard("supervisor", "colleague", "stranger")
        await cast.never_heard("colleague", "supervisor", "agent", "customer")
        legs = await cast.legs()
        agent = (await cast.channel("agent"))["Uniqueid"]
        assert all(leg["ApplicationData"] == f"{agent},uqwES" for leg in legs)
        cast.note("the whisper goes on" if legs else "the whisper has ended")
        await cast.hears("at the agent", agent="customer supervisor" if legs else "customer")


for _pressed in ("*", "#", "123#", "6", "456"):
    _keys(_pressed)


@scene("the supervisor transfers his spy leg to an outsider: hung up within a second")
async def taken_over(cast: Cast) -> None:
    await cast.dial("customer", "agent")
    await cast.whisper()
    await cast.expect("before", [IN, WHISPER])
    held, consulted = await cast.consult("supervisor", "stranger")
    mark = cast.stranger.events.mark()
    loop = asyncio.get_running_loop()
    began = loop.time()
    await cast.supervisor.introduce(held, consulted)
    await cast.stranger.closed(within=2, since=mark)
    took = loop.time() - began
    assert took < 1.0, took
    await cast.expect("after", [IN])
    await cast.hears("after", **PLAIN)
    assert "ALARM" in cast.logged()
    cast.note("the outsider was hung up within a second, and the log has the ALARM")


@scene("the supervisor sends his spy leg to an outsider, unannounced")
async def sent_away(cast: Cast) -> None:
    await cast.dial("customer", "agent")
    await cast.whisper()
    await cast.supervisor.transfer(cast.no("stranger"))
    await cast.expect("after", [IN])
    await cast.no_legs()
    await cast.hears("after", **PLAIN)
    await cast.never_heard("stranger", "agent", "customer")


@scene("private: the supervisor hears nobody")
async def private(cast: Cast) -> None:
    await cast.dial("customer", "agent")
    await cast.whisper(private=1)
    await cast.expect("during", [IN, WHISPER])
    await cast.hears("during", agent="customer supervisor", customer="agent", supervisor="")
    await cast.never_heard("supervisor", "agent", "customer")
