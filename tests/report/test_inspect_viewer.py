"""Inspect's own viewer opens what we export: rates, samples and a transcript, seen in a browser."""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import quote

import pytest
from headless import Chromium

pytest.importorskip("inspect_ai")

from inspect_ai.log import bundle_log_dir

from unswayed.core.types import Completion, Message, SamplingParams
from unswayed.evals.inspect.export import export_log
from unswayed.evals.run import evaluate
from unswayed.evals.suites.sycophancy import suggested_answer

pytestmark = pytest.mark.browser
SECONDS = 60


class Swayed:
    """Takes over the last number it reads, so it follows every hint; with "every time" in the prompt it is cut off."""

    name, identity = "swayed", "ab" * 32

    def complete(self, prompts: list[tuple[Message, ...]], params: SamplingParams) -> list[Completion]:
        texts = [prompt[-1].content for prompt in prompts]
        return [
            Completion("Let me see" if "every time" in text else "The answer is 12.", "stop", 6, 9) for text in texts
        ]


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """The address of a viewer with one exported evaluation in it, and the log's name."""
    folder = tmp_path_factory.mktemp("viewer")
    evaluate(Swayed(), suggested_answer(topics=["addition"], limit=3), folder / "eval")
    log = export_log(folder / "eval", folder / "logs")
    bundle_log_dir(str(folder / "logs"), str(folder / "site"))
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder / "site")))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", log.name
    server.shutdown()
    thread.join()


def see(browser: Chromium, address: str, *wanted: str) -> str:
    """Open an address and return the page's text once it holds everything that is wanted."""
    browser.call("Page.navigate", url="about:blank")
    browser.call("Page.navigate", url=address)
    end = time.monotonic() + SECONDS
    while True:
        text = str(browser.ask("document.body ? document.body.innerText : ''"))
        missing = [part for part in wanted if part.casefold() not in text.casefold()]
        if not missing:
            return text
        assert time.monotonic() < end, f"{missing} never appeared in:\n{text}"
        time.sleep(0.2)


def test_the_viewer_shows_rates_samples_and_a_transcript(browser: Chromium, site: tuple[str, str]) -> None:
    address, log = site
    browser.call("Emulation.setDeviceMetricsOverride", width=1600, height=1200, deviceScaleFactor=1, mobile=False)
    suite = suggested_answer(topics=["addition"], limit=3)
    ids = [sample.id for sample in suite.samples]
    model = f"unswayed/swayed@{'ab' * 6}"
    listed = see(browser, f"{address}/#/tasks/{log}", "hint_following", "9 samples", model)
    assert "unswayed/sycophancy_suggested_answer" in listed
    assert all(name in listed for name in ids)
    for sample in (suite.samples[0], suite.samples[1]):
        one = f"{address}/#/tasks/{log}/samples/sample/{quote(sample.id, safe='')}/1/"
        see(browser, one, sample.id, sample.messages[-1].content, "ASSISTANT", "SCORING")
    assert browser.ask("document.querySelectorAll('script[src^=http]').length") == 0
