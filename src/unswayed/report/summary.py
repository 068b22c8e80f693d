"""What a report comes to: each effect under its verdict, and what a reader must know about the numbers."""

from __future__ import annotations

from dataclasses import dataclass

from unswayed.report.model import Arm, Cell, Report, Row
from unswayed.report.numbers import change, count, level, size, span

FLAGS = {
    "degenerate": "the answers hardly differ from one another, so the rate says little about the questions",
    "truncated": "the arms differ in how many answers were cut at the length limit",
    "unscored": "too many answers could not be scored",
    "unread": "many more answers than before name none of the known answers",
    "degenerate before": "the baseline's own answers hardly differ from one another",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One row of one arm, next to the baseline. `cell` is None where the arm was not run."""

    row: Row
    cell: Cell | None

    @property
    def verdict(self) -> str:
        """The verdict of the effect, else `not compared` or `not run`."""
        if self.cell is None:
            return "not run"
        return self.cell.effect.verdict if self.cell.effect else "not compared"

    @property
    def sentence(self) -> str:
        """The finding in words, with its interval and count, or why there is none."""
        if self.cell is None:
            return "not run"
        unit, effect = self.row.unit, self.cell.effect
        if effect is None or effect.difference is None:
            scored = count(self.cell.estimate.n, "answer")
            return f"no paired answers to compare ({scored} scored, {self.cell.estimate.unscored} unscored)"
        text = (
            f"{level(effect.before.value, unit)} → {level(effect.after.value, unit)}, "
            f"{change(effect.difference, unit, named=True)} "
            f"(95% interval {span(effect.low, effect.high, unit, signed=True)}, n = {effect.n:,})"
        )
        if effect.verdict == "not known" and effect.detectable is not None:
            text += f"; only a change of {size(effect.detectable, unit)} or more would show reliably"
        return text


@dataclass(frozen=True, slots=True)
class Outcome:
    """One trained arm's findings by verdict. `unknown` holds the inconclusive, the not compared and the not run."""

    arm: Arm
    improved: tuple[Finding, ...]
    regressed: tuple[Finding, ...]
    unknown: tuple[Finding, ...]
    unchanged: tuple[Finding, ...]


def outcomes(report: Report) -> tuple[Outcome, ...]:
    """Sort every row of every trained arm under its verdict; each is in exactly one place."""
    results = []
    for arm in report.trained:
        groups: dict[str, list[Finding]] = {"improved": [], "worse": [], "no material change": [], "unknown": []}
        for row in report.rows:
            finding = Finding(row, row.cells.get(arm.id))
            groups.get(finding.verdict, groups["unknown"]).append(finding)
        results.append(
            Outcome(
                arm,
                improved=tuple(groups["improved"]),
                regressed=tuple(groups["worse"]),
                unknown=tuple(groups["unknown"]),
                unchanged=tuple(groups["no material change"]),
            )
        )
    return tuple(results)


def limits(report: Report) -> tuple[str, ...]:
    """Return the report's own limits, followed by those that its numbers imply."""
    cells = [(row, arm, row.cells[arm.id]) for row in report.rows for arm in report.arms if arm.id in row.cells]
    effects = [(row, arm, cell.effect) for row, arm, cell in cells if cell.effect is not None]
    implied = []

    missing = [f"{row.label} ({arm.label})" for row in report.rows for arm in report.arms if arm.id not in row.cells]
    if missing:
        implied.append(f"Not run: {'; '.join(missing)}.")

    unscored = sum(cell.estimate.unscored for _, _, cell in cells)
    if unscored:
        most, row, arm = max(
            ((cell.estimate.unscored / (cell.estimate.n + cell.estimate.unscored), row, arm)
             for row, arm, cell in cells if cell.estimate.unscored), key=lambda item: item[0],
        )  # fmt: skip
        implied.append(
            f"{count(unscored, 'answer')} could not be scored and count in no rate; the table has their number for "
            f"each row and arm. The largest share is {level(most)} ({row.label}, {arm.label})."
        )
    elif cells:
        implied.append("Every answer could be scored.")

    known = [(effect.detectable, row, arm) for row, arm, effect in effects if effect.detectable is not None]
    if known:
        coarsest, row, arm = max(known, key=lambda item: item[0])
        implied.append(
            "Each difference is printed with the smallest true change that this many samples would find four times in "
            f"five. The largest of them is {size(coarsest, row.unit)} ({row.label}, {arm.label}): "
            "smaller changes may exist and not show."
        )

    margins = {size(effect.margin, row.unit) for row, _, effect in effects}
    if margins:
        implied.append(f"A change is called immaterial within a margin of {' or '.join(sorted(margins))}, row by row.")

    flagged = [(flag, row, arm) for row, arm, effect in effects for flag in effect.flags]
    for flag in dict.fromkeys(flag for flag, _, _ in flagged):
        where = "; ".join(f"{row.label}, {arm.label}" for name, row, arm in flagged if name == flag)
        implied.append(f"Flag “{flag}”{f': {FLAGS[flag]}' if flag in FLAGS else ''}. Rows: {where}.")
    return (*report.limits, *implied)
