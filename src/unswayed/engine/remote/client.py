"""A client of `POST URL/chat/completions`: attempts with growing pauses, a budget of repeats, and outages.

After several requests in a row that failed for good the endpoint counts as down: from then on a request fails at once,
except one that is sent to see whether the endpoint is back. So an outage costs minutes and not hours.

The key is sent to the given host alone, and written nowhere: not into identities, records, caches or messages.
"""

from __future__ import annotations

import ipaddress
import os
import threading
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from unswayed.core.errors import ConfigError
from unswayed.core.jsonl import loads
from unswayed.core.printable import printable
from unswayed.core.seeding import rng

if TYPE_CHECKING:
    import httpx

LARGEST = 1 << 20
"""Bytes of an answer that are read."""
LONGEST_PAUSE = 30.0
DOWN_AFTER = 4
"""Requests in a row that failed for good before the endpoint counts as down."""
_AGAIN = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 520, 522, 524, 529})
_SETTINGS = {401: "the key is missing or wrong", 403: "the key may not be used for this", 404: "no such model or path"}
_FILTERED = ("content_filter", "content management policy", "content_policy")
_OWN_KEYS = {"api.openai.com": "OPENAI_API_KEY"}
"""Hosts whose own variable is used where none of ours is set; no other host is ever sent such a key."""

T = TypeVar("T")


class Failed(Exception):
    """One request has no answer.

    Args:
        reason: why, without the key.
        again: another attempt may help.
        after: seconds that the server asks to wait.
        declined: the endpoint would not pass the request on, or the model's provider declined it.
    """

    def __init__(self, reason: str, *, again: bool = False, after: float = 0.0, declined: bool = False) -> None:
        super().__init__(reason)
        self.again = again
        self.after = after
        self.declined = declined


class ChatClient:
    """Sends chat completions to one model of one endpoint.

    Args:
        model: the model's name at the endpoint.
        url: base URL, e.g. `https://api.openai.com/v1`.
        role: what messages call the endpoint, e.g. `judge`.
        key: sent as a bearer token; none is sent where it is empty.
        concurrency: requests under way at once.
        timeout: seconds without an answer that count as a failure.
        attempts: how often one request is sent at most.
        repeats: how often requests are sent again, all of them together, before there is one attempt for each.
        sleep: waits; tests replace it.

    Raises:
        ConfigError: a URL that is none, that holds a key, or that would carry one in the clear; httpx is missing.
    """

    def __init__(
        self,
        model: str,
        url: str,
        *,
        role: str,
        key: str = "",
        concurrency: int = 8,
        timeout: float = 60.0,
        attempts: int = 5,
        repeats: int = 500,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.model, self.role = model, role
        self.url = checked_url(url, bool(key), role)
        self.concurrency = concurrency
        self.attempts = attempts
        self.calls = 0
        self._key = key
        self._repeats = repeats
        self._failures = 0
        self._lock = threading.Lock()
        self._sleep = sleep
        self._timeout = timeout
        self._http = _http(key, timeout, concurrency, role)

    @property
    def down(self) -> bool:
        """Whether the last requests all failed."""
        return self._failures >= DOWN_AFTER

    def ask(self, body: Mapping[str, Any], read: Callable[[bytes], T], address: str, *, knock: bool = False) -> T:
        """Send `body` and return what `read` makes of the answer.

        Args:
            body: everything but the model's name.
            read: reads a successful answer; raises `Failed` where it is none.
            address: tells requests apart, so that their pauses differ.
            knock: send it once even where the endpoint is down.

        Raises:
            Failed: no answer after as many attempts as there may be.
            ConfigError: the endpoint refuses the key, or knows no such model or path.
        """
        try:
            if self.down and not knock:
                raise Failed(f"the {self.role} is down")
            answer = self._attempts(body, read, address, 1 if knock else self.attempts)
        except Failed as failure:
            with self._lock:
                # What would fail again whenever it is sent says nothing about whether the endpoint works.
                self._failures += failure.again
            text = self._without_key(str(failure))
            raise Failed(text, again=failure.again, after=failure.after, declined=failure.declined) from failure
        with self._lock:
            self._failures = 0
        return answer

    def _attempts(self, body: Mapping[str, Any], read: Callable[[bytes], T], address: str, attempts: int) -> T:
        number = 0
        while True:
            number += 1
            try:
                return read(self._send(body))
            except Failed as failure:
                if not failure.again or number >= attempts or not self._may_repeat():
                    raise
                pause = min(LONGEST_PAUSE, max(failure.after, 2.0 ** (number - 1)))
                # Up to half as long again, so that requests that failed together do not come back together.
                self._sleep(pause * (1 + 0.5 * rng(0, f"{self.role}:pause:{address}", number).random()))

    def _may_repeat(self) -> bool:
        with self._lock:
            self._repeats -= 1
            return self._repeats >= 0

    def _send(self, body: Mapping[str, Any]) -> bytes:
        import httpx

        with self._lock:
            self.calls += 1
        sent = {"model": self.model, **body}
        try:
            with self._http.stream("POST", f"{self.url}/chat/completions", json=sent) as answer:
                content = self._limited(answer)
                after = _seconds(answer.headers.get("retry-after", ""))
                code = answer.status_code
        except httpx.TimeoutException as error:
            raise Failed(f"the {self.role} did not answer in time", again=True) from error
        except httpx.HTTPError as error:
            raise Failed(f"the {self.role} cannot be reached ({type(error).__name__})", again=True) from error
        if code in _SETTINGS:
            where = f"{self.model}@{self.url}"
            raise ConfigError(self._without_key(f"{where}: {_SETTINGS[code]} (HTTP {code}): {excerpt(content)}"))
        if code != 200:
            if any(word in content.decode("utf-8", "replace").lower() for word in _FILTERED):
                raise Failed(f"the endpoint would not pass the request on (HTTP {code})", declined=True)
            raise Failed(f"HTTP {code}: {excerpt(content)}", again=code in _AGAIN, after=after)
        return content

    def _limited(self, answer: httpx.Response) -> bytes:
        content, started = b"", time.monotonic()
        for part in answer.iter_bytes():
            content += part
            if time.monotonic() - started > self._timeout:
                raise Failed(f"the {self.role} did not answer in time", again=True)
            if len(content) > LARGEST:
                raise Failed(f"the answer is longer than {LARGEST} bytes")
        return content

    def _without_key(self, text: str) -> str:
        return text.replace(self._key, "(key)") if self._key else text


def first_choice(content: bytes) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the first choice of a chat completion, whose `message` is an object, and the whole answer.

    Raises:
        Failed: it is no chat completion.
    """
    try:
        answer = loads(content)
        choice = answer["choices"][0]
        if not isinstance(choice["message"], dict):
            raise TypeError("its message is no object")
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise Failed(f"the answer is no chat completion: {excerpt(content)}", again=True) from error
    return choice, answer


def checked_url(url: str, with_key: bool, role: str = "endpoint") -> str:
    """Return a base URL without its last slash.

    Raises:
        ConfigError: it is no http or https URL, holds a user, a query or a fragment, or would carry a key in the clear.
    """
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise ConfigError(f"the {role}'s URL cannot be read: {error}") from error
    if parts.scheme not in {"http", "https"} or not host:
        raise ConfigError(f"the {role}'s URL must begin with http:// or https:// and name a host")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ConfigError(
            f"the {role}'s URL may hold no user, password, query or fragment, since it is recorded; "
            "keys come from the environment"
        )
    if parts.scheme == "http" and with_key and not _here(host):
        raise ConfigError(f"{host}: a key is not sent over http to another machine; use https")
    return url.rstrip("/")


def key_for(url: str, variable: str) -> str:
    """Return the key for an endpoint: that of `variable`, else the one that the environment holds for its host."""
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        host = ""  # `checked_url` says what is wrong with it
    return os.environ.get(variable) or os.environ.get(_OWN_KEYS.get(host, ""), "")


def excerpt(content: bytes) -> str:
    """Return the beginning of an answer, safe to print."""
    text = printable(content[:2000].decode("utf-8", "replace"), newlines=False)
    return text[:200] or "(empty)"


def _here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _http(key: str, timeout: float, concurrency: int, role: str) -> httpx.Client:
    try:
        import httpx
    except ImportError as error:
        raise ConfigError(f"{role}s behind an endpoint need httpx: pip install 'unswayed[judge]'") from error
    return httpx.Client(
        headers={"Authorization": f"Bearer {key}"} if key else {},
        timeout=httpx.Timeout(timeout, connect=min(timeout, 10.0)),
        limits=httpx.Limits(max_connections=concurrency),
        follow_redirects=False,
    )


def _seconds(value: str) -> float:
    """Return what a Retry-After header asks for; a date asks for nothing we would wait for."""
    try:
        return max(0.0, float(value))
    except ValueError:
        return 0.0
