"""Randomness by address: every draw is seeded by (run seed, purpose, step, index).

No global generator is used, so no generator state has to survive an interruption and any step can be replayed alone.
"""

from __future__ import annotations

import hashlib

import numpy as np


def seed_at(seed: int, purpose: str, *index: int) -> int:
    """Return a 63-bit seed for one draw, e.g. `seed_at(run_seed, "rollout", step, pair, sample)`.

    Distinct addresses give independent seeds: the address is hashed with BLAKE2b.
    """
    address = "\x1f".join([str(int(seed)), purpose, *(str(int(i)) for i in index)])
    return int.from_bytes(hashlib.blake2b(address.encode(), digest_size=8).digest(), "big") >> 1


def rng(seed: int, purpose: str, *index: int) -> np.random.Generator:
    """Return a NumPy generator for one address (Philox: counter-based, the same on every platform)."""
    return np.random.Generator(np.random.Philox(seed_at(seed, purpose, *index)))


def uniforms(rollout_seed: int, count: int) -> np.ndarray:
    """Return `count` float64 draws from [0, 1) for one rollout, one per token position.

    Position `t` gets the same number whatever else is in the batch and however long the rollout becomes.
    """
    return np.random.Generator(np.random.Philox(rollout_seed)).random(count)
