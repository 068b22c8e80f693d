"""Pinned training runs: a change that should not alter numbers must alter none of these.

If a change is meant to alter them, say so in the changelog with the tag **numerics**, and run this file as a script to
print the new values.
"""

from pathlib import Path
from typing import Any

import pytest

import runs
from unswayed.training.loop import train

RUNS: dict[str, dict[str, Any]] = {
    "opct": {"name": "opct"},
    "opct-sampled": {"name": "opct", "estimator": "sampled", "discount": 0.9},
    "opct-jsd": {"name": "opct", "divergence": "jsd", "beta": 0.3},
    "sft": {"name": "sft"},
    "sft-target": {"name": "sft", "source": "target"},
}
LOSSES: dict[str, list[float]] = {
    "opct": [1.3004655, 1.0987805, 1.1310742, 1.0850131],
    "opct-sampled": [4.7534412, 3.0539949, 4.1957789, 3.4016942],
    "opct-jsd": [0.20560284, 0.17554845, 0.1652404, 0.17254844],
    "sft": [6.0234943, 6.1283526, 5.5672101, 5.5451294],
    "sft-target": [7.4338071, 6.792166, 5.985067, 5.6090955],
}
GRAD_NORMS: dict[str, list[float]] = {
    "opct": [0.96171581, 0.94377054, 0.8343275, 0.85674812],
    "opct-sampled": [9.568335, 6.9038157, 8.1031363, 8.5008829],
    "opct-jsd": [0.12634578, 0.15319959, 0.10315047, 0.10438546],
    "sft": [1.7274166, 2.0183046, 1.6237204, 1.4466768],
    "sft-target": [2.9106829, 3.5608643, 3.5368041, 3.3486476],
}


def measure(folder: Path, model: Path, method: dict[str, Any]) -> tuple[list[float], list[float]]:
    recipe = runs.recipe(
        folder,
        model,
        model={"dtype": "float64"},
        method=method,
        lora={"rank": 4, "alpha": 8.0},
        sampling={"max_new_tokens": 6, "rollouts_per_pair": 2},
        train={"steps": 4},
        optim={"schedule": "cosine", "warmup_steps": 2, "weight_decay": 0.1},
    )
    rows = train(recipe, fresh=True).metrics()
    return [row["loss"] for row in rows], [row["grad_norm"] for row in rows]


@pytest.mark.parametrize("name", RUNS)
def test_trajectory(tmp_path: Path, tiny_model_dir: Path, name: str) -> None:
    losses, norms = measure(tmp_path, tiny_model_dir, RUNS[name])
    # The tiny model's norms compute in float32, which differs between kinds of CPU in the last digits.
    assert losses == pytest.approx(LOSSES[name], rel=1e-5)
    assert norms == pytest.approx(GRAD_NORMS[name], rel=1e-4)


if __name__ == "__main__":
    import tempfile

    import tiny

    with tempfile.TemporaryDirectory() as folder:
        base = tiny.save(tiny.llama(), Path(folder) / "model")
        for run, table in RUNS.items():
            print(run, measure(Path(folder), base, table))
