"""Whom the PBX knows: the extensions of the directory, and those that are discovered."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from bridge import actions
from bridge.actions import Pbx
from bridge.checking.findings import ENOUGH, Finding, Verdict
from bridge.directory import Directory
from bridge.model import Extension, ExtensionType

AT_ONCE: Final = 20
"""Phones that are asked for at a time."""

MOST_NAMED: Final = 5
"""Phones that a finding names."""


async def extensions(pbx: Pbx, written: Iterable[Extension]) -> list[Finding]:
    """Whether the PBX knows the phones that are written down, and whether they are registered."""
    phones = [known for known in written if known.type is ExtensionType.PHONE]
    states: dict[str, list[Extension]] = {}
    for first in range(0, len(phones), AT_ONCE):
        some = phones[first : first + AT_ONCE]
        asked = (pbx.send(actions.device_state(phone.endpoint)) for phone in some)
        for phone, answer in zip(some, await asyncio.gather(*asked), strict=True):
            states.setdefault(answer.headers.get("Value", ""), []).append(phone)
    return list(_told(states, len(phones)))


def _told(states: Mapping[str, Sequence[Extension]], phones: int) -> Iterable[Finding]:
    unknown, away = states.get("INVALID", ()), states.get("UNAVAILABLE", ())
    if unknown:
        said = f"the PBX knows no endpoint {_named(unknown)}"
        remedy = "in the directory: endpoint = as `pjsip show endpoints` names it"
        yield Finding("extensions", Verdict.FAILURE, said, remedy)
    else:
        yield Finding("extensions", Verdict.OK, f"the PBX knows all {phones} phones")
    if away:
        said = f"{len(away)} of {phones} are not registered: {_named(away)}"
        yield Finding("phones", Verdict.WARNING, said, "look at their SIP accounts and network")
    else:
        yield Finding("phones", Verdict.OK, "all are registered")


async def discovered(pbx: Pbx, directory: Directory) -> Finding:
    """Whose devices fit a pattern: all phones, it is to be hoped, and no trunk."""
    answer = await pbx.send(actions.list_devices())
    if not answer.success:
        said = f"the PBX does not list its devices: {answer.message}"
        return Finding("discovered", Verdict.UNKNOWN, said, ENOUGH)
    written = {extension.number for extension in directory.extensions()}
    fitting = [directory.by_endpoint(item.get("Device", "")) for item in answer.items]
    found = [one for one in fitting if one is not None and one.number not in written]
    if found:
        said = f"devices of the PBX that fit a pattern: {_named(found)}"
        return Finding("discovered", Verdict.OK, said)
    said = "no device of the PBX fits a [[discovery]] pattern"
    remedy = "in the directory: endpoint = as `core show channels` names a phone in a call"
    return Finding("discovered", Verdict.WARNING, said, remedy)


def _named(extensions: Sequence[Extension]) -> str:
    names = [extension.endpoint for extension in extensions[:MOST_NAMED]]
    more = len(extensions) - len(names)
    return ", ".join(names) + (f" and {more} more" if more else "")
