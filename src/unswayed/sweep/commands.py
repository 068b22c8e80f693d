"""The commands of cells, as a person would type them in the cell's folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from unswayed.config.document import to_value
from unswayed.config.sweep import SweepEval, SweepFamily, SweepModel

TRAIN = ("unswayed", "train", "recipe.toml", "--auto-resume")
LABEL = ("unswayed", "label", "recipe.toml", "-o", "work/labels.jsonl")


def environment(threads: int) -> dict[str, str]:
    """Return what fixes the order of sums on a CPU."""
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    return {**dict.fromkeys(names, str(threads)), "TOKENIZERS_PARALLELISM": "false"}


def write_pairs(family: SweepFamily, seed: int) -> tuple[str, ...]:
    """Return the command that writes a family's consistency pairs."""
    count = str(family.pairs)
    return (
        "unswayed",
        "organism",
        "pairs",
        family.name,
        "--count",
        count,
        "--seed",
        str(seed),
        "-o",
        "work/pairs.jsonl",
    )


def make_organism(model: SweepModel, family: SweepFamily, seed: int) -> tuple[str, ...]:
    """Return the command that makes an organism."""
    settings = {"model.dtype": model.dtype, **family.settings}
    return (
        *("unswayed", "organism", "make", family.name, "--model", model.id, "--seed", str(seed)),
        *(("--induction", family.induction) if family.induction else ()),
        *(word for item in _settings(settings) for word in ("--set", item)),
        *("-o", "work/organism"),
    )


def pairs_file(key: str) -> str:
    """Return where the pairs lie, seen from another cell."""
    return f"../{key}/out/pairs.jsonl"


def labels_file(key: str) -> str:
    """Return where the labels lie, seen from another cell."""
    return f"../{key}/out/labels.jsonl"


def organism_adapter(key: str) -> str:
    """Return where an organism's adapter lies, seen from another cell."""
    return f"../{key}/out/organism"


def trained_adapter(key: str, step: int | None) -> str:
    """Return where a training's adapter lies, seen from another cell: after a step, or after the last."""
    return f"../{key}/out/run/" + ("adapter" if step is None else f"checkpoints/step-{step:06d}")


def evaluate(
    model: SweepModel, adapter: str | None, suites: Sequence[str], wanted: SweepEval, what: str
) -> tuple[str, ...]:
    """Return the command that measures a policy on the suites of the traits, or of what it can do."""
    limit = wanted.units if what == "traits" else wanted.capability_limit
    arguments = {"part": wanted.part} if what == "traits" else wanted.capability_args
    return (
        *("unswayed", "eval", model.id, *suites, "-o", "work", "--dtype", model.dtype),
        *(("--adapter", adapter) if adapter else ()),
        *(("--limit", str(limit)) if limit else ()),
        *(word for item in _settings(arguments) for word in ("-T", item)),
        *(("--judge", wanted.judge) if wanted.judge else ()),
    )


def _settings(table: Mapping[str, Any]) -> list[str]:
    return [f"{key}={value if isinstance(value, str) else to_value(value)}" for key, value in table.items()]
