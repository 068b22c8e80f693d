"""Our suites as Inspect tasks: the same samples, the same reading of answers, the same rates and intervals.

    inspect eval unswayed/sycophancy_suggested_answer --model unswayed/smollm2-135m -T limit=100
    eval(suite_task(suite("sycophancy/suggested_answer", limit=100)), model=inspect_model(policy))

A task has two scorers. `rates` keeps one record of ours for each completion and gives every metric of the suite with
its clustered interval, n and unscored count. `answer` is the sample's own score, unscored with its reason where there
is none, with Inspect's mean and clustered standard error by condition. They are two because Inspect leaves unscored
samples out of a scorer's metrics, while some rates are about exactly those (could the reply be read, was it cut off).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from inspect_ai import Task
from inspect_ai.dataset import MemoryDataset
from inspect_ai.dataset import Sample as InspectSample
from inspect_ai.log import HeadlineMetric
from inspect_ai.model import GenerateConfig, ModelOutput
from inspect_ai.scorer import Metric as InspectMetric
from inspect_ai.scorer import SampleScore, Scorer, Target, grouped, mean, metric, scorer, stderr
from inspect_ai.scorer import Score as InspectScore
from inspect_ai.solver import TaskState, generate

from unswayed.core.errors import ConfigError
from unswayed.core.types import Completion, Sample, SamplingParams, Score
from unswayed.evals.inspect.messages import to_inspect
from unswayed.evals.inspect.naming import task_name
from unswayed.evals.metrics import metric as our_metric
from unswayed.evals.records import Record, make_record
from unswayed.evals.registry import suite as suite_by_name
from unswayed.evals.scoring.scorers import broken
from unswayed.evals.suite import Suite

CLUSTER = "group"
"""Where a sample's cluster stands in its metadata; what Inspect's own metrics take as `cluster`."""
SCORED = "scored"
_CUT = {"max_tokens", "model_length"}


class Asked:
    """A suite as the argument of a scorer, and how a log names it."""

    def __init__(self, suite: Suite, arguments: Mapping[str, Any] | None = None) -> None:
        self.suite = suite
        self.samples = {sample.id: sample for sample in suite.samples}
        self._arguments = arguments

    def _repr_params_(self) -> dict[str, Any]:
        known = None if self._arguments is None else dict(self._arguments)
        return {"suite": self.suite.name, "arguments": known}

    @classmethod
    def of(cls, given: Asked | Mapping[str, Any]) -> Asked:
        """Return the suite that a log's scorer names, built anew."""
        if isinstance(given, Asked):
            return given
        if given.get("arguments") is None:
            raise ConfigError(f"{given['suite']} was made in memory; no log can say how. Score it where it was made")
        return cls(suite_by_name(given["suite"], **given["arguments"]), given["arguments"])

    def score(self, state: TaskState) -> tuple[Sample, Completion, Score]:
        """Return our sample, the completion, and how our rule scores it.

        Raises:
            ConfigError: a sample of another suite, or several choices at once.
        """
        sample = self.samples.get(str(state.sample_id))
        if sample is None:
            raise ConfigError(f"{state.sample_id!r} is no sample of {self.suite.name} as it is now; evaluate again")
        completion = _completion(state.output)
        if completion is None:
            return sample, Completion("", "stop", 0, 0), Score(None, reason="no completion")
        return sample, completion, self.suite.score(sample, completion)


def suite_task(suite: Suite, arguments: Mapping[str, Any] | None = None) -> Task:
    """Return a suite as an Inspect task.

    Args:
        suite: what is asked. Its sampling parameters become the task's; its draws become epochs.
        arguments: what it was built from by name, where it was; `inspect score` can then build it again.

    Raises:
        ConfigError: a suite that Inspect cannot ask: one that chooses by likelihood, or one that needs a judge.
    """
    if suite.method != "generate":
        raise ConfigError(
            f"{suite.name} chooses between given answers by their likelihood, and Inspect's models only write text; "
            f"run it with `unswayed eval MODEL {suite.name}` and export the result with `unswayed inspect export`"
        )
    if suite.needs_judge:
        raise ConfigError(
            f"{suite.name} needs a judge; run it with `unswayed eval MODEL {suite.name} --judge ...`, which keeps the "
            "judge's verdicts and their failures, and export the result with `unswayed inspect export`"
        )
    asked = Asked(suite, arguments)
    return Task(
        name=task_name(suite.name) if arguments is None else None,  # a task found by name has that name
        display_name=suite.label or suite.name,
        version=suite.version,
        dataset=MemoryDataset([_sample(sample) for sample in suite.samples], name=suite.key),
        solver=generate(),
        scorer=[rates(asked), answer(asked)],
        config=generate_config(suite.params),
        epochs=suite.params.n if suite.params.n > 1 else None,
        metadata={"suite": suite.identity(), "unit": suite.unit, "sensitive": suite.sensitive},
        headline_metric=HeadlineMetric(scorer="rates", metric=suite.primary[0]) if suite.primary else None,
    )


def generate_config(params: SamplingParams) -> GenerateConfig:
    """Return our sampling parameters as Inspect's; what is not restricted is not set."""
    return GenerateConfig(
        max_tokens=params.max_new_tokens,
        temperature=params.temperature,
        top_p=params.top_p if params.top_p < 1 else None,
        top_k=params.top_k or None,
        seed=params.seed if params.temperature else None,
    )


def rate_rows(records: Mapping[tuple[str, int], Record], names: Sequence[str]) -> dict[str, float]:
    """Return value, interval, n and unscored count of each metric by name.

    Where nothing was scored the value is NaN, Inspect's own mark for that, and there is no interval.
    """
    # statsmodels is slow to load, and whatever Inspect is asked to do, it loads this file
    from unswayed.stats.intervals import estimate

    rates, details = dict[str, float | None](), dict[str, float | None]()  # the rates first: viewers show a few
    for name in names:
        entry = our_metric(name)
        values = entry.values(records)
        groups = [entry.group(key, records) for key in values]
        found = estimate(list(values.values()), groups, paired=entry.paired)
        rates[name] = math.nan if found.value is None else found.value
        details |= {f"{name} low": found.low, f"{name} high": found.high}
        details |= {f"{name} n": found.n, f"{name} unscored": found.unscored}
    return {name: float(value) for name, value in {**rates, **details}.items() if value is not None}


def _suite_rates() -> InspectMetric:
    def compute(scores: list[SampleScore]) -> Mapping[str, float]:
        rows = [score.score.metadata or {} for score in scores]
        names = list(dict.fromkeys(name for row in rows for name in row["metrics"]))
        records = [Record.from_row({**row["record"], "messages": []}) for row in rows]
        return rate_rows({record.key: record for record in records}, names)

    return compute


suite_rates = metric(name="suite_rates", scores="unreduced")(_suite_rates)
"""Inspect's metric for `rates`: every metric of the suite over the records of all completions, epochs included."""


def _rates(suite: Asked | Mapping[str, Any]) -> Scorer:
    asked = Asked.of(suite)

    async def score(state: TaskState, target: Target) -> InspectScore:
        sample, completion, found = asked.score(state)
        record = make_record(sample, state.epoch - 1, completion, found, broken(sample, completion))
        return InspectScore(
            value=record.reason or SCORED,
            answer=record.answer,
            metadata={"record": {**record.row(), "messages": []}, "metrics": list(asked.suite.metrics)},
        )

    return score


def _answer(suite: Asked | Mapping[str, Any]) -> Scorer:
    asked = Asked.of(suite)

    async def score(state: TaskState, target: Target) -> InspectScore:
        return to_inspect_score(asked.score(state)[2])

    return score


def to_inspect_score(score: Score) -> InspectScore:
    """Return a score of ours as Inspect's; what is unscored stays so."""
    if score.value is None:
        return InspectScore.unscored(reason=score.reason, answer=score.answer, explanation=f"unscored: {score.reason}")
    return InspectScore(value=score.value, answer=score.answer)


rates = scorer(metrics=[suite_rates()], name="rates")(_rates)
"""Keeps our record of each completion. Its value says whether it could be scored: `scored`, or why not."""
answer = scorer(
    metrics=[
        grouped(mean(), "condition", all=False),
        grouped(stderr(cluster=CLUSTER), "condition", all=False, name_template="{group_name} stderr"),
    ],
    name="answer",
)(_answer)
"""Our score of each completion."""


def _sample(sample: Sample) -> InspectSample:
    metadata = {CLUSTER: sample.group, "condition": sample.condition or "all"}
    metadata |= {name: sample.meta[name] for name in ("twin", "hinted", "slice") if sample.meta.get(name)}
    return InspectSample(
        id=sample.id,
        input=[to_inspect(message) for message in sample.messages],
        target=list(sample.target) or "",
        metadata=metadata,
    )


def _completion(output: ModelOutput) -> Completion | None:
    if output.error is not None or not output.choices:
        return None
    if len(output.choices) > 1:
        raise ConfigError("several choices at once would go unread; ask for several draws with --epochs")
    usage = output.usage
    return Completion(
        text=output.completion,
        finish="length" if output.stop_reason in _CUT else "stop",
        tokens=usage.output_tokens if usage else 0,
        prompt_tokens=usage.input_tokens if usage else 0,
    )
