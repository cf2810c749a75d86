"""The settings: the only reader of the environment and of the configuration file.

Every setting is an environment variable, ``BRIDGE_`` and the field's name in capitals, or a key
of the same name in the TOML file that ``BRIDGE_CONFIG`` names; the environment wins. A variable
that is empty counts as not set.
"""

from bridge.settings.fields import Settings
from bridge.settings.loading import NAMES, SettingsError, load

__all__ = ["NAMES", "Settings", "SettingsError", "load"]
