"""The packed forward equals each row alone: hidden states and gradients, whatever rows share and however ragged."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

import tiny
from unswayed.engine.forward import completion_hidden, completion_layers, full_attention, packable
from unswayed.engine.packing import pack

PREFIX = list(range(5, 17))
PROMPTS = [[*PREFIX, 20, 21], [*PREFIX, 30], [*PREFIX, 40, 41, 42, 43]]
COMPLETIONS = [[50, 51, 52], [60], [70, 71]]


@pytest.fixture(scope="module", autouse=True)
def _norm_in_float64() -> Iterator[None]:
    with tiny.norms_in_float64():
        yield


@pytest.fixture(scope="module")
def model(tiny_model_dir: Path) -> torch.nn.Module:
    return AutoModelForCausalLM.from_pretrained(tiny_model_dir, dtype=torch.float64).eval()


A, B, C = [*PREFIX, 20, 21], [*PREFIX, 30], [*PREFIX, 40, 41, 42, 43]
TREES = {
    "rollouts of three prompts, mixed": ([A, B, A, C, B, A], [[50, 51, 52], [60], [70, 71], [50], [51, 52], [80] * 5]),
    "one prompt": ([A] * 3, [[50, 51, 52], [60], [70, 71]]),
    "one prompt, completions of one token": ([A] * 3, [[50], [60], [70]]),
    "nothing in common": ([[1, 2], [3], [1, 2], [4, 5, 6]], [[50, 51], [60], [70, 71, 72], [80]]),
    "the shared beginning is a prompt": ([PREFIX, A, PREFIX, A], [[50, 51], [60], [70], [80, 81]]),
    "a prompt that begins another": ([A[:3], A, A[:3]], [[50, 51], [60, 61], [70]]),
    "one row": ([A], [[50, 51]]),
    "all of one length": ([A, A, [*PREFIX, 1, 2]], [[50, 51]] * 3),
}
tree = pytest.mark.parametrize(("prompts", "completions"), TREES.values(), ids=TREES)
Rows = list[list[int]]


def _alone(model: torch.nn.Module, prompt: list[int], completion: list[int]) -> torch.Tensor:
    hidden_TD = model.model(input_ids=torch.tensor([[*prompt, *completion]])).last_hidden_state[0]
    return hidden_TD[len(prompt) - 1 : -1]


@pytest.mark.parametrize("share", [True, False])
def test_equals_each_row_alone(model: torch.nn.Module, share: bool) -> None:
    expected_ND = torch.cat([_alone(model, p, c) for p, c in zip(PROMPTS, COMPLETIONS, strict=True)])
    hidden_ND = completion_hidden(model.model, PROMPTS, COMPLETIONS, share_prefix=share)
    torch.testing.assert_close(hidden_ND, expected_ND, rtol=0, atol=1e-12)


def test_gradients_flow_through_the_shared_prefix(model: torch.nn.Module) -> None:
    weight = model.model.layers[0].self_attn.k_proj.weight
    grads = []
    for share in (True, False):
        weight.grad = None
        weight.requires_grad_(True)
        completion_hidden(model.model, PROMPTS, COMPLETIONS, share_prefix=share).square().sum().backward()
        grads.append(weight.grad.clone())
    weight.requires_grad_(False)
    torch.testing.assert_close(grads[0], grads[1], rtol=0, atol=1e-12)
    assert grads[0].abs().max() > 0


def test_one_prompt_that_begins_another(model: torch.nn.Module) -> None:
    prompts, completions = [PREFIX, [*PREFIX, 20, 21]], [[50, 51], [60]]
    expected_ND = torch.cat([_alone(model, p, c) for p, c in zip(prompts, completions, strict=True)])
    torch.testing.assert_close(completion_hidden(model.model, prompts, completions), expected_ND, rtol=0, atol=1e-12)


def test_equal_rows_need_no_mask_and_stay_exact(model: torch.nn.Module) -> None:
    prompts, completions = [[*PREFIX, 1]] * 3, [[50, 51]] * 3
    expected_ND = torch.cat([_alone(model, p, c) for p, c in zip(prompts, completions, strict=True)])
    torch.testing.assert_close(completion_hidden(model.model, prompts, completions), expected_ND, rtol=0, atol=1e-12)


def test_sliding_windows_do_not_share(model: torch.nn.Module) -> None:
    from transformers import MistralConfig, MistralModel

    config = MistralConfig(
        vocab_size=32, hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=1, sliding_window=8,
    )  # fmt: skip
    assert full_attention(model.model)
    assert not full_attention(MistralModel(config))


@tree
@pytest.mark.parametrize("share", [True, False])
def test_states_and_gradients_are_those_of_the_rows_alone(
    model: torch.nn.Module, prompts: Rows, completions: Rows, share: bool
) -> None:
    matrices = [model.model.embed_tokens.weight, *(w for w in model.model.layers[0].parameters() if w.ndim == 2)]
    weights = [weight.requires_grad_() for weight in matrices]
    expected_ND = torch.cat([_alone(model, p, c) for p, c in zip(prompts, completions, strict=True)])
    factors_ND = torch.linspace(-1, 1, expected_ND.numel(), dtype=torch.float64).view_as(expected_ND)
    expected = torch.autograd.grad((expected_ND * factors_ND).sum(), weights)
    hidden_ND = completion_hidden(model.model, prompts, completions, share_prefix=share)
    torch.testing.assert_close(hidden_ND, expected_ND, rtol=0, atol=1e-12)
    for grad, right in zip(torch.autograd.grad((hidden_ND * factors_ND).sum(), weights), expected, strict=True):
        torch.testing.assert_close(grad, right, rtol=0, atol=1e-12 * max(1.0, float(right.abs().max())))
    assert float(expected[1].abs().max()) > 0.1


@tree
def test_every_layer_is_that_of_the_rows_alone(model: torch.nn.Module, prompts: Rows, completions: Rows) -> None:
    hidden_ND, layers_LND = completion_layers(model.model, [[], *prompts], [[7, 8], *completions])
    plain_ND, plain_LND = completion_layers(model.model, [[], *prompts], [[7, 8], *completions], share_prefix=False)
    torch.testing.assert_close(hidden_ND, plain_ND, rtol=0, atol=1e-12)
    torch.testing.assert_close(layers_LND, plain_LND, rtol=0, atol=1e-12)
    assert len(layers_LND) == 2


@tree
def test_every_token_is_computed_once(prompts: Rows, completions: Rows) -> None:
    rows = [[*p, *c] for p, c in zip(prompts, completions, strict=True)]
    packed = pack(prompts, rows, torch.device("cpu"), torch.float32)
    for row, columns in zip(rows, packed.columns, strict=True):
        assert packed.ids_1T[0, list(columns)].tolist() == row
        assert packed.positions_1T[0, list(columns)].tolist() == list(range(len(row)))
    own = sum(map(len, completions))
    distinct = sorted({tuple(prompt) for prompt in prompts})
    beginning = len(PREFIX) if len(distinct) > 1 and all(p[: len(PREFIX)] == tuple(PREFIX) for p in distinct) else 0
    assert packed.ids_1T.shape == (1, own + beginning + sum(len(prompt) - beginning for prompt in distinct))


def test_attention_is_put_back(model: torch.nn.Module) -> None:
    with pytest.raises(IndexError):
        completion_hidden(model.model, [[10**6]], [[1, 2]])
    assert model.config._attn_implementation == "sdpa"
    assert packable(model.model)


def test_what_packed_rows_do_not_know_is_padded(tiny_model_dir: Path) -> None:
    eager = AutoModelForCausalLM.from_pretrained(tiny_model_dir, attn_implementation="eager")
    assert not packable(eager.model)
    again = AutoModelForCausalLM.from_pretrained(tiny_model_dir)
    assert packable(again.model)
