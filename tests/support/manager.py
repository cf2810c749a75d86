"""A service manager that keeps what it is told: systemd's end of sd_notify(3)."""

import asyncio
import socket
from pathlib import Path
from typing import Any, Self

from bridge.lab.waiting import Journal


class Manager(asyncio.DatagramProtocol):
    """Listens at a path, or with `@` at an abstract name; what it was told is in `told`."""

    def __init__(self, address: str | Path) -> None:
        self.address = str(address)
        self.told: Journal[str] = Journal()

    def datagram_received(self, data: bytes, addr: Any) -> None:
        """One notification."""
        self.told.add(data.decode())

    def count(self, notification: str) -> int:
        """How often it was told that."""
        return self.told.entries.count(notification)

    async def tells(self, beginning: str, *, since: int = 0, within: float = 5.0) -> str:
        """Wait until it is told something that begins so."""
        return await self.told.wait(
            lambda told: told.startswith(beginning), beginning, within=within, since=since
        )

    async def __aenter__(self) -> Self:
        """Listen."""
        name: Any = f"\0{self.address[1:]}" if self.address.startswith("@") else self.address
        self._transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: self, family=socket.AF_UNIX, local_addr=name
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        """Listen no more."""
        self._transport.close()
