"""SIGKILL at every file operation of a labelling: the same call ends with the same bytes, and no half file is left."""

from __future__ import annotations

import os
import signal
from functools import partial
from pathlib import Path
from typing import Any

import harness
import pytest

import runs
import scripted
from unswayed.config.labels import LabelRecipe
from unswayed.labels import run as labelling


def run(recipe: LabelRecipe, out: Path, kill_at: int | None = None, count_to: Path | None = None) -> None:
    """Label; die at file operation `kill_at`, or write how many there were to `count_to`."""
    seen = 0

    def before(name: str, args: tuple[Any, ...]) -> None:
        nonlocal seen
        seen += 1
        if seen == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    harness.patch_file_operations(before)
    labelling.label(recipe, out)
    if count_to is not None:
        os.write(os.open(count_to, os.O_WRONLY | os.O_CREAT), str(seen).encode())


def test_killed_at_every_file_operation(tmp_path: Path, tiny_model_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = scripted.Scripted(tiny_model_dir, lambda text, params, number: f"reply {number}")
    monkeypatch.setattr(labelling, "load_policy", lambda *args, **options: model)
    recipe = LabelRecipe.from_dict({
        "model": {"id": str(tiny_model_dir)},
        "data": {"train": str(runs.write_pairs(tmp_path / "pairs.jsonl"))},
        "labeller": {"name": "random_selection"},
        "batch": 4,
    })  # fmt: skip
    count = tmp_path / "count"
    assert harness.child(partial(run, recipe, tmp_path / "whole" / "labels.jsonl", count_to=count)) == 0
    expected = harness.remains(tmp_path / "whole")
    assert len(expected) == 5
    points = int(count.read_text(encoding="utf-8"))
    assert points > 20
    for point in range(1, points + 1):
        folder = tmp_path / f"point-{point}"
        assert harness.child(partial(run, recipe, folder / "labels.jsonl", kill_at=point)) == -signal.SIGKILL
        assert harness.child(partial(run, recipe, folder / "labels.jsonl")) == 0, f"point {point} does not go on"
        assert harness.remains(folder) == expected, f"point {point}"
