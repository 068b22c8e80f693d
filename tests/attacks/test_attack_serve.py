"""The server of `unswayed attack serve`: what it answers, what it refuses, and that our own client can use it."""

from __future__ import annotations

import json
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

import scripted
from unswayed.attacks.serve import LARGEST, start
from unswayed.core.types import Message, SamplingParams
from unswayed.engine.named import load_policy
from unswayed.engine.policy import load_policy as load_weights


@pytest.fixture
def url(tiny_model_dir: Any) -> Iterator[str]:
    policy = scripted.Scripted(tiny_model_dir, lambda text, params, number: f"draw {number} {params.temperature:g}")
    server = start(policy)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}/v1"
    server.shutdown()
    server.server_close()


def post(url: str, body: bytes | dict[str, Any]) -> tuple[int, dict[str, Any]]:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    request = urllib.request.Request(f"{url}/chat/completions", content, {"content-type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


HELLO = {"messages": [{"role": "user", "content": "hello"}]}


def test_a_chat_completion_in_the_usual_form(url: str) -> None:
    asked = {**HELLO, "model": "any", "n": 2, "temperature": 0.5, "max_tokens": 9, "seed": 3, "user": "x"}
    code, body = post(url, asked)
    assert code == 200
    assert [choice["message"]["content"] for choice in body["choices"]] == ["draw 0 0.5", "draw 1 0.5"]
    assert {choice["finish_reason"] for choice in body["choices"]} == {"stop"}
    assert body["usage"]["total_tokens"] == body["usage"]["prompt_tokens"] + body["usage"]["completion_tokens"]
    parts = [{"type": "text", "text": "hel"}, {"type": "text", "text": "lo"}]
    same = post(url, {"messages": [{"role": "user", "content": parts}], "seed": 3})[1]
    assert same["usage"]["prompt_tokens"] == body["usage"]["prompt_tokens"]
    with urllib.request.urlopen(f"{url}/models", timeout=10) as answer:
        assert json.loads(answer.read())["data"][0]["id"] == "scripted"


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "content-length"),
        (b"{", "no JSON"),
        (b"[" * 100_000, "no JSON"),
        (b"[]", "no JSON object"),
        (b'{"messages": [], "messages": []}', "no JSON"),
        ({}, "messages: a list"),
        ({"messages": []}, "messages: a list"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0]: an object with a role"),
        ({"messages": [{"role": "user", "content": 3}]}, "messages[0]: content is a text"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "parts other than text"),
        ({**HELLO, "stream": True}, "stream"),
        ({**HELLO, "tools": [{}]}, "tools: not served"),
        ({**HELLO, "logprobs": True}, "logprobs: not served"),
        ({**HELLO, "temperature": "hot"}, "temperature: a number from 0"),
        ({**HELLO, "temperature": -1}, "temperature: a number from 0"),
        ({**HELLO, "n": 1000}, "n: a number from 1"),
        ({**HELLO, "max_tokens": 0}, "max_tokens: a number from 1"),
        ({**HELLO, "top_p": True}, "top_p: a number"),
    ],
)
def test_what_cannot_be_answered_is_refused_with_the_reason(url: str, body: Any, reason: str) -> None:
    code, answer = post(url, body)
    assert code == 400
    assert reason in answer["error"]["message"]
    assert post(url, HELLO)[0] == 200  # and the server still answers


def test_other_paths_and_long_bodies(url: str) -> None:
    with pytest.raises(urllib.error.HTTPError, match="404"):
        urllib.request.urlopen(f"{url}/nothing", timeout=10)
    request = urllib.request.Request(
        f"{url}/chat/completions", b"{}", {"content-length": str(LARGEST + 1), "content-type": "application/json"}
    )
    with pytest.raises((urllib.error.HTTPError, ConnectionError)):
        urllib.request.urlopen(request, timeout=10)


def test_our_endpoint_policy_gets_from_it_what_the_policy_says_itself(tiny_model_dir: Any) -> None:
    policy = load_weights(str(tiny_model_dir), dtype="float32", device="cpu")
    server = start(policy)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    try:
        prompts = [(Message("user", f"question {number}"),) for number in range(5)]
        prompts.append((Message("user", "2 + 2?"), Message("assistant", "It is")))
        params = SamplingParams(temperature=0.0, max_new_tokens=12)
        there = load_policy(f"endpoint:http://127.0.0.1:{server.server_address[1]}/v1#m").complete(prompts, params)
        assert there == policy.complete(prompts, params)
    finally:
        server.shutdown()
        server.server_close()
