"""Calls as they come: between extensions, from and to a trunk, ringing, two at once, names."""

from .cast import Cast
from .pbx import NAMES
from .world import scene

IN = "01 agent on call, incoming, customer > agent, customer <customer>"
WHISPER = "02 agent on call, local, supervisor > agent, Supervisor <supervisor>"
WHISPERED = {"agent": "customer supervisor", "customer": "agent", "supervisor": "agent customer"}
"""Who hears whom while the supervisor whispers to the agent."""
PLAIN = {"agent": "customer", "customer": "agent"}


@scene("extension to extension, whispering to the called")
async def to_the_called(cast: Cast) -> None:
    both = await _between_extensions(cast)
    whisper = "03 agent on call, local, supervisor > agent, Supervisor <supervisor>"
    await cast.whisper(to="agent")
    await cast.expect("during", [*both, whisper])
    await cast.hears(
        "during", agent="colleague supervisor", colleague="agent", supervisor="agent colleague"
    )
    await cast.supervisor.hang_up()
    await cast.expect("after", both)


@scene("extension to extension, whispering to the caller")
async def to_the_caller(cast: Cast) -> None:
    both = await _between_extensions(cast)
    whisper = "03 colleague on call, local, supervisor > colleague, Supervisor <supervisor>"
    await cast.whisper(to="colleague")
    await cast.expect("during", [*both, whisper])
    await cast.hears(
        "during", agent="colleague", colleague="agent supervisor", supervisor="agent colleague"
    )
    await cast.supervisor.hang_up()
    await cast.expect("after", both)


async def _between_extensions(cast: Cast) -> list[str]:
    await cast.dial("colleague", "agent")
    both = [
        "01 colleague on call, local, colleague > agent, Colleague <colleague>",
        "02 agent on call, local, colleague > agent, Colleague <colleague>",
    ]
    await cast.expect("before", both)
    return both


@scene("inbound from a trunk")
async def inbound(cast: Cast) -> None:
    await cast.dial("customer", "agent")
    await cast.expect("before", [IN])
    await cast.whisper()
    await cast.expect("during", [IN, WHISPER])
    await cast.hears("during", **WHISPERED)
    await cast.supervisor.hang_up()
    await cast.expect("after the whisper", [IN])
    await cast.hears("after the whisper", **PLAIN)
    await cast.customer.hang_up()
    await cast.expect("after the call")


@scene("outbound to a trunk")
async def outbound(cast: Cast) -> None:
    out = "01 agent on call, outgoing, agent > customer, Agent <agent>"
    await cast.dial("agent", "customer")
    await cast.expect("before", [out])
    await cast.whisper()
    await cast.expect("during", [out, WHISPER])
    await cast.hears("during", **WHISPERED)
    await cast.agent.hang_up()
    await cast.expect("after")
    await cast.no_legs()


@scene("ringing, before the answer: inbound")
async def ringing(cast: Cast) -> None:
    await cast.manual("agent")
    await cast.ring("customer", "agent")
    await cast.expect(
        "ringing", ["01 agent ringing, incoming, customer > agent, customer <customer>, ringing"]
    )
    await cast.refused("a whisper", "pc_phonecallview_invalid")
    assert not await cast.legs()
    await cast.pick_up("agent")
    await cast.expect("answered", [IN])


@scene("ringing, before the answer: between extensions")
async def ringing_inside(cast: Cast) -> None:
    await cast.manual("agent")
    await cast.ring("colleague", "agent")
    people = "local, colleague > agent, Colleague <colleague>, ringing"
    await cast.expect(
        "ringing", [f"01 colleague ringing there, {people}", f"02 agent ringing, {people}"]
    )
    await cast.refused("a whisper to the caller", "pc_phonecallview_invalid", to="colleague")
    await cast.refused("a whisper to the called", "pc_phonecallview_invalid")
    await cast.agent.hang_up()
    await cast.expect("declined")


@scene("two calls on one extension")
async def two_calls(cast: Cast) -> None:
    await cast.dial("customer", "agent")
    first = await cast.call_of("agent")
    await cast.next_recording("agent")
    await cast.dial("stranger", "agent")
    other = "01 agent on call, incoming, stranger > agent, stranger <stranger>"
    await cast.expect("before", [IN], [other])
    calls = (await cast.api.get(f"{cast.number}1/@self")).body["entry"]
    (second,) = (call for call in calls if call["id"] != first["id"])
    assert (await cast.ask(call={**first, "id": "0" * 20})).refusal == (400, "pc_honecall_invalid")
    await cast.refused("view 02 of the first", "pc_phonecallview_invalid", call=first, view="02")
    await cast.whisper(call=second)
    await cast.expect("a whisper to the second", [IN], [other, WHISPER])
    await cast.hears("a whisper to the second", supervisor="agent stranger", stranger="agent")
    named = await cast.shown(f"{cast.number}1/@self/{first['id']}")
    assert named == [[IN]]
    cast.note("@self with the id of the first: that call alone")
    await cast.stranger.hang_up()
    await cast.expect("the second over", [IN])
    await cast.no_legs()


@scene("caller names in Cyrillic, Arabic, Chinese, with quotes and backslashes")
async def names(cast: Cast) -> None:
    for index, name in enumerate(NAMES):
        exten = cast.service(f"8{index}")
        await cast.observer.action("Setvar", Variable=f"NAME{exten}", Value=name)
        await cast.dial("customer", f"8{index}")
        await cast.expect(
            "shown", [f"01 agent on call, incoming, customer > agent, {name} <customer>"]
        )
        mark = cast.customer.events.mark()
        await cast.customer.hang_up()
        await cast.customer.closed(since=mark)
        await cast.expect("after")
        await cast.next_recording("customer")
        await cast.next_recording("agent")
    cast.note(f"{len(NAMES)} names, each as it was given")


@scene("a voice menu: answered, and nobody to talk to")
async def voice_menu(cast: Cast) -> None:
    await cast.dial("agent", "70")
    alone = "01 agent on call, local, agent > service 70, Agent <agent>"
    await cast.expect("before", [alone])
    await cast.refused("a whisper", "pc_phonecallview_invalid")
    assert not await cast.legs()
