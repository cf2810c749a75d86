"""A client of the HTTP API, for terminals and scripts.

It knows the contract's shapes, and nothing else of the service.
"""

from bridge.client.board import Board, Step
from bridge.client.calls import Calls
from bridge.client.connection import Connection, is_safe
from bridge.client.credentials import AppSecret, Credential, Token, TokenFile
from bridge.client.errors import ClientError, CredentialError, Cut, Refused, Unreachable
from bridge.client.following import Begun, Changed, Complete, Ended, Lost, News, PbxAway
from bridge.client.supervising import Ambiguous, Target, supervisors_view, targets

__all__ = [
    "Ambiguous",
    "AppSecret",
    "Begun",
    "Board",
    "Calls",
    "Changed",
    "ClientError",
    "Complete",
    "Connection",
    "Credential",
    "CredentialError",
    "Cut",
    "Ended",
    "Lost",
    "News",
    "PbxAway",
    "Refused",
    "Step",
    "Target",
    "Token",
    "TokenFile",
    "Unreachable",
    "is_safe",
    "supervisors_view",
    "targets",
]
