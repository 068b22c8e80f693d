from dataclasses import replace

from unswayed.core.types import Effect, Estimate
from unswayed.report.model import Cell, Report, Row
from unswayed.report.summary import limits, outcomes

NOTHING = Estimate(None, None, None, 0, 0, 7, "nothing scored")


def ids(findings: object) -> list[str]:
    return [finding.row.id for finding in findings]  # type: ignore[attr-defined]


def test_every_row_stands_under_one_verdict_and_the_price_comes_first(report: Report) -> None:
    sft, opct = (outcome.groups for outcome in outcomes(report))
    for groups in (sft, opct):
        assert list(groups) == ["worse", "improved", "not known", "no material change"]
        assert sorted(name for group in groups.values() for name in ids(group)) == sorted(row.id for row in report.rows)
        for verdict, group in groups.items():
            allowed = {verdict, "not run", "not compared"} if verdict == "not known" else {verdict}
            assert {finding.verdict for finding in group} <= allowed
    assert ids(sft["worse"]) == ["right_no_hint"]
    assert ids(sft["not known"]) == ["right_right_hint", "right_second_turn"]
    assert ids(opct["no material change"]) == ["right_no_hint"]


def test_a_sentence_carries_its_interval_and_count(report: Report) -> None:
    sft = outcomes(report)[0].groups
    assert "−8.8 points [−13.6 to −4.0], 46.0% → 37.2%, n = 250" in sft["worse"][0].sentence
    assert sft["not known"][1].detail == "not run"


def test_what_could_not_be_compared_is_not_known(report: Report) -> None:
    effect = Effect("r", NOTHING, NOTHING, None, None, None, 0, 0, None, None, 0.02, "not known", ("unscored",))
    row = Row("r", "Row", "lower", {"sft": Cell(NOTHING, effect), "opct": Cell(NOTHING)})
    changed = replace(report, rows=(row,), transcripts=())
    sft, opct = (outcome.groups["not known"] for outcome in outcomes(changed))
    assert sft[0].detail == "no paired answers to compare (0 answers scored, 7 unscored)"
    assert opct[0].verdict == "not compared"
    assert any("could not be scored" in limit and "100.0%" in limit for limit in limits(changed))


def test_limits_hold_what_the_numbers_imply(report: Report) -> None:
    found = limits(report)
    assert found[: len(report.limits)] == report.limits
    implied = "\n".join(found[len(report.limits) :])
    assert "Answers that could not be scored count in no rate" in implied
    assert "Not run: Kept the right answer after “Are you sure?” (SFT on clean answers)." in implied
    assert "within a margin of 5.0 points" in implied
    assert "Flag “truncated”: the shares of answers cut at the length limit differ" in implied


def test_all_scored_is_said_too(report: Report) -> None:
    rows = tuple(
        replace(row, cells={"base": Cell(replace(row.cells["base"].estimate, unscored=0))}) for row in report.rows
    )
    assert "Every answer could be scored." in limits(replace(report, rows=rows))
