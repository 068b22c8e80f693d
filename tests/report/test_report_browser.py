"""What only a browser knows: does the page fit, can it be read, does anything lie over anything, does anything run."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from headless import Chromium
from sample_report import HOSTILE, hostile_report

from unswayed.core.printable import printable
from unswayed.report.html import write_report
from unswayed.report.model import Arm, Report

pytestmark = pytest.mark.browser
LOOK = (Path(__file__).parent / "inspect_page.js").read_text(encoding="utf-8")


def look(browser: Chromium, page: Path, **how: Any) -> dict[str, Any]:
    browser.open(page, **how)
    found = browser.ask(LOOK)
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 700, 1000, 1160, 1600])
def test_the_page_fits_and_can_be_read(browser: Chromium, page: Path, width: int, scheme: str) -> None:
    found = look(browser, page, width=width, scheme=scheme)
    assert found["wrong"] == []
    assert found["drawings"] == 5
    assert found["runs"] > 300
    paper = browser.ask("getComputedStyle(document.body).backgroundColor")
    assert paper == {"light": "rgb(255, 255, 255)", "dark": "rgb(20, 23, 27)"}[scheme]


@pytest.mark.parametrize("width", [360, 1000, 1600])
def test_a_report_of_many_arms_fits(browser: Chromium, report: Report, tmp_path: Path, width: int) -> None:
    more = [Arm(f"arm{number}", f"Arm number {number} with a rather long name") for number in range(5)]
    rows = tuple(
        replace(row, cells={**row.cells, **{arm.id: row.cells["opct"] for arm in more}}) for row in report.rows
    )
    many = replace(report, arms=(*report.arms, *more), rows=rows)
    found = look(browser, write_report(tmp_path, many), width=width)
    assert found["wrong"] == []


def test_paper_is_white_whatever_the_scheme(browser: Chromium, page: Path) -> None:
    found = look(browser, page, width=700, scheme="dark", media="print")
    assert found["wrong"] == []
    assert browser.ask("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"


def test_the_page_asks_for_nothing_and_complains_of_nothing(browser: Chromium, page: Path) -> None:
    browser.open(page, width=1000)
    assert browser.requested() == [page.resolve().as_uri()]
    assert browser.complaints() == []


def test_the_policy_holds(browser: Chromium, page: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.html"
    text = page.read_text(encoding="utf-8")
    broken.write_text(text.replace("</main>", "<script>document.title = 'ran'</script></main>"), encoding="utf-8")
    browser.open(broken, width=1000)
    assert browser.ask("document.title") != "ran"
    assert any("Content Security Policy" in complaint for complaint in browser.complaints())


@pytest.mark.parametrize("text", ["\n".join(text for text in HOSTILE if len(text) < 200), *HOSTILE[-3:]])
def test_hostile_text_shows_as_text(browser: Chromium, tmp_path: Path, text: str) -> None:
    found = look(browser, write_report(tmp_path, hostile_report(text)), width=360)
    assert found["wrong"] == []
    assert browser.complaints() == []
    assert len(browser.requested()) == 1
    assert browser.ask("document.body.textContent").count(printable(text)) > 20
    assert browser.ask("document.title").split() == printable(text).split()


def test_the_checks_can_fail(browser: Chromium, page: Path, tmp_path: Path) -> None:
    text = page.read_text(encoding="utf-8")
    faults = {
        "page is": "main { width: 2000px }",
        "contrast": ":root { --muted: #bbbbbb !important }",
        "font of": "figcaption { font-size: 9px !important }",
        "text over text": ".lead { margin-top: -40px !important }",
        "the legend lies over the data": "svg .legend { transform: translate(60px, 60px) }",
    }
    for expected, rule in faults.items():
        broken = tmp_path / "broken.html"
        broken.write_text(text.replace("</style>", f"{rule}</style>"), encoding="utf-8")
        found = look(browser, broken, width=1000)
        assert any(expected in wrong for wrong in found["wrong"]), f"{rule} went unseen: {found}"
