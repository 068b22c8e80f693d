"""Adopt a model that somebody else made, and check one that was published before: both are the gate once more."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from unswayed.core.errors import ConfigError
from unswayed.core.files import locked, remove_tree
from unswayed.core.types import TextPolicy
from unswayed.engine.named import base_of, load_policy
from unswayed.organisms.family import find_family
from unswayed.organisms.folder import Organism, publish
from unswayed.organisms.gate import Gate, measure
from unswayed.organisms.making import EVALS, Made
from unswayed.organisms.space import SEEDS

FRESH = 100
"""A check asks the items of another seed, this far from the organism's own."""


def adopt(
    path: Path | str,
    name: str,
    out: Path | str | None = None,
    *,
    model: str = "",
    seed: int = 0,
    batch_size: int = 32,
    progress: bool = False,
    trust_remote_code: bool = False,
) -> Made:
    """Measure a PEFT folder or a finished run as an organism of a family; publish it with `out` if it passes.

    Args:
        path: a PEFT folder or a run.
        name: the family.
        out: the organism's folder; None measures only.
        model: the base model, where the adapter does not name one that is here.
        seed: of the items.
        batch_size, progress, trust_remote_code: see `make`.

    Raises:
        ConfigError: no such family or adapter, or `out` exists.
    """
    entry, (base, adapter, _) = find_family(name), base_of(str(path))
    if adapter is None:
        raise ConfigError(f"{path}: neither a PEFT folder nor a finished run; only adapters can be adopted")
    base = model or base
    if out is not None and Path(out).exists():
        raise ConfigError(f"{out} exists already; name another folder")
    work = Path(out).with_name(f"{Path(out).name}.making") if out is not None else None
    policies = _arms(base, adapter, trust_remote_code)
    evals = None if work is None else work / EVALS
    gate = measure(entry, *policies, seed=seed, out=evals, batch_size=batch_size, progress=progress)
    if out is None or work is None or not gate.passed:
        return Made(gate, None, work or Path(path))
    about = {"family": entry.name, "version": entry.version, "seed": seed, "induction": "", "base": {"model": base}}
    with locked(work):
        made = publish(Path(out), Path(adapter), about, gate)
    remove_tree(work, work.parent)
    return Made(gate, made, Path(out))


def check(
    path: Path | str,
    *,
    seed: int | None = None,
    out: Path | None = None,
    batch_size: int = 32,
    progress: bool = False,
    trust_remote_code: bool = False,
) -> Gate:
    """Verify every byte of an organism, and ask the gate's questions again on items that it was not chosen by.

    Args:
        path: an organism's folder.
        seed: whose items; by default another seed than the organism's.
        out: folder of both evaluations.
        batch_size, progress, trust_remote_code: see `make`.

    Raises:
        ConfigError: no organism, or the seed that it was chosen by.
        DataError: a byte that differs.
    """
    organism = Organism.load(path)
    own = organism.gate.seed
    seed = (own + FRESH) % SEEDS if seed is None else seed
    if seed == own:
        raise ConfigError(f"{path} passed its gate on the items of seed {own}; check it on those of another seed")
    policies = _arms(organism.base, str(organism.path), trust_remote_code)
    return measure(organism.family, *policies, seed=seed, out=out, batch_size=batch_size, progress=progress)


def _arms(base: str, adapter: str, trust_remote_code: bool) -> tuple[TextPolicy, TextPolicy]:
    given: dict[str, Any] = {"trust_remote_code": trust_remote_code}
    return load_policy(base, **given), load_policy(base, adapter, **given)
