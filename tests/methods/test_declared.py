"""A method is its table and its class: one declared outside the package trains like those that ship."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal

import pytest

import runs
from unswayed.config.fields import science
from unswayed.config.methods import METHOD_CONFIGS, CompletionConfig, MethodConfig, OPCTConfig
from unswayed.config.recipe import Recipe
from unswayed.core.errors import ConfigError
from unswayed.core.types import LossOutput, PairedBatch
from unswayed.engine.base import Capability, Scored
from unswayed.methods import build, method
from unswayed.methods.base import METHODS, TeacherCompletions
from unswayed.training.loop import train


@pytest.fixture(autouse=True)
def _nothing_stays_declared() -> Iterator[None]:
    build(OPCTConfig(name="opct"))  # declares all that ship
    before = dict(METHOD_CONFIGS), dict(METHODS)
    yield
    for registry, entries in zip((METHOD_CONFIGS, METHODS), before, strict=True):
        registry.clear()
        registry.update(entries)


def test_a_method_from_outside_trains_as_its_recipe_says(tmp_path: Path, tiny_model_dir: Path) -> None:
    class ScaledConfig(CompletionConfig):
        """Cross-entropy on the teacher's answer, times a factor."""

        name: Literal["scaled"] = science()
        factor: float = science(1.0, gt=0)

    @method(ScaledConfig)
    class Scaled(TeacherCompletions):
        needs: Mapping[Capability, str] = {"sampled": "another method"}
        config: ScaledConfig

        def loss(self, student: Scored, batch: PairedBatch) -> LossOutput:
            output = super().loss(student, batch)
            return LossOutput(output.total * self.config.factor, output.count, output.metrics)

    losses = []
    for table in ({"name": "bct"}, {"name": "scaled", "factor": 3.0}):
        recipe = runs.recipe(tmp_path, tiny_model_dir, name=str(table["name"]), method=table)
        assert Recipe.from_dict(recipe.to_dict()) == recipe
        losses.append(train(recipe).metrics()[0]["loss"])
    assert recipe.science()["method.factor"] == 3.0
    assert losses[1] == pytest.approx(3 * losses[0])
    with pytest.raises(ConfigError, match=r"method\.factor"):
        runs.recipe(tmp_path, tiny_model_dir, method={"name": "scaled", "factor": 0.0})


def test_an_unknown_name_is_refused_with_the_known_ones(tmp_path: Path, tiny_model_dir: Path) -> None:
    with pytest.raises(ConfigError, match=r"method\.name: 'dpo' is none of act, bct, bct_soft, opct, sft$"):
        runs.recipe(tmp_path, tiny_model_dir, method={"name": "dpo"})


def test_a_table_without_a_method_is_never_trained_as_another() -> None:
    class OrphanConfig(MethodConfig):
        name: Literal["orphan"] = science()

    with pytest.raises(ConfigError, match=r"@method\(OrphanConfig\), the table of 'orphan'; .*ACTConfig, BCTConfig"):
        build(OrphanConfig(name="orphan"))


def test_a_name_and_a_table_have_one_owner() -> None:
    with pytest.raises(ConfigError, match="'opct' is declared already"):

        class Mine(MethodConfig):
            name: Literal["opct"] = science()

    with pytest.raises(ConfigError, match=r"@method\(OPCTConfig\) stands twice"):
        method(OPCTConfig)(build)
