"""Rows longer than a rotary embedding's original length change no other row's numbers (known fault 13)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import runs
import tiny
from unswayed.chat.model_files import context_length, steady_length
from unswayed.core.errors import ConfigError, DataError
from unswayed.engine.decode.loglikelihood import continuation_logprobs
from unswayed.engine.forward import completion_hidden, completion_layers
from unswayed.engine.policy import load_policy
from unswayed.training.prepare import prepare

LONGROPE: dict[str, Any] = {
    "rope_type": "longrope",
    "rope_theta": 1e4,
    "long_factor": [9.0] * 4,
    "short_factor": [1.0] * 4,
    "factor": 8.0,
    "original_max_position_embeddings": 64,
}
DYNAMIC: dict[str, Any] = {"rope_type": "dynamic", "rope_theta": 1e4, "factor": 4.0}


@pytest.fixture(scope="module", params=["longrope", "dynamic"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that changes its frequencies beyond 64 tokens."""
    longrope = {"rope_parameters": LONGROPE, "max_position_embeddings": 512}
    dynamic = {"rope_parameters": DYNAMIC, "max_position_embeddings": 64}
    model = tiny.llama(**(longrope if request.param == "longrope" else dynamic))
    return tiny.save(model, tmp_path_factory.mktemp("rope") / request.param)


def test_13_transformers_would_change_a_row_by_its_neighbour(folder: Path) -> None:
    from transformers import AutoModelForCausalLM

    model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float64)
    ids = torch.arange(4, 104)[None] % 290
    with torch.no_grad():
        alone = model(input_ids=ids[:, :20]).logits
        beside = model(input_ids=ids).logits[:, :20]
    assert float((alone - beside).abs().max()) > 1e-2


def test_13_every_way_refuses_them_and_takes_the_rest(folder: Path) -> None:
    from transformers import AutoModelForCausalLM

    model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float64).eval()
    short, long = tuple(range(4, 34)), tuple(range(4, 64))
    for share in (True, False):
        with torch.no_grad():
            both = completion_hidden(model.model, [short, short], [(5, 6), (7,) * 35], share_prefix=share)
            alone = completion_hidden(model.model, [short], [(5, 6)], share_prefix=share)
        torch.testing.assert_close(both[:2], alone, rtol=0, atol=1e-6)
        for function in (completion_hidden, completion_layers):
            with pytest.raises(ConfigError, match="beyond 64 tokens"):
                function(model.model, [short, long], [(5, 6), (5,) * 6], share_prefix=share)
    with pytest.raises(ConfigError, match="beyond 64 tokens"):
        continuation_logprobs(model.model, model.lm_head, [long], [[(5,) * 6]])


def test_13_training_refuses_long_pairs_and_evaluation_counts_long_prompts(tmp_path: Path, folder: Path) -> None:
    recipe = runs.recipe(tmp_path, folder, sampling={"max_new_tokens": 60})
    with pytest.raises(DataError, match="longer than the context"):
        prepare(recipe)
    assert prepare(runs.recipe(tmp_path, folder, sampling={"max_new_tokens": 3})).chat.context_length == 64
    policy = load_policy(str(folder), dtype="float32", device="cpu")
    assert policy.chat.context_length == 64


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"max_position_embeddings": 4096}, None),
        ({"max_position_embeddings": 4096, "rope_scaling": None}, None),
        ({"max_position_embeddings": 131072, "original_max_position_embeddings": 4096,
          "rope_scaling": {"type": "longrope"}}, 4096),
        ({"max_position_embeddings": 2048, "rope_scaling": {"rope_type": "dynamic", "factor": 2.0}}, 2048),
        ({"max_position_embeddings": 8192, "rope_parameters": {"rope_type": "yarn", "factor": 4.0,
          "original_max_position_embeddings": 2048}}, None),
        ({"max_position_embeddings": 512, "rope_parameters": {"full_attention": {"rope_type": "dynamic"},
          "sliding_attention": {"rope_type": "default"}}}, 512),
        ({"text_config": {"max_position_embeddings": 512, "rope_scaling": {"rope_type": "longrope",
          "original_max_position_embeddings": 128}}}, 128),
    ],
)  # fmt: skip
def test_13_the_length_is_read_from_the_files(config: dict[str, Any], expected: int | None) -> None:
    assert steady_length(config) == expected
    if expected is not None:

        class Tokenizer:
            model_max_length = 10**6

        assert context_length(config, Tokenizer()) == expected
