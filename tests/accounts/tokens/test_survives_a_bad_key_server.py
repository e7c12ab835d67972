from __future__ import annotations

import socket
import time
from typing import Any

import pytest

from accounts.tokens.fetch import JWKS_MAX_BYTES, fetch_jwks, is_trustworthy
from accounts.tokens.store import JwksStore
from accounts.tokens.verify import TokenVerifier
from gateway_core.errors import KeysUnavailable, TokenRejected
from tests.accounts.key_server import KeyServer, serving
from tests.accounts.mint import POLICY, Signer, new_signer
from tests.timing import Clock

FAULTS: dict[str, dict[str, Any]] = {
    "fails": {"status": 500},
    "is overloaded": {"status": 503},
    "knows no such path": {"status": 404},
    "has nothing new": {"status": 304, "document": b""},
    "is not ready": {"status": 202},
    "answers with a page": {"document": b"<html><body>Bad gateway</body></html>"},
    "answers with nothing": {"document": b""},
    "answers with other JSON": {"document": b'{"code":404,"msg":"no"}'},
    "breaks off": {"promised_length": 4096},
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_says_try_again_and_never_that_the_token_is_bad_when_it(
    fault: str, verifier: TokenVerifier, signer: Signer, key_server: KeyServer
) -> None:
    for name, value in FAULTS[fault].items():
        setattr(key_server, name, value)
    for _ in range(3):
        with pytest.raises(KeysUnavailable) as refusal:
            await verifier.averify(signer.token())
        assert refusal.value.status == 503
        assert refusal.value.retry_after is not None
        assert refusal.value.retry_after >= 1
    with pytest.raises(KeysUnavailable):
        verifier.verify(signer.token())
    assert key_server.fetches == 1


async def test_takes_no_more_than_its_limit(
    verifier: TokenVerifier, signer: Signer, key_server: KeyServer, clock: Clock
) -> None:
    key_server.document = key_server.document.ljust(JWKS_MAX_BYTES)
    assert await verifier.averify(signer.token())
    key_server.document += b" "
    clock.now += 1200  # as long as a set is trusted
    with pytest.raises(KeysUnavailable):
        await verifier.averify(signer.token())


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_follows_no_redirect(
    status: int, verifier: TokenVerifier, key_server: KeyServer
) -> None:
    with serving() as elsewhere:
        attacker = new_signer()
        elsewhere.publish(attacker)
        key_server.status = status
        key_server.headers = {"Location": elsewhere.url}
        with pytest.raises(KeysUnavailable):
            await verifier.averify(attacker.token())
        assert elsewhere.requests == []


async def test_asks_no_proxy_of_the_environment(
    verifier: TokenVerifier, signer: Signer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    assert await verifier.averify(signer.token())


async def test_accepts_no_token_of_a_legacy_project_by_its_empty_set(
    verifier: TokenVerifier, signer: Signer, key_server: KeyServer
) -> None:
    key_server.publish()
    with pytest.raises(TokenRejected):
        await verifier.averify(signer.token())


async def test_says_try_again_when_nobody_listens(signer: Signer) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/jwks.json"
        verifier = TokenVerifier(policy=POLICY, store=JwksStore(url))
        with pytest.raises(KeysUnavailable):
            await verifier.averify(signer.token())


async def test_keeps_no_caller_waiting_for_a_server_that_hangs(
    verifier: TokenVerifier, signer: Signer, key_server: KeyServer
) -> None:
    key_server.gate.clear()
    started = time.monotonic()
    with pytest.raises(KeysUnavailable):
        await verifier.averify(signer.token())
    assert time.monotonic() - started < 3
    before = time.monotonic()
    with pytest.raises(KeysUnavailable):
        verifier.verify(signer.token())
    assert time.monotonic() - before < 1


@pytest.mark.parametrize(
    ("url", "verdict"),
    [
        ("https://project.supabase.co/auth/v1/.well-known/jwks.json", True),
        ("http://127.0.0.1:54321/jwks.json", True),
        ("http://127.1.2.3/jwks.json", True),
        ("http://localhost:8000/jwks.json", True),
        ("http://[::1]:8000/jwks.json", True),
        ("http://project.supabase.co/jwks.json", False),
        ("http://10.0.0.1/jwks.json", False),
        ("http://127.0.0.1.evil.test/jwks.json", False),
        ("http://localhost.evil.test/jwks.json", False),
        ("http://localhost@evil.test/jwks.json", False),
        ("http://kong:8000/jwks.json", False),
        ("https://", False),
        ("file:///etc/passwd", False),
        ("ftp://127.0.0.1/jwks.json", False),
        ("127.0.0.1/jwks.json", False),
        ("", False),
    ],
)
def test_fetches_keys_only_over_tls_or_from_this_host(url: str, verdict: bool) -> None:  # noqa: FBT001
    assert is_trustworthy(url) is verdict
    if not verdict:
        with pytest.raises(ValueError, match="https"):
            JwksStore(url)
        with pytest.raises(ValueError, match="https"):
            fetch_jwks(url)
