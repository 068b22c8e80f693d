"""A name that is not known ends in an error that says what was meant."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import unswayed
from unswayed import perturb
from unswayed.config.labels import LabelRecipe
from unswayed.config.recipe import Recipe
from unswayed.core.errors import ConfigError
from unswayed.core.suggest import did_you_mean, nearest
from unswayed.data.build.run import load_spec
from unswayed.evals.arguments import check_arguments
from unswayed.evals.by_name import find
from unswayed.judges.build import build_judge
from unswayed.judges.rubrics import rubric
from unswayed.models import resolve
from unswayed.sources.catalogue import source

TABLES: dict[str, Any] = {
    "name": "r", "model": {"id": "m"}, "data": {"train": "x"}, "method": {"name": "opct"}, "train": {"steps": 1}
}  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "key", "meant"),
    [
        ({"learning_rate": 1}, "learning_rate", "optim.lr"),
        ({"optim": {"learning_rate": 1}}, "optim.learning_rate", "optim.lr"),
        ({"optim": {"lrr": 1}}, "optim.lrr", "optim.lr"),
        ({"optimm": {}}, "optimm", "optim"),
        ({"lr": 1}, "lr", "optim.lr"),
        ({"sampling": {"lr": 1}}, "sampling.lr", "optim.lr"),
        ({"train": {"steps": 1, "epoch": 1}}, "train.epoch", "train.epochs"),
        ({"lora": {"r": 8}}, "lora.r", "lora.rank"),
        ({"lora": {"target_modules": []}}, "lora.target_modules", "lora.targets"),
        ({"method": {"name": "opct", "diverg": 1}}, "method.diverg", "method.divergence"),
        ({"eval": [{"suite": "a", "limt": 3}]}, "eval.0.limt", "eval.limit"),
    ],
)
def test_57_an_unknown_key_names_the_one_that_was_meant(changes: dict[str, Any], key: str, meant: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Recipe.from_dict({**TABLES, **changes})
    assert str(caught.value) == f"recipe: {key}: unknown key; did you mean {meant!r}?"


def test_57_what_resembles_nothing_suggests_nothing() -> None:
    with pytest.raises(ConfigError, match=r"^recipe: zzz: unknown key$"):
        Recipe.from_dict({**TABLES, "zzz": 1})
    assert did_you_mean("quark", ["lr", "steps"]) == ""
    assert nearest("lr", ["lr"]) is None


def test_57_an_unknown_method_lists_the_methods() -> None:
    with pytest.raises(ConfigError, match=r"method.name: 'dpo' is none of act, bct, bct_soft, opct, sft$"):
        Recipe.from_dict({**TABLES, "method": {"name": "dpo"}})
    with pytest.raises(ConfigError, match=r"'opc' is none of .*; did you mean 'opct'\?$"):
        Recipe.from_dict({**TABLES, "method": {"name": "opc"}})


def test_57_a_length_is_asked_for_in_the_words_of_the_recipe() -> None:
    with pytest.raises(ConfigError, match=r"train: set steps or epochs$"):
        Recipe.from_dict({**TABLES, "train": {}})
    with pytest.raises(ConfigError, match=r"both set.*--set train.epochs=$"):
        Recipe.from_dict({**TABLES, "train": {"steps": 1, "epochs": 1.0}})


def _label(name: str) -> object:
    return LabelRecipe.from_dict({"model": {"id": "m"}, "data": {"train": "x"}, "labeller": {"name": name}})


@pytest.mark.parametrize(
    ("ask", "wrong", "meant"),
    [
        (unswayed.suite, "sycophancy/sugested_answer", "sycophancy/suggested_answer"),
        (unswayed.suite, "suggested_answer", "sycophancy/suggested_answer"),
        (unswayed.suite, "gsm8k", "capability/gsm8k"),
        (perturb.get, "sycophancy/hersay", "sycophancy/hearsay@1"),
        (find, "answer", "answers/v"),
        (rubric, "strong_reject", "strongreject"),
        (source, "gms8k", "capability/gsm8k"),
        (build_judge, "opanai:x", "openai"),
        (resolve, "smollm-135m", "smollm2-135m"),
        (_label, "multiview", "multi_view"),
        (lambda name: check_arguments("sycophancy/suggested_answer", {name: "food"}), "topic", "topics"),
    ],
)
def test_57_a_misspelt_name_says_what_was_meant(ask: Callable[[str], object], wrong: str, meant: str) -> None:
    with pytest.raises(ConfigError, match=rf"did you mean '{meant}"):
        ask(wrong)


def test_57_a_misspelt_kind_of_spec(tmp_path: Path) -> None:
    file = tmp_path / "spec.toml"
    file.write_text('kind = "hint"\n')
    with pytest.raises(ConfigError, match=r"no kind 'hint'; did you mean 'hints'\?"):
        load_spec(file)
    file.write_text('kind = "hints"\nfamilis = []\n')
    with pytest.raises(ConfigError, match=r"familis: unknown key; did you mean 'families'\?"):
        load_spec(file)
