"""Ports nobody else listens on."""

import random
import socket
from dataclasses import dataclass

from bridge.lab.errors import LabError

# Below the range Linux gives to outgoing connections (ip_local_port_range, from 32768), so that
# none of those takes a port between our looking and our using it.
_FIRST, _LAST = 20000, 32000
_RTP_PORTS = 400


@dataclass(frozen=True)
class Ports:
    """What Asterisk listens on, all on 127.0.0.1.

    Attributes:
        sip: UDP, PJSIP.
        chan_sip: UDP, the old SIP driver; used by Asterisk 16 only.
        ami: TCP.
        rtp_first: the first UDP port for sound.
        rtp_last: the last.
    """

    sip: int
    chan_sip: int
    ami: int
    rtp_first: int
    rtp_last: int

    @classmethod
    def free(cls) -> "Ports":
        """Return ports that are free now.

        Raises:
            LabError: there are none.
        """
        # Asterisk and the phones step over single RTP ports in use; only the range is ours to say.
        rtp = random.randrange(10000, _FIRST - _RTP_PORTS, 2)
        return cls(
            sip=free_udp(),
            chan_sip=free_udp(),
            ami=free_tcp(),
            rtp_first=rtp,
            rtp_last=rtp + _RTP_PORTS - 1,
        )


def free_udp() -> int:
    """Return a free UDP port on 127.0.0.1."""
    return _free(socket.SOCK_DGRAM)


def free_tcp() -> int:
    """Return a free TCP port on 127.0.0.1."""
    return _free(socket.SOCK_STREAM)


def _free(kind: socket.SocketKind) -> int:
    for port in random.sample(range(_FIRST, _LAST), 200):
        with socket.socket(socket.AF_INET, kind) as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise LabError(f"no free port between {_FIRST} and {_LAST} on 127.0.0.1")
