"""Every shipped recipe trains, with its own method settings, and ends with an adapter that plain PEFT loads."""

from pathlib import Path

import battery
import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

import runs
from unswayed.config.recipe import Recipe
from unswayed.training.loop import train

FOLDER = Path(__file__).resolve().parents[2] / "recipes"
RECIPES = sorted([*FOLDER.glob("*.toml"), *(FOLDER / "controls").glob("*.toml")])


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_it_trains(tmp_path: Path, tiny_model_dir: Path, path: Path) -> None:
    pairs = runs.write_pairs(tmp_path / "pairs.jsonl")
    small = {
        "model.id": f'"{tiny_model_dir}"',
        "model.dtype": '"float32"',
        "model.device": '"cpu"',
        "data.train": f'"{pairs}"',
        "lora.rank": "2",
        "optim.lr": "1e-3",
        "sampling.max_new_tokens": "4",
        "train.steps": "",
        "train.epochs": "0.6",
        "train.pairs_per_step": "4",
        "save.dir": f'"{tmp_path / "runs"}"',
    }
    if "rows = 100" in path.read_text(encoding="utf-8"):
        small["data.rows"] = "10"
    run = train(Recipe.load(path, set=[f"{key}={value}" for key, value in small.items()]))
    rows = run.metrics()
    assert [row["step"] for row in rows] == [1, 2]
    assert all(row["loss"] == row["loss"] and row["tokens"] > 0 and row["grad_norm"] > 0 for row in rows)
    base = AutoModelForCausalLM.from_pretrained(tiny_model_dir)
    ids = torch.tensor([[5, 6, 7, 8]])
    before = base(ids).logits
    assert not torch.allclose(PeftModel.from_pretrained(base, run.adapter)(ids).logits, before, atol=1e-6)


def test_each_method_has_a_recipe() -> None:
    assert {Recipe.load(path).method.name for path in FOLDER.glob("*.toml")} == battery.names()
