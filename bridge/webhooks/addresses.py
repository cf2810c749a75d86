"""Where nothing is sent: to this machine, into private networks, or anywhere not global.

Source: IANA IPv4 and IPv6 Special-Purpose Address Registries, by way of ``ipaddress``.
"""

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final

Network = IPv4Network | IPv6Network

_GLOBAL_UNICAST: Final = IPv6Network("2000::/3")
_NAT64: Final = IPv6Network("64:ff9b::/96")
_RELAYS: Final = IPv4Network("192.88.99.0/24")


def may_reach(text: str, allowed: Sequence[Network]) -> bool:
    """Whether something may be sent to an address: a global one, or one of ``allowed`` networks.

    An IPv6 address that stands for an IPv4 address is what that one is. Raises ValueError for
    what is no address.
    """
    address = _meant(ip_address(text.partition("%")[0]))
    return any(address in network for network in allowed) or _is_global(address)


def _meant(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """The IPv4 address that an IPv6 address leads to (RFC 4291, 6052, 3056), or itself."""
    if isinstance(address, IPv4Address):
        return address
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or address


def _is_global(address: IPv4Address | IPv6Address) -> bool:
    if address.is_multicast or not address.is_global:
        return False
    return (
        address not in _RELAYS if isinstance(address, IPv4Address) else address in _GLOBAL_UNICAST
    )
