"""A chat-completions server in this process whose answers a test scripts."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Answer = tuple[int, str, dict[str, str]]


class Server:
    """Answers each request as `answer` says; `asked` keeps what was sent, `most` how many were under way at once."""

    def __init__(self, answer: Callable[[dict[str, Any], int], Answer]) -> None:
        self.answer = answer
        self.asked: list[tuple[str, dict[str, Any], dict[str, str]]] = []
        self.most = self._now = 0
        self._lock = threading.Lock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                with outer._lock:
                    outer.asked.append((self.path, body, dict(self.headers)))
                    number = len(outer.asked)
                    outer._now += 1
                    outer.most = max(outer.most, outer._now)
                code, text, headers = outer.answer(body, number)
                with outer._lock:
                    outer._now -= 1
                self.send_response(code)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                with suppress(BrokenPipeError, ConnectionResetError):
                    self.wfile.write(text.encode())

            def log_message(self, *args: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}/v1"
        threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def close(self) -> None:
        self.http.shutdown()
        self.http.server_close()


def said(text: str | None, **choice: Any) -> Answer:
    message = {"role": "assistant", "content": text, **choice.pop("message", {})}
    return 200, json.dumps({"choices": [{"message": message, "finish_reason": "stop", **choice}]}), {}
