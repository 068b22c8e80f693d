"""A policy behind an OpenAI-compatible endpoint (vLLM, SGLang, llama.cpp, Ollama, hosted): messages in, text out.

The server renders the prompt and holds the weights, so nothing here can be hashed but the address, the model's name and
what is sent: results of one name are one policy, whatever the server has loaded since. What could not be drawn is a
completion with its reason, which is unscored; it is never an empty reply.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from unswayed.core.errors import ConfigError, Interrupted
from unswayed.core.hashing import hash_json
from unswayed.core.seeding import seed_at
from unswayed.core.types import DECLINED, Completion, Finish, Message, SamplingParams
from unswayed.engine.remote.client import ChatClient, Failed, first_choice, key_for

KEY = "UNSWAYED_ENDPOINT_KEY"
PREFIX = "endpoint:"
VERSION = 1
"""Of the way a prompt is sent and an answer is read; part of the identity."""
_FINISH: Mapping[Any, Finish] = {"stop": "stop", "eos": "stop", "length": "length", "max_tokens": "length"}
_SEEDS = 1 << 31
"""Servers take seeds of 32 bits, some of them signed."""


class EndpointPolicy:
    """Draws through `POST URL/chat/completions`, one request a completion.

    Args:
        model: the model's name at the endpoint.
        url: base URL, e.g. `http://127.0.0.1:8000/v1`.
        name: what results call it; by default `endpoint:URL#MODEL`.
        params: what else is sent with each request, e.g. `chat_template_kwargs`; part of the identity.
        settings: `key`, `concurrency`, `timeout`, `attempts`, `repeats`, `sleep` of the client; see `ChatClient`.

    Raises:
        ConfigError: a URL that cannot be used; httpx is missing.
    """

    def __init__(
        self, model: str, url: str, *, name: str = "", params: Mapping[str, Any] | None = None, **settings: Any
    ) -> None:
        self.client = ChatClient(model, url, role="endpoint", **{"timeout": 600.0, **settings})
        self.model = model
        self.name = name or f"{PREFIX}{self.client.url}#{model}"
        self.params = dict(params or {})
        self.identity = f"{PREFIX}{hash_json([VERSION, model, self.client.url, self.params])}"

    def complete(self, prompts: Sequence[tuple[Message, ...]], params: SamplingParams) -> list[Completion]:
        """Return `params.n` completions for each prompt, in order.

        A draw is seeded by (seed, prompt, number); whether the same seed gives the same text is up to the server.

        Raises:
            ConfigError: the endpoint refuses the key, or knows no such model or path.
            Interrupted: the endpoint is down. What was drawn before stands; the same command goes on.
        """
        asked = [(prompt, self._body(prompt, params, draw)) for prompt in prompts for draw in range(params.n)]
        if self.client.down:
            self._draw(asked[0][1], knock=True)
        with ThreadPoolExecutor(self.client.concurrency) as pool:
            found = list(pool.map(lambda one: self._draw(one[1]), asked))
        if self.client.down:
            raise Interrupted(
                f"{self.name}: the last {self.client.attempts} attempts at each of several requests failed, so the "
                "endpoint counts as down; finished batches are kept, and the same command goes on"
            )
        return found

    def _body(self, prompt: Sequence[Message], params: SamplingParams, draw: int) -> dict[str, Any]:
        """Return what is sent for one completion."""
        messages = [{"role": message.role, "content": message.content} for message in prompt]
        address = int(hash_json(messages)[:15], 16)
        body = {
            "messages": messages,
            "temperature": params.temperature,
            "top_p": params.top_p,
            "max_tokens": params.max_new_tokens,
            "seed": seed_at(params.seed, "endpoint", address, draw) % _SEEDS,
        }
        if params.top_k:
            body["top_k"] = params.top_k  # not part of OpenAI's own interface; its server refuses it by name
        return {**body, **self.params}

    def _draw(self, body: Mapping[str, Any], *, knock: bool = False) -> Completion:
        try:
            return self.client.ask(body, _completion, str(body["seed"]), knock=knock)
        except Failed as failure:
            kind = DECLINED if failure.declined else "no completion"
            return Completion("", "failed", 0, 0, f"{kind}: {failure}")


def _completion(content: bytes) -> Completion:
    """Return the completion that an answer holds.

    Raises:
        Failed: it holds none, or it ended for a reason that is neither a stop nor the limit of tokens.
    """
    choice, answer = first_choice(content)
    message, finish = choice["message"], choice.get("finish_reason")
    if finish == "content_filter":
        raise Failed("finish_reason is content_filter", declined=True)
    if finish not in _FINISH:
        raise Failed(f"finish_reason is {str(finish)[:40]!r}, and a reply ends with 'stop' or 'length'")
    # Servers that split off the thinking leave `content` null where the limit came inside it: an empty, cut reply.
    text = message.get("content") or message.get("refusal") or ""
    if not isinstance(text, str):
        raise Failed("the answer holds no text", again=True)
    usage = answer.get("usage")
    usage = usage if isinstance(usage, dict) else {}
    return Completion(text, _FINISH[finish], _count(usage.get("completion_tokens")), _count(usage.get("prompt_tokens")))


def _count(value: Any) -> int:
    """Return a number of tokens; 0 where the server does not say."""
    return value if isinstance(value, int) and value >= 0 else 0


def endpoint_policy(name: str, *, params: Mapping[str, Any] | None = None) -> EndpointPolicy:
    """Return the policy that `endpoint:URL#MODEL` names; its key comes from the environment.

    Raises:
        ConfigError: the name has no URL or no model.
    """
    url, mark, model = name.removeprefix(PREFIX).partition("#")
    if not mark or not url or not model:
        raise ConfigError(
            f"{name}: an endpoint is written endpoint:URL#MODEL, e.g. endpoint:http://127.0.0.1:8000/v1#m"
        )
    return EndpointPolicy(model, url, key=key_for(url, KEY), params=params)
