"""Events that carry a number, so that a test can tell which of them arrived."""

from __future__ import annotations

from gateway_core.audit.events import encode


def numbered(number: int, *, writer: str = "", padding: int = 0) -> bytes:
    return encode(
        {
            "plane": "data",
            "action": "test",
            "route": "llm",
            "method": "POST",
            "path": "/",
            "resource": "",
            "client_ip": "",
            "request_id": "",
            "trace_id": "",
            "code": "",
            "bytes_in": 0,
            "bytes_out": 0,
            "facts": {"writer": writer, "number": number, "padding": "x" * padding},
        }
    )
