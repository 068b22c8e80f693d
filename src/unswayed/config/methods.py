"""The recipe's `[method]` table: one class a method, known by its name.

A subclass of `MethodConfig` with a literal `name` is one more method that recipes may name. Settings that contradict
each other are refused here, before anything is read, with the nearest one that works.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from pydantic import PlainValidator, SerializeAsAny, model_validator

from unswayed.config.fields import Table, by_name, enter, science

TEACHERS = "'start', 'base', 'adapter:PATH' or 'model:PATH'"
METHOD_CONFIGS: dict[str, type[MethodConfig]] = {}
"""The tables that recipes may have, by the method's name."""


class MethodConfig(Table):
    """The settings of any method: a frozen teacher."""

    if TYPE_CHECKING:
        name: str

    teacher: str = science("start", description=TEACHERS)

    compares: ClassVar[str] = ""
    """What is compared at the prompts themselves, by a method that learns from no completion."""

    @classmethod
    def __pydantic_init_subclass__(cls, **_: Any) -> None:
        """Enter a subclass under its name."""
        enter(METHOD_CONFIGS, cls)

    @property
    def samples_from(self) -> Literal["student", "teacher"] | None:
        """Return whose completions are learned from, or None where none are drawn."""
        return None

    @property
    def on_policy(self) -> bool:
        """Return whether the student learns from its own samples."""
        return self.samples_from == "student"

    @property
    def trains_on_targets(self) -> bool:
        """Return whether the pairs' own targets are learned from."""
        return False

    @property
    def needs_temperature_1(self) -> str:
        """Return why draws at another temperature would be wrong, with what to set; empty where none would."""
        return ""


AnyMethod = Annotated[SerializeAsAny[MethodConfig], PlainValidator(by_name(METHOD_CONFIGS, MethodConfig))]
"""A table of any of `METHOD_CONFIGS` as they are when it is read, so that those of plug-ins count."""


class CompletionConfig(MethodConfig):
    """The settings of methods that learn from completions: how their tokens are weighted."""

    thinking_weight: float = science(1.0, ge=0, description="of tokens inside the model's thinking, its tags included")
    answer_weight: float = science(1.0, ge=0, description="of all other tokens of a completion")
    truncated: Literal["keep", "drop"] = science(
        "keep", description="completions that were cut at sampling.max_new_tokens; both are counted"
    )
    aggregation: Literal["token", "sequence"] = science(
        "token", description="a mean over tokens, or over completions that count the same whatever their length"
    )

    @model_validator(mode="after")
    def _something_is_trained(self) -> Self:
        if not self.thinking_weight and not self.answer_weight:
            raise ValueError("thinking_weight and answer_weight are both 0: nothing would be trained; set one to 1")
        return self


class OPCTConfig(CompletionConfig):
    """On-Policy Consistency Training: the student samples, the frozen teacher scores (arXiv 2605.21834)."""

    name: Literal["opct"] = science()
    estimator: Literal["exact", "topk", "sampled", "constant"] = science(
        "exact",
        description="exact: full-vocabulary divergence per position; topk: the same over the student's k most likely "
        "tokens and the rest as one; sampled: the published score-function form; constant: a control without a "
        "teacher, the same penalty for every unlikely token",
    )
    below: float = science(
        0.1, gt=0, le=1, description="constant only; the probability under which a token is penalised, 1 for all"
    )
    divergence: Literal["reverse_kl", "forward_kl", "jsd"] = science("reverse_kl")
    beta: float = science(0.5, gt=0, lt=1, description="weight of the teacher in the generalised JSD")
    k: int = science(64, ge=1, description="topk only; tokens told apart")
    discount: float = science(
        0.0, ge=0, le=1, description="sampled only; 0 is the per-position KL, 1 the KL of whole sequences"
    )
    kl_coef: float = science(1.0, gt=0, description="sampled only")
    control_variate: bool = science(
        False, description="sampled only; take the exact divergence off each token's own term: unbiased, less noise"
    )
    mini_epochs: int = science(1, ge=1, description="optimizer updates on the completions of one step")
    clip: float | None = science(
        None, gt=0, lt=1, description="sampled only; importance ratios leave [1 - clip, 1 + clip] without gradient"
    )
    clamp: float | None = science(None, gt=0, description="largest divergence one token may contribute, in nats")
    teacher_share: float = science(
        0.0, ge=0, le=1, description="share of completions that the teacher draws after teacher_prompt"
    )

    @property
    def samples_from(self) -> Literal["student", "teacher"]:
        """Return the student unless the teacher draws everything."""
        return "student" if self.teacher_share < 1 else "teacher"

    @property
    def needs_temperature_1(self) -> str:
        """Return why, for clipped ratios."""
        if self.clip is None:
            return ""
        return (
            "with clip: importance ratios of such draws leave [1 - clip, 1 + clip] before anything is learned; use "
            "temperature = 1, or leave clip out"
        )

    @model_validator(mode="after")
    def _estimator_fits(self) -> Self:
        if self.estimator in {"sampled", "constant"}:
            self._score_function_fits()
        if self.estimator == "sampled":
            return self
        if self.discount:
            raise ValueError(f"discount needs estimator = 'sampled'; with {self.estimator!r} each position is alone")
        if self.kl_coef != 1:
            raise ValueError("kl_coef belongs to estimator = 'sampled'; scale optim.lr instead")
        if self.control_variate:
            raise ValueError(f"control_variate belongs to estimator = 'sampled'; {self.estimator} has no such noise")
        if self.estimator == "constant":
            return self
        if self.clip is not None:
            raise ValueError(
                f"clip bounds the importance ratio of estimator = 'sampled'; {self.estimator} has none, leave clip out"
            )
        if self.estimator == "topk" and self.divergence != "reverse_kl":
            raise ValueError("estimator = 'topk' is a reverse KL; use divergence = 'reverse_kl', or 'exact'")
        return self

    def _score_function_fits(self) -> None:
        if self.divergence != "reverse_kl":
            raise ValueError(
                f"divergence = {self.divergence!r} needs estimator = 'exact'; with {self.estimator!r} use 'reverse_kl'"
            )
        if self.teacher_share:
            raise ValueError(
                "teacher_share needs estimator = 'exact' or 'topk': a score function needs the student's own samples"
            )
        if self.clamp is not None and self.estimator == "constant":
            raise ValueError("clamp bounds a divergence, and estimator = 'constant' has none; leave it out")
        if self.mini_epochs > 1 and self.clip is None:
            raise ValueError(
                f"mini_epochs > 1 with estimator = {self.estimator!r} lets importance ratios run away; set clip = 0.2"
            )


class SFTConfig(CompletionConfig):
    """Supervised fine-tuning on completions of the teacher (the offline counterpart) or on given targets."""

    name: Literal["sft"] = science()
    source: Literal["teacher", "target"] = science(
        "teacher", description="teacher: its own completion after teacher_prompt; target: the pair's `target` column"
    )

    @property
    def samples_from(self) -> Literal["teacher"] | None:
        """Return the teacher unless the targets are given."""
        return None if self.trains_on_targets else "teacher"

    @property
    def trains_on_targets(self) -> bool:
        """Return whether the targets are given."""
        return self.source == "target"


class BCTConfig(CompletionConfig):
    """Bias-augmented consistency training, hard labels: the teacher's own answer as the target (arXiv 2403.05518)."""

    name: Literal["bct"] = science()

    @property
    def samples_from(self) -> Literal["teacher"]:
        """Return the teacher."""
        return "teacher"


class BCTSoftConfig(CompletionConfig):
    """Bias-augmented consistency training, soft labels: the teacher's distribution at each token of its own answer."""

    name: Literal["bct_soft"] = science()
    divergence: Literal["forward_kl", "reverse_kl", "jsd"] = science("forward_kl")
    beta: float = science(0.5, gt=0, lt=1, description="weight of the teacher in the generalised JSD")
    clamp: float | None = science(None, gt=0, description="largest divergence one token may contribute, in nats")

    @property
    def samples_from(self) -> Literal["teacher"]:
        """Return the teacher."""
        return "teacher"


class ACTConfig(MethodConfig):
    """Activation consistency training: equal residual streams where both prompts end alike (arXiv 2510.27062)."""

    name: Literal["act"] = science()
    scale: float = science(1.0, gt=0, description="multiplies activations before they are squared")
    sink_tokens: int = science(
        1, ge=0, description="first positions of a prompt that are left out: attention sinks have huge activations"
    )

    compares: ClassVar[str] = "the activations at the tokens that both prompts end with"
