"""Hanging up on request: a call, a party, a whisper."""

from .cast import Cast
from .plain import IN, PLAIN, WHISPER, WHISPERED
from .told import lines
from .world import scene


async def _hung_up(cast: Cast, party: str = "") -> list[str]:
    answer = await cast.hang_up(party)
    assert answer.status == 200, answer
    (call,) = answer.body
    return lines(call, cast.number) if call["phoneCallView"] else []


@scene("hanging up a call: everybody is gone, the supervisor too")
async def all_of_it(cast: Cast) -> None:
    await cast.dial("customer", "agent")
    await cast.whisper()
    await cast.expect("before", [IN, WHISPER])
    marks = {role: cast.phones[role].events.mark() for role in ("agent", "customer", "supervisor")}
    assert await _hung_up(cast) == [IN, WHISPER]
    assert await cast.shown() == []
    for role, mark in marks.items():
        await cast.phones[role].closed(since=mark)
    cast.note("200 with both views; then nothing is shown, and all three phones have ended")


@scene("hanging up the supervisor: his whisper ends, the call goes on")
async def the_supervisor(cast: Cast) -> None:
    await cast.dial("customer", "agent")
    await cast.whisper()
    await cast.hears("before", **WHISPERED)
    mark = cast.supervisor.events.mark()
    assert await _hung_up(cast, "supervisor") == [WHISPER]
    await cast.supervisor.closed(since=mark)
    await cast.expect("after", [IN])
    await cast.hears("after", **PLAIN)
    assert (await cast.hang_up("supervisor")).status == 204
    cast.note("once more: 204")


@scene("hanging up the supervisor while his phone rings")
async def while_it_rings(cast: Cast) -> None:
    await cast.manual("supervisor")
    await cast.dial("customer", "agent")
    mark = cast.supervisor.events.mark()
    assert (await cast.ask()).status == 202
    await cast.supervisor.incoming(since=mark)
    assert await _hung_up(cast, "supervisor") == []
    await cast.supervisor.closed(since=mark)
    await cast.expect("after", [IN])
    assert not await cast.legs()


@scene("hanging up one party of a conference: the others go on")
async def one_of_three(cast: Cast) -> None:
    for caller in ("agent", "customer", "colleague"):
        await cast.dial(caller, "60")
    both = {"agent": "customer colleague", "colleague": "agent customer"}
    await cast.hears("before", customer="agent colleague", **both)
    mark = cast.customer.events.mark()
    answer = await cast.hang_up("customer")
    assert answer.status == 200, answer
    await cast.customer.closed(since=mark)
    await cast.hears("after", agent="colleague", colleague="agent")
    assert (await cast.hang_up("stranger")).status == 204
    cast.note("the customer alone; somebody who is not there: 204")


@scene("hanging up a call that rings")
async def ringing(cast: Cast) -> None:
    await cast.manual("agent")
    await cast.ring("customer", "agent")
    marks = {role: cast.phones[role].events.mark() for role in ("agent", "customer")}
    answer = await cast.hang_up()
    assert answer.status == 200, answer
    for role, mark in marks.items():
        await cast.phones[role].closed(since=mark)
    await cast.expect("after")
