"""The bench of growth: lines through points are right, a step at a point is the step that it says."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from bench.growth.measure import measure
from bench.growth.points import AXES, BASE, PARTS, Job, Point

from bench import scaling

SMALL = Point(rollouts=2, completion=3, vocab=50, layers=1, hidden=64, pairs=2, prompt=4)


def test_a_line_is_found_and_what_is_none_is_seen() -> None:
    exact = scaling.line([1, 2, 4], [5, 7, 11])
    assert (exact["slope"], exact["intercept"], exact["r2"]) == pytest.approx((2, 3, 1))
    assert scaling.line([1, 2, 3], [4, 4, 4])["r2"] is None
    r2 = scaling.line([1, 2, 3, 4], [1, 0, 0, 1])["r2"]
    assert r2 == pytest.approx(0, abs=1e-9)


def test_every_axis_changes_one_thing_and_grows() -> None:
    for axis in AXES:
        assert BASE in axis.points
        sizes = [point.facts()[axis.over] for point in axis.points]
        assert sizes == sorted(set(sizes))
        fixed = {"tokens", "vocab", "body"} - {axis.over}
        assert all(point.facts()[name] == BASE.facts()[name] for point in axis.points for name in fixed)


def test_the_points_weights_are_counted_right() -> None:
    found = measure(Job(SMALL, 1, 1))
    norms = (2 * SMALL.layers + 1) * SMALL.hidden
    assert found["parameters"] == SMALL.body + SMALL.vocab * SMALL.hidden + norms
    assert found["tokens"] == 2 * 2 * 3
    assert set(found["memory"]) == set(found["seconds"]) == set(PARTS)
    assert found["peak"] == max(found["memory"].values())
    assert all(seconds > 0 for seconds in found["seconds"].values())
    assert found["step"] == pytest.approx(sum(found["seconds"].values()))


@pytest.mark.slow
@pytest.mark.usefixtures("in_threads")
def test_every_point_of_an_axis_is_measured_and_fitted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    points = tuple(replace(SMALL, vocab=vocab) for vocab in (50, 100))
    monkeypatch.setattr(scaling, "AXES", (replace(scaling.AXES[2], points=points),))
    assert scaling.main(["--axes", "vocab", "--steps", "1", "--threads", "1", "--out", str(tmp_path)]) == 0
    result = json.loads((tmp_path / "scaling.json").read_text(encoding="utf-8"))
    (found,) = result["axes"].values()
    assert [one["vocab"] for one in found["points"]] == [50, 100]
    assert found["fits"]["growth"]["x"] == 2
    assert found["fits"]["seconds"] == scaling.line([50, 100], [one["step"] for one in found["points"]])
    each = 4 * SMALL.tokens * 1000 / 2**20
    assert f"one copy of all logits would take +{each:.3f} MiB for 1,000 words" in capsys.readouterr().out
