"""Base class of the specs of `unswayed data build`, which turns a TOML file into files of pairs and a manifest.

    kind = "hints"          # what is built; each kind has keys of its own, see `kinds`
    seed = 0

    [split]
    fraction = 0.2
    families = ["authority"]

Without `[split]` everything goes into one file. With it, `pairs.jsonl` is the training part, and the other parts (see
`unswayed.data.split`) lie beside it as `pairs.held_out.jsonl` and so on. The manifest is written last.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field

from unswayed.config.fields import StrictModel
from unswayed.core.errors import ConfigError
from unswayed.core.hashing import hash_file
from unswayed.core.types import PromptPair
from unswayed.data.build.parts import U, check_unique, choose_units, resolve_family
from unswayed.data.split import HoldOut
from unswayed.perturb import Perturbation, from_templates
from unswayed.sources.catalogue import read_source, source

DEFAULT = "hints"


class SplitSpec(StrictModel):
    """What is held out; see `HoldOut`."""

    fraction: float = Field(0.2, ge=0, le=1)
    topics: list[str] = Field([])
    sources: list[str] = Field([])
    families: list[str] = Field([])
    phrasings: list[int] = Field([])


@dataclass(frozen=True, slots=True)
class Built:
    """What a spec became.

    Attributes:
        parts: pairs by part (see `PARTS`); without a split there is one part, `train`.
        inputs: every file that was read, by its name in the spec, with its SHA-256.
        sources: identity of every data source that was read, as `read_source` returns it.
    """

    parts: Mapping[str, list[PromptPair]]
    inputs: Mapping[str, str] = field(default_factory=dict)
    sources: Sequence[Mapping[str, Any]] = ()


class Spec(StrictModel):
    """A set of pairs as data. Each kind is a subclass with keys of its own.

    Attributes:
        kind: which subclass; see `kinds`.
        seed: of every draw.
        split: None puts everything into one file.
        allow_evaluation_only: build from sets whose authors ask that nobody trains on them; the manifest records it.
        topics: keep only these; None keeps all.
        n: how many of what the kind's pairs are about, taken from the topics in turn; None takes all.
        columns: what files of items and facts call a column, by our name for it.
        templates: files of phrasings (see `unswayed.perturb.templates`), read before `families` are looked up.
        families: perturbations by name; None takes every one that the kind has.
        phrasings: wordings of each family; None takes all.
    """

    axis: ClassVar[str] = "sycophancy"
    kind: str = DEFAULT
    seed: int = Field(0, ge=0)
    split: SplitSpec | None = None
    allow_evaluation_only: bool = False
    topics: list[str] | None = None
    n: int | None = Field(None, ge=1)
    columns: dict[str, str] = Field({})
    templates: list[str] = Field([])
    families: list[str] | None = None
    phrasings: list[int] | None = None

    @abstractmethod
    def build(self, folder: Path = Path()) -> Built:
        """Return the pairs; relative paths start at `folder`.

        Raises:
            ConfigError: an unknown name, also one that is held out but not there.
            DataError: files that cannot be used, or no rows.
        """

    def choose(self, units: Sequence[U], folder: Path) -> list[U]:
        """Register the templates, and return the chosen ones of what there is."""
        check_unique(units)
        for file in self.templates:
            from_templates(folder / file)
        return choose_units(units, self.topics, self.n, self.seed)

    def entries(self, every: Iterable[str]) -> list[Perturbation]:
        """Return the families that are asked for, or every one."""
        return [resolve_family(name, self.axis) for name in (every if self.families is None else self.families)]

    def hold_out(self) -> HoldOut:
        """Return what `split` holds out; nothing without a split."""
        if self.split is None:
            return HoldOut(fraction=0)
        return HoldOut(
            self.split.fraction,
            self.seed,
            topics=frozenset(self.split.topics),
            families=frozenset(resolve_family(name, self.axis).name for name in self.split.families),
            phrasings=frozenset(self.split.phrasings),
            sources=frozenset(self.split.sources),
        )

    def hashes(self, folder: Path, files: Iterable[str]) -> dict[str, str]:
        """Return the SHA-256 of the templates and of other files, by name."""
        return {name: hash_file(folder / name) for name in (*self.templates, *files)}

    def read_source(self, name: str) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        """Return the rows of a data source to train on, and its identity; see `unswayed.sources.catalogue`.

        Raises:
            ConfigError: no such source, or one for evaluation only.
        """
        one = source(name)
        if one.evaluation_only and not self.allow_evaluation_only:
            raise ConfigError(
                f"{one.name} is for evaluation only: {one.note or 'its authors ask that nobody trains on it'}. "
                "Set allow_evaluation_only = true to do so all the same; the manifest records it"
            )
        return read_source(one.name)
