"""The engine in this process: one Transformers model, with LoRA adapters through PEFT."""

from __future__ import annotations

from unswayed.engine.base import Capability

CAPABILITIES: frozenset[Capability] = frozenset({"exact_kl", "topk", "sampled", "hidden"})
