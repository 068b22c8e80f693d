"""What a cell is taken to cost before anything runs: tokens, judge calls, hours of an accelerator at stated rates."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from unswayed.config.labels import DiverseDecodingConfig, GradeConfig, LabelRecipe
from unswayed.config.recipe import Recipe
from unswayed.config.sweep import Rates, SweepFamily, SweepModel
from unswayed.sweep.cell import KINDS, Cell

GATE_UNITS = 120
"""Units that a gate asks the base model and the organism about (`unswayed.organisms.family.Thresholds`)."""
TOKENS = ("rollout_tokens", "scored_tokens", "training_tokens")
COUNTS = (*TOKENS, "judge_calls", "hours")
Cost = Mapping[str, float]


def cost(
    model: SweepModel, rates: Rates, *, rollout: float = 0, scored: float = 0, training: float = 0, judged: float = 0
) -> dict[str, float]:
    """Return tokens, judge calls, and hours of one accelerator. Calls of a judge elsewhere take no hours of ours."""
    speeds = ((rollout, rates.rollout), (scored, rates.scored), (training, rates.training))
    seconds = sum(tokens * model.billions / rate for tokens, rate in speeds)
    return {
        "rollout_tokens": rollout,
        "scored_tokens": scored,
        "training_tokens": training,
        "judge_calls": judged,
        "hours": seconds / 3600,
    }


def of_organism(model: SweepModel, family: SweepFamily, rates: Rates) -> dict[str, float]:
    """Return the cost of inducing an organism and of its gate, which asks the base model too."""
    replies = 2 * GATE_UNITS * family.replies
    return cost(
        model,
        rates,
        training=family.rows * (family.prompt_tokens + family.reply_tokens),
        scored=replies * family.prompt_tokens,
        rollout=replies * family.reply_tokens,
        judged=replies * family.judged,
    )


def of_labels(model: SweepModel, family: SweepFamily, recipe: LabelRecipe, rates: Rates) -> dict[str, float]:
    """Return the cost of labelling a family's pairs; grades of the labelled model itself are rollouts of ours."""
    draws = family.pairs * _draws(recipe)
    scorer = getattr(recipe.labeller, "scorer", None)
    graded = draws * (scorer is not None)
    own = isinstance(scorer, GradeConfig) and scorer.model is None
    grade = scorer.max_new_tokens if isinstance(scorer, GradeConfig) else 0
    return cost(
        model,
        rates,
        rollout=draws * family.reply_tokens + own * graded * grade,
        scored=draws * family.prompt_tokens + graded * (family.prompt_tokens + family.reply_tokens),
        judged=graded,
    )


def _draws(recipe: LabelRecipe) -> int:
    """Return how many completions a labeller draws for a pair."""
    labeller = recipe.labeller
    if isinstance(labeller, DiverseDecodingConfig):
        return int(labeller.greedy) + labeller.nucleus + len(labeller.temperatures)
    return int(getattr(labeller, "k", {"multi_view": 3, "self_refinement": 2}.get(labeller.name, 1)))


def of_training(model: SweepModel, family: SweepFamily, recipe: Recipe, steps: int, rates: Rates) -> dict[str, float]:
    """Return the cost of a training: what is drawn, what the frozen teacher scores, what the gradient flows through."""
    rows = steps * recipe.train.pairs_per_step
    method = recipe.method
    rollouts = rows * recipe.sampling.rollouts_per_pair if method.samples_from else 0
    length = family.prompt_tokens + family.reply_tokens
    return cost(
        model,
        rates,
        rollout=rollouts * family.reply_tokens,
        scored=0 if method.trains_on_targets else max(rows, rollouts) * length,
        training=max(rows, rollouts) * length,
    )


def of_traits(model: SweepModel, families: Iterable[SweepFamily], units: int, rates: Rates) -> dict[str, float]:
    """Return the cost of asking a policy about every family's trait."""
    asked = [(family, units * family.replies) for family in families]
    return cost(
        model,
        rates,
        rollout=sum(count * family.reply_tokens for family, count in asked),
        scored=sum(count * family.prompt_tokens for family, count in asked),
        judged=sum(count * family.judged for family, count in asked),
    )


def of_capability(model: SweepModel, suites: int, questions: int, rates: Rates) -> dict[str, float]:
    """Return the cost of so many questions of so many suites, each of 200 tokens with a reply of 256."""
    return cost(model, rates, rollout=256 * suites * questions, scored=200 * suites * questions)


def totals(cells: Iterable[Cell]) -> dict[str, dict[str, float]]:
    """Return what all cells of each kind come to: how many, tokens, judge calls, hours."""
    found: dict[str, dict[str, float]] = {kind: dict.fromkeys(("cells", *COUNTS), 0.0) for kind in KINDS}
    for cell in cells:
        row = found.setdefault(cell.kind, dict.fromkeys(("cells", *COUNTS), 0.0))
        row["cells"] += 1
        for name in COUNTS:
            row[name] += cell.cost.get(name, 0.0)
    return {kind: row for kind, row in found.items() if row["cells"]}
