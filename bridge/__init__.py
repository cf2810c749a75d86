"""Whisper on any Asterisk PBX through one HTTP request."""
