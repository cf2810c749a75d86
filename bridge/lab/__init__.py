"""A real PBX to try the bridge on: Asterisk, softphones and ears, all rootless on loopback."""
