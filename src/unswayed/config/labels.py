"""Label recipes: which labeller, which model, which parts; a TOML file of its own beside the recipe.

Defaults of the labellers are those of the entrenchment study's public code; `docs/divergences.md` lists where not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, PlainValidator, SerializeAsAny, model_validator

from unswayed.config.document import Document
from unswayed.config.fields import Table, by_name, enter, operational, science
from unswayed.config.recipe import ChatConfig, DataConfig, ModelConfig

RUBRIC = (
    "Judge how good the reply is. Is what it says true? Does it answer what was asked? Is it clear, and does it come "
    "to an end? 5 is a reply without fault, 4 has small faults, 3 is partly right, 2 is mostly wrong, 1 is of no use."
)
REASONING_CUE = "Think step by step. Then write your final answer on a last line that begins with 'Answer:'."
JSON_CUE = 'Reply with nothing but a JSON object that has one key, "answer", e.g. {"answer": "..."}.'
REFINE_REQUEST = (
    "Look at the draft critically: find what is wrong, missing or unclear in it, then write a better reply. Write only "
    "the better reply, addressed to the user."
)


# ---- parts: what scores or compares completions


class GradeConfig(Table):
    """A causal model gives a whole number from 1 to 5. An unreadable grade is missing."""

    kind: Literal["grade"] = science()
    model: str | None = science(None, description="who grades; None is the labelled model itself")
    rubric: str = science(RUBRIC, min_length=1)
    critique: bool = science(True, description="false: the reply begins with the score, for small models")
    max_new_tokens: int = science(512, ge=1)


class RewardModelConfig(Table):
    """Any sequence-classification model of Transformers scores the conversation with its reply."""

    kind: Literal["reward_model"] = science()
    model: str = science(description="folder or hub id")
    revision: str | None = science(None, description="commit of a hub model")
    output: int | None = science(None, ge=0, description="which of several outputs is the score")
    template: str | None = science(None, description="Jinja text, for a tokenizer that has no chat template")
    dtype: Literal["auto", "float32", "bfloat16", "float64"] = science("auto")


class JudgeConfig(Table):
    """Whether two replies give the same answer: `match` compares final answers; `model` asks a causal model."""

    kind: Literal["match", "model"] = science("match")
    model: str | None = science(None, description="who judges; None is the labelled model itself")

    @model_validator(mode="after")
    def _model_is_used(self) -> Self:
        if self.model is not None and self.kind != "model":
            raise ValueError("judge.model is set but judge.kind = 'match' asks no model; use kind = 'model'")
        return self


ScorerConfig = Annotated[GradeConfig | RewardModelConfig, Field(discriminator="kind")]
OWN_GRADE = GradeConfig(kind="grade")


# ---- labellers


LABELLER_CONFIGS: dict[str, type[Labeller]] = {}
"""The tables that labelling recipes may have, by the labeller's name."""


class Labeller(Table):
    """What all labellers share."""

    if TYPE_CHECKING:
        name: str

    side: Literal["prompt", "teacher_prompt"] = science("prompt", description="which prompt the completions follow")
    truncated: Literal["keep", "drop"] = science("keep", description="completions that reach the length limit")

    asks_anew: ClassVar[bool] = False
    """Whether the user's message is rewritten, which leaves no place for a prefill."""
    needs_target: ClassVar[bool] = False

    @classmethod
    def __pydantic_init_subclass__(cls, **_: Any) -> None:
        """Enter a subclass under its name."""
        enter(LABELLER_CONFIGS, cls)


class Pool(Labeller):
    """Labellers that choose among `k` independent draws."""

    k: int = science(4, ge=1)
    temperature: float = science(0.7, gt=0)
    top_p: float = science(1.0, gt=0, le=1)
    top_k: int = science(0, ge=0)


class SelfConfidenceConfig(Pool):
    """The draw with the highest mean token log-probability."""

    name: Literal["self_confidence"] = science()
    top_p: float = science(0.9, gt=0, le=1)


class DiverseDecodingConfig(Labeller):
    """The best of completions from different decoders, by an external scorer."""

    name: Literal["diverse_decoding"] = science()
    greedy: bool = science(True)
    nucleus: int = science(1, ge=0, description="draws with nucleus_temperature and nucleus_top_p")
    nucleus_temperature: float = science(0.8, gt=0)
    nucleus_top_p: float = science(0.9, gt=0, le=1)
    temperatures: list[Annotated[float, Field(gt=0)]] = science(
        default_factory=lambda: [1.0], description="one draw from the whole distribution at each"
    )
    scorer: ScorerConfig = science(OWN_GRADE)

    @model_validator(mode="after")
    def _are_diverse(self) -> Self:
        if self.greedy + self.nucleus + len(self.temperatures) < 2:
            raise ValueError("diverse_decoding needs at least two completions; add nucleus draws or temperatures")
        if len(set(self.temperatures)) < len(self.temperatures):
            raise ValueError("labeller.temperatures names one temperature twice; each is one draw")
        return self


class MultiViewConfig(Labeller):
    """The greedy answer, kept where it agrees with the answers to other ways of asking."""

    name: Literal["multi_view"] = science()
    reasoning_cue: str = science(REASONING_CUE, min_length=1)
    json_cue: str = science(JSON_CUE, min_length=1)
    agree: Literal["any", "all"] = science("any", description="how many of the readable views must agree")
    judge: JudgeConfig = science(JudgeConfig())

    asks_anew: ClassVar[bool] = True


class SelfRefinementConfig(Labeller):
    """A draft, then the model's own improvement of it."""

    name: Literal["self_refinement"] = science()
    request: str = science(REFINE_REQUEST, min_length=1)
    temperature: float = science(0.6, gt=0)
    top_p: float = science(0.9, gt=0, le=1)

    asks_anew: ClassVar[bool] = True


class SelfRewardingConfig(Pool):
    """The draw that the model itself grades highest."""

    name: Literal["self_rewarding"] = science()
    scorer: GradeConfig = science(OWN_GRADE)

    @model_validator(mode="after")
    def _is_self(self) -> Self:
        if self.scorer.model is not None:
            raise ValueError("scorer.model is set; grades by another model are labeller.name = 'rejection_sampling'")
        return self


class SelfTrainingConfig(Labeller):
    """Control: the greedy completion. No choice."""

    name: Literal["self_training"] = science()


class RejectionSamplingConfig(Pool):
    """Control: the draw that an external reward model scores highest."""

    name: Literal["rejection_sampling"] = science()
    scorer: ScorerConfig = science(OWN_GRADE)


class RandomSelectionConfig(Pool):
    """Control: any of the draws."""

    name: Literal["random_selection"] = science()


class SelfDistillationConfig(Labeller):
    """Control: one draw from the whole policy, kept whatever it is: the summed loss has no expected first gradient."""

    name: Literal["self_distillation"] = science()

    @model_validator(mode="after")
    def _is_exact(self) -> Self:
        if self.truncated != "keep":
            raise ValueError("self_distillation keeps every draw, or it is no longer exact; use truncated = 'keep'")
        return self


class OracleConfig(Pool):
    """For studies: a draw that agrees with the pair's target, where there is one."""

    name: Literal["oracle"] = science()
    judge: JudgeConfig = science(JudgeConfig())

    needs_target: ClassVar[bool] = True


class AntiOracleConfig(Pool):
    """For studies: a draw that does not agree with the pair's target, where there is one."""

    name: Literal["anti_oracle"] = science()
    judge: JudgeConfig = science(JudgeConfig())

    needs_target: ClassVar[bool] = True


AnyLabeller = Annotated[SerializeAsAny[Labeller], PlainValidator(by_name(LABELLER_CONFIGS, Labeller))]
"""A table of any of `LABELLER_CONFIGS` as they are when it is read, so that those of plug-ins count."""


class LabelRecipe(Document):
    """One labelling: `unswayed label RECIPE.toml -o labels.jsonl`."""

    seed: int = science(0, ge=0)
    model: ModelConfig = science()
    chat: ChatConfig = science(default_factory=ChatConfig)
    data: DataConfig = science()
    labeller: AnyLabeller = science()
    max_new_tokens: int = science(256, ge=1, description="length limit of a completion")
    eval_max_new_tokens: int = operational(
        48, ge=1, description="length limit of the evaluation to come; shorter labels would train brevity"
    )
    batch: int = operational(16, ge=1, description="pairs that are labelled, and written, at once")

    @model_validator(mode="after")
    def _labels_are_long_enough(self) -> Self:
        if self.max_new_tokens < self.eval_max_new_tokens:
            raise ValueError(
                f"max_new_tokens = {self.max_new_tokens} is below eval_max_new_tokens = {self.eval_max_new_tokens}: "
                f"labels cut shorter than the evaluation allows train brevity; use max_new_tokens = "
                f"{self.eval_max_new_tokens} or more"
            )
        return self
