"""What can go wrong with a run, made to go wrong: the right error, the right exit code, and nothing lost."""

import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import harness
import pytest
import torch

import runs
import unswayed.training.loop
from unswayed.config.recipe import Recipe
from unswayed.core.errors import (
    CheckpointError,
    ConfigError,
    DataError,
    Interrupted,
    LockedError,
    NotFiniteError,
    OutOfMemoryError,
    UnswayedError,
)
from unswayed.core.files import locked
from unswayed.engine.hf.engine import HFEngine
from unswayed.training import checkpoint
from unswayed.training.loop import Run, train


def _adapter(run: Run) -> bytes:
    return (run.adapter / "adapter_model.safetensors").read_bytes()


@pytest.fixture
def recipe(tmp_path: Path, tiny_model_dir: Path) -> Recipe:
    return runs.recipe(tmp_path, tiny_model_dir)


@pytest.fixture
def whole(tmp_path: Path, tiny_model_dir: Path) -> Run:
    """The same run, never interrupted."""
    return train(runs.recipe(tmp_path, tiny_model_dir, name="whole"))


def _stop_after(step: int, monkeypatch: pytest.MonkeyPatch, number: int = signal.SIGTERM) -> None:
    """Send a signal in the middle of a step."""
    real = HFEngine.optim_step

    def optim_step(self: HFEngine, *args: Any) -> float:
        if self.version == step - 1:
            os.kill(os.getpid(), number)
        return real(self, *args)

    monkeypatch.setattr(HFEngine, "optim_step", optim_step)


# ---- signals


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_first_signal_finishes_the_step_and_saves(
    recipe: Recipe, whole: Run, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    before = signal.getsignal(number)
    with monkeypatch.context() as patch:
        _stop_after(2, patch, number)
        with pytest.raises(Interrupted, match="after step 2 of 3") as caught:
            train(recipe)
    assert caught.value.exit_code == 75
    assert signal.getsignal(number) is before
    assert [checkpoint.step_of(path) for path in checkpoint.list_checkpoints(recipe.run_dir)] == [1, 2]
    assert not (recipe.run_dir / "FAILED.json").exists()
    assert _adapter(train(recipe, resume=True)) == _adapter(whole)


def test_second_signal_leaves_at_once_and_the_run_still_resumes(recipe: Recipe, whole: Run) -> None:
    def program() -> None:
        real = HFEngine.optim_step

        def optim_step(self: HFEngine, *args: Any) -> float:
            if self.version == 1:
                os.kill(os.getpid(), signal.SIGTERM)
                os.kill(os.getpid(), signal.SIGTERM)
            return real(self, *args)

        HFEngine.optim_step = optim_step  # type: ignore[method-assign]
        train(recipe)

    assert harness.child(program) == 75
    assert [checkpoint.step_of(path) for path in checkpoint.list_checkpoints(recipe.run_dir)] == [1]
    assert _adapter(train(recipe, resume=True)) == _adapter(whole)


@pytest.mark.slow
def test_killed_at_random_times(tmp_path: Path, tiny_model_dir: Path) -> None:
    """A real process on the real command line, SIGKILLed again and again; the seed of the delays is printed."""
    changes: dict[str, Any] = {"train": {"steps": 12, "pairs_per_step": 4}, "lora": {"rank": 2, "dropout": 0.1}}
    expected = train(runs.recipe(tmp_path, tiny_model_dir, name="whole", **changes))
    recipe = runs.recipe(tmp_path, tiny_model_dir, **changes)
    file = tmp_path / "recipe.toml"
    tables = {key: value for key, value in recipe.to_dict().items() if value not in (None, [])}
    file.write_text(_toml(tables), encoding="utf-8")
    command = [sys.executable, "-m", "unswayed", "train", str(file), "--auto-resume"]
    seed = int(time.time())
    print(f"seed {seed}")
    delays = torch.rand(4, generator=torch.Generator().manual_seed(seed)).tolist()
    killed = 0
    for delay in delays:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while process.poll() is None and not (recipe.run_dir / "metrics.jsonl").exists():
            time.sleep(0.01)
        time.sleep(0.5 * delay)
        process.kill()
        killed += process.wait() == -signal.SIGKILL
    assert killed
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in (recipe.run_dir / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [row["step"] for row in rows] == list(range(1, 13))
    assert (recipe.run_dir / "adapter" / "adapter_model.safetensors").read_bytes() == _adapter(expected)


def _toml(tables: dict[str, Any]) -> str:
    """Write plain tables as TOML."""
    lines = [f"{key} = {json.dumps(value)}" for key, value in tables.items() if not isinstance(value, dict)]
    for name, table in tables.items():
        if isinstance(table, dict):
            lines.append(f"[{name}]")
            lines += [f"{k} = {json.dumps(v)}" for k, v in table.items() if v is not None and not isinstance(v, dict)]
    return "\n".join(lines)


# ---- numbers


@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
def test_a_loss_that_is_not_finite_moves_nothing(
    recipe: Recipe, monkeypatch: pytest.MonkeyPatch, value: str, whole: Run
) -> None:
    from dataclasses import replace

    from unswayed.methods.opct import OPCT

    real = OPCT.loss
    before: list[str] = []

    def loss(self: OPCT, student: Any, batch: Any) -> Any:
        output = real(self, student, batch)
        engine = _engines[-1]
        if engine.version == 1:
            before.append(engine.policy.fingerprint)
            return replace(output, total=output.total * 0 + float(value))
        return output

    _engines: list[HFEngine] = []
    real_init = HFEngine.__init__

    def init(self: HFEngine, *args: Any, **kwargs: Any) -> None:
        real_init(self, *args, **kwargs)
        _engines.append(self)

    with monkeypatch.context() as patch:
        patch.setattr(OPCT, "loss", loss)
        patch.setattr(HFEngine, "__init__", init)
        with pytest.raises(NotFiniteError, match=r"step 2: the loss is .*pair-\d.*step-000001") as caught:
            train(recipe)
    assert caught.value.exit_code == 6
    assert _engines[-1].publish().fingerprint == before[0]
    failed = json.loads((recipe.run_dir / "FAILED.json").read_text(encoding="utf-8"))
    assert failed["exit_code"] == 6
    assert len((recipe.run_dir / "metrics.jsonl").read_text(encoding="utf-8").splitlines()) == 1
    assert _adapter(train(recipe, resume=True)) == _adapter(whole)
    assert not (recipe.run_dir / "FAILED.json").exists()


def test_a_gradient_that_is_not_finite_moves_nothing(
    recipe: Recipe, monkeypatch: pytest.MonkeyPatch, whole: Run
) -> None:
    real = HFEngine.forward_backward

    def forward_backward(self: HFEngine, *args: Any) -> Any:
        sums = real(self, *args)
        if self.version == 1:
            next(iter(self.trainable.values())).grad.view(-1)[0] = float("nan")  # type: ignore[union-attr]
        return sums

    with monkeypatch.context() as patch:
        patch.setattr(HFEngine, "forward_backward", forward_backward)
        with pytest.raises(NotFiniteError, match="step 2: the gradient's norm is nan"):
            train(recipe)
    assert [checkpoint.step_of(path) for path in checkpoint.list_checkpoints(recipe.run_dir)] == [1]
    assert _adapter(train(recipe, resume=True)) == _adapter(whole)


def test_memory_halves_the_micro_batch_and_redoes_the_step(
    tmp_path: Path, tiny_model_dir: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    changes = {"train": {"steps": 2, "pairs_per_step": 4, "micro_batch": 4}}
    expected = train(runs.recipe(tmp_path, tiny_model_dir, name="whole", **changes))
    real = HFEngine._forward

    def forward(self: HFEngine, model: Any, batch: Any, *rest: Any) -> Any:
        if len(batch) > 2 and self.version == 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return real(self, model, batch, *rest)

    monkeypatch.setattr(HFEngine, "_forward", forward)
    run = train(runs.recipe(tmp_path, tiny_model_dir, **changes))
    assert caplog.messages == ["step 2: memory ran out; going on with train.micro_batch = 2"]
    assert [row["micro_batch"] for row in run.metrics()] == [4, 2]
    for ours, theirs in zip(run.metrics(), expected.metrics(), strict=True):
        assert ours["loss"] == pytest.approx(theirs["loss"], rel=1e-5)
        assert ours["grad_norm"] == pytest.approx(theirs["grad_norm"], rel=1e-4)


def test_no_memory_for_one_row_is_exit_5(recipe: Recipe, monkeypatch: pytest.MonkeyPatch) -> None:
    def forward(self: HFEngine, *args: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(HFEngine, "_forward", forward)
    with pytest.raises(OutOfMemoryError, match="one row at a time") as caught:
        train(recipe)
    assert caught.value.exit_code == 5


# ---- files


@pytest.mark.parametrize(
    "name", ["adapter_model.safetensors", "optimizer.safetensors", "adapter_config.json", "MANIFEST.json"]
)
@pytest.mark.parametrize("damage", ["truncate", "flip", "delete"])
def test_a_damaged_newest_checkpoint_falls_back_one(
    recipe: Recipe,
    whole: Run,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    damage: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with monkeypatch.context() as patch:
        _stop_after(2, patch)
        with pytest.raises(Interrupted):
            train(recipe)
    path = recipe.run_dir / "checkpoints" / "step-000002" / name
    content = bytearray(path.read_bytes())
    if damage == "truncate":
        path.write_bytes(content[:-1])
    elif damage == "flip":
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    else:
        path.unlink()
    assert _adapter(train(recipe, resume=True)) == _adapter(whole)
    assert "step-000002 is damaged" in caplog.messages[0]
    assert "going on from step 1; 1 steps are done again" in caplog.messages[0]


def test_all_damaged_is_exit_4_and_never_step_0(recipe: Recipe, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        _stop_after(2, patch)
        with pytest.raises(Interrupted):
            train(recipe)
    for path in checkpoint.list_checkpoints(recipe.run_dir):
        (path / "adapter_model.safetensors").unlink()
    with pytest.raises(CheckpointError, match="--fresh") as caught:
        train(recipe, resume=True)
    assert caught.value.exit_code == 4
    assert train(recipe, fresh=True).steps == 3


@pytest.mark.parametrize("room", ["all but the optimizer", "almost none"])
def test_a_full_disk_keeps_the_last_checkpoint(recipe: Recipe, whole: Run, room: str) -> None:
    """The kernel refuses every write beyond a size, as a full disk would; the optimizer's file is the largest."""
    largest = (whole.path / "checkpoints" / "step-000003" / "optimizer.safetensors").stat().st_size
    bound = largest - 1 if room == "all but the optimizer" else 200

    def program() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        real = HFEngine.optim_step

        def optim_step(self: HFEngine, *args: Any) -> float:
            if self.version == 1:
                resource.setrlimit(resource.RLIMIT_FSIZE, (bound, bound))
            return real(self, *args)

        HFEngine.optim_step = optim_step  # type: ignore[method-assign]
        train(recipe)

    code = harness.child(program)
    assert code == (CheckpointError if room == "all but the optimizer" else UnswayedError).exit_code
    (kept,) = checkpoint.list_checkpoints(recipe.run_dir)
    assert checkpoint.step_of(kept) == 1
    assert checkpoint.verify(kept) == []
    assert _adapter(train(recipe, resume=True)) == _adapter(whole)


def test_two_processes_on_one_folder(recipe: Recipe) -> None:
    with locked(recipe.run_dir), pytest.raises(LockedError, match=f"pid {os.getpid()}") as caught:
        train(recipe)
    assert caught.value.exit_code == 2


# ---- another experiment


def test_an_existing_run_is_not_touched_without_a_word(recipe: Recipe) -> None:
    train(recipe)
    with pytest.raises(ConfigError, match=r"finished.*--resume.*--fresh"):
        train(recipe)


def test_resuming_a_finished_run_changes_nothing(recipe: Recipe) -> None:
    before = harness.remains(train(recipe).path)
    assert harness.remains(train(recipe, resume=True).path) == before


@pytest.mark.parametrize(
    ("table", "field", "value"),
    [("optim", "lr", 1e-3), ("sampling", "temperature", 0.9), ("method", "clamp", 2.0), ("train", "pairs_per_step", 2)],
)
def test_a_changed_science_field_is_refused(
    tmp_path: Path, tiny_model_dir: Path, recipe: Recipe, table: str, field: str, value: Any
) -> None:
    train(recipe)
    changed = runs.recipe(tmp_path, tiny_model_dir, **{table: {field: value}})
    with pytest.raises(ConfigError, match=rf"another experiment[\s\S]*{table}\.{field}: was .*, now {value}") as caught:
        train(changed, resume=True)
    assert caught.value.exit_code == 2


def test_a_changed_operational_field_is_accepted(
    tmp_path: Path, tiny_model_dir: Path, recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        _stop_after(1, patch)
        with pytest.raises(Interrupted):
            train(recipe)
    moved = tmp_path / "moved.jsonl"
    (tmp_path / "pairs.jsonl").rename(moved)
    changed = runs.recipe(tmp_path, tiny_model_dir, save={"every_steps": 2}, data={"train": str(moved)})
    assert train(changed, resume=True).steps == 3


def test_changed_data_is_refused(tmp_path: Path, recipe: Recipe) -> None:
    train(recipe)
    runs.write_pairs(tmp_path / "pairs.jsonl", [{**runs.ROWS[0], "id": "other"}, *runs.ROWS[1:]])
    with pytest.raises(DataError, match="SHA-256") as caught:
        train(recipe, resume=True)
    assert caught.value.exit_code == 3


def test_changed_weights_are_refused(tmp_path: Path, tiny_model_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import shutil

    import tiny

    folder = tmp_path / "model"
    shutil.copytree(tiny_model_dir, folder)
    recipe = runs.recipe(tmp_path, folder)
    with monkeypatch.context() as patch:
        _stop_after(1, patch)
        with pytest.raises(Interrupted):
            train(recipe)
    other = tiny.llama()
    tiny.fill(other, seed=5)
    tiny.save(other, folder)
    with pytest.raises(CheckpointError, match="not the one this run began with"):
        train(recipe, resume=True)


def test_a_teacher_that_moves_ends_the_run(recipe: Recipe, monkeypatch: pytest.MonkeyPatch) -> None:
    real = HFEngine.optim_step

    def optim_step(self: HFEngine, *args: Any) -> float:
        if self.version == 1:
            with torch.no_grad():
                next(self.body.parameters()).view(-1)[0].add_(1e-6)
        return real(self, *args)

    monkeypatch.setattr(HFEngine, "optim_step", optim_step)
    with pytest.raises(CheckpointError, match="teacher: was"):
        train(recipe)


# ---- rows


def test_rows_without_targets_are_skipped_and_counted(tmp_path: Path, tiny_model_dir: Path) -> None:
    rows = [{**row, "target": row["target"] if i % 2 else ""} for i, row in enumerate(runs.ROWS)]
    runs.write_pairs(tmp_path / "pairs.jsonl", rows)
    run = train(runs.recipe(tmp_path, tiny_model_dir, method={"name": "sft", "source": "target"}))
    assert sum(row["skipped"].get("empty target", 0) + row["rows"] for row in run.metrics()) == 12
    assert sum(row["skipped"].get("empty target", 0) for row in run.metrics()) > 0


def test_a_step_without_a_single_token_is_an_error(recipe: Recipe, monkeypatch: pytest.MonkeyPatch) -> None:
    from unswayed.core.types import PairedBatch
    from unswayed.methods import Collected
    from unswayed.methods.opct import OPCT

    def collect(self: OPCT, *args: Any) -> Collected:
        return Collected(PairedBatch(()), skipped={"zero-length completion": ["pair-1"]})

    monkeypatch.setattr(OPCT, "collect", collect)
    with pytest.raises(DataError, match=r"no row has a token.*zero-length completion: pair-1"):
        train(recipe)


def test_all_targets_empty_is_refused_before_weights_load(
    tmp_path: Path, tiny_model_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs.write_pairs(tmp_path / "pairs.jsonl", [{**row, "target": None} for row in runs.ROWS])
    monkeypatch.setattr(unswayed.training.loop, "load_engine", lambda *_: pytest.fail("weights were loaded"))
    with pytest.raises(DataError, match="no row has a `target`"):
        train(runs.recipe(tmp_path, tiny_model_dir, method={"name": "sft", "source": "target"}))
