"""A run goes on only as itself: not from other checkpoints, none, or other stop tokens; and signals inside a step."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import harness
import pytest

import runs
from unswayed.config.recipe import Recipe
from unswayed.core.errors import CheckpointError, ConfigError, Interrupted
from unswayed.core.files import write_json
from unswayed.core.hashing import hash_json
from unswayed.core.signals import stop_signals
from unswayed.core.types import LossOutput, PairedBatch, SamplingParams
from unswayed.engine.base import Scored
from unswayed.engine.hf.engine import HFEngine
from unswayed.engine.policy import load_policy
from unswayed.methods.opct import OPCT
from unswayed.training import checkpoint
from unswayed.training.loop import train
from unswayed.training.prepare import prepare
from unswayed.training.run_folder import RunState


@pytest.fixture
def recipe(tmp_path: Path, tiny_model_dir: Path) -> Recipe:
    return runs.recipe(tmp_path, tiny_model_dir)


@pytest.fixture(autouse=True)
def _nothing_is_asked() -> Iterator[None]:
    yield
    stop_signals.asked = False


def _steps(run_dir: Path) -> list[int]:
    return [checkpoint.step_of(path) for path in checkpoint.list_checkpoints(run_dir)]


def _stop_after(recipe: Recipe, step: int) -> None:
    """Train in a child that is killed as soon as the checkpoint of `step` is written."""

    def program() -> None:
        real = checkpoint.save

        def save(run_dir: Path, done: int, *args: Any) -> Path:
            path = real(run_dir, done, *args)
            if done == step:
                os.kill(os.getpid(), signal.SIGKILL)
            return path

        checkpoint.save = save
        train(recipe)

    assert harness.child(program) == -signal.SIGKILL


# ---- a checkpoint says what it belongs to


def _rewrite_info(path: Path, part: str, **changes: Any) -> None:
    manifest = json.loads((path / checkpoint.MANIFEST).read_text(encoding="utf-8"))
    manifest["info"][part] |= changes
    manifest["self"] = hash_json({key: value for key, value in manifest.items() if key != "self"})
    write_json(path / checkpoint.MANIFEST, manifest)


@pytest.mark.parametrize(
    ("part", "key", "value"),
    [
        ("recipe", "optim.lr", 0.5),
        ("recipe", "lora.alpha", 8.0),
        ("data", "rows", 11),
        ("model", "weights", "sha256:other"),
        ("model", "teacher", "other"),
    ],
)
def test_29_a_checkpoint_of_another_run_is_refused(recipe: Recipe, part: str, key: str, value: object) -> None:
    _stop_after(recipe, 2)
    _rewrite_info(recipe.run_dir / "checkpoints" / "step-000002", part, **{key: value})
    with pytest.raises(CheckpointError, match=rf"of another run:\n  {part}: {key}: was {value}, now ") as caught:
        train(recipe, resume=True)
    assert caught.value.exit_code == 4
    assert _steps(recipe.run_dir) == [1, 2]


def test_29_checkpoints_moved_from_another_run_are_refused(tmp_path: Path, tiny_model_dir: Path) -> None:
    mine, other = (runs.recipe(tmp_path, tiny_model_dir, name=name, optim={"lr": lr})
                   for name, lr in (("mine", 1e-2), ("other", 1e-3)))  # fmt: skip
    _stop_after(mine, 2)
    _stop_after(other, 2)
    shutil.rmtree(mine.run_dir / "checkpoints")
    shutil.copytree(other.run_dir / "checkpoints", mine.run_dir / "checkpoints")
    with pytest.raises(CheckpointError, match=r"recipe: optim\.lr: was 0\.001, now 0\.01"):
        train(mine, resume=True)


@pytest.mark.parametrize("resume", [False, True, "auto"])
def test_29_checkpoints_without_their_recipe_are_refused(recipe: Recipe, resume: Any) -> None:
    _stop_after(recipe, 2)
    (recipe.run_dir / "recipe.json").unlink()
    with pytest.raises(ConfigError, match=r"no recipe\.json"):
        train(recipe, resume=resume)
    assert _steps(recipe.run_dir) == [1, 2]


# ---- checkpoints that are gone


def test_30_a_run_whose_checkpoints_are_gone_does_not_start_over(recipe: Recipe) -> None:
    _stop_after(recipe, 2)
    before = (recipe.run_dir / "metrics.jsonl").read_bytes()
    shutil.rmtree(recipe.run_dir / "checkpoints")
    for resume in (True, "auto"):
        with pytest.raises(CheckpointError, match=r"the checkpoint of step [12] is gone") as caught:
            train(recipe, resume=resume)  # type: ignore[arg-type]
        assert caught.value.exit_code == 4
    assert (recipe.run_dir / "metrics.jsonl").read_bytes() == before


def test_30_a_finished_run_without_checkpoints_is_still_finished(
    tmp_path: Path, tiny_model_dir: Path, recipe: Recipe, caplog: pytest.LogCaptureFixture
) -> None:
    run = train(recipe)
    shutil.rmtree(run.path / "checkpoints")
    before = harness.remains(run.path)
    assert train(recipe, resume=True).steps == 3
    assert "is finished, and its checkpoints are gone" in caplog.text
    assert harness.remains(run.path) == before
    longer = runs.recipe(tmp_path, tiny_model_dir, train={"steps": 4})
    with pytest.raises(CheckpointError, match="the checkpoint of step 3 is gone"):
        train(longer, resume=True)


def test_30_the_newest_checkpoint_gone_is_said(recipe: Recipe, caplog: pytest.LogCaptureFixture) -> None:
    whole = train(recipe).adapter.joinpath("adapter_model.safetensors").read_bytes()
    shutil.rmtree(recipe.run_dir / "checkpoints" / "step-000003")
    run = train(recipe, resume=True)
    assert "the checkpoint of step 3 is gone; going on from step 2" in caplog.text
    assert run.adapter.joinpath("adapter_model.safetensors").read_bytes() == whole


def test_30_a_kill_before_the_first_checkpoint_is_no_loss(tmp_path: Path, tiny_model_dir: Path) -> None:
    recipe = runs.recipe(tmp_path, tiny_model_dir, save={"every_steps": 20})

    def program() -> None:
        real = HFEngine.optim_step

        def optim_step(self: HFEngine, *args: Any) -> float:
            if self.version == 1:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(self, *args)

        HFEngine.optim_step = optim_step  # type: ignore[method-assign]
        train(recipe)

    assert harness.child(program) == -signal.SIGKILL
    assert len((recipe.run_dir / "metrics.jsonl").read_bytes().splitlines()) == 1
    assert train(recipe, resume=True).steps == 3


# ---- what the sampler reads from model files


@pytest.fixture
def folder(tmp_path: Path, tiny_model_dir: Path) -> Path:
    return Path(shutil.copytree(tiny_model_dir, tmp_path / "model"))


def _stops(folder: Path, *ids: int) -> None:
    file = folder / "generation_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"eos_token_id": list(ids)}), encoding="utf-8")


def test_31_other_stop_tokens_are_another_run(tmp_path: Path, folder: Path) -> None:
    recipe = runs.recipe(tmp_path, folder)
    _stop_after(recipe, 2)
    _stops(folder, 2, 7)
    for check in (lambda: train(recipe, resume=True), lambda: RunState(recipe.run_dir, prepare(recipe)).check(
        resume=True, fresh=False)):  # fmt: skip
        with pytest.raises(CheckpointError, match="stop tokens: was 2, now 2, 7"):
            check()
    _stops(folder, 2)
    assert train(recipe, resume=True).steps == 3


def test_31_other_stop_tokens_are_another_policy(folder: Path) -> None:
    def identity() -> str:
        return load_policy(str(folder), dtype="float32", device="cpu").identity

    before = identity()
    _stops(folder, 2, 7)
    assert identity() != before
    _stops(folder, 2)
    assert identity() == before


# ---- no run, and runs that could not begin


def _command(recipe: Recipe, *flags: str) -> subprocess.CompletedProcess[str]:
    file = recipe.run_dir.parent.parent / "recipe.toml"
    tables = {k: v for k, v in recipe.to_dict().items() if v not in (None, [])}
    lines = [f"{key} = {json.dumps(value)}" for key, value in tables.items() if not isinstance(value, dict)]
    for name, table in tables.items():
        if isinstance(table, dict):
            lines.append(f"[{name}]")
            lines += [f"{k} = {json.dumps(v)}" for k, v in table.items() if v is not None and not isinstance(v, dict)]
    file.write_text("\n".join(lines), encoding="utf-8")
    command = [sys.executable, "-m", "unswayed", "train", str(file), *flags]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_49_resume_needs_a_run(recipe: Recipe) -> None:
    for flags in (["--resume"], ["--resume", "--dry-run"]):
        done = _command(recipe, *flags)
        assert done.returncode == 2
        assert "no run to resume" in done.stderr
    assert not (recipe.run_dir / "recipe.json").exists()
    with pytest.raises(ConfigError, match="no run to resume"):
        train(recipe, resume=True)
    assert train(recipe, resume="auto").steps == 3


def test_49_a_dry_run_says_what_lies_in_the_folder(recipe: Recipe) -> None:
    fine = _command(recipe, "--dry-run")
    assert (fine.returncode, fine.stderr) == (0, "")
    train(recipe)
    before = harness.remains(recipe.run_dir)
    done = _command(recipe, "--dry-run")
    assert done.returncode == 2
    assert "holds a run (finished)" in done.stderr
    assert "steps" in done.stdout
    assert _command(recipe, "--dry-run", "--resume").returncode == 0
    assert _command(recipe, "--dry-run", "--fresh").returncode == 0
    other = _command(recipe, "--dry-run", "--resume", "--set", "optim.lr=0.5")
    assert other.returncode == 2
    assert "optim.lr: was 0.01, now 0.5" in other.stderr
    assert harness.remains(recipe.run_dir) == before


def test_50_a_tracker_that_is_missing_is_found_by_the_dry_run(
    tmp_path: Path, tiny_model_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import accelerate.tracking

    monkeypatch.setattr(accelerate.tracking, "get_available_trackers", list)
    recipe = runs.recipe(tmp_path, tiny_model_dir, log={"trackers": ["tensorboard"]})
    with pytest.raises(ConfigError, match=r"tensorboard is not installed; pip install 'unswayed\[trackers\]'"):
        prepare(recipe)
    with pytest.raises(ConfigError, match="tensorboard is not installed"):
        train(recipe)
    assert not recipe.run_dir.exists()


def test_50_an_error_nobody_expected_is_a_failed_run(recipe: Recipe, monkeypatch: pytest.MonkeyPatch) -> None:
    from unswayed.cli.runs import find_runs

    def breaks(*_: object, **__: object) -> None:
        raise RuntimeError("no such tracker")

    monkeypatch.setattr("unswayed.training.loop.Trackers", breaks)
    with pytest.raises(RuntimeError):
        train(recipe)
    assert [run.state for run in find_runs(recipe.run_dir)] == ["failed"]
    assert json.loads((recipe.run_dir / "FAILED.json").read_text()) == {
        "error": "RuntimeError", "exit_code": 1, "message": "no such tracker",
    }  # fmt: skip


# ---- a signal inside a step


class _Signals:
    """Sends this process a signal at the nth call of something, and counts the calls."""

    def __init__(self, at: int) -> None:
        self.at, self.calls = at, 0

    def __call__(self) -> None:
        self.calls += 1
        if self.calls == self.at:
            os.kill(os.getpid(), signal.SIGTERM)


@pytest.mark.parametrize("where", ["loss", "decode"])
def test_42_a_signal_ends_a_step_between_micro_batches(
    tmp_path: Path, tiny_model_dir: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """The second step of three is left at once and done again; the run ends in the same bytes."""
    from unswayed.engine.decode.sampler import _Decoder

    recipe = runs.recipe(tmp_path, tiny_model_dir, save={"every_steps": 20}, train={"steps": 3, "micro_batch": 1})
    whole = train(runs.recipe(tmp_path, tiny_model_dir, name="whole", save={"every_steps": 20},
                              train={"steps": 3, "micro_batch": 1}))  # fmt: skip
    sent = _Signals(at=6 if where == "loss" else 7)  # four micro-batches, about five tokens a step
    real_loss, real_step = OPCT.loss, _Decoder._step

    def loss(self: OPCT, student: Scored, batch: PairedBatch) -> LossOutput:
        sent()
        return real_loss(self, student, batch)

    def step(self: _Decoder) -> None:
        sent()
        real_step(self)

    with monkeypatch.context() as patch:
        patch.setattr(OPCT, "loss", loss) if where == "loss" else patch.setattr(_Decoder, "_step", step)
        with pytest.raises(Interrupted, match="stopped after step 1 of 3"):
            train(recipe)
    assert sent.calls == sent.at, "what follows the signal was begun"
    assert _steps(recipe.run_dir) == [1]
    again = train(recipe, resume=True)
    assert harness.remains(again.path).keys() >= {"DONE.json"}
    for name in ("adapter/adapter_model.safetensors", "rollouts/step-000002.jsonl", "rollouts/step-000003.jsonl"):
        assert (again.path / name).read_bytes() == (whole.path / name).read_bytes()


def test_42_a_signal_in_the_first_step_leaves_no_checkpoint_and_begins_again(
    tmp_path: Path, tiny_model_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = runs.recipe(tmp_path, tiny_model_dir, train={"steps": 1, "micro_batch": 1})
    sent, real = _Signals(at=1), OPCT.loss

    def loss(self: OPCT, student: Scored, batch: PairedBatch) -> LossOutput:
        sent()
        return real(self, student, batch)

    with monkeypatch.context() as patch:
        patch.setattr(OPCT, "loss", loss)
        with pytest.raises(Interrupted, match="after step 0"):
            train(recipe)
    assert _steps(recipe.run_dir) == []
    assert train(recipe, resume=True).steps == 1


def test_42_later_updates_of_a_step_are_finished(
    tmp_path: Path, tiny_model_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    method = {"name": "opct", "estimator": "sampled", "mini_epochs": 3, "clip": 0.2}
    recipe = runs.recipe(tmp_path, tiny_model_dir, method=method, train={"steps": 2, "micro_batch": 1})
    sent, real = _Signals(at=6), OPCT.loss

    def loss(self: OPCT, student: Scored, batch: PairedBatch) -> LossOutput:
        sent()
        return real(self, student, batch)

    monkeypatch.setattr(OPCT, "loss", loss)
    with pytest.raises(Interrupted, match="stopped after step 1 of 2"):
        train(recipe)
    assert sent.calls == 12
    assert _steps(recipe.run_dir) == [1]


def test_42_a_look_outside_of_a_step_ends_nothing(tiny_model_dir: Path) -> None:
    policy = load_policy(str(tiny_model_dir), dtype="float32", device="cpu")
    params, prompts = SamplingParams(max_new_tokens=3), [(5, 6, 7)]
    with stop_signals:
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop_signals.asked
        drawn: Sequence[Any] = policy.draw(prompts, params, [[1]])
    assert len(drawn) == 1


def test_42_what_killed_writers_left_is_removed_by_the_next_one(tmp_path: Path) -> None:
    """`data build`, `compare` and every other command write through `write_atomic`."""
    from unswayed.core.files import write_atomic

    dead = harness_pid()
    for name in (f".tmp-page.html-{dead}", f".tmp-page.html-{os.getppid()}", f".tmp-other-{dead}"):
        (tmp_path / name).write_text("half", encoding="utf-8")
    write_atomic(tmp_path / "page.html", "whole")
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        f".tmp-other-{dead}", f".tmp-page.html-{os.getppid()}", "page.html",
    ]  # fmt: skip


def harness_pid() -> int:
    """Return the number of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid
