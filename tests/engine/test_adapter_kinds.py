"""Every kind of PEFT adapter gives what PEFT itself gives, wherever an adapter may stand, or is refused by its name.

The yardstick is `PeftModel.from_pretrained(...)` and its own dense logits, in float64. Numbers in names are those of
known faults.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import (
    AdaLoraConfig,
    IA3Config,
    LoHaConfig,
    LoraConfig,
    PeftModel,
    PrefixTuningConfig,
    PromptTuningConfig,
    VeraConfig,
    get_peft_model,
)
from transformers import AutoModelForCausalLM

import runs
import tiny
from unswayed.core.errors import ConfigError
from unswayed.core.types import PairedBatch, PairedRow, SamplingParams
from unswayed.engine.hf.engine import HFEngine
from unswayed.engine.hf.load import load_engine
from unswayed.engine.policy import load_policy
from unswayed.losses import token_logprobs
from unswayed.training.prepare import prepare

LAYERS = ["q_proj", "v_proj", "up_proj"]


def _lora(**options: Any) -> LoraConfig:
    return LoraConfig(**{"r": 2, "lora_alpha": 8, "target_modules": LAYERS, "task_type": "CAUSAL_LM", **options})


SHARED: dict[str, Any] = {
    "lora": _lora(),
    "all-linear": _lora(target_modules="all-linear"),
    "rslora": _lora(use_rslora=True),
    "dora": _lora(use_dora=True),
    "lora-bias": _lora(lora_bias=True),
    "orthogonal": _lora(init_lora_weights="orthogonal"),
    "patterns": _lora(rank_pattern={"q_proj": 4}, alpha_pattern={"v_proj": 1}, layers_to_transform=[1]),
    "parameters": _lora(target_modules=["q_proj"], target_parameters=["up_proj.weight"]),
    "embedding": _lora(target_modules=[*LAYERS, "embed_tokens"]),
}
"""Kinds that share their base with other policies: everywhere equal to PEFT."""
ALONE: dict[str, Any] = {
    "pissa": _lora(init_lora_weights="pissa"),
    "olora": _lora(init_lora_weights="olora"),
    "bias-all": _lora(bias="all"),
    "bias-lora": _lora(bias="lora_only"),
    "head": _lora(target_modules=[*LAYERS, "lm_head"]),
    "saved-head": _lora(modules_to_save=["lm_head"]),
    "tokens": _lora(trainable_token_indices=[5, 6, 7, 20, 33]),
}
"""Kinds that change what others would read: equal in evaluation, refused in training."""
NEVER: dict[str, tuple[Any, str]] = {
    "ia3": (IA3Config(target_modules=LAYERS, feedforward_modules=["up_proj"], task_type="CAUSAL_LM"), "IA3"),
    "adalora": (AdaLoraConfig(target_modules=LAYERS, task_type="CAUSAL_LM", total_step=10), "ADALORA"),
    "vera": (VeraConfig(target_modules=["q_proj"], task_type="CAUSAL_LM"), "VERA"),
    "loha": (LoHaConfig(target_modules=LAYERS, task_type="CAUSAL_LM"), "LOHA"),
    "prompt": (PromptTuningConfig(num_virtual_tokens=3, task_type="CAUSAL_LM"), "PROMPT_TUNING"),
    "prefix": (PrefixTuningConfig(num_virtual_tokens=3, task_type="CAUSAL_LM"), "PREFIX_TUNING"),
    "alora": (_lora(alora_invocation_tokens=[5]), "alora_invocation_tokens"),
    "replication": (_lora(layer_replication=[[0, 2], [1, 2]]), "layer_replication"),
}
PROMPTS = [(5, 9, 41, 7, 30, 22, 18, 6, 12, 50), (5, 9, 41, 7, 30, 22, 18, 6, 12, 20, 33, 8), (60, 61, 5, 6, 20)]
COMPLETIONS = [(9, 20, 31), (8, 7), (33, 40, 41, 90, 5)]


@pytest.fixture(scope="module", params=["llama", "qwen"])
def base(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with tied embeddings, and one with an untied head and attention biases."""
    model = {"llama": tiny.llama, "qwen": tiny.qwen}[request.param]()
    return tiny.save(model, tmp_path_factory.mktemp("kinds") / request.param)


def make(base: Path, folder: Path, config: Any) -> Path:
    """Write an adapter of this kind, with numbers that matter in every tensor, as PEFT saves it."""
    torch.manual_seed(0)
    model = get_peft_model(AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32), config)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.1)
    model.save_pretrained(folder)
    return folder


def peft_logprobs(base: Path, adapter: Path | None, dtype: str = "float64") -> list[torch.Tensor]:
    """Return, from Transformers and PEFT alone, the log-probability of each token of each completion."""
    model: Any = AutoModelForCausalLM.from_pretrained(base, dtype=getattr(torch, dtype))
    if adapter is not None:
        model = PeftModel.from_pretrained(model, adapter)
    model.eval()
    found = []
    for prompt, completion in zip(PROMPTS, COMPLETIONS, strict=True):
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([[*prompt, *completion]])).logits[0, len(prompt) - 1 : -1]
        ids = torch.tensor(completion)[:, None]
        found.append(logits.double().log_softmax(-1).gather(1, ids)[:, 0])
    return found


def _engine(tmp_path: Path, base: Path, **changes: Any) -> HFEngine:
    model = {"dtype": "float64", **changes.pop("model", {})}
    prepared = prepare(runs.recipe(tmp_path, base, model=model, train={"micro_batch": 3}, **changes))
    return load_engine(prepared.recipe, prepared.source, prepared.chat)


def _rows() -> PairedBatch:
    return PairedBatch(
        tuple(
            PairedRow(str(i), prompt, prompt, completion, (1.0,) * len(completion))
            for i, (prompt, completion) in enumerate(zip(PROMPTS, COMPLETIONS, strict=True))
        )
    )


def _scored(engine: HFEngine, role: Any) -> list[torch.Tensor]:
    return [
        token_logprobs(s.hidden_ND, s.head_VD, s.ids_N, vocab=s.vocab_size) for s in engine.score(_rows(), role)
    ]  # fmt: skip


def _equal(found: list[torch.Tensor], expected: list[torch.Tensor], within: float = 1e-5) -> None:
    for mine, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=0, atol=within)


def _check_drawn(draw: Any, base: Path, adapter: Path | None, dtype: str = "float64") -> None:
    """Greedy completions and their log-probabilities are those of PEFT's dense logits."""
    model: Any = AutoModelForCausalLM.from_pretrained(base, dtype=getattr(torch, dtype))
    model = model if adapter is None else PeftModel.from_pretrained(model, adapter).eval()
    for prompt, own in zip(PROMPTS, draw, strict=True):
        ids = list(own[0].completion_ids)
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([[*prompt, *ids]])).logits[0, len(prompt) - 1 : -1].log_softmax(-1)
        assert logits.argmax(-1).tolist() == ids
        own_logprobs = torch.tensor(own[0].logprobs, dtype=torch.float64)
        torch.testing.assert_close(own_logprobs, logits.amax(-1).double(), rtol=0, atol=WITHIN[dtype])


WITHIN = {"float64": 1e-5, "float32": 3e-4}
PARAMS = SamplingParams(temperature=0.0, max_new_tokens=5)
SEEDS = [[0]] * len(PROMPTS)


@pytest.mark.parametrize("kind", [*SHARED, *ALONE])
def test_1_3_11_in_evaluation(tmp_path: Path, base: Path, kind: str) -> None:
    adapter = make(base, tmp_path / "a", {**SHARED, **ALONE}[kind])
    dtype = "float32" if kind in {"pissa", "olora"} else "float64"  # PEFT decomposes no float64
    policy = load_policy(str(base), str(adapter), dtype=dtype, device="cpu")
    assert policy.ways == replace(policy.ways, padded=True, lean=True, shared=True, undecodable="")
    _check_drawn(policy.draw(PROMPTS, PARAMS, SEEDS), base, adapter, dtype)
    expected = peft_logprobs(base, adapter, dtype)
    sums = policy.logprobs(PROMPTS, [[completion] for completion in COMPLETIONS])
    found = [torch.tensor(own[0], dtype=torch.float64) for own in sums]
    _equal(found, [logprobs.sum() for logprobs in expected], 3 * WITHIN[dtype])
    effect = [(a - b).abs().max() for a, b in zip(expected, peft_logprobs(base, None), strict=True)]
    assert float(max(effect)) > 0.05  # else the adapter could be left out


@pytest.mark.parametrize("kind", SHARED)
def test_1_11_12_to_start_from(tmp_path: Path, base: Path, kind: str) -> None:
    adapter = make(base, tmp_path / "a", SHARED[kind])
    expected, plain = peft_logprobs(base, adapter), peft_logprobs(base, None)
    engine = _engine(tmp_path, base, model={"adapter": str(adapter)})
    _equal(_scored(engine, "student"), expected)
    _equal(_scored(engine, "teacher"), expected)
    _check_drawn(engine.sample(["a"] * 3, PROMPTS, PARAMS, SEEDS), base, adapter)
    engine = _engine(tmp_path, base, model={"adapter": str(adapter)}, method={"teacher": "base"})
    _equal(_scored(engine, "student"), expected)
    _equal(_scored(engine, "teacher"), plain)
    # What is saved is what was trained.
    with torch.no_grad():
        for weight in engine.trainable.values():
            weight.mul_(1.1)
    (tmp_path / "saved").mkdir()
    engine.save(tmp_path / "saved")
    _equal(_scored(engine, "student"), peft_logprobs(base, tmp_path / "saved"))


@pytest.mark.parametrize("kind", SHARED)
def test_1_11_as_teacher(tmp_path: Path, base: Path, kind: str) -> None:
    adapter = make(base, tmp_path / "a", SHARED[kind])
    # PEFT puts one layer or one parameter under an adapter, not both.
    lora = {"targets": ["o_proj"]} if kind == "parameters" else {}
    engine = _engine(tmp_path, base, method={"teacher": f"adapter:{adapter}"}, lora=lora)
    _equal(_scored(engine, "student"), peft_logprobs(base, None))
    _equal(_scored(engine, "teacher"), peft_logprobs(base, adapter))
    _check_drawn(engine.sample(["a"] * 3, PROMPTS, PARAMS, SEEDS, "teacher"), base, adapter)


@pytest.mark.parametrize("place", ["start", "teacher"])
@pytest.mark.parametrize("kind", ALONE)
def test_1_12_what_rewrites_its_base_is_refused_in_training(tmp_path: Path, base: Path, kind: str, place: str) -> None:
    adapter = make(base, tmp_path / "a", ALONE[kind])
    if kind.startswith("bias") and "llama" in base.name:
        pytest.skip("no biases, so nothing to rewrite")
    start, teacher = {"model": {"adapter": str(adapter)}}, {"method": {"teacher": f"adapter:{adapter}"}}
    where: dict[str, Any] = start if place == "start" else teacher
    reason = {"head": "output embedding", "saved-head": "lm_head|output embedding", "tokens": "trainable tokens"}
    with pytest.raises(ConfigError, match=reason.get(kind, "rewrites . weights of its base")):
        _engine(tmp_path, base, **{**where, "model": {"dtype": "float32", **where.get("model", {})}})


@pytest.mark.parametrize("kind", NEVER)
def test_1_other_kinds_are_refused_by_name(tmp_path: Path, tiny_model_dir: Path, kind: str) -> None:
    config, name = NEVER[kind]
    adapter = make(tiny_model_dir, tmp_path / "a", config)
    with pytest.raises(ConfigError, match=name):
        load_policy(str(tiny_model_dir), str(adapter))
    for where in ({"model": {"adapter": str(adapter)}}, {"method": {"teacher": f"adapter:{adapter}"}}):
        with pytest.raises(ConfigError, match=name):
            prepare(runs.recipe(tmp_path, tiny_model_dir, **where))
