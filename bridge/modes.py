"""The modes of a supervisor, as a PBX is told them: how a ChanSpy starts, what changes it in place.

A spy that whispers is made to listen by silencing what its phone says, and made private by
silencing what its phone hears: the volume of its own leg. Not so barging in, where agent and
customer hear the same: that takes a key of ChanSpy's, which only a spy with the option ``d`` has.

Either was chosen over a Redirect of the leg to another ChanSpy, which needs a context of the
dialplan. Measured in windows of 20 ms, on Asterisk 16 and 22 alike: through a change in place, no
sound that goes on is gone for more than one window; a Redirect takes the whisper away for six or
seven.
"""

from bridge.actions import Direction
from bridge.model import Mode

_KEYS = {Mode.LISTEN: "4", Mode.WHISPER: "5", Mode.PRIVATE: "5", Mode.BARGE: "6"}
_MODES = {"4": Mode.LISTEN, "5": Mode.WHISPER, "6": Mode.BARGE}


def options(mode: Mode, *, keys: bool) -> str:
    """The options of a ChanSpy that starts in a mode; with ``keys`` its phone's keys change it.

    ``u`` has it take its argument for a Uniqueid, or it would take it for the beginning of a
    channel's name and attach to a stranger; ``E`` and ``S`` end it with its target; ``q`` keeps it
    from beeping (Asterisk documentation, ChanSpy).
    """
    letter = "B" if mode is Mode.BARGE else "" if keys and mode is Mode.LISTEN else "w"
    return f"uq{letter}{'d' if keys else ''}ES"


def has_keys(options: str) -> bool:
    """Whether the keys of its phone change the mode of a spy of these options."""
    return "d" in options


def starts_as(options: str) -> Mode:
    """The mode in which a ChanSpy of these options starts, with nothing silenced."""
    for letter, mode in (("B", Mode.BARGE), ("w", Mode.WHISPER), ("W", Mode.PRIVATE)):
        if letter in options:
            return mode
    return Mode.LISTEN


def reaches(options: str, mode: Mode) -> bool:
    """Whether a spy that was started with these options can be brought into a mode in place."""
    if has_keys(options):
        return True
    if "W" in options:
        return mode is Mode.PRIVATE
    if "B" in options:
        return mode in (Mode.BARGE, Mode.LISTEN)
    return mode is not Mode.BARGE


def silenced(options: str, mode: Mode, *, attached: bool = False) -> frozenset[Direction]:
    """Which directions of its phone's sound are silenced on a spy of these options in a mode.

    One that is not ``attached`` yet takes no key: if it starts in another mode, nobody hears its
    phone until it has been brought into this one.
    """
    if "W" in options:
        return frozenset()
    found = {Direction.TO_PHONE} if mode is Mode.PRIVATE else set()
    if not has_keys(options):
        found |= {Direction.FROM_PHONE} if mode is Mode.LISTEN else set()
    elif not attached and key_of(options, mode) != key_of(options, starts_as(options)):
        found.add(Direction.FROM_PHONE)
    return frozenset(found)


def key_of(options: str, mode: Mode) -> str | None:
    """The key that brings a spy of these options into a mode, if it has keys."""
    return _KEYS[mode] if has_keys(options) else None


def after_key(options: str, mode: Mode, digit: str) -> Mode:
    """The mode of a spy of these options once its phone has pressed a key in a mode.

    A private whisperer who presses the key for whispering goes on as he is.
    """
    if not has_keys(options) or digit == _KEYS[mode]:
        return mode
    return _MODES.get(digit, mode)
