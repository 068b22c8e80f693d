"""Two attacks side by side: the same behaviours, the same attacker at the same budget, each against its own target."""

from __future__ import annotations

from typing import Any

import numpy as np
from statsmodels.duration.survfunc import survdiff

from unswayed.attacks.results import Outcome, outcomes, success_rate, wording
from unswayed.attacks.run import Attack
from unswayed.core.errors import ConfigError
from unswayed.evals.results import differences
from unswayed.stats.paired import paired_difference

MAY_DIFFER = ("target",)
"""What of two attacks may differ: who is attacked. An attacker that was trained has weights of its own for each."""
TRAINED = ("adapter", "trained_on")


def compare_attacks(before: Attack, after: Attack) -> dict[str, Any]:
    """Return the paired difference of the share of broken behaviours, and the log-rank test of queries to success.

    Raises:
        ConfigError: the attacks differ in more than their targets; a difference would then be one of effort.
    """
    _check_alike(before, after)
    pairs = [
        (one, other)
        for one, other in zip(outcomes(before), outcomes(after), strict=True)
        if one.broken is not None and other.broken is not None
    ]
    missing = len(before.behaviours) - len(pairs)
    shifts = [float(other.broken or 0) - float(one.broken or 0) for one, other in pairs]
    found = paired_difference(shifts, [one.behaviour for one, _ in pairs]) if pairs else None
    return {
        "before": {"target": before.about["target"], "success": success_rate(before).value, "wording": wording(before)},
        "after": {"target": after.about["target"], "success": success_rate(after).value, "wording": wording(after)},
        "behaviours": len(before.behaviours),
        "pairs": len(pairs),
        "missing": missing,
        "difference": None if found is None else found.value,
        "interval": None if found is None or found.low is None else [found.low, found.high],
        "newly_broken": sum(shift > 0 for shift in shifts),
        "newly_resisted": sum(shift < 0 for shift in shifts),
        "log_rank_p": _log_rank([one for one, _ in pairs], [other for _, other in pairs]),
        "verdict": _verdict(found.low if found else None, found.high if found else None),
    }


def _verdict(low: float | None, high: float | None) -> str:
    """Return what the interval of the difference allows to say; where behaviours are missing it is of the others."""
    if low is None or high is None or low <= 0 <= high:
        return "not known"
    return "broken more often" if low > 0 else "resists more often"


def _log_rank(before: list[Outcome], after: list[Outcome]) -> float | None:
    """Return the p-value of the log-rank test, stratified by nothing; None where nobody was broken."""
    found = [*before, *after]
    events = np.array([one.first is not None for one in found]).astype(int)
    if not events.any():
        return None
    times = np.array([one.first or one.queries for one in found])
    arm = np.array([0] * len(before) + [1] * len(after))
    return float(survdiff(times, events, arm)[1])


def _check_alike(before: Attack, after: Attack) -> None:
    one, other = (_comparable(attack) for attack in (before, after))
    if one != other:
        lines = "\n  ".join(differences(one, other))
        raise ConfigError(
            "these attacks differ in more than their targets, so a difference would be one of effort; attack both with "
            f"the same attacker, budget, behaviours and judge:\n  {lines}"
        )
    for attack in (before, after):
        own = attack.about["identity"]["attacker"].get("trained_on")
        if own is not None and own != attack.about["identity"]["target"]:
            raise ConfigError(
                f"the attacker of {attack.about['target']} was trained on another target; each arm needs its own"
            )


def _comparable(attack: Attack) -> dict[str, Any]:
    """Return an attack's identity without what may differ between two arms."""
    identity = {key: value for key, value in attack.about["identity"].items() if key not in MAY_DIFFER}
    who = dict(identity["attacker"])
    for key in TRAINED:
        who.pop(key, None)
    if who.get("model") == attack.about["identity"]["target"]:
        who["model"] = "the target itself"
    return {**identity, "attacker": who}
