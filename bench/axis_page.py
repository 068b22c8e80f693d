"""What `bench.axes` found as Markdown and as a drawing, both from the committed JSON alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from bench.step.chart import standing
from unswayed.core.types import Effect, Estimate
from unswayed.report.charts import differences
from unswayed.report.model import Arm, Cell, Report, Row
from unswayed.report.numbers import change, level, span

HEALTH = ("parse_rate", "truncation_rate")
STYLE = """<style>
svg { --paper: #ffffff; --ink: #1a1e23; --muted: #535b65; --grid: #e3e6ea; --band: #e4e8ed; --better: #0a5c48;
  --worse: #9b1c1c; --unknown: #664a00; --same: #3d454e; --arm-1: #c25400; background: var(--paper); }
text { font-family: system-ui, sans-serif; }
@media (prefers-color-scheme: dark) {
  svg { --paper: #14171b; --ink: #e7e9ec; --muted: #a7afb9; --grid: #2a3037; --band: #2b323a; --better: #86d9bd;
    --worse: #ffab9e; --unknown: #efcd78; --same: #c5cbd2; --arm-1: #f5934a; }
}
</style>"""


def effects(one: Mapping[str, Any]) -> Iterator[tuple[Effect, bool]]:
    """Yield every effect of a suite and whether it is a primary one; without those on the replies' health."""
    for row in one["effects"]:
        if row["metric"] in HEALTH:
            continue
        values = {key: value for key, value in row.items() if key not in ("primary", "better")}
        values |= {side: Estimate(**row[side]) for side in ("before", "after")}
        values |= {key: tuple(row[key]) for key in ("flags", "by_seed")}
        yield Effect(**values), row["primary"]


def table(result: Mapping[str, Any]) -> str:
    """Return every difference as Markdown, and below it what became of the replies."""
    lines = [
        "| suite | metric | base | trained | difference (95%) | pairs (clusters) | unscored | verdict |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for one in result["comparison"]["suites"]:
        better = {row["metric"]: "↑" if row["better"] == "higher" else "↓" for row in one["effects"]}
        for effect, primary in effects(one):
            name = f"**{effect.metric}**" if primary else effect.metric
            unscored = f"{effect.before.unscored} / {effect.after.unscored}"
            difference = f"{change(effect.difference)} ({span(effect.low, effect.high, signed=True)})"
            lines.append(
                f"| {one['suite']} | {name} {better[effect.metric]} | {level(effect.before.value)} | "
                f"{level(effect.after.value)} | {difference} | {effect.n} ({effect.clusters}) | {unscored} | "
                f"{effect.verdict}{'*' if effect.flags else ''} |"
            )
    lines += ["", "| suite | replies | read | cut off | tokens a reply | degenerate |", "|---|---|---|---|---|---|"]
    for one in result["comparison"]["suites"]:
        sides = (one["arms"]["before"], one["arms"]["after"][0])
        read, cut = (" / ".join(level(side[key]) for side in sides) for key in ("read", "cut"))
        tokens = " / ".join(f"{side['mean_tokens']:.0f}" for side in sides)
        bad = " / ".join(", ".join(side["degenerate"]) or "no" for side in sides)
        lines.append(f"| {one['suite']} | {sides[0]['completions']} | {read} | {cut} | {tokens} | {bad} |")
    return "\n".join(lines) + "\n"


def draw(result: Mapping[str, Any]) -> str:
    """Return one SVG file: every difference with its interval and margin."""
    rows = []
    for number, one in enumerate(result["comparison"]["suites"]):
        better = {row["metric"]: row["better"] for row in one["effects"]}
        for effect, primary in effects(one):
            cells = {"base": Cell(effect.before), "trained": Cell(effect.after, effect)}
            name, role = effect.metric, "primary" if primary else "counter"
            rows.append(Row(f"{number}-{name}", name, better[name], cells, section=one["suite"], role=role))
    report = Report(result["axis"], (Arm("base", "base"), Arm("trained", "trained")), "base", tuple(rows))
    svg = differences(report, name=f"axis-{result['axis']}")
    if svg is None:
        raise ValueError(f"{result['axis']}: nothing was paired")
    return standing(svg, STYLE)
