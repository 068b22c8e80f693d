"""Labels for pairs: candidates are drawn, judged and chosen batch by batch, and every one of them is written down.

    labels.jsonl        the pairs that were labelled, ready for `sft` with source = "target"; appears whole, at the end
    labels.records/     candidates.jsonl   one row a pair: every candidate, score, seed, tie, and why a pair was dropped
                        label.json         what is labelled and how; a rerun with anything else is refused
                        models.json        identities of the labelled model and of the models that judge
                        summary.json       counts, ties and lengths; written last

The same call goes on where it stopped: whole batches are kept, a partial one is done again, so that the batches, and
with them every bit, are those of an unbroken run.
"""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unswayed._version import __version__
from unswayed.chat.check import check_pairs
from unswayed.chat.render import Chat
from unswayed.config.labels import LabelRecipe
from unswayed.core.errors import CheckpointError, ConfigError, DataError, Interrupted, UnswayedError
from unswayed.core.files import (
    append_jsonl,
    keep_whole_batches,
    locked,
    read_json,
    read_jsonl,
    remove_leftovers,
    remove_temporary,
    write_json,
)
from unswayed.core.hashing import changed_data, hash_file
from unswayed.core.plugins import used
from unswayed.core.progress import Progress
from unswayed.core.signals import stop_signals
from unswayed.core.types import PromptPair
from unswayed.data.labelled import attach, given_target
from unswayed.data.read import hash_data, read_data, write_pairs
from unswayed.engine.policy import LoadedPolicy, load_policy
from unswayed.judges.labelling import build_grader
from unswayed.labels.base import Context, messages_of
from unswayed.labels.labellers import LABELLERS
from unswayed.labels.summary import summarise
from unswayed.models import load_chat, resolve

log = logging.getLogger(__name__)
ABOUT, MODELS, CANDIDATES, SUMMARY = "label.json", "models.json", "candidates.jsonl", "summary.json"
AGAIN = "restore it, or start over with --fresh"


@dataclass(frozen=True)
class PreparedLabels:
    """A labelling that may begin."""

    recipe: LabelRecipe
    chat: Chat
    pairs: tuple[PromptPair, ...]
    data_sha256: str


@dataclass(frozen=True)
class Labels:
    """A finished labelling: the pairs file, the folder of its records, and the summary."""

    path: Path
    records: Path
    summary: dict[str, Any]


def prepare_labels(recipe: LabelRecipe, *, trust_remote_code: bool = False) -> PreparedLabels:
    """Read and check everything but the weights; what is odd but no error is logged.

    Raises:
        ConfigError: a model, adapter, scorer or judge cannot be found.
        DataError: pairs that cannot be read or rendered, that hold a prefill where the question is asked anew, or none
            of which has the target that the labeller needs.
    """
    labeller = recipe.labeller
    path, pairs = read_data(recipe.data, recipe.seed)
    for part in (getattr(labeller, "scorer", None), getattr(labeller, "judge", None)):
        if part is not None and part.model is not None:
            resolve(part.model, revision=getattr(part, "revision", None))
    _, chat = load_chat(
        recipe.model.id,
        adapter=recipe.model.adapter,
        revision=recipe.model.revision,
        **recipe.chat.model_dump(),
        trust_remote_code=trust_remote_code,
    )
    for warning in check_pairs(chat, pairs, recipe.max_new_tokens).warnings:
        log.warning(warning)
    prefilled = [f"pair {pair.id}" for pair in pairs if messages_of(pair, labeller)[-1].role == "assistant"]
    if labeller.asks_anew and prefilled:
        raise DataError(
            f"{path}: {labeller.name} asks the question anew, and these prompts end inside an answer; leave the "
            "prefill out, or use another labeller",
            prefilled,
        )
    if labeller.needs_target and not any(map(given_target, pairs)):
        raise DataError(f"{path}: no row has a `target`, and {labeller.name} chooses by nothing else")
    return PreparedLabels(recipe, chat, tuple(pairs), hash_data(path, recipe.data.columns))


def label(
    recipe: LabelRecipe,
    out: str | Path,
    *,
    fresh: bool = False,
    progress: bool = False,
    trust_remote_code: bool = False,
) -> Labels:
    """Label the pairs as the recipe says and write them to `out`; go on where an interrupted call stopped.

    Args:
        recipe: the whole labelling.
        out: pairs file to write, `.jsonl` or `.parquet`; its records lie beside it in `<name>.records/`.
        fresh: delete what an earlier labelling left there, and start over.
        progress: show a bar on stderr, or a line every half minute where that is no terminal.
        trust_remote_code: run Python that comes with the labelled model; never read from a recipe.

    Raises:
        ConfigError: the recipe cannot be used, or `out` holds another labelling.
        DataError: pairs that cannot be used, or none that got a label.
        CheckpointError: a model is not the one the labelling began with.
        LockedError: another process writes the same labels.
        Interrupted: a signal; finished batches are kept.
    """
    out = Path(out)
    if out.suffix not in {".jsonl", ".parquet"}:
        raise ConfigError(f"{out}: labels are pairs; name a .jsonl or .parquet file")
    if out.resolve() == Path(recipe.data.train).resolve():
        raise ConfigError(f"{out}: is the file that is labelled; choose another name for -o")
    prepared = prepare_labels(recipe, trust_remote_code=trust_remote_code)
    folder = out.with_suffix(".records")
    with locked(folder), stop_signals:
        try:
            remove_temporary(folder, SUMMARY, CANDIDATES, MODELS, ABOUT)
            remove_leftovers(out)
            _begin(prepared, out, folder, fresh)
            if (summary := _finished(out, folder)) is not None:
                return Labels(out, folder, summary)
            done = _resume(prepared, folder)
            if done < len(prepared.pairs):
                _complete(prepared, folder, done, progress, trust_remote_code)
            return Labels(out, folder, _publish(prepared, out, folder))
        except OSError as error:
            raise UnswayedError(
                f"{error.filename or folder}: cannot be written ({error.strerror or error}); finished batches are "
                "intact. Free space on the disk or fix its permissions, then run the same command again"
            ) from error


def _begin(prepared: PreparedLabels, out: Path, folder: Path, fresh: bool) -> None:
    """Take the output for this labelling, or see that it is this labelling that lies there."""
    about = folder / ABOUT
    if fresh and about.exists():
        out.unlink(missing_ok=True)
        for name in (SUMMARY, CANDIDATES, MODELS, ABOUT):
            (folder / name).unlink(missing_ok=True)
    data = {"rows": len(prepared.pairs), "sha256": prepared.data_sha256, "chat": prepared.chat.identity}
    found = used([LABELLERS.get(prepared.recipe.labeller.name)])
    plugins = {"plugins": found} if found else {}
    if not about.exists():
        for stray in (out, folder / CANDIDATES):
            if stray.exists():
                raise ConfigError(
                    f"{stray} exists and no {about} says that it is this labelling; choose another name for -o, or "
                    "move it away"
                )
        write_json(about, {"science": prepared.recipe.science(), "data": data, **plugins, "unswayed": __version__})
        return
    before = read_json(about, AGAIN)
    if changed := prepared.recipe.difference(before["science"]):
        raise ConfigError(
            f"{folder} holds another labelling than this recipe's:\n  "
            + "\n  ".join(changed)
            + "\nundo the change, choose another name for -o, or start over with --fresh"
        )
    if before.get("plugins", {}) != found:
        raise ConfigError(
            f"{folder} was begun with other plug-ins, or other versions of them, than {sorted(found)}; import "
            "the same modules, unchanged, or choose another name for -o"
        )
    if before["data"] != data:
        raise DataError(changed_data(prepared.recipe.data.train, folder, before["data"], data))


def _finished(out: Path, folder: Path) -> dict[str, Any] | None:
    """Return the summary of a labelling that reached its end, if its labels are still as they were written."""
    if not (folder / SUMMARY).exists() or not out.exists():
        return None
    summary: dict[str, Any] = read_json(folder / SUMMARY, AGAIN)
    if summary["labels_sha256"] != hash_file(out):
        raise DataError(f"{out} was changed after it was written; move it away to have it written again")
    return summary


def _resume(prepared: PreparedLabels, folder: Path) -> int:
    """Keep the whole batches that an interrupted call left, and return how many pairs they hold."""
    found = [row["pair_id"] for row in read_jsonl(folder / CANDIDATES)]
    expected = [pair.id for pair in prepared.pairs]
    return keep_whole_batches(folder / CANDIDATES, found, expected, prepared.recipe.batch)


def _complete(prepared: PreparedLabels, folder: Path, done: int, shown: bool, trust_remote_code: bool) -> None:
    """Label everything from pair `done` on, batch by batch."""
    recipe, pairs = prepared.recipe, prepared.pairs
    context = _context(recipe, folder, trust_remote_code)
    run = LABELLERS[recipe.labeller.name]
    with Progress(recipe.labeller.name, len(pairs), done, shown=shown) as bar:
        for start in range(done, len(pairs), recipe.batch):
            if stop_signals.asked:
                raise Interrupted(f"stopped after {start} of {len(pairs)} pairs; run the same command to go on")
            batch = pairs[start : start + recipe.batch]
            append_jsonl(folder / CANDIDATES, [found.row() for found in run(batch, recipe.labeller, context)])
            bar.update(start + len(batch))


def load_context(recipe: LabelRecipe, *, trust_remote_code: bool = False) -> tuple[Context, dict[str, str]]:
    """Load the labelled model and the parts of its labeller; return them, and the identity of each by its part."""
    model, labeller = recipe.model, recipe.labeller

    def load(name: str) -> LoadedPolicy:
        return load_policy(name, dtype=model.dtype, device=model.device)

    policy = load_policy(
        model.id,
        model.adapter,
        **model.model_dump(exclude={"id", "adapter"}),
        **recipe.chat.model_dump(),
        trust_remote_code=trust_remote_code,
    )
    scoring, judging = getattr(labeller, "scorer", None), getattr(labeller, "judge", None)
    scorer = build_grader(scoring, policy, load, device=model.device) if scoring else None
    judge = build_grader(judging, policy, load) if judging else None
    parts = {"policy": policy, "scorer": scorer, "judge": judge}
    identities = {name: part.identity for name, part in parts.items() if part is not None}
    return Context(policy, recipe.seed, recipe.max_new_tokens, scorer, judge), identities


def _context(recipe: LabelRecipe, folder: Path, trust_remote_code: bool) -> Context:
    """Load the context, and see that its models are those the labelling began with."""
    context, identities = load_context(recipe, trust_remote_code=trust_remote_code)
    if not (folder / MODELS).exists():
        write_json(folder / MODELS, identities)
    before = read_json(folder / MODELS, AGAIN)
    if changed := [name for name in identities if before.get(name) != identities[name]]:
        raise CheckpointError(
            f"{folder}: the {' and the '.join(changed)} is not the model that the labelling began with; put the old "
            "files back, or start over with --fresh"
        )
    return context


def _publish(prepared: PreparedLabels, out: Path, folder: Path) -> dict[str, Any]:
    """Write the labelled pairs from the records, then the summary."""
    config = prepared.recipe.labeller
    rows = read_jsonl(folder / CANDIDATES)
    labelled = []
    for pair, row in zip(prepared.pairs, rows, strict=True):
        if row["chosen"] is None:
            continue
        chosen = row["candidates"][row["chosen"]]
        facts = {
            "labeller": config.name,
            "side": config.side,
            "candidate": row["chosen"],
            **{name: chosen[name] for name in ("decoder", "view", "seed")},
            **({} if chosen["score"] is None else {"score": chosen["score"]}),
        }
        labelled.append(attach(pair, chosen["text"], tuple(chosen["ids"]), chosen["finish"], prepared.chat, facts))
    if not labelled:
        reasons = Counter(str(row["dropped"]) for row in rows)
        raise DataError(
            f"{out}: not one of {len(rows)} pairs got a label; every candidate is in {folder / CANDIDATES}",
            [f"{count} x {reason}" for reason, count in reasons.most_common()],
        )
    write_pairs(out, labelled)
    summary = {**summarise(rows, config), "labels_sha256": hash_file(out)}
    write_json(folder / SUMMARY, summary)
    return summary
