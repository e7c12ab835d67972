"""A fast OpenAI-compatible provider: what LiteLLM's models are in the tests, and what the benchmark loads.

    fast_stub.py [PORT]        (agents need tools in their answers: they have model_stub.py)

A raw asyncio protocol, so that it never is the narrow place. The model's name picks the behaviour:

    slow                 answers after 2 s
    err<status>          an HTTP error of that status
    n<N> and d<ms>       in a stream: N chunks, that many milliseconds apart, e.g. s-n100-d10
    midfail, miderr      the stream is cut, or an error event is sent, after three chunks

GET /log tells of the last requests: time, path, headers, body, and for a stream that its client cut, after
how many chunks and when.
"""

import asyncio
import json
import re
import sys
import time
from collections import deque

try:
    import uvloop

    uvloop.install()
except ImportError:
    pass

USAGE = {"prompt_tokens": 10, "completion_tokens": 20, "total_tokens": 30}
CREATED = 1700000000
NUMBERED = b"stub-00000000"  # replaced by a number of its own in each answer: LiteLLM's spend log is keyed by it
LIMIT_HEADERS = "x-ratelimit-limit-requests: 1000\r\nx-ratelimit-remaining-requests: 999\r\nopenai-organization: stub-org\r\nx-request-id: req_stub\r\n"
MODERATION = {
    "id": "modr-stub-00000000",
    "model": "m",
    "results": [
        {"flagged": False, "categories": {"hate": False}, "category_scores": {"hate": 0.01}}
    ],
}
RESPONSE = {
    "id": "resp_stub-00000000",
    "object": "response",
    "created_at": 1,
    "status": "completed",
    "model": "fast",
    "output": [
        {
            "type": "message",
            "id": "msg_1",
            "role": "assistant",
            "status": "completed",
            "content": [{"type": "output_text", "text": "Hello", "annotations": []}],
        }
    ],
    "usage": {"input_tokens": 1, "output_tokens": 2, "total_tokens": 3},
    "parallel_tool_calls": True,
    "tool_choice": "auto",
    "tools": [],
    "temperature": 1,
    "top_p": 1,
    "metadata": {},
    "instructions": None,
    "error": None,
    "incomplete_details": None,
}

RESPONSE_EVENTS = [
    {
        "type": "response.created",
        "sequence_number": 0,
        "response": {**RESPONSE, "status": "in_progress", "output": [], "usage": None},
    },
    {
        "type": "response.output_text.delta",
        "sequence_number": 1,
        "item_id": "msg_1",
        "output_index": 0,
        "content_index": 0,
        "delta": "Hel",
        "logprobs": [],
    },
    {
        "type": "response.output_text.delta",
        "sequence_number": 2,
        "item_id": "msg_1",
        "output_index": 0,
        "content_index": 0,
        "delta": "lo",
        "logprobs": [],
    },
    {"type": "response.completed", "sequence_number": 3, "response": RESPONSE},
]
STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
)
STREAM_END = b"0\r\n\r\n"


def response(body, status=200, content_type="application/json", headers=""):
    body = body if isinstance(body, bytes) else json.dumps(body).encode()
    return (
        f"HTTP/1.1 {status} X\r\ncontent-type: {content_type}\r\ncontent-length: {len(body)}\r\n{headers}\r\n".encode()
        + body
    )


FIXED = {
    "/embeddings": response(
        {
            "object": "list",
            "data": [{"object": "embedding", "index": 0, "embedding": [0.1, 0.2, 0.3]}],
            "model": "emb",
            "usage": {"prompt_tokens": 5, "total_tokens": 5},
        }
    ),
    "/models": response(
        {
            "object": "list",
            "data": [{"id": "fast", "object": "model", "created": 1, "owned_by": "stub"}],
        }
    ),
    "/images/generations": response({"created": 1, "data": [{"b64_json": "aGk="}]}),
    "/audio/speech": response(b"ID3fakeaudio" * 100, content_type="audio/mpeg"),
    "/audio/transcriptions": response({"text": "hello world"}),
    "/moderations": response(MODERATION),
    "/rerank": response(
        {
            "id": "rank-stub-00000000",
            "results": [{"index": 0, "relevance_score": 0.9}],
            "meta": {"billed_units": {"search_units": 1}},
        }
    ),
    "/responses": response(RESPONSE),
    # What the gateway asks of LiteLLM for a new user: the benchmark puts it directly before this stub.
    "/user/new": response({}),
    "/key/generate": response({}),
}


def chat_completion(model):
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": "Hello from the stub."},
        "finish_reason": "stop",
    }
    return {
        "id": "chatcmpl-stub-00000000",
        "object": "chat.completion",
        "created": CREATED,
        "model": model,
        "choices": [choice],
        "usage": USAGE,
    }


def text_completion(model):
    choice = {"index": 0, "text": "Hello from the stub.", "finish_reason": "stop", "logprobs": None}
    return {
        "id": "cmpl-stub-00000000",
        "object": "text_completion",
        "created": CREATED,
        "model": model,
        "choices": [choice],
        "usage": USAGE,
    }


def chunk(data):
    return b"%x\r\n%s\r\n" % (len(data), data)


def event(data):
    return chunk(b"data: " + json.dumps(data).encode() + b"\n\n")


def number_in(model, letter, default):
    found = re.search(letter + r"(\d+)", model)
    return int(found[1]) if found else default


class Stub(asyncio.Protocol):
    log = deque(maxlen=500)
    answers = {}
    sequence = int(time.time()) % 10**5 * 1000

    def connection_made(self, transport):
        self.transport, self.buffer, self.task, self.sent = transport, b"", None, 0

    def connection_lost(self, _):
        if self.task and not self.task.done():
            self.task.cancel()
            self.entry["cut"] = {"after_chunks": self.sent, "time": time.time()}

    def data_received(self, data):
        self.buffer += data
        while (request := self.next_request()) is not None:
            self.handle(*request)

    def next_request(self):
        """Take one whole request off the buffer: its head and its body."""
        end = self.buffer.find(b"\r\n\r\n")
        if end < 0:
            return None
        head = self.buffer[:end]
        lower = head.lower()
        if b"transfer-encoding: chunked" in lower:
            last = self.buffer.find(b"0\r\n\r\n", end)
            if last < 0:
                return None
            raw, self.buffer = self.buffer[end + 4 : last], self.buffer[last + 5 :]
            return head, unchunked(raw)
        found = re.search(rb"content-length:\s*(\d+)", lower)
        size = end + 4 + (int(found[1]) if found else 0)
        if len(self.buffer) < size:
            return None
        body, self.buffer = self.buffer[end + 4 : size], self.buffer[size:]
        return head, body

    def handle(self, head, body):
        path = head.split(b" ", 2)[1].split(b"?")[0].decode()
        if path == "/log":
            self.transport.write(response([readable(entry) for entry in self.log]))
            return
        self.entry = {"time": time.time(), "path": path, "head": head, "body": body}
        if not path.endswith("/models"):
            self.log.append(self.entry)
        if path.endswith("/completions"):
            self.complete(path, body)
            return
        if path.endswith("/responses") and b'"stream":true' in body.replace(b" ", b""):
            events = self.numbered(b"".join(map(event, RESPONSE_EVENTS)))
            self.transport.write(STREAM_HEAD + events + STREAM_END)
            return
        for ending, answer in FIXED.items():
            if path.endswith(ending):
                self.transport.write(self.numbered(answer))
                return
        error = {
            "message": "stub: no route " + path,
            "type": "invalid_request_error",
            "param": None,
            "code": None,
        }
        self.transport.write(response({"error": error}, 404))

    def complete(self, path, body):
        found = re.search(rb'"model":\s*"([^"]*)"', body)
        model = found[1].decode() if found else "x"
        compact = body.replace(b" ", b"")
        if status := re.search(r"err(\d+)", model):
            self.transport.write(self.error(int(status[1])))
        elif b'"stream":true' in compact:
            self.task = asyncio.ensure_future(
                self.stream(model, with_usage=b'"include_usage":true' in compact)
            )
        elif model.startswith("slow"):
            self.task = asyncio.ensure_future(self.complete_late(path, model))
        else:
            self.transport.write(self.completion(path, model))

    def completion(self, path, model):
        answer = self.answers.get((path, model))
        if answer is None:
            content = (
                chat_completion(model)
                if path.endswith("/chat/completions")
                else text_completion(model)
            )
            answer = self.answers[path, model] = response(content, headers=LIMIT_HEADERS)
        return self.numbered(answer)

    async def complete_late(self, path, model):
        await asyncio.sleep(2)
        self.transport.write(self.completion(path, model))

    def error(self, status):
        error = {
            "message": f"stub says {status}",
            "type": "stub_error",
            "param": None,
            "code": str(status),
        }
        headers = "retry-after: 7\r\nx-ratelimit-remaining-requests: 0\r\n" if status == 429 else ""
        return response({"error": error}, status, headers=headers)

    async def stream(self, model, *, with_usage):
        chunks, delay_seconds = number_in(model, "n", 5), number_in(model, "d", 0) / 1000
        write, self.sent = self.transport.write, 0
        base = {
            "id": "chatcmpl-stub-%08d" % self.next_number(),
            "object": "chat.completion.chunk",
            "created": CREATED,
            "model": model,
        }

        def delta(content, finish=None):
            return event(
                {**base, "choices": [{"index": 0, "delta": content, "finish_reason": finish}]}
            )

        write(STREAM_HEAD)
        write(delta({"role": "assistant", "content": ""}))
        token = delta({"content": "tok "})
        for i in range(chunks):
            if delay_seconds:
                await asyncio.sleep(delay_seconds)
            write(token)
            self.sent += 1
            if i == 2 and "midfail" in model:
                self.transport.close()
                return
            if i == 2 and "miderr" in model:
                error = {
                    "message": "stub overloaded mid-stream",
                    "type": "server_error",
                    "param": None,
                    "code": "503",
                }
                write(event({"error": error}) + STREAM_END)
                return
        write(delta({}, "stop"))
        if with_usage:
            write(event({**base, "choices": [], "usage": USAGE}))
        write(chunk(b"data: [DONE]\n\n") + STREAM_END)

    def numbered(self, answer):
        return answer.replace(NUMBERED, b"stub-%08d" % self.next_number())

    @classmethod
    def next_number(cls):
        cls.sequence += 1
        return cls.sequence


def unchunked(raw):
    body = b""
    while raw:
        size, _, rest = raw.partition(b"\r\n")
        length = int(size, 16)
        body, raw = body + rest[:length], rest[length + 2 :]
    return body


def readable(entry):
    lines = entry["head"].decode("latin-1").split("\r\n")[1:]
    headers = {
        name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)
    }
    return {
        **entry,
        "head": None,
        "headers": headers,
        "body": entry["body"].decode("utf-8", "replace"),
    }


async def main():
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 18110
    server = await asyncio.get_running_loop().create_server(Stub, "127.0.0.1", port, backlog=1024)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
