"""Architectures that once ended in a Python error: each trains and answers, or is refused with what works instead.

Known faults 5 and 15. Shapes are the smallest that have every part.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

import runs
import tiny
from unswayed.core.errors import ConfigError
from unswayed.core.types import Message, SamplingParams
from unswayed.engine.hf.load import load_engine
from unswayed.engine.policy import load_policy
from unswayed.training.loop import train
from unswayed.training.prepare import prepare

SHAPE: dict[str, Any] = {
    "vocab_size": 300, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 512, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 3,
}  # fmt: skip


def _falcon_alibi() -> Any:
    from transformers import FalconConfig, FalconForCausalLM

    return FalconForCausalLM(
        FalconConfig(
            vocab_size=300, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, alibi=True, bias=True,
            multi_query=True, new_decoder_architecture=False, parallel_attn=False, bos_token_id=1, eos_token_id=2,
        )
    )  # fmt: skip


def _llama4() -> Any:
    from transformers import Llama4ForCausalLM, Llama4TextConfig

    shape = {**SHAPE, "intermediate_size_mlp": 64, "num_local_experts": 2, "head_dim": 8, "attention_chunk_size": 64}
    return Llama4ForCausalLM(Llama4TextConfig(**shape, interleave_moe_layer_step=1))


def _jamba() -> Any:
    from transformers import JambaConfig, JambaForCausalLM

    layers = {"attn_layer_period": 2, "attn_layer_offset": 1, "expert_layer_period": 2, "expert_layer_offset": 1}
    return JambaForCausalLM(JambaConfig(**SHAPE, **layers, num_experts=2, mamba_d_state=4, use_mamba_kernels=False))


def _gemma3() -> Any:
    from transformers import Gemma3Config, Gemma3ForConditionalGeneration

    vision = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = Gemma3Config(
        text_config={**SHAPE, "head_dim": 8, "sliding_window": 64},
        vision_config={**vision, "image_size": 28, "patch_size": 14},
        mm_tokens_per_image=4, image_token_index=290, boi_token_index=291, eoi_token_index=292,
    )  # fmt: skip
    return Gemma3ForConditionalGeneration(config)


def _phimoe() -> Any:
    from transformers import PhimoeConfig, PhimoeForCausalLM

    return PhimoeForCausalLM(PhimoeConfig(**SHAPE, num_local_experts=4, sliding_window=None))


def _qwen3_next() -> Any:
    from transformers import Qwen3NextConfig, Qwen3NextForCausalLM

    heads = {"linear_num_key_heads": 2, "linear_num_value_heads": 2, "linear_key_head_dim": 8, "head_dim": 8}
    experts = {"num_experts": 4, "moe_intermediate_size": 16, "shared_expert_intermediate_size": 16}
    shape = {**SHAPE, "num_hidden_layers": 4, **heads, **experts}
    return Qwen3NextForCausalLM(Qwen3NextConfig(**shape, linear_value_head_dim=8, num_experts_per_tok=2))


def _afmoe() -> Any:
    from transformers import AfmoeConfig, AfmoeForCausalLM

    experts = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16, "num_shared_experts": 1}
    return AfmoeForCausalLM(AfmoeConfig(**SHAPE, **experts, head_dim=8, num_dense_layers=1, sliding_window=64))


# For each: what drawing says ("" where it works), and what LoRA on all linear layers says.
CASES: dict[str, tuple[Callable[[], Any], str, str]] = {
    "5-falcon-alibi": (_falcon_alibi, "source = 'target'", ""),
    "5-llama4": (_llama4, "chunked_attention", "lora.targets = "),
    "5-jamba": (_jamba, "linear_attention", ""),
    "15-gemma3": (_gemma3, "", ""),
    "15-phimoe": (_phimoe, "", "lora.targets = "),
    "15-qwen3-next": (_qwen3_next, "linear_attention", ""),
    "11-afmoe": (_afmoe, "", ""),
}
ASKED = [(Message("user", "hello"),), (Message("user", "hello there, you"),)]


@pytest.fixture(scope="module", params=CASES)
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, str]:
    build, drawing, lora = CASES[request.param]
    model = build()
    tiny.fill(model, 3)
    return tiny.save(model, tmp_path_factory.mktemp("arch") / request.param), drawing, lora


def test_evaluation(case: tuple[Path, str, str]) -> None:
    folder, drawing, _ = case
    policy = load_policy(str(folder), dtype="float32", device="cpu")
    params = SamplingParams(temperature=0.0, max_new_tokens=4)
    if drawing:
        with pytest.raises(ConfigError, match=drawing):
            policy.complete(ASKED, params)
        return
    ids = [policy.chat.render(prompt) for prompt in ASKED]
    model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    for prompt, drawn in zip(ids, policy.draw(ids, params, [[0], [0]]), strict=True):
        own = list(drawn[0].completion_ids)
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([[*prompt, *own]])).logits[0, len(prompt) - 1 : -1].log_softmax(-1)
        assert logits.argmax(-1).tolist() == own
        torch.testing.assert_close(torch.tensor(drawn[0].logprobs), logits.amax(-1), rtol=0, atol=1e-3)


def test_training(tmp_path: Path, case: tuple[Path, str, str]) -> None:
    folder, drawing, lora = case
    given = {"name": "sft", "source": "target"}
    if lora:
        prepared = prepare(runs.recipe(tmp_path, folder, method=given))
        with pytest.raises(ConfigError, match=lora) as caught:
            load_engine(prepared.recipe, prepared.source, prepared.chat)
        assert "'q_proj'" in str(caught.value)
    targets = {"targets": ["q_proj", "v_proj"]} if lora else {}
    train(runs.recipe(tmp_path, folder, method=given, lora=targets, train={"steps": 1}))
    recipe = runs.recipe(tmp_path, folder, lora=targets, train={"steps": 1}, name="opct")
    if drawing:
        with pytest.raises(ConfigError, match=drawing):
            train(recipe)
    else:
        train(recipe)
