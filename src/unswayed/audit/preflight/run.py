"""A whole preflight from a recipe: load, collect, predict, seal; and after the training, score."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unswayed.audit.preflight import library
from unswayed.audit.preflight.behaviour import behaviour
from unswayed.audit.preflight.collect import ABOUT, about, collect, place_prompts
from unswayed.audit.preflight.operator import load_operator
from unswayed.audit.preflight.predict import predict
from unswayed.audit.preflight.seal import PREDICTION, SEAL, ask_after, check_run, score, seal, sealed
from unswayed.config.document import read_toml
from unswayed.config.labels import LabelRecipe
from unswayed.config.recipe import Recipe
from unswayed.core.errors import ConfigError
from unswayed.core.files import locked
from unswayed.core.hashing import hash_json
from unswayed.engine.named import load_policy
from unswayed.evals.judged import judging
from unswayed.judges.base import Judge

LIBRARY = "library.jsonl"
EPS = 0.05


@dataclass(frozen=True, slots=True)
class Settings:
    """What a preflight asks: prompts of the suite (`limit`, `seed`), candidates and free draws a prompt, and `eps`."""

    limit: int | None = None
    seed: int = 0
    pool: int = 8
    draws: int = 8
    eps: float = EPS

    def __post_init__(self) -> None:
        if min(self.pool, self.draws) < 1 or not 0 < self.eps < 1:
            raise ConfigError("a preflight needs a pool and draws of 1 or more, and eps between 0 and 1")


def read_recipe(path: Path, set_: list[str] | None = None) -> Recipe | LabelRecipe:
    """Return a training recipe or a label recipe, whichever the file is."""
    kind = LabelRecipe if "labeller" in read_toml(path, "recipe") else Recipe
    return kind.load(path, set=set_ or ())


def preflight(
    recipe: Recipe | LabelRecipe,
    name: str,
    out: Path | str,
    *,
    settings: Settings = Settings(),
    judge: Judge | None = None,
    runs: Path | str | None = None,
    books: Path | str | None = None,
    shown: bool = False,
) -> dict[str, Any]:
    """Return a sealed prediction of what the recipe's training will do to a behaviour.

    Args:
        recipe: what will be trained, or how it is labelled.
        name: the behaviour, a suite's name.
        out: folder of the preflight; the same call goes on where it stopped.
        settings: see `Settings`.
        judge: scores where the suite has a rubric.
        runs: where the run will lie; by default the recipe's own folder of runs, `runs` for labels.
        books: the library of outcomes, by default `library.jsonl` beside `out`.
        shown: show a bar.

    Raises:
        ConfigError: the recipe has no labels of a model, the suite no replies, or the folder another preflight.
        Interrupted: a signal; whole batches are kept.
    """
    out = Path(out)
    if (out / SEAL).exists():
        _same(out, recipe, name, settings)
    else:
        shows = behaviour(name, settings.limit, settings.seed)  # before any weight is loaded
        operator = load_operator(recipe, settings.pool)
        shows = behaviour(shows.suite, judge=judging(shows.suite, judge, operator.policy))
        placed = place_prompts(shows, name, Path(recipe.data.train))
        facts = {**about(operator, shows, placed, _asked(recipe, name, settings)), "recipe_sha256": _identity(recipe)}
        with locked(out):
            rows = collect(out, operator, placed, facts, settings.draws, shown=shown)
            known = library.read_library(_books(out, books))
            seal(out, predict(rows, facts, eps=settings.eps, known=known), _runs(recipe, runs))
    seal(out, {}, _runs(recipe, runs))
    return {**json.loads((out / PREDICTION).read_text(encoding="utf-8")), "seal": sealed(out)["prediction"]}


def score_run(
    out: Path | str,
    run: Path | str,
    *,
    judge: Judge | None = None,
    books: Path | str | None = None,
    shown: bool = False,
) -> dict[str, Any]:
    """Return what became of a prediction: the trained model's replies, all five terms, and whether it was right.

    Args:
        out: folder of the preflight.
        run: the finished run.
        judge: as it was given to the preflight.
        books: the library that the outcome is added to.
        shown: show a bar.

    Raises:
        ConfigError: the run began before the prediction, or trained something else.
        DataError: the prediction was changed.
    """
    out, run = Path(out), Path(run)
    check_run(out, run)
    facts = json.loads((out / ABOUT).read_text(encoding="utf-8"))
    asked = facts["settings"]
    policy = load_policy(str(run))
    shows = behaviour(asked["suite"], asked["limit"], asked["seed"])
    shows = behaviour(shows.suite, judge=judging(shows.suite, judge, policy))
    with locked(out):
        rows = ask_after(out, policy, place_prompts(shows, asked["suite"], Path(asked["pairs"])), shown=shown)
        return score(out, rows, run, _books(out, books))


def _asked(recipe: Recipe | LabelRecipe, name: str, settings: Settings) -> dict[str, Any]:
    return {"suite": name, "limit": settings.limit, "seed": settings.seed, "pool": settings.pool,
            "draws": settings.draws, "eps": settings.eps, "pairs": recipe.data.train}  # fmt: skip


def _identity(recipe: Recipe | LabelRecipe) -> str:
    return hash_json(recipe.science())


def _same(out: Path, recipe: Recipe | LabelRecipe, name: str, settings: Settings) -> None:
    facts = json.loads((out / ABOUT).read_text(encoding="utf-8"))
    if facts["recipe_sha256"] != _identity(recipe) or facts["settings"] != _asked(recipe, name, settings):
        raise ConfigError(f"{out} holds a sealed prediction of something else; choose another folder for -o")


def _runs(recipe: Recipe | LabelRecipe, runs: Path | str | None) -> Path:
    own = recipe.save.dir if isinstance(recipe, Recipe) else "runs"
    return Path(runs if runs is not None else own)


def _books(out: Path, books: Path | str | None) -> Path:
    return Path(books) if books is not None else out.parent / LIBRARY
