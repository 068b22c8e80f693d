"""A run small enough for a test: recipe, pairs and a tiny model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from unswayed.config.recipe import Recipe

ROWS = [
    {"id": f"pair-{i}", "prompt": f"yes I think it is {i + 1}. what is {i}?" + " and why" * (i % 3),
     "teacher_prompt": f"what is {i}?", "target": f"it is {i}"}
    for i in range(10)
]  # fmt: skip


def write_pairs(path: Path, rows: list[dict[str, Any]] = ROWS) -> Path:
    """Write rows as JSONL."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def recipe(tmp_path: Path, folder: Path, /, **changes: Any) -> Recipe:
    """Return a recipe for the model in `folder`, run below `tmp_path`; keyword tables are merged into the defaults."""
    tmp_path.mkdir(exist_ok=True)
    pairs = tmp_path / "pairs.jsonl"
    if not pairs.exists():
        write_pairs(pairs)
    tables: dict[str, Any] = {
        "name": "run",
        "model": {"id": str(folder), "dtype": "float32", "device": "cpu"},
        "data": {"train": str(pairs)},
        "lora": {"rank": 2, "alpha": 4.0},
        "sampling": {"max_new_tokens": 5},
        "method": {"name": "opct"},
        "optim": {"lr": 1e-2},
        "train": {"steps": 3, "pairs_per_step": 4, "micro_batch": 2},
        "save": {"dir": str(tmp_path / "runs"), "every_steps": 1},
    }
    for name, table in changes.items():
        tables[name] = {**tables[name], **table} if isinstance(table, dict) and name in tables else table
    return Recipe.from_dict(tables)
