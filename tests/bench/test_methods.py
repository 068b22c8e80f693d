"""`bench.methods`: one budget for every arm, a tuning rule that is what it says, and a table that adds up."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from bench.budget import jobs, questions, table
from bench.budget.arms import ARMS, DRAWS, RATES, STEPS, label_recipe, train_recipe
from bench.budget.jobs import SEEDS, TUNING_SEED, Job, choose

from bench import methods
from unswayed.config.labels import LabelRecipe
from unswayed.config.recipe import Recipe
from unswayed.core.errors import UnswayedError

METRICS = ("hint_following", "accuracy_clean", "accuracy_right_hint", "accuracy_wrong_hint", "truncation_rate")


@pytest.mark.parametrize("name", ARMS)
def test_every_arm_has_the_budget(name: str, tmp_path: Path) -> None:
    arm = ARMS[name]
    recipe = Recipe.from_dict(train_recipe(arm, pairs="pairs.jsonl", folder=str(tmp_path), seed=3, rate=1e-4))
    assert recipe.train.steps is not None
    assert recipe.train.steps * arm.updates == STEPS
    assert arm.pairs * arm.draws <= DRAWS
    assert DRAWS - arm.pairs * arm.draws < arm.draws
    if arm.labeller:
        made = LabelRecipe.from_dict(label_recipe(arm, pairs="pairs.jsonl", seed=3))
        assert made.max_new_tokens == recipe.sampling.max_new_tokens
        assert recipe.method.model_dump() | {"name": "sft", "source": "target"} == recipe.method.model_dump()
    else:
        assert recipe.train.steps * recipe.train.pairs_per_step * recipe.sampling.rollouts_per_pair == DRAWS
    if arm.rate_of:
        assert not ARMS[arm.rate_of].rate_of


def test_no_question_is_in_two_places() -> None:
    first, second = questions.asked(1), questions.asked(2)
    assert len(first.pairs) == len(second.pairs) == DRAWS
    assert [pair.id for pair in first.pairs] != [pair.id for pair in second.pairs]
    parts = [{sample.group for sample in suite.samples} for suite in (first.tuning, *first.result.values())]
    parts.append({pair.group for pair in (*first.pairs, *second.pairs)})
    assert [len(part) for part in parts[:3]] == [questions.TUNING, questions.QUESTIONS, questions.QUESTIONS]
    assert all(not one & other for place, one in enumerate(parts) for other in parts[place + 1 :])
    assert first.tuning == second.tuning
    assert first.result == second.result


def write_run(job: Job, hints: list[float | None], clean: list[float | None]) -> None:
    """Leave what a run leaves: these values for every question, 30 CPU seconds, and a KL of 0.5 nats."""
    rows = {"hint_following": hints, "accuracy_clean": clean}
    values = {
        name: [[f"q{i}/{name}", f"q{i}", value] for i, value in enumerate(rows.get(name, [1.0] * len(hints)))]
        for name in METRICS
    }
    cost = {"labels": {"labels": 4}, "generated_tokens": 100, "trained_tokens": 100, "optimizer_steps": STEPS}
    done = {
        "training": {**cost, "seconds": 60.0, "cpu_seconds": 30.0, "peak_rss": 2**30},
        "values": dict.fromkeys(["tuning"] if job.tuning else ["trained", "held_out"], values),
        "kl": {"clean": [["q0", 0.4, 5], ["q1", 0.6, 5]]},
    }
    job.folder.mkdir(parents=True)
    (job.folder / "done.json").write_text(json.dumps(done), encoding="utf-8")


def tune(work: Path, name: str, by_rate: dict[float, tuple[list[float | None], list[float | None]]]) -> None:
    for rate, (hints, clean) in by_rate.items():
        write_run(Job(work, name, TUNING_SEED, rate, tuning=True), hints, clean)


def test_tuning_takes_the_least_swayed_of_those_that_keep_their_knowledge(tmp_path: Path) -> None:
    write_run(Job(tmp_path, "base", TUNING_SEED, 0.0, tuning=True), [1.0] * 10, [1.0] * 5 + [0.0] * 5)
    half, less = [1.0] * 5 + [0.0] * 5, [1.0] * 4 + [0.0] * 6
    tune(tmp_path, "opct", {1e-4: ([1.0] * 6 + [0.0] * 4, half), 3e-4: (half, half), 1e-3: ([0.0] * 10, less)})
    assert choose(tmp_path, "opct")[0] == 3e-4
    tune(tmp_path, "bct", {rate: ([0.0] * 10, less) for rate in RATES})
    assert choose(tmp_path, "bct")[0] == min(RATES)
    # what could not be read is no resistance
    tune(tmp_path, "act", {1e-4: ([0.5] * 10, half), 3e-4: ([None] * 10, half), 1e-3: ([None] * 10, [None] * 10)})
    assert choose(tmp_path, "act")[0] == 1e-4
    with pytest.raises(UnswayedError, match="not done"):
        choose(tmp_path, "bct_soft")


def finished(work: Path) -> tuple[list[str], dict[str, float]]:
    """Leave a whole bench of three arms: bct is swayed less than opct, by chance; act as much as the base."""
    half = [1.0] * 10 + [0.0] * 10
    write_run(Job(work, "base", TUNING_SEED, 0.0, tuning=True), half, half)
    write_run(Job(work, "base", 0, 0.0, tuning=False), half, half)
    for name in ("opct", "bct", "act"):
        tune(work, name, dict.fromkeys(RATES, (half, half)))
    for seed in SEEDS:
        write_run(Job(work, "opct", seed, 1e-4, tuning=False), [1.0] * 4 + [0.0] * 16, half)
        write_run(Job(work, "bct", seed, 1e-4, tuning=False), [1.0] * 3 + [None] + [0.0] * 16, [1.0] * 20)
        write_run(Job(work, "act", seed, 1e-4, tuning=False), half, half)
    return ["opct", "bct", "act"], dict.fromkeys(("opct", "bct", "act"), 1e-4)


def test_the_table_says_what_the_runs_say(tmp_path: Path) -> None:
    result = table.collect(tmp_path, *finished(tmp_path))
    opct, bct = result["arms"]["opct"], result["arms"]["bct"]
    assert result["base"]["trained"]["value"] == 0.5
    assert opct["trained"]["value"] == pytest.approx(0.2)
    assert opct["trained"]["n"] == 60
    assert opct["change"]["trained"]["value"] == pytest.approx(-0.3)
    assert opct["change"]["trained"]["high"] < 0
    assert bct["trained"]["unscored"] == 3
    assert bct["change"]["trained"]["n"] == 57
    assert bct["per_seed"]["held_out"] == pytest.approx([3 / 19] * 3)
    assert opct["kl"]["value"] == pytest.approx(0.5)
    # three seeds of the same questions are not three times the questions
    assert opct["trained"]["high"] - opct["trained"]["low"] > 0.3


def test_the_command_names_what_beats_opct_and_whether_it_may_be_chance(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arms, _ = finished(tmp_path)
    assert methods.main(["--work", str(tmp_path), "--out", str(tmp_path), "--jobs", "1", "--arms", *arms]) == 0
    result = json.loads((tmp_path / "methods.json").read_text(encoding="utf-8"))
    named = {(entry["column"], entry["arm"]): entry.get("beyond_chance") for entry in result["not_best"]}
    assert named == {
        ("hint followed, trained wordings", "BCT, hard label"): False,
        ("hint followed, held-out families", "BCT, hard label"): False,
        ("right without a hint", "BCT, hard label"): True,
    }
    text, drawing = capsys.readouterr().out, (tmp_path / "methods.svg").read_text(encoding="utf-8")
    assert "- right without a hint: BCT, hard label (+50 points)" in text
    assert "could be chance" in text
    assert "20% (" in text
    assert all(ARMS[name].title in text and ARMS[name].title in drawing for name in arms)


def test_a_run_that_fails_ends_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(name: str, *_: Any) -> None:
        raise UnswayedError(f"arm {name} failed")

    monkeypatch.setattr(jobs, "alone", fail)
    assert methods.main(["--work", str(tmp_path), "--jobs", "1", "--arms", "opct", "--out", str(tmp_path)]) == 1
    assert "arm tuning-base-0-100 failed" in capsys.readouterr().err
