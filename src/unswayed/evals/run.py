"""Run a suite on a policy. The same call continues where it stopped; different settings are refused.

Samples are taken in the suite's order, one batch after the other, and each batch's records are appended before the next
is sampled. After an interruption whole batches are kept and a partial one is done again, so the batches, and with them
every bit of the results, are those of an unbroken run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from unswayed._version import __version__
from unswayed.core.errors import ConfigError, Interrupted, UnswayedError
from unswayed.core.files import (
    append_jsonl,
    fsync_path,
    keep_whole_batches,
    locked,
    read_jsonl,
    remove_temporary,
    write_json,
    write_jsonl,
)
from unswayed.core.hashing import hash_file
from unswayed.core.plugins import used
from unswayed.core.progress import Progress
from unswayed.core.signals import stop_signals
from unswayed.core.types import DECLINED, Completion, Sample, Score, TextPolicy
from unswayed.evals.choose import check_chooser, choose_batch
from unswayed.evals.judged import Judging, judging
from unswayed.evals.plan import Plan
from unswayed.evals.records import Record, make_record
from unswayed.evals.registry import suite as suite_by_name
from unswayed.evals.results import EVAL, RECORDS, RESULTS, Result, about, differences, read_about, read_records
from unswayed.evals.scoring.scorers import broken
from unswayed.evals.suite import REGISTRY, Suite
from unswayed.judges.base import Judge


def evaluate(
    policy: TextPolicy,
    suite: Suite | str,
    out: Path | str | None = None,
    *,
    batch_size: int = 16,
    progress: bool = False,
    plan: Plan | None = None,
    judge: Judge | None = None,
    allow_self_judge: bool = False,
) -> Result:
    """Return the policy's result on the suite.

    Args:
        policy: what is evaluated; its answers may depend on nothing but prompt and sampling parameters.
        suite: a suite or a suite's name.
        out: folder of the evaluation; None keeps everything in memory.
        batch_size: prompts given to the policy at once.
        progress: show a bar on stderr, or a line every half minute where that is no terminal.
        plan: what was declared beforehand; it is recorded before the first sample is drawn.
        judge: scores in the place of the rule where the suite has a rubric. What it failed to judge is unscored; the
            same call asks it again for those.
        allow_self_judge: the judge may be the evaluated model; recorded.

    Raises:
        ConfigError: the folder holds an evaluation of something else; the message names the difference. Or the suite
            needs a judge and has none, or the model would judge itself.
        DataError: prompts that the model would not see as they are meant, or that leave no room for an answer in its
            context; named before anything is drawn.
        LockedError: another process works in the folder.
        Interrupted: SIGINT, SIGTERM or SIGHUP; finished batches are kept.
    """
    if isinstance(suite, str):
        suite = suite_by_name(suite)
    if batch_size < 1:
        raise ConfigError(f"batch_size is {batch_size}; it must be at least 1")
    if suite.method == "choose":
        check_chooser(policy, suite)
    _check_prompts(policy, suite)
    facts = about(suite, policy.name, policy.identity, __version__, plan)
    judged = judging(suite, judge, policy, allow_self_judge=allow_self_judge)
    if judged is not None:
        facts = judged.about(facts)
    if plugins := used([REGISTRY.get(suite.name), suite.score, judge]):
        facts = {**facts, "identity": {**facts["identity"], "plugins": plugins}}
    if out is None:
        made = _complete(policy, suite, judged, None, 0, batch_size, progress)
        return Result(facts, {record.key: record for record in made})
    folder = Path(out)
    with locked(folder):
        remove_temporary(folder, EVAL, RECORDS, RESULTS)
        found = read_about(folder)
        if found is None:
            _refuse_stray(folder)
            write_json(folder / EVAL, facts)
        elif found["identity"] != facts["identity"]:
            changes = "\n  ".join(differences(found["identity"], facts["identity"]))
            raise ConfigError(
                f"{folder} holds another evaluation; choose another folder, or the same settings:\n  {changes}"
            )
        elif plan is not None and found.get("plan") != facts["plan"]:
            raise ConfigError(
                f"{folder} was begun under another plan, or none, and a plan counts only if it was there first; choose "
                "another folder, or compare with --plan FILE, which then says that it was declared after the run"
            )
        if (folder / RESULTS).exists() and _missing(folder / RECORDS):
            (folder / RESULTS).unlink()  # first: results never stand beside records they were not made from
            fsync_path(folder)
        if not (folder / RESULTS).exists():
            done = _resume(folder / RECORDS, suite, batch_size)
            _draw_again(policy, folder / RECORDS, suite, judged, batch_size)
            if judged is not None:
                _judge_again(folder / RECORDS, suite, judged, batch_size)
            _complete(policy, suite, judged, folder / RECORDS, done, batch_size, progress)
            if policy.identity != facts["identity"]["policy"]:
                raise UnswayedError(f"the policy changed while it was evaluated; delete {folder} and evaluate it again")
            result = Result(found or facts, read_records(folder / RECORDS))
            write_json(folder / RESULTS, {**result.summary(), "records_sha256": hash_file(folder / RECORDS)})
    return Result.load(folder)


def _check_prompts(policy: TextPolicy, suite: Suite) -> None:
    """Check prompts as training does, where the policy renders them itself."""
    check = getattr(policy, "check", None)
    if check is not None:
        room = suite.params.max_new_tokens if suite.method == "generate" else 1
        of = f"{suite.name}, {len(suite.samples)} prompts"
        check(((sample.id, sample.messages) for sample in suite.samples), room, of)


def _complete(
    policy: TextPolicy, suite: Suite, judged: Judging | None, path: Path | None, done: int, batch_size: int, shown: bool
) -> list[Record]:
    """Sample and score everything from sample `done` on, batch by batch; return the records in order."""
    made: list[Record] = []
    with stop_signals, Progress(suite.label or suite.name, len(suite.samples), done, shown=shown) as bar:
        for start in range(done, len(suite.samples), batch_size):
            if stop_signals.asked:
                raise Interrupted(
                    f"stopped after {start} of {len(suite.samples)} samples; run the same command to go on"
                )
            batch = suite.samples[start : start + batch_size]
            records = _batch(policy, suite, judged, batch)
            if path:
                append_jsonl(path, (record.row() for record in records))
            made += records
            bar.update(start + len(batch))
    return made


def _batch(policy: TextPolicy, suite: Suite, judged: Judging | None, batch: tuple[Sample, ...]) -> list[Record]:
    if suite.method == "choose":
        return choose_batch(policy, suite, batch)
    completions = policy.complete([sample.messages for sample in batch], suite.params)
    if len(completions) != len(batch) * suite.params.n:
        raise UnswayedError(
            f"policy {policy.name} returned {len(completions)} completions for {len(batch)} prompts × {suite.params.n}"
        )
    return _records([(sample, draw) for sample in batch for draw in range(suite.params.n)], completions, suite, judged)


def _records(
    owners: Sequence[tuple[Sample, int]], completions: Sequence[Completion], suite: Suite, judged: Judging | None
) -> list[Record]:
    """Return one scored record for each completion; what a server failed to give is unscored, and shown to no judge."""
    given = [place for place, completion in enumerate(completions) if completion.finish != "failed"]
    samples, texts = [owners[place][0] for place in given], [completions[place] for place in given]
    rules = [suite.score(sample, completion) for sample, completion in zip(samples, texts, strict=True)]
    scores: list[tuple[Score, Mapping[str, Any]]] = (
        [(rule, {}) for rule in rules] if judged is None else list(judged.score(samples, texts, rules))
    )
    scored = dict(zip(given, scores, strict=True))
    records = []
    for place, ((sample, draw), completion) in enumerate(zip(owners, completions, strict=True)):
        score, kept = scored.get(place) or (Score(None, reason=completion.reason), {})
        flaw = broken(sample, completion) if place in scored else None
        records.append(make_record(sample, draw, completion, score, flaw, judged=kept))
    return records


def _missing(path: Path) -> bool:
    """Whether there are records that a server or the judge may still complete."""
    return any(_failed(row) or _undrawn(row) for row in read_jsonl(path))


def _undrawn(row: Mapping[str, Any]) -> bool:
    return row["finish"] == "failed" and not str(row["reason"]).startswith(DECLINED)


def _draw_again(policy: TextPolicy, path: Path, suite: Suite, judged: Judging | None, batch_size: int) -> None:
    """Draw again what a server failed to give; the other records stay as they are."""
    rows = read_jsonl(path) if path.exists() else []
    samples = {sample.id: sample for sample in suite.samples}
    wanted = sorted({row["id"] for row in rows if _undrawn(row)})
    for start in range(0, len(wanted), batch_size):
        batch = tuple(samples[name] for name in wanted[start : start + batch_size])
        drawn = {record.key: record.row() for record in _batch(policy, suite, judged, batch)}
        rows = [drawn.get((row["id"], row["draw"]), row) if _undrawn(row) else row for row in rows]
        write_jsonl(path, rows)


def _failed(row: Mapping[str, Any]) -> bool:
    return bool(row.get("judged", {}).get("status") == "error")


def _judge_again(path: Path, suite: Suite, judged: Judging, batch_size: int) -> None:
    """Ask the judge again for the finished records that it failed to judge; the completions stay as they are."""
    rows = read_jsonl(path)
    places = [place for place, row in enumerate(rows) if _failed(row)]
    for start in range(0, len(places), batch_size):
        part = places[start : start + batch_size]
        owners = [judged.samples[rows[place]["id"]] for place in part]
        completions = [
            Completion(row["text"], row["finish"], row["tokens"], row["prompt_tokens"])
            for row in (rows[place] for place in part)
        ]
        rules = [suite.score(sample, completion) for sample, completion in zip(owners, completions, strict=True)]
        for place, sample, completion, (score, kept) in zip(
            part, owners, completions, judged.score(owners, completions, rules), strict=True
        ):
            row = rows[place]
            rows[place] = make_record(
                sample, row["draw"], completion, score, broken(sample, completion), judged=kept
            ).row()
    if places:
        write_jsonl(path, rows)


def _resume(path: Path, suite: Suite, batch_size: int) -> int:
    """Keep the whole batches that an interrupted run left, and return how many samples they hold."""
    n = suite.params.n
    expected = [(sample.id, draw) for sample in suite.samples for draw in range(n)]
    return keep_whole_batches(path, list(read_records(path)), expected, batch_size * n) // n


def _refuse_stray(folder: Path) -> None:
    for name in (RECORDS, RESULTS):
        if (folder / name).exists():
            raise ConfigError(
                f"{folder} has {name} but no {EVAL}, so nothing says what it belongs to; choose another folder"
            )
