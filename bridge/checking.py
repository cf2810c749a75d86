"""Whether all is well between the bridge and one PBX, as findings an operator can act on.

No phone rings for it: what a whisper needs is asked for, and a call is tried to an endpoint that
does not exist.
"""

import asyncio
import re
import secrets
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum

from bridge import actions, versions
from bridge.actions import Pbx
from bridge.directory import Directory
from bridge.errors import PbxUnavailable
from bridge.events import Event, HungUp, Listed, Originated
from bridge.model import NOTICE_PREFIX, Extension, ExtensionType
from bridge.notifying import PLAYED

NEEDED = (
    *("BridgeList", "CoreSettings", "Getvar", "Hangup"),
    *("Originate", "Ping", "Setvar", "Status"),
)
"""Actions the bridge sends."""

RIGHTS = frozenset({"call", "originate", "reporting"})
"""Classes of actions that are enough (Asterisk documentation, AMI, manager.conf)."""

NOWHERE = "PJSIP/whisper-bridge-check"
"""An endpoint nobody has."""

LARGEST_SKEW = 2.0
"""Seconds by which the clocks may differ before somebody compares their logs in vain."""

AT_ONCE = 20
ANSWER_LIMIT = 3.0
MOST_NAMED = 5

_ENOUGH = "in manager.d/whisper-bridge.conf: read = call and write = originate,call,reporting"
_PRIVILEGE = re.compile(r"\(Priv: ([a-z,]+)\)$")


class Verdict(StrEnum):
    """How something stands."""

    OK = "ok"
    WARNING = "warning"
    FAILURE = "failure"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Finding:
    """What was looked at, how it stands, and what to change where that is known."""

    subject: str
    verdict: Verdict
    said: str
    remedy: str = ""


class Probe:
    """Listens to a link on behalf of the checks: whether it came up, and what it was told."""

    def __init__(self) -> None:
        self.up = asyncio.Event()
        self.channels = 0
        self._originated: dict[str, bool] = {}
        self._ended: dict[str, int] = {}
        self._heard = asyncio.Event()

    def on_event(self, event: Event) -> None:
        """One event."""
        if isinstance(event, Originated):
            self._originated[event.uniqueid] = event.success
        elif isinstance(event, HungUp):
            self._ended[event.channel.uniqueid] = event.cause
        else:
            return
        self._heard.set()

    def on_restored(
        self, listing: Sequence[Listed], holding: Iterable[str], version: str = ""
    ) -> None:
        """The picture is complete."""
        self.channels = len(listing)
        self.up.set()

    def on_lost(self, quiet: float = 0.0) -> None:
        """The link is gone."""
        self.up.clear()

    async def originated(self, leg: str) -> bool | None:
        """Wait a while for the outcome of a call: whether it was set up, None if nobody told."""
        await self._wait_for(lambda: leg in self._originated)
        return self._originated.get(leg)

    async def ended(self, uniqueid: str) -> int | None:
        """Wait a while for the end of a channel; its cause (ITU-T Q.850), None if it lives on."""
        await self._wait_for(lambda: uniqueid in self._ended)
        return self._ended.get(uniqueid)

    async def _wait_for(self, heard: Callable[[], bool]) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(ANSWER_LIMIT):
                while not heard():
                    self._heard.clear()
                    await self._heard.wait()


async def check_pbx(
    pbx: Pbx, probe: Probe, directory: Directory | None, where: str, *, keys: bool
) -> list[Finding]:
    """Look at everything a whisper needs of the PBX.

    ``pbx`` is the link that ``probe`` listens to and that is up, ``directory`` None if there is no
    good one, ``where`` says how it is reached, ``keys`` whether keys are to be followed. A link
    that goes meanwhile is a finding too.
    """
    findings = [Finding("AMI", Verdict.OK, f"logged in at {where}, {probe.channels} channels")]
    try:
        findings += await _rights(pbx)
        findings.append(await _events(pbx, probe))
        findings.append(await _module(pbx, "ChanSpy", "app_chanspy"))
        without = ": nobody can listen only, whisper in private, or change between these"
        findings.append(await _module(pbx, "volume", "func_volume", without))
        if keys:
            findings.append(await _module(pbx, "keys", "app_senddtmf"))
        if directory is not None and directory.sends_pjsip_headers():
            without = ": every phone rings, none is asked to answer by itself"
            findings.append(await _module(pbx, "auto_answer", "res_pjsip_header_funcs", without))
        if directory is not None and directory.notices():
            findings.append(await _notice(pbx, probe, directory.notices()))
            without = ": notices to agents stand among the call detail records"
            findings.append(await _module(pbx, "records", "func_cdr", without))
        findings.append(await _version(pbx))
        findings.append(await _clock(pbx))
        findings += await _extensions(pbx, directory.extensions() if directory else ())
        if directory is not None and directory.discovers():
            findings.append(await _discovered(pbx, directory))
    except PbxUnavailable as error:
        findings.append(
            Finding("AMI", Verdict.FAILURE, error.message, "look at Asterisk's log and load")
        )
    return findings


# What the AMI user may


async def _rights(pbx: Pbx) -> list[Finding]:
    answer = await pbx.send(actions.list_commands())
    if not answer.success:
        said = f"the PBX does not list what the user may do: {answer.message}"
        return [Finding("rights", Verdict.UNKNOWN, said)]
    missing = [name for name in NEEDED if name not in answer.headers]
    excess = sorted(_granted(answer.headers) - RIGHTS)
    if missing:
        said = f"the AMI user may not {', '.join(missing)}"
        return [Finding("rights", Verdict.FAILURE, said, _ENOUGH)]
    if excess:
        said = f"the AMI user may more than it needs: {', '.join(excess)}"
        return [Finding("rights", Verdict.WARNING, said, _ENOUGH)]
    return [Finding("rights", Verdict.OK, "enough and no more")]


def _granted(commands: Mapping[str, str]) -> set[str]:
    """The classes that are needed for some action on the list and cannot be told otherwise."""
    found = (_PRIVILEGE.search(text) for text in commands.values())
    classes = ({*match[1].split(",")} - {"all"} for match in found if match)
    return {name for needed in classes if not needed & RIGHTS for name in needed}


async def _events(pbx: Pbx, probe: Probe) -> Finding:
    leg = f"whisper-bridge-check-{secrets.token_hex(6)}"
    answer = await pbx.send(actions.originate_nowhere(leg, NOWHERE))
    if not answer.success:
        said = f"the PBX refuses to originate: {answer.message}"
        return Finding("events", Verdict.FAILURE, said, _ENOUGH)
    if await probe.originated(leg) is not None:
        return Finding("events", Verdict.OK, "calls can be originated, and their events arrive")
    said = "the PBX does not tell what becomes of a call"
    return Finding("events", Verdict.FAILURE, said, _ENOUGH)


# What the PBX is


async def _module(pbx: Pbx, subject: str, module: str, without: str = "") -> Finding:
    """Whether a module is loaded; ``without`` says what goes on and what does not without it."""
    answer = await pbx.send(actions.module_loaded(module))
    match answer.headers.get("Value", ""):
        case "1":
            return Finding(subject, Verdict.OK, f"{module} is loaded")
        case "0":
            verdict = Verdict.WARNING if without else Verdict.FAILURE
            remedy = f"in modules.conf: load = {module}.so"
            return Finding(subject, verdict, f"{module} is not loaded{without}", remedy)
    remedy = "in modules.conf: load = func_module.so"
    said = f"the PBX cannot say whether {module} is loaded"
    return Finding(subject, Verdict.UNKNOWN, said, remedy)


async def _notice(pbx: Pbx, probe: Probe, sounds: Sequence[str]) -> Finding:
    """Whether notices to agents can be played: without them nobody can listen in."""
    module = await _module(pbx, "notice", "app_playback")
    if module.verdict is Verdict.FAILURE:
        return module
    answer = await pbx.send(actions.context_exists(actions.NOTICE_CONTEXT))
    if answer.headers.get("Value") == "0":
        said = f"the dialplan has no context {actions.NOTICE_CONTEXT}: nobody can whisper or listen"
        remedy = "add extensions.d/whisper-bridge.conf to the dialplan"
        return Finding("notice", Verdict.FAILURE, said, remedy)
    played = await asyncio.gather(*(_is_played(pbx, probe, sound) for sound in sounds))
    silent = [sound for sound, good in zip(sounds, played, strict=True) if not good]
    if silent:
        said = f"the PBX cannot play {', '.join(silent)}: nobody can whisper or listen there"
        remedy = (
            "in the directory: notice = a sound that Asterisk has; its log says what is missing"
        )
        return Finding("notice", Verdict.FAILURE, said, remedy)
    return Finding("notice", Verdict.OK, f"the PBX plays {', '.join(sounds)}")


async def _is_played(pbx: Pbx, probe: Probe, sound: str) -> bool:
    """Whether a sound is played to its end, or goes on for longer than anybody waits here."""
    name = NOTICE_PREFIX + secrets.token_hex(8)
    hears, player = f"{name}-1", f"{name}-2"
    trial = actions.originate_trial(hears, player, sound, seconds=round(2 * ANSWER_LIMIT))
    if not (await pbx.send(trial)).success or not await probe.originated(hears):
        return False
    cause = await probe.ended(player)
    await pbx.send(actions.hang_up(hears))
    return cause in (None, PLAYED)


async def _version(pbx: Pbx) -> Finding:
    answer = await pbx.send(actions.core_settings())
    version = answer.headers.get("AsteriskVersion", "")
    if not version:
        return Finding("Asterisk", Verdict.UNKNOWN, "the PBX does not say its version")
    if versions.heard_in_silence(version):
        return Finding("Asterisk", Verdict.OK, version)
    said = f"{version}: an agent to whom nobody sends sound (mute, hold) hears no whisper"
    return Finding("Asterisk", Verdict.WARNING, said, "upgrade to 20.21, 22.11 or 23.5, or later")


async def _clock(pbx: Pbx) -> Finding:
    asked = time.time()
    answer = await pbx.send(actions.ping())
    answered = time.time()
    try:
        told = float(answer.headers.get("Timestamp", ""))
    except ValueError:
        return Finding("clock", Verdict.UNKNOWN, "the PBX does not say what time it is")
    skew = max(asked - told, told - answered, 0.0)
    if skew <= LARGEST_SKEW:
        return Finding("clock", Verdict.OK, "the PBX's and this machine's agree")
    said = f"the PBX's and this machine's differ by {skew:.0f} s"
    return Finding("clock", Verdict.WARNING, said, "run an NTP client on both machines")


# Whom the PBX knows


async def _extensions(pbx: Pbx, extensions: Iterable[Extension]) -> list[Finding]:
    phones = [known for known in extensions if known.type is ExtensionType.PHONE]
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


async def _discovered(pbx: Pbx, directory: Directory) -> Finding:
    """Whose devices fit a pattern: all phones, it is to be hoped, and no trunk."""
    answer = await pbx.send(actions.list_devices())
    if not answer.success:
        said = f"the PBX does not list its devices: {answer.message}"
        return Finding("discovered", Verdict.UNKNOWN, said, _ENOUGH)
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
