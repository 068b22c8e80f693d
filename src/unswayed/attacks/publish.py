"""Attack a target by names and settings, and write its figures: what the command and `uw.attack` share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from unswayed.attacks.attackers import build_attacker
from unswayed.attacks.attackers.base import Attacker
from unswayed.attacks.behaviours import Part, load_behaviours
from unswayed.attacks.budget import Budget, parse_budget
from unswayed.attacks.results import RESULTS, summary
from unswayed.attacks.run import ATTEMPTS, TARGET, Attack, run_attack
from unswayed.core.files import write_json
from unswayed.core.hashing import hash_file
from unswayed.core.types import TextPolicy
from unswayed.engine.named import load_policy
from unswayed.judges.base import Judge
from unswayed.questions.requests import Request


def attack(
    target: TextPolicy | str,
    behaviours: str | Sequence[Request],
    attacker: Attacker | str = "search",
    out: Path | str | None = None,
    *,
    attacker_model: TextPolicy | str | None = None,
    settings: Mapping[str, Any] | None = None,
    budget: Budget | Iterable[str] | None = None,
    part: Part = "held_out",
    limit: int | None = None,
    judge: Judge | None = None,
    temperature: float = TARGET.temperature,
    max_new_tokens: int = TARGET.max_new_tokens,
    seed: int = 0,
    progress: bool = False,
    **loading: Any,
) -> Attack:
    """Attack a policy, write `results.json` where there is a folder, and return the attack.

    Args:
        target: a policy, or the name of one (see `unswayed.load_policy`).
        behaviours: requests, or the name of a set (`codewords`, `jailbreak/behaviours:FILE`).
        attacker: an attacker, or its name.
        out: folder of the attack; None keeps everything in memory. The same call continues where it stopped.
        attacker_model: who writes attempts; by default the target itself.
        settings: of the attacker, by name.
        budget: a budget, or `queries=N` and `tokens=N`.
        part, limit: which of the behaviours, and how many of them.
        judge: grades the audit where no word decides it.
        temperature, max_new_tokens: how the target replies.
        seed: of every draw; attackers of several seeds are several attacks.
        loading: how models are loaded, e.g. `dtype` and `device`.

    Raises:
        ConfigError, DataError, LockedError, Interrupted: see `unswayed.attacks.run.run_attack`.
    """
    identity: dict[str, Any] | None = None
    if isinstance(behaviours, str):
        behaviours, identity = load_behaviours(behaviours, part, limit=limit, seed=seed)
    spend = budget if isinstance(budget, Budget) else parse_budget(budget or ())
    if isinstance(target, str):
        target = load_policy(target, **loading)
    if isinstance(attacker, str):
        own = dict(settings or {})
        if attacker_model is not None or attacker in NEEDS_MODEL:
            named = load_policy(attacker_model, **loading) if isinstance(attacker_model, str) else attacker_model
            own["policy"] = named or target
        attacker = build_attacker(attacker, seed=seed, **own)
    params = replace(TARGET, temperature=temperature, max_new_tokens=max_new_tokens)
    found = run_attack(
        target, behaviours, attacker, out,
        identity=identity, budget=spend, judge=judge, params=params, seed=seed, progress=progress,
    )  # fmt: skip
    if out is not None:
        write_json(Path(out) / RESULTS, {**summary(found), "attempts_sha256": hash_file(Path(out) / ATTEMPTS)})
    return found


NEEDS_MODEL = frozenset({"search"})
"""Attackers that write attempts with a model."""
