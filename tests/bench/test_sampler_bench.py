"""The bench of decoding, end to end on a tiny model, and its floor by hand."""

from __future__ import annotations

import json
import statistics
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from bench.decode.work import WORKLOADS, Workload
from bench.floor import Shape
from bench.sampler import GENERATE, OURS, chosen, entry, floor, main

from unswayed.core.errors import ConfigError

SHAPE = Shape(body=100, adapter=10, head=40, layers=0, attention_width=3, kv_width=1, bytes=2)


def test_the_floor_computes_a_prompt_once_for_all_its_completions() -> None:
    load = Workload("by hand", prompts=2, n=2, prefix=3, new=3)
    found = floor(SHAPE, load, [5, 7], [3, 1, 2, 1], (1000.0, 1e12))
    prefill = 2 * (110 * (3 + 2 + 4) + 40 * 2) / 1000
    assert found["prefill_seconds"] == pytest.approx(prefill)
    # One token more for two rows, then for one.
    assert found["seconds"] == pytest.approx(prefill + 2 * 150 * (2 + 1) / 1000)
    bound = floor(SHAPE, load, [5, 7], [3, 1, 2, 1], (1e12, 10.0))
    assert bound["seconds"] == bound["bytes_seconds"] == pytest.approx(3 * (140 * 2 + 40) / 10)
    bare = floor(replace(SHAPE, adapter=0), load, [5, 7], [3, 1, 2, 1], (1e12, 10.0))
    assert bare["seconds"] == pytest.approx(3 * 140 * 2 / 10)


def test_the_ratio_is_of_medians_and_its_bounds_of_rounds() -> None:
    load = Workload("two", prompts=2, n=1, prefix=0, new=3)
    answers = {
        OURS: [{"seconds": s, "lengths": [3, 1], "peak_above": p} for s, p in ((1.0, 10), (4.0, 30), (2.0, 20))],
        GENERATE: [{"seconds": s, "lengths": [3, 1], "peak_above": 60} for s in (3.0, 4.0, 8.0)],
    }
    found = entry(load, [4, 5], answers, adapter=True)
    assert found["ratio"] == {"rate": 4 / 2, "lowest": 1.0, "highest": 4.0, "peak_above_ready": 0.5}
    assert found["arms"][OURS]["tokens_per_second"] == 4 / 2
    assert (found["tokens"], found["mean_length"], found["longest"], found["prompt_tokens"]) == (4, 2.0, 3, 9)


def test_workloads_are_chosen_by_part_of_their_name() -> None:
    assert chosen(None, quick=False) == WORKLOADS
    (one,) = chosen(["mean"], quick=True)
    assert one.stops
    assert one.prompts == 8
    with pytest.raises(ConfigError, match="the workloads are 16 rows"):
        chosen(["nothing"], quick=True)
    assert main(["--only", "nothing"]) == 2
    ids = WORKLOADS[2].ids(100)
    assert all(row[:40] == ids[0][:40] for row in ids)
    assert all(40 + 30 <= len(row) <= 40 + 120 for row in ids)


@pytest.mark.slow
@pytest.mark.usefixtures("in_threads")
def test_it_measures_both_arms_on_equal_tokens(
    tiny_model_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--model", str(tiny_model_dir), "--threads", "1", "--quick", "--dtype", "float32", "--out", str(tmp_path)]
    assert main([*words, "--only", "prefix", "mean"]) == 0
    result: dict[str, Any] = json.loads((tmp_path / "sampler.json").read_text(encoding="utf-8"))
    assert [(one["adapter"], one["completions_each"]) for one in result["workloads"]] == [
        (False, 3), (False, 1), (True, 3), (True, 1)
    ]  # fmt: skip
    for one in result["workloads"]:
        assert one["tokens"] == sum(one["lengths"])
        for arm in one["arms"].values():
            assert arm["seconds"] == statistics.median(arm["rounds"])
            assert arm["tokens_per_second"] == pytest.approx(one["tokens"] / arm["seconds"])
        assert 0 < one["floor"]["prefill_seconds"] < one["floor"]["seconds"] < one["arms"][OURS]["seconds"]
    assert len(set(result["workloads"][1]["lengths"])) > 2, "rows end at different steps"
    assert {check["equal"] for check in result["check"].values()} == {8}
    assert "generate" in capsys.readouterr().out
    drawing = ElementTree.fromstring((tmp_path / "sampler.svg").read_text(encoding="utf-8"))
    assert drawing.tag.endswith("svg")
