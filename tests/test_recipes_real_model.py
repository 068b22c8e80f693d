"""Every shipped recipe on the real model: it trains on a CPU, and its adapter is one that plain PEFT loads."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

from unswayed.config.labels import LabelRecipe
from unswayed.config.recipe import Recipe
from unswayed.data.build.pairs import build_pairs
from unswayed.data.read import write_pairs
from unswayed.labels.run import label
from unswayed.questions.items import fact_items
from unswayed.training.loop import train

if TYPE_CHECKING:
    from unswayed.models import ModelSource

pytestmark = [pytest.mark.real_model, pytest.mark.slow]

RECIPES = Path(__file__).parents[1] / "recipes"
TRAINING = sorted(RECIPES.glob("*.toml"))
LABELLING = sorted((RECIPES / "labels").glob("*.toml"))
# The others run in `make test-deep`: each takes seconds to load the model, and differs in settings alone.
SIBLINGS = {"opct", "act", "self_rewarding"}
NEW_TOKENS = 8
# What is made small; everything else is as it ships.
SMALL = [
    "model.dtype=float32",
    "model.device=cpu",
    f"sampling.max_new_tokens={NEW_TOKENS}",
    "train.pairs_per_step=2",
    "train.steps=2",
    "train.epochs=",
    "lora.rank=4",
]


def tiers(paths: list[Path]) -> list[Any]:
    return [pytest.param(p, id=p.stem, marks=() if p.stem in SIBLINGS else pytest.mark.deep) for p in paths]


def test_there_are_recipes() -> None:
    assert len(TRAINING) >= 8
    assert len(LABELLING) >= 10


@pytest.mark.parametrize("path", tiers(TRAINING))
def test_a_training_recipe_ends_with_an_adapter_for_plain_peft(
    path: Path, tmp_path: Path, smollm2: ModelSource
) -> None:
    write_pairs(tmp_path / "pairs.jsonl", build_pairs(fact_items("capitals")[:4], ["opinion_before"], per_item=1))
    trained(path, tmp_path / "pairs.jsonl", tmp_path, smollm2)


@pytest.mark.parametrize("path", tiers(LABELLING))
def test_a_labelling_recipe_and_then_sft(path: Path, tmp_path: Path, smollm2: ModelSource) -> None:
    pairs = build_pairs(fact_items("capitals")[:6], ["opinion_before"], per_item=1)
    write_pairs(tmp_path / "pairs.jsonl", pairs)
    recipe = LabelRecipe.load(
        path,
        set=[
            f"data.train={tmp_path / 'pairs.jsonl'}",
            "model.dtype=float32",
            "model.device=cpu",
            f"max_new_tokens={2 * NEW_TOKENS}",
            f"eval_max_new_tokens={NEW_TOKENS}",
        ],
    )
    made = label(recipe, tmp_path / "labels.jsonl")
    assert made.summary["labels"] + sum(made.summary["dropped"].values()) == len(pairs)
    assert made.summary["labels"] >= 2
    trained(RECIPES / "sft.toml", made.path, tmp_path, smollm2, 'method.source="target"')


def trained(path: Path, pairs: Path, folder: Path, model: ModelSource, *settings: str) -> None:
    """Train two small steps of a recipe, load the adapter with PEFT alone, and see that it is not the empty one."""
    recipe = Recipe.load(path, set=[f"data.train={pairs}", f"save.dir={folder / 'runs'}", *SMALL, *settings])
    run = train(recipe)
    rows: list[dict[str, Any]] = run.metrics()
    assert [row["step"] for row in rows] == [1, 2]
    assert all(row["tokens"] > 0 or recipe.method.name == "act" for row in rows)
    base = AutoModelForCausalLM.from_pretrained(model.path, dtype=torch.float32)
    ids = torch.tensor([[1, 50, 60, 70]])
    with torch.no_grad():
        before = base(ids).logits
        adapted = PeftModel.from_pretrained(base, str(run.adapter))
        after = adapted(ids).logits
    assert torch.isfinite(after).all()
    assert not torch.equal(before, after)
