"""What the PBX is made of: modules, notices, version, clock."""

import asyncio
import secrets
import time
from collections.abc import Sequence
from typing import Final

from bridge import actions, versions
from bridge.actions import Pbx
from bridge.checking.findings import Finding, Verdict
from bridge.checking.probe import ANSWER_LIMIT, Probe
from bridge.model import NOTICE_PREFIX
from bridge.notifying import PLAYED

LARGEST_SKEW: Final = 2.0
"""Seconds by which the clocks may differ before somebody compares their logs in vain."""


async def module(pbx: Pbx, subject: str, module: str, without: str = "") -> Finding:
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


async def notice(pbx: Pbx, probe: Probe, sounds: Sequence[str]) -> Finding:
    """Whether notices to agents can be played: without them nobody can listen in."""
    playback = await module(pbx, "notice", "app_playback")
    if playback.verdict is Verdict.FAILURE:
        return playback
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


async def version(pbx: Pbx) -> Finding:
    """Which Asterisk it is, and what that means for a whisper."""
    answer = await pbx.send(actions.core_settings())
    version = answer.headers.get("AsteriskVersion", "")
    if not version:
        return Finding("Asterisk", Verdict.UNKNOWN, "the PBX does not say its version")
    if versions.heard_in_silence(version):
        return Finding("Asterisk", Verdict.OK, version)
    said = f"{version}: an agent to whom nobody sends sound (mute, hold) hears no whisper"
    return Finding("Asterisk", Verdict.WARNING, said, "upgrade to 20.21, 22.11 or 23.5, or later")


async def clock(pbx: Pbx) -> Finding:
    """Whether its clock and this machine's agree."""
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
