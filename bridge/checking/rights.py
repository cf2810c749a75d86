"""What the AMI user may, and what it is told."""

import re
import secrets
from collections.abc import Mapping
from typing import Final

from bridge import actions
from bridge.actions import Pbx
from bridge.checking.findings import ENOUGH, Finding, Verdict
from bridge.checking.probe import Probe

NEEDED: Final = (
    *("BridgeList", "CoreSettings", "Getvar", "Hangup"),
    *("Originate", "Ping", "Setvar", "Status"),
)
"""Actions the bridge sends."""

RIGHTS: Final = frozenset({"call", "originate", "reporting"})
"""Classes of actions that are enough (Asterisk documentation, AMI, manager.conf)."""

NOWHERE: Final = "PJSIP/whisper-bridge-check"
"""An endpoint nobody has."""

_PRIVILEGE = re.compile(r"\(Priv: ([a-z,]+)\)$")


async def granted(pbx: Pbx) -> Finding:
    """Whether it has the rights the bridge needs, and no other."""
    answer = await pbx.send(actions.list_commands())
    if not answer.success:
        said = f"the PBX does not list what the user may do: {answer.message}"
        return Finding("rights", Verdict.UNKNOWN, said)
    missing = [name for name in NEEDED if name not in answer.headers]
    excess = sorted(_classes(answer.headers) - RIGHTS)
    if missing:
        said = f"the AMI user may not {', '.join(missing)}"
        return Finding("rights", Verdict.FAILURE, said, ENOUGH)
    if excess:
        said = f"the AMI user may more than it needs: {', '.join(excess)}"
        return Finding("rights", Verdict.WARNING, said, ENOUGH)
    return Finding("rights", Verdict.OK, "enough and no more")


def _classes(commands: Mapping[str, str]) -> set[str]:
    """The classes that are needed for some action on the list and cannot be told otherwise."""
    found = (_PRIVILEGE.search(text) for text in commands.values())
    classes = ({*match[1].split(",")} - {"all"} for match in found if match)
    return {name for needed in classes if not needed & RIGHTS for name in needed}


async def events(pbx: Pbx, probe: Probe) -> Finding:
    """Whether a call can be originated and its outcome is told: one to nowhere."""
    leg = f"whisper-bridge-check-{secrets.token_hex(6)}"
    answer = await pbx.send(actions.originate_nowhere(leg, NOWHERE))
    if not answer.success:
        said = f"the PBX refuses to originate: {answer.message}"
        return Finding("events", Verdict.FAILURE, said, ENOUGH)
    if await probe.originated(leg) is not None:
        return Finding("events", Verdict.OK, "calls can be originated, and their events arrive")
    said = "the PBX does not tell what becomes of a call"
    return Finding("events", Verdict.FAILURE, said, ENOUGH)
