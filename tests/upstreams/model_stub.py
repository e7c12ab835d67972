"""A deterministic OpenAI-compatible model that uses tools: what agents think with in the tests.

    model_stub.py [PORT]        (for load and for plain chat there is fast_stub.py)

GET /v1/models, POST /v1/chat/completions (streamed or not) and /v1/embeddings. GET /log tells of the last
requests, and whether their client went away. It answers 'stub says: <text>', unless the last user message
holds a directive:

    TOOL:<name> {json}    one call of that tool with these arguments, then an answer about its result
    SLOW:<n>:<seconds>    n words, that many seconds between two
    LONG:<n>              n words
    ERR:<status>          an HTTP error of that status
    CTX                   the 400 of a context window that is too small
    DROP                  the stream begins and the connection is cut
"""

import hashlib
import json
import re
import sys
import time
from collections import deque
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

CONTEXT_WINDOW = 32000
MODELS = ("stub-chat", "gpt-4o-mini")
ERROR_CODES = {429: "rate_limit_exceeded", 401: "invalid_api_key", 402: "insufficient_quota"}
LOG = deque(maxlen=50)


@dataclass
class Plan:
    """What one chat completion will do."""

    content: str | None = None
    calls: list[tuple[str, str]] = field(default_factory=list)
    delay_seconds: float = 0.0
    words: int = 1
    error: int | None = None
    is_too_long: bool = False
    drops: bool = False


def make_plan(body: dict) -> Plan:
    messages = body.get("messages") or []
    tools = {
        tool["function"]["name"]
        for tool in body.get("tools") or []
        if tool.get("type") == "function"
    }
    text = last_user_text(messages)
    plan = Plan(
        is_too_long=bool(re.search(r"\bCTX\b", text)), drops=bool(re.search(r"\bDROP\b", text))
    )
    reply = "stub says: " + text
    if found := re.search(r"ERR:(\d+)", text):
        plan.error = int(found[1])
    if found := re.search(r"(?:SLOW|LONG):(\d+)(?::([\d.]+))?", text):
        plan.words, plan.delay_seconds = int(found[1]), float(found[2] or 0)
        reply = " ".join(f"w{i}" for i in range(plan.words))
    last = messages[-1] if messages else {}
    follows_tool = last.get("role") == "tool"
    if follows_tool:
        reply = "tool returned: " + text_of(last.get("content"))[:200]
    elif found := re.search(r"TOOL:([A-Za-z0-9_]+)\s*(\{.*\})?", text, re.DOTALL):
        plan.calls = [(found[1], found[2] or "{}")]
        return plan
    if "send_message" not in tools:
        plan.content = reply
    elif follows_tool and '"send_message"' in json.dumps(messages[-2:]):
        plan.content = "done"
    else:
        plan.calls = [("send_message", json.dumps({"thinking": "stub thought", "message": reply}))]
    return plan


def last_user_text(messages: list[dict]) -> str:
    for message in reversed(messages):
        if message.get("role") != "user":
            continue
        text = text_of(message.get("content"))
        try:  # older agent types wrap what the user said in JSON
            wrapped = json.loads(text)
            text = wrapped.get("message", text) if isinstance(wrapped, dict) else text
        except ValueError:
            pass
        if "<system-reminder>" not in text and '"type": "heartbeat"' not in text:
            return text
    return ""


def text_of(content) -> str:
    if isinstance(content, list):
        return " ".join(part.get("text", "") for part in content if isinstance(part, dict))
    return content if isinstance(content, str) else ""


def embedding(text: str, dimensions: int) -> list[float]:
    digest = hashlib.sha256(text.encode()).digest()
    return [((digest[i % 32] + i) % 256) / 255 - 0.5 for i in range(dimensions)]


def call_id() -> str:
    return f"call_{time.time_ns() // 1000}"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        path = self.path.split("?")[0]
        if path.endswith("/models"):
            model = {
                "object": "model",
                "created": 1,
                "owned_by": "stub",
                "context_length": CONTEXT_WINDOW,
                "max_model_len": CONTEXT_WINDOW,
            }
            self.answer(200, {"object": "list", "data": [{"id": name, **model} for name in MODELS]})
        elif path == "/log":
            self.answer(200, list(LOG))
        else:
            self.answer(404, {"error": {"message": "no such path " + path}})

    def do_POST(self):
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = json.loads(raw or b"{}")
        path = self.path.split("?")[0]
        self.entry = {
            "time": time.time(),
            "path": path,
            "model": body.get("model"),
            "stream": body.get("stream"),
            "user": body.get("user"),
            "headers": {name.lower(): value for name, value in self.headers.items()},
            "bytes": len(raw),
            "text": last_user_text(body.get("messages") or []),
        }
        LOG.append(self.entry)
        if path.endswith("/embeddings"):
            self.embed(body)
        elif path.endswith("/chat/completions"):
            self.chat(body, prompt_tokens=max(1, len(raw) // 4))
        else:
            self.answer(404, {"error": {"message": "no such path " + path}})

    def embed(self, body):
        inputs = body.get("input")
        inputs = inputs if isinstance(inputs, list) else [inputs]
        vectors = [embedding(str(text), body.get("dimensions") or 1536) for text in inputs]
        data = [
            {"object": "embedding", "index": i, "embedding": vector}
            for i, vector in enumerate(vectors)
        ]
        self.answer(
            200,
            {
                "object": "list",
                "model": body.get("model"),
                "data": data,
                "usage": {"prompt_tokens": 1, "total_tokens": 1},
            },
        )

    def chat(self, body, *, prompt_tokens):
        plan = make_plan(body)
        if plan.is_too_long:
            message = f"This model's maximum context length is {CONTEXT_WINDOW} tokens. However, your messages resulted in 99999 tokens."
            return self.answer(
                400,
                {
                    "error": {
                        "message": message,
                        "type": "invalid_request_error",
                        "param": "messages",
                        "code": "context_length_exceeded",
                    }
                },
            )
        if plan.error:
            error = {
                "message": f"stub error {plan.error}",
                "type": "stub_error",
                "code": ERROR_CODES.get(plan.error, "stub"),
            }
            return self.answer(
                plan.error, {"error": error}, {"Retry-After": "1"} if plan.error == 429 else {}
            )
        base = {
            "id": f"chatcmpl-{time.time_ns()}",
            "created": int(time.time()),
            "model": body.get("model"),
            "system_fingerprint": "stub",
        }
        usage = {
            "prompt_tokens": prompt_tokens,
            "completion_tokens": 10,
            "total_tokens": prompt_tokens + 10,
        }
        if body.get("stream"):
            return self.stream(plan, base, usage)
        time.sleep(plan.delay_seconds * plan.words)
        message = {"role": "assistant", "content": plan.content}
        if plan.calls:
            message["tool_calls"] = [
                {
                    "id": call_id(),
                    "type": "function",
                    "function": {"name": name, "arguments": arguments},
                }
                for name, arguments in plan.calls
            ]
        choice = {
            "index": 0,
            "message": message,
            "finish_reason": "tool_calls" if plan.calls else "stop",
            "logprobs": None,
        }
        return self.answer(
            200, {**base, "object": "chat.completion", "choices": [choice], "usage": usage}
        )

    def stream(self, plan, base, usage):
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        base = {**base, "object": "chat.completion.chunk"}
        sent = 0
        try:
            for delta in self.deltas(plan):
                self.event(
                    {
                        **base,
                        "choices": [{"index": 0, "delta": delta, "finish_reason": None}],
                        "usage": None,
                    }
                )
                sent += 1
                if plan.drops:
                    return
                if sent > 1:
                    time.sleep(plan.delay_seconds)
            finish = "tool_calls" if plan.calls else "stop"
            self.event(
                {
                    **base,
                    "choices": [{"index": 0, "delta": {}, "finish_reason": finish}],
                    "usage": None,
                }
            )
            self.event({**base, "choices": [], "usage": usage})
            self.wfile.write(b"data: [DONE]\n\n")
            self.entry["done"] = True
        except (BrokenPipeError, ConnectionResetError):
            self.entry["client_gone"] = {"after_chunks": sent, "time": time.time()}

    def deltas(self, plan):
        yield {"role": "assistant", "content": ""}
        for word in re.findall(r"\S+\s*", plan.content or ""):
            yield {"content": word}
        for i, (name, arguments) in enumerate(plan.calls):
            yield {
                "tool_calls": [
                    {
                        "index": i,
                        "id": call_id(),
                        "type": "function",
                        "function": {"name": name, "arguments": ""},
                    }
                ]
            }
            for start in range(0, len(arguments), 12):
                yield {
                    "tool_calls": [
                        {"index": i, "function": {"arguments": arguments[start : start + 12]}}
                    ]
                }

    def event(self, data):
        self.wfile.write(b"data: " + json.dumps(data).encode() + b"\n\n")
        self.wfile.flush()

    def answer(self, status, data, headers=None):
        content = json.dumps(data).encode()
        self.send_response(status)
        for name, value in {
            "Content-Type": "application/json",
            "Content-Length": str(len(content)),
            **(headers or {}),
        }.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)


if __name__ == "__main__":
    ThreadingHTTPServer(
        ("127.0.0.1", int(sys.argv[1]) if len(sys.argv) > 1 else 18001), Handler
    ).serve_forever()
