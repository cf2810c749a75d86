"""What a client is told of a whisper that came to nothing, by the reason it ended for."""

from typing import Final

from bridge.errors import (
    ActionForbidden,
    ApiError,
    InternalServerError,
    LinkLost,
    NotPickedUp,
    SendCallToInvalid,
    SupervisorBusy,
    SupervisorDeclined,
    SupervisorHungUp,
    TargetGone,
)
from bridge.whisper import Reason

IMMEDIATE: Final = frozenset(
    {
        *(Reason.UNREGISTERED, Reason.UNKNOWN, Reason.REFUSED),
        *(Reason.FORBIDDEN, Reason.LINK_LOST, Reason.FAILED),
    }
)
"""Reasons for which the phone is not called at all: the answer even to who does not wait."""

_FAILURES: Final[dict[Reason, tuple[type[ApiError], str]]] = {
    Reason.COMPLETED: (SupervisorHungUp, ""),
    Reason.UNREGISTERED: (
        SendCallToInvalid,
        "The phone of sendCallTo is not registered at the PBX.",
    ),
    Reason.UNKNOWN: (SendCallToInvalid, "The PBX does not know the phone of sendCallTo."),
    Reason.BUSY: (SupervisorBusy, ""),
    Reason.DECLINED: (SupervisorDeclined, ""),
    Reason.NO_ANSWER: (NotPickedUp, ""),
    Reason.LEFT: (SupervisorHungUp, ""),
    Reason.REFUSED: (SendCallToInvalid, "The PBX cannot call the phone of sendCallTo."),
    Reason.FAILED: (InternalServerError, "The PBX refused the whisper; the log says why."),
    Reason.TARGET_GONE: (TargetGone, ""),
    Reason.OTHERS_CHANGED: (
        TargetGone,
        "The party of phoneCallViewId has come to talk to somebody else.",
    ),
    Reason.WRONG_TARGET: (
        InternalServerError,
        "The PBX connected the supervisor to another channel; he was hung up at once.",
    ),
    Reason.FORBIDDEN: (ActionForbidden, "The directory was changed: this is not allowed any more."),
    Reason.NO_NOTICE: (
        InternalServerError,
        "The notice to the agent could not be played; the log says why.",
    ),
    Reason.LINK_LOST: (LinkLost, ""),
    Reason.HUNG_UP: (SupervisorHungUp, ""),
}


def failure(reason: Reason) -> ApiError:
    """The error to answer with."""
    kind, message = _FAILURES[reason]
    return kind(message)
