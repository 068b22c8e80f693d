"""From a sweep recipe to its cells: induce, label, train, measure, each of them once however many others need it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import ceil
from pathlib import Path
from typing import Any

from unswayed._version import __version__
from unswayed.config.document import Document, to_toml, to_value
from unswayed.config.labels import LabelRecipe
from unswayed.config.recipe import Recipe
from unswayed.config.sweep import BASE, SweepFamily, SweepMethod, SweepModel, SweepRecipe
from unswayed.core.errors import ConfigError
from unswayed.core.files import write_json
from unswayed.core.hashing import hash_file, hash_json
from unswayed.sweep import commands, price
from unswayed.sweep.cell import PLAN, Cell, write_cells

FORMAT = 1


@dataclass(frozen=True)
class Plan:
    """A sweep that may begin: its recipe, and its cells, those that others need first."""

    recipe: SweepRecipe
    cells: tuple[Cell, ...]
    methods: tuple[SweepMethod, ...]

    @property
    def folder(self) -> Path:
        """The sweep's folder."""
        return self.recipe.folder

    def to_json(self) -> dict[str, Any]:
        """Return what the sweep comes to, as plain JSON."""
        by_kind = price.totals(self.cells)
        return {
            "name": self.recipe.name,
            "folder": str(self.folder),
            "organisms": int(by_kind.get("organism", {}).get("cells", 0)),
            "models": [model.label for model in self.recipe.models],
            "families": [family.name for family in self.recipe.families],
            "methods": [method.name for method in self.methods],
            "cells": {kind: int(row["cells"]) for kind, row in by_kind.items()},
            "tokens": {kind: {name: round(row[name]) for name in price.TOKENS} for kind, row in by_kind.items()},
            "judge_calls": round(sum(row["judge_calls"] for row in by_kind.values())),
            "hours": {kind: round(row["hours"], 4) for kind, row in by_kind.items()},
            "total_hours": round(sum(row["hours"] for row in by_kind.values()), 4),
            "rates": self.recipe.rates.model_dump(mode="json"),
        }

    def write(self) -> Path:
        """Write the plan into the sweep's folder, which is made if it is not there, and return the folder."""
        self.folder.mkdir(parents=True, exist_ok=True)
        write_cells(self.folder, self.cells)
        families = {family.name: [family.suite, family.metric] for family in self.recipe.families}
        write_json(
            self.folder / PLAN,
            {
                "format": FORMAT,
                "recipe": self.recipe.to_dict(),
                "recipe_sha256": hash_json(self.recipe.science()),
                "families": families,
                "controls": [method.name for method in self.methods if method.control],
                "price": self.to_json(),
            },
        )
        return self.folder


def plan(path: str | Path, *, set: Sequence[str] = (), methods: list[str] | None = None) -> Plan:
    """Return the cells of a sweep recipe.

    Args:
        path: a TOML file.
        set: `a.b=c` settings.
        methods: names of the columns; by default all that are not optional.

    Raises:
        ConfigError: the sweep or a recipe that it names cannot be used.
    """
    recipe = SweepRecipe.load(path, set=set)
    chosen = recipe.chosen(methods)
    return Plan(recipe, tuple(_Planner(recipe, Path(path).parent, chosen).cells()), tuple(chosen))


_PLACES = ("model.id", "model.adapter", "data.train")
"""Fields that say where something lies; what lies there is in the keys that a cell needs, and in `base`."""


class _Read:
    """A recipe that a method names, read and checked once, and put into cells with other values."""

    def __init__(self, recipe: Document) -> None:
        self._tables = recipe.to_dict()
        self._science = {key: value for key, value in recipe.science().items() if key not in _PLACES}

    def changed(self, changes: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        """Return the recipe as TOML with other values (`a.b` or `a`) in it, and those of its fields that count."""
        tables = {name: dict(value) if isinstance(value, Mapping) else value for name, value in self._tables.items()}
        for key, value in changes.items():
            table, _, name = key.rpartition(".")
            (tables[table] if table else tables)[name] = value
        return to_toml(tables), {**self._science, **{key: changes[key] for key in changes if key in self._science}}


@dataclass
class _Column:
    """A method with the recipes that it names."""

    method: SweepMethod
    folder: Path

    @cached_property
    def file(self) -> str | None:
        """The file of pairs that stands in place of the family's."""
        return None if self.method.pairs is None else str((self.folder / self.method.pairs).resolve())

    @cached_property
    def sha256(self) -> str | None:
        """The hash of that file."""
        return None if self.file is None else hash_file(Path(self.file))

    @cached_property
    def training(self) -> Recipe:
        """The training recipe with the method's settings."""
        return Recipe.load(self.folder / self.method.recipe, set=_settings(self.method.settings))

    @cached_property
    def labels(self) -> LabelRecipe:
        """The label recipe with the method's settings."""
        assert self.method.label is not None
        return LabelRecipe.load(self.folder / self.method.label, set=_settings(self.method.label_settings))

    @cached_property
    def read(self) -> dict[str, _Read]:
        """Both, ready to be put into cells."""
        labels = {} if self.method.label is None else {"label": _Read(self.labels)}
        return {"train": _Read(self.training), **labels}

    def epochs(self, pairs: int) -> tuple[int, int]:
        """Return how many passes over so many pairs there are, and the steps of each.

        A pass has as many steps whether or not a labeller dropped pairs, so every method takes the same number. Where
        the recipe counts in steps, all of them are one pass.
        """
        train = self.training.train
        if train.steps is not None:
            return 1, train.steps
        epochs = train.epochs or 1.0
        if epochs != int(epochs):
            raise ConfigError(f"{self.method.recipe}: train.epochs is {epochs}; a sweep takes whole passes, or steps")
        return int(epochs), ceil(pairs / train.pairs_per_step)


def _settings(table: Mapping[str, Any]) -> list[str]:
    """Return settings as the command line has them; an empty text takes the recipe's own value away."""
    return [f"{key}={to_value(value) if value != '' else ''}" for key, value in table.items()]


@dataclass
class _Planner:
    recipe: SweepRecipe
    folder: Path
    methods: Sequence[SweepMethod]
    _columns: dict[str, _Column] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._columns = {method.name: _Column(method, self.folder) for method in self.methods}

    def cells(self) -> Iterator[Cell]:
        """Yield every cell, those that others need first."""
        for family in self.recipe.families:
            seeds = {seed for model in self.recipe.models for seed in self.recipe.seeds_of(model)}
            for seed in sorted(seeds) if any(method.pairs is None for method in self.methods) else ():
                yield self._pairs(family, seed)
        for model in self.recipe.models:
            yield from self._measured(model, None, None, {"family": BASE, "method": BASE, "seed": None})
            for family in self.recipe.families:
                for seed in self.recipe.seeds_of(model):
                    yield from self._of_organism(model, family, seed)

    def _pairs(self, family: SweepFamily, seed: int) -> Cell:
        inputs = {"family": family.name, "seed": seed, "pairs": family.pairs}
        axes = {"family": family.name, "seed": seed}
        return self._cell("pairs", axes, inputs, commands.write_pairs(family, seed), None, cost={})

    def _of_organism(self, model: SweepModel, family: SweepFamily, seed: int) -> Iterator[Cell]:
        axes = {"family": family.name, "method": BASE, "seed": seed}
        organism = self._cell(
            "organism",
            {**axes, "model": model.label},
            {"model": model.id, "dtype": model.dtype, "family": family.name, "induction": family.induction,
             "seed": seed, "settings": family.settings},
            commands.make_organism(model, family, seed),
            model,
            cost=price.of_organism(model, family, self.recipe.rates),
        )  # fmt: skip
        yield organism
        yield from self._measured(model, organism, commands.organism_adapter(organism.key), axes)
        for method in self.methods:
            yield from self._of_method(model, family, seed, organism, self._columns[method.name])

    def _of_method(
        self, model: SweepModel, family: SweepFamily, seed: int, organism: Cell, column: _Column
    ) -> Iterator[Cell]:
        method = column.method
        axes = {"model": model.label, "family": family.name, "method": method.name, "seed": seed}
        pairs, source, needs = column.file, {"pairs_sha256": column.sha256}, [organism.key]
        if pairs is None:
            own = self._pairs(family, seed)
            pairs, source, needs = commands.pairs_file(own.key), {}, [organism.key, own.key]
        if method.label is not None:
            text, counts = column.read["label"].changed(
                {"seed": seed, **self._model(model, organism), "data.train": pairs}
            )
            cost = price.of_labels(model, family, column.labels, self.recipe.rates)
            files = {"recipe.toml": text}
            label = self._cell(
                "label", axes, {**counts, **source}, commands.LABEL, model, needs=needs, files=files, cost=cost
            )
            yield label
            pairs, source, needs = commands.labels_file(label.key), {}, [organism.key, label.key]
        epochs, steps = column.epochs(family.pairs)
        text, counts = column.read["train"].changed(
            {"name": "run", "seed": seed, **self._model(model, organism), "data.train": pairs,
             "train.steps": epochs * steps, "train.epochs": None,
             "save.dir": "work", "save.every_steps": steps, "save.keep": max(2, epochs)},
        )  # fmt: skip
        training = self._cell(
            "train",
            axes,
            {**counts, **source},
            commands.TRAIN,
            model,
            needs=needs,
            files={"recipe.toml": text},
            cost=price.of_training(model, family, column.training, epochs * steps, self.recipe.rates),
        )
        yield training
        for epoch in range(1, epochs + 1) if self.recipe.eval.checkpoints == "epochs" else [epochs]:
            adapter = commands.trained_adapter(training.key, None if epoch == epochs else epoch * steps)
            yield from self._measured(model, training, adapter, {**axes, "checkpoint": epoch}, last=epoch == epochs)

    def _measured(
        self, model: SweepModel, trained: Cell | None, adapter: str | None, axes: Mapping[str, Any], last: bool = True
    ) -> Iterator[Cell]:
        """Yield the evaluations of a policy: the traits of every family, and at its last checkpoint what it can do."""
        wanted = self.recipe.eval
        families = self.recipe.families
        groups = {"traits": [family.suite for family in families]}
        if last and wanted.capability:
            groups["capability"] = wanted.capability
        for what, suites in groups.items():
            traits = what == "traits"
            inputs = {
                "dtype": model.dtype,
                "suites": suites,
                "adapter": adapter and adapter.rpartition("/out")[2],
                "limit": wanted.units if traits else wanted.capability_limit,
                "judge": wanted.judge,
                "arguments": {"part": wanted.part} if traits else wanted.capability_args,
            }
            if traits:
                cost = price.of_traits(model, families, wanted.units, self.recipe.rates)
            else:
                cost = price.of_capability(model, len(suites), wanted.capability_limit or 1000, self.recipe.rates)
            yield self._cell(
                "eval",
                {"checkpoint": None, **axes, "model": model.label, "what": what},
                inputs,
                commands.evaluate(model, adapter, suites, wanted, what),
                model,
                needs=() if trained is None else (trained.key,),
                cost=cost,
            )

    def _model(self, model: SweepModel, organism: Cell) -> dict[str, Any]:
        adapter = commands.organism_adapter(organism.key)
        return {"model.id": model.id, "model.dtype": model.dtype, "model.adapter": adapter}

    def _cell(
        self, kind: str, axes: Mapping[str, Any], inputs: Mapping[str, Any], command: tuple[str, ...],
        model: SweepModel | None, *, cost: Mapping[str, float], needs: Sequence[str] = (),
        files: Mapping[str, str] | None = None,
    ) -> Cell:  # fmt: skip
        parts = (axes.get("model"), axes.get("family"), axes.get("method"), axes.get("what"))
        places = [str(part) for part in parts if part not in {None, BASE}]
        places += [f"{name} {axes[name]}" for name in ("seed", "checkpoint") if axes.get(name) is not None]
        return Cell(
            kind=kind,
            name=" ".join([kind, *places]),
            inputs={**inputs, "threads": self.recipe.threads, "unswayed": __version__, "base": model and model.id},
            command=command,
            needs=tuple(needs),
            files=files or {},
            environment=commands.environment(self.recipe.threads),
            axes=dict(axes),
            cost=cost,
            devices=model.devices if model else 0,
            memory=model.memory if model else 0.0,
        )
