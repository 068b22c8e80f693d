"""What a report comes to, in words: each effect under its verdict, the price first, and what a reader must know."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from unswayed.core.types import Effect
from unswayed.report.model import Arm, Cell, Report, Row
from unswayed.report.numbers import change, count, level, p_value, size, span
from unswayed.stats.power import pairs_needed

RULE = (
    "Worse: the 95% interval of the paired difference lies wholly on the wrong side of zero. Improved: the interval "
    "adjusted for the number of claims lies wholly on the right side. No material change: it lies inside the margin. "
    "Else not known. Each must stand with the missing pairs counted against it."
)
FLAGS = {
    "degenerate": "the model collapsed since the baseline: empty, repeating or equal answers; it can only be worse",
    "degenerate on both sides": "the answers of both sides hardly differ from one another",
    "degenerate before": "the baseline's own answers hardly differ from one another",
    "truncated": "the shares of answers cut at the length limit differ by more than 2 points",
    "unscored": "the shares of answers that could not be scored differ by more than 5 points",
    "unread": "too many more answers than before cannot be read; it can only be worse",
    "within the noise floor": "the baseline differs from its own replicate, and this does not hold against both",
    "few clusters": "fewer than ten effective clusters: no interval is to be trusted, and nothing is concluded",
}
TITLES = {
    "worse": "Got worse",
    "improved": "Improved",
    "not known": "Not known",
    "no material change": "No material change",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One row of one arm, next to the baseline. `cell` is None where the arm was not run."""

    row: Row
    cell: Cell | None

    @property
    def effect(self) -> Effect | None:
        """The paired effect, where there is a difference."""
        effect = self.cell.effect if self.cell else None
        return None if effect is None or effect.difference is None else effect

    @property
    def apart(self) -> bool:
        """Whether the interval excludes zero."""
        effect = self.effect
        return effect is not None and effect.low is not None and (effect.low > 0 or (effect.high or 0.0) < 0)

    @property
    def label(self) -> str:
        """The row's label, with the section it stands in."""
        return f"{self.row.section}: {self.row.label}" if self.row.section else self.row.label

    @property
    def verdict(self) -> str:
        """The verdict of the effect, else `not compared` or `not run`."""
        if self.cell is None:
            return "not run"
        return self.cell.effect.verdict if self.cell.effect else "not compared"

    @property
    def detail(self) -> str:
        """What stands below the difference: both rates, the pairs, and why nothing is known where nothing is."""
        if self.cell is None:
            return "not run"
        effect = self.effect
        if effect is None:
            scored = count(self.cell.estimate.n, "answer")
            return f"no paired answers to compare ({scored} scored, {self.cell.estimate.unscored} unscored)"
        text = f"{rates(self.row, effect)}, n = {effect.n:,}, {p_value(deciding(effect))}"
        return f"{text}; {unknown(effect, self.row)}" if effect.verdict == "not known" else text

    @property
    def sentence(self) -> str:
        """The finding in one sentence, with its interval and count, or why there is none."""
        effect, unit = self.effect, self.row.unit
        if effect is None:
            return f"{self.label}: {self.detail}"
        interval = span(effect.low, effect.high, unit, signed=True)
        return f"{self.label}: {change(effect.difference, unit, named=True)} [{interval}], {self.detail}"


def deciding(effect: Effect) -> float | None:
    """Return the p-value that decides."""
    return effect.p_value if effect.deciding_p is None else effect.deciding_p


def rates(row: Row, effect: Effect) -> str:
    """Return both rates: those of the pairs, whose difference is the difference that is printed."""
    if effect.paired_before is None or effect.paired_after is None:
        return f"{level(effect.before.value, row.unit)} → {level(effect.after.value, row.unit)}"
    return f"{level(effect.paired_before, row.unit)} → {level(effect.paired_after, row.unit)}"


def unknown(effect: Effect, row: Row) -> str:
    """Say why an effect is not known."""
    up = 1 if row.better == "higher" else -1
    low, high = (effect.low or 0.0, effect.high or 0.0)
    for flag in effect.flags:
        if flag in ("few clusters", "degenerate", "unread", "within the noise floor"):
            return FLAGS[flag]
    if effect.low is not None and (low > 0 or high < 0):
        side = up * (effect.difference or 0.0) > 0
        adjusted_out = (
            side and effect.adjusted_low is not None and effect.adjusted_low <= 0 <= (effect.adjusted_high or 0)
        )
        if adjusted_out:
            adjusted = span(effect.adjusted_low, effect.adjusted_high, row.unit, signed=True)
            return f"adjusted for {count(effect.claims, 'claim')} the interval is {adjusted}"
        missing = span(effect.worst_low, effect.worst_high, row.unit, signed=True)
        return f"with the missing pairs counted against it the interval is {missing}"
    size_ = effect.detectable if up * (effect.difference or 0.0) > 0 else effect.detectable_harm
    if size_ is None:
        return "the interval crosses zero and leaves the margin"
    return f"the interval crosses zero and leaves the margin; the smallest detectable change is {size(size_, row.unit)}"


@dataclass(frozen=True, slots=True)
class Outcome:
    """One trained arm's findings by verdict, the price first. What was not compared or not run is not known."""

    arm: Arm
    groups: dict[str, tuple[Finding, ...]]


def outcomes(report: Report) -> tuple[Outcome, ...]:
    """Sort every row of every trained arm under its verdict; each is in exactly one place."""
    results = []
    for arm in report.trained:
        groups: dict[str, list[Finding]] = {verdict: [] for verdict in TITLES}
        for row in report.rows:
            finding = Finding(row, row.cells.get(arm.id))
            groups.get(finding.verdict, groups["not known"]).append(finding)
        results.append(Outcome(arm, {verdict: tuple(found) for verdict, found in groups.items()}))
    return tuple(results)


def details(row: Row, effect: Effect) -> Iterator[str]:
    """Yield what stands in the fine print of an effect."""
    unit = row.unit
    if deciding(effect) is not None:
        side = effect.deciding_p == effect.adjusted_p and effect.claims > 1 and effect.adjusted_p != effect.p_value
        yield p_value(deciding(effect)) + (f" adjusted for {effect.claims} claims" if side else "")
        if side and effect.adjusted_low is not None:
            yield f"adjusted interval {span(effect.adjusted_low, effect.adjusted_high, unit, signed=True)}"
    pairs = count(effect.n, "pair")
    if effect.clusters != effect.n or (effect.effective_clusters or effect.n) < 0.95 * effect.n:
        held = f"{count(effect.clusters, 'cluster')}"
        if effect.effective_clusters is not None and effect.effective_clusters < 0.95 * effect.clusters:
            held += f", as good as {effect.effective_clusters:.0f} equal ones"
        pairs += f" in {held}"
    yield pairs
    own = (effect.before.value, effect.after.value), (effect.paired_before, effect.paired_after)
    if None not in own[0] + own[1] and any(abs((a or 0) - (b or 0)) > 5e-4 for a, b in zip(*own, strict=True)):
        yield f"over these pairs {rates(row, effect)}"
    if effect.fixed or effect.broken:
        yield f"{effect.fixed:,} fixed, {effect.broken:,} broken"
    if effect.worst_low is not None:
        yield f"with missing pairs either way {span(effect.worst_low, effect.worst_high, unit, signed=True)}"
        if effect.before.unscored or effect.after.unscored:
            yield f"missing counted as 0, as in the papers, {change(effect.counted_difference, unit)}"
    yield f"margin {size(effect.margin, unit)}"
    if effect.detectable is not None and effect.detectable_harm is not None:
        yield f"smallest detectable: gain {size(effect.detectable, unit)}, loss {size(effect.detectable_harm, unit)}"
    if effect.noninferiority:
        yield noninferiority(effect, unit)
    if effect.noise is not None:
        yield f"replicate of the baseline {span(effect.noise_low, effect.noise_high, unit, signed=True)}"
    if effect.by_seed:
        yield "by seed " + " ".join(change(value, unit) for value in effect.by_seed)


def noninferiority(effect: Effect, unit: str = "rate") -> str:
    """Say whether a loss as large as the margin is excluded, and what it would take where it cannot be."""
    margin = size(effect.margin, unit)
    known = {
        "shown": f"a loss of {margin} is excluded",
        "refuted": f"the loss is more than {margin}",
        "not shown": f"a loss of {margin} is not excluded",
    }
    if effect.noninferiority in known:
        return known[effect.noninferiority]
    units = count(effect.n, "pair") + (f" and {effect.seeds} seeds" if effect.seeds > 1 else "")
    text = f"{units} cannot rule out a loss of {margin}"
    if effect.provable is None or effect.seeds > 1:
        return text
    if effect.fixed + effect.broken:
        needed = math.ceil(effect.n * (effect.provable / effect.margin) ** 2)
    else:
        needed = math.ceil(effect.n / effect.clusters) * pairs_needed(0.0, effect.margin)
    return f"{text}; about {needed:,} could"


def limits(report: Report) -> tuple[str, ...]:
    """Return the report's own limits, followed by those that its numbers imply."""
    cells = [(row, arm, row.cells[arm.id]) for row in report.rows for arm in report.arms if arm.id in row.cells]
    effects = [(row, arm, cell.effect) for row, arm, cell in cells if cell.effect is not None]
    implied = [RULE] if effects else []
    missing = [
        f"{Finding(row, None).label} ({arm.label})"
        for row in report.rows
        for arm in report.arms
        if arm.id not in row.cells
    ]
    if missing:
        implied.append(f"Not run: {'; '.join(missing)}.")
    worst = [
        (cell.estimate.unscored / (cell.estimate.n + cell.estimate.unscored), row, arm)
        for row, arm, cell in cells
        if cell.estimate.unscored
    ]
    if worst:
        most, row, arm = max(worst, key=lambda item: item[0])
        implied.append(
            "Answers that could not be scored count in no rate; the table has their number for each row and arm. The "
            f"largest share is {level(most)} ({Finding(row, None).label}, {arm.label})."
        )
    elif cells:
        implied.append("Every answer could be scored.")
    if any(cell.error for _, _, cell in cells):
        implied.append("Where a rule's error was measured, the rate without it stands below the rate.")
    margins = {size(effect.margin, row.unit) for row, _, effect in effects}
    if margins:
        implied.append(f"A change is called immaterial within a margin of {' or '.join(sorted(margins))}, row by row.")
    flagged = [(flag, Finding(row, None).label, arm) for row, arm, effect in effects for flag in effect.flags]
    for flag in dict.fromkeys(flag for flag, _, _ in flagged if not flag.endswith("pairs missing")):
        where = dict.fromkeys(f"{label}, {arm.label}" for name, label, arm in flagged if name == flag)
        many = "all rows" if len(where) == len(effects) else "; ".join(where)
        implied.append(f"Flag “{flag}”{f': {FLAGS[flag]}' if flag in FLAGS else ''}. Rows: {many}.")
    return (*report.limits, *implied)
