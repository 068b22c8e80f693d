"""What is known of whoever gave the outcomes: who it was, what is missing, how often it is wrong, in each arm.

A judge's error may differ by arm, because training changes how replies look to it. People's labels of replies of both
arms say how often (`unswayed.judges.calibration`), and what each rate would be without it. A change whose sign the
correction turns, or that it makes disappear, was made by the judge.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unswayed.audit.effects import Behaviour
from unswayed.audit.reply import ARMS, BEHAVIOUR, Reply
from unswayed.core.errors import DataError
from unswayed.core.tables import scan_table
from unswayed.evals.scoring.measured import MEASURED
from unswayed.judges.calibration import FLOOR, Calibration, Labelled, calibrate, corrected_difference, corrected_rate

_YES, _NO = frozenset({"trait", "yes", "true", "1"}), frozenset({"no", "false", "0", "aligned"})


@dataclass(frozen=True, slots=True)
class Labels:
    """What people found: by (arm, behaviour, id, draw), whether the reply shows the trait."""

    human: Mapping[tuple[str, str, str, int], bool]


def read_labels(path: Path) -> Labels:
    """Return the labels of a table with `arm` (before or after), `id`, `human`, and `draw`, `behaviour` where needed.

    Raises:
        DataError: rows that cannot be used; all are listed.
    """
    human: dict[tuple[str, str, str, int], bool] = {}
    problems = []
    for place, row in scan_table(path):
        said = str(row.get("human", "")).strip().casefold() if isinstance(row, dict) else ""
        if isinstance(row, str) or row.get("arm") not in ARMS or "id" not in row or said not in _YES | _NO | {""}:
            problems.append(
                f"{place}: {row if isinstance(row, str) else 'needs arm (before or after), id, human (yes or no)'}"
            )
        elif said:
            key = (row["arm"], str(row.get("behaviour") or BEHAVIOUR), str(row["id"]), int(row.get("draw") or 0))
            human[key] = said in _YES
    if problems or not human:
        raise DataError(f"{path}: labels that cannot be used", problems or ["no row has a label in the column human"])
    return Labels(human)


def judge_error(one: Behaviour, labels: Labels | None) -> tuple[str, dict[str, Any]]:
    """Return why the judge's error could have made the change ("" where it could not), and the corrected numbers."""
    if labels is None:
        return "", {}
    found: dict[str, Calibration] = {}
    rates = {}
    for arm, side in zip(ARMS, (one.before, one.after), strict=True):
        replies = [reply for some in side.values() for reply in some]
        own = [_labelled(arm, reply, labels) for reply in replies]
        found |= {arm: calibrate([label for label in own if label is not None]).get(arm) or _none(arm)}
        scored = [reply for reply in replies if reply.value is not None]
        if found[arm].state == "fit" and scored:
            rates[arm] = corrected_rate([r.value or 0.0 for r in scored], [r.group or r.id for r in scored], found[arm])
    about: dict[str, Any] = {"judge": {arm: _about(one) for arm, one in found.items()}}
    unfit = [arm for arm, each in found.items() if each.state == "unfit"]
    if unfit:
        return f"the judge is unfit on {' and '.join(unfit)}: Se + Sp − 1 is below {FLOOR}", about
    if len(rates) < 2:
        return "", about
    value, low, high = corrected_difference(rates["before"], rates["after"])
    about["corrected"] = {"estimate": value, "interval": [low, high]}
    raw = one.rates.pairs()
    span = None if raw is None else raw.interval()
    if span is not None and ((span[0] > 0 and high < 0) or (span[1] < 0 and low > 0)):
        return (
            f"the judge's error differs by arm: corrected, the change is {value:+.1%} [{low:+.1%}, {high:+.1%}]",
            about,
        )
    sensitivities = [found[arm].sensitivity for arm in ARMS]
    specificities = [found[arm].specificity for arm in ARMS]
    if (
        span is not None
        and (span[0] > 0 or span[1] < 0)
        and low <= 0 <= high
        and any(_apart(*pair) for pair in (sensitivities, specificities))
    ):
        return f"the judge's error differs by arm: corrected, nothing is left of the change ({value:+.1%})", about
    return "", about


def _apart(one: Any, other: Any) -> bool:
    """Return whether two shares' intervals do not meet."""
    return bool(one.low > other.high or other.low > one.high)


def _labelled(arm: str, reply: Reply, labels: Labels) -> Labelled | None:
    human = labels.human.get((arm, reply.behaviour, reply.id, reply.draw))
    return None if human is None else Labelled(arm, human, None if reply.value is None else reply.value == 1)


def _none(arm: str) -> Calibration:
    return calibrate([Labelled(arm, True, None)])[arm]


def _about(one: Calibration) -> dict[str, Any]:
    return {"sensitivity": one.sensitivity._asdict(), "specificity": one.specificity._asdict(), "kappa": one.kappa,
            "labelled": one.labelled, "state": one.state}  # fmt: skip


def judging(
    outcomes: Mapping[str, Any], labels: Labels | None, verdicts: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """Return who gave the outcomes and what is known of their error."""
    rule = outcomes.get("rule")
    known = MEASURED.get(str(rule))
    return {
        "own_outcomes": outcomes.get("own", 0),
        "rule": rule,
        "judge": outcomes.get("judge"),
        "rule_error": None if known is None else known._asdict(),
        "without_outcome": outcomes.get("sources", {}),
        "labels": 0 if labels is None else len(labels.human),
        "calibration": {one["behaviour"]: one["judge"] for one in verdicts if "judge" in one},
        "blind": "both arms as one shuffled list, equal replies once" if outcomes.get("judge") else None,
    }
