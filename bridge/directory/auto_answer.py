"""How a phone is told to answer by itself: a SIP header, by the make of the phone or as written.

Each make documents its own; the phone must also be set to heed it. Sources:

- ``standard``: RFC 5373, Requesting Answering Modes for SIP.
- ``yealink``: Administrator's Guide for SIP-T2/T4/T5 Series, Distinctive Ring Tones, Auto Answer.
  No URI stands before ``info`` there, so what reads a parameter of the header does not heed it.
- ``snom``: Snom Service Hub, Intercom on Desk Phones, and ``answer_after_policy``.
- ``grandstream``: GXP User Manual, Allow Auto Answer by Call-Info.
- ``gigaset``: Gigaset PRO wiki, FAQ Auto-answer call.
- ``aastra``, ``mitel``: Aastra IP Phone Release Notes 2.1, "delay" before Auto-Answer; Aastra's
  phones are Mitel's 6700, 6800 and 6900 series now.
- ``audiocodes``: 310HD Administrator's Manual, Configuring Automatic Answer.
- ``polycom``, ``cisco-spa``: Asterisk: The Definitive Guide, 5th edition, SIP-Based Paging. A
  Polycom answers where a ``voIpProt.SIP.alertInfo.x.value`` is this text and its class answers.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

from bridge.model import SipHeader
from bridge.toml_lines import did_you_mean

_ALERT: Final = SipHeader("Alert-Info", "<sip:intercom>;info=alert-autoanswer;delay=0")
_CALL: Final = SipHeader("Call-Info", "<sip:intercom>;answer-after=0")

PROFILES: Final[Mapping[str, SipHeader]] = {
    "standard": SipHeader("Answer-Mode", "Auto"),
    "yealink": SipHeader("Alert-Info", "info=alert-autoanswer"),
    "snom": _ALERT,
    "grandstream": _CALL,
    "gigaset": _CALL,
    "aastra": _ALERT,
    "mitel": _ALERT,
    "audiocodes": SipHeader("Alert-Info", "info=alert-autoanswer"),
    "polycom": SipHeader("Alert-Info", "Ring Answer"),
    "cisco-spa": _CALL,
}
"""The header of each make."""

# Headers a call can do without. What Originate would take apart in a value, a comma, a quote, a
# bracket or a backslash, is left out, and all that would begin another header.
_HEADER: Final = re.compile(
    r"(Alert-Info|Call-Info|(?:Priv-)?Answer-Mode|P-Auto-Answer|X-[A-Za-z0-9-]{1,40}):"
    r" *([A-Za-z0-9<>](?:[A-Za-z0-9 <>:;=@._/?&%+*~!-]{0,198}[A-Za-z0-9<>])?)"
)


def auto_answer(value: Any) -> SipHeader:
    """Read a make of phones, or a header as it is to be sent. Raises ValueError, which says why."""
    if isinstance(value, str) and ":" in value:
        written = _HEADER.fullmatch(value)
        if written is None:
            raise ValueError(
                "must be one header: Alert-Info, Call-Info, Answer-Mode, P-Auto-Answer or X-…, a"
                " colon, and a text without comma, quotes, brackets or backslash"
            )
        return SipHeader(*written.groups())
    if isinstance(value, str) and value in PROFILES:
        return PROFILES[value]
    known = ", ".join(PROFILES)
    raise ValueError(f"must be one of {known}, or a header{did_you_mean(value, PROFILES)}")
