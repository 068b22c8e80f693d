"""SIGKILL at every file operation of a short run: every resume ends bit-identical, with no half file left."""

import signal
from functools import partial
from pathlib import Path

import harness
import pytest
import torch

import runs
from unswayed.config.recipe import Recipe


def _recipe(folder: Path, model: Path, where: str) -> Recipe:
    return runs.recipe(
        folder,
        model,
        lora={"rank": 2, "alpha": 4.0, "dropout": 0.2},
        train={"steps": 3, "pairs_per_step": 2, "micro_batch": 2},
        sampling={"max_new_tokens": 3},
        save={"dir": str(folder / where)},
    )


@pytest.mark.slow
def test_killed_at_every_file_operation(tmp_path: Path, tiny_model_dir: Path) -> None:
    torch.set_num_threads(1)
    reference = _recipe(tmp_path, tiny_model_dir, "reference")
    count = tmp_path / "count"
    assert harness.child(partial(harness.run, reference, count_to=count)) == 0
    expected = harness.remains(reference.run_dir)
    assert {
        "DONE.json",
        "adapter/adapter_model.safetensors",
        "checkpoints/step-000003/MANIFEST.json",
    } <= expected.keys()
    points = int(count.read_text(encoding="utf-8"))
    assert points > 50
    for point in range(1, points + 1):
        recipe = _recipe(tmp_path, tiny_model_dir, f"point-{point}")
        assert harness.child(partial(harness.run, recipe, kill_at=point)) == -signal.SIGKILL, f"point {point}"
        assert harness.child(partial(harness.run, recipe)) == 0, f"point {point} does not resume"
        left = harness.remains(recipe.run_dir)
        assert not [name for name in left if ".tmp" in name], f"point {point} leaves half a file"
        different = {name for name in left.keys() | expected.keys() if left.get(name) != expected.get(name)}
        # These two name the folder, which is not the same.
        assert different <= {"recipe.json", "adapter/README.md"}, f"point {point} differs in {sorted(different)}"
