"""The handshake of TLS, as a visitor of its own: one who never ends it takes no place for long."""

import asyncio
from collections.abc import Callable
from ssl import SSLContext
from typing import cast

from bridge.api.door import Door, home_of


class Handshake(asyncio.Protocol):
    """Shakes hands on a new connection, and then leaves it to what speaks over TLS."""

    def __init__(
        self, door: Door, tls: SSLContext, speaker: Callable[[], asyncio.Protocol]
    ) -> None:
        """Take what makes the speaker once the handshake is done."""
        self._door, self._tls, self._speaker = door, tls, speaker
        self._transport: asyncio.Transport | None = None
        self.home = ""
        self._early = b""
        self._gone = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin, if there is room: to refuse politely would take the handshake."""
        self._transport = cast(asyncio.Transport, transport)
        self.home = home_of(transport)
        if not self._door.enter(self):
            self._transport.abort()
            return
        self._transport.pause_reading()
        self._door.own(self._shake(self._transport))

    def data_received(self, data: bytes) -> None:
        """Keep what comes right behind the handshake."""
        self._early += data

    def connection_lost(self, exc: Exception | None) -> None:
        """Give up."""
        self._gone = True
        self._door.leave(self)

    def is_overdue(self, since: float) -> bool:
        """Tell nothing: the handshake has a time limit of its own."""
        return False

    def hurry(self) -> None:
        """Close."""
        self.dismiss()

    def dismiss(self) -> None:
        """Close."""
        if self._transport is not None:
            self._transport.abort()

    async def _shake(self, transport: asyncio.Transport) -> None:
        patience = self._door.manners.patience
        try:
            secured = await asyncio.get_running_loop().start_tls(
                transport,
                self,
                self._tls,
                server_side=True,
                ssl_handshake_timeout=patience,
                ssl_shutdown_timeout=patience,
            )
        except OSError:  # every way in which it can fail: that of TLS, a reset, the time limit
            transport.abort()
            return
        finally:
            self._door.leave(self)
        if secured is not None and not self._gone:
            self._hand_over(secured)

    def _hand_over(self, secured: asyncio.Transport) -> None:
        speaker = self._speaker()
        secured.set_protocol(speaker)
        speaker.connection_made(secured)
        if self._early:
            speaker.data_received(self._early)
