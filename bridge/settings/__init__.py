"""The settings: the only reader of the environment and of the configuration file.

Every setting is an environment variable, ``BRIDGE_`` and the field's name in capitals, or a key
of the same name in the file that ``BRIDGE_CONFIG`` names: TOML, or lines of ``NAME=value`` if its
name ends with ``.env``. The environment wins. A variable that is empty counts as not set. A client
of the API has settings of its own, ``WHISPER_`` and a name, which options of its commands override.
"""

from bridge.settings.client import CLIENT_NAMES, ClientSettings, load_client
from bridge.settings.fields import Settings
from bridge.settings.given import NAMES, SettingsError
from bridge.settings.loading import load
from bridge.settings.manager import ServiceManager, service_manager

__all__ = [
    "CLIENT_NAMES",
    "NAMES",
    "ClientSettings",
    "ServiceManager",
    "Settings",
    "SettingsError",
    "load",
    "load_client",
    "service_manager",
]
