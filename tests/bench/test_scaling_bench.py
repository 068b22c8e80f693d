"""The bench of growth: lines through points are right, a step at a point is the step that it says."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from bench.growth.chart import draw
from bench.growth.fit import fits, line
from bench.growth.measure import PARTS, measure
from bench.growth.points import AXES, BASE, Point
from bench.scaling import headline, table

ROOT = Path(__file__).resolve().parents[2]
SMALL = Point(rollouts=2, completion=3, vocab=50, layers=1, hidden=64, pairs=2, prompt=4)


def test_a_line_is_found_and_what_is_none_is_seen() -> None:
    exact = line([1, 2, 4], [5, 7, 11])
    assert (exact["slope"], exact["intercept"], exact["r2"]) == pytest.approx((2, 3, 1))
    assert line([1, 2, 3], [4, 4, 4])["r2"] is None
    r2 = line([1, 2, 3, 4], [1, 0, 0, 1])["r2"]
    assert r2 == pytest.approx(0, abs=1e-9)


def test_every_axis_changes_one_thing_and_grows() -> None:
    for axis in AXES:
        assert BASE in axis.points
        sizes = [point.facts()[axis.over] for point in axis.points]
        assert sizes == sorted(set(sizes))
        fixed = {"tokens", "vocab", "body"} - {axis.over}
        assert all(point.facts()[name] == BASE.facts()[name] for point in axis.points for name in fixed)


def test_the_points_weights_are_counted_right() -> None:
    found = measure((SMALL, 1, 1))
    norms = (2 * SMALL.layers + 1) * SMALL.hidden
    assert found["parameters"] == SMALL.body + SMALL.vocab * SMALL.hidden + norms
    assert found["tokens"] == 2 * 2 * 3
    assert set(found["memory"]) == set(found["seconds"]) == set(PARTS)
    assert found["peak"] == max(found["memory"].values())
    assert all(seconds > 0 for seconds in found["seconds"].values())
    assert found["step"] == pytest.approx(sum(found["seconds"].values()))


def point(of: Point, peak: float, seconds: float) -> dict[str, Any]:
    parts = dict.fromkeys(PARTS, seconds / len(PARTS))
    return {
        **of.facts(), "peak": peak, "step": seconds, "memory": dict.fromkeys(PARTS, peak), "seconds": parts,
    }  # fmt: skip


def test_table_and_drawing_show_what_was_fitted() -> None:
    (axis,) = (axis for axis in AXES if axis.name == "vocab")
    points = [point(one, 2**20 * (50 + one.vocab / 1000), 1 + one.vocab / 1e5) for one in axis.points]
    result = {
        "machine": {"cpu": "a processor"},
        "settings": {"base": BASE.facts(), "threads": 1},
        "axes": {axis.name: {"title": axis.title, "points": points, "fits": fits(axis, points)}},
    }
    text = "\n".join(table(result))
    assert "memory +1.000 MiB for 1,000 words (R² 1.000)" in text
    assert f"one copy of all logits would take +{4 * BASE.tokens * 1000 / 2**20:.3f} MiB for 1,000 words" in text
    growth = result["axes"]["vocab"]["fits"]["growth"]
    assert growth["x"] == pytest.approx(axis.points[-1].vocab / axis.points[0].vocab)
    assert ElementTree.fromstring(draw(result, headline(result))).tag.endswith("svg")


@pytest.mark.slow
def test_the_command_writes_what_it_measured(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "bench.scaling", "--axes", "rollouts", "--steps", "1", "--threads", "1"]
    done = subprocess.run(
        [*command, "--out", str(tmp_path)], cwd=ROOT, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "scaling.json").read_text(encoding="utf-8"))
    (found,) = result["axes"].values()
    expected = [replace(BASE, rollouts=k).tokens for k in (1, 2, 4, 8, 16)]
    assert [one["tokens"] for one in found["points"]] == expected
    assert (tmp_path / "scaling.svg").exists()
