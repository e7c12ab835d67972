"""Which web addresses are out in the public, as far as an address alone can tell.

A public name that resolves to an address inside can't be told from here: closing that is for the
network around LiteLLM.
"""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address, IPv6Network
from typing import Final
from urllib.parse import urlsplit

_SCHEMES: Final = frozenset({"http", "https"})
# Some readers of URLs drop these and others end the host at them.
_CONTROL: Final = re.compile(r"[\0-\x1f\x7f]").search
_NAME: Final = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*").fullmatch
# A host whose last label is one of these is an IPv4 address to the resolvers of most systems, in
# whatever notation: 2130706433, 0x7f.1 and 017700000001 are all 127.0.0.1.
_NUMBER: Final = re.compile(r"[0-9]+|0x[0-9a-f]*").fullmatch
_INSIDE: Final = frozenset(
    {
        "corp",
        "home",
        "internal",
        "intranet",
        "lan",
        "local",
        "localdomain",
        "localhost",
        "private",
        "svc",
    }
)
_HOME_ARPA: Final = ".home.arpa"  # RFC 8375
_ALLOCATED_V6: Final = IPv6Network("2000::/3")


def is_public(url: str) -> bool:
    """Say whether a URL is http(s) to a public name or address, written in one readable way."""
    url = url.strip()
    if _CONTROL(url) or "\\" in url:
        return False
    try:
        parts = urlsplit(url)
        host, _ = (parts.hostname or "").removesuffix("."), parts.port
    except ValueError:
        return False
    if parts.scheme not in _SCHEMES or "@" in parts.netloc:
        return False
    if ":" in host:
        return _is_public_v6(host)
    last = host.rpartition(".")[2]
    if _NUMBER(last):
        return _is_public_v4(host)
    return (
        _NAME(host) is not None
        and last != host
        and last not in _INSIDE
        and not host.endswith(_HOME_ARPA)
    )


def _is_public_v4(host: str) -> bool:
    try:
        address = IPv4Address(host)
    except ValueError:
        return False
    return address.is_global and not address.is_multicast


def _is_public_v6(host: str) -> bool:
    """Addresses that carry an IPv4 address in them (mapped, 6to4, NAT64) are not asked for it."""
    try:
        address = IPv6Address(host)
    except ValueError:
        return False
    return address in _ALLOCATED_V6 and address.is_global and address.sixtofour is None
