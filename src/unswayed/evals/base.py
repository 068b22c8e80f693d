"""What a suite is, and where all of them are found by name.

A suite is data: samples, a scoring rule, how completions are drawn, and the metrics that decide. Its identity is a hash
over all of that, so two evaluations are compared only if they asked the same and read it the same way.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from unswayed.errors import ConfigError, DataError
from unswayed.evals.metrics import HEALTH, metric
from unswayed.evals.scorers import CHOOSING, JUDGED, SCORING_VERSION, Rule, rule_of, score_answer
from unswayed.identity import hash_json
from unswayed.types import Sample, SamplingParams

GREEDY = SamplingParams(temperature=0.0, max_new_tokens=48)


@dataclass(frozen=True, slots=True)
class Suite:
    """One evaluation, ready to run.

    Attributes:
        name: e.g. `sycophancy/suggested_answer`.
        version: counts up whenever the same arguments give other samples.
        samples: ids are unique; a sample's `meta["twin"]`, where given, is the id of another.
        primary: metrics that the suite is about; they are tested as one family.
        counter: metrics that must travel with them: what the training may have cost.
        score: completion to score; a rule whose version is declared (`unswayed.evals.scorers.rule`).
        params: how completions are drawn; greedy unless there is a reason.
        unit: what a cluster is.
        arguments: what it was built from, beyond the defaults; printed beside the results.
        label: a caller's own words for this set, e.g. "held-out phrasings".
        method: `generate` scores what the model writes; `choose` scores the log-likelihood of each of a sample's
            `meta["choices"]` after the prompt, and samples nothing.
        rubric: which rubric a judge scores by where one is given; "" where `score` alone decides.
        needs_judge: no rule can score it, so it does not run without a judge.
        sensitive: prompts or replies may be harmful to repeat; reports show neither unless told to.
    """

    name: str
    version: int
    samples: tuple[Sample, ...]
    primary: tuple[str, ...]
    counter: tuple[str, ...] = ()
    score: Rule = score_answer
    params: SamplingParams = GREEDY
    unit: str = "question"
    arguments: Mapping[str, Any] = field(default_factory=dict)
    label: str = ""
    method: Literal["generate", "choose"] = "generate"
    rubric: str = ""
    needs_judge: bool = False
    sensitive: bool = False

    def __post_init__(self) -> None:
        ids = {sample.id for sample in self.samples}
        if not self.samples:
            raise DataError(f"suite {self.name} has no samples; its arguments leave nothing: {dict(self.arguments)}")
        if len(ids) != len(self.samples):
            raise DataError(f"suite {self.name} has a sample id twice")
        lost = sorted({sample.meta["twin"] for sample in self.samples if sample.meta.get("twin")} - ids)
        if lost:
            raise DataError(f"suite {self.name}: twins that are no samples", lost)

    @property
    def metrics(self) -> tuple[str, ...]:
        """Every metric: primary, counter, and the two that every suite has."""
        return (*self.primary, *self.counter, *(name for name in HEALTH if name not in self.primary + self.counter))

    @property
    def key(self) -> str:
        """A folder name for this suite: its own name, and a hash of its arguments where there are any."""
        slug = self.name.replace("/", ".")
        return f"{slug}-{hash_json(self.arguments)[:8]}" if self.arguments else slug

    @property
    def rule(self) -> str:
        """What scores, and its version, e.g. `requests/v2`."""
        return JUDGED if self.needs_judge else rule_of(self.score) if self.method == "generate" else CHOOSING

    def identity(self) -> dict[str, Any]:
        """Return everything that may change a result, as plain JSON values."""
        rows = [asdict(sample) for sample in self.samples]
        return {
            "name": self.name,
            "version": self.version,
            "label": self.label,
            "arguments": dict(self.arguments),
            "samples": len(rows),
            "samples_sha256": hash_json(rows),
            "scoring": SCORING_VERSION,
            "rule": self.rule,
            "needs_judge": self.needs_judge,
            "metrics": {name: metric(name).version for name in self.metrics},
            "sampling": asdict(self.params),
            "method": self.method,
            "rubric": self.rubric,
        }


@dataclass(frozen=True, slots=True)
class Needs:
    """What can be said of a suite before it is built.

    Attributes:
        unit: what a cluster is.
        sources: the public sets it reads, the default first (see `unswayed.data.sources`); none where it needs none.
        judge: whether one is needed, or may replace its rule.
        extra: of this package, without which it cannot score.
    """

    unit: str = "question"
    sources: tuple[str, ...] = ()
    judge: Literal["no", "optional", "required"] = "no"
    extra: str = ""


# A builder takes `limit` (how many clusters, so twins stay together), `seed` and arguments of its own, all by keyword.
Builder = Callable[..., Suite]

_registry: dict[str, Builder] = {}
_needs: dict[str, Needs] = {}


def register(
    name: str,
    *,
    unit: str = "question",
    sources: tuple[str, ...] = (),
    judge: Literal["no", "optional", "required"] = "no",
    extra: str = "",
) -> Callable[[Builder], Builder]:
    """Make a builder known by name; the first line of its docstring says what it asks.

    Args:
        name: `axis/name`.
        unit, sources, judge, extra: see `Needs`; they only inform, the suite itself decides.

    Raises:
        ConfigError: another builder has it.
    """

    def decorate(builder: Builder) -> Builder:
        known = _registry.get(name, builder)
        if (known.__module__, known.__name__) != (builder.__module__, builder.__name__):
            raise ConfigError(f"suite {name!r} exists already; give yours another name")
        _registry[name], _needs[name] = builder, Needs(unit, sources, judge, extra)
        return builder

    return decorate


def suite(name: str, /, limit: int | None = None, *, seed: int = 0, **arguments: Any) -> Suite:
    """Return a suite by name; `name:FILE` builds it from a file (`sycophancy/pairs:eval.jsonl`).

    Args:
        name: one of `suites()`.
        limit: how many clusters (questions) to take, drawn by `seed`; all by default.
        seed: decides that draw, and what else the suite draws.
        arguments: the suite's own.

    Raises:
        ConfigError: no such suite, or arguments it does not have.
    """
    known = suites()
    base, _, file = name.partition(":")
    if base not in known:
        raise ConfigError(f"no suite {base!r}; there are {', '.join(known)}")
    if limit is not None and limit < 1:
        raise ConfigError(f"limit is {limit}; a suite needs at least one question")
    if file and "file" in arguments:
        raise ConfigError(f"suite {name}: the file is named twice, in the name and as an argument")
    if file:
        arguments["file"] = file
    try:
        made = _registry[base](limit=limit, seed=seed, **arguments)
    except TypeError as error:
        if "argument" not in str(error):
            raise
        raise ConfigError(f"suite {base}: {error}") from error
    length = arguments.get("max_new_tokens")
    if length is None or "max_new_tokens" in made.arguments:
        return made
    return replace(made, arguments={**made.arguments, "max_new_tokens": length})


def builder(name: str) -> Builder:
    """Return what builds a suite, e.g. to read from its signature which arguments it takes."""
    if name not in suites():
        raise ConfigError(f"no suite {name!r}; there are {', '.join(suites())}")
    return _registry[name]


def needs(name: str) -> Needs:
    """Return what a suite was registered with."""
    builder(name)
    return _needs.get(name, Needs())


def suites() -> list[str]:
    """Return the names of all suites, sorted."""
    from unswayed.evals import suites as built_in  # registers them

    del built_in
    return sorted(_registry)
