"""Draw and score everything a prediction needs, batch by batch; the same call goes on where it stopped.

    about.json     the recipe, behaviour, prompts and settings; a call with others is refused
    rows.jsonl     one row a prompt: replies before, draws at temperature 1, candidates, scores, what was chosen

Prompts stand in two sets. `train`: the recipe's own pairs, where the behaviour is a suite over a file of pairs; else
one half of the suite's risk prompts, as if they were labelled. `sealed`: all risk prompts, or their other half, which
are only asked before and after training.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from unswayed._version import __version__
from unswayed.audit.preflight.behaviour import Behaviour, behaviour
from unswayed.audit.preflight.operator import Drawn, Labelling, Operator
from unswayed.core.errors import ConfigError, DataError, Interrupted
from unswayed.core.files import append_jsonl, keep_whole_batches, read_jsonl, remove_temporary, write_json
from unswayed.core.hashing import hash_json
from unswayed.core.progress import Progress
from unswayed.core.signals import stop_signals
from unswayed.core.types import Completion, Sample, SamplingParams
from unswayed.evals.registry import builder, suite

ABOUT, ROWS = "about.json", "rows.jsonl"
BATCH = 16
Placed = tuple[str, Behaviour, Sample]
"""A prompt: the set it stands in, whose behaviour it is, and the sample."""


def place_prompts(shown: Behaviour, name: str, pairs: Path) -> list[Placed]:
    """Return every prompt with its set; see the module.

    Args:
        shown: the behaviour.
        name: the suite's name as it was given, `NAME` or `NAME:FILE`.
        pairs: of the recipe: the training prompts, where the suite reads files of pairs.

    Raises:
        DataError: too few risk prompts to be split.
    """
    base, _, file = name.partition(":")
    if file and "file" in inspect.signature(builder(base)).parameters:
        own = behaviour(suite(base, file=str(pairs)), judge=shown.judge)
        return [*(("train", own, one) for one in own.risk), *(("sealed", shown, one) for one in shown.risk)]
    groups = sorted({sample.group for sample in shown.risk}, key=lambda group: hash_json(["preflight", group]))
    first = set(groups[: len(groups) // 2])
    if not first:
        raise DataError(f"{shown.suite.name}: {len(groups)} groups of risk prompts; a preflight needs two or more")
    return [("train" if sample.group in first else "sealed", shown, sample) for sample in shown.risk]


def about(operator: Operator, shown: Behaviour, placed: Sequence[Placed], settings: dict[str, Any]) -> dict[str, Any]:
    """Return everything that decides the rows, as plain JSON."""
    counts = {name: sum(one[0] == name for one in placed) for name in ("train", "sealed")}
    prompts = hash_json(
        [[name, sample.id, [[m.role, m.content] for m in sample.messages]] for name, _, sample in placed]
    )
    return {
        "operator": {
            "name": operator.name,
            "k": operator.k,
            "temperature": operator.temperature,
            "on_policy": operator.on_policy,
            **operator.identity,
        },
        "behaviour": {**shown.identity, "name": shown.suite.name, "description": shown.metric.description},
        "prompts": {**counts, "sha256": prompts},
        "settings": settings,
        "unswayed": __version__,
    }


def collect(
    out: Path, operator: Operator, placed: Sequence[Placed], facts: dict[str, Any], draws: int, *, shown: bool = False
) -> list[dict[str, Any]]:
    """Return the rows of all prompts, drawing those that are not there yet. The folder is locked by the caller.

    Raises:
        ConfigError: the folder holds a preflight of something else.
        Interrupted: a signal; whole batches are kept.
    """
    remove_temporary(out)
    if (out / ABOUT).exists():
        before = json.loads((out / ABOUT).read_text(encoding="utf-8"))
        if changed := [key for key in facts if before.get(key) != facts[key]]:
            raise ConfigError(
                f"{out} holds another preflight: {', '.join(changed)} differ; choose another folder for -o"
            )
    else:
        write_json(out / ABOUT, facts)
    path = out / ROWS
    expected = [(name, sample.id) for name, _, sample in placed]
    done = keep_whole_batches(path, [(row["set"], row["prompt_id"]) for row in read_jsonl(path)], expected, BATCH)
    with stop_signals, Progress("preflight", len(placed), done, shown=shown) as bar:
        for start in range(done, len(placed), BATCH):
            if stop_signals.asked:
                raise Interrupted(f"stopped after {start} of {len(placed)} prompts; run the same command to go on")
            batch = placed[start : start + BATCH]
            append_jsonl(path, _batch(operator, batch, draws))
            bar.update(start + len(batch))
    return read_jsonl(path)


def _batch(operator: Operator, batch: Sequence[Placed], draws: int) -> list[dict[str, Any]]:
    before = ask(operator.policy.complete, batch)
    inside = [place for place, one in enumerate(batch) if one[0] == "train"]
    params = SamplingParams(1.0, max_new_tokens=batch[0][1].suite.params.max_new_tokens, n=draws, seed=1)
    loose = dict(zip(inside, ask(operator.policy.complete, [batch[i] for i in inside], params), strict=True))
    labelled = dict(zip(inside, operator.label([batch[i][1].pair(batch[i][2]) for i in inside]), strict=True))
    rows: list[dict[str, Any]] = []
    for place, (name, behaves, sample) in enumerate(batch):
        row: dict[str, Any] = {"set": name, "prompt_id": sample.id, "group": sample.group, "before": before[place]}
        if name == "train":
            row |= {"draws": loose[place], **_labelled(behaves, sample, labelled[place])}
        rows.append(row)
    return rows


def ask(
    complete: Callable[..., list[Completion]], batch: Sequence[Placed], params: SamplingParams | None = None
) -> list[list[dict[str, Any]]]:
    """Return the scored replies to each prompt, drawn as its suite says or by `params`."""
    if not batch:
        return []
    params = params or batch[0][1].suite.params
    replies = complete([sample.messages for _, _, sample in batch], params) if params.n else []
    return [
        _scored(behaves, sample, replies[place * params.n : (place + 1) * params.n])
        for place, (_, behaves, sample) in enumerate(batch)
    ]


def _scored(behaves: Behaviour, sample: Sample, replies: Sequence[Completion]) -> list[dict[str, Any]]:
    outcomes = behaves.outcomes(sample, replies)
    return [
        {"text": reply.text, "finish": reply.finish, "outcome": found.value, "reason": found.reason}
        for reply, found in zip(replies, outcomes, strict=True)
    ]


def _labelled(behaves: Behaviour, sample: Sample, labelling: Labelling) -> dict[str, Any]:
    candidates = labelling.candidates
    scored = _scored(behaves, sample, [candidate.completion() for candidate in candidates])
    return {
        "candidates": [{**one, **_facts(each)} for one, each in zip(scored, candidates, strict=True)],
        "labels": list(labelling.labels),
        "dropped": labelling.dropped,
    }


def _facts(candidate: Drawn) -> dict[str, Any]:
    return {
        "finish": candidate.finish,
        "decoder": candidate.decoder,
        "score": candidate.score,
        "logprob": candidate.logprob,
    }
