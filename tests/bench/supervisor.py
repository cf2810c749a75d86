"""The supervisor's phone, that is always busy, and how one hears that its leg is gone."""

import re
import socket
import time

from tests.bench.originate import login

_HEADER = re.compile(rb"(?im)^(?:Via|From|To|Call-ID|CSeq): .*\r\n")


class Busy:
    """A phone that is always busy, and knows when it was called."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._socket.settimeout(5)
        self.port = self._socket.getsockname()[1]

    def called(self) -> float:
        """Wait for an INVITE, refuse it, and return when it came (``time.perf_counter``)."""
        while True:
            message, peer = self._socket.recvfrom(65536)
            came = time.perf_counter()
            if message.startswith(b"INVITE "):
                headers = b"".join(found[0] for found in _HEADER.finditer(message))
                self._socket.sendto(b"SIP/2.0 486 Busy Here\r\n" + headers + b"\r\n", peer)
                return came


class Hangups:
    """A link that hears of the end of the supervisor's leg, so that turns follow each other."""

    def __init__(self, port: int) -> None:
        self._socket = login(port, events="call")
        self._socket.settimeout(5)
        self._rest = b""

    def wait(self) -> None:
        """Wait for the next hangup of that phone."""
        while True:
            *messages, self._rest = self._rest.split(b"\r\n\r\n")
            for number, message in enumerate(messages):
                if message.startswith(b"Event: Hangup\r\n") and b"Channel: PJSIP/bench-" in message:
                    self._rest = b"\r\n\r\n".join([*messages[number + 1 :], self._rest])
                    return
            self._rest += self._socket.recv(65536)
