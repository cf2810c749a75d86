"""What several commands share."""

import argparse
from typing import TypeAlias

from bridge.api import CertificateError
from bridge.directory import Directory, DirectoryError
from bridge.keyring import KeyringError
from bridge.settings import Settings, SettingsError

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"
"""Where a command adds its own parser; what it sets as ``run`` returns the exit code."""


class UsageError(Exception):
    """Something the operator asked for cannot be done, in one line."""


MISTAKES = (
    SettingsError,
    DirectoryError,
    KeyringError,
    CertificateError,
    UsageError,
    OSError,
)
"""What an operator can put right; as text each says what it is."""


def read_directory(settings: Settings) -> Directory:
    """The directory of the settings. Raises UsageError and DirectoryError."""
    return Directory.parse(read_directory_text(settings), settings.directory.name)


def read_directory_text(settings: Settings) -> str:
    """What is written in the directory of the settings. Raises UsageError."""
    try:
        return settings.directory.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"BRIDGE_DIRECTORY cannot be read: {error}") from error
