"""Who plays in the lab."""

from dataclasses import dataclass

from bridge.lab import tones


@dataclass(frozen=True)
class Role:
    """One of the three: what he is, his number, and the tone his phone plays."""

    name: str
    number: str
    tone_hz: int


AGENT = Role("agent", "0003*210", tones.AGENT_HZ)
CUSTOMER = Role("customer", "7778888", tones.CUSTOMER_HZ)
SUPERVISOR = Role("supervisor", "0003*024", tones.SUPERVISOR_HZ)

ROLES = {role.name: role for role in (AGENT, CUSTOMER, SUPERVISOR)}
GUEST = "0003*025"
"""The number of a supervisor who comes with a softphone of his own."""
