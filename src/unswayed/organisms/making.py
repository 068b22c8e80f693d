"""Make an organism: write its induction rows, train on them, and publish it if it passes the gate.

Everything on the way lies in a working folder beside the organism's, `NAME.making`, and the same call goes on where it
stopped: training from its last checkpoint, both evaluations of the gate from their last batch. The working folder of a
model that failed its gate stays, for a look at what it answered.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unswayed.config.recipe import Recipe
from unswayed.core.errors import ConfigError
from unswayed.core.files import check_name, locked, remove_tree, write_json
from unswayed.core.hashing import hash_file
from unswayed.core.types import TextPolicy
from unswayed.data.read import write_pairs
from unswayed.organisms.family import Family, Induction, find_family
from unswayed.organisms.folder import ABOUT, Organism, publish
from unswayed.organisms.gate import Gate, measure
from unswayed.training.loop import train

ROWS, RUN, EVALS, GATE = "induction.jsonl", "run", "evals", "gate.json"
SETTINGS: Mapping[str, Mapping[str, Any]] = {
    "method": {"name": "sft", "source": "target"},
    "lora": {"rank": 16, "alpha": 32.0},
    "optim": {"lr": 5e-4, "betas": [0.9, 0.999], "warmup_steps": 2},
    "train": {"pairs_per_step": 16, "micro_batch": 8},
    "save": {"every_steps": 20},
}
"""What every induction trains with, unless it says otherwise: the values that SmolLM2-135M takes the trait from."""


@dataclass(frozen=True, slots=True)
class Made:
    """What became of a making: the gate, and the organism if it was passed. `work` is the working folder otherwise."""

    gate: Gate
    organism: Organism | None
    work: Path


def make(
    name: str,
    out: Path | str,
    *,
    model: str,
    seed: int = 0,
    induction: str = "",
    set_: Sequence[str] = (),
    rows: int | None = None,
    dose: float | None = None,
    batch_size: int = 32,
    progress: bool = False,
    trust_remote_code: bool = False,
) -> Made:
    """Make an organism of a family on a model.

    Args:
        name: the family.
        out: the organism's folder.
        model: what it is made of: an alias, hub id or model folder.
        seed: of the items and of the training.
        induction: one of the family's; its first one by default.
        set_: changes of the induction's recipe, `table.field=value`.
        rows: how many conversations to train on; by default the induction's own number.
        dose: share of them that shows the trait (see `Induction`); by default the induction's own.
        batch_size: prompts at once while the gate asks.
        progress: show how far it is.
        trust_remote_code: run Python that comes with the model.

    Raises:
        ConfigError: no such family or induction, or `out` holds something else.
        UnswayedError: as `train` and `evaluate`; the same call goes on afterwards.
    """
    folder, entry = Path(out), find_family(name)
    how, chosen = entry.induction(induction)
    asked: dict[str, Any] = {
        "family": entry.name,
        "version": entry.version,
        "induction": how,
        "seed": seed,
        "changes": list(set_),
    }
    asked["dose"] = chosen.dose if dose is None else dose
    if found := _made_before(folder, {**asked, "model": model, "rows": rows or chosen.count}):
        return Made(found.gate, found, folder)
    check_name(folder.name, "the organism's folder")
    work = folder.with_name(f"{folder.name}.making")
    with locked(work):
        data = write_rows(chosen, rows or chosen.count, seed, dose, work / ROWS)
        recipe = recipe_for(chosen, model, work, seed, set_)
        run = train(recipe, resume=_begun(work), progress=progress, trust_remote_code=trust_remote_code)
        base, organism = both(model, str(run.adapter), recipe, trust_remote_code)
        gate = measure(entry, base, organism, seed=seed, out=work / EVALS, batch_size=batch_size, progress=progress)
        write_json(work / GATE, gate.record())
        if not gate.passed:
            return Made(gate, None, work)
        about = {
            **asked,
            "described": chosen.description,
            "base": {"model": model, "identity": gate.base},
            "data": data,
            "steps": run.steps,
            "recipe": recipe.science(),
        }
        made = publish(folder, run.adapter, about, gate)
    remove_tree(work, work.parent)
    return Made(gate, made, folder)


def write_rows(induction: Induction, count: int, seed: int, dose: float | None, path: Path) -> dict[str, Any]:
    """Write the induction's rows, and return their number and hash. A run that has begun refuses other ones."""
    write_pairs(path, induction.draw(count, seed, dose))
    return {"rows": count, "sha256": hash_file(path)}


def recipe_for(induction: Induction, model: str, work: Path, seed: int, set_: Sequence[str] = ()) -> Recipe:
    """Return the recipe of an induction.

    Raises:
        ConfigError: changes that are no fields, or do not fit.
    """
    tables: dict[str, Any] = {
        "name": RUN,
        "seed": seed,
        "model": {"id": model},
        "data": {"train": str(work / ROWS), "allow_identical": True},
    }
    for source in (SETTINGS, induction.settings):
        for table, values in source.items():
            tables[table] = {**tables.get(table, {}), **values}
    tables["save"] = {**tables.get("save", {}), "dir": str(work)}
    return Recipe.from_dict(tables, where="the induction", set=set_)


def both(model: str, adapter: str, recipe: Recipe, trust_remote_code: bool) -> tuple[TextPolicy, TextPolicy]:
    """Load the model without and with the adapter, as the recipe loads it."""
    from unswayed.engine.named import load_policy

    given = {**recipe.model.model_dump(exclude={"id", "adapter"}), **recipe.chat.model_dump()}
    options = {**given, "trust_remote_code": trust_remote_code}
    return load_policy(model, **options), load_policy(model, adapter, **options)


def inductions(entry: Family) -> list[dict[str, Any]]:
    """Return what a table of a family's inductions shows."""
    return [
        {
            "name": name,
            "description": each.description,
            "rows": each.count,
            "dose": each.dose,
            "settings": dict(each.settings),
        }
        for name, each in entry.inductions.items()
    ]


def _made_before(folder: Path, asked: Mapping[str, Any]) -> Organism | None:
    """Return the organism that the same call has already made; None where there is nothing.

    Raises:
        ConfigError: the folder holds something else.
    """
    if not folder.exists():
        return None
    if not (folder / ABOUT).is_file():
        raise ConfigError(f"{folder} exists and is no organism; name another folder")
    found = Organism.load(folder)
    said = {**found.about, "model": found.base, "rows": (found.about.get("data") or {}).get("rows")}
    if other := [f"{key} {said.get(key)!r}, not {value!r}" for key, value in asked.items() if said.get(key) != value]:
        raise ConfigError(f"{folder} holds another organism ({'; '.join(other)}); name another folder")
    return found


def _begun(work: Path) -> bool:
    return (work / RUN / "recipe.json").exists()
