"""What a suite is, and where all of them are found by name.

A suite is data: samples, a scoring rule, how completions are drawn, and the metrics that decide. Its identity is a hash
over all of that, so two evaluations are compared only if they asked the same and read it the same way.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from unswayed.core.errors import ConfigError, DataError
from unswayed.core.hashing import hash_json
from unswayed.core.types import Sample, SamplingParams
from unswayed.evals.metrics import HEALTH, metric
from unswayed.evals.scoring.scorers import CHOOSING, JUDGED, SCORING_VERSION, Rule, rule_of, score_answer

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
        score: completion to score; a rule whose version is declared (`unswayed.evals.scoring.scorers.rule`).
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
        sources: the public sets it reads, the default first (see `unswayed.sources`); none where it needs none.
        judge: whether one is needed, or may replace its rule.
        extra: of this package, without which it cannot score.
    """

    unit: str = "question"
    sources: tuple[str, ...] = ()
    judge: Literal["no", "optional", "required"] = "no"
    extra: str = ""


# A builder takes `limit` (how many clusters, so twins stay together), `seed` and arguments of its own, all by keyword.
Builder = Callable[..., Suite]

REGISTRY: dict[str, Builder] = {}
NEEDS: dict[str, Needs] = {}


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
        known = REGISTRY.get(name, builder)
        if (known.__module__, known.__name__) != (builder.__module__, builder.__name__):
            raise ConfigError(f"suite {name!r} exists already; give yours another name")
        REGISTRY[name], NEEDS[name] = builder, Needs(unit, sources, judge, extra)
        return builder

    return decorate
