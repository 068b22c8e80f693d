"""One optimizer step: collect rows, add up gradients, check that everything is finite, divide once, update.

Each process does this for its share of the step's pairs. Sums, gradients and what is written down are of the whole
step, so it matters by rounding only how many processes there are.
"""

from __future__ import annotations

import logging
import math
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from typing import Any, TypeVar

from unswayed.config.recipe import OptimConfig
from unswayed.core.errors import DataError, NotFiniteError, OutOfMemoryError
from unswayed.core.files import write_jsonl
from unswayed.core.signals import stop_signals
from unswayed.core.types import SamplingParams
from unswayed.engine.base import Engine, Learner, Sums
from unswayed.methods import Collected, Step
from unswayed.training.distributed import World, share, together
from unswayed.training.prepare import Prepared
from unswayed.training.run_folder import RunState
from unswayed.training.teacher_draws import Draws

T = TypeVar("T")
log = logging.getLogger(__name__)


def take_step(
    number: int,
    prepared: Prepared,
    engine: Engine,
    draws: Draws,
    state: RunState,
    world: World,
) -> dict[str, Any]:
    """Collect rows once, make the updates that the method asks for, and return the step's row of metrics.

    Completions that serve the whole run are taken from `draws`, and put there where they are new.

    Raises:
        DataError: no row of the step has a token to train on.
        NotFiniteError: a loss or gradient is NaN or infinite; nothing was updated.
        OutOfMemoryError: one row alone does not fit.
        Interrupted: a signal came before the first update; nothing was updated.
    """
    recipe, method = prepared.recipe, prepared.method
    policy = engine.policy
    clock = _Clock(waits=world.size > 1)

    def collect() -> Collected:
        with stop_signals.discarding():
            found = _fitting(number, engine, lambda: _collect(number, prepared, engine, draws, shares[world.rank]))
        clock.lap("collect")
        return found

    def learn() -> dict[str, Any]:
        with nullcontext() if update else stop_signals.discarding():
            part = _fitting(number, engine, lambda: engine.forward_backward(collected.batch, method.loss, method.view))
        if not math.isfinite(part.total):
            rows = ", ".join(_ids(collected))
            raise NotFiniteError(f"{where}: the loss is {part.total}; {kept}. Rows: {rows}. {state.last_checkpoint()}")
        clock.lap("learn")
        return {"sums": (part.total, part.count, part.metrics), "micro_batch": engine.micro_batch}

    lengths = [len(pair.prompt_ids) + len(pair.teacher_prompt_ids) for pair in prepared.pairs_of(number)]
    shares = share(lengths, world.size)
    collected = world.sync(collect)
    whole = _whole(number, world.gather(lambda: _facts(collected)), shares)
    clock.wait()
    rollouts = whole["rollouts"]
    drawn = sum(rollout["pair_id"] not in draws for rollout in rollouts)
    lr = learning_rate(recipe.optim, number, prepared.steps)
    sums, norms, learned = Sums(0.0, 0.0, {}), [], []
    for update in range(collected.updates):
        where, kept = f"step {number + 1}", "nothing was updated"
        if update:
            where, kept = f"{where}, update {update + 1} of {collected.updates}", "nothing of this step is kept"
        learned = world.gather(learn)
        part = sum((Sums(*of_one["sums"]) for of_one in learned), Sums(0.0, 0.0, {}))
        if not update:
            world.on_main(lambda: write_jsonl(state.rollouts(number), rollouts))
        world.add_gradients(engine.trainable.values())
        clock.wait()
        try:
            norms.append(engine.optim_step(lr, part.count, recipe.optim.max_grad_norm))
        except NotFiniteError as error:
            rows = ", ".join(whole["ids"])
            raise NotFiniteError(f"{where}: {error}; {kept}. Rows: {rows}. {state.last_checkpoint()}") from error
        clock.lap("optim")
        sums += part
    engine.publish()
    clock.lap("optim")
    if collected.once and prepared.repeats:
        draws.add(rollouts)
    return {
        "step": number + 1,
        "loss": sums.total / sums.count,
        **sums.means(),
        "grad_norm": math.fsum(norms) / len(norms),
        "lr": lr,
        "updates": collected.updates,
        "rows": whole["rows"],
        "tokens": whole["tokens"],
        "skipped": {reason: len(skipped) for reason, skipped in whole["skipped"].items()},
        "truncated": sum(rollout["finish"] == "length" for rollout in rollouts),
        "drawn": drawn,
        "written_by": dict(Counter(rollout["policy"] for rollout in rollouts)),
        "policy": policy.fingerprint,
        "micro_batch": min(of_one["micro_batch"] for of_one in learned),
        "processes": world.size,
        "seconds": clock.seconds(),
    }


def learning_rate(optim: OptimConfig, step: int, steps: int) -> float:
    """Return the learning rate of 0-based `step` of `steps`: linear warm-up, then constant, or linear or cosine decay.

    These are the schedules of Transformers: warm-up begins with rate 0, and decay would reach 0 after the last step.
    """
    warmup = optim.warmup_steps or math.ceil(steps * optim.warmup_ratio)
    if step < warmup:
        return optim.lr * (step / warmup)
    if optim.schedule == "linear":
        return optim.lr * max(0.0, (steps - step) / max(1, steps - warmup))
    if optim.schedule == "cosine":
        return optim.lr * (0.5 * (1.0 + math.cos(math.pi * ((step - warmup) / max(1, steps - warmup)))))
    return optim.lr


def _collect(number: int, prepared: Prepared, engine: Engine, draws: Draws, places: Sequence[int]) -> Collected:
    """Return the rows that the method makes of the pairs at `places` of the step."""
    sampling = prepared.recipe.sampling
    params = SamplingParams(
        temperature=sampling.temperature,
        top_p=sampling.top_p,
        top_k=sampling.top_k,
        max_new_tokens=sampling.max_new_tokens,
        n=sampling.rollouts_per_pair,
        seed=prepared.recipe.seed,
    )
    of_step = prepared.pairs_of(number)
    pairs = [of_step[place] for place in places]
    step = Step(prepared.recipe.seed, number, params, prepared.chat.thinking, tuple(places), draws.of(pairs))
    return prepared.method.collect(pairs, engine, step)


def _facts(collected: Collected) -> dict[str, Any]:
    """Return these rows as the step's record describes them, as plain data."""
    return {
        "ids": _ids(collected),
        "rows": len(collected.batch),
        "tokens": collected.batch.tokens,
        "skipped": {reason: list(ids) for reason, ids in collected.skipped.items()},
        "rollouts": [_rollout_row(rollout) for rollout in collected.rollouts],
    }


def _whole(number: int, parts: Sequence[dict[str, Any]], shares: Sequence[Sequence[int]]) -> dict[str, Any]:
    """Merge the facts about each process's rows.

    Raises:
        DataError: not one row has a token to train on.
    """
    skipped: dict[str, list[str]] = {}
    for part in parts:
        for reason, ids in part["skipped"].items():
            skipped.setdefault(reason, []).extend(ids)
    if not any(part["tokens"] for part in parts):
        reasons = "; ".join(f"{reason}: {', '.join(ids)}" for reason, ids in skipped.items())
        raise DataError(
            f"step {number + 1}: no row has a token to train on ({reasons or 'all completions are empty'}); raise "
            "sampling.max_new_tokens or train.pairs_per_step"
        )
    return {
        "ids": sorted({name for part in parts for name in part["ids"]}),
        "rows": sum(part["rows"] for part in parts),
        "tokens": sum(part["tokens"] for part in parts),
        "skipped": skipped,
        "rollouts": together(shares, [part["rollouts"] for part in parts]),
    }


def _ids(collected: Collected) -> list[str]:
    return sorted({row.pair_id for row in collected.batch.rows})


def _fitting(number: int, engine: Learner, work: Callable[[], T]) -> T:
    """Do a part of a step, with fewer rows in memory at once wherever memory runs out.

    The part is done again from the start: the same rows, the same draws, the same sums.
    """
    while True:
        try:
            return work()
        except OutOfMemoryError as error:
            if not engine.halve_micro_batch():
                raise OutOfMemoryError(
                    f"step {number + 1}: memory ran out with one row at a time ({error}); shorten "
                    "sampling.max_new_tokens, drop the longest pairs, or set train.activation_checkpointing = true"
                ) from error
            rows = engine.micro_batch
            log.warning("step %d: memory ran out; going on with train.micro_batch = %d", number + 1, rows)


class _Clock:
    """Seconds of each part of a step; with several processes also those spent waiting for the others."""

    def __init__(self, *, waits: bool) -> None:
        self.began = self.mark = time.perf_counter()
        self.laps: dict[str, float] = {}
        self.waits = waits

    def lap(self, part: str) -> None:
        """Count the time since the last lap as `part`."""
        now = time.perf_counter()
        self.laps[part] = self.laps.get(part, 0.0) + now - self.mark
        self.mark = now

    def wait(self) -> None:
        """Count the time since the last lap as waiting."""
        if self.waits:
            self.lap("wait")

    def seconds(self) -> dict[str, float]:
        """Return the parts and the whole."""
        whole = {**self.laps, "step": time.perf_counter() - self.began}
        return {part: round(value, 4) for part, value in whole.items()}


def _rollout_row(rollout: Any) -> Mapping[str, Any]:
    return {
        "pair_id": rollout.pair_id,
        "completion_ids": rollout.completion_ids,
        "logprobs": rollout.logprobs,
        "finish": rollout.finish,
        "policy": rollout.policy.name,
        "version": rollout.policy.version,
        "seed": rollout.seed,
        **({"tempered_logprobs": rollout.tempered_logprobs} if rollout.tempered_logprobs else {}),
    }
