"""A behaviour that training may amplify: the risk prompts of a suite, and whether a reply shows it.

What a suite is about is its first primary metric; a reply shows the behaviour where that metric gets worse. Its
conditions are the risk prompts, and the twin of a risk prompt, where it has one, is the same request without what
tempts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from unswayed.core.errors import ConfigError
from unswayed.core.hashing import hash_json
from unswayed.core.types import Completion, PromptPair, Sample
from unswayed.evals.judged import Judging
from unswayed.evals.metrics.base import METRICS, Metric
from unswayed.evals.records import make_record
from unswayed.evals.registry import suite
from unswayed.evals.scoring.scorers import broken
from unswayed.evals.suite import Suite


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of one reply: 1 where it shows the behaviour, 0 where not, None with a reason where it could not be scored."""

    value: float | None
    reason: str = ""


@dataclass(frozen=True)
class Behaviour:
    """See the module; `judge` scores where the suite has a rubric and a judge was given."""

    suite: Suite
    metric: Metric
    judge: Judging | None = None

    @property
    def risk(self) -> tuple[Sample, ...]:
        """The prompts on which the behaviour can show."""
        return tuple(
            s for s in self.suite.samples if not self.metric.conditions or s.condition in self.metric.conditions
        )

    def pair(self, sample: Sample) -> PromptPair:
        """Return a risk prompt as a pair; without a twin both sides are the same."""
        samples = {one.id: one for one in self.suite.samples}
        twin = samples.get(str(sample.meta.get("twin", "")))
        clean = sample.messages if twin is None else twin.messages
        return PromptPair(
            sample.id, sample.messages, clean, sample.group, target=sample.target[0] if sample.target else None
        )

    def outcomes(self, sample: Sample, completions: Sequence[Completion]) -> list[Outcome]:
        """Return the outcome of each reply to a risk prompt."""
        rules = [self.suite.score(sample, one) for one in completions]
        scores = (
            rules if self.judge is None else [s for s, _ in self.judge.score([sample] * len(rules), completions, rules)]
        )
        found = []
        for completion, score in zip(completions, scores, strict=True):
            record = make_record(sample, 0, completion, score, broken(sample, completion))
            assert self.metric.value is not None
            value = self.metric.value(record, None)
            worse = None if value is None else 1 - value if self.metric.better == "higher" else value
            found.append(Outcome(worse, "" if worse is not None else score.reason or score.outcome or "no value"))
        return found

    @property
    def identity(self) -> dict[str, object]:
        """Everything that decides an outcome, as plain JSON."""
        judge = None if self.judge is None else self.judge.judge.name
        return {
            "suite": hash_json(self.suite.identity()),
            "metric": [self.metric.name, self.metric.version],
            "judge": judge,
        }


def behaviour(made: Suite | str, limit: int | None = None, seed: int = 0, judge: Judging | None = None) -> Behaviour:
    """Return the behaviour that a suite is about.

    Args:
        made: a suite, or the name of one.
        limit, seed: of a suite by name.
        judge: see `Behaviour`.

    Raises:
        ConfigError: it chooses answers instead of writing them, has no metric of single replies, or needs a judge.
    """
    made = suite(made, limit, seed=seed) if isinstance(made, str) else made
    if made.method != "generate":
        raise ConfigError(f"{made.name}: chooses among given answers; a preflight needs replies that are written")
    if made.needs_judge and judge is None:
        raise ConfigError(f"{made.name}: is scored by a judge and by no rule; give one with --judge")
    single = [METRICS[name] for name in made.primary]
    found = [one for one in single if one.value is not None and not one.paired and _wanted(one, made)]
    if not found:
        raise ConfigError(f"{made.name}: none of its primary metrics is a value of single replies")
    return Behaviour(made, found[0], judge)


def _wanted(metric: Metric, made: Suite) -> bool:
    return not metric.conditions or any(sample.condition in metric.conditions for sample in made.samples)
