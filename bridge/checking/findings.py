"""What is found: how something stands, and what to change."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

ENOUGH: Final = "in manager.d/whisper-bridge.conf: read = call and write = originate,call,reporting"
"""The change that gives the AMI user its rights."""


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
