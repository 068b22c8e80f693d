"""Models that scale or cap their logits: losses, gradients and draws equal those from Transformers' own logits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from families import build
from transformers import (
    AutoModelForCausalLM,
    CohereConfig,
    Gemma2Config,
    GraniteConfig,
    HyperCLOVAXConfig,
    PreTrainedModel,
)

import runs
import tiny
from unswayed.core.errors import ConfigError
from unswayed.core.types import Message, SamplingParams
from unswayed.engine.hf.load import load_engine
from unswayed.engine.logits import LogitRule, logit_rule
from unswayed.engine.policy import EnginePolicy, load_policy
from unswayed.methods import Step
from unswayed.training.prepare import Prepared, prepare

PARAMS = SamplingParams(max_new_tokens=6, n=2)
SHAPE: dict[str, Any] = {
    "vocab_size": 300,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 512,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 3,
}
CONFIGS: dict[str, Any] = {
    "gemma2": lambda: Gemma2Config(**SHAPE, final_logit_softcapping=1.5, attn_logit_softcapping=None),
    "granite": lambda: GraniteConfig(**SHAPE, logits_scaling=4.0),
    "cohere": lambda: CohereConfig(**SHAPE, logit_scale=0.25),
}
RULES = {"gemma2": LogitRule(1.0, 1.5), "granite": LogitRule(0.25), "cohere": LogitRule(0.25)}


def _folder(tmp_path: Path, config: Any, seed: int = 0) -> Path:
    model = AutoModelForCausalLM.from_config(config)
    tiny.fill(model, seed)
    return tiny.save(model.eval(), tmp_path / f"{config.model_type}-{seed}")


@pytest.fixture
def float64_attention(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let Gemma 2 attend through sdpa, which needs no soft cap here: its eager softmax is float32 in any type."""
    from transformers.models.gemma2.modeling_gemma2 import Gemma2PreTrainedModel

    monkeypatch.setattr(Gemma2PreTrainedModel, "_supports_sdpa", True)


def _load(tmp_path: Path, folder: Path, method: dict[str, Any], **changes: Any) -> tuple[Prepared, Any]:
    prepared = prepare(runs.recipe(tmp_path, folder, method=method, model={"dtype": "float64"}, **changes))
    engine = load_engine(prepared.recipe, prepared.source, prepared.chat)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in engine.trainable.values():
            parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64) * 0.1)
    engine.publish()
    return prepared, engine


def _logprobs(model: Any, prompt: Any, completion: Any, vocab: int) -> torch.Tensor:
    """The log-probabilities at a completion from the model's own logits, one row alone."""
    logits = model(input_ids=torch.tensor([[*prompt, *completion]])).logits[0, -len(completion) - 1 : -1, :vocab]
    return logits.log_softmax(-1)  # type: ignore[no-any-return]


@pytest.mark.usefixtures("float64_attention")
@pytest.mark.parametrize("name", list(CONFIGS))
def test_loss_gradient_and_draws_equal_those_of_transformers_logits(tmp_path: Path, name: str) -> None:
    folder = _folder(tmp_path, CONFIGS[name]())
    prepared, engine = _load(tmp_path, folder, {"name": "opct"})
    assert logit_rule(engine.body.config) == RULES[name]
    batch = prepared.method.collect(prepared.pairs[:4], engine, Step(0, 0, PARAMS)).batch
    engine.zero_grad()
    total = engine.forward_backward(batch, prepared.method.loss).total
    grads = {key: parameter.grad.clone() for key, parameter in engine.trainable.items()}
    base = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float64).eval()
    dense = torch.zeros((), dtype=torch.float64)
    engine.zero_grad()
    for row in batch.rows:
        student = _logprobs(engine.model, row.prompt_ids, row.completion_ids, engine.vocab_size)
        with torch.no_grad():
            teacher = _logprobs(base, row.teacher_prompt_ids, row.completion_ids, engine.vocab_size)
        dense = dense + (student.exp() * (student - teacher)).sum()
        drawn = student.detach().gather(1, torch.tensor(row.completion_ids)[:, None])[:, 0]
        assert row.behaviour_logprobs == pytest.approx(drawn.tolist(), abs=1e-10)
    dense.backward()
    assert total == pytest.approx(dense.item(), abs=1e-10)
    assert total > 0.01
    for key, parameter in engine.trainable.items():
        # The norms of Granite and Cohere round to float32 whatever the model's type.
        torch.testing.assert_close(parameter.grad, grads[key], rtol=0, atol=1e-10 if name == "gemma2" else 1e-6)


@pytest.mark.usefixtures("float64_attention")
@pytest.mark.parametrize(
    "method",
    [
        {"name": "opct", "estimator": "sampled", "control_variate": True},
        {"name": "opct", "estimator": "topk", "k": 5},
        {"name": "bct"},
        {"name": "bct_soft"},
    ],
    ids=lambda method: "-".join(map(str, method.values())),
)
def test_every_loss_receives_the_soft_cap(tmp_path: Path, method: dict[str, Any]) -> None:
    """A cap far above all logits changes nothing, one among them does: compared with a model without."""
    totals = {}
    for cap in (None, 1e9, 1.5):
        config = Gemma2Config(**SHAPE, final_logit_softcapping=cap, attn_logit_softcapping=None)
        (tmp_path / str(cap)).mkdir()
        prepared, engine = _load(tmp_path / str(cap), _folder(tmp_path / str(cap), config), method)
        if cap is None:  # the same rows for all
            batch = prepared.method.collect(prepared.pairs[:4], engine, Step(0, 0, PARAMS)).batch
        totals[cap] = engine.forward_backward(batch, prepared.method.loss).total
    assert totals[1e9] == pytest.approx(totals[None], rel=1e-6)
    assert abs(totals[1.5] - totals[None]) > 1e-3


def test_gemma_2_loads_with_capped_attention_and_its_policies_agree(tmp_path: Path) -> None:
    folder = _folder(tmp_path, Gemma2Config(**SHAPE, final_logit_softcapping=1.5, attn_logit_softcapping=1.0))
    policy = load_policy(str(folder), dtype="float64", device="cpu")
    assert policy.model.config._attn_implementation == "eager"
    prompt, choices = (Message("user", "is it?"),), ["yes", "no"]
    found = [one.logprob for one in policy.loglikelihood([prompt], [choices])[0]]
    ids = policy.chat.render([*prompt])
    for text, value in zip(choices, found, strict=True):
        own = policy.chat.encode_completion(prompt, text, ended=False)
        with torch.no_grad():
            dense = _logprobs(policy.model, ids, own, policy.chat.vocab_size).gather(1, torch.tensor(own)[:, None])
        assert value == pytest.approx(float(dense.sum()), abs=1e-5)  # eager attention has a float32 softmax
    prepared = prepare(runs.recipe(tmp_path, folder, model={"dtype": "float64"}))
    engine = load_engine(prepared.recipe, prepared.source, prepared.chat)
    student = EnginePolicy(engine, prepared.chat, scorer=engine)
    assert [one.logprob for one in student.loglikelihood([prompt], [choices])[0]] == pytest.approx(found, abs=1e-6)


def test_an_engine_without_a_scorer_says_so(tmp_path: Path, tiny_model_dir: Path) -> None:
    prepared, engine = _load(tmp_path, tiny_model_dir, {"name": "opct"})
    student = EnginePolicy(engine, prepared.chat)
    prompt = (Message("user", "is it?"),)
    assert len(student.complete([prompt], PARAMS)) == 2
    with pytest.raises(ConfigError, match="needs a scorer"):
        student.loglikelihood([prompt], [["yes"]])


def test_a_teacher_with_another_soft_cap_is_refused(tmp_path: Path) -> None:
    capped, other = (
        _folder(tmp_path, Gemma2Config(**SHAPE, final_logit_softcapping=cap, attn_logit_softcapping=None), seed)
        for seed, cap in enumerate((1.5, 3.0))
    )
    with pytest.raises(ConfigError, match=r"capped at 1\.5 and the teacher's at 3\.0"):
        _load(tmp_path, capped, {"name": "opct", "teacher": f"model:{other}"})


def test_an_unknown_scale_is_refused_when_the_engine_loads(tmp_path: Path) -> None:
    folder = _folder(tmp_path, HyperCLOVAXConfig(**SHAPE, logits_scaling=4.0))
    with pytest.raises(ConfigError, match="logits_scaling = 4"):
        _load(tmp_path, folder, {"name": "opct"})


@torch.no_grad()
def test_the_rule_equals_transformers_logits() -> None:
    ids = torch.arange(12)[None]
    for name in ("llama", "gemma2", "gemma2-eager", "granite", "cohere"):
        model: PreTrainedModel = build(name)
        plain = model.lm_head(model.model(input_ids=ids).last_hidden_state)
        logits = model(input_ids=ids).logits
        torch.testing.assert_close(logit_rule(model.config).apply(plain), logits, rtol=0, atol=1e-12)
        assert (name == "llama") == torch.equal(plain, logits)
