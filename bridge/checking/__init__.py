"""Whether all is well between the bridge and one PBX, as findings an operator can act on.

No phone rings for it: what a whisper needs is asked for, and a call is tried to an endpoint that
does not exist.
"""

from bridge.actions import Pbx
from bridge.checking import parts, phones, rights
from bridge.checking.findings import Finding, Verdict
from bridge.checking.probe import Probe
from bridge.directory import Directory
from bridge.errors import PbxUnavailable

__all__ = ["Finding", "Probe", "Verdict", "check_pbx"]


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
        findings.append(await rights.granted(pbx))
        findings.append(await rights.events(pbx, probe))
        findings.append(await parts.module(pbx, "ChanSpy", "app_chanspy"))
        without = ": nobody can listen only, whisper in private, or change between these"
        findings.append(await parts.module(pbx, "volume", "func_volume", without))
        if keys:
            findings.append(await parts.module(pbx, "keys", "app_senddtmf"))
        if directory is not None and directory.sends_pjsip_headers():
            without = ": every phone rings, none is asked to answer by itself"
            findings.append(
                await parts.module(pbx, "auto_answer", "res_pjsip_header_funcs", without)
            )
        if directory is not None and directory.notices():
            findings.append(await parts.notice(pbx, probe, directory.notices()))
            without = ": notices to agents stand among the call detail records"
            findings.append(await parts.module(pbx, "records", "func_cdr", without))
        findings.append(await parts.version(pbx))
        findings.append(await parts.clock(pbx))
        findings += await phones.extensions(pbx, directory.extensions() if directory else ())
        if directory is not None and directory.discovers():
            findings.append(await phones.discovered(pbx, directory))
    except PbxUnavailable as error:
        findings.append(
            Finding("AMI", Verdict.FAILURE, error.message, "look at Asterisk's log and load")
        )
    return findings
