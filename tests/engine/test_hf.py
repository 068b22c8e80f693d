"""The invariants everything else stands on (design, section 5)."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

import runs
import tiny
from unswayed.core.errors import ConfigError, NotFiniteError, OutOfMemoryError
from unswayed.core.types import PairedBatch, SamplingParams
from unswayed.engine.hf.engine import HFEngine
from unswayed.engine.hf.load import load_engine
from unswayed.methods import Step
from unswayed.training.prepare import Prepared, prepare

PARAMS = SamplingParams(max_new_tokens=6, n=2)
EXACT: dict[str, Any] = {"name": "opct"}


@pytest.fixture(scope="module", autouse=True)
def _norm_in_float64() -> Iterator[None]:
    with tiny.norms_in_float64():
        yield


def _load(
    tmp_path: Path, folder: Path, method: dict[str, Any], dtype: str = "float64", **changes: Any
) -> tuple[Prepared, HFEngine]:
    prepared = prepare(runs.recipe(tmp_path, folder, method=method, model={"dtype": dtype}, **changes))
    return prepared, load_engine(prepared.recipe, prepared.source, prepared.chat)


def _shake(engine: HFEngine) -> None:
    """Give the student's adapter an effect."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in engine.trainable.values():
            parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64) * 0.1)
    engine.publish()


def _grads(engine: HFEngine, batch: PairedBatch, prepared: Prepared) -> tuple[float, float, dict[str, torch.Tensor]]:
    engine.zero_grad()
    sums = engine.forward_backward(batch, prepared.method.loss)
    return sums.total, sums.count, {name: p.grad.clone() for name, p in engine.trainable.items() if p.grad is not None}


def test_the_exact_loss_equals_dense_autograd(tmp_path: Path, tiny_model_dir: Path) -> None:
    prepared, engine = _load(tmp_path, tiny_model_dir, EXACT)
    _shake(engine)
    batch = prepared.method.collect(prepared.pairs[:4], engine, Step(0, 0, PARAMS)).batch
    total, _, grads = _grads(engine, batch, prepared)
    base = AutoModelForCausalLM.from_pretrained(tiny_model_dir, dtype=torch.float64).eval()
    dense = torch.zeros((), dtype=torch.float64)
    engine.zero_grad()
    for row in batch.rows:
        vocab, n = engine.vocab_size, len(row.completion_ids)
        student = engine.model(input_ids=torch.tensor([[*row.prompt_ids, *row.completion_ids]])).logits[0, -n - 1 : -1]
        with torch.no_grad():
            teacher = base(torch.tensor([[*row.teacher_prompt_ids, *row.completion_ids]])).logits[0, -n - 1 : -1]
        log_s, log_t = student[:, :vocab].log_softmax(-1), teacher[:, :vocab].log_softmax(-1)
        dense = dense + (log_s.exp() * (log_s - log_t)).sum()
    dense.backward()
    assert total == pytest.approx(dense.item(), abs=1e-12)
    for name, parameter in engine.trainable.items():
        torch.testing.assert_close(parameter.grad, grads[name], rtol=0, atol=1e-12)


def test_publish_then_sample_uses_the_new_weights(tmp_path: Path, tiny_model_dir: Path) -> None:
    prepared, engine = _load(tmp_path, tiny_model_dir, EXACT)
    prompts, seeds = [pair.prompt_ids for pair in prepared.pairs[:4]], [[1], [2], [3], [4]]
    one = SamplingParams(max_new_tokens=6)
    before = engine.sample(["a"] * 4, prompts, one, seeds)
    teacher = engine.sample(["a"] * 4, prompts, one, seeds, "teacher")
    name = engine.policy
    _shake(engine)
    after = engine.sample(["a"] * 4, prompts, one, seeds)
    assert [r[0].completion_ids for r in before] == [r[0].completion_ids for r in teacher]
    assert [r[0].logprobs for r in before] != [r[0].logprobs for r in after]
    assert after[0][0].policy.fingerprint != name.fingerprint
    again = engine.sample(["a"] * 4, prompts, one, seeds, "teacher")
    assert [r[0].logprobs for r in teacher] == [r[0].logprobs for r in again]


def test_sampled_logprobs_are_those_of_scoring(tmp_path: Path, tiny_model_dir: Path) -> None:
    from unswayed.losses import token_logprobs

    prepared, engine = _load(tmp_path, tiny_model_dir, EXACT)
    _shake(engine)
    batch = prepared.method.collect(prepared.pairs[:4], engine, Step(0, 0, PARAMS)).batch
    for row, scored in zip(batch.rows, engine.score(batch, "student"), strict=True):
        logprobs = token_logprobs(scored.hidden_ND, scored.head_VD, scored.ids_N, vocab=scored.vocab_size)
        torch.testing.assert_close(
            logprobs, torch.tensor(row.behaviour_logprobs, dtype=torch.float64), rtol=0, atol=1e-9
        )


def test_save_and_load_restore_every_bit(tmp_path: Path, tiny_model_dir: Path) -> None:
    prepared, engine = _load(tmp_path, tiny_model_dir, EXACT)
    other = _load(tmp_path, tiny_model_dir, EXACT)[1]

    def step(engine: HFEngine, number: int) -> None:
        batch = prepared.method.collect(prepared.pairs[:4], engine, Step(0, number, PARAMS)).batch
        engine.optim_step(1e-2, engine.forward_backward(batch, prepared.method.loss).count, 1.0)
        engine.publish()

    step(engine, 0)
    engine.save(tmp_path)
    other.load(tmp_path)
    assert other.version == engine.version == 1
    step(engine, 1)
    step(other, 1)
    assert engine.policy == other.policy


def test_not_finite_gradient_moves_nothing(tmp_path: Path, tiny_model_dir: Path) -> None:
    prepared, engine = _load(tmp_path, tiny_model_dir, EXACT)
    before = engine.policy
    batch = prepared.method.collect(prepared.pairs[:2], engine, Step(0, 0, PARAMS)).batch
    engine.forward_backward(batch, prepared.method.loss)
    next(iter(engine.trainable.values())).grad.view(-1)[0] = float("nan")  # type: ignore[union-attr]
    with pytest.raises(NotFiniteError):
        engine.optim_step(1e-2, 1.0, 1.0)
    assert engine.publish() == before
    assert not engine.optimizer.state


def test_a_head_with_an_adapter_is_refused(tmp_path: Path, tiny_qwen_dir: Path) -> None:
    with pytest.raises(ConfigError, match=r"lora\.targets"):
        _load(tmp_path, tiny_qwen_dir, EXACT, lora={"targets": ["q_proj", "lm_head"]})


def test_unknown_targets_are_refused(tmp_path: Path, tiny_model_dir: Path) -> None:
    with pytest.raises(ConfigError, match=r"lora\.targets"):
        _load(tmp_path, tiny_model_dir, EXACT, lora={"targets": ["nosuch"]})


def test_every_voice_of_torch_for_no_memory_is_heard() -> None:
    from unswayed.engine.hf.engine import memory_guard

    for error in (
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory"),
    ):
        with pytest.raises(OutOfMemoryError), memory_guard():
            raise error
    with pytest.raises(RuntimeError, match="other"), memory_guard():
        raise RuntimeError("other")


def test_dropout_is_addressed(tmp_path: Path, tiny_model_dir: Path) -> None:
    prepared, engine = _load(tmp_path, tiny_model_dir, EXACT, lora={"dropout": 0.5})
    _shake(engine)
    batch = prepared.method.collect(prepared.pairs[:4], engine, Step(0, 0, PARAMS)).batch
    state = torch.random.get_rng_state()
    first, second = _grads(engine, batch, prepared), _grads(engine, batch, prepared)
    assert first[0] == second[0]
    assert torch.equal(state, torch.random.get_rng_state())
    engine.version += 1
    assert _grads(engine, batch, prepared)[0] != first[0]


def test_nothing_frozen_gets_a_gradient_and_the_input_needs_none(tmp_path: Path, tiny_model_dir: Path) -> None:
    prepared, engine = _load(tmp_path, tiny_model_dir, EXACT)
    _shake(engine)
    batch = prepared.method.collect(prepared.pairs[:2], engine, Step(0, 0, PARAMS)).batch
    needed: list[bool] = []
    hook = engine.body.get_input_embeddings().register_forward_hook(
        lambda _module, _args, output: needed.append(output.requires_grad)
    )
    engine.forward_backward(batch, prepared.method.loss)
    hook.remove()
    with_gradient = {name for name, weight in engine.model.named_parameters() if weight.grad is not None}
    assert with_gradient == set(engine.trainable)
    assert needed
    assert not any(needed)


def test_rollouts_of_one_prompt_compute_it_once(tmp_path: Path, tiny_model_dir: Path) -> None:
    prepared, engine = _load(tmp_path, tiny_model_dir, EXACT)
    batch = prepared.method.collect(prepared.pairs[:1], engine, Step(0, 0, SamplingParams(max_new_tokens=6, n=4))).batch
    assert len(batch) == 4
    engine.micro_batch = 4
    seen: list[int] = []
    hook = engine.body.get_input_embeddings().register_forward_hook(
        lambda _module, args, _output: seen.append(args[0].numel())
    )
    engine.score(batch)
    engine.forward_backward(batch, prepared.method.loss)
    hook.remove()
    completions = sum(len(row.completion_ids) - 1 for row in batch.rows)
    row = batch.rows[0]
    assert seen == [len(row.teacher_prompt_ids) + completions, len(row.prompt_ids) + completions]
