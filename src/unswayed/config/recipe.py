"""The whole run as data: a TOML recipe, checked by typed models that refuse unknown keys."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, Strict, field_validator, model_validator

from unswayed.config.document import Document
from unswayed.config.fields import Table, operational, science
from unswayed.config.methods import TEACHERS, AnyMethod
from unswayed.core.files import check_name

Share = Annotated[float, Field(ge=0, lt=1)]


class ModelConfig(Table):
    """Which weights the run starts from."""

    id: str = science(description="alias, hub id, local folder or GGUF file")
    revision: str | None = science(None, description="commit of a hub model")
    adapter: str | None = science(
        None, description="PEFT folder to start from, e.g. a model organism; trained as a copy"
    )
    dtype: Literal["auto", "float32", "bfloat16", "float64"] = science(
        "auto", description="of the frozen weights; auto is bfloat16 where the device multiplies it fast, else float32"
    )
    attention: Literal["sdpa", "eager", "flash_attention_2", "flash_attention_3"] = science("sdpa")
    device: str = operational("auto", description="auto, cpu, cuda, cuda:1, mps")


class ChatConfig(Table):
    """How messages become tokens."""

    template_kwargs: dict[str, Any] = science(
        default_factory=dict, description="fixed values for the chat template, e.g. enable_thinking or date_string"
    )
    allow_special_tokens: bool = science(False, description="accept text that contains the tokenizer's special tokens")


class LoraConfig(Table):
    """The trainable part. Ignored where `model.adapter` brings its own."""

    rank: int = science(32, ge=1)
    alpha: float = science(64.0, gt=0)
    dropout: float = science(0.0, ge=0, lt=1)
    targets: str | list[str] = science("all-linear", description="every linear layer but the head, or module names")


class DataConfig(Table):
    """The pairs."""

    # The file may move; its bytes may not: a resume compares their hash, and that of the tokens they became.
    train: str = operational(
        description="pairs: JSONL, CSV, Parquet, a save_to_disk folder, or hub:OWNER/NAME[@REVISION][:SPLIT]; a "
        "relative path starts at the working folder"
    )
    columns: dict[str, str] = operational(
        default_factory=dict, description="what the pairs call a column, by our name for it: prompt = 'question'"
    )
    allow_identical: bool = science(False, description="accept pairs whose two prompts are equal (anchor pairs)")
    limit: int | None = science(None, ge=1, description="use only the first rows")
    rows: int | None = science(
        None, ge=1, description="train on exactly so many usable rows, drawn by the run's seed, so that methods compare"
    )
    one_side: Literal["prompt", "teacher_prompt"] | None = science(
        None, description="control: both prompts of every pair are this one, e.g. clean to clean"
    )
    allow_evaluation_only: bool = science(
        False, description="train on sets whose authors ask that nobody does; the run records which"
    )
    anchors: str | None = operational(
        None, description="a second pairs file that may have equal prompts, e.g. harmless requests to hold in place"
    )


class SamplingConfig(Table):
    """How completions are drawn, by student or teacher. The default is the full policy."""

    temperature: float = science(1.0, ge=0)
    top_p: float = science(1.0, gt=0, le=1)
    top_k: int = science(0, ge=0)
    max_new_tokens: int = science(256, ge=1)
    rollouts_per_pair: int = science(1, ge=1)


class OptimConfig(Table):
    """AdamW and its schedule."""

    lr: float = science(1e-5, gt=0, le=10)
    betas: Annotated[tuple[Share, Share], Strict(False)] = science((0.9, 0.95))
    eps: float = science(1e-8, gt=0)
    weight_decay: float = science(0.0, ge=0)
    schedule: Literal["constant", "linear", "cosine"] = science("constant", description="after warm-up")
    warmup_steps: int = science(0, ge=0, description="the first of them has rate 0, as in Transformers")
    warmup_ratio: float = science(0.0, ge=0, le=1, description="share of all steps, rounded up; or give warmup_steps")
    max_grad_norm: float | None = science(1.0, gt=0)

    @model_validator(mode="after")
    def _one_warmup(self) -> Self:
        if self.warmup_steps and self.warmup_ratio:
            raise ValueError("give either warmup_steps or warmup_ratio")
        return self


class TrainConfig(Table):
    """How much is trained."""

    pairs_per_step: int = science(16, ge=1)
    anchors_per_step: int = science(0, ge=0, description="rows of data.anchors beside the pairs of each step")
    steps: int | None = science(None, ge=1, description="steps, all of pairs_per_step pairs; or give epochs")
    epochs: float | None = science(
        None, gt=0, le=1e6, description="passes over the pairs, each once a pass: the last step of one may be smaller"
    )
    micro_batch: int = operational(8, ge=1, description="rows in memory at once; halved by itself when memory runs out")
    activation_checkpointing: bool = operational(False, description="less memory for a third more compute")

    @model_validator(mode="after")
    def _one_length(self) -> Self:
        if (self.steps is None) == (self.epochs is None):
            raise ValueError(
                "set steps or epochs"
                if self.steps is None
                else "steps and epochs are both set; take one out, on the command line with --set train.epochs="
            )
        return self


class SaveConfig(Table):
    """What is kept, and where."""

    dir: str = operational("runs", description="the run's folder is dir/name")
    every_steps: int = operational(20, ge=1)
    keep: int = operational(2, ge=2, description="newest checkpoints kept; never 1, a damaged newest needs a second")


class LogConfig(Table):
    """Who else hears about it. metrics.jsonl is always written."""

    trackers: list[Literal["tensorboard", "wandb", "trackio"]] = operational(default_factory=list)
    project: str = operational("unswayed")


class EvalConfig(Table):
    """A probe: a part of a suite to look at before the first step and after the last. Monitoring, not evidence."""

    suite: str = operational(description="name of a suite; only the part of it is asked that comparisons leave out")
    args: dict[str, Any] = operational(default_factory=dict, description="arguments of the suite, e.g. topics = 'food'")
    limit: int | None = operational(None, ge=1, description="how many of the part's questions")
    every_steps: int | None = operational(None, ge=1, description="look in between as well, every so many steps")


class PlanConfig(Table):
    """What is decided before anything is measured (see `unswayed.evals.plan`)."""

    margins: dict[str, float] = science(
        default_factory=dict, description="immaterial change by metric, suite, suite:metric, or default"
    )
    primary: list[str] = science(
        default_factory=list, description="the metrics of the claim; default: each suite's primary ones"
    )

    @field_validator("margins")
    @classmethod
    def _margins_are_rates(cls, margins: dict[str, float]) -> dict[str, float]:
        wrong = [f"{name} = {value}" for name, value in margins.items() if not 0 < value < 1]
        if wrong:
            raise ValueError(f"{', '.join(wrong)}: a margin is a difference of rates, between 0 and 1")
        return margins


class Recipe(Document):
    """One run."""

    name: str = operational(description="folder of the run below save.dir")
    seed: int = science(0, ge=0)
    model: ModelConfig = science()
    chat: ChatConfig = science(default_factory=ChatConfig)
    lora: LoraConfig = science(default_factory=LoraConfig)
    data: DataConfig = science()
    sampling: SamplingConfig = science(default_factory=SamplingConfig)
    method: AnyMethod = science()
    optim: OptimConfig = science(default_factory=OptimConfig)
    train: TrainConfig = science()
    save: SaveConfig = operational(default_factory=SaveConfig)
    log: LogConfig = operational(default_factory=LogConfig)
    eval: list[EvalConfig] = operational(default_factory=list)
    plan: PlanConfig = science(default_factory=PlanConfig)

    @field_validator("name")
    @classmethod
    def _name_is_a_folder(cls, name: str) -> str:
        return check_name(name, "run name")

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        kind, _, rest = self.method.teacher.partition(":")
        if not (self.method.teacher in {"start", "base"} or (kind in {"adapter", "model"} and rest)):
            raise ValueError(f"method.teacher is {self.method.teacher!r}; use {TEACHERS}")
        if self.method.on_policy:
            sampling = self.sampling
            if sampling.temperature == 0:
                raise ValueError(
                    "sampling.temperature = 0 in an on-policy method: greedy rollouts are no draws from it; use 1"
                )
            if sampling.top_p != 1 or sampling.top_k != 0:
                raise ValueError("sampling.top_p and top_k change the policy that is trained; use top_p = 1, top_k = 0")
        if self.method.needs_temperature_1 and self.sampling.temperature != 1:
            raise ValueError(f"sampling.temperature is not 1 {self.method.needs_temperature_1}")
        if (self.data.anchors is None) != (self.train.anchors_per_step == 0):
            raise ValueError("data.anchors and train.anchors_per_step belong together: give both, or neither")
        if self.sampling.temperature == 0 and self.sampling.rollouts_per_pair > 1:
            raise ValueError("sampling.rollouts_per_pair > 1 at temperature 0 gives the same completion again; use 1")
        return self

    @property
    def run_dir(self) -> Path:
        """Return the folder of the run."""
        return Path(self.save.dir) / self.name
