"""Training on two processes: the same completions, losses and weights as on one; what ends one of them ends both."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import runs
from several import several
from unswayed.config.recipe import Recipe
from unswayed.core.files import locked, read_jsonl
from unswayed.core.log import show_logs
from unswayed.engine.hf.engine import HFEngine
from unswayed.training import checkpoint
from unswayed.training.distributed import World, join
from unswayed.training.loop import train

METHODS: dict[str, dict[str, Any]] = {
    "opct": {"name": "opct"},
    "opct-half-teacher": {"name": "opct", "teacher_share": 0.5},
    "opct-topk": {"name": "opct", "estimator": "topk", "k": 5},
    "opct-sampled": {"name": "opct", "estimator": "sampled", "discount": 0.9},
    "opct-clip": {"name": "opct", "estimator": "sampled", "mini_epochs": 2, "clip": 0.2},
    "bct": {"name": "bct"},
    "bct_soft": {"name": "bct_soft"},
    "act": {"name": "act"},
    "sft": {"name": "sft"},
    "sft-target": {"name": "sft", "source": "target"},
}


def _recipe(folder: Path, model: Path, name: str = "run", **changes: Any) -> Recipe:
    """Two steps of five pairs, two completions each, of which one process takes three."""
    tables: dict[str, Any] = {
        "model": {"dtype": "float64"},
        "sampling": {"max_new_tokens": 5, "rollouts_per_pair": 2},
        "train": {"steps": 2, "pairs_per_step": 5, "micro_batch": 2},
        "optim": {"weight_decay": 0.1, "max_grad_norm": 0.5},
        **changes,
    }
    return runs.recipe(folder, model, name=name, **tables)


def _rows(recipe: Recipe) -> list[dict[str, Any]]:
    return read_jsonl(recipe.run_dir / "metrics.jsonl")


def _rollouts(recipe: Recipe) -> list[dict[str, Any]]:
    return [row for file in sorted((recipe.run_dir / "rollouts").iterdir()) for row in read_jsonl(file)]


def _adapter(recipe: Recipe) -> bytes:
    return (recipe.run_dir / "adapter" / "adapter_model.safetensors").read_bytes()


def _same_run(ours: Recipe, theirs: Recipe) -> None:
    """Assert that two runs drew the same and differ in their numbers by rounding only."""
    for mine, other in zip(_rows(ours), _rows(theirs), strict=True):
        for key in ("step", "rows", "tokens", "skipped", "truncated", "written_by", "lr", "updates"):
            assert mine[key] == other[key], key
        for key in set(mine) - {"seconds", "policy", "micro_batch", "processes"}:
            # The tiny model's norms compute in float32 whatever the type.
            assert mine[key] == pytest.approx(other[key], rel=2e-4, abs=1e-6), key
        assert mine["loss"] == pytest.approx(other["loss"], rel=1e-5)
    for mine, other in zip(_rollouts(ours), _rollouts(theirs), strict=True):
        assert {k: mine[k] for k in ("pair_id", "completion_ids", "finish", "seed", "version")} == {
            k: other[k] for k in ("pair_id", "completion_ids", "finish", "seed", "version")
        }
        assert mine["logprobs"] == pytest.approx(other["logprobs"], abs=1e-4)
    left, right = (load_file(r.run_dir / "adapter" / "adapter_model.safetensors") for r in (ours, theirs))
    for name, tensor in left.items():
        torch.testing.assert_close(tensor, right[name], rtol=1e-3, atol=1e-5)


# ---- equal


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory, tiny_model_dir: Path) -> dict[str, tuple[Recipe, Recipe]]:
    """Every method on one process, and on two."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("both")
    alone = {name: _recipe(folder, tiny_model_dir, f"{name}-1", method=table) for name, table in METHODS.items()}
    pair = {name: _recipe(folder, tiny_model_dir, f"{name}-2", method=table) for name, table in METHODS.items()}
    assert several(lambda _: [train(recipe) for recipe in pair.values()], folder) == [0, 0], _errors(folder)
    for recipe in alone.values():
        train(recipe)
    return {name: (alone[name], pair[name]) for name in METHODS}


@pytest.mark.parametrize("name", METHODS)
def test_two_processes_train_what_one_trains(both: dict[str, tuple[Recipe, Recipe]], name: str) -> None:
    alone, pair = both[name]
    assert [row["processes"] for row in _rows(alone)] == [1, 1]
    assert [row["processes"] for row in _rows(pair)] == [2, 2]
    assert json.loads((pair.run_dir / "env.json").read_text())["processes"] == 2
    assert "wait" in _rows(pair)[0]["seconds"]
    assert "wait" not in _rows(alone)[0]["seconds"]
    _same_run(pair, alone)


def test_a_process_without_a_row_takes_part(tmp_path: Path, tiny_model_dir: Path) -> None:
    runs.write_pairs(
        tmp_path / "pairs.jsonl",
        [row if i % 2 else {k: row[k] for k in ("id", "prompt", "teacher_prompt")} for i, row in enumerate(runs.ROWS)],
    )
    changes = {"method": METHODS["sft-target"], "train": {"steps": 4, "pairs_per_step": 2, "micro_batch": 2}}
    pair, alone = (_recipe(tmp_path, tiny_model_dir, name, **changes) for name in ("pair", "alone"))
    assert several(lambda _: train(pair), tmp_path) == [0, 0], _errors(tmp_path)
    train(alone)
    assert 1 in {row["rows"] for row in _rows(pair)}, "no step left a process without a row"
    _same_run(pair, alone)


def test_anchors_probes_and_trackers(tmp_path: Path, tiny_model_dir: Path) -> None:
    pytest.importorskip("tensorboard")
    anchors = [{"id": f"held-{i}", "prompt": f"say {i}", "teacher_prompt": f"say {i}"} for i in range(3)]
    runs.write_pairs(tmp_path / "anchors.jsonl", anchors)
    changes: dict[str, Any] = {
        "data": {"anchors": str(tmp_path / "anchors.jsonl")},
        "train": {"steps": 1, "pairs_per_step": 2, "anchors_per_step": 1, "micro_batch": 2},
        "eval": [{"suite": "sycophancy/suggested_answer", "limit": 2}],
        "log": {"trackers": ["tensorboard"]},
    }
    pair, alone = (_recipe(tmp_path, tiny_model_dir, name, **changes) for name in ("pair", "alone"))
    assert several(lambda _: train(pair), tmp_path) == [0, 0], _errors(tmp_path)
    train(alone)
    _same_run(pair, alone)
    looks = [row["step"] for row in read_jsonl(pair.run_dir / "probes.jsonl")]
    assert looks == [0, 1]
    events = [len(list(recipe.run_dir.rglob("events.out.tfevents*"))) for recipe in (pair, alone)]
    assert events[0] == events[1] > 0


def test_gradients_add_up_and_none_stays_none(tmp_path: Path) -> None:
    def program(rank: int) -> None:
        first, second, third = (torch.nn.Parameter(torch.zeros(2, 3)) for _ in range(3))
        first.grad = torch.full((2, 3), 0.1 + rank)
        if rank:
            second.grad = torch.arange(6.0).view(2, 3)
        join().add_gradients([first, second, third])
        assert torch.equal(first.grad, torch.tensor(0.1) + torch.full((2, 3), 1.1))
        assert torch.equal(second.grad, torch.arange(6.0).view(2, 3))
        assert third.grad is None
        wide = torch.nn.Parameter(torch.zeros(1, dtype=torch.float64))
        wide.grad = torch.tensor([1.0 + rank * 1e-12], dtype=torch.float64)
        join().add_gradients([wide])
        assert wide.grad.item() == 2.0 + 1e-12
        assert [join().gather(lambda: rank), join().on_main(lambda: f"by {rank}")] == [[0, 1], "by 0"]
        assert join().any(rank == 1)

    assert several(program, tmp_path) == [0, 0], _errors(tmp_path)


# ---- stop and resume


@pytest.fixture
def whole(tmp_path: Path, tiny_model_dir: Path) -> Recipe:
    """Three steps on two processes, never interrupted."""
    recipe = _recipe(tmp_path, tiny_model_dir, "whole", train={"steps": 3, "pairs_per_step": 3})
    assert several(lambda _: train(recipe), tmp_path / "whole") == [0, 0], _errors(tmp_path / "whole")
    return recipe


def test_a_signal_to_one_stops_both_at_the_same_step_and_a_resume_ends_in_the_same_bytes(
    tmp_path: Path, tiny_model_dir: Path, whole: Recipe
) -> None:
    recipe = _recipe(tmp_path, tiny_model_dir, train={"steps": 3, "pairs_per_step": 3}, save={"every_steps": 20})

    def interrupted(rank: int) -> None:
        real = HFEngine.optim_step

        def optim_step(self: HFEngine, *args: Any) -> float:
            if rank == 1 and self.version == 1:
                os.kill(os.getpid(), signal.SIGTERM)
                os.kill(os.getpid(), signal.SIGTERM)  # of a launcher: the same request, heard again
            return real(self, *args)

        HFEngine.optim_step = optim_step  # type: ignore[method-assign]
        train(recipe)

    assert several(interrupted, tmp_path) == [75, 75], _errors(tmp_path)
    assert "after step 2 of 3" in (tmp_path / "0.txt").read_text()
    assert [checkpoint.step_of(path) for path in checkpoint.list_checkpoints(recipe.run_dir)] == [2]
    assert not (recipe.run_dir / "FAILED.json").exists()
    assert several(lambda _: train(recipe, resume=True), tmp_path) == [0, 0], _errors(tmp_path)
    assert _adapter(recipe) == _adapter(whole)
    assert _rollouts(recipe) == _rollouts(whole)


def test_the_number_of_processes_may_change_on_resume(tmp_path: Path, tiny_model_dir: Path, whole: Recipe) -> None:
    recipe = _recipe(tmp_path, tiny_model_dir, train={"steps": 3, "pairs_per_step": 3})

    def dies(self: HFEngine, *args: Any) -> float:
        raise KeyboardInterrupt if self.version else AssertionError

    real = HFEngine.optim_step
    HFEngine.optim_step = lambda self, *args: real(self, *args) if self.version < 1 else dies(self)  # type: ignore
    try:
        with pytest.raises(KeyboardInterrupt):
            train(recipe)
    finally:
        HFEngine.optim_step = real  # type: ignore[method-assign]
    assert several(lambda _: train(recipe, resume=True), tmp_path) == [0, 0], _errors(tmp_path)
    assert [row["processes"] for row in _rows(recipe)] == [1, 2, 2]
    _same_run(recipe, whole)


def test_under_torchrun_a_signal_saves_and_the_run_goes_on(tmp_path: Path, tiny_model_dir: Path) -> None:
    changes: dict[str, Any] = {"train": {"steps": 30, "pairs_per_step": 2}, "save": {"every_steps": 100}}
    recipe = _recipe(tmp_path, tiny_model_dir, **changes)
    file = tmp_path / "recipe.toml"
    file.write_text(_toml(recipe.to_dict()), encoding="utf-8")
    command = [
        sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2",
        "--shutdown-timeout", "300",
        "-m", "unswayed", "train", str(file),
    ]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    end = time.monotonic() + 600  # a machine may be busy; most of this is importing
    while process.poll() is None and not _rows(recipe) and time.monotonic() < end:
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=400)
    assert process.returncode != 0
    assert said.count("everything is saved") == 1, said
    done = len(_rows(recipe))
    assert 0 < done < 30
    assert [checkpoint.step_of(path) for path in checkpoint.list_checkpoints(recipe.run_dir)] == [done]
    assert several(lambda _: train(recipe, resume=True), tmp_path) == [0, 0], _errors(tmp_path)
    assert [row["step"] for row in _rows(recipe)] == list(range(1, 31))


# ---- failures


def _fails(tmp_path: Path, recipe: Recipe, patch: Any, codes: list[int]) -> str:
    """Train on two processes, one of them patched, until both end; return what the first one's error says."""

    def program(rank: int) -> None:
        if rank == 1:
            patch()
        train(recipe)

    assert several(program, tmp_path) == codes, _errors(tmp_path)
    return (tmp_path / "0.txt").read_text().splitlines()[-1]


def test_a_loss_that_is_not_finite_in_one_stops_both_before_anything_moves(
    tmp_path: Path, tiny_model_dir: Path
) -> None:
    from dataclasses import replace

    recipe = _recipe(tmp_path, tiny_model_dir, train={"steps": 3, "pairs_per_step": 3}, save={"every_steps": 1})

    def patch() -> None:
        real = HFEngine.forward_backward

        def forward_backward(self: HFEngine, *args: Any) -> Any:
            sums = real(self, *args)
            return replace(sums, total=float("nan")) if self.version == 1 else sums

        HFEngine.forward_backward = forward_backward  # type: ignore[method-assign]

    said = _fails(tmp_path, recipe, patch, [6, 6])
    assert "process 1: step 2: the loss is nan; nothing was updated. Rows: pair-" in said
    assert json.loads((recipe.run_dir / "FAILED.json").read_text())["exit_code"] == 6
    assert len(_rows(recipe)) == 1
    assert several(lambda _: train(recipe, resume=True), tmp_path) == [0, 0], _errors(tmp_path)


def test_a_gradient_that_is_not_finite_in_one_stops_both(tmp_path: Path, tiny_model_dir: Path) -> None:
    def patch() -> None:
        real = HFEngine.forward_backward

        def forward_backward(self: HFEngine, *args: Any) -> Any:
            sums = real(self, *args)
            next(iter(self.trainable.values())).grad.view(-1)[0] = float("inf")  # type: ignore[union-attr]
            return sums

        HFEngine.forward_backward = forward_backward  # type: ignore[method-assign]

    said = _fails(tmp_path, _recipe(tmp_path, tiny_model_dir), patch, [6, 6])
    assert "step 1: the gradient's norm is inf; nothing was updated" in said


def test_memory_that_runs_out_in_one_halves_its_micro_batch_only(tmp_path: Path, tiny_model_dir: Path) -> None:
    pair, alone = (_recipe(tmp_path, tiny_model_dir, name) for name in ("pair", "alone"))

    def program(rank: int) -> None:
        real = HFEngine._forward

        def forward(self: HFEngine, model: Any, batch: Any, *rest: Any) -> Any:
            if len(batch) > 1 and self.version == 1:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return real(self, model, batch, *rest)

        if rank == 1:
            HFEngine._forward = forward  # type: ignore[method-assign]
        show_logs()
        train(pair)

    assert several(program, tmp_path) == [0, 0], _errors(tmp_path)
    message = "process 1: warning: step 2: memory ran out; going on with train.micro_batch = 1\n"
    assert [(tmp_path / f"{rank}.txt").read_text() for rank in range(2)] == ["", message]
    train(alone)
    assert [row["micro_batch"] for row in _rows(pair)] == [2, 1]
    _same_run(pair, alone)


def test_an_error_nobody_expected_in_one_is_told_by_the_other(tmp_path: Path, tiny_model_dir: Path) -> None:
    def patch() -> None:
        HFEngine.forward_backward = lambda *_: 1 / 0  # type: ignore

    recipe = _recipe(tmp_path, tiny_model_dir)
    assert "process 1: ZeroDivisionError" in _fails(tmp_path, recipe, patch, [1, 1])
    assert json.loads((recipe.run_dir / "FAILED.json").read_text())["exit_code"] == 1


def test_a_process_that_is_killed_does_not_leave_the_other_waiting(tmp_path: Path, tiny_model_dir: Path) -> None:
    def patch() -> None:
        HFEngine.forward_backward = lambda *_: os.kill(os.getpid(), signal.SIGKILL)  # type: ignore

    recipe = _recipe(tmp_path, tiny_model_dir)
    assert "LostProcess: another process of this run has ended" in _fails(tmp_path, recipe, patch, [1, -signal.SIGKILL])


def test_weights_that_drift_apart_are_never_saved(tmp_path: Path, tiny_model_dir: Path) -> None:
    def patch() -> None:
        real = HFEngine.optim_step

        def optim_step(self: HFEngine, *args: Any) -> float:
            norm = real(self, *args)
            with torch.no_grad():
                next(iter(self.trainable.values())).view(-1)[0] += 1e-7
            return norm

        HFEngine.optim_step = optim_step  # type: ignore[method-assign]

    recipe = _recipe(tmp_path, tiny_model_dir)
    assert "the trained adapter, or the frozen model, of process 1" in _fails(tmp_path, recipe, patch, [2, 2])
    assert checkpoint.list_checkpoints(recipe.run_dir) == []


def test_a_folder_in_use_stops_both(tmp_path: Path, tiny_model_dir: Path) -> None:
    recipe = _recipe(tmp_path, tiny_model_dir)
    with locked(recipe.run_dir):
        assert "in use by pid" in _fails(tmp_path, recipe, lambda: None, [2, 2])


def test_fewer_pairs_than_processes_are_refused(tmp_path: Path, tiny_model_dir: Path) -> None:
    recipe = _recipe(tmp_path, tiny_model_dir, train={"steps": 2, "pairs_per_step": 1})
    assert "a step of 1 (train.pairs_per_step plus" in _fails(tmp_path, recipe, lambda: None, [2, 2])
    assert not recipe.run_dir.exists()


def test_processes_with_different_recipes_are_refused(tmp_path: Path, tiny_model_dir: Path) -> None:
    recipes = [_recipe(tmp_path, tiny_model_dir, save={"every_steps": every}) for every in (1, 2)]
    assert several(lambda rank: train(recipes[rank]), tmp_path) == [2, 2], _errors(tmp_path)
    assert (
        "the recipe, the pairs or the model of process 1 is not that of process 0" in (tmp_path / "0.txt").read_text()
    )


def test_one_process_is_the_plain_world(tmp_path: Path) -> None:
    assert type(join()) is World
    assert join().gather(lambda: 3) == [3]


def _errors(folder: Path) -> str:
    return "\n".join(f"--- {path.name}\n{path.read_text()}" for path in sorted(folder.glob("[0-9].txt")))


def _toml(tables: dict[str, Any]) -> str:
    """Write plain tables as TOML."""
    lines = [f"{k} = {json.dumps(v)}" for k, v in tables.items() if not isinstance(v, dict) and v not in (None, [])]
    for name, table in tables.items():
        if isinstance(table, dict):
            lines.append(f"[{name}]")
            lines += [f"{k} = {json.dumps(v)}" for k, v in table.items() if v is not None and not isinstance(v, dict)]
    return "\n".join(lines)
