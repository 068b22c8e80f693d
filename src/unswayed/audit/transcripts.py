"""Transcripts drawn at random, for each behaviour from prompts that rose, fell and stayed: nobody picked them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from unswayed.audit.effects import Behaviour
from unswayed.audit.join import Key
from unswayed.audit.reply import Reply
from unswayed.audit.sections import Material
from unswayed.core.hashing import hash_text
from unswayed.core.seeding import rng

SHOWN = 4
"""Of each kind and behaviour."""
LONGEST = 4000
"""Characters of a text that `audit.json` holds; the bundle's replies hold the whole."""


def transcripts(material: Material, given: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return draws of prompts with the first reply of both arms; texts of sensitive suites as their hashes."""
    hidden = any(one is True for one in given["sensitive"]) and not given["show_sensitive"]
    return [
        {"behaviour": one.name, "kind": kind, "pool": len(pool), "seed": material.plan.seed,
         "shown": [_shown(one, key, hidden) for key in _draw(pool, material.plan.seed, f"{one.name}/{kind}")]}
        for one in material.behaviours for kind, pool in _kinds(one).items()
    ]  # fmt: skip


def _kinds(one: Behaviour) -> dict[str, list[Key]]:
    found: dict[str, list[Key]] = {"rose": [], "fell": [], "stayed": []}
    rates = one.rates
    for key, before, after in zip(one.before, rates.before, rates.after, strict=True):
        if np.isfinite(before) and np.isfinite(after):
            found["rose" if after > before else "fell" if after < before else "stayed"].append(key)
    return found


def _draw(pool: Sequence[Key], seed: int, address: str) -> list[Key]:
    order = rng(seed, f"audit/transcripts/{address}").permutation(len(pool))[:SHOWN]
    return [pool[place] for place in sorted(order)]


def _shown(one: Behaviour, key: Key, hidden: bool) -> dict[str, Any]:
    first = one.before[key][0]
    return {
        "id": hash_text(first.id) if hidden and not first.id.isascii() else first.id,
        "prompt": [{"role": turn.role, "content": _text(turn.content, hidden)} for turn in first.messages],
        "before": _side(one.before[key], hidden),
        "after": _side(one.after[key], hidden),
    }


def _side(some: Sequence[Reply], hidden: bool) -> dict[str, Any]:
    known = [reply.value for reply in some if reply.value is not None]
    return {
        "text": _text(some[0].text, hidden), "outcome": some[0].outcome, "why": some[0].why,
        "draws": len(some), "rate": sum(known) / len(known) if known else None,
    }  # fmt: skip


def _text(text: str, hidden: bool) -> str:
    if hidden:
        return f"[not shown; SHA-256 {hash_text(text)}]"
    return text if len(text) <= LONGEST else f"{text[:LONGEST]} … [{len(text) - LONGEST:,} more characters]"
