"""Names of our suites and models in Inspect."""

from __future__ import annotations

import re

from unswayed.core.hashing import hash_json

API = "unswayed"
"""The provider's name, and the package that Inspect finds tasks and scorers in."""
DIGITS = 12


def task_name(suite: str) -> str:
    """Return the task's name for a suite's: `sycophancy_are_you_sure` for `sycophancy/are_you_sure`."""
    return re.sub(r"[^A-Za-z0-9]+", "_", suite).strip("_")


def digest(identity: str) -> str:
    """Return the 12 hexadecimal digits that stand for a policy's identity."""
    return identity[:DIGITS] if re.fullmatch(r"[0-9a-f]{64}", identity) else hash_json(identity)[:DIGITS]


def model_name(name: str, identity: str) -> str:
    """Return a model's name with the digest of what it is: `smollm2-135m@0123456789ab`."""
    return f"{name}@{digest(identity)}"


def split_model_name(name: str) -> tuple[str, str]:
    """Return a model's name without its digest, and the digest, "" where it has none."""
    found = re.fullmatch(rf"(.+)@([0-9a-f]{{{DIGITS}}})", name)
    return (found[1], found[2]) if found else (name, "")
