"""Ports nobody else listens on, nor is about to: not even another lab on the same machine."""

import functools
import random
import socket
from dataclasses import dataclass

from bridge.lab.errors import LabError

# Below the range Linux gives to outgoing connections (ip_local_port_range, from 32768), so that
# none of those takes a port between our looking and our using it.
_FIRST, _LAST, _BLOCK = 20000, 32000, 1000
_RTP_PORTS = 400


@dataclass(frozen=True)
class Ports:
    """What Asterisk listens on.

    Attributes:
        sip: UDP, PJSIP.
        chan_sip: UDP, the old SIP driver; used by Asterisk 16 only.
        ami: TCP.
        ami_tls: TCP, AMI over TLS; used when Asterisk is given a certificate.
        rtp_first: the first UDP port for sound.
        rtp_last: the last.
        published: UDP, PJSIP for phones outside its container, if it has one to itself.
    """

    sip: int
    chan_sip: int
    ami: int
    ami_tls: int
    rtp_first: int
    rtp_last: int
    published: int = 0

    @classmethod
    def free(cls) -> "Ports":
        """Return ports that are free now, all on 127.0.0.1.

        Raises:
            LabError: there are none.
        """
        sip = free_ports(4)
        # Asterisk and the phones step over single RTP ports in use; only the range is ours to say.
        rtp = random.randrange(10000, _FIRST - _RTP_PORTS, 2)
        return cls(
            sip=sip,
            chan_sip=sip + 1,
            ami=sip + 2,
            ami_tls=sip + 3,
            rtp_first=rtp,
            rtp_last=rtp + _RTP_PORTS - 1,
        )


def free_tcp() -> int:
    """Return a port on 127.0.0.1 that is free, for TCP or UDP.

    Raises:
        LabError: there is none.
    """
    return free_ports(1)


def free_ports(count: int) -> int:
    """Return the first of so many ports in a row on 127.0.0.1 that are free, for TCP and UDP.

    They are handed out in turn, so that one is not given again soon: whoever asked for it may
    take a moment to use it.

    Raises:
        LabError: there are none.
    """
    return _our_block().take(count)


class _Block:
    """A block of ports that this process alone hands out, as long as it lives."""

    def __init__(self) -> None:
        self._first = self._claim()
        self._next = 0

    def take(self, count: int) -> int:
        for _ in range(_BLOCK):
            if self._next + count >= _BLOCK:
                self._next = 0
            self._next += 1
            run = range(self._first + self._next, self._first + self._next + count)
            if all(_is_free(port, kind) for port in run for kind in _KINDS):
                self._next += count - 1
                return run.start
        raise LabError(f"no {count} free ports in a row from {self._first} on, on 127.0.0.1")

    @staticmethod
    def _claim() -> int:
        for first in random.sample(range(_FIRST, _LAST, _BLOCK), (_LAST - _FIRST) // _BLOCK):
            mark = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            try:
                mark.bind(("127.0.0.1", first))
            except OSError:
                mark.close()
                continue
            # Whoever binds the first port of a block has the block; the kernel gives it back.
            mark.detach()
            return first
        raise LabError(f"all ports from {_FIRST} to {_LAST} on 127.0.0.1 are taken")


_our_block = functools.cache(_Block)
_KINDS = (socket.SOCK_STREAM, socket.SOCK_DGRAM)


def _is_free(port: int, kind: socket.SocketKind) -> bool:
    with socket.socket(socket.AF_INET, kind) as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
