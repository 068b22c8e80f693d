"""Completions that are drawn once in a run: what later epochs learn from, through kills and on two processes."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import harness
import pytest
import torch

import runs
from several import several
from unswayed.config.recipe import Recipe
from unswayed.core.files import read_jsonl
from unswayed.core.types import PolicyRef, PromptPair, TokenizedPair
from unswayed.engine.hf.engine import HFEngine
from unswayed.training import checkpoint
from unswayed.training.distributed import share
from unswayed.training.loop import train
from unswayed.training.prepare import prepare
from unswayed.training.teacher_draws import DRAWS_FILE, Draws

METHODS: dict[str, dict[str, Any]] = {"bct": {"name": "bct"}, "bct_soft": {"name": "bct_soft"}, "sft": {"name": "sft"}}
TEACHER = PolicyRef("teacher", 0, (), "weights")


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def _recipe(folder: Path, model_dir: Path, /, name: str = "run", **changes: Any) -> Recipe:
    """Three epochs of ten pairs, two completions each, two steps an epoch."""
    tables: dict[str, Any] = {
        "method": METHODS["bct"],
        "sampling": {"max_new_tokens": 5, "rollouts_per_pair": 2},
        "train": {"steps": None, "epochs": 3, "pairs_per_step": 5, "micro_batch": 8},
        "save": {"every_steps": 1},
        **changes,
    }
    return runs.recipe(folder, model_dir, name=name, **tables)


def _rows(recipe: Recipe) -> list[dict[str, Any]]:
    rows = read_jsonl(recipe.run_dir / "metrics.jsonl")
    return [{key: value for key, value in row.items() if key != "seconds"} for row in rows]


def _files(recipe: Recipe) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in sorted((recipe.run_dir / "rollouts").iterdir())}


def _adapter(recipe: Recipe) -> bytes:
    return (recipe.run_dir / "adapter" / "adapter_model.safetensors").read_bytes()


def _never_keep(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Draws, "add", lambda *_: None)


class _Sampled:
    """The ids of the pairs that the engine was asked to draw for, call by call."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls: list[list[str]] = []
        real = HFEngine.sample

        def sample(engine: HFEngine, pair_ids: Sequence[str], *args: Any) -> Any:
            self.calls.append(list(pair_ids))
            return real(engine, pair_ids, *args)

        monkeypatch.setattr(HFEngine, "sample", sample)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, tiny_model_dir: Path) -> Recipe:
    """The run, never interrupted."""
    torch.set_num_threads(1)
    recipe = _recipe(tmp_path_factory.mktemp("whole"), tiny_model_dir)
    train(recipe)
    return recipe


# ---- one process


@pytest.mark.parametrize("method", METHODS)
def test_each_pair_is_drawn_once_and_the_rest_is_as_if_drawn_anew(
    tmp_path: Path, tiny_model_dir: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    once, anew = (_recipe(tmp_path, tiny_model_dir, name, method=METHODS[method]) for name in ("once", "anew"))
    with monkeypatch.context() as patch:
        sampled = _Sampled(patch)
        train(once)
    assert sorted(name for call in sampled.calls for name in call) == sorted(row["id"] for row in runs.ROWS)
    with monkeypatch.context() as patch:
        _never_keep(patch)
        train(anew)
    assert [row["drawn"] for row in _rows(once)] == [10] * 2 + [0] * 4
    assert [row["drawn"] for row in _rows(anew)] == [10] * 6
    assert [{**row, "drawn": 10} for row in _rows(once)[:2]] == _rows(anew)[:2]  # the first epoch: equal bits
    assert list(_files(once).values())[:2] == list(_files(anew).values())[:2]
    for mine, other in zip(_rows(once), _rows(anew), strict=True):
        assert mine["loss"] == pytest.approx(other["loss"], rel=1e-4)
        assert (mine["rows"], mine["tokens"], mine["written_by"]) == (10, other["tokens"], {"teacher": 10})


def test_rollouts_hold_what_was_trained_on(whole: Recipe) -> None:
    recipe = whole
    first: dict[str, list[dict[str, Any]]] = {}
    prepared = prepare(recipe)
    for number in range(6):
        rows = read_jsonl(recipe.run_dir / "rollouts" / f"step-{number + 1:06d}.jsonl")
        assert [row["pair_id"] for row in rows[::2]] == [pair.pair.id for pair in prepared.pairs_of(number)]
        for i in range(0, 10, 2):
            assert rows[i : i + 2] == first.setdefault(rows[i]["pair_id"], rows[i : i + 2])


def test_an_epoch_may_end_inside_a_step_and_a_pair_may_stand_in_it_twice(
    tmp_path: Path, tiny_model_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs.write_pairs(tmp_path / "pairs.jsonl", runs.ROWS[:3])
    recipe = _recipe(tmp_path, tiny_model_dir, train={"steps": 3, "epochs": None, "pairs_per_step": 5})
    sampled = _Sampled(monkeypatch)
    train(recipe)
    assert [len(call) for call in sampled.calls] == [5]
    assert [row["drawn"] for row in _rows(recipe)] == [10, 0, 0]
    for file in sorted((recipe.run_dir / "rollouts").iterdir())[1:]:
        rows = read_jsonl(file)
        assert len(rows) == 10
        assert len({tuple(row["completion_ids"]) for row in rows}) <= 6


def test_anchors_are_drawn_once_too(tmp_path: Path, tiny_model_dir: Path) -> None:
    anchors = [{"id": f"held-{i}", "prompt": f"say {i}", "teacher_prompt": f"say {i}"} for i in range(2)]
    runs.write_pairs(tmp_path / "anchors.jsonl", anchors)
    data = {"train": str(tmp_path / "pairs.jsonl"), "anchors": str(tmp_path / "anchors.jsonl")}
    steps = {"steps": 3, "epochs": None, "pairs_per_step": 2, "anchors_per_step": 1}
    recipe = _recipe(tmp_path, tiny_model_dir, data=data, train=steps)
    assert prepare(recipe).repeats
    train(recipe)
    assert [row["drawn"] for row in _rows(recipe)] == [6, 6, 4]


@pytest.mark.parametrize(
    "changes",
    [
        {"train": {"steps": 2, "epochs": None, "pairs_per_step": 5}},
        {"method": {"name": "opct", "teacher_share": 0.5}},
        {"method": {"name": "sft", "source": "target"}, "sampling": {"max_new_tokens": 5}},
    ],
    ids=["one-epoch", "on-policy", "targets"],
)
def test_nothing_is_kept_that_does_not_come_again(tmp_path: Path, tiny_model_dir: Path, changes: Any) -> None:
    recipe = _recipe(tmp_path, tiny_model_dir, **changes)
    train(recipe)
    assert list(recipe.run_dir.rglob(DRAWS_FILE)) == []
    rows = _rows(recipe)
    assert [row["drawn"] for row in rows] == [sum(row["written_by"].values()) for row in rows]


# ---- stop and resume


@pytest.mark.parametrize("step", [2, 3, 5])
def test_killed_in_any_epoch_a_run_ends_in_the_same_bytes(
    tmp_path: Path, tiny_model_dir: Path, whole: Recipe, step: int
) -> None:
    """The files of rollouts are lost too: the draws are the checkpoint's own."""
    recipe = _recipe(tmp_path, tiny_model_dir)

    def program() -> None:
        real = HFEngine.optim_step

        def optim_step(self: HFEngine, *args: Any) -> float:
            if self.version == step:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(self, *args)

        HFEngine.optim_step = optim_step  # type: ignore[method-assign]
        train(recipe)

    assert harness.child(program) == -signal.SIGKILL
    shutil.rmtree(recipe.run_dir / "rollouts")
    train(recipe, resume=True)
    assert _rows(recipe) == _rows(whole)
    assert _adapter(recipe) == _adapter(whole)
    again = _files(recipe)
    assert again
    assert again.items() <= _files(whole).items()


@pytest.mark.parametrize("damage", ["flip", "delete"])
def test_damaged_draws_fall_back_one_checkpoint(
    tmp_path: Path, tiny_model_dir: Path, whole: Recipe, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    recipe = _recipe(tmp_path, tiny_model_dir)

    def program() -> None:
        HFEngine.publish = _dies_at(4, HFEngine.publish)  # type: ignore[method-assign]
        train(recipe)

    assert harness.child(program) == -signal.SIGKILL
    newest = checkpoint.list_checkpoints(recipe.run_dir)[-1]
    file = newest / DRAWS_FILE
    if damage == "delete":
        file.unlink()
    else:
        text = file.read_bytes()
        file.write_bytes(text.replace(b'"seed": ', b'"seed": 1', 1)[: len(text)])
    train(recipe, resume=True)
    assert DRAWS_FILE in caplog.messages[0]
    assert "1 steps are done again" in caplog.messages[0]
    assert (_rows(recipe), _adapter(recipe), _files(recipe)) == (_rows(whole), _adapter(whole), _files(whole))


def _dies_at(version: int, real: Any) -> Any:
    def publish(self: HFEngine) -> PolicyRef:
        if self.version == version:
            os.kill(os.getpid(), signal.SIGKILL)
        found: PolicyRef = real(self)
        return found

    return publish


def test_a_checkpoint_of_an_earlier_version_goes_on(tmp_path: Path, tiny_model_dir: Path, whole: Recipe) -> None:
    """It has no draws: they are drawn anew, once, and equal the others up to rounding."""
    recipe = _recipe(tmp_path, tiny_model_dir)

    def program() -> None:
        Draws.save = lambda *_: None  # type: ignore
        HFEngine.publish = _dies_at(4, HFEngine.publish)  # type: ignore[method-assign]
        train(recipe)

    assert harness.child(program) == -signal.SIGKILL
    train(recipe, resume=True)
    drawn = [row["drawn"] for row in _rows(recipe)]
    assert drawn[:3] == [10, 10, 0]
    assert sum(drawn[3:]) == 20
    for mine, other in zip(_rows(recipe), _rows(whole), strict=True):
        assert mine["loss"] == pytest.approx(other["loss"], rel=1e-4)


# ---- two processes


def test_two_processes_keep_one_another_s_draws(tmp_path: Path, tiny_model_dir: Path) -> None:
    changes: dict[str, Any] = {"model": {"dtype": "float64"}}
    alone, pair, stopped = (_recipe(tmp_path, tiny_model_dir, n, **changes) for n in ("alone", "pair", "stopped"))

    def killed(rank: int) -> None:
        real = HFEngine.optim_step

        def optim_step(self: HFEngine, *args: Any) -> float:
            if self.version == 3 and rank == 1:
                os.kill(os.getpid(), signal.SIGTERM)
            return real(self, *args)

        HFEngine.optim_step = optim_step  # type: ignore[method-assign]
        train(stopped)

    assert several(lambda _: train(pair), tmp_path / "p") == [0, 0], _errors(tmp_path / "p")
    assert several(killed, tmp_path / "k") == [75, 75], _errors(tmp_path / "k")
    assert several(lambda _: train(stopped, resume=True), tmp_path / "r") == [0, 0], _errors(tmp_path / "r")
    train(alone)
    prepared = prepare(pair)
    ranks: dict[str, set[int]] = {}
    for number in range(6):
        pairs = prepared.pairs_of(number)
        for rank, places in enumerate(share([len(p.prompt_ids) + len(p.teacher_prompt_ids) for p in pairs], 2)):
            for place in places:
                ranks.setdefault(pairs[place].pair.id, set()).add(rank)
    assert {0, 1} in ranks.values(), "no pair falls to another process in a later epoch"
    assert [row["drawn"] for row in _rows(alone)] == [row["drawn"] for row in _rows(pair)] == [10, 10, 0, 0, 0, 0]
    assert (_rows(stopped), _adapter(stopped), _files(stopped)) == (_rows(pair), _adapter(pair), _files(pair))
    for mine, other in zip(_rows(pair), _rows(alone), strict=True):
        assert mine["tokens"] == other["tokens"]
        assert mine["loss"] == pytest.approx(other["loss"], rel=1e-5)


def _errors(folder: Path) -> str:
    return "\n".join((folder / f"{rank}.txt").read_text() for rank in range(2))


# ---- the store alone


def _pair(name: str) -> TokenizedPair:
    return TokenizedPair(PromptPair(name, (), ()), (1, 2), (3,))


def _row(name: str, *ids: int, seed: int = 2**63 - 1) -> dict[str, Any]:
    logprobs = [-0.1 / (1 + i) for i in ids]
    return {"pair_id": name, "completion_ids": list(ids), "logprobs": logprobs, "finish": "stop", "seed": seed}


def test_what_is_kept_comes_back_bit_for_bit(tmp_path: Path) -> None:
    draws = Draws(2, TEACHER)
    draws.add([_row("a", 5, 6), _row("a", 7), _row("b", 8), _row("b", 200_000), _row("a", 1), _row("a", 1)])
    draws.save(tmp_path)
    again = Draws(2, TEACHER)
    again.add([_row("c", 1), _row("c", 1)])
    again.load(tmp_path)
    assert "c" not in again
    found = again.of([_pair("a"), _pair("c"), _pair("b")])
    assert found == draws.of([_pair("a"), _pair("b")])
    assert {name: [r.completion_ids for r in rs] for name, rs in found.items()} == {
        "a": [(5, 6), (7,)],
        "b": [(8,), (200_000,)],
    }
    first = found["a"][0]
    assert first.logprobs == (-0.1 / 6, -0.1 / 7)
    assert (first.prompt_ids, first.policy, first.seed, first.finish) == ((3,), TEACHER, 2**63 - 1, "stop")


def test_no_draws_are_no_file(tmp_path: Path) -> None:
    Draws(1, TEACHER).save(tmp_path)
    assert list(tmp_path.iterdir()) == []
