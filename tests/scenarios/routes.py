"""Ways to an agent: queues, Local channels, ring groups, conferences, parking."""

from collections.abc import Callable

from .cast import Cast
from .plain import IN, WHISPER, WHISPERED
from .world import Scene, scene

_ALONE = "01 agent on call, local, agent > service 60, Agent <agent>"
RINGS = "01 agent ringing, incoming, customer > agent, customer <customer>, ringing"


def _through(number: str) -> Scene:
    async def play(cast: Cast) -> None:
        await cast.manual("agent")
        await cast.ring("customer", number, "agent")
        await cast.expect("ringing", [RINGS])
        await cast.refused("a whisper while it rings", "pc_phonecallview_invalid")
        await cast.pick_up("agent")
        await cast.expect("before", [IN])
        await cast.hears("before", agent="customer", customer="agent")
        await cast.whisper()
        await cast.expect("during", [IN, WHISPER])
        await cast.hears("during", **WHISPERED)
        await _the_agents_own_leg(cast)
        await cast.customer.hang_up()
        await cast.expect("after")
        await cast.no_legs()

    return play


async def _the_agents_own_leg(cast: Cast) -> None:
    (leg,) = await cast.legs()
    assert leg["ApplicationData"] == f"{(await cast.channel('agent'))['Uniqueid']},uqwES"
    cast.note("the spy is bound to the agent's device leg by its Uniqueid")


_register: Callable[[str], Callable[[Scene], Scene]] = scene
for _name, _number in {
    "queue with device members": "50",
    "queue with Local members": "51",
    "queue with Local members /n": "52",
    "Local channel that goes away": "20",
    "Local channel that stays (/n)": "21",
}.items():
    _register(_name)(_through(_number))


@scene("forked dialling: losers vanish, the winner's view stays")
async def fork(cast: Cast) -> None:
    await cast.manual("agent", "colleague")
    await cast.ring("customer", "10", "agent", "colleague")
    people = "incoming, customer > {0}, customer <customer>"
    ringing = [
        f"0{n} {role} ringing, {people.format(role)}, ringing"
        for n, role in enumerate(("agent", "colleague"), 1)
    ]
    await cast.expect("ringing", ringing)
    await cast.pick_up("colleague")
    won = f"02 colleague on call, {people.format('colleague')}"
    await cast.expect("answered by the second", [won])
    await cast.refused("a whisper to the loser", "pc_phonecallview_invalid", **_first(cast))
    await cast.whisper(to="colleague")
    whisper = "03 colleague on call, local, supervisor > colleague, Supervisor <supervisor>"
    await cast.expect("during", [won, whisper])
    await cast.hears(
        "during",
        colleague="customer supervisor",
        customer="colleague",
        supervisor="colleague customer",
    )


def _first(cast: Cast) -> dict[str, str]:
    return {"to": "colleague", "view": "01"}


@scene("ConfBridge: the whisper reaches the agent only")
async def conference(cast: Cast) -> None:
    await cast.dial("agent", "60")
    alone = _ALONE
    await cast.expect("the agent alone", [alone])
    await cast.refused("a whisper to him alone", "pc_phonecallview_invalid")
    await cast.dial("customer", "60")
    await cast.dial("stranger", "60")
    await cast.expect("before", [alone])
    await cast.whisper()
    await cast.expect("during", [alone, WHISPER])
    await cast.hears(
        "during",
        agent="customer stranger supervisor",
        customer="agent stranger",
        stranger="agent customer",
        supervisor="agent customer stranger",
    )
    await cast.customer.hang_up()
    await cast.hears("one has left", agent="stranger supervisor", stranger="agent")
    await cast.agent.hang_up()
    await cast.no_legs()


@scene("ConfBridge with somebody on hold: the whisper is heard, the answer does not warn")
async def conference_on_hold(cast: Cast) -> None:
    for role in ("agent", "customer", "stranger"):
        await cast.dial(role, "60")
    await cast.expect("before", [_ALONE])
    await cast.next_recording("customer")
    await cast.customer.hold()
    await cast.expect("one holds", [f"{_ALONE}, onHold"])
    answer = await cast.whisper()
    assert "warning" not in answer.body, answer
    await cast.expect("during", [f"{_ALONE}, onHold", WHISPER])
    await cast.hears(
        "during", agent="stranger supervisor", stranger="agent", supervisor="agent stranger"
    )


@scene("parking: two strangers parked at once are two calls")
async def parked(cast: Cast) -> None:
    await cast.dial("customer", "agent")
    await cast.dial("stranger", "colleague")
    other = "01 colleague on call, incoming, stranger > colleague, stranger <stranger>"
    await cast.expect("before", [IN], [other])
    await cast.agent.transfer("700")
    await cast.expect("one parked", [other])
    await cast.colleague.transfer("700")
    await cast.expect("two parked")
    await cast.hears("two parked", customer="music", stranger="music")
    slot = await _slot(cast, "customer")
    await cast.next_recording("agent")
    await cast.agent.dial(slot)
    await cast.hears("the first fetched back", agent="customer", customer="agent", stranger="music")
    await cast.expect("fetched back", [_FETCHED])
    await cast.whisper()
    await cast.hears("a whisper then", **WHISPERED, stranger="music")


_FETCHED = "02 agent on call, local, agent > a parking slot, Agent <agent>"


async def _slot(cast: Cast, role: str) -> str:
    parked = await cast.observer.rows("ParkedCalls")
    mine = (await cast.channel(role))["Uniqueid"]
    return next(row["ParkingSpace"] for row in parked if row["ParkeeUniqueid"] == mine)


@scene("parking: a parked extension cannot be whispered to")
async def agent_parked(cast: Cast) -> None:
    await cast.dial("colleague", "agent")
    people = "local, colleague > agent, Colleague <colleague>"
    await cast.expect("before", [f"01 colleague on call, {people}", f"02 agent on call, {people}"])
    await cast.colleague.transfer("700")
    await cast.expect("parked", [f"02 agent on call, {people}, parked"])
    await cast.refused("a whisper", "pc_phonecallview_invalid")
    assert not await cast.legs()
