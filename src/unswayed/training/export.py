"""Publish the result of a run as a plain PEFT folder that Transformers, PEFT and vLLM load without this package."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unswayed.core.files import dump_json, fsync_path, read_json, remove_tree
from unswayed.core.hashing import TOKENIZER_FILES, hash_file
from unswayed.models.adapter import CONFIG, WEIGHTS, own_template, read_adapter

if TYPE_CHECKING:
    from unswayed.training.prepare import Prepared

CARD = "README.md"


def export_adapter(run_dir: Path, checkpoint: Path, prepared: Prepared, facts: Mapping[str, Any]) -> Path:
    """Publish `run_dir/adapter` from a verified checkpoint: weights, config, tokenizer, model card. Whole or absent."""
    final = run_dir / "adapter"
    temporary = run_dir / f".tmp-adapter-{os.getpid()}"
    os.makedirs(temporary)
    for name in (WEIGHTS, CONFIG):
        shutil.copyfile(checkpoint / name, temporary / name)
    for name in (*TOKENIZER_FILES, "generation_config.json"):
        if (prepared.source.path / name).exists():
            shutil.copyfile(prepared.source.path / name, temporary / name)
    start = prepared.recipe.model.adapter
    own = read_adapter(start).template if start else None
    if own is not None and own != own_template(prepared.source.path):
        (temporary / "chat_template.jinja").write_text(own, encoding="utf-8")
    (temporary / CARD).write_text(model_card(prepared, facts), encoding="utf-8")
    for path in sorted(temporary.iterdir()):
        fsync_path(path)
    fsync_path(temporary)
    if final.exists():  # the same weights, published by a run that was stopped before it could say so
        remove_tree(final, run_dir)
    os.rename(temporary, final)
    fsync_path(run_dir)
    return final


def adapter_files(path: Path) -> dict[str, str]:
    """Return the SHA-256 of each file of a run's published adapter by its name; its card may be edited."""
    return {file.name: hash_file(file) for file in sorted((path / "adapter").iterdir()) if file.name != CARD}


def adapter_problems(path: Path) -> list[str] | None:
    """Return what is wrong with a finished run's adapter, or None where no hashes of it are on record.

    Raises:
        DataError: the record is damaged.
        OSError: a file cannot be read.
    """
    written = read_json(path / "DONE.json").get("adapter") if (path / "DONE.json").exists() else None
    if not isinstance(written, dict):
        return None
    found = adapter_files(path) if (path / "adapter").is_dir() else {}
    return [
        *(f"{name} is missing" for name in sorted(written.keys() - found.keys())),
        *(f"{name} was not written by the run" for name in sorted(found.keys() - written.keys())),
        *(
            f"{name} differs from what the run wrote"
            for name in sorted(found)
            if written.get(name) not in (None, found[name])
        ),
    ]


def model_card(prepared: Prepared, facts: Mapping[str, Any]) -> str:
    """Return the model card: what it is, how it was made, how to load it."""
    recipe = prepared.recipe
    method = recipe.method.name
    base = prepared.source.reference if prepared.source.kind == "hub" else recipe.model.id
    lines = [
        "---",
        *([f"base_model: {base}"] if prepared.source.kind == "hub" else []),
        "library_name: peft",
        "pipeline_tag: text-generation",
        f"tags: [consistency-training, {method}, unswayed]",
        "---",
        "",
        f"# {recipe.name}",
        "",
        f"A LoRA adapter for `{base}`: `{method}`, {prepared.steps} steps, {len(prepared.pairs)} pairs.",
        "",
        "```python",
        "from transformers import AutoModelForCausalLM, AutoTokenizer",
        'model = AutoModelForCausalLM.from_pretrained("path/to/this/folder")',
        'tokenizer = AutoTokenizer.from_pretrained("path/to/this/folder")',
        "```",
        "",
        "| fact | value |",
        "|---|---|",
        *(f"| {key} | `{value}` |" for key, value in facts.items()),
        "",
        "No evaluation is part of this card yet: run `unswayed eval` on it, and `unswayed compare` against its base, "
        "before you rely on it.",
        "",
        "<details><summary>Recipe</summary>",
        "",
        "```json",
        dump_json(recipe.to_dict()).rstrip(),
        "```",
        "",
        "</details>",
        "",
    ]
    return "\n".join(lines)
