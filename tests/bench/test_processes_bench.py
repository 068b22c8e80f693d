"""What the bench of processes makes of given rows, and the recipe that all its arms run."""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from bench.step.work import Work

from bench import processes
from unswayed.config.recipe import Recipe
from unswayed.core.errors import UnswayedError

WORK = Work("m", "pairs.jsonl", pairs=8, steps=3, new_tokens=16, rank=16, threads=2)


def row(step: int, seconds: float, tokens: int = 10, loss: float = 1.0, **parts: float) -> dict[str, Any]:
    return {"step": step, "tokens": tokens, "loss": loss, "seconds": {"step": seconds, **parts}}


def test_ratios_are_of_the_same_step_and_warm_up_counts_for_nothing() -> None:
    alone = [row(1, 90.0), row(2, 4.0), row(3, 2.0), row(1, 9.0), row(2, 4.0), row(3, 1.0)]
    pair = [row(1, 1.0), *(row(step, 2.0, wait=0.5) for step in (2, 3)), row(1, 1.0), row(2, 2.0), row(3, 1.0)]
    arms = processes.summary({(1, 2): alone, (2, 1): pair}, (1, 2))
    assert list(arms) == ["1 process x 2 threads", "2 processes x 1 thread"]
    assert [arm["seconds"] for arm in arms.values()] == [3.0, 2.0]
    found = arms["2 processes x 1 thread"]
    assert found["ratio"] == 0.75
    assert found["ratio_range"] == [0.5, 1.0]
    assert found["wait"] == 0.25
    assert found["tokens"] == 40
    assert found["same_draws"]
    text = processes.table({"arms": arms})
    assert "2 processes x 1 thread" in text
    assert "0.75   0.50 to 1.00    the same" in text


def test_arms_that_drew_something_else_are_told() -> None:
    for other in (row(2, 1.0, tokens=11), row(2, 1.0, loss=1.1)):
        arms = processes.summary({(1, 2): [row(1, 1.0), row(2, 1.0)], (2, 1): [row(1, 1.0), other]}, (1, 2))
        assert [arm["same_draws"] for arm in arms.values()] == [True, False]
    with pytest.raises(ValueError, match="argument 2"):
        processes.summary({(1, 2): [row(1, 1.0), row(2, 1.0)], (2, 1): [row(1, 1.0)]}, (1, 2))


def test_the_recipe_comes_back_as_it_was() -> None:
    text = processes.toml({**WORK.recipe.to_dict(), "name": "run"})
    assert Recipe.from_dict(tomllib.loads(text)).science() == WORK.recipe.science()


def test_a_run_that_fails_is_told_in_its_own_words(tmp_path: Path) -> None:
    with pytest.raises(UnswayedError, match=r"1 process x 1 thread: exit code 2\n.*no.toml"):
        processes.train((1, 1), tmp_path / "no.toml", tmp_path)
