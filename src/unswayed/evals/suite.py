"""Suites as data, and the register of their builders by name.

A suite is samples, a scoring rule, how completions are drawn, and the metrics that decide. Its identity is a hash over
all of that, so two evaluations are compared only if they asked the same and read it the same way.

A builder is a function of keyword arguments that returns a suite; `register` makes it known and records its arguments.
It raises ConfigError for arguments that are unknown or contradict each other and for a source that cannot be found, and
DataError for rows that cannot be used, all of them listed.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import wraps
from typing import Any, Literal, ParamSpec

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
            raise DataError(f"suite {self.name} has no samples; the arguments leave nothing to ask")
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


P = ParamSpec("P")
Builder = Callable[..., Suite]

REGISTRY: dict[str, Builder] = {}
NEEDS: dict[str, Needs] = {}

SHARED: Mapping[str, str] = {
    "items": "the questions; by default all packaged facts and some arithmetic.",
    "topics": "keep only questions of these topics.",
    "phrasings": "numbers of the wordings within each family; by default all.",
    "hints_per_item": "how many wordings each question is asked in.",
    "every_wrong": "a sample for every wrong option, else for one drawn by `seed`.",
    "method": "`generate`, or `choose` for the most likely option; see `unswayed.evals.suites.questions`.",
    "by": "compare options by `letter` or by `text`, where `method` is `choose`.",
    "normalisation": "how texts of different lengths are compared, where `by` is `text`; see `unswayed.evals.choose`.",
    "reasoning": "ask for reasoning before the answer.",
    "limit": "how many clusters to ask about, drawn by `seed`; by default all.",
    "seed": "decides every draw: of clusters, wordings, wrong answers and orders of options.",
    "name": "your own words for this set; part of its identity.",
    "max_new_tokens": "length limit of completions. A reply that is cut off before it can be scored is unscored.",
}
"""Descriptions of arguments that several suites have; `register` adds them to the docstring of each builder."""


def register(
    name: str,
    *,
    unit: str = "question",
    sources: tuple[str, ...] = (),
    judge: Literal["no", "optional", "required"] = "no",
    extra: str = "",
    records_length: bool = False,
) -> Callable[[Callable[P, Suite]], Callable[P, Suite]]:
    """Make a builder known by name; the first line of its docstring says what it asks.

    The suite's `arguments` become those that the builder was called with (see `given`), and over them those that the
    builder itself set. Not recorded are `file`, for which the builder records what was read, and `max_new_tokens`,
    which is among the sampling parameters.

    Args:
        name: `axis/name`.
        unit, sources, judge, extra: see `Needs`; they only inform, the suite itself decides.
        records_length: record `max_new_tokens` as well.

    Raises:
        ConfigError: another builder has it.
    """
    unrecorded = {"file"} if records_length else {"file", "max_new_tokens"}

    def decorate(builder: Callable[P, Suite]) -> Callable[P, Suite]:
        known = REGISTRY.get(name, builder)
        if (known.__module__, known.__name__) != (builder.__module__, builder.__name__):
            raise ConfigError(f"suite {name!r} exists already; give yours another name")
        signature = inspect.signature(builder)
        defaults = {each.name: each.default for each in signature.parameters.values() if each.name not in unrecorded}

        @wraps(builder)
        def build(*args: P.args, **kwargs: P.kwargs) -> Suite:
            made = builder(*args, **kwargs)
            bound = signature.bind(*args, **kwargs).arguments
            return replace(made, arguments={**given(bound, defaults), **made.arguments})

        build.__doc__ = _described(builder, signature)
        REGISTRY[name], NEEDS[name] = build, Needs(unit, sources, judge, extra)
        return build

    return decorate


def given(arguments: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments that have a default and another value than None, "", 0 and that default.

    Values are plain JSON, objects are named by their ids.
    """
    said = {name: value for name, value in arguments.items() if name in defaults and value not in (None, "", 0)}
    return {name: _plain(value) for name, value in said.items() if _plain(value) != _plain(defaults[name])}


def _plain(value: Any) -> Any:
    if isinstance(value, str) or not isinstance(value, Iterable):
        return value
    return [getattr(one, "id", one) for one in value]


def _described(builder: Builder, signature: inspect.Signature) -> str:
    """Return the docstring with the shared arguments that it does not describe itself."""
    text = inspect.getdoc(builder) or ""
    missing = [each for each in signature.parameters if each in SHARED and f"    {each}: " not in text]
    added = [f"    {each}: {SHARED[each]}" for each in missing]
    if not added:
        return text
    return "\n".join([text, *([] if "\nArgs:\n" in text else ["", "Args:"]), *added])
