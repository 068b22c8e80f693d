"""Attack a target by names and settings, and write its figures: what the command and `uw.attack` share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from unswayed.attacks.attackers import build_attacker
from unswayed.attacks.attackers.base import Attacker
from unswayed.attacks.behaviours import Part, load_behaviours
from unswayed.attacks.budget import Budget, Ledger, parse_budget
from unswayed.attacks.controls import run_controls
from unswayed.attacks.grading import RewardOnly
from unswayed.attacks.results import RESULTS, summary
from unswayed.attacks.run import ATTEMPTS, TARGET, Attack, run_attack
from unswayed.core.errors import ConfigError
from unswayed.core.files import write_json
from unswayed.core.hashing import hash_file
from unswayed.core.jsonl import parse
from unswayed.core.types import SamplingParams, TextPolicy
from unswayed.engine.named import load_policy
from unswayed.judges.base import Judge
from unswayed.questions.requests import Request

TARGETS = "control_targets.json"
TRAINING = "attacker"
"""Folder of an attacker that is trained for this attack, below the attack's own."""


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
        attacker_model: who writes attempts; by default the target itself. `grpo` needs the name of a causal model.
        settings: of the attacker, by name.
        budget: a budget, or `queries=N` and `tokens=N`. `grpo` trains with half of the tokens.
        part, limit: which of the behaviours, and how many of them.
        judge: grades the audit where no word decides it.
        temperature, max_new_tokens: how the target replies.
        seed: of every draw; attackers of several seeds are several attacks.
        loading: how models are loaded, e.g. `dtype` and `device`.

    Raises:
        ConfigError, DataError, LockedError, Interrupted: see `unswayed.attacks.run.run_attack`.
    """
    identity: dict[str, Any] | None = None
    name = behaviours if isinstance(behaviours, str) else None
    if isinstance(behaviours, str):
        behaviours, identity = load_behaviours(behaviours, part, limit=limit, seed=seed)
    spend = budget if isinstance(budget, Budget) else parse_budget(budget or ())
    params = replace(TARGET, temperature=temperature, max_new_tokens=max_new_tokens)
    if isinstance(target, str):
        target = load_policy(target, **loading)
    if attacker == "grpo":
        if name is None or out is None or not isinstance(attacker_model, str):
            raise ConfigError("grpo trains an attacker: name the behaviours, a folder and an attacker model")
        attacker, spend = _trained(
            target, name, Path(out), attacker_model, dict(settings or {}), spend, params, seed, progress, loading
        )
    elif isinstance(attacker, str):
        own = dict(settings or {})
        if attacker_model is not None or attacker == "search":
            named = load_policy(attacker_model, **loading) if isinstance(attacker_model, str) else attacker_model
            own["policy"] = named or target
        attacker = build_attacker(attacker, seed=seed, **own)
    found = run_attack(
        target, behaviours, attacker, out,
        identity=identity, budget=spend, judge=judge, params=params, seed=seed, progress=progress,
    )  # fmt: skip
    if out is not None:
        _write_results(Path(out), found, lambda: run_controls(attacker, behaviours, judge=judge, seed=seed))
    return found


def _write_results(out: Path, found: Attack, controls: Callable[[], dict[str, Any]]) -> None:
    """Write the figures, with controls that are run once."""
    if not (out / TARGETS).exists():
        write_json(out / TARGETS, controls())
    told = parse((out / TARGETS).read_text(encoding="utf-8"))
    digest = hash_file(out / ATTEMPTS) if (out / ATTEMPTS).exists() else None
    figures = summary(found)
    figures["spent"]["training_tokens"] = Ledger(out / TRAINING).tokens if (out / TRAINING).is_dir() else 0
    write_json(out / RESULTS, {**figures, "controls": told, "attempts_sha256": digest})


def _trained(
    target: TextPolicy,
    behaviours: str,
    out: Path,
    model: str,
    settings: dict[str, Any],
    budget: Budget,
    params: SamplingParams,
    seed: int,
    progress: bool,
    loading: Mapping[str, Any],
) -> tuple[Attacker, Budget]:
    """Train an attacker on the part `train`, with half of the tokens; return it, and what is left for the attack."""
    from unswayed.attacks.learned import Learning, attacker_identity, train_attacker

    half = Budget(budget.queries, None if budget.tokens is None else max(1, budget.tokens // 2))
    known = {each.name for each in fields(Learning)} - {"model", "dtype", "device"}
    unknown = sorted(set(settings) - known)
    if unknown:
        raise ConfigError(f"attacker 'grpo' takes {', '.join(sorted(known))}; not {', '.join(unknown)}")
    where = {key: loading[key] for key in ("dtype", "device") if key in loading}
    learning = Learning(model, **where, **settings)
    learned_on, _ = load_behaviours(behaviours, "train", seed=seed)
    folder = out / TRAINING
    adapter, _ = train_attacker(
        target, learned_on, folder, learning, RewardOnly(), params=params, budget=half, seed=seed, progress=progress
    )
    policy = load_policy(model, str(adapter), **where, name=f"{model} trained on {target.name}")
    shared = {key: getattr(learning, key) for key in ("sessions", "rounds", "temperature", "max_new_tokens")}
    how = {key: value for key, value in vars(learning).items() if key not in {"device", *shared}}
    made = build_attacker(
        "grpo", seed=seed, policy=policy, adapter=attacker_identity(folder), trained_on=target.identity,
        trained={**how, "tokens": half.tokens}, **shared,
    )  # fmt: skip
    return made, half
