"""The arm of this library: `collect`, `forward_backward`, `optim_step` and `publish`, as training calls them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from bench.child import Completions, Control, gradient, model_facts, set_adapter
from bench.step.work import Work
from unswayed.core.types import PairedBatch, Rollout, SamplingParams
from unswayed.engine.hf.load import load_engine
from unswayed.methods import Step
from unswayed.training.prepare import prepare


def run(work: Work, control: Control) -> None:
    """Take a step at each order."""
    recipe = work.recipe
    prepared = prepare(recipe)
    engine = load_engine(recipe, prepared.source, prepared.chat)
    params = SamplingParams(max_new_tokens=work.new_tokens, seed=work.seed)
    control.time_engine(engine)
    control.ready(**model_facts(engine.model))
    for number in range(work.steps):
        control.begin()
        pairs = prepared.pairs[number * work.pairs : (number + 1) * work.pairs]
        collected = prepared.method.collect(pairs, engine, Step(work.seed, number, params))
        with control.phase("learn"):
            sums = engine.forward_backward(collected.batch, prepared.method.loss)
        with control.phase("optim"):
            engine.optim_step(work.lr, sums.count, recipe.optim.max_grad_norm)
            engine.publish()
        control.end([rollout.completion_ids for rollout in collected.rollouts])

    def check(completions: Completions) -> dict[str, Any]:
        """Losses of given completions after the last step's prompts, through `collect` and `forward_backward`."""
        weights = set_adapter(engine.model.named_parameters())
        pairs = prepared.pairs[-work.pairs :]
        drawn = [
            [Rollout(pair.pair.id, pair.prompt_ids, tuple(ids), (0.0,) * len(ids), "length", engine.policy, 0)]
            for pair, ids in zip(pairs, completions, strict=True)
        ]
        setattr(engine, "sample", lambda *_: drawn)  # noqa: B010
        batch = prepared.method.collect(pairs, engine, Step(work.seed, 0, params)).batch
        sums = engine.forward_backward(batch, prepared.method.loss)
        engine.zero_grad()
        rows = PairedBatch(
            tuple(
                replace(row, loss_mask=(1 / (len(row.completion_ids) * len(batch)),) * len(row.completion_ids))
                for row in batch.rows
            ),
            batch.teacher_head_VD,
            batch.teacher_bias_V,
        )
        by_row = engine.forward_backward(rows, prepared.method.loss)
        return {
            "ids": [[list(row.prompt_ids), list(row.teacher_prompt_ids)] for row in batch.rows],
            "token_mean": sums.total / sums.count,
            "row_mean": by_row.total,
            "gradient": gradient(weights),
        }

    control.finish(check)
