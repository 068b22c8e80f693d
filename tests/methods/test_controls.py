"""Controls: what is left without the perturbation, without a teacher, or with other rows, and equal numbers of rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import battery
import pytest
import torch

import runs
from unswayed.core.errors import ConfigError, DataError
from unswayed.engine.hf.engine import HFEngine
from unswayed.training.loop import train
from unswayed.training.prepare import prepare


@pytest.mark.parametrize("side", ["prompt", "teacher_prompt"])
def test_one_side_is_both_prompts_of_every_pair(tmp_path: Path, tiny_model_dir: Path, side: str) -> None:
    both = prepare(runs.recipe(tmp_path, tiny_model_dir))
    one = prepare(runs.recipe(tmp_path, tiny_model_dir, data={"one_side": side}))
    wanted = [pair.prompt_ids if side == "prompt" else pair.teacher_prompt_ids for pair in both.pairs]
    assert [pair.prompt_ids for pair in one.pairs] == [pair.teacher_prompt_ids for pair in one.pairs] == wanted
    assert [pair.pair.id for pair in one.pairs] == [pair.pair.id for pair in both.pairs]
    assert one.data_identity != both.data_identity


@pytest.mark.parametrize("method", battery.COMPARING.values(), ids=battery.COMPARING)
def test_clean_to_clean_never_moves_what_compares_two_policies(
    tmp_path: Path, tiny_model_dir: Path, method: dict[str, Any]
) -> None:
    recipe = runs.recipe(tmp_path, tiny_model_dir, method=method, data={"one_side": "teacher_prompt"})
    rows = train(recipe).metrics()
    assert len(rows) == 3
    assert all((row["loss"], row["grad_norm"]) == (0.0, 0.0) and row["tokens"] > 0 for row in rows)
    assert len({row["policy"] for row in rows}) == 1


def test_clean_to_clean_moves_what_learns_from_draws(tmp_path: Path, tiny_model_dir: Path) -> None:
    recipe = runs.recipe(tmp_path, tiny_model_dir, method={"name": "bct"}, data={"one_side": "teacher_prompt"})
    assert all(row["grad_norm"] > 0 for row in train(recipe).metrics())


def test_a_constant_asks_no_teacher_and_uses_the_students_draws(
    tmp_path: Path, tiny_model_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    real = HFEngine.score

    def score(self: HFEngine, *args: Any) -> Any:
        asked.append("score")
        return real(self, *args)

    monkeypatch.setattr(HFEngine, "score", score)
    method = {"name": "opct", "estimator": "constant", "below": 0.3}
    recipe = runs.recipe(tmp_path, tiny_model_dir, method=method)
    rows = train(recipe).metrics()
    assert asked == []
    assert all(row["written_by"] == {"student": 4} and 0 < row["below"] <= 1 and row["grad_norm"] > 0 for row in rows)
    exact = train(runs.recipe(tmp_path, tiny_model_dir, name="exact")).path
    first = "rollouts/step-000001.jsonl"
    assert (recipe.run_dir / first).read_bytes() == (exact / first).read_bytes()


def test_a_constant_is_exact_on_average(tmp_path: Path, tiny_model_dir: Path) -> None:
    """Over every first token by its chance, the gradient is that of the mass of tokens under the threshold."""
    from dataclasses import replace

    from unswayed.core.types import PairedBatch

    prepared, engine = battery.load(tmp_path, tiny_model_dir, {"name": "opct", "estimator": "constant", "below": 0.01})
    battery.shake(engine)
    engine.micro_batch = 64
    row = battery.collect(prepared, engine).rows[0]
    (student,) = engine.score(PairedBatch((row,)), "student")
    chances = (student.hidden_ND[0] @ student.head_VD[: engine.vocab_size].T).softmax(-1)
    first = replace(row, completion_ids=row.completion_ids[:1], behaviour_logprobs=None)
    rows = [replace(first, completion_ids=(i,), loss_mask=(p,)) for i, p in enumerate(chances.tolist())]
    found = battery.gradients(engine, PairedBatch(tuple(rows)), prepared)[2]

    def mass(scored: Any, _: Any) -> Any:
        now = (scored.hidden_ND @ scored.head_VD[: engine.vocab_size].T).softmax(-1)[0]
        total = now[chances < 0.01].sum()
        return type("Out", (), {"total": total, "count": 1.0, "metrics": {}})

    engine.zero_grad()
    engine.forward_backward(PairedBatch((replace(first, loss_mask=(1.0,)),)), mass)
    largest = max(float(p.grad.abs().max()) for p in engine.trainable.values() if p.grad is not None)
    assert largest > 1e-3
    for name, parameter in engine.trainable.items():
        torch.testing.assert_close(found[name], parameter.grad, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"discount": 0.9}, "discount needs estimator = 'sampled'"),
        ({"kl_coef": 2.0}, "kl_coef belongs to"),
        ({"control_variate": True}, "control_variate belongs to"),
        ({"teacher_share": 0.5}, "teacher_share needs"),
        ({"clamp": 1.0}, "clamp bounds a divergence"),
        ({"divergence": "jsd"}, "needs estimator = 'exact'"),
        ({"mini_epochs": 2}, "set clip = 0.2"),
    ],
)
def test_settings_that_a_constant_has_no_use_for(
    tmp_path: Path, tiny_model_dir: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        runs.recipe(tmp_path, tiny_model_dir, method={"name": "opct", "estimator": "constant", **changes})


# ---- equal numbers of rows


def _ids(tmp_path: Path, folder: Path, **changes: Any) -> list[str]:
    return [pair.pair.id for pair in prepare(runs.recipe(tmp_path, folder, **changes)).pairs]


def test_rows_are_drawn_by_the_seed_and_are_the_same_for_every_method(tmp_path: Path, tiny_model_dir: Path) -> None:
    data = {"rows": 6}
    drawn = {name: _ids(tmp_path, tiny_model_dir, data=data, method={"name": name}) for name in battery.names()}
    first = drawn["opct"]
    assert all(ids == first for ids in drawn.values())
    assert len(set(first)) == 6
    assert first == [row["id"] for row in runs.ROWS if row["id"] in first], "the file's order is kept"
    others = {tuple(_ids(tmp_path, tiny_model_dir, data=data, seed=seed)) for seed in range(8)}
    assert len(others) > 4


def test_rows_count_only_what_can_be_trained_on(tmp_path: Path, tiny_model_dir: Path) -> None:
    some = [row if i % 2 else {**row, "target": ""} for i, row in enumerate(runs.ROWS)]
    runs.write_pairs(tmp_path / "pairs.jsonl", [{k: v for k, v in row.items() if v} for row in some])
    method = {"name": "sft", "source": "target"}
    ids = _ids(tmp_path, tiny_model_dir, data={"rows": 5}, method=method)
    assert ids == [row["id"] for row in runs.ROWS[1::2]]
    with pytest.raises(DataError, match=r"data\.rows = 6, but 5 rows are of use") as caught:
        _ids(tmp_path, tiny_model_dir, data={"rows": 6}, method=method)
    assert caught.value.exit_code == 3
    assert len(_ids(tmp_path, tiny_model_dir, data={"rows": 6})) == 6
