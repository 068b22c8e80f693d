"""The report's table for a terminal: the same numbers in the same words, in as many columns as there is room for."""

from __future__ import annotations

from rich import box
from rich.table import Table
from rich.text import Text

from unswayed.core.printable import printable
from unswayed.report.model import Arm, Cell, Report, Row
from unswayed.report.numbers import change, count, level, p_value, span
from unswayed.report.summary import deciding

COLUMN, LABEL = 20, 24  # characters an arm's column needs so that no interval breaks, and the least for a row's label
LONGEST = 300  # characters of a label that a terminal shows; report.json holds the whole
_STYLES = {"improved": "green", "worse": "bold red", "no material change": "dim", "not known": "yellow"}


def result_table(report: Report, *, width: int = 80) -> Table:
    """Return rows by arms, fit for `width` columns of text.

    Where the arms fit side by side each has a column; else each row of the report becomes a line of its own with the
    arms under it. Text that is not ours is printed as text: no markup, no escape sequences.
    """
    side_by_side = LABEL + 3 + len(report.arms) * (COLUMN + 3) <= width
    return _columns(report) if side_by_side else _lines(report, width)


def _columns(report: Report) -> Table:
    table = Table(title=_text(report.title, "bold"), box=box.SIMPLE_HEAD, show_lines=True, title_justify="left")
    table.add_column("Measured", min_width=LABEL, ratio=1, overflow="fold")
    for arm in report.arms:
        table.add_column(_text(arm.label), min_width=COLUMN, overflow="fold")
    section = ""
    for row in report.rows:
        if row.section != section:
            section = row.section
            table.add_row(_text(section, "bold underline"), *["" for _ in report.arms])
        cells = [Text("\n").join(_cell(report, row, arm)) for arm in report.arms]
        table.add_row(Text("\n").join([_text(row.label, "bold"), Text(f"{row.better} is better", "dim")]), *cells)
    return table


def _lines(report: Report, width: int) -> Table:
    table = Table(title=_text(report.title, "bold"), box=box.SIMPLE_HEAD, title_justify="left")
    table.add_column("Measured", max_width=max(width - COLUMN - 9, 12), overflow="fold")
    table.add_column("Result", overflow="fold")
    section = ""
    for number, row in enumerate(report.rows):
        if number:
            table.add_section()
        if row.section != section:
            section = row.section
            table.add_row(_text(section, "bold underline"), "")
        table.add_row(_text(row.label, "bold"), Text(f"{row.better} is better", "dim"))
        for arm in report.arms:
            table.add_row(_text(f"  {arm.label}"), Text("\n").join(_cell(report, row, arm)))
    return table


def _cell(report: Report, row: Row, arm: Arm) -> list[Text]:
    cell = row.cells.get(arm.id)
    if cell is None:
        return [Text("not run", "dim")]
    return [*_estimate(row, cell), *_effect(row, cell, baseline=arm.id == report.baseline)]


def _estimate(row: Row, cell: Cell) -> list[Text]:
    side = cell.estimate
    counts = f"n {side.n:,}" + (f", {side.unscored:,} unscored" if side.unscored else "")
    if side.least is not None:
        counts += f": {span(side.least, side.most, row.unit)} with them"
    if side.value is None:
        return [Text("nothing scored", "yellow"), Text(counts, "dim")]
    rate = Text.assemble(
        (printable(level(side.value, row.unit), newlines=False), "bold"), f"  {span(side.low, side.high, row.unit)}"
    )
    return [rate, Text(counts, "dim")]


def _effect(row: Row, cell: Cell, *, baseline: bool) -> list[Text]:
    effect = cell.effect
    if effect is None:
        return [] if baseline else [Text("not compared", "yellow")]
    lines = []
    if effect.difference is not None:
        interval = span(effect.low, effect.high, row.unit, signed=True)
        lines.append(Text(f"{change(effect.difference, row.unit)}  {interval}"))
        lines.append(Text(f"{p_value(deciding(effect))}, {count(effect.n, 'pair')}", "dim"))
    words = ", ".join([effect.verdict, *(printable(flag[:LONGEST], newlines=False) for flag in effect.flags)])
    return [*lines, Text(words, _STYLES.get(effect.verdict, ""))]


def _text(text: str, style: str = "") -> Text:
    shown = printable(text[:LONGEST], newlines=False)
    return Text(shown + ("…" if len(text) > LONGEST else ""), style)
