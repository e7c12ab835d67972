"""Whose an address is."""

from __future__ import annotations

from ipaddress import IPv6Address, ip_address, ip_network
from typing import Final

_IPV6_NETWORK_BITS: Final = 64  # what one subscriber gets


def subscriber(given: str) -> str:
    """Return an address; of IPv6 the network, since one subscriber has all of it."""
    try:
        ip = ip_address(given)
    except ValueError:
        return given
    if not isinstance(ip, IPv6Address):
        return given
    if ip.ipv4_mapped is not None:
        return str(ip.ipv4_mapped)
    return str(ip_network((ip, _IPV6_NETWORK_BITS), strict=False).network_address)
