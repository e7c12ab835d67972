"""A real key server on loopback that answers, fails, hangs and lies on command."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from accounts.tokens.store import JwksStore
from tests.accounts.mint import Signer, jwks

PATH = "/auth/v1/.well-known/jwks.json"


@dataclass
class KeyServer:
    """What the server does next. While ``gate`` is clear, requests hang."""

    url: str = ""
    document: bytes = b'{"keys":[]}'
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    promised_length: int | None = None
    gate: threading.Event = field(default_factory=threading.Event)
    requests: list[str] = field(default_factory=list)

    def publish(self, *signers: Signer) -> None:
        self.document = jwks(*signers)

    @property
    def fetches(self) -> int:
        return len(self.requests)


@contextmanager
def serving() -> Iterator[KeyServer]:
    """Serve until the block ends."""
    state = KeyServer()
    state.gate.set()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            state.requests.append(self.path)
            state.gate.wait(30)
            self.send_response(state.status)
            length = state.promised_length or len(state.document)
            for name, value in {"Content-Length": str(length), **state.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(state.document)
            if state.promised_length:
                self.close_connection = True

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 64

        def handle_error(self, *_: object) -> None:
            """A client that hangs up is no news."""

    server = Server(("127.0.0.1", 0), Handler)
    state.url = f"http://127.0.0.1:{server.server_port}{PATH}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield state
    finally:
        state.gate.set()
        server.shutdown()
        server.server_close()
        thread.join()


def wait_for_fetch(store: JwksStore) -> None:
    """Wait until a fetch that runs behind the callers has ended."""
    flight = store._flight
    if flight is not None:
        flight.result(10)
