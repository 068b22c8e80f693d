"""The method in one file and the library are the same method: equal losses, step by step."""

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest
import torch

import runs
from unswayed.training.loop import train

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def flat() -> ModuleType:
    spec = importlib.util.spec_from_file_location("opct_flat", ROOT / "examples" / "opct_flat.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_equal_losses(tmp_path: Path, tiny_model_dir: Path, flat: ModuleType) -> None:
    recipe = runs.recipe(
        tmp_path,
        tiny_model_dir,
        model={"dtype": "float64"},
        lora={"rank": 4, "alpha": 8.0},
        train={"steps": 4, "pairs_per_step": 4},  # 10 pairs: the third step crosses an epoch's end
        sampling={"max_new_tokens": 6},
    )
    ours = [row["loss"] for row in train(recipe).metrics()]
    pairs = [json.loads(line) for line in (tmp_path / "pairs.jsonl").read_text(encoding="utf-8").splitlines()]
    _, theirs = flat.train(
        tiny_model_dir,
        pairs,
        steps=4,
        pairs_per_step=4,
        max_new_tokens=6,
        lr=1e-2,
        rank=4,
        alpha=8,
        dtype=torch.float64,
    )
    assert len(set(ours)) == 4
    # Llama's norm rounds to float32 inside, whatever the model's type.
    assert ours == pytest.approx(theirs, rel=1e-5)
