r"""On-Policy Consistency Training (Han et al. 2026, arXiv 2605.21834).

The student samples y ~ π_θ(·|x) on its own prompt x; the frozen teacher π_0 scores the same tokens after the teacher
prompt x'. Per completion token t, with the student's own prefix:

    exact     D_t = Σ_v π_θ(v|x,y_<t) · [log π_θ(v|x,y_<t) − log π_0(v|x',y_<t)]          loss = Σ_t w_t D_t
    topk      the same over k + 1 buckets: the student's k most likely tokens, and all others as one
    sampled   k_t = log π_θ(y_t|x,y_<t) − log π_0(y_t|x',y_<t)                            loss = −Σ_t A_t · ratio_t
              A_t = −λ [w_t (k_t − c_t) + Σ_{u>t} γ^{u−t} w_u k_u],  no gradient through A; c_t = D_t with
              `control_variate`, else 0
    constant  A_t = −w_t where π_θ(y_t|x,y_<t) < `below`, else 0: a control without a teacher

Gradient flows through π_θ at the sampled states only, never through the choice of y and never into the teacher. All
sums are divided by Σ w of the step. w is 1, or the weights of thinking and answer, over tokens or over completions. The
stop token is trained; a completion cut at the length limit is kept or dropped, and counted.

`teacher_share` of the completions is drawn from the teacher on x' instead (Agarwal et al. 2024, arXiv 2306.13649): at 1
with `forward_kl` this is soft-label fine-tuning, at 0 it is OPCT. `mini_epochs` makes several updates on one step's
completions, with the importance ratio bounded by `clip` in the sampled form; k_t is of the student as it is at each
update.

Differences from the paper: the exact divergence is the default (the published form is `estimator = "sampled"`); the
loss is a token mean where the authors' code sums; with a discount, future terms stop at the completion's ends, where
the authors' code lets them leak into the prompt; top-k keeps the mass outside the list as one bucket and is
differentiated, where theirs is an advantage that does not depend on the token. See docs/divergences.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch

from unswayed import losses
from unswayed.config.methods import OPCTConfig
from unswayed.core.errors import ConfigError
from unswayed.core.seeding import rng, seed_at
from unswayed.core.types import LossOutput, PairedBatch, Rollout, TokenizedPair
from unswayed.engine.base import Capability, Engine, Role, Scored, View
from unswayed.losses.head import HeadOptions
from unswayed.methods.base import (
    Collected,
    Source,
    Step,
    Tokens,
    both_heads,
    check_spans,
    divergence,
    method,
    teacher_hidden,
    weigh,
    with_teacher,
)


@method(OPCTConfig)
class OPCT:
    """Pull the student, on its own samples, toward the teacher."""

    view: View = "final"

    def __init__(self, config: OPCTConfig) -> None:
        self.config = config
        nearest: dict[str, tuple[Capability, str]] = {
            "exact": ("exact_kl", "method.estimator = 'topk', or 'sampled'"),
            "topk": ("topk", "method.estimator = 'exact', or 'sampled'"),
            "sampled": ("sampled", "method.estimator = 'exact'"),
            "constant": ("sampled", "method.estimator = 'exact'"),
        }
        self.needs: Mapping[Capability, str] = dict([nearest[config.estimator]])
        if config.control_variate:
            self.needs = {**self.needs, "exact_kl": "method.control_variate = false"}

    def check(self, pairs: Sequence[TokenizedPair], tokens: Tokens) -> None:
        """Refuse weights of spans that the tokenizer does not mark, and more buckets than it has tokens.

        Raises:
            ConfigError: naming the setting.
        """
        check_spans(self.config, tokens)
        if self.config.estimator == "topk" and self.config.k > tokens.vocab_size:
            raise ConfigError(
                f"method.k = {self.config.k}, but this tokenizer has {tokens.vocab_size} tokens; use a smaller k, or "
                "estimator = 'exact'"
            )

    def collect(self, pairs: Sequence[TokenizedPair], engine: Engine, step: Step) -> Collected:
        """Sample from the student after `prompt`; let the teacher score the same ids after `teacher_prompt`."""
        drawn = self._draw(pairs, engine, step)
        sources = [
            Source(pair, rollout.completion_ids, rollout.finish, rollout.tempered_logprobs or rollout.logprobs)
            for pair, rollouts in zip(pairs, drawn, strict=True)
            for rollout in rollouts
        ]
        rows, skipped = weigh(sources, self.config, step)
        rollouts = [rollout for of_pair in drawn for rollout in of_pair]
        batch = PairedBatch(tuple(rows)) if self.config.estimator == "constant" else with_teacher(rows, engine)
        return Collected(batch, rollouts, skipped, self.config.mini_epochs)

    def loss(self, student: Scored, batch: PairedBatch) -> LossOutput:
        """Return the summed divergence, or the summed policy-gradient surrogate."""
        config = self.config
        if config.estimator == "exact":
            return divergence(student, batch, kind=config.divergence, beta=config.beta, clamp=config.clamp)
        if config.estimator == "topk":
            return divergence(student, batch, kind="topk", k=config.k, clamp=config.clamp)
        drawn = [logprob for row in batch.rows for logprob in row.behaviour_logprobs or ()]
        behaviour_N = torch.tensor(drawn, device=student.hidden_ND.device) if drawn else None
        student_N = losses.token_logprobs(student.hidden_ND, student.head_VD, student.ids_N, **student.head)
        if config.estimator == "constant":
            return losses.constant_penalty(
                student_N, student.weight_N, below=config.below, behaviour_logprobs_N=behaviour_N, clip=config.clip
            )
        teacher_ND = teacher_hidden(batch)
        teacher_VD = student.head_VD if batch.teacher_head_VD is None else batch.teacher_head_VD
        teacher_head: HeadOptions = {**student.head, "head_bias": batch.teacher_bias_V}
        return losses.sampled_reverse_kl(
            student_N,
            losses.token_logprobs(teacher_ND, teacher_VD, student.ids_N, **teacher_head),
            student.weight_N,
            student.lengths,
            discount=config.discount,
            behaviour_logprobs_N=behaviour_N,
            clip=config.clip,
            kl_coef=config.kl_coef,
            control_variate_N=self._known(student, batch) if config.control_variate else None,
            clamp=config.clamp,
        )

    def _known(self, student: Scored, batch: PairedBatch) -> torch.Tensor:
        """Return the exact divergence at each token: what k_t is on average before y_t is drawn."""
        hidden_ND, heads = student.hidden_ND.detach(), both_heads(student, batch)
        return losses.token_divergence(hidden_ND, teacher_hidden(batch), student.head_VD, **heads).value_N

    def _draw(self, pairs: Sequence[TokenizedPair], engine: Engine, step: Step) -> list[list[Rollout]]:
        """Draw each pair's completions; who draws one, and which tokens, depend on its address alone."""
        places = [(i, k) for i in range(len(pairs)) for k in range(step.params.n)]
        drawn: list[list[Rollout]] = [[] for _ in pairs]
        roles = {place: self._role(place, step) for place in places}
        found: dict[tuple[int, int], Rollout] = {}
        for role in dict.fromkeys(roles.values()):
            own = [place for place in places if roles[place] == role]
            rollouts = engine.sample(
                [pairs[i].pair.id for i, _ in own],
                [pairs[i].prompt_ids if role == "student" else pairs[i].teacher_prompt_ids for i, _ in own],
                replace(step.params, n=1),
                [[seed_at(step.seed, "rollout", step.number, step.place(i), k)] for i, k in own],
                role,
            )
            found |= {place: rollout for place, (rollout,) in zip(own, rollouts, strict=True)}
        for place in places:
            drawn[place[0]].append(found[place])
        return drawn

    def _role(self, place: tuple[int, int], step: Step) -> Role:
        share = self.config.teacher_share
        address = step.number, step.place(place[0]), place[1]
        return "teacher" if rng(step.seed, "writer", *address).random() < share else "student"
