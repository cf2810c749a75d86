"""What the version of an Asterisk means for a whisper."""

import re

_HEARD_IN_SILENCE = {20: 21, 22: 11, 23: 5}
"""Branch to the first release whose ChanSpy is heard by a channel nobody sends audio to."""

_NUMBER = re.compile(r"(\d+)\.(\d+)")


def heard_in_silence(version: str) -> bool:
    """Whether a whisper is heard while the target is sent no other audio (hold, mute).

    ``version`` is as CoreSettings prints it, ``22.10.1~dfsg``. Unsure means no.
    """
    found = _NUMBER.search(version)
    if found is None:
        return False
    branch, release = int(found[1]), int(found[2])
    newest = max(_HEARD_IN_SILENCE)
    return branch > newest or release >= _HEARD_IN_SILENCE.get(branch, release + 1)
