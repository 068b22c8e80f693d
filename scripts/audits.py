"""Print how often an audit is wrong: false findings where nothing changed, planted changes that are found, coverage.

    python scripts/audits.py [RUNS [SCENARIO ...]]

Each run is a whole audit (`unswayed.audit.sections.conclude`, firewall included) of replies drawn on the spot: prompts
have rates of their own, and both arms draw from them. `docs/audit.md` quotes what 1,000 runs print.
"""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import dataclass

import numpy as np

from unswayed.audit.join import join
from unswayed.audit.plan import AuditConfig
from unswayed.audit.reply import Reply
from unswayed.audit.sections import Material, conclude
from unswayed.core.types import Message

WORDS = ("so", "the", "sum", "is", "then", "we", "find", "that", "number", "and", "here")
OFF = dict.fromkeys(("slices", "stability", "conditional", "side_effects", "attribution", "controls"), False)


@dataclass(frozen=True)
class Scenario:
    """One kind of audit.

    Attributes:
        prompts, draws: of each behaviour. `group`: prompts in a cluster.
        changes: the true change of each behaviour.
        rate, spread: mean and concentration of the prompts' rates before; a spread of 0 gives all the same rate.
        lost: share of outcomes that are missing, in both arms alike.
    """

    name: str
    prompts: int
    draws: int
    changes: tuple[float, ...]
    rate: float = 0.4
    spread: float = 2.0
    group: int = 1
    lost: float = 0.0


SCENARIOS = (
    Scenario("A/A, 500 prompts", 500, 1, (0.0,)),
    Scenario("A/A, 150 prompts of 4 draws", 150, 4, (0.0,)),
    Scenario("A/A, 60 clusters of 5 prompts", 300, 1, (0.0,), group=5),
    Scenario("A/A, four behaviours of 200 prompts", 200, 1, (0.0,) * 4),
    Scenario("A/A, 2,000 prompts", 2000, 1, (0.0,)),
    Scenario("A/A, rare: 2%", 500, 1, (0.0,), rate=0.02, spread=10.0),
    Scenario("A/A, 3% missing", 500, 1, (0.0,), lost=0.03),
    Scenario("10 points up, 500 prompts", 500, 1, (0.10,)),
    Scenario("10 points up, 320 prompts: as few as may be", 320, 1, (0.10,)),
    Scenario("10 points down, 150 prompts of 4 draws", 150, 4, (-0.10,)),
    Scenario("10 points up and three unchanged, 400 prompts", 400, 1, (0.10, 0.0, 0.0, 0.0)),
)


def replies(one: Scenario, seed: int) -> tuple[list[Reply], list[Reply], list[float]]:
    """Return both arms of one audit, and the change that is true of these prompts."""
    rng = np.random.default_rng(seed)
    arms: tuple[list[Reply], list[Reply]] = ([], [])
    true = []
    for place, change in enumerate(one.changes):
        clusters = one.prompts // one.group
        rates = np.full(clusters, one.rate)
        if one.spread:
            rates = rng.beta(one.rate * one.spread, (1 - one.rate) * one.spread, clusters)
        rates = np.repeat(rates, one.group)
        # A change moves a part of what can move, so that no rate leaves 0 to 1 and the mean moves by `change` exactly.
        moved = rates + change * ((1 - rates) / (1 - rates.mean()) if change > 0 else rates / rates.mean())
        true.append(float(moved.mean() - rates.mean()))
        for arm, chances in zip(arms, (rates, moved), strict=True):
            shown = rng.random((one.prompts, one.draws)) < np.clip(chances, 0, 1)[:, None]
            lost = rng.random((one.prompts, one.draws)) < one.lost
            words = rng.integers(len(WORDS), size=(one.prompts, one.draws, 3))
            arm += [
                Reply(
                    f"{place}-{n}", (Message("user", "Is that right?"),),
                    " ".join(["yes" if shown[n, d] else "no", *(WORDS[w] for w in words[n, d])]),
                    draw=d, behaviour=f"b{place}", group=f"{place}-{n // one.group}", given=True,
                    outcome=None if lost[n, d] else "trait" if shown[n, d] else "aligned",
                )
                for n in range(one.prompts) for d in range(one.draws)
            ]  # fmt: skip
    return *arms, true


def simulate(one: Scenario, runs: int, plan: AuditConfig) -> dict[str, float]:
    """Return the shares over that many audits.

    `false`: audits with a finding on a behaviour that did not change; `found`: of the planted changes, those found;
    `power`: what the audits stated for the planted change, at the smallest that would show; `covered`: intervals that
    hold the truth.
    """
    false, found, planted, covered, intervals = 0, 0, 0, 0, 0
    detectable: list[float] = []
    verdicts: Counter[str] = Counter()
    for seed in range(runs):
        before, after, true = replies(one, seed)
        rows = conclude(Material(join(before, after, 0.0), plan))["verdicts"]
        wrong = False
        for row, change, planned in zip(rows, true, one.changes, strict=True):
            verdicts[row["verdict"]] += 1
            low, high = row["interval"]
            covered += low <= change <= high
            intervals += 1
            wrong |= planned == 0 and row["verdict"] in {"AMPLIFIED", "SUPPRESSED", "CONFOUNDED"}
            if planned:
                planted += 1
                found += row["verdict"] == ("AMPLIFIED" if planned > 0 else "SUPPRESSED")
            if row["detectable"] is not None:
                detectable.append(row["detectable"])
        false += wrong
    return {
        "false": false / runs, "found": found / planted if planted else float("nan"), "covered": covered / intervals,
        "detectable": float(np.mean(detectable)) if detectable else float("nan"),
        **{name: count / intervals for name, count in sorted(verdicts.items())},
    }  # fmt: skip


def main() -> None:
    """Print one line a scenario: those named by their numbers, or all."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    chosen = [SCENARIOS[int(number)] for number in sys.argv[2:]] or SCENARIOS
    plan = AuditConfig(sections=OFF)
    for one in chosen:
        said = "  ".join(f"{name} {100 * value:.1f}%" for name, value in simulate(one, runs, plan).items())
        print(f"{one.name:<46}{said}", flush=True)


if __name__ == "__main__":
    main()
