"""A judge behind an OpenAI-compatible endpoint: hosted models, or a server of your own (vLLM, llama.cpp, Ollama).

What goes wrong on the way is tried again with growing pauses, within a budget of repeats; what still fails is a verdict
with status `error`, never a score. After several failures in a row the judge counts as down: from then on one question
of each batch is tried, so an outage costs minutes and not hours, and a judge that comes back is used again.

The key is read from the environment, sent to the given host alone, and written nowhere: not into identities, records,
caches or messages.
"""

from __future__ import annotations

import ipaddress
import json
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from unswayed.core.errors import ConfigError
from unswayed.core.hashing import hash_json
from unswayed.core.printable import printable
from unswayed.core.seeding import rng
from unswayed.judges.base import Item, Status, Verdict
from unswayed.judges.reading import Asked, written
from unswayed.judges.rubrics import Rubric
from unswayed.judges.wrap import VERSION

if TYPE_CHECKING:
    import httpx

PARAMS: Mapping[str, Any] = {"temperature": 0, "max_tokens": 512}
LARGEST = 1 << 20
"""Bytes of an answer that are read; no verdict is longer."""
LONGEST_PAUSE = 30.0
DOWN_AFTER = 4
"""Questions in a row that failed for good before the judge counts as down."""
_AGAIN = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 520, 522, 524, 529})
_SETTINGS = {401: "the key is missing or wrong", 403: "the key may not be used for this", 404: "no such model or path"}
_FILTERED = ("content_filter", "content management policy", "content_policy")


class _Failed(Exception):
    """One question has no answer; `again` says whether another attempt may help, `after` how long it asks to wait."""

    def __init__(self, reason: str, *, again: bool = False, after: float = 0.0, status: Status = "error") -> None:
        super().__init__(reason)
        self.again = again
        self.after = after
        self.status: Status = status


class EndpointJudge:
    """Grades through `POST URL/chat/completions`.

    Args:
        model: the model's name at the endpoint.
        url: base URL, e.g. `https://api.openai.com/v1`.
        key: sent as a bearer token; none is sent where it is empty.
        params: what else is sent; part of the identity.
        concurrency: questions under way at once.
        timeout: seconds without an answer that count as a failure.
        attempts: how often one question is asked at most.
        repeats: how often questions are asked again, all of them together, before there is one attempt for each.
        sleep: waits; tests replace it.

    Raises:
        ConfigError: a URL that is none, that holds a key, or that would carry one in the clear; httpx is missing.
    """

    def __init__(
        self,
        model: str,
        url: str,
        *,
        key: str = "",
        params: Mapping[str, Any] = PARAMS,
        concurrency: int = 8,
        timeout: float = 60.0,
        attempts: int = 5,
        repeats: int = 500,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.model = model
        self.url = checked_url(url, bool(key))
        self.name = f"openai:{model}@{self.url}"
        self.params = dict(params)
        self.identity = f"openai:{hash_json([VERSION, model, self.url, self.params])}"
        self.concurrency = concurrency
        self.attempts = attempts
        self.calls = 0
        self._key = key
        self._repeats = repeats
        self._failures = 0
        self._lock = threading.Lock()
        self._sleep = sleep
        self._timeout = timeout
        self._client = _client(key, timeout, concurrency)

    @property
    def down(self) -> bool:
        """Whether the last questions all failed."""
        return self._failures >= DOWN_AFTER

    def grade(self, rubric: Rubric, items: Sequence[Item]) -> list[Verdict]:
        """See `Judge.grade`.

        Raises:
            ConfigError: the endpoint refuses the key, or knows no such model or path.
        """
        asked = [written(rubric, item) for item in items]
        first = [self._grade(one, knock=True) for one in asked[:1]] if self.down else []
        with ThreadPoolExecutor(self.concurrency) as pool:
            return first + list(pool.map(self._grade, asked[len(first) :]))

    def _grade(self, one: Asked, *, knock: bool = False) -> Verdict:
        messages = [{"role": message.role, "content": message.content} for message in one.messages]
        started = time.monotonic()
        raw, failed = "", None
        try:
            if self.down and not knock:
                raise _Failed("the judge is down")
            raw = self._ask(messages, one.sent, 1 if knock else self.attempts)
            with self._lock:
                self._failures = 0
        except _Failed as failure:
            failed = failure.status, self._without_key(str(failure))
            with self._lock:
                # What would fail again whenever it is asked says nothing about whether the endpoint works.
                self._failures += failure.again
        return one.verdict(self.identity, raw, time.monotonic() - started, failed)

    def _ask(self, messages: list[dict[str, str]], sent: str, attempts: int) -> str:
        """Return what the judge wrote, after as many attempts as there may be."""
        number = 0
        while True:
            number += 1
            try:
                return self._send(messages)
            except _Failed as failure:
                if not failure.again or number >= attempts or not self._may_repeat():
                    raise
                pause = min(LONGEST_PAUSE, max(failure.after, 2.0 ** (number - 1)))
                # Up to half as long again, so that questions that failed together do not come back together.
                self._sleep(pause * (1 + 0.5 * rng(0, f"judge:pause:{sent}", number).random()))

    def _may_repeat(self) -> bool:
        with self._lock:
            self._repeats -= 1
            return self._repeats >= 0

    def _send(self, messages: list[dict[str, str]]) -> str:
        import httpx

        with self._lock:
            self.calls += 1
        body = {"model": self.model, "messages": messages, **self.params}
        try:
            with self._client.stream("POST", f"{self.url}/chat/completions", json=body) as answer:
                content = _limited(answer, self._timeout)
                after = _seconds(answer.headers.get("retry-after", ""))
                code = answer.status_code
        except httpx.TimeoutException as error:
            raise _Failed("the judge did not answer in time", again=True) from error
        except httpx.HTTPError as error:
            raise _Failed(f"the judge cannot be reached ({type(error).__name__})", again=True) from error
        if code in _SETTINGS:
            raise ConfigError(self._without_key(f"{self.name}: {_SETTINGS[code]} (HTTP {code}): {_excerpt(content)}"))
        if code != 200:
            if any(word in content.decode("utf-8", "replace").lower() for word in _FILTERED):
                raise _Failed(f"the endpoint would not pass the question on (HTTP {code})", status="refused")
            raise _Failed(f"HTTP {code}: {_excerpt(content)}", again=code in _AGAIN, after=after)
        return _content(content)

    def _without_key(self, text: str) -> str:
        return text.replace(self._key, "(key)") if self._key else text


def checked_url(url: str, with_key: bool) -> str:
    """Return a base URL without its last slash.

    Raises:
        ConfigError: it is no http or https URL, holds a user, a query or a fragment, or would carry a key in the clear.
    """
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ConfigError("the judge's URL must begin with http:// or https:// and name a host")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ConfigError(
            "the judge's URL may hold no user, password, query or fragment, since it is recorded; "
            "keys come from the environment"
        )
    if parts.scheme == "http" and with_key and not _here(parts.hostname):
        raise ConfigError(f"{parts.hostname}: a key is not sent over http to another machine; use https")
    return url.rstrip("/")


def _here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _client(key: str, timeout: float, concurrency: int) -> httpx.Client:
    try:
        import httpx
    except ImportError as error:
        raise ConfigError("judging by an endpoint needs httpx: pip install 'unswayed[judge]'") from error
    return httpx.Client(
        headers={"Authorization": f"Bearer {key}"} if key else {},
        timeout=httpx.Timeout(timeout, connect=min(timeout, 10.0)),
        limits=httpx.Limits(max_connections=concurrency),
        follow_redirects=False,
    )


def _limited(answer: httpx.Response, timeout: float) -> bytes:
    content, started = b"", time.monotonic()
    for part in answer.iter_bytes():
        content += part
        if time.monotonic() - started > timeout:
            raise _Failed("the judge did not answer in time", again=True)
        if len(content) > LARGEST:
            raise _Failed(f"the answer is longer than {LARGEST} bytes")
    return content


def _content(content: bytes) -> str:
    """Return the text of a chat completion."""
    try:
        choice = json.loads(content)["choices"][0]
        message = choice["message"]
        declined = message.get("refusal")
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise _Failed(f"the answer is no chat completion: {_excerpt(content)}", again=True) from error
    if declined or choice.get("finish_reason") == "content_filter":
        raise _Failed("the judge declined", status="refused")
    text = message.get("content")
    if not isinstance(text, str):
        raise _Failed("the answer holds no text", again=True)
    return text


def _excerpt(content: bytes) -> str:
    text = printable(content[:2000].decode("utf-8", "replace"), newlines=False)
    return text[:200] or "(empty)"


def _seconds(value: str) -> float:
    """Return what a Retry-After header asks for; a date asks for nothing we would wait for."""
    try:
        return max(0.0, float(value))
    except ValueError:
        return 0.0
