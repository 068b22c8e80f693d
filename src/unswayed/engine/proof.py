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
from typing import Any

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
PREFIX, NEW = 9, 3  # tokens that the tried prompts begin with, and tokens that are drawn after each

Hidden = list[Tensor]


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
        with _own_forward(tuned):
            expected = _reference(body, prompts, completions)
        _refuse_not_finite(model, expected)
        if trained:
            _fuse(tuned)
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
        lean = _lean_layers(model, tuned)
        problem = _decode_problem(model, body, head, vocab_size, lean)
        if problem and lean and not _decode_problem(model, body, head, vocab_size, False):
            _say("leaner layers in decoding", problem)
            lean, problem = False, ""
        if problem:
            log.warning("This model cannot be sampled from here: %s", problem)
        choices = _likelihood_problem(model, body, head, vocab_size)
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
    """Return prompts with a beginning in common and completions: three rows of unequal length, two of one prompt."""
    ids = [(7 + 13 * place) % vocab for place in range(PREFIX + 11)]
    first, second = ids[: PREFIX + 1], [*ids[:PREFIX], ids[-1], ids[-2], ids[-3]]
    return [first, first, second], [ids[-6:-4], ids[-8:-4], ids[-5:-3]]


@torch.no_grad()
def _reference(body: Any, prompts: list[list[int]], completions: list[list[int]]) -> Hidden:
    """Return what Transformers gives for each row alone, and PEFT in each layer, at the completion's tokens."""
    found = []
    for prompt, completion in zip(prompts, completions, strict=True):
        ids = torch.tensor([[*prompt, *completion][:-1]], device=body.device)
        try:
            hidden_BTD = body(input_ids=ids, use_cache=False).last_hidden_state
        except torch.OutOfMemoryError:
            raise
        except Exception as error:
            raise ConfigError(
                f"{type(body).__name__}: Transformers cannot run this model on token ids: {_line(error)}"
            ) from error
        found.append(hidden_BTD[0, len(prompt) - 1 :])
    return found


@torch.no_grad()
def _hidden(body: Any, prompts: list[list[int]], completions: list[list[int]], share: bool) -> Hidden:
    hidden_ND = completion_hidden(body, prompts, completions, share_prefix=share)
    return list(torch.split(hidden_ND, [len(completion) for completion in completions]))


def _same(what: str, expected: Hidden, compute: Callable[[], Hidden]) -> bool:
    """Whether the states are the expected ones up to rounding; says so where they are not."""
    try:
        found = compute()
    except (OutOfMemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:
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
    wrong = []
    for layer in filter(fused, plain):
        found = _with_gradients(layer)
        with _own_forward([layer]):
            if not _layer_same(found, _with_gradients(layer)):
                wrong.append(layer)
    for layer in wrong:
        vars(layer).pop("forward")
    if wrong:
        _say(f"{len(wrong)} LoRA layers in place", "outputs or gradients differ")


def _with_gradients(layer: Any) -> list[Tensor]:
    """Return a layer's output for a few rows, and the gradients of them and of its adapter's weights."""
    x_NI = _noise(layer.get_base_layer()).requires_grad_()
    weights = [weight for weight in layer.parameters() if weight.requires_grad]
    with torch.enable_grad():
        out_NO = layer(x_NI)
    if not out_NO.requires_grad:
        return [out_NO]
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


def _decode_problem(model: Any, body: Any, head: Any, vocab: int, lean: bool) -> str:
    """Return why completions drawn here would not be this model's, or an empty text."""
    prompts = _rows(vocab)[0][1:]
    params = SamplingParams(temperature=0.0, max_new_tokens=NEW)

    def compute() -> list[tuple[list[int], list[int], list[float]]]:
        draws = sample(
            body, head, prompts, params, seeds=[[0]] * len(prompts), stop_ids=frozenset(), vocab_size=vocab, lean=lean
        )
        return [(p, list(d[0].completion_ids), list(d[0].logprobs)) for p, d in zip(prompts, draws, strict=True)]

    return _logprob_problem(model, vocab, compute)


def _likelihood_problem(model: Any, body: Any, head: Any, vocab: int) -> str:
    """Return why log-probabilities of given continuations would not be this model's, or an empty text."""
    prompts, completions = _rows(vocab)

    def compute() -> list[tuple[list[int], list[int], list[float]]]:
        own = [completions[:2], completions[2:]]
        sums = continuation_logprobs(body, head, prompts[1:], own, vocab_size=vocab)
        return [(prompts[1], completions[0], sums[0][:1]), (prompts[2], completions[2], sums[1])]

    return _logprob_problem(model, vocab, compute)


@torch.no_grad()
def _logprob_problem(
    model: Any, vocab: int, compute: Callable[[], list[tuple[list[int], list[int], list[float]]]]
) -> str:
    """Compare log-probabilities, one for each token or their sum, with those of the model's own logits."""
    try:
        rows = compute()
    except (OutOfMemoryError, torch.OutOfMemoryError):
        raise
    except ConfigError as error:
        return str(error)
    except Exception as error:
        return f"its layers do not take what this decode loop passes them ({_line(error)})"
    worst = 0.0
    for prompt, ids, found in rows:
        logits_TV = model(input_ids=torch.tensor([[*prompt, *ids]], device=model.device), use_cache=False).logits[0]
        of_ids_TV = logits_TV[len(prompt) - 1 : -1, :vocab].double().log_softmax(-1)
        own = of_ids_TV.gather(1, torch.tensor(ids, device=of_ids_TV.device)[:, None])[:, 0].cpu()
        given = torch.tensor(found, dtype=torch.float64)
        gap = (given - own).abs().quantile(0.5) if len(found) == len(ids) else (given - own.sum()).abs() / len(ids)
        worst = max(worst, float(gap))
    allowed = NATS.get(model.dtype, 10 * EXACT)
    return "" if worst <= allowed else f"log-probabilities differ by {worst:.2g} nats"


def _refuse_not_finite(model: nn.Module, hidden: Hidden) -> None:
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
