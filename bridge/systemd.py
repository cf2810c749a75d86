"""What systemd is told of the service: ready, reloading, stopping, alive, and in words how it is.

The protocol is that of sd_notify(3): datagrams of NAME=value lines to a Unix socket. Without one
nobody is told anything, and nothing here ever fails the service.
"""

import asyncio
import logging
import socket
import time
from typing import Any, Self

log = logging.getLogger(__name__)


class _Mouth(asyncio.DatagramProtocol):
    """Our end of the socket, which nobody writes to."""

    def error_received(self, exc: Exception) -> None:
        """What was told did not arrive."""
        log.warning("systemd could not be told how the service is: %s", exc)


class Notifier:
    """Tells systemd how the service is while its context lasts, before and after it nobody.

    ``address`` is that of systemd's socket: a path, or ``@`` and an abstract name. With an empty
    one nobody is told.
    """

    def __init__(self, address: str = "") -> None:
        self._address = address
        self._transport: asyncio.DatagramTransport | None = None
        self._status = ""

    async def __aenter__(self) -> Self:
        """Connect; a socket that is not there is said in the log."""
        if self._address:
            self._transport = await _connect(self._address)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the socket, behind what was told."""
        if self._transport is not None:
            self._transport.close()

    def ready(self) -> None:
        """The service does its work, after the start or after a reload."""
        self._tell("READY=1")

    def reloading(self) -> None:
        """The service reads its configuration anew; ``ready`` ends that."""
        # systemd compares this with when it sent the signal: it must be this very clock.
        now = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self._tell(f"RELOADING=1\nMONOTONIC_USEC={now}")

    def stopping(self) -> None:
        """The service is about to end."""
        self._tell("STOPPING=1")

    def alive(self) -> None:
        """The service still runs: without this, systemd's watchdog ends and restarts it."""
        self._tell("WATCHDOG=1")

    def status(self, words: str) -> None:
        """How the service is, in one line for ``systemctl status``; told only when it changes."""
        if words != self._status:
            self._status = words
            self._tell(f"STATUS={' '.join(words.split())}")

    def _tell(self, assignments: str) -> None:
        if self._transport is not None:
            self._transport.sendto(assignments.encode())


async def _connect(address: str) -> asyncio.DatagramTransport | None:
    """Connect to the socket; the transport keeps what cannot be written at once."""
    # asyncio passes the name of a Unix socket on, typed as it is only for the internet's.
    name: Any = f"\0{address[1:]}" if address.startswith("@") else address
    try:
        transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
            _Mouth, family=socket.AF_UNIX, remote_addr=name
        )
    except OSError as error:
        log.warning("systemd cannot be told how the service is: %s: %s", address, error.strerror)
        return None
    return transport
