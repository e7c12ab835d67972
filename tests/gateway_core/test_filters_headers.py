from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from gateway_core.headers import request_headers, response_headers

# Of hops, of identity and tenancy, of routing, and what makes browsers do something.
_NEVER = [
    *("connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"),
    *("proxy-authorization", "proxy-authenticate", "proxy-connection", "http2-settings"),
    *("authorization", "cookie", "set-cookie", "x-api-key", "api-key", "x-litellm-api-key"),
    *("user_id", "x-user-id", "x-organization-id", "x-project-id", "x-litellm-end-user-id"),
    *("host", "forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "x-original-url"),
    *("x-rewrite-url", "x-http-method-override", "content-length", "expect", "range"),
    *("location", "server", "refresh", "link", "alt-svc", "x-litellm-model-api-base"),
    # The product's limits at its providers, which its users share and have no part in.
    *("x-ratelimit-limit-requests", "x-ratelimit-remaining-tokens", "llm_provider-request-id"),
    *("x-ratelimit-api_key-remaining-requests", "x-ratelimit-reset-tokens", "ratelimit"),
    *("access-control-allow-origin", "content-security-policy", "strict-transport-security"),
]
_LET_THROUGH = [
    *("accept", "content-type", "anthropic-version", "last-event-id", "x-stainless-lang", "etag"),
    *("cache-control", "content-encoding", "retry-after", "x-litellm-call-id"),
]
_names = st.sampled_from(_NEVER + _LET_THROUGH) | st.from_regex(
    r"[!#-'*+.^-z|~-]{1,20}", fullmatch=True
)
_cased = st.tuples(_names, st.booleans()).map(lambda one: one[0].upper() if one[1] else one[0])
_values = st.binary(max_size=12) | st.sampled_from(
    [b"a\r\nset-cookie: b", b"a\nb", b"a\rb", b"a\0b", b"\x1b[31m", b"\x7f", b"\tfine\xe9"]
)
_pairs = st.lists(st.tuples(_cased.map(str.encode), _values), max_size=12)


@given(_pairs)
def test_lets_nothing_of_hops_identity_or_routing_through(pairs: list[tuple[bytes, bytes]]) -> None:
    lowered = [(name.lower(), value) for name, value in pairs]  # as ASGI has them
    sent = request_headers(lowered)
    answered = [(name.decode(), value.decode("latin-1")) for name, value in response_headers(pairs)]

    for name, value in [*sent.items(), *answered]:
        assert name not in _NEVER
        assert name == name.lower()
        assert not re.search(r"[\x00-\x08\x0a-\x1f\x7f]", value)


@given(_pairs)
def test_changes_nothing_that_it_lets_through(pairs: list[tuple[bytes, bytes]]) -> None:
    given_values = {(name.lower(), value) for name, value in pairs}

    assert set(response_headers(pairs)) <= given_values
    for name, value in request_headers([(name.lower(), value) for name, value in pairs]).items():
        assert (name.encode(), value.encode("latin-1")) in given_values


def test_lets_through_what_it_should() -> None:
    for name in _LET_THROUGH:
        pair = (name.encode(), b"\tvalue \xe9")
        assert request_headers([pair]) or response_headers([pair])
