"""What the bridge asks of the PBX, as AMI actions.

The only place that knows action names. A control character in a value would end the header and
begin another one, or another action, so none ever passes (Asterisk documentation, AMI Actions).
"""

import re
from collections.abc import Mapping
from typing import NamedTuple

from bridge.events import ANSWERED, STARTED
from bridge.memory import LEG_VARIABLE, SESSION_VARIABLE
from bridge.model import CallerId

_UNIQUEID = re.compile(r"[\w.-]+")

# Control characters, line and paragraph separators, and halves of surrogate pairs.
_FORBIDDEN = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


class Action(NamedTuple):
    """An AMI action: headers in order, and for a list action the event that closes its answer."""

    headers: Mapping[str, str]
    complete: str | None = None

    @property
    def name(self) -> str:
        """The action's name."""
        return self.headers["Action"]


class Answer(NamedTuple):
    """What the PBX said to an action; ``items`` is the list, where one was asked for."""

    success: bool
    message: str
    headers: Mapping[str, str]
    items: tuple[Mapping[str, str], ...] = ()


def _action(name: str, complete: str | None = None, **headers: str) -> Action:
    # The one gate: all values in one search, since a whisper waits for it.
    if _FORBIDDEN.search("".join(headers.values())):
        wrong = next(header for header, value in headers.items() if _FORBIDDEN.search(value))
        raise ValueError(f"a control character in {wrong} of {name}")
    return Action({"Action": name, **headers}, complete)


def originate_whisper(
    leg: str,
    endpoint: str,
    target: str,
    caller_id: CallerId,
    seconds: int,
    memo: str,
    *,
    private: bool,
) -> Action:
    """Call a phone and, once it answers, let it whisper to one channel.

    ``leg`` becomes the new channel's Uniqueid, ``endpoint`` is whom to call (``PJSIP/0003*024``),
    ``target`` the exact Uniqueid of the channel whispered to, ``seconds`` how long to ring and
    ``memo`` what the leg is to remember (a comma in it would begin another variable). A
    ``private`` whisperer hears nothing. Raises ValueError when a value holds a control character
    or ``target`` is no Uniqueid.

    ChanSpy gets ``u``, or it would take its argument for the beginning of a channel's name and
    attach to a stranger; ``E`` and ``S`` end it with its target; ``q`` keeps it from beeping
    (Asterisk documentation, ChanSpy, Originate).
    """
    if not _UNIQUEID.fullmatch(target):
        raise ValueError("the target is no Uniqueid")
    return _action(
        "Originate",
        Channel=endpoint,
        Application="ChanSpy",
        Data=f"{target},uq{'W' if private else 'w'}ES",
        CallerID=f"{caller_id.name} <{caller_id.number}>".lstrip(),
        Timeout=str(seconds * 1000),
        ChannelId=leg,
        Variable=f"{SESSION_VARIABLE}={memo}",
        Async="true",
    )


def hang_up(uniqueid: str) -> Action:
    """End a channel with cause 16, normal clearing (ITU-T Q.850)."""
    return _action("Hangup", Channel=uniqueid, Cause="16")


def remember(uniqueid: str, memo: str) -> Action:
    """Write a memo on a channel."""
    return _action("Setvar", Channel=uniqueid, Variable=LEG_VARIABLE, Value=memo)


NO_DEVICE = "INVALID"
"""The state of a device of which the PBX knows nothing."""


def device_state(endpoint: str) -> Action:
    """Ask for the state of a device: the answer's ``Value`` is ``UNAVAILABLE``, ``INVALID``, …."""
    return _action("Getvar", Variable=f"DEVICE_STATE({endpoint})")


def list_channels() -> Action:
    """List all channels, each with its memos and times."""
    variables = ",".join((LEG_VARIABLE, SESSION_VARIABLE, STARTED, ANSWERED))
    return _action("Status", complete="StatusComplete", Variables=variables)


def originate_nowhere(leg: str, endpoint: str) -> Action:
    """Call an endpoint that does not exist: it fails at once, and no phone rings.

    ``leg`` is the Uniqueid the channel would have; the OriginateResponse names it.
    """
    return _action(
        "Originate",
        Channel=endpoint,
        Application="ChanSpy",
        Data=f"{leg},uqES",
        Timeout="1000",
        ChannelId=leg,
        Async="true",
    )


def list_commands() -> Action:
    """Ask which actions this AMI user may use: each is a header of the answer."""
    return _action("ListCommands")


def module_loaded(module: str) -> Action:
    """Ask whether a module is loaded: the answer's ``Value`` is 1 or 0.

    It is empty where func_module is not loaded itself (Asterisk documentation, IFMODULE).
    """
    return _action("Getvar", Variable=f"IFMODULE({module}.so)")


def core_settings() -> Action:
    """Ask for the ``AsteriskVersion``, among others."""
    return _action("CoreSettings")


def list_bridges() -> Action:
    """List all bridges."""
    return _action("BridgeList", complete="BridgeListComplete")


def ping() -> Action:
    """Ask for a sign of life; the answer's ``Timestamp`` is the PBX's time in epoch seconds."""
    return _action("Ping")
