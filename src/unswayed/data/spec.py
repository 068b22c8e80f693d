"""`unswayed data build`: a spec in TOML becomes files of pairs and a manifest that vouches for them.

    kind = "hints"          # what is built; each kind has keys of its own, see `kinds`
    seed = 0

    [split]
    fraction = 0.2
    families = ["authority"]

Without `[split]` everything goes into one file. With it, `pairs.jsonl` is the training part, and the other parts (see
`unswayed.data.split`) lie beside it as `pairs.held_out.jsonl` and so on. The manifest is written last.
"""

from __future__ import annotations

import tomllib
from abc import abstractmethod
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from unswayed import __version__
from unswayed.data.parts import U, check_unique, choose_units, resolve_family
from unswayed.data.read import write_pairs
from unswayed.data.sources import read_source, source
from unswayed.data.split import PARTS, HoldOut
from unswayed.errors import ConfigError
from unswayed.identity import hash_file
from unswayed.perturb import Perturbation, from_templates
from unswayed.rundir import write_json
from unswayed.types import PromptPair

SCHEMA = 1
DEFAULT = "hints"


class Table(BaseModel):
    """A TOML table: unknown keys and wrong types are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class SplitSpec(Table):
    """What is held out; see `HoldOut`."""

    fraction: float = Field(0.2, ge=0, le=1)
    topics: list[str] = []
    sources: list[str] = []
    families: list[str] = []
    phrasings: list[int] = []


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


class Spec(Table):
    """A set of pairs as data. Each kind is a subclass with keys of its own.

    Attributes:
        kind: which subclass; see `kinds`.
        seed: of every draw.
        split: None puts everything into one file.
        allow_evaluation_only: build from sets whose authors ask that nobody trains on them; the manifest records it.
        topics: keep only these; None keeps all.
        n: how many of what the kind's pairs are about, taken from the topics in turn; None takes all.
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
        """Return the rows of a data source to train on, and its identity; see `unswayed.data.sources`.

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


def kinds() -> dict[str, type[Spec]]:
    """Return every kind of spec by its name. A new kind is a module of its own and a line here."""
    from unswayed.data.framing import FramingSpec
    from unswayed.data.hints import HintSpec
    from unswayed.data.jailbreak import JailbreakSpec
    from unswayed.data.safety import SafetySpec

    return {"framing": FramingSpec, "hints": HintSpec, "jailbreak": JailbreakSpec, "safety_awareness": SafetySpec}


def load_spec(path: Path) -> Spec:
    """Read a spec.

    Raises:
        ConfigError: no such file, broken TOML, an unknown kind, an unknown key or a wrong type.
    """
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
        known = kinds()
        kind = table.get("kind", DEFAULT)
        if not isinstance(kind, str) or kind not in known:
            raise ConfigError(f"{path}: kind: no kind {kind!r}; there are {', '.join(known)}")
        return known[kind].model_validate(table)
    except ValidationError as error:
        details = [f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}" for problem in error.errors()]
        raise ConfigError(f"{path}: {'; '.join(details)}") from error
    except ConfigError:
        raise
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: not valid TOML ({error})") from error


def build_files(spec_path: Path, output: Path, *, force: bool = False) -> dict[str, Any]:
    """Build what a spec says and write it; return the manifest.

    Raises:
        ConfigError: a bad spec, or a file in the way.
        DataError: nothing to write.
    """
    spec = load_spec(spec_path)
    built = spec.build(spec_path.parent)
    paths = {part: output if part == "train" else output.with_suffix(f".{part}{output.suffix}") for part in PARTS}
    manifest_path = manifest_of(output)
    wanted = {*(paths[part] for part in built.parts), manifest_path}
    if stale := [path for path in paths.values() if path.exists() and path not in wanted]:
        raise ConfigError(f"{stale[0]} is left from another build and would not belong to this one; remove it")
    if not force and (taken := sorted(str(path) for path in wanted if path.exists())):
        raise ConfigError(f"{', '.join(taken)} exists already; choose another name, or pass --force to replace it")
    manifest_path.unlink(missing_ok=True)  # a manifest never stands beside files of another build
    files = {}
    for part, pairs in built.parts.items():
        write_pairs(paths[part], pairs)
        files[part] = {"file": paths[part].name, **_counts(pairs), "sha256": hash_file(paths[part])}
    every = [pair for pairs in built.parts.values() for pair in pairs]
    manifest = {
        "schema": SCHEMA,
        "unswayed": __version__,
        "spec": spec.model_dump(mode="json"),
        "inputs": dict(built.inputs),
        "sources": [dict(source) for source in built.sources],
        "files": files,
        "groups": len({pair.group for pair in every}),
        "perturbations": sorted({pair.perturbation for pair in every}),
    }
    write_json(manifest_path, manifest)
    return manifest


def _counts(pairs: Sequence[PromptPair]) -> dict[str, Any]:
    """Rows, the groups they fan out from, and rows by perturbation and by pairs whose two sides are equal."""
    return {
        "rows": len(pairs),
        "groups": len({pair.group for pair in pairs}),
        "anchors": sum(pair.prompt == pair.teacher_prompt for pair in pairs),
        "rows_by_perturbation": dict(sorted(Counter(pair.perturbation for pair in pairs).items())),
    }


def manifest_of(path: Path) -> Path:
    """Return where the manifest of a file of pairs lies: `pairs.jsonl` has `pairs.manifest.json`."""
    stem = path.stem
    for part in PARTS[1:]:
        stem = stem.removesuffix(f".{part}")
    return path.with_name(f"{stem}.manifest.json")
