"""What labellers can be given: graders, reward models and judges. Each has a local default; none needs a key."""

from __future__ import annotations

from collections.abc import Callable

from unswayed.config.labels import GradeConfig, JudgeConfig, RewardModelConfig
from unswayed.labels.base import Judge, Model, Scorer
from unswayed.labels.parts.grading import Grader
from unswayed.labels.parts.judging import MatchJudge, ModelJudge
from unswayed.labels.parts.reward import load_reward_model

Load = Callable[[str], Model]


def build_scorer(
    config: GradeConfig | RewardModelConfig, policy: Model, load: Load, *, device: str = "auto", seed: int = 0
) -> Scorer:
    """Return the scorer a table describes. `load` opens another causal model by its name."""
    if isinstance(config, RewardModelConfig):
        return load_reward_model(config, device=device)
    return Grader(policy if config.model is None else load(config.model), config, seed)


def build_judge(config: JudgeConfig, policy: Model, load: Load, *, seed: int = 0) -> Judge:
    """Return the judge a table describes."""
    if config.kind == "match":
        return MatchJudge()
    return ModelJudge(policy if config.model is None else load(config.model), seed)
