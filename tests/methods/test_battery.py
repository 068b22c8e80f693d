"""What every method must do, over every method: sums, zeros, a frozen teacher, masks, slopes, large numbers, resume."""

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import battery
import pytest
import torch

import runs
import tiny
from unswayed.core.types import PairedBatch, PairedRow
from unswayed.engine.hf.engine import HFEngine
from unswayed.losses import token_logprobs
from unswayed.training.loop import train
from unswayed.training.prepare import Prepared

Method = dict[str, Any]
every = pytest.mark.parametrize("method", battery.METHODS.values(), ids=battery.METHODS)


@pytest.fixture(autouse=True)
def _norm_in_float64() -> Iterator[None]:
    with tiny.norms_in_float64():
        yield


def _equal(grads: dict[str, torch.Tensor], expected: dict[str, torch.Tensor], atol: float) -> None:
    assert grads.keys() == expected.keys()
    for name, grad in grads.items():
        torch.testing.assert_close(grad, expected[name], rtol=0, atol=atol)


@every
def test_a_batch_is_the_sum_of_its_rows(tmp_path: Path, tiny_model_dir: Path, method: Method) -> None:
    prepared, engine = battery.load(tmp_path, tiny_model_dir, method)
    battery.shake(engine)
    batch = battery.collect(prepared, engine)
    assert len({len(row.prompt_ids) + len(row.completion_ids) for row in batch.rows}) > 1
    expected_total = expected_count = 0.0
    expected: dict[str, torch.Tensor] = {}
    engine.share_prefix = False
    for i in range(len(batch)):
        total, count, grads = battery.gradients(engine, batch.take([i]), prepared)
        expected_total, expected_count = expected_total + total, expected_count + count
        expected = {name: expected.get(name, torch.zeros_like(grad)) + grad for name, grad in grads.items()}
    assert expected_count == pytest.approx(sum(sum(row.loss_mask) for row in batch.rows), rel=1e-6)
    largest = max(float(grad.abs().max()) for grad in expected.values())
    assert largest > 1e-4
    order = list(range(len(batch)))
    for micro_batch in (1, 3, 64):
        for engine.share_prefix in (False, True):
            engine.micro_batch = micro_batch
            order.reverse()
            total, count, grads = battery.gradients(engine, batch.take(order), prepared)
            assert count == pytest.approx(expected_count, rel=1e-12)
            assert total == pytest.approx(expected_total, abs=1e-12, rel=1e-12)
            _equal(grads, expected, 1e-12 * max(1.0, largest))


@pytest.mark.parametrize("method", [battery.METHODS["act"], battery.METHODS["bct_soft"]], ids=["act", "bct_soft"])
def test_two_rows_of_unequal_length_in_float32(tmp_path: Path, tiny_model_dir: Path, method: Method) -> None:
    prepared, engine = battery.load(tmp_path, tiny_model_dir, method, "float32")
    battery.shake(engine)
    batch = battery.collect(prepared, engine, pairs=5)
    shortest = min(batch.rows, key=lambda row: len(row.prompt_ids) + len(row.completion_ids))
    longest = max(batch.rows, key=lambda row: len(row.prompt_ids) + len(row.completion_ids))
    two = replace(batch, rows=(longest, shortest))
    together = battery.gradients(engine, two, prepared)[0]
    alone = sum(battery.gradients(engine, two.take([i]), prepared)[0] for i in (0, 1))
    assert together > 0.1
    assert together == pytest.approx(alone, rel=1e-6)


@pytest.mark.parametrize("method", battery.COMPARING.values(), ids=battery.COMPARING)
@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16"])
def test_equal_sides_give_exactly_nothing(tmp_path: Path, tiny_model_dir: Path, method: Method, dtype: str) -> None:
    runs.write_pairs(tmp_path / "pairs.jsonl", [{**row, "prompt": row["teacher_prompt"]} for row in runs.ROWS])
    prepared, engine = battery.load(tmp_path, tiny_model_dir, method, dtype, data={"allow_identical": True})
    batch = battery.collect(prepared, engine)
    assert batch.tokens
    total, _, grads = battery.gradients(engine, batch, prepared)
    assert total == 0.0
    assert grads
    assert all(torch.equal(grad, torch.zeros_like(grad)) for grad in grads.values())
    # Once the student has moved, the same anchors pull it back.
    battery.shake(engine)
    assert max(float(grad.abs().max()) for grad in battery.gradients(engine, batch, prepared)[2].values()) > 0


@pytest.mark.parametrize("method", battery.LABELLED.values(), ids=battery.LABELLED)
def test_equal_sides_give_nothing_on_average_over_labels(tmp_path: Path, tiny_model_dir: Path, method: Method) -> None:
    prepared, engine = battery.load(tmp_path, tiny_model_dir, method)
    prompt = prepared.pairs[0].teacher_prompt_ids
    rows = tuple(PairedRow("every answer", prompt, prompt, (token,), (1.0,)) for token in range(engine.vocab_size))
    (scored,) = engine.score(PairedBatch(rows[:1]))
    tokens = torch.arange(engine.vocab_size)
    chance = token_logprobs(
        scored.hidden_ND.expand(len(tokens), -1), scored.head_VD, tokens, vocab=engine.vocab_size
    ).exp()
    assert float(chance.sum()) == pytest.approx(1, abs=1e-12)
    weighted = tuple(replace(row, loss_mask=(p,)) for row, p in zip(rows, chance.tolist(), strict=True))
    largest = max(float(g.abs().max()) for g in battery.gradients(engine, PairedBatch(rows[:1]), prepared)[2].values())
    engine.micro_batch = 64
    grads = battery.gradients(engine, PairedBatch(weighted), prepared)[2]
    # Weights are float32, so their sum over all answers is 1 to its rounding only.
    assert max(float(grad.abs().max()) for grad in grads.values()) < 1e-6 * largest


@every
def test_the_teacher_is_bit_equal_after_many_steps(tmp_path: Path, tiny_model_dir: Path, method: Method) -> None:
    prepared, engine = battery.load(tmp_path, tiny_model_dir, method)
    view = prepared.method.view
    batch = battery.collect(prepared, engine, pairs=3)
    before, fingerprint = engine.score(batch, "teacher", view), engine.teacher_fingerprint()
    flags = {name: parameter.requires_grad for name, parameter in engine.model.named_parameters()}
    for number in range(5):
        _, count, _ = battery.gradients(engine, battery.collect(prepared, engine, number, pairs=3), prepared)
        engine.optim_step(1e-2, count, 1.0)
        engine.publish()
    after = engine.score(batch, "teacher", view)
    for a, b in zip(before, after, strict=True):
        assert torch.equal(a.hidden_ND, b.hidden_ND)
        assert view == "final" or torch.equal(a.layers_LND, b.layers_LND)  # type: ignore[arg-type]
    assert engine.teacher_fingerprint() == fingerprint
    assert flags == {name: parameter.requires_grad for name, parameter in engine.model.named_parameters()}
    student = engine.score(batch, "student", view)
    assert not any(torch.equal(a.hidden_ND, b.hidden_ND) for a, b in zip(before, student, strict=True))


@every
def test_finite_in_bfloat16_with_large_activations(tmp_path: Path, tiny_model_dir: Path, method: Method) -> None:
    prepared, engine = battery.load(tmp_path, tiny_model_dir, method, "bfloat16")
    with torch.no_grad():
        engine.body.get_input_embeddings().weight[:, 0] *= 3e4  # one channel far beyond float16's reach
    battery.shake(engine)
    batch = battery.collect(prepared, engine)
    (scored,) = engine.score(batch.take([0]), "student", "layers")
    assert scored.layers_LND is not None
    assert float(scored.layers_LND.abs().max()) > 1e4
    total, _, grads = battery.gradients(engine, batch, prepared)
    assert torch.isfinite(torch.tensor(total))
    assert grads
    assert all(torch.isfinite(grad).all() for grad in grads.values())


def _cut(prepared: Prepared, engine: HFEngine, row: PairedRow, first: int, last: int) -> PairedRow:
    """Return the row's tokens `first` to `last` as a row of its own: what comes before joins both prompts."""

    def teacher(tensor: torch.Tensor) -> torch.Tensor:
        return tensor[:, first:last] if prepared.method.view == "layers" else tensor[first:last]

    head = row.completion_ids[:first]
    return replace(
        row,
        prompt_ids=(*row.prompt_ids, *head),
        teacher_prompt_ids=(*row.teacher_prompt_ids, *head),
        completion_ids=row.completion_ids[first:last],
        loss_mask=row.loss_mask[first:last],
        behaviour_logprobs=row.behaviour_logprobs and row.behaviour_logprobs[first:last],
        teacher={name: teacher(tensor) for name, tensor in row.teacher.items()},
    )


@every
def test_a_mask_equals_slicing(tmp_path: Path, tiny_model_dir: Path, method: Method) -> None:
    prepared, engine = battery.load(tmp_path, tiny_model_dir, method)
    battery.shake(engine)
    batch = battery.collect(prepared, engine)
    long = [row for row in batch.rows if len(row.completion_ids) >= 4]
    assert long
    masked, sliced = [], []
    for row in long:
        mask = tuple(
            weight if 1 <= place < len(row.loss_mask) - 1 else 0.0 for place, weight in enumerate(row.loss_mask)
        )
        if any(mask):
            masked.append(replace(row, loss_mask=mask))
            sliced.append(_cut(prepared, engine, row, 1, len(row.loss_mask) - 1))
    whole = battery.gradients(engine, replace(batch, rows=tuple(long)), prepared)
    a = battery.gradients(engine, replace(batch, rows=tuple(masked)), prepared)
    b = battery.gradients(engine, replace(batch, rows=tuple(sliced)), prepared)
    assert a[1] == b[1] < whole[1]
    assert a[0] == pytest.approx(b[0], rel=1e-12, abs=1e-12)
    assert a[0] != pytest.approx(whole[0], rel=1e-6)
    _equal(a[2], b[2], 1e-12 * max(1.0, *(float(grad.abs().max()) for grad in b[2].values())))


def _slope(engine: HFEngine, value: Callable[[], float], grads: dict[str, torch.Tensor], eps: float) -> None:
    """Compare a gradient with central differences of a value, along random directions of all weights together."""
    generator = torch.Generator().manual_seed(5)
    for _ in range(3):
        way = {
            name: torch.randn(p.shape, generator=generator, dtype=torch.float64) for name, p in engine.trainable.items()
        }

        def at(distance: float, way: dict[str, torch.Tensor] = way) -> float:
            with torch.no_grad():
                for name, parameter in engine.trainable.items():
                    parameter.add_(way[name], alpha=distance)
            found = value()
            with torch.no_grad():
                for name, parameter in engine.trainable.items():
                    parameter.sub_(way[name], alpha=distance)
            return found

        # Two step widths, so that the error of third order drops out.
        near, far = ((at(e) - at(-e)) / (2 * e) for e in (eps, 2 * eps))
        expected = float(sum((grads[name] * way[name]).sum() for name in grads))
        assert abs(expected) > 1e-3
        assert (4 * near - far) / 3 == pytest.approx(expected, rel=1e-7, abs=1e-8)


@every
def test_the_gradient_equals_finite_differences(tmp_path: Path, tiny_model_dir: Path, method: Method) -> None:
    prepared, engine = battery.load(tmp_path, tiny_model_dir, method)
    for parameter in engine.trainable.values():
        parameter.data = parameter.data.double()
    battery.shake(engine, 0.05)
    batch = battery.collect(prepared, engine, pairs=3)
    battery.shake(engine, 0.06)  # away from the weights that sampled, so that ratios are not 1
    engine.micro_batch = 64
    grads = battery.gradients(engine, batch, prepared)[2]
    if method.get("estimator") != "sampled":
        _slope(engine, lambda: battery.gradients(engine, batch, prepared)[0], grads, 2e-5)
        return
    # The advantage is held fixed, so the value to differentiate is not the loss as it would be computed anew.
    advantages = _advantages(engine, batch, method)

    def surrogate() -> float:
        value = 0.0
        for row, scored, advantage in zip(batch.rows, engine.score(batch, "student"), advantages, strict=True):
            now = token_logprobs(scored.hidden_ND, scored.head_VD, scored.ids_N, vocab=scored.vocab_size)
            ratio = (now - torch.tensor(row.behaviour_logprobs)).exp()
            bound = ratio.clamp(1 - method["clip"], 1 + method["clip"]) if "clip" in method else ratio
            value -= float(torch.minimum(ratio * advantage, bound * advantage).sum())
        return value

    _slope(engine, surrogate, grads, 2e-5)


def _advantages(engine: HFEngine, batch: PairedBatch, method: Method) -> list[torch.Tensor]:
    """Each token's advantage by its definition, a loop over tokens."""
    found = []
    sides = zip(batch.rows, engine.score(batch, "student"), engine.score(batch, "teacher"), strict=True)
    for row, student, teacher in sides:
        logs = [(side.hidden_ND @ side.head_VD[: side.vocab_size].T).log_softmax(-1) for side in (student, teacher)]
        ids, places = torch.tensor(row.completion_ids), range(len(row.completion_ids))
        k = (logs[0] - logs[1])[places, ids]
        exact = (logs[0].exp() * (logs[0] - logs[1])).sum(-1)
        weight, discount = torch.tensor(row.loss_mask).double(), method.get("discount", 0.0)
        known = exact if method.get("control_variate") else torch.zeros_like(exact)
        found.append(
            torch.stack(
                [
                    -weight[t] * (k[t] - known[t])
                    - sum(discount ** (u - t) * weight[u] * k[u] for u in places if u > t)
                    for t in places
                ]
            )
        )
    return found


@every
def test_resume_is_bit_identical(tmp_path: Path, tiny_model_dir: Path, method: Method) -> None:
    recipe = runs.recipe(
        tmp_path,
        tiny_model_dir,
        method=method,
        lora={"rank": 2, "alpha": 4.0, "dropout": 0.2},
        sampling={"max_new_tokens": 4},
        save={"keep": 5},
    )
    run = train(recipe)
    whole, adapter = _metrics(run.path), (run.adapter / "adapter_model.safetensors").read_bytes()
    updates = method.get("mini_epochs", 1)
    assert [row["updates"] for row in whole] == [updates] * 3
    rollouts = {path.name: path.read_bytes() for path in (run.path / "rollouts").iterdir()}
    for step in (3, 2):  # as a kill after the first checkpoint would have left it
        shutil.rmtree(run.path / "checkpoints" / f"step-{step:06d}")
    shutil.rmtree(run.adapter)
    (run.path / "DONE.json").unlink()
    again = train(recipe, resume=True)
    assert _metrics(again.path) == whole
    assert (again.adapter / "adapter_model.safetensors").read_bytes() == adapter
    assert {path.name: path.read_bytes() for path in (again.path / "rollouts").iterdir()} == rollouts


def _metrics(path: Path) -> list[dict[str, Any]]:
    rows = [json.loads(line) for line in (path / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    return [{key: value for key, value in row.items() if key != "seconds"} for row in rows]


def test_the_battery_covers_every_method() -> None:
    assert battery.names() == {method["name"] for method in battery.METHODS.values()}
