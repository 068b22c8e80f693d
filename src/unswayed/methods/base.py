"""The interface of a method (what is sampled, what scores it, which loss), the registry, and shared parts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple, Protocol, TypeVar

import torch

from unswayed import losses
from unswayed.chat.spans import Tags, span_weights
from unswayed.config.methods import CompletionConfig, MethodConfig
from unswayed.core.errors import ConfigError
from unswayed.core.seeding import seed_at
from unswayed.core.types import Finish, LossOutput, PairedBatch, PairedRow, Rollout, SamplingParams, TokenizedPair
from unswayed.engine.base import Capability, Engine, Scored, View
from unswayed.losses.divergence import HeadsOptions


@dataclass(frozen=True, slots=True)
class Step:
    """The address of every random draw in a step, how completions are drawn, and the tags that enclose thinking.

    `places` are the places in the step of the pairs of a process that takes a part of it; None is the whole step.
    `kept` has the completions of pairs that an earlier step drew for the whole run, by the pair's id.
    """

    seed: int
    number: int
    params: SamplingParams
    thinking: Tags | None = None
    places: Sequence[int] | None = None
    kept: Mapping[str, Sequence[Rollout]] = field(default_factory=dict)

    def place(self, index: int) -> int:
        """Return the place in the step of this process's pair number `index`."""
        return index if self.places is None else self.places[index]


class Tokens(NamedTuple):
    """The facts about the tokenizer that a method may check: how many ids there are, what encloses thinking."""

    vocab_size: int
    thinking: Tags | None


@dataclass(frozen=True, slots=True)
class Collected:
    """The rows that a method collected for one step.

    Attributes:
        batch: rows to learn from, each with a completion of at least one token that carries weight.
        rollouts: every completion that was drawn, kept or not; written to the run folder.
        once: these rollouts are the frozen teacher's and depend on their pair alone, so they serve later steps too.
        skipped: reason to the ids of pairs that gave no row.
        updates: optimizer updates to make with these rows, each with the gradient at the weights of that moment.
    """

    batch: PairedBatch
    rollouts: Sequence[Rollout] = ()
    skipped: Mapping[str, Sequence[str]] = field(default_factory=dict)
    updates: int = 1
    once: bool = False


class Method(Protocol):
    """One consistency method.

    Attributes:
        needs: what the engine must offer, each with the nearest setting that works without it.
        view: which hidden states the loss is made of.
    """

    needs: Mapping[Capability, str]
    view: View

    def check(self, pairs: Sequence[TokenizedPair], tokens: Tokens) -> None:
        """Refuse pairs and settings that cannot work, before weights load.

        Raises:
            ConfigError: a setting that does not fit the tokenizer.
            DataError: pairs that this method can learn nothing from.
        """
        ...

    def collect(self, pairs: Sequence[TokenizedPair], engine: Engine, step: Step) -> Collected:
        """Gather the rows of one step, without gradient."""
        ...

    def loss(self, student: Scored, batch: PairedBatch) -> LossOutput:
        """Return the summed loss of some rows; `student` carries the gradient."""
        ...


METHODS: dict[type[MethodConfig], Callable[[Any], Method]] = {}
T = TypeVar("T", bound=Callable[[Any], Method])


def method(config: type[MethodConfig]) -> Callable[[T], T]:
    """Declare a class as the method that tables of class `config` describe; it is called with the table.

    Raises:
        ConfigError: these tables have a method already.
    """

    def declare(made: T) -> T:
        if METHODS.setdefault(config, made) is not made:
            raise ConfigError(f"@method({config.__name__}) stands twice: on {METHODS[config]} and on {made}")
        return made

    return declare


def check_spans(config: CompletionConfig, tokens: Tokens) -> None:
    """Refuse different weights for thinking and answer where nothing tells the two apart.

    Raises:
        ConfigError: the tokenizer has no tags.
    """
    if config.thinking_weight != config.answer_weight and tokens.thinking is None:
        raise ConfigError(
            "method.thinking_weight differs from answer_weight, but this tokenizer has no tokens that enclose "
            "thinking; set both to 1"
        )


class Source(NamedTuple):
    """A completion that is to become a row, drawn or given."""

    pair: TokenizedPair
    completion_ids: tuple[int, ...]
    finish: Finish = "stop"
    behaviour_logprobs: tuple[float, ...] | None = None


def weigh(
    sources: Iterable[Source], config: CompletionConfig, step: Step
) -> tuple[list[PairedRow], dict[str, list[str]]]:
    """Turn completions into rows: drop what was cut off if asked to, weigh thinking and answer, tokens or sequences.

    Returns:
        rows, and for each reason the ids of pairs that gave none.
    """
    rows: list[PairedRow] = []
    skipped: dict[str, list[str]] = {}
    for pair, ids, finish, behaviour in sources:
        weights = span_weights(
            pair.prompt_ids, ids, step.thinking, thinking=config.thinking_weight, answer=config.answer_weight
        )
        total = sum(weights)
        if finish == "length" and config.truncated == "drop":
            skipped.setdefault("truncated", []).append(pair.pair.id)
        elif not total:
            skipped.setdefault("no token with weight", []).append(pair.pair.id)
        else:
            if config.aggregation == "sequence":
                weights = tuple(weight / total for weight in weights)
            rows.append(PairedRow(pair.pair.id, pair.prompt_ids, pair.teacher_prompt_ids, ids, weights, behaviour))
    return rows, skipped


def with_teacher(rows: Sequence[PairedRow], engine: Engine) -> PairedBatch:
    """Return the rows with the teacher's hidden states at each completion token, under `hidden_TD`."""
    scored = engine.score(PairedBatch(tuple(rows)), "teacher")
    if not scored:
        return PairedBatch(())
    return PairedBatch(
        tuple(replace(row, teacher={"hidden_TD": result.hidden_ND}) for row, result in zip(rows, scored, strict=True)),
        teacher_head_VD=scored[0].head_VD,
        teacher_bias_V=scored[0].bias_V,
    )


def teacher_hidden(batch: PairedBatch) -> torch.Tensor:
    """Return the teacher's hidden_ND of all rows, end to end."""
    return torch.cat([row.teacher["hidden_TD"] for row in batch.rows])


def both_heads(student: Scored, batch: PairedBatch) -> HeadsOptions:
    """Return what the losses need to know of both output embeddings beside the student's weights."""
    return {**student.head, "teacher_head": batch.teacher_head_VD, "teacher_bias": batch.teacher_bias_V}


def divergence(
    student: Scored,
    batch: PairedBatch,
    *,
    kind: Literal["reverse_kl", "forward_kl", "jsd", "topk"],
    beta: float = 0.5,
    k: int = 0,
    clamp: float | None = None,
) -> LossOutput:
    """Return the summed divergence of student and teacher at the completion tokens; see `unswayed.losses`."""
    return losses.divergence(
        student.hidden_ND,
        teacher_hidden(batch),
        student.head_VD,
        student.weight_N,
        kind=kind,
        beta=beta,
        k=k,
        ids_N=student.ids_N,
        clamp=clamp,
        **both_heads(student, batch),
    )


class TeacherCompletions:
    """The part that `bct`, `bct_soft` and `sft` share: the student learns from the teacher's answers to its prompt."""

    view: View = "final"

    def __init__(self, config: CompletionConfig) -> None:
        self.config = config

    def check(self, pairs: Sequence[TokenizedPair], tokens: Tokens) -> None:
        """Refuse weights of spans that the tokenizer does not mark."""
        check_spans(self.config, tokens)

    def collect(self, pairs: Sequence[TokenizedPair], engine: Engine, step: Step) -> Collected:
        """Let the teacher answer `teacher_prompt`, where it has not answered yet.

        The address of a draw is the pair, not the step: every epoch sees the same completion, as a stored set would.
        """
        new = [pair for pair in pairs if pair.pair.id not in step.kept]
        ids = [pair.pair.id for pair in new]
        seeds = [[seed_at(step.seed, f"target:{i}", k) for k in range(step.params.n)] for i in ids]
        prompts = [pair.teacher_prompt_ids for pair in new]
        answers = iter(engine.sample(ids, prompts, step.params, seeds, "teacher") if new else [])
        drawn = [step.kept[pair.pair.id] if pair.pair.id in step.kept else next(answers) for pair in pairs]
        sources = [
            Source(pair, rollout.completion_ids, rollout.finish)
            for pair, rollouts in zip(pairs, drawn, strict=True)
            for rollout in rollouts
        ]
        rows, skipped = weigh(sources, self.config, step)
        rollouts = [rollout for of_pair in drawn for rollout in of_pair]
        return Collected(PairedBatch(tuple(rows)), rollouts, skipped, once=True)

    def loss(self, student: Scored, batch: PairedBatch) -> LossOutput:
        """Return the summed negative log-likelihood of the completions, in nats."""
        return losses.nll(student.hidden_ND, student.head_VD, student.ids_N, student.weight_N, **student.head)
