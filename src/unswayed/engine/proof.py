"""Proof at load: on these weights, this package's arithmetic gives what Transformers and PEFT give.

Four shortcuts stand between a model and its numbers: LoRA layers that compute in place (`lora`), rows packed into one
sequence (`packing`), rows padded to one length, and a decode loop with a cache and leaner layers (`decode`). Each is
tried on a few ids before anything depends on it. One that gives other numbers, or fails, is not used, and the log says
so. An adapter that is still zero is given numbers meanwhile: it could hide any mistake.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar

import torch
from peft.tuners.lora.layer import Linear as LoraLinear
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import Tensor, nn

from unswayed.core.errors import ConfigError, NotFiniteError, OutOfMemoryError
from unswayed.core.types import SamplingParams
from unswayed.engine.decode.lean import lean_linears
from unswayed.engine.decode.loglikelihood import continuation_logprobs
from unswayed.engine.decode.sampler import sample
from unswayed.engine.forward import backbone, completion_hidden, packable
from unswayed.engine.logits import logit_rule
from unswayed.engine.lora import fuse, fused
from unswayed.engine.ways import Ways

log = logging.getLogger(__name__)

EXACT = 2e-3  # the largest relative error that is taken for rounding, in float32 and wider types
WHOLE = {torch.bfloat16: 0.15, torch.float16: 0.05}  # in narrower ones, of a whole pass
LAYER = {torch.bfloat16: 0.03, torch.float16: 0.01}  # of one layer
NATS = {torch.bfloat16: 0.5, torch.float16: 0.2}  # of log-probabilities, in nats; ten times EXACT in wider types
PREFIX, NEW = 8, 2  # tokens that the tried prompts begin with, and tokens that are drawn after each

T = TypeVar("T")
Ids = Sequence[Sequence[int]]


def prove(model: Any, head: Any, *, tuned: Sequence[nn.Module] = (), vocab_size: int, trained: bool) -> Ways:
    """Try each shortcut on a loaded model, with its adapter active, and return those that may be taken.

    Args:
        model: the causal language model, in eval mode; layers in it may have adapters.
        head: its output embedding.
        tuned: the layers with adapters, for `lora.fuse`.
        vocab_size: ids from here on do not exist.
        trained: whether the model is scored and trained in rows; its LoRA layers are then fused as far as they may be.

    Raises:
        ConfigError: Transformers itself cannot run this model on plain ids, or no way to score a row is left.
        NotFiniteError: its hidden states are NaN or infinite; names the weights that are, if any.
    """
    body = backbone(model)
    prompts, completions = _rows(vocab_size)
    with _adapters_with_effect(tuned):
        if trained:
            _fuse(tuned)
        lean = _lean_layers(model, tuned)
        draw = partial(_drawn, body, head, [prompts[0], prompts[2]], vocab_size)
        drawn = draw(lean)
        if not isinstance(drawn, str):
            completions = [drawn[0][0], completions[1], drawn[1][0]]  # so that one pass serves all comparisons
        with _own_forward(tuned):
            expected, logprobs = _reference(model, body, prompts, completions, vocab_size)
        _refuse_not_finite(model, expected)
        padded = _same("rows padded to one length", expected, lambda: _hidden(body, prompts, completions, False))
        packed = (
            trained
            and packable(body)
            and _same("rows packed end to end", expected, lambda: _hidden(body, prompts, completions, True))
        )
        if trained and not (padded or packed):
            alone = [rows[:1] for rows in (prompts, completions)]
            if not _same("one row at a time", expected[:1], lambda: _hidden(body, alone[0], alone[1], False)):
                raise ConfigError(f"{type(body).__name__}: rows cannot be scored; use a decoder-only transformer")
        problem = drawn if isinstance(drawn, str) else _gap(model, [own for _, own in drawn], logprobs[::2])
        if problem and lean and _draws_hold(model, body, tuned, [prompts[0], prompts[2]], vocab_size, draw(False)):
            _say("leaner layers in decoding", problem)
            lean, problem = False, ""
        if problem:
            log.warning("This model cannot be sampled from here: %s", problem)
        choices = _likelihood_problem(model, body, head, vocab_size, prompts[2], completions[2], logprobs[2])
        if choices and choices != problem:
            _say("prompts computed once for all their continuations", choices)
    return Ways(packed=packed, padded=padded, lean=lean, shared=not choices, undecodable=problem)


@torch.no_grad()
def check_head(model: Any) -> None:
    """Refuse models whose logits are not those of the output embedding, scaled and capped as the configuration says.

    Raises:
        ConfigError: an adapter on the head, or logits that are changed after it in another way.
    """
    head: Any = model.get_output_embeddings()
    if not isinstance(head, torch.nn.Linear):
        raise ConfigError("the output embedding carries an adapter; leave it out of lora.targets")
    ids = torch.arange(4, device=model.device)[None] % head.weight.shape[0]
    logits = model(input_ids=ids).logits
    if not bool(logits.isfinite().all()):
        refuse_not_finite(model.named_parameters(), "the model's logits")
    body = backbone(model)
    expected = logit_rule(body.config).apply(head(body(input_ids=ids).last_hidden_state))
    if not torch.allclose(logits.float(), expected.float(), rtol=1e-3, atol=1e-3):
        raise ConfigError(
            f"{type(model).__name__} changes its logits after the output embedding in a way that its configuration "
            "does not show; there is no exact divergence for it"
        )


def _rows(vocab: int) -> tuple[list[list[int]], list[list[int]]]:
    """Return prompts with a beginning in common, and completions: three rows, two of them of one prompt."""
    ids = [(7 + 13 * place) % vocab for place in range(PREFIX + 11)]
    first, second = ids[: PREFIX + 1], [*ids[:PREFIX], ids[-1], ids[-2]]
    return [first, first, second], [ids[-6:-4], ids[-8:-5], ids[-5:-3]]


@torch.no_grad()
def _reference(model: Any, body: Any, prompts: Ids, completions: Ids, vocab: int) -> tuple[list[Tensor], list[Tensor]]:
    """Return what Transformers gives for each row alone, and PEFT in each layer.

    Returns:
        For each row the states that predict the completion's tokens, and those tokens' log-probabilities, float64.
    """
    found: list[Tensor] = []
    hidden, logprobs = [], []
    hook = body.register_forward_hook(lambda _module, _args, output: found.append(output.last_hidden_state[0]))
    try:
        for prompt, completion in zip(prompts, completions, strict=True):
            ids = torch.tensor([[*prompt, *completion][:-1]], device=model.device)
            logits_TV = model(input_ids=ids, use_cache=False).logits[0, len(prompt) - 1 :, :vocab]
            own = torch.tensor(completion, device=logits_TV.device)[:, None]
            logprobs.append(logits_TV.double().log_softmax(-1).gather(1, own)[:, 0].cpu())
            hidden.append(found.pop()[len(prompt) - 1 :])
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # the code of a model may raise anything on a batch that it does not take
        raise ConfigError(
            f"{type(model).__name__}: Transformers cannot run this model on token ids: {_line(error)}"
        ) from error
    finally:
        hook.remove()
    return hidden, logprobs


@torch.no_grad()
def _hidden(body: Any, prompts: list[list[int]], completions: list[list[int]], share: bool) -> list[Tensor]:
    hidden_ND = completion_hidden(body, prompts, completions, share_prefix=share)
    return list(torch.split(hidden_ND, [len(completion) for completion in completions]))


def _same(what: str, expected: list[Tensor], compute: Callable[[], list[Tensor]]) -> bool:
    """Whether the states are the expected ones up to rounding; says so where they are not."""
    try:
        found = compute()
    except (OutOfMemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:  # whatever fails here, the path of Transformers is taken and the reason is said
        _say(what, _line(error))
        return False
    worst = max(_row_error(a, b) for a, b in zip(found, expected, strict=True))
    if worst <= WHOLE.get(expected[0].dtype, EXACT):
        return True
    _say(what, f"relative error {worst:.2g}")
    return False


def _row_error(found_ND: Tensor, expected_ND: Tensor) -> float:
    """Return the median over tokens: where experts are chosen, rounding alone may choose others for one of them."""
    errors_N = (found_ND.float() - expected_ND.float()).norm(dim=-1) / expected_ND.float().norm(dim=-1)
    return float(errors_N.nan_to_num(torch.inf).quantile(0.5))


def _say(what: str, why: str) -> None:
    log.warning("%s: other numbers than Transformers and PEFT give (%s); their way is taken instead", what, why)


def _line(error: BaseException) -> str:
    return f"{type(error).__name__}: {(str(error).strip().splitlines() or [''])[0]}"


# ---- layers


def _fuse(tuned: Sequence[nn.Module]) -> None:
    """Let LoRA layers compute in place where outputs and gradients are those of PEFT's own forward."""
    plain = [layer for layer in tuned if type(layer) is LoraLinear]
    fuse(plain)
    wrong, shapes = False, set()
    for layer in filter(fused, plain):
        shape = str([tuple(weight.shape) for weight in layer.parameters()])
        numbers = partial(_numbers, layer, gradients=shape not in shapes)  # equal shapes take equal ways back
        shapes.add(shape)
        found = numbers()
        with _own_forward([layer]):
            wrong |= not _layer_same(found, numbers())
    if wrong:
        for layer in filter(fused, plain):
            vars(layer).pop("forward")
        _say("LoRA layers that add in place", "outputs or gradients differ")


def _numbers(layer: Any, *, gradients: bool) -> list[Tensor]:
    """Return a layer's output for a few rows, and the gradients of them and of its adapter's weights if asked for."""
    x_NI = _noise(layer.get_base_layer()).requires_grad_(gradients)
    with torch.set_grad_enabled(gradients):
        out_NO = layer(x_NI)
    if not gradients:
        return [out_NO]
    weights = [weight for weight in layer.parameters() if weight.requires_grad]
    return [out_NO.detach(), *torch.autograd.grad(out_NO, [x_NI, *weights], out_NO.detach(), allow_unused=True)]


def _layer_same(found: Sequence[Tensor | None], expected: Sequence[Tensor | None]) -> bool:
    for a, b in zip(found, expected, strict=True):
        if (a is None) != (b is None):
            return False
        if a is not None and b is not None:
            error = (a.float() - b.float()).norm() / b.float().norm().clamp(min=torch.finfo(torch.float32).tiny)
            if not float(error) <= LAYER.get(found[0].dtype, EXACT):  # type: ignore[union-attr]
                return False
    return True


def _noise(linear: Any) -> Tensor:
    """Return three rows of input of a linear layer, the same in every call."""
    weight = linear.weight
    generator = torch.Generator().manual_seed(weight.shape[-1])
    return torch.randn(3, weight.shape[-1], generator=generator).to(weight.device, weight.dtype)


@torch.no_grad()
def _lean_layers(model: nn.Module, tuned: Sequence[nn.Module]) -> bool:
    """Whether each layer that decoding replaces gives what it gives by itself."""
    inside = {inner for layer in tuned for inner in layer.modules() if inner is not layer}
    layers = [m for m in model.modules() if type(m) in {LoraLinear, nn.Linear} and m not in inside]
    inputs = {layer: _noise(layer.get_base_layer() if isinstance(layer, BaseTunerLayer) else layer) for layer in layers}
    with lean_linears(model):
        found = {layer: layer(inputs[layer]) for layer in layers if "forward" in vars(layer)}
    with _own_forward(tuned):
        wrong = [layer for layer, out in found.items() if not _layer_same([out], [layer(inputs[layer])])]
    if wrong:
        _say(f"{len(wrong)} leaner layers in decoding", type(wrong[0]).__name__)
    return not wrong


@contextmanager
def _own_forward(tuned: Sequence[nn.Module]) -> Iterator[None]:
    """Let fused layers compute as PEFT does."""
    taken = {layer: vars(layer).pop("forward") for layer in tuned if fused(layer)}
    try:
        yield
    finally:
        for layer, forward in taken.items():
            vars(layer)["forward"] = forward


@contextmanager
def _adapters_with_effect(tuned: Sequence[nn.Module]) -> Iterator[None]:
    """Put small numbers into adapter weights that are all zero, and take them out again, to the bit."""
    held: list[tuple[nn.Parameter, Tensor]] = []
    for layer in tuned:
        names: Sequence[str] = getattr(layer, "adapter_layer_names", ())
        for name, weight in layer.named_parameters():
            if name.split(".")[0] in names and weight.numel() and not weight.detach().any():
                generator = torch.Generator().manual_seed(weight.numel())
                noise = torch.randn(weight.shape, generator=generator) * 0.02
                held.append((weight, weight.data))
                weight.data = noise.to(weight.device, weight.dtype)
    try:
        yield
    finally:
        for weight, data in held:
            weight.data = data


# ---- whole model


def _drawn(body: Any, head: Any, prompts: Ids, vocab: int, lean: bool) -> list[tuple[list[int], Tensor]] | str:
    """Return greedy completions with their log-probabilities, or why there are none."""
    params, seeds = SamplingParams(temperature=0.0, max_new_tokens=NEW), [[0]] * len(prompts)

    def compute() -> list[tuple[list[int], Tensor]]:
        how: dict[str, Any] = {"seeds": seeds, "stop_ids": frozenset(), "vocab_size": vocab, "lean": lean}
        draws = [own[0] for own in sample(body, head, prompts, params, **how)]
        return [(list(each.completion_ids), torch.tensor(each.logprobs, dtype=torch.float64)) for each in draws]

    return _tried(compute)


def _draws_hold(
    model: Any,
    body: Any,
    tuned: Sequence[nn.Module],
    prompts: Ids,
    vocab: int,
    drawn: list[tuple[list[int], Tensor]] | str,
) -> bool:
    """Whether completions have the log-probabilities that Transformers and PEFT give them."""
    if isinstance(drawn, str):
        return False
    with _own_forward(tuned):
        logprobs = _reference(model, body, prompts, [ids for ids, _ in drawn], vocab)[1]
    return not _gap(model, [own for _, own in drawn], logprobs)


def _likelihood_problem(
    model: Any, body: Any, head: Any, vocab: int, prompt: list[int], ids: list[int], logprobs: Tensor
) -> str:
    """Return why log-probabilities of given continuations would not be this model's, or an empty text."""
    own = _tried(lambda: continuation_logprobs(body, head, [prompt], [[ids, ids[:1]]], vocab_size=vocab)[0])
    if isinstance(own, str):
        return own
    return _gap(model, [torch.tensor(own, dtype=torch.float64)], [torch.stack([logprobs.sum(), logprobs[0]])])


def _tried(compute: Callable[[], T]) -> T | str:
    """Return what a computation gives, or why it gives nothing."""
    try:
        return compute()
    except (OutOfMemoryError, torch.OutOfMemoryError):
        raise
    except (ConfigError, NotFiniteError) as error:
        return str(error)
    except Exception as error:  # whatever fails here, completions are refused with the reason
        return f"its layers do not take what this decode loop passes them ({_line(error)})"


def _gap(model: Any, found: list[Tensor], expected: list[Tensor]) -> str:
    """Return by how much log-probabilities differ if it is more than rounding, or an empty text."""
    worst = max(float((a - b).abs().quantile(0.5)) for a, b in zip(found, expected, strict=True))
    return "" if worst <= NATS.get(model.dtype, 10 * EXACT) else f"log-probabilities differ by {worst:.2g} nats"


def _refuse_not_finite(model: nn.Module, hidden: list[Tensor]) -> None:
    if all(bool(states.isfinite().all()) for states in hidden):
        return
    refuse_not_finite(model.named_parameters(), "the model's hidden states")


def refuse_not_finite(weights: Iterator[tuple[str, Tensor]] | Mapping[str, Tensor], what: str) -> None:
    """Raise the error of numbers that are NaN or infinite before anything was trained.

    Raises:
        NotFiniteError: always; names the first weight that is not finite.
    """
    named = weights.items() if isinstance(weights, Mapping) else weights
    bad = next((name for name, weight in named if not bool(weight.isfinite().all())), None)
    why = f"{bad} holds such numbers; get the files anew" if bad else "its numbers overflow; set dtype = 'float32'"
    raise NotFiniteError(f"{what} are NaN or infinite: {why}")
