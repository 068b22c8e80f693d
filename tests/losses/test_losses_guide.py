"""The guide's Python runs as written, from top to bottom, and names every public function."""

from __future__ import annotations

import re
from pathlib import Path

import torch

from unswayed import losses

torch.set_num_threads(1)

GUIDE = (Path(__file__).resolve().parents[2] / "docs" / "losses.md").read_text(encoding="utf-8")


def test_the_examples_run_and_print_what_they_say(capsys) -> None:
    blocks = re.findall(r"^```python\n(.*?)^```", GUIDE, re.MULTILINE | re.DOTALL)
    names: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, "docs/losses.md", "exec"), names)
    assert names["loss"].requires_grad
    assert torch.isfinite(names["loss"])
    assert names["hidden_student"].grad[2].count_nonzero() == 0
    printed = capsys.readouterr().out
    assert "tensor([0.5000, 0.5000, 0.2500, 0.2500, 0.2500, 0.2500])" in printed


def test_every_public_function_is_described() -> None:
    missing = [name for name in losses.__all__ if name[0].islower() and f"`{name}`" not in GUIDE and name not in GUIDE]
    assert not missing


def test_every_metric_is_described() -> None:
    hidden, head, ids, ones = torch.randn(3, 4), torch.randn(9, 4), torch.arange(3), torch.ones(3)
    logp = losses.token_logprobs(hidden, head, ids)
    outputs = [
        losses.divergence(hidden, hidden, head, ones, ids_N=ids, clamp=1.0),
        losses.topk_divergence(hidden, hidden, head, ones, k=2),
        losses.sampled_reverse_kl(logp, logp, ones, [3], behaviour_logprobs_N=logp, clip=0.2, clamp=1.0),
        losses.nll(hidden, head, ids, ones),
        losses.activation_mse(hidden[None], hidden[None], ones),
    ]
    undescribed = {name for output in outputs for name in output.metrics if f"`{name}`" not in GUIDE}
    assert not undescribed
