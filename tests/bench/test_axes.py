"""`bench.axes`: it asks what training never saw, and commits no text."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from bench.axes import AXES, COST, ROOT, main, run, without_ids
from bench.command import RESULTS

from unswayed.config.recipe import Recipe
from unswayed.core.errors import UnswayedError
from unswayed.data.build.run import load_spec
from unswayed.evals.arguments import read_arguments


def result(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((RESULTS / f"axis_{name}.json").read_text(encoding="utf-8"))
    return found


@pytest.mark.parametrize("name", AXES)
def test_suites_take_their_arguments_and_topics_were_held_out(name: str) -> None:
    axis = AXES[name]
    assert Recipe.load(ROOT / axis.recipe).data.train == axis.pairs
    held_out = set(load_spec(ROOT / axis.spec).split.topics)
    for ask in (*axis.asks, *COST):
        given = read_arguments([ask.suite], ask.given)
        assert set(given.get("topics", ())) <= held_out
        assert ":" not in ask.suite or ask.suite.endswith(f"{Path(axis.pairs).stem}.held_out.jsonl")


@pytest.mark.parametrize("name", AXES)
def test_what_is_committed_is_what_the_recipe_says_now_and_no_text(name: str) -> None:
    found = result(name)
    assert Recipe.from_dict(found["recipe"]) == Recipe.load(ROOT / AXES[name].recipe), (
        "fields that came since are at their default"
    )
    assert found["asked"] == [ask.arguments() for ask in (*AXES[name].asks, *COST)]
    assert len(found["training"]) == found["recipe"]["train"]["steps"]
    assert found["comparison"]["plan"]["declared"] == "declared before the run"
    for one in found["comparison"]["suites"]:
        assert "transcripts" not in one
        assert not [key for key, value in one["contamination"].items() if isinstance(value, list)]
        assert one["contamination"]["checked"] is True


def test_names_of_samples_and_groups_are_left_out() -> None:
    shared = {"checked": True, "groups": 3, "shared": 1, "named": ["a focus word"], "exact": []}
    one = {"suite": "s", "transcripts": {"fixed": {"of": 1, "ids": [["x", 0]]}}, "contamination": shared}
    kept = without_ids({"seeds": 1, "suites": [one]})
    assert kept == {
        "seeds": 1,
        "suites": [{"suite": "s", "contamination": {"checked": True, "groups": 3, "shared": 1}}],
    }


def test_an_axis_that_is_not_there_and_a_command_that_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["weather", "--work", str(tmp_path)])
    assert stopped.value.code == 2
    assert "no axis weather" in capsys.readouterr().err
    with pytest.raises(UnswayedError, match="unswayed compare ended with 2"):
        run(tmp_path, "compare", "before", "after")
