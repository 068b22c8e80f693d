"""The papers' settings as shipped recipes: the published values, and every command in them plans on a stand-in."""

from __future__ import annotations

import json
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

import runs
import tiny
from unswayed.cli.train import train
from unswayed.config.labels import LabelRecipe
from unswayed.config.recipe import Recipe

ROOT = Path(__file__).resolve().parents[2]
PAPER = sorted((ROOT / "recipes" / "paper").glob("*.toml"))
# Reads every value that one of the recipes gives a template.
TEMPLATE = tiny.CHAT_TEMPLATE + (
    "{% if enable_thinking is defined and reasoning_effort is defined and date_string is defined %}{% endif %}"
)
OPCT = {
    "method.name": "opct", "method.estimator": "sampled", "method.teacher": "base", "lora.rank": 32, "lora.alpha": 64,
    "optim.betas": [0.9, 0.95], "optim.eps": 1e-8, "optim.schedule": "constant", "optim.warmup_steps": 0,
    "optim.warmup_ratio": 0, "optim.weight_decay": 0, "sampling.top_p": 1, "sampling.top_k": 0,
}  # fmt: skip
STUDY = {
    "optim.lr": 1e-5, "optim.betas": [0.9, 0.999], "optim.eps": 1e-8, "optim.schedule": "linear",
    "optim.warmup_ratio": 0.03, "optim.max_grad_norm": 1.0, "optim.weight_decay": 0, "train.pairs_per_step": 16,
}  # fmt: skip
PUBLISHED: dict[str, dict[str, Any]] = {
    "opct_sycophancy": {
        **OPCT, "optim.lr": 5e-6, "sampling.rollouts_per_pair": 4, "sampling.temperature": 0.7,
        "train.pairs_per_step": 16, "sampling.max_new_tokens": 2048, "method.kl_coef": 2, "method.discount": 0.9,
        "train.epochs": 1, "model.id": "Qwen/Qwen3-8B",
    },
    "opct_jailbreak": {
        **OPCT, "optim.lr": 5e-6, "sampling.rollouts_per_pair": 3, "sampling.temperature": 1,
        "train.pairs_per_step": 8, "sampling.max_new_tokens": 1024, "method.kl_coef": 1, "method.discount": 0,
        "train.epochs": 3, "model.id": "Qwen/Qwen3-8B",
    },
    "opct_safety": {
        **OPCT, "optim.lr": 5e-6, "sampling.rollouts_per_pair": 3, "sampling.temperature": 1,
        "train.pairs_per_step": 8, "sampling.max_new_tokens": 1024, "method.kl_coef": 1, "method.discount": 0,
        "train.epochs": 3, "model.id": "meta-llama/Llama-3.1-8B-Instruct",
    },
    "opct_safety_sweep2": {
        **OPCT, "optim.lr": 1e-4, "sampling.rollouts_per_pair": 1, "sampling.temperature": 1.2,
        "train.pairs_per_step": 8, "sampling.max_new_tokens": 1024, "method.kl_coef": 1, "method.discount": 0,
        "train.epochs": 1, "model.id": "Qwen/Qwen3-4B-Instruct-2507",
    },
    "study_induction": {
        **STUDY, "method.name": "sft", "method.source": "target", "train.epochs": 2, "lora.rank": 32,
        "lora.alpha": 64, "lora.dropout": 0.05, "model.dtype": "float32",
    },
    "study_labels": {**STUDY, "method.name": "sft", "method.source": "target", "train.epochs": 2},
    "study_bct": {**STUDY, "method.name": "bct_soft", "method.divergence": "forward_kl", "train.epochs": 3},
    "study_act": {**STUDY, "method.name": "act", "train.epochs": 3},
}  # fmt: skip


def test_18_every_published_setting_has_a_recipe() -> None:
    assert {path.stem for path in PAPER} == PUBLISHED.keys()


@pytest.mark.parametrize("path", PAPER, ids=lambda path: path.stem)
def test_18_the_values_are_the_published_ones(path: Path) -> None:
    science = Recipe.load(path).science()
    wanted = PUBLISHED[path.stem]
    assert {key: science[key] for key in wanted} == wanted
    if path.stem == "study_act":  # 1e-4 times a mean over the width of the 8B models is our sum at this scale
        assert science["method.scale"] ** 2 * 4096 == pytest.approx(1e-4)


def commands(path: Path) -> list[list[str]]:
    """Return the commands that a recipe's head shows, as words."""
    text = path.read_text(encoding="utf-8").replace("\\\n#", "")
    return [shlex.split(line[1:]) for line in text.splitlines() if line.startswith("#   unswayed ")]


@pytest.fixture(scope="module")
def stand_in(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model whose tokenizer marks thinking and whose template takes the values of all published models."""
    folder = tmp_path_factory.mktemp("stand-in")
    tokens = tiny.tokenizer()
    tokens.add_special_tokens({"additional_special_tokens": ["<think>", "</think>"]})
    tokens.chat_template = TEMPLATE
    tiny.llama(vocab_size=len(tokens), max_position_embeddings=4096).save_pretrained(folder)
    tokens.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def adapter(tmp_path_factory: pytest.TempPathFactory, stand_in: Path) -> Path:
    from peft import LoraConfig, get_peft_model

    folder = tmp_path_factory.mktemp("organism") / "adapter"
    base = tiny.llama(vocab_size=302, max_position_embeddings=4096)
    config = LoraConfig(r=4, target_modules=["q_proj"], task_type="CAUSAL_LM", base_model_name_or_path=str(stand_in))
    get_peft_model(base, config).save_pretrained(folder)
    return folder


CASES = [pytest.param(path, words, id=f"{path.stem}-{i}") for path in PAPER for i, words in enumerate(commands(path))]


@pytest.mark.parametrize(("path", "words"), CASES)
def test_18_every_command_of_every_recipe_plans(
    tmp_path: Path, stand_in: Path, adapter: Path, path: Path, words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(ROOT / "recipes", tmp_path / "recipes")
    if words[1] == "label":
        sets = [words[i + 1] for i, word in enumerate(words) if word == "--set"]
        assert LabelRecipe.load(words[2], set=sets).model.adapter == "organism/adapter"
        return
    assert words[:3] == ["unswayed", "train", f"recipes/paper/{path.name}"]
    shutil.copytree(adapter, tmp_path / "organism" / "adapter")
    for name in ("pairs.jsonl", "labels.jsonl", "induction.jsonl"):
        runs.write_pairs(tmp_path / name, [{**row, "id": f"{i}-{row['id']}"} for i in range(2) for row in runs.ROWS])
    app = typer.Typer()
    app.command()(train)
    result = CliRunner().invoke(app, [*words[2:], "--set", f"model.id={stand_in}", "--dry-run", "--json"])
    assert result.exit_code == 0, result.output
    plan = json.loads(result.stdout)
    recipe = Recipe.load(path)
    size, epochs = recipe.train.pairs_per_step, recipe.train.epochs or 0
    assert (plan["pairs"], plan["steps"]) == (20, epochs * -(-20 // size))
    assert not (tmp_path / "runs").exists()


def test_18_gpt_oss_takes_eager_attention() -> None:
    for path in PAPER:
        for words in commands(path):
            if "model.id=openai/gpt-oss-20b" in words:
                assert "model.attention=eager" in words
