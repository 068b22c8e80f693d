"""The least a step can cost: floating-point operations and bytes of each phase, and the time of a perfect machine.

Counted is one OPCT step with the exact divergence: every prompt token once (what all prompts begin with only once a
side), every completion token once a phase, all layers for each of them. For a weight that takes part in a product,
forward is 2 operations a token, the gradient of activations 2 more, and the gradient of the weight, for the adapter
alone, 2 more. The head works at completion tokens only. Bytes are the weights once a pass, keys and values, and
the optimizer's state; activations are left out, as if they never left the cache.

A pass lasts as long as its operations at the machine's measured rate or its bytes at the measured bandwidth, whichever
is longer. Nothing that does the same arithmetic in the same precision is faster than the floor.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

ADAM_BYTES = 32  # a float32 weight: gradient read for its norm; weight, gradient and two moments read; three written


@dataclass(frozen=True, slots=True)
class Shape:
    """A model by its counts.

    Attributes:
        body: weights of all linear layers but the head, without the adapter.
        adapter: trainable weights. head: weights of the output embedding.
        attention_width: query heads times head width. kv_width: key heads times head width.
        bytes: of one frozen weight, and of one cached number.
    """

    body: int
    adapter: int
    head: int
    layers: int
    attention_width: int
    kv_width: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Pass:
    """One walk through the weights."""

    flops: float
    bytes: float


@dataclass(frozen=True, slots=True)
class Rows:
    """Token counts of a step: prompts of one side, what all of them begin with, and completions."""

    prompts: Sequence[int]
    shared: int
    completions: Sequence[int]

    @property
    def prompt_tokens(self) -> int:
        return self.shared + sum(prompt - self.shared for prompt in self.prompts)


def sample_passes(shape: Shape, rows: Rows) -> list[Pass]:
    """The prompts at once, then one pass for each further token of the rows that go on."""
    weight = shape.body + shape.adapter
    first = 2 * (weight * rows.prompt_tokens + shape.head * len(rows.prompts))
    attend = _attention(shape, [(0, rows.shared), *((rows.shared, prompt) for prompt in rows.prompts)])
    passes = [Pass(first + attend, _bytes(shape, shape.body + shape.head))]
    for step in range(1, max(rows.completions)):
        live = [prompt + step for prompt, length in zip(rows.prompts, rows.completions, strict=True) if length > step]
        flops = 2 * (weight + shape.head) * len(live) + _attention(shape, [(seen - 1, seen) for seen in live])
        cached = rows.shared + sum(seen - rows.shared for seen in live)
        kv_bytes = 2 * shape.layers * shape.kv_width * cached * shape.bytes
        passes.append(Pass(flops, _bytes(shape, shape.body + shape.head) + kv_bytes))
    return passes


def teacher_passes(shape: Shape, rows: Rows) -> list[Pass]:
    """Forward over prompts and completions, without adapter and head."""
    tokens, attend = _scored(shape, rows)
    return [Pass(2 * shape.body * tokens + attend, shape.body * shape.bytes)]


def learn_passes(shape: Shape, rows: Rows) -> list[Pass]:
    """Forward, both sides' logits, divergence, backward to the adapter."""
    tokens, attend = _scored(shape, rows)
    count = sum(rows.completions)
    forward = Pass(
        2 * (shape.body + shape.adapter) * tokens + attend + 2 * 2 * shape.head * count,
        _bytes(shape, shape.body + shape.head),
    )
    backward = Pass(
        (2 * shape.body + 4 * shape.adapter) * tokens + 2 * attend + 2 * shape.head * count,
        _bytes(shape, shape.body + shape.head),
    )
    return [forward, backward]


def optim_passes(shape: Shape) -> list[Pass]:
    """Norm of the gradient and AdamW."""
    return [Pass(12.0 * shape.adapter, ADAM_BYTES * shape.adapter)]


def floor(shape: Shape, student: Rows, teacher: Rows, flops: float, bandwidth: float) -> dict[str, dict[str, float]]:
    """Return operations, bytes and least seconds of each phase.

    Args:
        flops: operations a second. bandwidth: bytes a second.
    """
    phases = {
        "sample": sample_passes(shape, student),
        "teacher": teacher_passes(shape, teacher),
        "learn": learn_passes(shape, student),
        "optim": optim_passes(shape),
    }
    return {name: cost(passes, flops, bandwidth) for name, passes in phases.items()}


def cost(passes: Sequence[Pass], flops: float, bandwidth: float) -> dict[str, float]:
    """Return operations, bytes and least seconds of some passes at these rates."""
    operations, size = sum(one.flops for one in passes), sum(one.bytes for one in passes)
    return {
        "flops": operations,
        "bytes": size,
        "flops_seconds": operations / flops,
        "bytes_seconds": size / bandwidth,
        "seconds": sum(max(one.flops / flops, one.bytes / bandwidth) for one in passes),
    }


def _scored(shape: Shape, rows: Rows) -> tuple[int, float]:
    """Tokens of one forward pass over prompts and completions, and its attention. The last token predicts nothing."""
    ends = [prompt + length - 1 for prompt, length in zip(rows.prompts, rows.completions, strict=True)]
    tokens = rows.shared + sum(end - rows.shared for end in ends)
    return tokens, _attention(shape, [(0, rows.shared), *((rows.shared, end) for end in ends)])


def _attention(shape: Shape, spans: Sequence[tuple[int, int]]) -> float:
    """Operations of causal attention for the positions of each span: scores and their sum over values."""
    keys = sum((end * (end + 1) - start * (start + 1)) / 2 for start, end in spans)
    return 4 * shape.layers * shape.attention_width * keys


def _bytes(shape: Shape, weights: int) -> float:
    return weights * shape.bytes + 4 * shape.adapter
