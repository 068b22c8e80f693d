"""A policy as an OpenAI-compatible server, for attackers of other projects: `POST /v1/chat/completions`.

It answers one request at a time, without streaming, on the loopback interface unless told otherwise. What it cannot do
(tools, log-probabilities, images) it refuses by name with status 400, and nothing that a client sends is logged.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from unswayed.core.errors import UnswayedError
from unswayed.core.hashing import hash_json
from unswayed.core.jsonl import parse
from unswayed.core.types import Completion, Message, SamplingParams, TextPolicy

log = logging.getLogger(__name__)
LARGEST = 4 << 20
"""Bytes of a request that are read."""
DEFAULT_TOKENS = 256
_REFUSED = ("tools", "functions", "logprobs", "top_logprobs", "response_format", "audio", "modalities")
_ROLES = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}


class BadRequest(Exception):
    """What a client sent cannot be answered; the text says why."""


def start(policy: TextPolicy, *, host: str = "127.0.0.1", port: int = 0) -> ThreadingHTTPServer:
    """Return a server that is listening; `serve_forever` answers.

    Args:
        policy: who answers. It is asked by one thread at a time.
        host, port: where; port 0 takes a free one.

    Raises:
        UnswayedError: the port is taken, or the host is none of this machine.
    """
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            if self.path.rstrip("/") == "/v1/models":
                listed = {"id": policy.name, "object": "model", "owned_by": "unswayed", "created": 0}
                self._answer(200, {"object": "list", "data": [listed]})
            else:
                self._error(404, "there are /v1/models and /v1/chat/completions")

        def do_POST(self) -> None:
            if self.path.rstrip("/") != "/v1/chat/completions":
                self._error(404, "there are /v1/models and /v1/chat/completions")
                return
            try:
                body = self._body()
                prompt, params = read_request(body)
                with lock:
                    drawn = policy.complete([prompt], params)
                self._answer(200, answer_of(policy.name, drawn))
            except (BadRequest, UnswayedError) as problem:
                self._error(400, str(problem))

        def _body(self) -> dict[str, Any]:
            try:
                length = int(self.headers.get("content-length", ""))
            except ValueError:
                length = -1
            if not 0 < length <= LARGEST:
                self.close_connection = True
                raise BadRequest(f"a request has a content-length from 1 to {LARGEST} bytes")
            try:
                found = parse(self.rfile.read(length).decode("utf-8"))
            except (ValueError, RecursionError) as error:
                raise BadRequest(f"the body is no JSON: {error}") from error
            if not isinstance(found, dict):
                raise BadRequest("the body is no JSON object")
            return found

        def _error(self, code: int, text: str) -> None:
            self._answer(code, {"error": {"message": text, "type": "invalid_request_error", "code": None}})

        def _answer(self, code: int, value: Mapping[str, Any]) -> None:
            content = json.dumps(value).encode()
            self.send_response(code)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:
            log.debug("%s", format % args)

    try:
        server = ThreadingHTTPServer((host, port), Handler)
    except OSError as error:
        raise UnswayedError(
            f"cannot listen on {host}:{port}: {error.strerror or error}; choose another --port"
        ) from error
    server.daemon_threads = True
    return server


def read_request(body: Mapping[str, Any]) -> tuple[tuple[Message, ...], SamplingParams]:
    """Return the prompt and how to draw.

    Raises:
        BadRequest: something in it cannot be answered.
    """
    if body.get("stream"):
        raise BadRequest("stream: replies are sent whole; leave it out")
    for name in _REFUSED:
        if body.get(name):
            raise BadRequest(f"{name}: not served here")
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise BadRequest("messages: a list of at least one message")
    prompt = tuple(_message(one, place) for place, one in enumerate(messages))
    most = body.get("max_completion_tokens", body.get("max_tokens"))
    seed = body.get("seed")
    params = SamplingParams(
        temperature=_number(body, "temperature", 1.0, 0.0, 100.0),
        top_p=_number(body, "top_p", 1.0, 1e-9, 1.0),
        top_k=int(_number(body, "top_k", 0, 0, 1e9)),
        max_new_tokens=DEFAULT_TOKENS if most is None else int(_number({"max_tokens": most}, "max_tokens", 1, 1, 1e6)),
        n=int(_number(body, "n", 1, 1, 128)),
        # Without a seed every request is another draw, as clients of such servers expect.
        seed=time.time_ns() if seed is None else int(_number(body, "seed", 0, -(2**63), 2**63)),
    )
    return prompt, params


def answer_of(model: str, drawn: list[Completion]) -> dict[str, Any]:
    """Return completions as the body of an answer."""
    choices = [
        {"index": place, "finish_reason": one.finish, "message": {"role": "assistant", "content": one.text}}
        for place, one in enumerate(drawn)
    ]
    prompt, completion = drawn[0].prompt_tokens, sum(one.tokens for one in drawn)
    usage = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
    ident = f"chatcmpl-{hash_json([model, choices])[:24]}"
    return {"id": ident, "object": "chat.completion", "created": int(time.time()), "model": model, "choices": choices,
            "usage": usage}  # fmt: skip


def _message(value: Any, place: int) -> Message:
    if not isinstance(value, dict) or value.get("role") not in _ROLES:
        raise BadRequest(f"messages[{place}]: an object with a role of {', '.join(_ROLES)}")
    content = value.get("content")
    if isinstance(content, list):
        if any(not isinstance(part, dict) or part.get("type") != "text" for part in content):
            raise BadRequest(f"messages[{place}]: parts other than text are not served here")
        content = "".join(str(part.get("text", "")) for part in content)
    if not isinstance(content, str):
        raise BadRequest(f"messages[{place}]: content is a text")
    return Message(_ROLES[value["role"]], content)  # type: ignore[arg-type]


def _number(body: Mapping[str, Any], name: str, default: float, least: float, most: float) -> float:
    value = body.get(name)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
        raise BadRequest(f"{name}: a number from {least:g} to {most:g}")
    return value
