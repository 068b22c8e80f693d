"""The audit's page in a browser: nothing runs out of a phone, nothing is loaded, and the verdict comes first."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import headless
import pytest
from planted import changed, outage, rows, write

from unswayed.audit.run import audit

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def browser() -> Iterator[headless.Chromium]:
    binary = headless.find()
    if binary is None:
        pytest.skip("no headless Chromium")
    found = headless.Chromium(binary)
    yield found
    found.close()


@pytest.mark.parametrize(("width", "media"), [(390, "screen"), (1280, "screen"), (700, "print")])
def test_the_page_fits_and_says_the_verdict_first(
    browser: headless.Chromium, tmp_path: Path, width: int, media: str
) -> None:
    before, after = rows(0.4, 1, count=200, draws=4), rows(0.8, 2, count=200, draws=4)
    name = "a behaviour with quite a long name that does not fit on one line of a phone"
    before += [{**row, "behaviour": name} for row in rows(0.4, 1, count=100)]
    after += [{**row, "behaviour": name} for row in changed(rows(0.4, 2, count=100), outage)]
    out = tmp_path / "bundle"
    audit(write(tmp_path / "before.jsonl", before), write(tmp_path / "after.jsonl", after), out=out)
    browser.open(out / "audit.html", width=width, media=media)
    assert browser.ask("document.documentElement.scrollWidth") <= width
    assert browser.complaints() == []
    assert len(browser.requested()) == 1
    words = "[...document.querySelectorAll('.verdict .word')].map(e => e.textContent.trim())"
    assert browser.ask(words) == ["AMPLIFIED", "UNDECIDED"]
    if media == "screen":
        assert browser.ask("document.querySelector('.verdict').getBoundingClientRect().bottom") < 900
    wanted = "[...document.querySelectorAll('nav a, .verdict a')].every(a => document.querySelector(a.hash))"
    assert browser.ask(wanted)
    assert (
        browser.ask("[...document.querySelectorAll('svg')].filter(e => e.getBoundingClientRect().width > 0).length")
        >= 3
    )
