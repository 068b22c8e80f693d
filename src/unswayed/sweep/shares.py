"""What a sweep says of a method: in how many runs the trait fell, and by how much, with organisms as the units.

The study that this follows counts the share of runs whose trait rate fell, and tests it with the exact binomial as if
runs were independent. Several methods share an organism, and several organisms a base model, so that test is too sure:
it stands here as published, beside the same share clustered by organism and by base model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from scipy import stats

from unswayed.stats.intervals import Interval, proportion
from unswayed.stats.paired import paired, paired_difference
from unswayed.sweep.rows import Row


@dataclass(frozen=True, slots=True)
class Share:
    """The runs of one group, by their difference to the organism that each began with.

    Attributes:
        runs: trained models. `organisms`, `models`: how many different ones they began with.
        fell, rose: runs with a negative and a positive difference; the rest did not move.
        degenerate: runs whose replies collapsed; they are in `runs`, and no verdict should rest on them.
        binomial: two-sided exact p-value of `fell` in `runs` against one half, as if runs were independent.
        share: of runs that fell, with its interval by organism. `clustered`: its p-value by organism; `by_model`: by
            base model; None with a single cluster.
        mean: mean difference with its interval by organism; `mean_by_model` by base model.
    """

    runs: int
    organisms: int
    models: int
    fell: int
    rose: int
    degenerate: int
    binomial: float
    share: Interval
    clustered: float | None
    by_model: float | None
    mean: Interval
    mean_by_model: Interval

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON."""
        named = {name: getattr(self, name)._asdict() for name in ("share", "mean", "mean_by_model")}
        return {**asdict(self), **named}


def share_of(rows: Sequence[Row]) -> Share | None:
    """Return what runs come to, one row a run; None where no row has a difference."""
    rows = [row for row in rows if row["difference"] is not None]
    if not rows:
        return None
    differences = [float(row["difference"]) for row in rows]
    organisms = [f"{row['model']}\x1f{row['family']}\x1f{row['seed']}" for row in rows]
    models = [str(row["model"]) for row in rows]
    fell, rose = sum(value < 0 for value in differences), sum(value > 0 for value in differences)
    signs = [float(value > 0) - float(value < 0) for value in differences]
    return Share(
        runs=len(rows),
        organisms=len(set(organisms)),
        models=len(set(models)),
        fell=fell,
        rose=rose,
        degenerate=sum(bool(row["degenerate"]) for row in rows),
        binomial=float(stats.binomtest(fell, len(rows)).pvalue),
        share=proportion([float(value < 0) for value in differences], organisms),
        clustered=paired(signs, organisms).p_value,
        by_model=paired(signs, models).p_value,
        mean=paired_difference(differences, organisms),
        mean_by_model=paired_difference(differences, models),
    )


def last_checkpoints(rows: Sequence[Row]) -> list[Row]:
    """Return the rows of each trained model's last checkpoint."""
    last: dict[tuple[Any, ...], int] = {}
    for row in rows:
        run = (row["model"], row["family"], row["method"], row["seed"])
        last[run] = max(last.get(run, 0), row["checkpoint"] or 0)
    return [
        row for row in rows if (row["checkpoint"] or 0) == last[row["model"], row["family"], row["method"], row["seed"]]
    ]


def own_trait(rows: Sequence[Row], families: Mapping[str, tuple[str, str]]) -> list[Row]:
    """Return the rows that hold the trait of the family that the organism is of."""
    return [row for row in rows if row["family"] in families and row["metric"] == families[row["family"]][1]]


def summary(
    rows: Sequence[Row], families: Mapping[str, tuple[str, str]], controls: Sequence[str] = ()
) -> dict[str, Any]:
    """Return the shares by family and method, and by family over all methods that are no controls.

    Args:
        rows: of the table.
        families: name to its suite and its metric.
        controls: methods that are kept out of the shares over all methods.
    """
    own = own_trait(last_checkpoints(rows), families)
    methods = list(dict.fromkeys(row["method"] for row in own if row["difference"] is not None))
    by_method = {
        family: {
            method: share.to_json()
            for method in methods
            if (share := share_of([row for row in own if row["family"] == family and row["method"] == method]))
        }
        for family in families
    }
    over_all = {
        family: share.to_json()
        for family in families
        if (share := share_of([row for row in own if row["family"] == family and row["method"] not in controls]))
    }
    return {"by_method": by_method, "all_methods": over_all}
