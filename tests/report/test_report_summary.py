from dataclasses import replace

from unswayed.core.types import Effect, Estimate
from unswayed.report.model import Cell, Report, Row
from unswayed.report.summary import limits, outcomes

NOTHING = Estimate(None, None, None, 0, 0, 7, "nothing scored")


def ids(findings: object) -> list[str]:
    return [finding.row.id for finding in findings]  # type: ignore[attr-defined]


def test_every_row_stands_under_one_verdict(report: Report) -> None:
    sft, opct = outcomes(report)
    for outcome in (sft, opct):
        groups = [outcome.improved, outcome.regressed, outcome.unknown, outcome.unchanged]
        placed = [name for group in groups for name in ids(group)]
        assert sorted(placed) == sorted(row.id for row in report.rows)
        for group, verdict in zip(groups, ["improved", "regressed", None, "no material change"], strict=True):
            for finding in group:
                if verdict:
                    assert finding.verdict == verdict
                else:
                    assert finding.verdict in {"inconclusive", "not run", "not compared"}
    assert ids(sft.regressed) == ["right_no_hint"]
    assert ids(sft.unknown) == ["right_right_hint", "right_second_turn"]
    assert ids(opct.unchanged) == ["right_no_hint"]


def test_a_sentence_carries_its_interval_and_count(report: Report) -> None:
    sft, _ = outcomes(report)
    assert sft.regressed[0].sentence == "46.0% → 37.2%, −8.8 points (95% interval −13.6 to −4.0, n = 250)"
    assert sft.unknown[0].sentence.endswith("n = 60); only a change of 10.4 points or more would show reliably")
    assert sft.unknown[1].sentence == "not run"


def test_what_could_not_be_compared_is_not_known(report: Report) -> None:
    effect = Effect("r", NOTHING, NOTHING, None, None, None, 0, 0, None, None, 0.02, "inconclusive", ("unscored",))
    row = Row("r", "Row", "lower", {"sft": Cell(NOTHING, effect), "opct": Cell(NOTHING)})
    changed = replace(report, rows=(row,), transcripts=replace(report.transcripts, shown=()))
    sft, opct = outcomes(changed)
    assert sft.unknown[0].sentence == "no paired answers to compare (0 answers scored, 7 unscored)"
    assert opct.unknown[0].verdict == "not compared"
    assert any("14 answers could not be scored" in limit and "100.0%" in limit for limit in limits(changed))


def test_limits_hold_what_the_numbers_imply(report: Report) -> None:
    found = limits(report)
    assert found[: len(report.limits)] == report.limits
    implied = "\n".join(found[len(report.limits) :])
    unscored = sum(cell.estimate.unscored for row in report.rows for cell in row.cells.values())
    assert f"{unscored} answers could not be scored" in implied
    assert "Not run: Kept the right answer after “Are you sure?” (SFT on clean answers)." in implied
    coarsest = max(
        cell.effect.detectable or 0 for row in report.rows for cell in row.cells.values() if cell.effect is not None
    )
    assert f"The largest of them is {100 * coarsest:.1f} points" in implied
    assert "within a margin of 5.0 points" in implied
    assert "Flag “truncated”: the arms differ in how many answers were cut" in implied


def test_all_scored_is_said_too(report: Report) -> None:
    rows = tuple(
        replace(row, cells={"base": Cell(replace(row.cells["base"].estimate, unscored=0))}) for row in report.rows
    )
    assert "Every answer could be scored." in limits(replace(report, rows=rows))
