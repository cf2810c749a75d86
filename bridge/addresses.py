"""Whose request it is: the client's address, also where a proxy that is trusted hands it on.

Only X-Forwarded-For counts, which every proxy can write. Were Forwarded (RFC 7239) read as well, a
client could write that one, and its proxy would pass it on.
"""

from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import TypeAlias

Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network


class Proxies:
    """The proxies whose word about a client's address is taken."""

    def __init__(self, networks: Sequence[Network] = ()) -> None:
        """Take the networks they are in; none: nobody's word is taken."""
        self._networks = tuple(networks)
        self._trusts = lru_cache(maxsize=1024)(self._is_inside)

    def client(self, peer: str, forwarded: Sequence[str]) -> str:
        """Return the client's address, given who connected and the X-Forwarded-For headers.

        Each proxy adds whom it heard from at the end, so the last address that is no trusted
        proxy's is the client's; what stands before it the client may have made up.
        """
        if not self._networks:
            return peer.removeprefix("::ffff:")
        heard = peer
        hops = [hop for header in forwarded for hop in header.split(",")]
        while self._trusts(heard) and hops:
            hop = parsed(hops.pop())
            if hop is None:
                break
            heard = str(hop)
        return heard

    def _is_inside(self, text: str) -> bool:
        address = parsed(text)
        return address is not None and any(address in network for network in self._networks)


def is_loopback(host: str) -> bool:
    """Whether a host of the settings, an address or a name, is this machine alone."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def network_of(address: str) -> str:
    """Return what one client has: an IPv4 address, or of IPv6 a network /64 (RFC 6177)."""
    return _network_64(address) if ":" in address else address


@lru_cache(maxsize=1024)
def _network_64(address: str) -> str:
    found = parsed(address)
    if not isinstance(found, IPv6Address):
        return address
    return str(IPv6Network((found, 64), strict=False))


def parsed(text: str) -> Address | None:
    """Read an address as proxies write it: perhaps with a port, in brackets, or IPv4 as IPv6."""
    text = text.strip().strip('"')
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
