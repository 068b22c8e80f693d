import math
from dataclasses import replace
from typing import Any

import pytest
from sample_report import transcript

from unswayed.core.errors import DataError
from unswayed.core.types import Estimate
from unswayed.report.model import METRICS, Arm, Cell, Metric, Report, Row, draw_transcripts, read_curves

SIDE = Estimate(0.5, 0.4, 0.6, 10, 10, 0, "wilson")
LOSS = Metric("loss", "Loss")


def test_the_sample_is_whole(report: Report) -> None:
    assert [arm.id for arm in report.trained] == ["sft", "opct"]
    assert report.base.id == "base"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"baseline": "nobody"}, "baseline 'nobody' is not an arm"),
        ({"arms": (Arm("base", "a"), Arm("base", "b"))}, "two arms .* same id"),
        ({"arms": (Arm("../up", "a"),)}, "arm id '../up' cannot be"),
        ({"arms": (Arm("base", "a"),)}, r"has cells of \['sft', 'opct'\]"),
        ({"rows": ()}, "belongs to"),
    ],
)
def test_a_report_that_refers_to_nothing_is_refused(report: Report, change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(report, **change)


@pytest.mark.parametrize(
    ("side", "message"),
    [
        (replace(SIDE, value=math.nan), "not finite"),
        (replace(SIDE, high=math.inf), "not finite"),
        (replace(SIDE, high=None), "one end only"),
        (replace(SIDE, value=None), "10 samples were scored but there is no value"),
    ],
)
def test_an_estimate_that_cannot_be_is_refused(side: Estimate, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Report("t", (Arm("base", "Base"),), "base", (Row("r", "R", "lower", {"base": Cell(side)}),))


def test_the_baseline_has_no_effect_against_itself(report: Report) -> None:
    row = report.rows[0]
    turned = replace(row, cells={**row.cells, "base": row.cells["sft"]})
    with pytest.raises(ValueError, match="baseline cannot have an effect"):
        replace(report, rows=(turned, *report.rows[1:]))


def test_transcripts_are_drawn_not_picked() -> None:
    pool = [transcript(index) for index in range(40)]
    drawn = draw_transcripts(pool, count=5, seed=3)
    assert drawn == draw_transcripts(pool[::-1], count=5, seed=3)
    assert (len(drawn.shown), drawn.pool, drawn.seed) == (5, 40, 3)
    assert len({item.id for item in drawn.shown}) == 5
    assert drawn.shown != draw_transcripts(pool, count=5, seed=4).shown
    assert [item.id for item in draw_transcripts(pool[:2], count=5, seed=3).shown] == ["q000", "q001"]
    assert draw_transcripts([], count=5, seed=3).shown == ()


def test_every_transcript_is_drawn_about_equally_often() -> None:
    pool = [transcript(index) for index in range(8)]
    counts = dict.fromkeys([item.id for item in pool], 0)
    for seed in range(800):
        for item in draw_transcripts(pool, count=2, seed=seed).shown:
            counts[item.id] += 1
    # 200 expected, standard deviation sqrt(800 · 1/4 · 3/4) = 12.2; five of them allowed
    assert all(abs(count - 200) < 62 for count in counts.values())


def test_curves_keep_every_point() -> None:
    rows = [{"step": 1, "loss": 2}, {"step": 2, "loss": None}, {"step": 5, "loss": 0.5, "other": "text"}]
    (curve,) = read_curves("sft", rows, [LOSS, Metric("absent", "Absent")])
    assert curve.points == ((1, 2.0), (5, 0.5))
    assert curve.arm == "sft"


def test_the_default_metrics_are_what_the_losses_call_them() -> None:
    (curve, *_) = read_curves("opct", [{"step": 1, "kl/exact": 0.2}])
    assert curve.metric == METRICS[0]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"loss": 1.0}], "row 1 has no integer `step`"),
        ([{"step": True, "loss": 1.0}], "row 1 has no integer `step`"),
        ([{"step": 2}, {"step": 2}], "step 2 in row 2 comes after step 2"),
        ([{"step": 1, "loss": math.nan}], "`loss` at step 1 is nan"),
        ([{"step": 1, "loss": "0.5"}], "`loss` at step 1 is '0.5'"),
        ([{"step": 1, "loss": True}], "`loss` at step 1 is True"),
    ],
)
def test_broken_metrics_are_refused(rows: list[dict[str, Any]], message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_curves("sft", rows, [LOSS])
