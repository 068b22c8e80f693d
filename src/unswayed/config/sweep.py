"""Sweep recipes: which models, families, methods and seeds make the matrix, and what a cell is taken to cost."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, Self

from pydantic import field_validator, model_validator

from unswayed.config.document import Document
from unswayed.config.fields import Table, operational, science
from unswayed.core.errors import ConfigError
from unswayed.core.files import check_name

BASE = "none"
"""In place of a family or a method where there is none: the base model, the organism itself."""


class SweepModel(Table):
    """One base model."""

    id: str = science(description="alias, hub id, or folder")
    name: str | None = science(None, description="what tables call it; the last part of its id by default")
    seeds: list[int] | None = science(None, description="in place of the sweep's")
    dtype: Literal["auto", "float32", "bfloat16", "float64"] = science("auto")
    billions: float = operational(gt=0, description="parameters in billions, for the price")
    devices: int = operational(0, ge=0, description="accelerators that a cell with it is given")
    memory: float = operational(0.0, ge=0, description="GB that a cell with it takes")

    @property
    def label(self) -> str:
        """Return what tables call it."""
        return self.name or self.id.rstrip("/").rpartition("/")[2]


class SweepFamily(Table):
    """One family of organisms."""

    name: str = science(description="a family that `unswayed organism` knows")
    induction: str = science("", description="one of its inductions; its default where empty")
    settings: dict[str, Any] = science(default_factory=dict, description="of the induction's recipe: 'optim.lr' = 1e-4")
    pairs: int = science(ge=1, description="consistency pairs that every method learns from")
    rows: int = operational(ge=1, description="rows of its induction times passes over them, for the price")
    prompt_tokens: int = operational(120, ge=1, description="of a prompt, for the price")
    reply_tokens: int = operational(64, ge=1, description="of a reply, for the price")
    replies: int = operational(4, ge=1, description="replies that the suite asks for a unit, for the price")
    judged: bool = operational(False, description="a judge reads the replies of its suite, for the price")

    @property
    def suite(self) -> str:
        """Return the name of its suite."""
        return f"organisms/{self.name}"

    @property
    def metric(self) -> str:
        """Return the metric of its trait."""
        return f"{self.name}_trait"


class SweepMethod(Table):
    """One column: a training recipe, after labels where it has a label recipe."""

    name: str = science(description="what tables call it")
    recipe: str = science(description="a training recipe; a relative path starts at the sweep's own file")
    label: str | None = science(None, description="a label recipe, for methods that learn from labels")
    pairs: str | None = science(
        None, description="a file of pairs in place of the family's, e.g. benign ones; relative as recipe is"
    )
    settings: dict[str, Any] = science(default_factory=dict, description="of the training recipe: 'optim.lr' = 1e-4")
    label_settings: dict[str, Any] = science(default_factory=dict, description="of the label recipe: 'labeller.k' = 8")
    control: bool = operational(False, description="a control: it is kept out of shares over all methods")
    optional: bool = operational(False, description="planned only where it is named with --method")

    @field_validator("name")
    @classmethod
    def _name_is_an_axis(cls, name: str) -> str:
        return check_name(name, "method")


class SweepEval(Table):
    """What is measured of every policy."""

    part: Literal["probe", "sealed"] = science("sealed", description="which items of the families' suites")
    units: int = science(120, ge=1, description="units that each family's suite asks about")
    capability: list[str] = science(default_factory=list, description="suites beside the traits")
    capability_limit: int | None = science(None, ge=1, description="questions of each of these")
    capability_args: dict[str, Any] = science(default_factory=dict, description="arguments of each of these")
    checkpoints: Literal["last", "epochs"] = science("last", description="epochs: also after every pass over the pairs")
    judge: str | None = science(None, description="who scores where no rule can, as for `unswayed eval --judge`")


class Rates(Table):
    """How fast one accelerator works: tokens a second times billions of parameters. State yours."""

    rollout: float = operational(2e4, gt=0, description="completions drawn")
    scored: float = operational(1e5, gt=0, description="tokens scored without gradient")
    training: float = operational(3e4, gt=0, description="tokens trained on")
    source: str = operational("assumed", description="where these come from")


class SweepRecipe(Document):
    """One sweep: every model with every family, seed and method."""

    name: str = operational(description="folder of the sweep below dir")
    dir: str = operational("sweeps", description="the sweep's folder is dir/name")
    seeds: list[int] = science(description="of induction, labelling and training")
    threads: int = science(1, ge=1, description="of every command on the CPU; sums depend on it")
    models: list[SweepModel] = science(min_length=1)
    families: list[SweepFamily] = science(min_length=1)
    methods: list[SweepMethod] = science(min_length=1)
    eval: SweepEval = science(default_factory=SweepEval)
    rates: Rates = operational(default_factory=Rates)

    @field_validator("name")
    @classmethod
    def _name_is_a_folder(cls, name: str) -> str:
        return check_name(name, "sweep name")

    @model_validator(mode="after")
    def _axes_are_distinct(self) -> Self:
        for what, names in (
            ("models", [model.label for model in self.models]),
            ("families", [family.name for family in self.families]),
            ("methods", [method.name for method in self.methods]),
            ("seeds", self.seeds),
        ):
            if not names or len(set(names)) != len(names):
                raise ValueError(f"{what} are {names}: name at least one, and each of them once")
        return self

    @property
    def folder(self) -> Path:
        """Return the sweep's folder."""
        return Path(self.dir) / self.name

    def seeds_of(self, model: SweepModel) -> list[int]:
        """Return the seeds that a model is swept over."""
        return self.seeds if model.seeds is None else model.seeds

    def chosen(self, names: list[str] | None = None) -> list[SweepMethod]:
        """Return the methods of these names, or all that are not optional.

        Raises:
            ConfigError: no method has one of the names.
        """
        if not names:
            return [method for method in self.methods if not method.optional]
        known = {method.name: method for method in self.methods}
        strange = [name for name in names if name not in known]
        if strange:
            raise ConfigError(f"no method is called {', '.join(strange)}; the sweep has {', '.join(known)}")
        return [method for name, method in known.items() if name in names]
