"""A finished evaluation as one of Inspect's `.eval` logs, for its viewer, its data frames and what is built on them.

Nothing is sampled or scored anew: prompts, completions, finish reasons, scores and reasons are those of the records,
the rates those of `results.json`. A folder always gives the same log, under the same name. Prompts and replies of
sensitive suites are left out unless they are asked for; a hash stands in their place.
"""

from __future__ import annotations

import hashlib
import math
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from inspect_ai.log import (
    EvalConfig,
    EvalDataset,
    EvalLog,
    EvalMetric,
    EvalPlan,
    EvalPlanStep,
    EvalResults,
    EvalSample,
    EvalScore,
    EvalSpec,
    EvalStats,
    HeadlineMetric,
    write_eval_log,
)
from inspect_ai.model import ChatCompletionChoice, ModelOutput, ModelUsage

from unswayed.core.files import write_atomic
from unswayed.core.hashing import hash_json
from unswayed.core.types import Message, SamplingParams, Score
from unswayed.evals.inspect.messages import to_inspect
from unswayed.evals.inspect.naming import API, model_name, task_name
from unswayed.evals.inspect.tasks import CLUSTER, generate_config, to_inspect_score
from unswayed.evals.records import Record
from unswayed.evals.results import EVAL, RESULTS, Result

EXTENSION = ".eval"
SCORE = "answer"
_STOP = {"length": "max_tokens", "stop": "stop", "failed": "unknown"}
# What a record says besides; where texts are left out, only what can hold none of them.
_BESIDES = ("condition", "twin", "broken", "slice", "parts", "finish", "tokens", "prompt_tokens")
_WITH_TEXT = ("hinted", "choices", "judged")
_JUDGED_WITHOUT_TEXT = ("status", "label", "flags", "rule")


def export_log(folder: Path | str, out: Path | str, *, show_sensitive: bool = False) -> Path:
    """Write the evaluation in a folder as an `.eval` log and return its path.

    Args:
        folder: what `unswayed eval` wrote for one suite.
        out: the file, if it ends in `.eval`; else a folder, in which it gets a name as Inspect gives them.
        show_sensitive: keep prompts and replies of a suite that is marked as sensitive.

    Raises:
        ConfigError: no evaluation, or one that is not finished.
        DataError: the records are not those that the results were made from.
    """
    folder, out = Path(folder), Path(out)
    result = Result.load(folder)
    log = make_log(result, _written(folder / EVAL), _written(folder / RESULTS), show_sensitive)
    task = log.eval.task.rpartition("/")[2].replace("_", "-")
    created = datetime.fromisoformat(log.eval.created)
    name = f"{created:%Y-%m-%dT%H-%M-%S-00-00}_{task}_{log.eval.task_id}{EXTENSION}"
    path = out if out.suffix == EXTENSION else out / name
    with TemporaryDirectory() as draft:
        write_eval_log(log, str(Path(draft) / name))
        write_atomic(path, (Path(draft) / name).read_bytes())
    return path


def make_log(result: Result, started: str, finished: str, show_sensitive: bool = False) -> EvalLog:
    """Return an evaluation as a log of Inspect's.

    Args:
        result: the evaluation.
        started, finished: times in ISO format.
        show_sensitive: as for `export_log`.
    """
    identity, suite = result.about["identity"], result.suite
    hidden = result.sensitive and not show_sensitive
    model = f"{API}/{model_name(result.policy, str(identity['policy']))}"
    params = SamplingParams(**suite["sampling"])
    key = hash_json(identity)
    ids = list(dict.fromkeys(record.id for record in result.records.values()))
    samples = [_sample(record, model, key, hidden) for record in result.records.values()]
    usage = _usage(
        sum(r.prompt_tokens for r in result.records.values()), sum(r.tokens for r in result.records.values())
    )
    spec = EvalSpec(
        eval_id=key[:22], run_id=key[22:44], task_id=key[-22:], created=started,
        task=f"{API}/{task_name(suite['name'])}", task_display_name=result.title, task_version=suite["version"],
        task_args=dict(suite["arguments"]), task_args_passed=dict(suite["arguments"]),
        dataset=EvalDataset(name=suite["name"], samples=len(ids), sample_ids=ids, shuffled=False),
        model=model, config=EvalConfig(epochs=params.n), packages={"unswayed": identity["unswayed"]},
        metadata={**result.about, "texts_left_out": hidden},
        headline_metric=_headline(result), scorers=[{"name": f"{API}/{SCORE}"}],
    )  # fmt: skip
    return EvalLog(
        status="success",
        eval=spec,
        plan=EvalPlan(steps=[EvalPlanStep(solver="generate")], config=generate_config(params)),
        results=_results(result),
        stats=EvalStats(started_at=started, completed_at=finished, model_usage={model: usage}),
        samples=samples,
    )


def _sample(record: Record, model: str, key: str, hidden: bool) -> EvalSample:
    texts = [*record.messages, Message("assistant", record.text)]
    if hidden:
        texts = [Message(message.role, _left_out(message.content)) for message in texts]
    *prompt, reply = (to_inspect(message, _id(key, record, place)) for place, message in enumerate(texts))
    reply = reply.model_copy(update={"model": model, "source": "generate"})
    row = record.row()
    metadata = {CLUSTER: record.group, "draw": record.draw}
    metadata |= {name: row[name] for name in (*_BESIDES, *(() if hidden else _WITH_TEXT)) if row.get(name)}
    if hidden and record.judged:
        metadata["judged"] = {name: record.judged[name] for name in _JUDGED_WITHOUT_TEXT if name in record.judged}
    shown = Score(record.value, None if hidden else record.answer, record.reason)
    usage = _usage(record.prompt_tokens, record.tokens)
    return EvalSample(
        id=record.id,
        epoch=record.draw + 1,
        uuid=_id(key, record),
        input=prompt,
        target="" if hidden else record.target,
        messages=[*prompt, reply],
        output=ModelOutput(
            model=model,
            choices=[ChatCompletionChoice(message=reply, stop_reason=_STOP[record.finish])],
            usage=usage,
        ),
        scores={SCORE: to_inspect_score(shown)},
        metadata=metadata,
        model_usage={model: usage},
    )


def _results(result: Result) -> EvalResults:
    summary = result.summary()
    rates, details = dict[str, EvalMetric](), dict[str, EvalMetric]()  # the viewer shows the first few: the rates
    for name, row in summary.pop("metrics").items():
        low, high = row["interval"] or (None, None)
        about = {key: row[key] for key in ("clusters", "method", "better", "role", "description")}
        for cell, value in (("low", low), ("high", high), ("n", row["n"]), ("unscored", row["unscored"])):
            if value is not None:
                details[f"{name} {cell}"] = EvalMetric(name=f"{name} {cell}", value=value)
        value = math.nan if row["value"] is None else row["value"]
        rates[name] = EvalMetric(name=name, value=value, metadata=about)
    unscored = sum(record.value is None for record in result.records.values())
    return EvalResults(
        total_samples=len(result.records),
        completed_samples=len(result.records),
        scores=[
            EvalScore(
                name=SCORE,
                scorer=SCORE,
                metrics={**rates, **details},
                scored_samples=len(result.records) - unscored,
                unscored_samples=unscored,
            )
        ],
        headline=_headline(result),
        metadata=summary,
    )


def _headline(result: Result) -> HeadlineMetric | None:
    known = [name for name in result.metrics if result.estimates[name].value is not None]
    return HeadlineMetric(scorer=SCORE, metric=known[0]) if known else None


def _usage(prompt: int, completion: int) -> ModelUsage:
    return ModelUsage(input_tokens=prompt, output_tokens=completion, total_tokens=prompt + completion)


def _id(key: str, record: Record, *place: int) -> str:
    return hash_json([key, record.id, record.draw, *place])[:22]


def _left_out(text: str) -> str:
    return f"[left out, as it may be harmful to repeat; sha256 {hashlib.sha256(text.encode()).hexdigest()}]"


def _written(path: Path) -> str:
    return datetime.fromtimestamp(int(path.stat().st_mtime), UTC).isoformat()
