"""BCT, hard and soft, and the anchors that every method may mix in."""

import json
from pathlib import Path
from typing import Any

import battery
import pytest
import torch
from transformers import AutoModelForCausalLM

import runs
import tiny
from unswayed.core.errors import ConfigError, DataError
from unswayed.methods import Step
from unswayed.training.loop import train
from unswayed.training.prepare import prepare

ANCHORS = [{"id": f"anchor-{i}", "prompt": f"say {i}", "teacher_prompt": f"say {i}"} for i in range(3)]


@pytest.mark.parametrize("name", ["bct", "bct_soft"])
def test_the_target_is_what_the_teacher_wrote(tmp_path: Path, tiny_model_dir: Path, name: str) -> None:
    prepared, engine = battery.load(tmp_path, tiny_model_dir, {"name": name}, "float32")
    battery.shake(engine, 1.0)
    collected = prepared.method.collect(prepared.pairs[:5], engine, Step(0, 0, battery.PARAMS))
    assert {rollout.policy.name for rollout in collected.rollouts} == {"teacher"}
    assert {rollout.finish for rollout in collected.rollouts} == {"stop", "length"}
    pairs = [pair for pair in prepared.pairs[:5] for _ in range(2)]
    for pair, row, rollout in zip(pairs, collected.batch.rows, collected.rollouts, strict=True):
        assert row.completion_ids == rollout.completion_ids
        assert rollout.prompt_ids == pair.teacher_prompt_ids
        assert row.prompt_ids == pair.prompt_ids
        assert row.loss_mask == (1.0,) * len(row.completion_ids)  # the stop token too
        assert (rollout.finish == "stop") == (row.completion_ids[-1] in engine.stop_ids)
    # The draw's address is the pair: a later step sees the same answers.
    again = prepared.method.collect(prepared.pairs[:5], engine, Step(0, 7, battery.PARAMS))
    assert [row.completion_ids for row in again.batch.rows] == [row.completion_ids for row in collected.batch.rows]


def test_bct_is_sft_on_the_teacher(tmp_path: Path, tiny_model_dir: Path) -> None:
    runs_ = [train(runs.recipe(tmp_path, tiny_model_dir, name=name, method={"name": name})) for name in ("bct", "sft")]
    losses = [[row["loss"] for row in run.metrics()] for run in runs_]
    assert losses[0] == losses[1]


@pytest.mark.parametrize("kind", ["forward_kl", "reverse_kl"])
def test_soft_labels_equal_dense_autograd(tmp_path: Path, tiny_model_dir: Path, kind: str) -> None:
    with tiny.norms_in_float64():
        prepared, engine = battery.load(tmp_path, tiny_model_dir, {"name": "bct_soft", "divergence": kind})
        battery.shake(engine)
        batch = battery.collect(prepared, engine)
        total, count, grads = battery.gradients(engine, batch, prepared)
        base = AutoModelForCausalLM.from_pretrained(tiny_model_dir, dtype=torch.float64).eval()
        dense = torch.zeros((), dtype=torch.float64)
        engine.zero_grad()
        for row in batch.rows:
            n = len(row.completion_ids)
            ids = torch.tensor([[*row.prompt_ids, *row.completion_ids]])
            student = engine.model(input_ids=ids).logits[0, -n - 1 : -1].log_softmax(-1)
            with torch.no_grad():
                ids = torch.tensor([[*row.teacher_prompt_ids, *row.completion_ids]])
                teacher = base(ids).logits[0, -n - 1 : -1].log_softmax(-1)
            p, q = (teacher, student) if kind == "forward_kl" else (student, teacher)
            dense = dense + (p.exp() * (p - q)).sum()
        dense.backward()  # type: ignore[no-untyped-call]
    assert total == pytest.approx(dense.item(), abs=1e-11)
    assert count == sum(len(row.completion_ids) for row in batch.rows)
    for name, parameter in engine.trainable.items():
        torch.testing.assert_close(parameter.grad, grads[name], rtol=0, atol=1e-11)


def test_soft_labels_are_hard_labels_on_average(tmp_path: Path, tiny_model_dir: Path) -> None:
    """Over many draws the gradient of cross-entropy comes to that of the forward KL, and is noisier."""
    soft, engine = battery.load(tmp_path, tiny_model_dir, {"name": "bct_soft"}, sampling={"max_new_tokens": 1})
    hard, _ = battery.load(tmp_path, tiny_model_dir, {"name": "bct"}, sampling={"max_new_tokens": 1})
    battery.shake(engine)
    engine.micro_batch = 64
    params = battery.SamplingParams(max_new_tokens=1, n=400)
    batch = soft.method.collect(soft.pairs[:1], engine, Step(0, 0, params)).batch
    _, count, expected = battery.gradients(engine, batch, soft)
    _, _, drawn = battery.gradients(engine, batch, hard)
    a, b = (torch.cat([grad.flatten() for grad in grads.values()]) / count for grads in (expected, drawn))
    few = battery.gradients(engine, batch.take(range(10)), hard)[2]
    c = torch.cat([grad.flatten() for grad in few.values()]) / 10
    assert float((b - a).norm() / a.norm()) < 0.5 * float((c - a).norm() / a.norm())


# ---- anchors


def _anchored(tmp_path: Path, folder: Path, rows: Any = ANCHORS, **changes: Any) -> Any:
    tmp_path.mkdir(exist_ok=True)
    anchors = runs.write_pairs(tmp_path / "anchors.jsonl", rows)
    pairs = runs.write_pairs(tmp_path / "pairs.jsonl")
    data = {"train": str(pairs), "anchors": str(anchors)}
    train_ = {"steps": 3, "pairs_per_step": 4, "anchors_per_step": 2, "micro_batch": 2}
    return runs.recipe(tmp_path, folder, data=data, train=train_, **changes)


@pytest.mark.parametrize("method", ["opct", "bct", "bct_soft", "act", "sft", "sft-target"])
def test_anchors_join_every_method(tmp_path: Path, tiny_model_dir: Path, method: str) -> None:
    rows = [{**row, "target": "yes"} for row in ANCHORS]
    recipe = _anchored(tmp_path, tiny_model_dir, rows, method=battery.METHODS[method])
    run = train(recipe)
    assert [row["rows"] for row in run.metrics()] == [6, 6, 6]
    prepared = prepare(recipe)
    steps = [[pair.pair.id for pair in prepared.pairs_of(number)] for number in range(3)]
    assert all(id_.startswith("pair-") for step in steps for id_ in step[:4])
    anchors = [id_ for step in steps for id_ in step[4:]]
    assert sorted(anchors[:3]) == sorted(anchors[3:]) == ["anchor-0", "anchor-1", "anchor-2"]
    identity = json.loads((run.path / "data.json").read_text(encoding="utf-8"))
    assert identity["anchors"]["rows"] == 3


def test_anchors_leave_the_other_rows_as_they_were(tmp_path: Path, tiny_model_dir: Path) -> None:
    with_ = prepare(_anchored(tmp_path, tiny_model_dir))
    without = prepare(runs.recipe(tmp_path, tiny_model_dir))
    assert [pair.pair.id for pair in with_.pairs_of(1)][:4] == [pair.pair.id for pair in without.pairs_of(1)]
    assert without.data_identity == {key: v for key, v in with_.data_identity.items() if key != "anchors"}


def test_changed_anchors_are_another_experiment(tmp_path: Path, tiny_model_dir: Path) -> None:
    train(_anchored(tmp_path, tiny_model_dir))
    with pytest.raises(DataError, match="is not what the run"):
        train(_anchored(tmp_path, tiny_model_dir, [{**ANCHORS[0], "id": "other"}]), resume=True)


def test_anchors_with_ids_of_pairs_are_refused(tmp_path: Path, tiny_model_dir: Path) -> None:
    with pytest.raises(DataError, match=r"give them ids of their own\n  pair-1"):
        prepare(_anchored(tmp_path, tiny_model_dir, [{**ANCHORS[0], "id": "pair-1"}]))


@pytest.mark.parametrize(
    "changes", [{"data": {"anchors": "a.jsonl"}}, {"train": {"anchors_per_step": 2}}], ids=["file", "number"]
)
def test_anchors_need_a_file_and_a_number(tmp_path: Path, tiny_model_dir: Path, changes: Any) -> None:
    with pytest.raises(ConfigError, match="belong together"):
        runs.recipe(tmp_path, tiny_model_dir, **changes)
