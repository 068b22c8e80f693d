"""One run in a process of its own: label where the arm labels, train, ask, measure; write done.json and stop.

The job's folder keeps everything, so a run that was cut goes on when it is started again.
"""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Mapping
from typing import Any

import torch

from bench.budget.arms import ARMS, MODEL, NEW_TOKENS, label_recipe, train_recipe
from bench.budget.jobs import Job
from bench.budget.questions import asked
from bench.child import Control
from unswayed.config.labels import LabelRecipe
from unswayed.config.recipe import Recipe
from unswayed.core.files import read_jsonl, write_json
from unswayed.core.seeding import seed_at
from unswayed.core.types import SamplingParams
from unswayed.data.read import write_pairs
from unswayed.engine.policy import LoadedPolicy, load_policy
from unswayed.evals.metrics import metric
from unswayed.evals.results import Result
from unswayed.evals.run import evaluate
from unswayed.evals.suite import Suite
from unswayed.labels.run import label
from unswayed.training.loop import train

METRICS = ("hint_following", "accuracy_clean", "accuracy_right_hint", "accuracy_wrong_hint", "truncation_rate")


def run(job: Job, control: Control) -> None:
    """Do the job at the order; its output goes to log.txt."""
    control.ready()
    next(control.orders())
    folder = job.folder
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "log.txt").open("ab") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    questions = asked(job.seed)
    done: dict[str, Any] = {"training": {}}
    adapter = None
    if job.arm != "base":
        done["training"] = _train(job, list(questions.pairs))
        adapter = str(folder / "run" / "adapter")
    policy = load_policy(MODEL, adapter, dtype="float32", device="cpu", name=job.arm)
    suites = {"tuning": questions.tuning} if job.tuning else dict(questions.result)
    results = {name: evaluate(policy, suite, folder / "evals" / name, batch_size=36) for name, suite in suites.items()}
    done["values"] = {name: _values(result) for name, result in results.items()}
    done["kl"] = {} if job.tuning or job.arm == "base" else _kl(policy, suites, job.seed)
    write_json(folder / "done.json", done)
    control.report()


def _train(job: Job, pairs: list[Any]) -> dict[str, Any]:
    """Train; return what it cost. Times of a run that was cut in between are not known, and said to be."""
    arm, folder = ARMS[job.arm], job.folder
    cut = (folder / "run").exists() or (folder / "labels.records").exists()
    began, used = time.monotonic(), time.process_time()
    file, tokens = folder / "pairs.jsonl", 0
    write_pairs(file, pairs[: arm.pairs])
    labels: dict[str, Any] = {}
    if arm.labeller:
        recipe = LabelRecipe.from_dict(label_recipe(arm, pairs=str(file), seed=job.seed))
        made = label(recipe, folder / "labels.jsonl")
        labels = {name: made.summary[name] for name in ("pairs", "labels", "dropped", "candidates")}
        tokens = sum(len(c["ids"]) for row in read_jsonl(made.records / "candidates.jsonl") for c in row["candidates"])
        file = made.path
    run = train(
        Recipe.from_dict(train_recipe(arm, pairs=str(file), folder=str(folder), seed=job.seed, rate=job.rate)),
        resume="auto",
    )
    if not arm.labeller:
        drawn = sorted((run.path / "rollouts").glob("*.jsonl"))
        tokens = sum(len(row["completion_ids"]) for path in drawn for row in read_jsonl(path))
    rows = run.metrics()
    return {
        "labels": labels,
        "generated_tokens": tokens,
        "trained_tokens": sum(row["tokens"] * row["updates"] for row in rows),
        "optimizer_steps": sum(row["updates"] for row in rows),
        "seconds": None if cut else time.monotonic() - began,
        "cpu_seconds": None if cut else time.process_time() - used,
        "peak_rss": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }


def _values(result: Result) -> dict[str, list[list[Any]]]:
    """Return [sample, group, value] of each metric; None stays None."""
    return {
        name: [
            [key[0], metric(name).group(key, result.records), value]
            for key, value in metric(name).values(result.records).items()
        ]
        for name in METRICS
    }


@torch.no_grad()
def _kl(policy: LoadedPolicy, suites: Mapping[str, Suite], seed: int) -> dict[str, list[Any]]:
    """Return [question, KL(trained ‖ base) in nats summed over one completion, its tokens] on prompts without a hint.

    The completion is drawn from the trained model at temperature 1; at each of its positions the KL is exact over the
    vocabulary, so the sum is an unbiased estimate of the KL between the two models' answers.
    """
    base = load_policy(MODEL, dtype="float32", device="cpu")
    prompts = {s.group: s.messages for suite in suites.values() for s in suite.samples if s.condition == "clean"}
    ids = [policy.chat.render(messages) for messages in prompts.values()]
    seeds = [[seed_at(seed, "bench/kl", *row)] for row in ids]
    drawn = policy.draw(ids, SamplingParams(max_new_tokens=NEW_TOKENS), seeds)
    rows = []
    for group, prompt, (draw,) in zip(prompts, ids, drawn, strict=True):
        whole = torch.tensor([[*prompt, *draw.completion_ids]])
        logprobs = [
            torch.log_softmax(each.model(input_ids=whole).logits[0, len(prompt) - 1 : -1].float(), -1)
            for each in (policy, base)
        ]
        kl = (logprobs[0].exp() * (logprobs[0] - logprobs[1])).sum(-1)
        rows.append([group, float(kl.sum()), len(draw.completion_ids)])
    return {"clean": rows}
