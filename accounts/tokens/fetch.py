"""The one call to the key server."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

from gateway_core.errors import UpstreamAnswerInvalid
from gateway_core.rest import RestClient

JWKS_MAX_BYTES: Final = 256 * 1024
# Callers wait for store.WAIT_SECONDS; one attempt should not outlast that by much.
_CONNECT_SECONDS: Final = 2.0
_READ_SECONDS: Final = 2.0
_OK: Final = 200


def is_trustworthy(url: str) -> bool:
    """Say whether keys may be fetched from this URL: by https, or by http from this very host."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.scheme == "https":
        return bool(host)
    return parts.scheme == "http" and (host == "localhost" or _is_loopback(host))


def fetch_jwks(url: str) -> bytes:
    """Return the JWKS document: no redirects, no proxies, at most 256 KiB.

    Raises:
        UpstreamError: no answer, or one that is not a plain 200.
        ValueError: the URL is not trustworthy.
    """
    if not is_trustworthy(url):
        raise ValueError("Keys are fetched by https only, except from this host.")
    parts = urlsplit(url)
    client = RestClient(
        f"{parts.scheme}://{parts.netloc}",
        headers={"accept": "application/json"},
        connect_timeout=_CONNECT_SECONDS,
        read_timeout=_READ_SECONDS,
        limit=JWKS_MAX_BYTES,
    )
    try:
        answer = client.call("GET", parts.path + (f"?{parts.query}" if parts.query else ""))
    finally:
        client.close()
    if answer.status != _OK:
        raise UpstreamAnswerInvalid(f"The key server answered with status {answer.status}.")
    return answer.content


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
