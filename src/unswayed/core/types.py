"""Define the types that all parts share: plain data, no behaviour beyond derived counts.

Importing this module loads no torch; tensors appear in annotations only.
Shape suffixes: `_B` rows, `_T` tokens, `_V` vocabulary, `_L` layers, `_D` width, `_N` tokens of all rows end to end.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, Protocol, get_args

if TYPE_CHECKING:
    import torch

Role = Literal["system", "user", "assistant"]
Finish = Literal["stop", "length", "failed"]
Verdict = Literal["worse", "improved", "no material change", "not known"]
Outcome = Literal["trait", "aligned", "incoherent", "refused", "unreadable", "off_topic"]
OUTCOMES: tuple[str, ...] = get_args(Outcome)
"""What became of a reply, where a suite looks for one misbehaviour: it shows the trait; does what it should; is empty,
an echo or endless repetition; declines; cannot be read, e.g. because it was cut off; or speaks of something else."""


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a chat."""

    role: Role
    content: str


@dataclass(frozen=True, slots=True)
class PromptPair:
    """Two prompts about one request: where the model fails, and where it already behaves well.

    Attributes:
        id: unique in its file.
        prompt: what the student sees, which is what is deployed.
        teacher_prompt: the context in which the same model already behaves well.
        group: rows made from one item share it; splits and clustered statistics work on groups. Defaults to `id`.
        axis: the kind of failure, e.g. `sycophancy`.
        perturbation: what turned one side into the other, e.g. `sycophancy/opinion_before@1`.
        target: the right answer where one is known. Training never reads it, except `sft` on given targets.
        meta: every column of the file that has no field of its own, and facts the builder recorded.
    """

    id: str
    prompt: tuple[Message, ...]
    teacher_prompt: tuple[Message, ...]
    group: str = ""
    axis: str = ""
    perturbation: str = ""
    target: str | None = None
    meta: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.group:
            object.__setattr__(self, "group", self.id)


@dataclass(frozen=True, slots=True)
class SamplingParams:
    """How completions are drawn. The defaults are the full policy: no truncation of any kind.

    Attributes:
        temperature: 0 takes the most likely token.
        top_p: 1 keeps the whole distribution.
        top_k: 0 keeps the whole distribution.
        max_new_tokens: a completion that reaches it has `finish = "length"`.
        n: completions for each prompt.
        seed: the run's seed; each rollout derives its own from it (see `unswayed.core.seeding`).
    """

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    max_new_tokens: int = 256
    n: int = 1
    seed: int = 0


@dataclass(frozen=True, slots=True)
class PolicyRef:
    """Which weights a rollout was drawn from. `version` counts optimizer steps since the start of the run."""

    name: str
    version: int
    adapters: tuple[str, ...]
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Rollout:
    """One completion.

    Attributes:
        logprobs: of the sampled tokens under the untempered policy, in nats.
        tempered_logprobs: of the same tokens at the temperature of the draw; None where that is 0 or 1.
    """

    pair_id: str
    prompt_ids: tuple[int, ...]
    completion_ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    finish: Finish
    policy: PolicyRef
    seed: int
    tempered_logprobs: tuple[float, ...] | None = None


@dataclass(frozen=True, slots=True)
class TokenizedPair:
    """A pair with both prompts as token ids, generation prompt included. Methods and engines see no chat messages."""

    pair: PromptPair
    prompt_ids: tuple[int, ...]
    teacher_prompt_ids: tuple[int, ...]
    target_ids: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True)
class PairedRow:
    """One completion with both prompts it may follow.

    Attributes:
        pair_id: the pair it came from.
        prompt_ids, teacher_prompt_ids: token ids, generation prompt included.
        completion_ids: token ids that follow either prompt; never decoded and encoded again.
        loss_mask: weight of each completion token, 0 where it is not trained.
        behaviour_logprobs: log-probability each token was sampled with, where it was sampled.
        teacher: what the frozen teacher said about this row; methods decide what they keep (tensors by name).
    """

    pair_id: str
    prompt_ids: tuple[int, ...]
    teacher_prompt_ids: tuple[int, ...]
    completion_ids: tuple[int, ...]
    loss_mask: tuple[float, ...]
    behaviour_logprobs: tuple[float, ...] | None = None
    teacher: Mapping[str, torch.Tensor] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PairedBatch:
    """The rows of one optimizer step, for every method; `take` gives micro-batches.

    `teacher_head_VD` and `teacher_bias_V` are set where the teacher has an output embedding of its own.
    """

    rows: tuple[PairedRow, ...]
    teacher_head_VD: torch.Tensor | None = None
    teacher_bias_V: torch.Tensor | None = None

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, index: Sequence[int]) -> PairedBatch:
        """Return the rows at `index`, in that order."""
        return replace(self, rows=tuple(self.rows[i] for i in index))

    @property
    def tokens(self) -> int:
        """Completion tokens that carry weight."""
        return sum(sum(1 for weight in row.loss_mask if weight) for row in self.rows)


@dataclass(frozen=True, slots=True)
class LossOutput:
    """A sum and what to divide it by. The trainer divides once, by the step's whole count.

    Attributes:
        total: scalar tensor, the sum over the micro-batch, in nats unless the method says otherwise.
        count: weight of the tokens (or whatever unit the method averages over) in this micro-batch.
        metrics: name to (sum, count), detached.
    """

    total: torch.Tensor
    count: float
    metrics: Mapping[str, tuple[float, float]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Sample:
    """One question of a suite.

    Attributes:
        id: unique in its suite.
        messages: the prompt.
        group: cluster unit (question, fact, behaviour): samples of one group are not independent.
        condition: which part of the suite it belongs to, e.g. `clean`, `wrong_hint`, `right_hint`.
        target: the right answer and its accepted spellings, most canonical first.
        meta: what the scorer needs, e.g. the hinted answer.
    """

    id: str
    messages: tuple[Message, ...]
    group: str
    condition: str = ""
    target: tuple[str, ...] = ()
    meta: Mapping[str, Any] = field(default_factory=dict)


UNKNOWN, REFUSED = "(none of the known answers)", "(refused)"
"""What `answer` says of a finished reply that gives no answer the sample knows (see `evals.scoring`)."""
NO_ANSWER = frozenset({UNKNOWN, REFUSED})
REFUSAL, PARTIAL, COMPLIED = "refusal", "partial", "compliance"
"""What `answer` says where the question is whether the request was declined: all three are answers. `target` is then
`REFUSAL` for a request that should be declined, and `COMPLIED` for one that should be fulfilled."""


@dataclass(frozen=True, slots=True)
class Score:
    """A value, or unscored with a reason. There is no default value.

    `parts` holds further numbers from 0 to 1 about the same completion, by name, e.g. the share of instructions kept.
    `outcome` says what became of the reply where a suite looks for one misbehaviour; None everywhere else.
    """

    value: float | None
    answer: str | None = None
    reason: str | None = None
    parts: Mapping[str, float] = field(default_factory=dict)
    outcome: Outcome | None = None

    def __post_init__(self) -> None:
        if (self.value is None) == (self.reason is None):
            raise ValueError("a score is either a value, or unscored with a reason; never both, never neither")


@dataclass(frozen=True, slots=True)
class Completion:
    """One completion as text. `tokens` counts the ids that were sampled, the stop token included.

    Where a server gave no completion, `finish` is "failed" and `reason` says why; it is unscored for that reason.
    """

    text: str
    finish: Finish
    tokens: int
    prompt_tokens: int
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Likelihood:
    """How likely a model finds one given answer to a prompt.

    Attributes:
        logprob: log-probability of the whole answer, the sum over its tokens, in nats. The end of the turn is no part.
        tokens: how many tokens the answer has.
        prompt_tokens: how many the prompt has.
    """

    logprob: float
    tokens: int
    prompt_tokens: int


DECLINED = "declined by the endpoint"
"""How the reason of a failed completion begins that would fail again; any other is drawn again by the same command."""


class TextPolicy(Protocol):
    """Messages in, text out: what an evaluation needs to know of a model.

    `identity` changes whenever anything that could change its answers changes (weights, adapter, tokenizer, template).
    """

    @property
    def name(self) -> str:
        """What results and tables call it."""
        ...

    @property
    def identity(self) -> str:
        """See above."""
        ...

    def complete(self, prompts: Sequence[tuple[Message, ...]], params: SamplingParams) -> list[Completion]:
        """Return `params.n` completions for each prompt, in order."""
        ...


class ChoicePolicy(TextPolicy, Protocol):
    """A policy that can also say how likely it finds a given answer; suites with `method = "choose"` need one."""

    def loglikelihood(
        self, prompts: Sequence[tuple[Message, ...]], continuations: Sequence[Sequence[str]]
    ) -> list[list[Likelihood]]:
        """Return how likely each of `continuations[i]` is as the beginning of the answer to `prompts[i]`."""
        ...


@dataclass(frozen=True, slots=True)
class Estimate:
    """A rate or mean with everything that must be printed beside it. `value` is None where nothing was scored.

    Attributes:
        least, most: the mean over all samples if each unscored one had the least, or the most, that it can have. What
            is unscored is seldom missing at random, so the truth may lie anywhere between. None where nothing is
            unscored.
    """

    value: float | None
    low: float | None
    high: float | None
    n: int
    clusters: int
    unscored: int
    method: str
    least: float | None = None
    most: float | None = None


@dataclass(frozen=True, slots=True)
class Effect:
    """A paired difference after minus before on the same samples, and what may be concluded from it.

    Attributes:
        difference, low, high: the paired difference and its 95% interval, or None where nothing could be paired.
        n: pairs with both sides scored. `clusters`: groups they come from.
        p_value: two-sided, the level at which the interval touches zero.
        detectable: smallest true improvement that a repeat of this size would call one in 80% of cases.
        margin: the difference below which a change is called immaterial; declared before the run.
        flags: reasons for caution, e.g. `degenerate`, `truncated`, `unscored`.
        adjusted_p: `p_value` adjusted for the number of claims of improvement.
        worst_low, worst_high: from the lowest to the highest limit with every missing pair counted one way or the
            other; None where nothing is missing.
        declared: when the margin was declared, as `unswayed.evals.plan` names it.
        noninferiority: may a loss as large as the margin be excluded, by the one-sided 95% bound? `shown`,
            `not shown`, `refuted` (the loss is larger than the margin), or `unprovable at this n` (not shown, and a
            repeat of this size would not prove it even if nothing changed); "" where it was not asked.
        provable: smallest margin that a repeat would prove with 80% power if nothing changed.
        fixed, broken: pairs that moved in the better and in the worse direction.
        noise: how far a replicate of the baseline lies from it on this metric; None without one.
        seeds: trained models that the difference is averaged over; with 1 it speaks of this checkpoint only.
        by_seed: the difference of each of them, where there are several.
        method: how the interval was computed.
        deciding_p: the one of both p-values that decides: the adjusted one of an improvement, the plain one of a loss.
        claims: how many claims of improvement `adjusted_p`, `adjusted_low` and `adjusted_high` are adjusted for.
        detectable_harm: smallest true loss that a repeat of this size would call one in 80% of cases.
        effective_clusters: equal clusters that would leave as many degrees of freedom.
        paired_before, paired_after: rates over the pairs, whose difference is the difference.
        counted_difference: the difference with every missing answer counted as 0 on both sides, as papers do.
        noise_low, noise_high: the 95% interval of the replicate's difference from the baseline.
    """

    metric: str
    before: Estimate
    after: Estimate
    difference: float | None
    low: float | None
    high: float | None
    n: int
    clusters: int
    p_value: float | None
    detectable: float | None
    margin: float
    verdict: Verdict
    flags: tuple[str, ...] = ()
    adjusted_p: float | None = None
    worst_low: float | None = None
    worst_high: float | None = None
    declared: str = "default"
    noninferiority: str = ""
    provable: float | None = None
    fixed: int = 0
    broken: int = 0
    noise: float | None = None
    seeds: int = 1
    by_seed: tuple[float, ...] = ()
    method: str = ""
    deciding_p: float | None = None
    claims: int = 0
    adjusted_low: float | None = None
    adjusted_high: float | None = None
    detectable_harm: float | None = None
    effective_clusters: float | None = None
    paired_before: float | None = None
    paired_after: float | None = None
    counted_difference: float | None = None
    noise_low: float | None = None
    noise_high: float | None = None
