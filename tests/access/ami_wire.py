"""Everything a bridge may say to a PBX: which actions, with which headers, in which order and form.

An allow-list of its own, not derived from the bridge: whoever has the bridge say something new
writes it down here as well. Source: Asterisk documentation, AMI Actions.
"""

import re
from collections import Counter
from collections.abc import Mapping
from typing import Final

ACTION_ID: Final = r"[0-9a-f]{8}-[0-9]+"
CHANNEL: Final = r"[0-9]{1,12}\.[0-9]{1,9}"
"""A Uniqueid that Asterisk gives."""
LEG: Final = r"whisper-[0-9a-f]{20}"
"""A Uniqueid that the bridge gives."""
PHONE: Final = r"PJSIP/[0-9]{3,6}\*[0-9]{1,6}"
MEMO: Final = r"[A-Za-z0-9_=-]{1,500}"
VOLUME: Final = r"VOLUME\([RT]X\)"
# Any character of people's names; the bridge refuses controls, quotes, brackets and backslashes.
CALLER: Final = r'([^\x00-\x1f\x7f-\x9f\u2028\u2029<>"\\]{1,80} )?<[0-9+*]{1,40}>'

Form = tuple[tuple[str, str], ...]

FORMS: Final[Mapping[str, tuple[Form, ...]]] = {
    "Login": (
        (("Username", r"whisper-bridge"), ("Secret", r"[0-9a-f]{48}")),
        (("Username", r"whisper-bridge"), ("Secret", r"[0-9a-f]{48}"), ("Events", r"\w+")),
    ),
    "Ping": ((),),
    "CoreSettings": ((),),
    "Status": ((("Variables", r"[A-Za-z0-9_(),]+"),),),
    "BridgeList": ((),),
    "Getvar": ((("Variable", rf"DEVICE_STATE\({PHONE}\)"),),),
    "Setvar": (
        (
            ("Channel", f"({CHANNEL}|{LEG})"),
            ("Variable", r"WHISPER_BRIDGE_(LEG|SESSION)"),
            ("Value", MEMO),
        ),
        (("Channel", LEG), ("Variable", VOLUME), ("Value", "(0|-32767)")),
    ),
    "PlayDTMF": ((("Channel", LEG), ("Digit", "[456]"), ("Receive", "true")),),
    "Hangup": ((("Channel", f"({CHANNEL}|{LEG})"), ("Cause", "16")),),
    "Originate": (
        (
            ("Channel", PHONE),
            ("Application", "ChanSpy"),
            ("Data", rf"{CHANNEL},uq[wB]?d?ES"),
            ("CallerID", CALLER),
            ("Timeout", r"[1-9][0-9]{0,9}"),
            ("ChannelId", LEG),
            ("Variable", rf"WHISPER_BRIDGE_SESSION={MEMO}(,{VOLUME}=-32767){{0,2}}"),
            ("Async", "true"),
        ),
    ),
}

ActionHeaders = dict[str, str]


class Unexpected(AssertionError):
    """Something on the wire that no bridge may say."""


def said(wire: bytes) -> list[ActionHeaders]:
    """The actions in what a bridge sent, byte for byte, each of them one that it may say.

    Raises Unexpected.
    """
    if not wire.endswith(b"\r\n\r\n"):
        raise Unexpected(f"it ends in the middle of an action: {wire[-200:]!r}")
    return [_action(message) for message in wire.removesuffix(b"\r\n\r\n").split(b"\r\n\r\n")]


def _action(message: bytes) -> ActionHeaders:
    lines = message.decode().split("\r\n")
    if any(re.search(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]", line) for line in lines):
        raise Unexpected(f"a control character in {message!r}")
    pairs = [line.partition(": ")[::2] for line in lines]
    (first, name), *headers, (last, action_id) = pairs
    forms = FORMS.get(name, ())
    right = (first, last) == ("Action", "ActionID") and re.fullmatch(ACTION_ID, action_id)
    if not right or not any(_has_form(headers, form) for form in forms):
        raise Unexpected(f"not an action it may say: {message!r}")
    return dict(pairs)


def _has_form(headers: list[tuple[str, str]], form: Form) -> bool:
    return [name for name, _ in headers] == [name for name, _ in form] and all(
        re.fullmatch(pattern, value) for (_, value), (_, pattern) in zip(headers, form, strict=True)
    )


def counted(actions: list[ActionHeaders]) -> Counter[str]:
    """How often each action was said."""
    return Counter(action["Action"] for action in actions)
