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
    "opct": [1.3004655, 1.1741328, 1.2534713, 1.086224],
    "opct-sampled": [4.7534412, 2.4224016, 3.0747363, 4.3378643],
    "opct-jsd": [0.20560284, 0.19313817, 0.19597622, 0.19243662],
    "sft": [6.0234943, 6.1747747, 5.755128, 5.6415748],
    "sft-target": [7.4338071, 6.9852214, 6.6129539, 6.3289926],
}
GRAD_NORMS: dict[str, list[float]] = {
    "opct": [0.96171581, 0.96492133, 0.86127054, 0.88351988],
    "opct-sampled": [9.568335, 5.8512357, 5.3299798, 6.6465846],
    "opct-jsd": [0.12634578, 0.14393725, 0.12812687, 0.12382631],
    "sft": [1.7274166, 2.1240258, 1.7491358, 1.5021728],
    "sft-target": [2.9106829, 3.4967733, 3.1116501, 3.3980809],
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
