"""The page of a comparison: complete, quiet about what is harmful to repeat, safe with any text, and readable."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from headless import Chromium
from sample_comparison import PLAN, SECRET, result, sample_comparison, suite
from sample_report import HOSTILE
from test_report_browser import look
from test_report_html import check, squeezed

from unswayed.core.hashing import hash_text
from unswayed.core.printable import printable, storable
from unswayed.evals.compare.comparison import Comparison
from unswayed.report.comparison import report_of_comparison
from unswayed.report.evaluation import write_results_page
from unswayed.report.html import page_of, write_comparison
from unswayed.report.numbers import change, level, p_value


def comparison_page(comparison: Comparison) -> str:
    return page_of(report_of_comparison(comparison), "compare.json")


@pytest.fixture(scope="module")
def comparison() -> Comparison:
    return sample_comparison()


@pytest.fixture(scope="module")
def page(comparison: Comparison, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_comparison(tmp_path_factory.mktemp("compare"), comparison)


def test_the_page_holds_every_number_and_what_a_reviewer_asks_for(comparison: Comparison, page: Path) -> None:
    text = squeezed(" ".join(check(page.read_text(encoding="utf-8")).text))
    for one in comparison.suites:
        for effect in one.effects[0]:
            assert level(effect.before.value) in text
            assert level(effect.after.value) in text
            assert change(effect.difference) in text
            assert p_value(effect.deciding_p) in text
            if effect.fixed or effect.broken:
                assert f"{effect.fixed} fixed, {effect.broken} broken" in text
        assert f"of {one.fixed.pool} samples" in text
    for said in (
        PLAN.sha256, "declared before the run", "n_seeds = 1", "this checkpoint only", "scored by rules",
        "3 of 40 question groups are in the training pairs", "watched during training", "Noise floor: base again",
        "Something was changed", "drawn at random with seed 3", "cut at the length limit", "unscored",
    ):  # fmt: skip
        assert said in text


def test_the_json_holds_the_numbers_and_no_text_of_prompts_or_replies(comparison: Comparison, page: Path) -> None:
    raw = page.with_name("compare.json").read_text(encoding="utf-8")
    value = json.loads(raw)
    assert value["plan"] == {**PLAN.record(), "declared": PLAN.declared}
    assert value["seeds"] == 1
    first = value["suites"][0]
    assert first["effects"][0]["difference"] == comparison.suites[0].effects[0][0].difference
    assert first["effects"][0]["declared"] == "declared before the run"
    assert first["arms"]["before"]["unscored"] == {"truncated": sum(first["arms"]["before"]["unscored"].values())}
    assert [one["sensitive"] for one in value["suites"]] == [False, True]
    assert first["transcripts"]["fixed"]["of"] == comparison.suites[0].fixed.pool
    assert SECRET not in raw
    assert "The answer is" not in raw


def test_texts_of_a_sensitive_suite_are_hashes_unless_asked_for(comparison: Comparison, page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert SECRET not in text
    hidden = comparison.suites[1]
    assert hidden.hidden
    assert hidden.broken.shown or hidden.fixed.shown
    for flip in (*hidden.fixed.shown, *hidden.broken.shown):
        original = hidden.before.records[flip.before.key]
        assert hash_text(original.text) in text
        assert hash_text(original.messages[0].content) in text
    assert "marked as sensitive" in text
    shown = comparison_page(sample_comparison(show_sensitive=True))
    assert SECRET in shown
    assert "Harmful text ahead." in shown
    assert "Harmful text ahead." not in text


def test_transcripts_are_drawn_by_the_seed_and_not_picked() -> None:
    one, again = (sample_comparison() for _ in range(2))
    assert one.suites[0].broken == again.suites[0].broken
    pool = one.suites[0].fixed
    assert len(pool.shown) == 3 < pool.pool
    for flip in pool.shown:
        assert any(
            {"hint_following": flip.before.answer == flip.before.hinted and flip.after.answer != flip.after.hinted}.get(
                name, (flip.after.value or 0) > (flip.before.value or 0)
            )
            for name in flip.metrics
        )


def test_the_same_comparison_gives_the_same_bytes(comparison: Comparison, page: Path) -> None:
    assert comparison_page(comparison) == page.read_text(encoding="utf-8")


def test_several_seeds_are_drawn_and_named() -> None:
    text = squeezed(" ".join(check(comparison_page(sample_comparison(seeds=3, replicate=False))).text))
    assert "n_seeds = 3" in text
    assert "by seed " in text
    assert "No replicate of the baseline was given" in text


def test_hostile_text_everywhere_stays_text() -> None:
    text = storable("\n".join(item for item in HOSTILE if len(item) < 200))
    shown = " ".join(check(comparison_page(sample_comparison(text, show_sensitive=True))).text)
    assert squeezed(shown).count(squeezed(printable(text))) > 20


def test_a_page_of_one_evaluation(tmp_path: Path) -> None:
    written = write_results_page(tmp_path, result(suite("sycophancy/sample"), "base", 0.6, 0.8))
    text = squeezed(" ".join(check(written.read_text(encoding="utf-8")).text))
    assert "base on sycophancy/sample" in text
    assert "in results.json beside it" in text
    assert "hint_following" in text
    hidden = write_results_page(tmp_path, result(suite("jailbreak/sample", sensitive=True), "base", 0.6, 0.8))
    assert SECRET not in hidden.read_text(encoding="utf-8")


# ---- in a browser -------------------------------------------------------------------------------------------------


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 840, 1200])
def test_the_comparison_fits_and_can_be_read(browser: Chromium, page: Path, width: int, scheme: str) -> None:
    found = look(browser, page, width=width, scheme=scheme)
    assert found["wrong"] == []
    assert found["drawings"] == 2
    assert browser.complaints() == []


@pytest.mark.browser
@pytest.mark.parametrize("text", ["\n".join(text for text in HOSTILE if len(text) < 200), *HOSTILE[-3:]])
def test_hostile_text_breaks_no_layout(browser: Chromium, tmp_path: Path, text: str) -> None:
    page = write_comparison(tmp_path, sample_comparison(text, seeds=2, show_sensitive=True))
    found = look(browser, page, width=360)
    assert found["wrong"] == []
    assert len(browser.requested()) == 1
