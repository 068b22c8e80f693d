"""Rates, steps and rows of a run, held against Transformers' own schedules and its Trainer."""

from __future__ import annotations

import json
import math
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import Trainer, TrainingArguments, get_scheduler

import runs
from unswayed.config.recipe import OptimConfig, Recipe
from unswayed.core.errors import ConfigError
from unswayed.training.prepare import Prepared, count_steps, prepare
from unswayed.training.step import learning_rate

THEIRS = {"constant": "constant_with_warmup", "linear": "linear", "cosine": "cosine"}


@pytest.mark.parametrize("schedule", THEIRS)
@pytest.mark.parametrize("warmup", [0, 1, 2, 5])
@pytest.mark.parametrize("steps", [1, 6, 31])
def test_16_rates_are_those_of_transformers(schedule: str, warmup: int, steps: int) -> None:
    optim = OptimConfig.model_validate({"lr": 3e-4, "schedule": schedule, "warmup_steps": warmup})
    adam = torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))], lr=optim.lr)
    theirs = get_scheduler(THEIRS[schedule], adam, warmup, steps)
    for step in range(steps):
        assert learning_rate(optim, step, steps) == adam.param_groups[0]["lr"]
        adam.step()
        theirs.step()


def test_16_the_first_rates_of_a_warm_up() -> None:
    optim = OptimConfig(lr=1.0, schedule="linear", warmup_steps=2)
    assert [learning_rate(optim, step, 6) for step in range(6)] == [0.0, 0.5, 1.0, 0.75, 0.5, 0.25]


@pytest.mark.parametrize("steps", [1, 4, 33, 34, 1000])
def test_16_a_share_of_the_steps_warms_up_as_in_transformers(tmp_path: Path, steps: int) -> None:
    theirs = TrainingArguments(str(tmp_path), warmup_steps=0.03, use_cpu=True).get_warmup_steps(steps)
    ours, other = OptimConfig(lr=1.0, warmup_ratio=0.03), OptimConfig(lr=1.0, warmup_steps=theirs)
    assert [learning_rate(ours, s, steps) for s in range(steps)] == [
        learning_rate(other, s, steps) for s in range(steps)
    ]


def test_one_warm_up_at_a_time() -> None:
    with pytest.raises(ValueError, match="either warmup_steps or warmup_ratio"):
        OptimConfig(warmup_steps=1, warmup_ratio=0.1)


class _Sizes(torch.nn.Module):
    """Counts the rows of each step that Trainer takes."""

    def __init__(self) -> None:
        super().__init__()
        self.weight, self.steps = torch.nn.Parameter(torch.zeros(1)), list[list[int]]()

    def forward(self, number: torch.Tensor) -> dict[str, torch.Tensor]:
        self.steps.append(number.tolist())
        return {"loss": self.weight.sum()}


def _prepared(tmp_path: Path, folder: Path, rows: int, **train: Any) -> Prepared:
    pairs = [{"id": f"{i}", "prompt": f"yes {i}?", "teacher_prompt": f"{i}?"} for i in range(rows)]
    runs.write_pairs(tmp_path / "pairs.jsonl", pairs)
    return prepare(runs.recipe(tmp_path, folder, train={"steps": None, **train}))


@pytest.mark.parametrize(("rows", "size", "epochs"), [(17, 16, 1), (17, 16, 2), (10, 4, 1.5), (8, 4, 2), (3, 5, 2)])
def test_16_epochs_take_the_steps_that_trainer_takes(
    tmp_path: Path, tiny_model_dir: Path, rows: int, size: int, epochs: float
) -> None:
    counted = _Sizes()
    arguments = TrainingArguments(
        str(tmp_path / "theirs"), per_device_train_batch_size=size, num_train_epochs=epochs, use_cpu=True,
        report_to="none", save_strategy="no", disable_tqdm=True, logging_strategy="no", max_grad_norm=0,
    )  # fmt: skip
    Trainer(counted, arguments, train_dataset=[{"number": i} for i in range(rows)]).train()
    prepared = _prepared(tmp_path, tiny_model_dir, rows, pairs_per_step=size, epochs=epochs)
    ours = [[pair.pair.id for pair in prepared.pairs_of(step)] for step in range(prepared.steps)]
    assert [len(step) for step in ours] == [len(step) for step in counted.steps]
    assert prepared.rows == sum(map(len, ours))
    for epoch in range(math.floor(epochs)):
        per_epoch = math.ceil(rows / size)
        seen = [name for step in ours[epoch * per_epoch : (epoch + 1) * per_epoch] for name in step]
        assert sorted(seen) == sorted(pair.pair.id for pair in prepared.pairs)


def test_16_steps_are_all_of_one_size(tmp_path: Path, tiny_model_dir: Path) -> None:
    prepared = _prepared(tmp_path, tiny_model_dir, 17, pairs_per_step=16, steps=2)
    seen = Counter(pair.pair.id for step in range(2) for pair in prepared.pairs_of(step))
    assert (prepared.rows, sorted(seen.values())) == (32, [1] * 2 + [2] * 15)


@pytest.mark.parametrize(
    ("length", "line"),
    [
        ({"epochs": 1}, "17, 16 a step, the last 1: 17 pairs once"),
        ({"steps": 2}, "32, 16 a step: 15 pairs twice, 2 pairs once"),
    ],
)
def test_16_the_dry_run_says_how_often_each_pair_comes(
    tmp_path: Path, tiny_model_dir: Path, length: dict[str, int], line: str
) -> None:
    from unswayed.cli.train import _rows

    assert _rows(_prepared(tmp_path, tiny_model_dir, 17, pairs_per_step=16, **length)) == line


# ---- a run that grows


def _grown(recipe: Recipe, **train: Any) -> Recipe:
    tables = recipe.to_dict()
    return Recipe.from_dict({**tables, "train": {**tables["train"], **train}})


def _adapter(path: Path) -> bytes:
    return (path / "adapter" / "adapter_model.safetensors").read_bytes()


def _rows_of(path: Path) -> list[dict[str, Any]]:
    rows = [json.loads(line) for line in (path / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    return [{key: value for key, value in row.items() if key != "seconds"} for row in rows]


@pytest.mark.parametrize(
    ("short", "long"), [({"steps": 6}, {"steps": 8}), ({"steps": None, "epochs": 2}, {"epochs": 3})]
)
def test_49_a_finished_run_goes_on_to_more_steps_bit_for_bit(
    tmp_path: Path, tiny_model_dir: Path, short: dict[str, Any], long: dict[str, Any]
) -> None:
    from unswayed.training.loop import train

    first = runs.recipe(tmp_path, tiny_model_dir, train=short, optim={"lr": 1e-2, "warmup_steps": 2})
    recipe = _grown(first, **long)
    whole = train(_grown(runs.recipe(tmp_path, tiny_model_dir, name="whole", train=short,
                                     optim={"lr": 1e-2, "warmup_steps": 2}), **long))  # fmt: skip
    before = train(first)
    assert before.steps < whole.steps
    with pytest.raises(ConfigError, match="finished"):
        train(recipe)
    grown = train(recipe, resume=True)
    assert grown.steps == whole.steps == count_steps(recipe.train, 10)
    assert _adapter(grown.path) == _adapter(whole.path)
    assert _rows_of(grown.path) == _rows_of(whole.path)
    assert json.loads((grown.path / "DONE.json").read_text())["steps"] == whole.steps
    assert json.loads((grown.path / "recipe.json").read_text())["train"] == recipe.to_dict()["train"]
    with pytest.raises(ConfigError, match="can grow, not shrink"):
        train(first, resume=True)
    assert _adapter(grown.path) == _adapter(whole.path)


@pytest.mark.parametrize(
    ("optim", "longer", "why"),
    [
        ({"schedule": "linear"}, {"steps": 3}, "depend on how many there are"),
        ({"warmup_ratio": 0.5}, {"steps": 3}, "depend on how many there are"),
        ({}, {"steps": None, "epochs": 4}, "different ways"),
        ({}, {"steps": 1}, "grow, not shrink"),
    ],
)
def test_49_a_run_whose_steps_would_have_been_others_is_not_extended(
    tmp_path: Path, tiny_model_dir: Path, optim: dict[str, Any], longer: dict[str, Any], why: str
) -> None:
    from unswayed.training.loop import train

    first = runs.recipe(tmp_path, tiny_model_dir, optim=optim, train={"steps": 2})
    done = train(first)
    files = sorted(path.name for path in done.path.iterdir())
    with pytest.raises(ConfigError, match=why):
        train(_grown(first, **longer), resume=True)
    assert sorted(path.name for path in done.path.iterdir()) == files
