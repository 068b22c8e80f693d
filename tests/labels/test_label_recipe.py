"""Label recipes: what does not fit together is refused, with the setting that works."""

from __future__ import annotations

from typing import Any

import pytest

from unswayed.config.labels import LabelRecipe
from unswayed.core.errors import ConfigError
from unswayed.evals.suite import GREEDY


def load(labeller: dict[str, Any], **fields: Any) -> LabelRecipe:
    tables = {"model": {"id": "m"}, "data": {"train": "pairs.jsonl"}, "labeller": labeller, **fields}
    return LabelRecipe.from_dict(tables)


def test_the_label_cap_is_not_below_the_cap_of_evaluations() -> None:
    assert load({"name": "self_training"}).eval_max_new_tokens == GREEDY.max_new_tokens
    load({"name": "self_training"}, max_new_tokens=GREEDY.max_new_tokens)
    with pytest.raises(ConfigError, match="max_new_tokens = 512 or more"):
        load({"name": "self_training"}, max_new_tokens=256, eval_max_new_tokens=512)


@pytest.mark.parametrize(
    ("labeller", "message"),
    [
        ({"name": "nonsense"}, "labeller"),
        ({"name": "self_confidence", "k": 0}, "k"),
        ({"name": "self_confidence", "temperature": 0.0}, "temperature"),
        ({"name": "self_training", "k": 4}, "k: unknown key"),
        ({"name": "self_distillation", "truncated": "drop"}, "no longer exact"),
        ({"name": "self_distillation", "temperature": 0.7}, "temperature: unknown key"),
        ({"name": "diverse_decoding", "nucleus": 0, "temperatures": []}, "at least two"),
        ({"name": "diverse_decoding", "temperatures": [1.0, 1.0]}, "twice"),
        ({"name": "self_rewarding", "scorer": {"kind": "grade", "model": "other"}}, "rejection_sampling"),
        ({"name": "self_rewarding", "scorer": {"kind": "reward_model", "model": "other"}}, "scorer"),
        ({"name": "rejection_sampling", "scorer": {"kind": "reward_model"}}, "model: is required"),
        ({"name": "multi_view", "judge": {"model": "other"}}, "kind = 'model'"),
    ],
)
def test_refused(labeller: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load(labeller)


def test_everything_but_speed_place_and_the_other_cap_is_science() -> None:
    recipe = load({"name": "rejection_sampling", "scorer": {"kind": "reward_model", "model": "rm"}})
    science = recipe.science()
    assert science["labeller.scorer.model"] == "rm"
    assert science["labeller.k"] == 4
    assert science["max_new_tokens"] == 256
    assert not {"batch", "eval_max_new_tokens", "model.device", "data.train"} & set(science)
    assert LabelRecipe.from_dict(recipe.to_dict()) == recipe
