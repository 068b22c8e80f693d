"""Check everything about a run that can be checked before any weight is loaded."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from unswayed.chat.check import check_pairs
from unswayed.chat.render import Chat
from unswayed.config.recipe import Recipe, TrainConfig
from unswayed.core.errors import ConfigError, DataError
from unswayed.core.hashing import hash_json, hash_tokenizer, model_identity
from unswayed.core.jsonl import loads
from unswayed.core.plugins import used
from unswayed.core.seeding import rng
from unswayed.core.types import PromptPair, TokenizedPair
from unswayed.data import labelled
from unswayed.data.evaluation_only import refuse_evaluation_only
from unswayed.data.read import hash_data, locate_data, read_data, read_pairs
from unswayed.data.sides import require_sides, side_warnings
from unswayed.engine.configured import capabilities_of
from unswayed.methods import Method, Tokens, build
from unswayed.models import ModelSource, load_chat, resolve
from unswayed.models.adapter import check_base, own_template, read_adapter
from unswayed.training import token_cache as tokencache
from unswayed.training.token_cache import Rendered
from unswayed.training.trackers import check_trackers

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Prepared:
    """A run that may begin: its data as token ids, its model's files, its length.

    `evaluation_only` names the sets for evaluation only that the recipe allows training on, and how they were found.
    `plugins` has the hash of each module from outside that the run depends on, by its name.
    """

    recipe: Recipe
    source: ModelSource
    chat: Chat
    method: Method
    pairs: tuple[TokenizedPair, ...]
    model_identity: str
    data_sha256: str
    steps: int
    anchors: tuple[TokenizedPair, ...] = ()
    anchors_sha256: str = ""
    evaluation_only: Mapping[str, str] = field(default_factory=dict)
    plugins: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def data_identity(self) -> dict[str, object]:
        """Return what must not change between start and resume: the files' bytes and what they became."""
        identity = _identity(self.pairs, self.data_sha256)
        return identity | ({"anchors": _identity(self.anchors, self.anchors_sha256)} if self.anchors else {})

    @property
    def repeats(self) -> bool:
        """Return whether some row stands in the run more than once."""
        return self.rows > len(self.pairs) or self.steps * self.recipe.train.anchors_per_step > len(self.anchors)

    @property
    def rows(self) -> int:
        """Return how many pairs all steps hold together; one that comes again counts again."""
        return self._places(self.steps).start

    def pairs_of(self, step: int) -> list[TokenizedPair]:
        """Return the rows of one step, the anchors last.

        Each is consecutive places in an endless row of epochs, each in an order of its own. Nothing is dropped at an
        epoch's end. A run that is so many epochs long ends each with a step of what is left, as `Trainer` does; in one
        of so many steps all are of one size, and one may hold the last pairs of an epoch and the first of the next.
        """
        size = self.recipe.train.anchors_per_step
        return [
            *self._turn(self.pairs, "order", self._places(step)),
            *self._turn(self.anchors, "anchor order", range(step * size, (step + 1) * size)),
        ]

    def _places(self, step: int) -> range:
        """Return the places of one step's pairs in the row of epochs."""
        n, size = len(self.pairs), self.recipe.train.pairs_per_step
        if self.recipe.train.steps is not None:
            return range(step * size, (step + 1) * size)
        epoch, of_epoch = divmod(step, math.ceil(n / size))
        return range(epoch * n + of_epoch * size, epoch * n + min(n, (of_epoch + 1) * size))

    def _turn(self, pairs: Sequence[TokenizedPair], purpose: str, places: range) -> list[TokenizedPair]:
        n = len(pairs)
        epochs = dict.fromkeys(place // n for place in places)
        orders = {epoch: rng(self.recipe.seed, purpose, epoch).permutation(n) for epoch in epochs}
        return [pairs[orders[place // n][place % n]] for place in places]


def prepare(recipe: Recipe, *, trust_remote_code: bool = False) -> Prepared:
    """Read and check everything but the weights; what is odd but no error is logged.

    Raises:
        ConfigError: the method needs what the engine lacks, a tracker is not installed, or the model cannot be found
            or used.
        DataError: pairs that cannot be read, rendered, fitted into the context, or learned from by this method, or that
            hold rows for evaluation only.
    """
    method = build(recipe.method)
    check_trackers(recipe.log.trackers)
    missing = [need for need in sorted(method.needs) if need not in capabilities_of(recipe)]
    if missing:
        raise ConfigError(
            f"method {recipe.method.name!r} needs {', '.join(missing)}, which this engine lacks; use "
            + ", and ".join(method.needs[need] for need in missing)
        )
    given = recipe.method.trains_on_targets
    path, pairs = read_data(recipe.data, recipe.seed, need_teacher=not given)
    anchor_path = None if recipe.data.anchors is None else locate_data(recipe.data.anchors)
    anchors = [] if anchor_path is None else _read_anchors(recipe, anchor_path, pairs)
    if not given and recipe.data.one_side is None:
        require_sides(path, pairs)
        for warning in side_warnings(pairs):
            log.warning(warning)
    evaluation_only: dict[str, str] = {}
    for file, rows in ((path, pairs), (anchor_path or path, anchors)):
        evaluation_only |= refuse_evaluation_only(file, rows, allowed=recipe.data.allow_evaluation_only) if rows else {}
    for name in evaluation_only:
        log.warning("%s is for evaluation only; the recipe allows training on it, and the run records that", name)
    source, chat = load_chat(
        recipe.model.id,
        adapter=recipe.model.adapter,
        revision=recipe.model.revision,
        **recipe.chat.model_dump(),
        trust_remote_code=trust_remote_code,
    )
    identity = model_identity(source.path, source.revision)
    for folder in adapters_of(recipe):
        check_base(read_adapter(folder), source, identity)
    check_teacher(recipe, source, chat, same_shape="hidden" in method.needs)
    rows, longest = [*pairs, *anchors], recipe.sampling.max_new_tokens
    rendered = tokencache.obtain(
        rows, chat, lambda: _render(chat, rows, longest, given), max_new_tokens=longest, targets=given
    )
    for note in rendered.notes:
        log.warning(note)
    both = [TokenizedPair(pair, *ids) for pair, ids in zip(rows, rendered.rows, strict=True)]
    tokenized, held = both[: len(pairs)], both[len(pairs) :]
    if given:
        _check_targets(tokenized, chat, path)
    method.check([*tokenized, *held], Tokens(chat.vocab_size, chat.thinking))
    return Prepared(
        recipe=recipe,
        source=source,
        chat=chat,
        method=method,
        pairs=tuple(tokenized),
        model_identity=identity,
        data_sha256=hash_data(path, recipe.data.columns),
        steps=count_steps(recipe.train, len(pairs)),
        anchors=tuple(held),
        anchors_sha256=hash_data(anchor_path, recipe.data.columns) if anchor_path else "",
        evaluation_only=evaluation_only,
        plugins=used([type(recipe.method), type(method)]),
    )


def adapters_of(recipe: Recipe) -> list[str]:
    """Return the adapter folders that a run loads: where the student starts, and the teacher's."""
    kind, _, where = recipe.method.teacher.partition(":")
    return [folder for folder in (recipe.model.adapter, where if kind == "adapter" else None) if folder]


def count_steps(train: TrainConfig, pairs: int) -> int:
    """Return how many steps a run over so many pairs takes; an epoch ends with a step of what is left."""
    return train.steps or math.ceil((train.epochs or 0) * math.ceil(pairs / train.pairs_per_step))


def check_teacher(recipe: Recipe, source: ModelSource, chat: Chat, *, same_shape: bool) -> None:
    """Refuse a teacher model whose numbers could not be compared with the student's.

    Args:
        recipe: names the teacher.
        source, chat: the student's.
        same_shape: the method compares hidden states, so that layers and width must agree.

    Raises:
        ConfigError: another tokenizer, or other layers.
    """
    kind, _, where = recipe.method.teacher.partition(":")
    if kind == "adapter":
        given = read_adapter(recipe.model.adapter).template if recipe.model.adapter else None
        if read_adapter(where).template not in {None, given or own_template(source.path)}:
            log.warning("%s has a chat template of its own; it is not used, the teacher reads the student's", where)
    if kind != "model":
        return
    teacher = resolve(where)
    if hash_tokenizer(teacher.path) != hash_tokenizer(chat.path):
        raise ConfigError(
            f"teacher {where!r} has another tokenizer than the student; its scores of the student's ids would mean "
            "nothing. Use a teacher of the same family, or method.teacher = 'start'"
        )
    if same_shape and (theirs := _shape(teacher.path)) != (ours := _shape(source.path)):
        raise ConfigError(
            f"teacher {where!r} has {theirs[0]} layers of width {theirs[1]}, the student {ours[0]} of {ours[1]}; "
            f"method {recipe.method.name!r} compares them one by one. Use method.teacher = 'start', or "
            "method.name = 'bct_soft'"
        )


def _shape(folder: Path) -> tuple[object, object]:
    config = loads((folder / "config.json").read_text(encoding="utf-8"))
    config = config.get("text_config", config)
    return config.get("num_hidden_layers"), config.get("hidden_size")


def _identity(pairs: Sequence[TokenizedPair], sha256: str) -> dict[str, object]:
    rendered = hash_json([[pair.prompt_ids, pair.teacher_prompt_ids, pair.target_ids] for pair in pairs])
    return {"rows": len(pairs), "sha256": sha256, "tokens_sha256": rendered}


def _read_anchors(recipe: Recipe, path: Path, pairs: Sequence[PromptPair]) -> list[PromptPair]:
    anchors = read_pairs(path, allow_identical=True, columns=recipe.data.columns)
    known = {pair.id for pair in pairs}
    twice = [pair.id for pair in anchors if pair.id in known]
    if twice:
        raise DataError(
            f"{recipe.data.anchors}: ids that {recipe.data.train} has too; give them ids of their own", twice
        )
    return anchors


def _render(chat: Chat, pairs: Sequence[PromptPair], max_new_tokens: int, given: bool) -> Rendered:
    """Check every pair and return its ids; with `given`, its target's too.

    Raises:
        DataError: pairs or targets that cannot be used.
    """
    report = check_pairs(chat, pairs, max_new_tokens)
    targets = [labelled.target_ids(chat, pair) if given else None for pair in pairs]
    notes = labelled.notes(chat, pairs) if given else []
    rows = [(*ids, target) for ids, target in zip(report.ids, targets, strict=True)]
    return Rendered(rows, (*report.warnings, *notes))


def _check_targets(pairs: Sequence[TokenizedPair], chat: Chat, path: Path) -> None:
    if not any(pair.target_ids for pair in pairs):
        raise DataError(f"{path}: no row has a `target`, and method.source = 'target' trains on nothing else")
    limit = chat.context_length
    long = [
        f"{pair.pair.id}: prompt and target are {length} tokens, the context is {limit}"
        for pair in pairs
        if limit is not None and (length := len(pair.prompt_ids) + len(pair.target_ids or ())) > limit
    ]
    if long:
        raise DataError(f"{path}: targets that do not fit", long)
