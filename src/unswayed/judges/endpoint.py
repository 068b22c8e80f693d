"""A judge behind an OpenAI-compatible endpoint: hosted models, or a server of your own (vLLM, llama.cpp, Ollama).

What goes wrong on the way is tried again (see `unswayed.engine.remote.client`); what still fails is a verdict with
status `error`, never a score. Where the judge is down, one question of each batch is tried, so a judge that comes back
is used again.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from unswayed.core.hashing import hash_json
from unswayed.engine.remote.client import ChatClient, Failed, first_choice
from unswayed.judges.base import Item, Status, Verdict
from unswayed.judges.reading import Asked, written
from unswayed.judges.rubrics import Rubric
from unswayed.judges.wrap import VERSION

PARAMS: Mapping[str, Any] = {"temperature": 0, "max_tokens": 512}


class EndpointJudge:
    """Grades through `POST URL/chat/completions`.

    Args:
        model: the model's name at the endpoint.
        url: base URL, e.g. `https://api.openai.com/v1`.
        params: what else is sent; part of the identity.
        settings: `key`, `concurrency`, `timeout`, `attempts`, `repeats`, `sleep` of the client; see `ChatClient`.

    Raises:
        ConfigError: a URL that is none, that holds a key, or that would carry one in the clear; httpx is missing.
    """

    def __init__(self, model: str, url: str, *, params: Mapping[str, Any] = PARAMS, **settings: Any) -> None:
        self.client = ChatClient(model, url, role="judge", **settings)
        self.model = model
        self.name = f"openai:{model}@{self.client.url}"
        self.params = dict(params)
        self.identity = f"openai:{hash_json([VERSION, model, self.client.url, self.params])}"

    def grade(self, rubric: Rubric, items: Sequence[Item]) -> list[Verdict]:
        """See `Judge.grade`.

        Raises:
            ConfigError: the endpoint refuses the key, or knows no such model or path.
        """
        asked = [written(rubric, item) for item in items]
        first = [self._grade(one, knock=True) for one in asked[:1]] if self.client.down else []
        with ThreadPoolExecutor(self.client.concurrency) as pool:
            return first + list(pool.map(self._grade, asked[len(first) :]))

    def _grade(self, one: Asked, *, knock: bool = False) -> Verdict:
        messages = [{"role": message.role, "content": message.content} for message in one.messages]
        started = time.monotonic()
        raw, failed = "", None
        try:
            raw = self.client.ask({"messages": messages, **self.params}, _text, one.sent, knock=knock)
        except Failed as failure:
            status: Status = "refused" if failure.declined else "error"
            failed = status, str(failure)
        return one.verdict(self.identity, raw, time.monotonic() - started, failed)


def _text(content: bytes) -> str:
    """Return what the judge wrote."""
    choice, _ = first_choice(content)
    message = choice["message"]
    if message.get("refusal") or choice.get("finish_reason") == "content_filter":
        raise Failed("the judge declined", declined=True)
    text = message.get("content")
    if not isinstance(text, str):
        raise Failed("the answer holds no text", again=True)
    return text
