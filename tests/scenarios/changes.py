"""What becomes of calls and of whispers in them: hold, transfers, redirects."""

import os
import signal

from bridge.versions import heard_in_silence

from .cast import Cast
from .plain import IN, WHISPER, WHISPERED
from .world import scene

BY_AGENT = f"{IN}, onHold, holder"
BY_CUSTOMER = f"{IN}, onHold"


@scene("hold by the agent, with music")
async def hold_by_agent(cast: Cast) -> None:
    await _whispering(cast)
    await _hold(cast, "agent")
    await cast.expect("held", [BY_AGENT, WHISPER])
    await cast.hears("held", agent="", customer="music")
    await _resume(cast, "agent")
    await cast.expect("resumed", [IN, WHISPER])
    await cast.hears("resumed", **WHISPERED)


@scene("hold by the customer, with music")
async def hold_by_customer(cast: Cast) -> None:
    await _whispering(cast)
    await _hold(cast, "customer")
    await cast.expect("held", [BY_CUSTOMER, WHISPER])
    await cast.hears("held", agent="music supervisor")
    await _warned(cast, False, "deputy")
    await cast.hears("a second whisper", agent="music supervisor deputy")
    await cast.deputy.hang_up()
    await _resume(cast, "customer")
    await cast.expect("resumed", [IN, WHISPER])
    await cast.hears("resumed", **WHISPERED)


@scene("asked for while the agent holds: nobody is heard by him, and the answer warns")
async def asked_while_agent_holds(cast: Cast) -> None:
    await cast.dial("customer", "agent")
    await _hold(cast, "agent")
    await cast.expect("before", [BY_AGENT])
    await _warned(cast, True)
    await cast.expect("during", [BY_AGENT, WHISPER])
    await cast.hears("during", agent="")
    await _resume(cast, "agent")
    await cast.expect("resumed", [IN, WHISPER])
    await cast.hears("resumed", **WHISPERED)


@scene("asked for while the customer holds: the answer warns if it is not heard")
async def asked_while_customer_holds(cast: Cast) -> None:
    heard = heard_in_silence(cast.version)
    await cast.dial("customer", "agent")
    await _hold(cast, "customer")
    await cast.expect("before", [BY_CUSTOMER])
    await cast.hears("before", agent="music")
    await _warned(cast, not heard)
    await cast.expect("during", [BY_CUSTOMER, WHISPER])
    # Asterisk stops the music when it takes the sound off the direct way between the two.
    await cast.hears("during", agent="supervisor" if heard else "")
    assert ("warning" in (await cast.ask()).body) is not heard
    await _resume(cast, "customer")
    await cast.expect("resumed", [IN, WHISPER])
    await cast.hears("resumed", **WHISPERED)


@scene("the customer's phone sends nothing")
async def silent_customer(cast: Cast) -> None:
    heard = heard_in_silence(cast.version)
    await cast.dial("customer", "agent")
    await cast.expect("before", [IN])
    os.kill(cast.customer.pid, signal.SIGSTOP)
    try:
        await cast.whisper()
        await cast.hears("silent", agent="supervisor" if heard else "", supervisor="agent")
    finally:
        os.kill(cast.customer.pid, signal.SIGCONT)
    await cast.hears("he speaks again", **WHISPERED)


async def _whispering(cast: Cast) -> None:
    await cast.dial("customer", "agent")
    await cast.whisper()
    await cast.expect("before", [IN, WHISPER])
    await cast.hears("before", **WHISPERED)


async def _hold(cast: Cast, role: str) -> None:
    await cast.next_recording(role)
    await cast.phones[role].hold()


async def _resume(cast: Cast, role: str) -> None:
    await cast.next_recording(role)
    await cast.phones[role].resume()


async def _warned(cast: Cast, wanted: bool, by: str = "supervisor") -> None:
    answer = await cast.whisper(by)
    assert ("warning" in answer.body) == wanted, answer
    cast.note(f"asked by the {by}: 202 {'with a' if wanted else 'without'} warning")


@scene("blind transfer by the agent")
async def blind_by_agent(cast: Cast) -> None:
    await cast.dial("customer", "agent")
    await cast.whisper()
    await cast.expect("before", [IN, WHISPER])
    await cast.agent.transfer(cast.no("colleague"))
    after = "03 colleague on call, incoming, customer > colleague, customer <customer>"
    await cast.expect("after", [after])
    await cast.no_legs()
    await cast.hears("after", colleague="customer", customer="colleague")
    cast.note("the whisper ended with the agent's leg")


WITH_COLLEAGUE = [
    "01 agent on call, local, colleague > agent, Colleague <colleague>",
    "03 colleague on call, local, agent > colleague, Agent <agent>",
]


@scene("blind transfer by the customer: the whisper ends")
async def blind_by_customer(cast: Cast) -> None:
    await cast.dial("customer", "agent")
    await cast.whisper()
    await cast.expect("before", [IN, WHISPER])
    await cast.customer.transfer(cast.no("colleague"))
    await cast.no_legs()
    await cast.expect("after", WITH_COLLEAGUE)
    await cast.hears("after", agent="colleague", colleague="agent")
    await cast.never_heard("supervisor", "colleague")
    await cast.never_heard("colleague", "supervisor")


@scene("blind transfer by the customer: the whisper is kept by BRIDGE_FOLLOW_TARGET")
async def kept(cast: Cast) -> None:
    await cast.dial("customer", "agent")
    await cast.call_of()
    with cast.asking_the_follower():
        await cast.whisper()
        await cast.expect("before", [IN, WHISPER])
        await cast.hears("before", **WHISPERED)
        await cast.customer.transfer(cast.no("colleague"))
        first, second = WITH_COLLEAGUE
        await cast.expect("after", [first, WHISPER, second])
        await cast.hears("after", colleague="agent", **_kept_sound(cast))


def _kept_sound(cast: Cast) -> dict[str, str]:
    """Who hears whom on a kept whisper, where the version leaves no doubt.

    Asterisk 22 drops what a spied channel is sent when its RTP sequence numbers go back, as they
    do every other time when the sender is another phone: then there is no whisper to be heard.
    """
    if cast.kind.asterisk != "16":
        return {}
    return {"agent": "colleague supervisor", "supervisor": "agent colleague"}


@scene("attended transfer by the agent")
async def attended_by_agent(cast: Cast) -> None:
    await cast.dial("customer", "agent")
    await cast.whisper()
    await cast.expect("before", [IN, WHISPER])
    held, consulted = await cast.consult("agent", "colleague")
    asking = [
        "01 agent on call, local, agent > colleague, Agent <agent>",
        "02 colleague on call, local, agent > colleague, Agent <agent>",
    ]
    await cast.expect("consulting", [BY_AGENT, WHISPER], asking)
    await cast.agent.introduce(held, consulted)
    after = "04 colleague on call, incoming, customer > colleague, customer <customer>"
    await cast.expect("after", [after])
    await cast.no_legs()
    await cast.hears("after", colleague="customer", customer="colleague")
    await cast.never_heard("colleague", "supervisor")


@scene("attended transfer by the customer")
async def attended_by_customer(cast: Cast) -> None:
    await cast.dial("customer", "agent")
    await cast.whisper()
    await cast.expect("before", [IN, WHISPER])
    held, consulted = await cast.consult("customer", "colleague")
    asking = "01 colleague on call, incoming, customer > colleague, customer <customer>"
    await cast.expect("consulting", [BY_CUSTOMER, WHISPER], [asking])
    await cast.customer.introduce(held, consulted)
    await cast.no_legs()
    await cast.expect("after", WITH_COLLEAGUE)
    await cast.hears("after", agent="colleague", colleague="agent")
    await cast.never_heard("colleague", "supervisor")


async def _redirect(cast: Cast, role: str, exten: str) -> None:
    await cast.observer.action(
        "Redirect",
        Channel=(await cast.channel(role))["Channel"],
        Context="cast-phones",
        Exten=exten,
        Priority="1",
    )


@scene("AMI redirect of the agent to somebody else: the whisper ends")
async def redirected(cast: Cast) -> None:
    await cast.dial("customer", "agent")
    await cast.whisper()
    await cast.expect("before", [IN, WHISPER])
    await _redirect(cast, "agent", cast.no("colleague"))
    await cast.no_legs()
    await cast.expect("after", WITH_COLLEAGUE)
    await cast.hears("after", agent="colleague", colleague="agent")
    await cast.never_heard("colleague", "supervisor")


@scene("AMI redirect of the agent to an application: he talks to nobody")
async def redirected_alone(cast: Cast) -> None:
    await cast.dial("customer", "agent")
    await cast.whisper()
    await cast.expect("before", [IN, WHISPER])
    await _redirect(cast, "agent", cast.service("70"))
    alone = "01 agent on call, local, customer > agent, customer <customer>"
    await cast.expect("after", [alone, WHISPER])
    await cast.refused("a whisper of another", "pc_phonecallview_invalid", by="deputy")
    await cast.agent.hang_up()
    await cast.no_legs()


@scene("the agent hangs up under a whisper")
async def agent_leaves(cast: Cast) -> None:
    await cast.dial("customer", "agent")
    await cast.whisper()
    await cast.hears("before", **WHISPERED)
    await cast.agent.hang_up()
    await cast.expect("after")
    await cast.no_legs()


@scene("attended transfer to the agent: the whisper on the consultation ends")
async def attended_to_agent(cast: Cast) -> None:
    await cast.dial("customer", "colleague")
    theirs = "01 colleague on call, incoming, customer > colleague, customer <customer>"
    await cast.expect("before", [theirs])
    held, consulted = await cast.consult("colleague", "agent")
    asking = [
        "01 colleague on call, local, colleague > agent, Colleague <colleague>",
        "02 agent on call, local, colleague > agent, Colleague <colleague>",
    ]
    whisper = "03 agent on call, local, supervisor > agent, Supervisor <supervisor>"
    await cast.whisper()
    await cast.expect("consulting", [f"{theirs}, onHold, holder"], [*asking, whisper])
    await cast.colleague.introduce(held, consulted)
    await cast.no_legs()
    after = "03 agent on call, incoming, customer > agent, customer <customer>"
    await cast.expect("after", [after])
    await cast.hears("after", agent="customer", customer="agent")
    await cast.whisper()
    await cast.hears("asked again", **WHISPERED)
