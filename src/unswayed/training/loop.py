"""The training loop: one for all methods, none of which it names.

A step collects rows, adds up gradients over micro-batches, checks that everything is finite, divides once and updates,
once or as often as the method asks, and writes one row of metrics. Whatever happens in between, the run folder stays
readable and the run can go on. Of several processes (see `unswayed.training.distributed`) each takes a share of a
step's pairs, all take the same optimizer step, and the main one alone writes.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

from unswayed.config.recipe import Recipe
from unswayed.core.errors import CheckpointError, ConfigError, Interrupted, UnswayedError
from unswayed.core.files import append_jsonl, locked, read_json, read_jsonl
from unswayed.core.hashing import hash_json
from unswayed.core.progress import Progress
from unswayed.core.signals import stop_signals
from unswayed.engine.base import Engine
from unswayed.engine.configured import load_engine
from unswayed.engine.policy import EnginePolicy
from unswayed.training import checkpoint as checkpoints
from unswayed.training.callbacks import Callback
from unswayed.training.distributed import World, join
from unswayed.training.export import export_adapter
from unswayed.training.prepare import Prepared, prepare
from unswayed.training.probes import Monitor, Probe, probes_of
from unswayed.training.run_folder import RunState
from unswayed.training.step import take_step
from unswayed.training.teacher_draws import Draws
from unswayed.training.trackers import Trackers

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Run:
    """A finished run.

    Attributes:
        path: the run folder.
        adapter: the trained adapter as a plain PEFT folder.
        steps: optimizer steps taken.
    """

    path: Path
    adapter: Path
    steps: int
    recipe: Recipe

    @classmethod
    def load(cls, path: Path | str) -> Run:
        """Return the finished run in a folder.

        Raises:
            ConfigError: there is none, or it is not finished.
            DataError: a file of it is damaged.
        """
        folder = Path(path)
        adapter, done = folder / "adapter", folder / "DONE.json"
        if not (done.exists() and adapter.is_dir()):
            raise ConfigError(f"{folder}: no finished run here; `unswayed runs list` shows what there is")
        recipe = Recipe.from_dict(read_json(folder / "recipe.json"), where=str(folder / "recipe.json"))
        return cls(folder, adapter, int(read_json(done).get("steps", 0)), recipe)

    def metrics(self) -> list[dict[str, Any]]:
        """Return one row a step."""
        return read_jsonl(self.path / "metrics.jsonl")

    def probes(self) -> list[dict[str, Any]]:
        """Return one row a look at a suite during training: monitoring, not evidence."""
        return read_jsonl(self.path / "probes.jsonl")

    @property
    def policy(self) -> Any:
        """Load the trained model for evaluation."""
        from unswayed.engine.policy import load_policy

        model, chat = self.recipe.model, self.recipe.chat
        options = {**model.model_dump(exclude={"id", "adapter"}), **chat.model_dump()}
        return load_policy(model.id, str(self.adapter), **options)


def train(
    recipe: Recipe,
    *,
    resume: bool | Literal["auto"] = False,
    fresh: bool = False,
    progress: bool = False,
    trust_remote_code: bool = False,
    callbacks: Sequence[Callback] = (),
) -> Run:
    """Train as the recipe says and return the run.

    Args:
        recipe: the whole run.
        resume: go on from the newest valid checkpoint of a run that exists, also to more steps than it was begun
            with, where its schedule does not depend on their number; "auto" begins one where there is none.
        fresh: delete what an earlier run of this name left, and start over.
        progress: show a progress bar on stderr, or a line every half minute where that is no terminal.
        trust_remote_code: run Python that comes with the model; never read from a recipe.
        callbacks: observers of the run; of several processes, only the first one has them.

    Raises:
        ConfigError: the recipe cannot be run, the folder holds another experiment, or there is nothing to resume.
        LockedError: another process works in the run folder.
        DataError: pairs that cannot be used, or that changed since the run began.
        CheckpointError: no checkpoint that verifies, or one of other weights.
        LostProcess: of several processes, another ended without a message.
        OutOfMemoryError: one row alone does not fit.
        NotFiniteError: a loss or gradient is NaN or infinite; nothing was updated.
        Interrupted: a signal; everything is saved.
    """
    if resume and fresh:
        raise ConfigError("give either --resume or --fresh, not both")
    world = join()
    prepared = world.main_first(lambda: prepare(recipe, trust_remote_code=trust_remote_code))
    world.same("the recipe, the pairs or the model", lambda: _identity(prepared))
    _check_shares(recipe, world)
    probes = world.sync(lambda: probes_of(recipe) if world.is_main else ())
    with ExitStack() as held:
        world.sync(lambda: held.enter_context(locked(recipe.run_dir)) if world.is_main else None)
        held.enter_context(stop_signals)
        state = RunState(recipe.run_dir, prepared)
        world.on_main(lambda: state.begin(resume=resume, fresh=fresh))
        try:
            return _run(prepared, probes, state, world, progress, callbacks)
        except Interrupted:
            raise
        except OSError as error:
            failure = UnswayedError(
                f"{error.filename or state.path}: cannot be written ({error.strerror or error}); what was saved before "
                "is intact. Free space on the disk or fix its permissions, then go on with --resume"
            )
            if world.is_main:
                state.failed(failure)
            raise failure from error
        except Exception as error:
            if world.is_main:
                state.failed(error)
            raise


def _identity(prepared: Prepared) -> str:
    return hash_json([prepared.recipe.to_dict(), prepared.data_identity, prepared.model_identity])


def _check_shares(recipe: Recipe, world: World) -> None:
    rows = recipe.train.pairs_per_step + recipe.train.anchors_per_step
    if rows < world.size:
        raise ConfigError(
            f"a step of {rows} (train.pairs_per_step plus anchors_per_step) cannot be shared by {world.size} "
            "processes; give it at least one pair for each, or start fewer processes"
        )


def _run(
    prepared: Prepared,
    probes: Sequence[Probe],
    state: RunState,
    world: World,
    progress: bool,
    callbacks: Sequence[Callback],
) -> Run:
    recipe = prepared.recipe
    folder, start, finished = world.on_main(lambda: _newest(prepared, state))
    saved = start
    run = Run(state.path, state.path / "adapter", prepared.steps, recipe)
    if finished:
        return run
    device = world.device(recipe.model.device)
    engine = world.sync(lambda: load_engine(recipe, prepared.source, prepared.chat, device, world.rank))
    world.on_main(lambda: state.check_teacher(engine.teacher_policy.fingerprint))
    draws = Draws(recipe.sampling.rollouts_per_pair, engine.teacher_policy)
    if folder:
        world.sync(partial(engine.load, Path(folder)))
        world.sync(partial(draws.load, Path(folder)))
    world.same("the model, or its adapter,", lambda: engine.teacher_policy.fingerprint + engine.policy.fingerprint)
    world.on_main(lambda: state.forget_after(start))
    with (
        world.sync(lambda: Trackers(recipe, state.path, is_main=world.is_main)) as trackers,
        Progress(recipe.name, prepared.steps, start, shown=progress and world.is_main) as bar,
    ):
        student = EnginePolicy(engine, prepared.chat, scorer=engine)
        monitor = Monitor(probes, student, state.path, prepared.steps, trackers.log)

        def record(row: dict[str, Any]) -> None:
            append_jsonl(state.path / "metrics.jsonl", [row])
            trackers.log(row)
            bar.update(row["step"], f"loss {row['loss']:.3f}")
            for callback in callbacks:
                callback.on_step(row)
            monitor.look(row["step"])

        def save(done: int) -> None:
            nonlocal saved
            if done == saved:
                return
            teacher = engine.teacher_fingerprint()
            world.same("the trained adapter, or the frozen model,", lambda: teacher + engine.policy.fingerprint)
            world.on_main(lambda: _save(done, teacher, engine, draws, prepared, state, callbacks))
            saved = done

        world.on_main(lambda: monitor.look(start))  # before the first step, or what an interruption left out
        asked = world.any(stop_signals.asked)
        for number in range(start, prepared.steps):
            stopped = f"{state.path}: stopped after step {number} of {prepared.steps}; everything is saved. "
            if asked:
                raise Interrupted(stopped + "Go on with --resume")
            try:
                row = take_step(number, prepared, engine, draws, state, world)
            except Interrupted:  # within the step, which is done again
                save(number)
                raise Interrupted(stopped + "Go on with --resume") from None
            world.on_main(partial(record, row))
            done = number + 1
            asked = world.any(stop_signals.asked)
            if done % recipe.save.every_steps == 0 or done == prepared.steps or asked:
                save(done)
        if world.on_main(lambda: bool(monitor.missing(prepared.steps))):
            raise Interrupted(f"{state.path}: stopped before its last probe; everything is saved. Go on with --resume")
    world.on_main(lambda: _publish(prepared, state))
    for callback in callbacks if world.is_main else ():
        callback.on_end(run.path)
    return run


def _newest(prepared: Prepared, state: RunState) -> tuple[str, int, bool]:
    """Return the newest valid checkpoint's folder ("" without one) and step, and whether nothing is left to do."""
    found = checkpoints.latest_valid(state.path)
    if found is None and state.is_done() and state.last_saved() == prepared.steps:
        log.warning("%s: this run is finished, and its checkpoints are gone; nothing was done", state.path)
        return "", prepared.steps, True
    state.check_checkpoint(found)
    checkpoints.prune(state.path, prepared.recipe.save.keep)  # a kill may have come between a commit and its pruning
    if found is None:
        return "", 0, False
    state.saved(found.step)
    return str(found.path), found.step, found.step >= prepared.steps and state.is_done()


def _publish(prepared: Prepared, state: RunState) -> None:
    """Export the last checkpoint's adapter, and record the end."""
    recipe = prepared.recipe
    final = checkpoints.latest_valid(state.path)
    if final is None or final.step < prepared.steps:
        raise CheckpointError(f"{state.path}: the last checkpoint is damaged; go on with --resume")
    facts = {
        "steps": prepared.steps,
        "data SHA-256": prepared.data_sha256,
        "teacher": f"{recipe.method.teacher} ({state.model_identity['teacher']})",
        "model": prepared.model_identity,
        **({"evaluation-only data": ", ".join(prepared.evaluation_only)} if prepared.evaluation_only else {}),
    }
    export_adapter(state.path, final.path, prepared, facts)
    state.done(prepared.steps)


def _save(
    done: int,
    teacher: str,
    engine: Engine,
    draws: Draws,
    prepared: Prepared,
    state: RunState,
    callbacks: Sequence[Callback],
) -> None:
    recipe = prepared.recipe
    state.check_teacher(teacher)
    checkpoints.save(state.path, done, lambda folder: _write(engine, draws, folder), state.info(), recipe.save.keep)
    state.saved(done)
    for callback in callbacks:
        callback.on_checkpoint(done, state.path)


def _write(engine: Engine, draws: Draws, folder: Path) -> None:
    engine.save(folder)
    draws.save(folder)
