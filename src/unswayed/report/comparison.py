"""A comparison as a report: its suites as sections, its metrics as rows, its models as arms."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from unswayed._version import __version__
from unswayed.core.types import Score
from unswayed.evals.compare.comparison import arm_counts
from unswayed.evals.metrics import metric
from unswayed.evals.rule_errors import corrected, known_error
from unswayed.report.model import Answer, Arm, Cell, Draw, Report, Row, Transcript
from unswayed.report.numbers import count, level, size

if TYPE_CHECKING:
    from unswayed.core.types import Effect, Estimate
    from unswayed.evals.compare.comparison import Comparison, SuiteComparison
    from unswayed.evals.compare.flips import Drawn
    from unswayed.evals.records import Record

BASE = "base"


def report_of_comparison(comparison: Comparison) -> Report:
    """Return everything about a comparison as a report; texts of sensitive suites are hashes in it already."""
    arms = (Arm(BASE, comparison.before), *(Arm(f"arm-{place}", name) for place, name in enumerate(comparison.arms, 1)))
    return Report(
        title=f"{comparison.before} → {', '.join(comparison.afters)}",
        arms=arms,
        baseline=BASE,
        rows=tuple(row for number, one in enumerate(comparison.suites) for row in _rows(number, one)),
        lead=(*_alone(comparison), scope(comparison)),
        facts=_facts(comparison),
        transcripts=tuple(
            _draw(number, one, drawn, way, comparison)
            for number, one in enumerate(comparison.suites)
            for drawn, way in ((one.broken, "broken"), (one.fixed, "fixed"))
        ),
        limits=tuple(_limits(comparison)),
        kind="comparison",
        warning="Harmful text ahead. Prompts and replies of suites marked as sensitive are shown, because this page "
        "was made with --show-sensitive. Do not pass it on." if comparison.sensitive_shown else "",
        replies=tuple(
            (f"{one.title}: {side.policy}", arm_line(arm_counts(side)))
            for one in comparison.suites
            for side in one.sides
        ),
    )  # fmt: skip


def cell_of(suite: Mapping[str, Any], name: str, estimate: Estimate, effect: Effect | None = None) -> Cell:
    """Return the cell of one arm on a metric, with the error of the rule behind it where that is known."""
    known = known_error(suite, name)
    return Cell(estimate, effect, known, corrected(estimate, known) if known else None)


def row_of(result: Any, name: str, cells: Mapping[str, Cell], *, id_: str, section: str = "") -> Row:
    """Return a metric of an evaluation as a row."""
    entry = metric(name)
    unit = "points" if entry.paired else "rate"
    return Row(id_, name, entry.better, cells, entry.description, unit, section, result.role(name))


def _rows(number: int, one: SuiteComparison) -> list[Row]:
    rows = []
    for place, first in enumerate(one.effects[0]):
        name = first.metric
        cells = {BASE: cell_of(one.before.suite, name, first.before)}
        for arm, found in enumerate(one.effects, 1):
            cells[f"arm-{arm}"] = cell_of(one.before.suite, name, found[place].after, found[place])
        rows.append(row_of(one.before, name, cells, id_=f"{number}-{name}", section=one.title))
    return rows


def _alone(comparison: Comparison) -> list[str]:
    return [f"Not compared: {name} was evaluated for {', '.join(who)} only." for name, who in comparison.alone]


def scope(comparison: Comparison) -> str:
    """Return what the verdicts are about: one checkpoint, or a method."""
    if comparison.seeds == 1:
        each = "this checkpoint" if len(comparison.arms) == 1 else "each checkpoint"
        return f"n_seeds = 1: the verdicts are about {each} only, not about the method that made it."
    return (
        f"n_seeds = {comparison.seeds}: differences are means over {comparison.seeds} trained models on the same "
        "samples, and the training seed is the unit. That they differ by nothing but the seed is the word of whoever "
        "named them."
    )


def plan_sentence(comparison: Comparison) -> str:
    """Return which plan holds, its hash, and when it was declared."""
    plan = comparison.plan
    if plan.declared == "default":
        return "No plan was declared: margins are the built-in defaults, the primary metrics those of each suite."
    return f"Margins and primary metrics {plan.declared}; plan SHA-256 {plan.sha256}."


def _limits(comparison: Comparison) -> list[str]:
    found = [plan_sentence(comparison), *comparison.departures]
    if comparison.replicate:
        found.append(f"Noise floor: {comparison.replicate}, the baseline once more; each row has its distance.")
    else:
        found.append("No replicate of the baseline was given, so nothing here says how far it is from itself.")
    for one in comparison.suites:
        watched = "; without the questions of the part that was watched during training" if one.overlap.watched else ""
        found += [f"{one.title}: {_judge(one)}.", f"{one.title}: {one.overlap.sentence}{watched}."]
        if one.hidden:
            found.append(
                f"{one.title} is marked as sensitive: texts are left out, and their SHA-256 stands in their place. "
                "They are in records.jsonl of the evaluation."
            )
    return found


def _judge(one: SuiteComparison) -> str:
    """Return what scored a suite: rules, or which judge under which rubric."""
    judge = one.judge
    if judge is None:
        rule, known = one.before.suite.get("rule", "rules"), None
        known = next((found for name in one.before.metrics if (found := known_error(one.before.suite, name))), None)
        if known is None:
            return f"scored by rules, without a judge ({rule}; its error was not measured)"
        return (
            f"scored by rules, without a judge ({rule}; sensitivity {known.sensitivity:.2f} of {known.positives:.0f}, "
            f"specificity {known.specificity:.2f} of {known.negatives:.0f})"
        )
    notes = "".join(f"; {note}" for note in judge["notes"])
    name = judge["name"] or judge["judge"]
    return f"judged by {name} under {judge['rubric']} (rubric SHA-256 {str(judge['rubric_sha256'])[:12]}){notes}"


def _facts(comparison: Comparison) -> dict[str, str]:
    first, plan = comparison.suites[0], comparison.plan
    facts = {"Before": f"{first.before.policy}, identity {first.before.about['identity']['policy']}"}
    for number, after in enumerate(first.afters, 1):
        name = "After" if len(first.afters) == 1 else f"After {number}"
        facts[name] = f"{after.policy}, identity {after.about['identity']['policy']}"
    facts |= {f"Margin: {name}": size(value) for name, value in plan.margins.items()}
    if plan.primary:
        facts["Primary"] = ", ".join(plan.primary)
    for one in comparison.suites:
        suite = one.before.suite
        facts[one.title] = (
            f"version {suite['version']}, {count(suite['samples'], 'sample')}, SHA-256 {suite['samples_sha256']}; "
            f"cluster: {one.before.about['unit']}"
        )
    return {**facts, "unswayed": __version__}


def answer_of(record: Record) -> Answer:
    """Return a record's reply as an answer."""
    return Answer(record.text, Score(record.value, record.answer, record.reason), record.finish == "length")


def _draw(number: int, one: SuiteComparison, drawn: Drawn, way: str, comparison: Comparison) -> Draw:
    shown = []
    for flip in drawn.shown:
        record = flip.before
        arm = "arm-1" if comparison.seeds > 1 else f"arm-{flip.arm + 1}"
        where = f"; condition {record.condition}" if record.condition else ""
        model = f" by {one.afters[flip.arm].policy}" if len(one.afters) > 1 else ""
        shown.append(
            Transcript(
                id=f"{record.id}, draw {record.draw}" if record.draw else record.id,
                row=f"{number}-{flip.metrics[0]}",
                prompt=record.messages,
                answers={BASE: answer_of(record), arm: answer_of(flip.after)},
                hinted=record.hinted or None,
                target=record.target or None,
                note=f"{way} on {', '.join(flip.metrics)}{model}{where}",
            )
        )
    return Draw(tuple(shown), drawn.pool, comparison.seed, f"{one.title}: {way}")


def arm_line(arm: Mapping[str, Any]) -> str:
    """Return what became of one arm's completions, on one line."""
    unscored = sum(arm["unscored"].values())
    reasons = ", ".join(f"{number:,} {reason}" for reason, number in arm["unscored"].items())
    parts = [
        count(arm["completions"], "completion"),
        f"{level(arm['read'])} read",
        f"{level(arm['cut'])} cut at the length limit",
        f"{unscored:,} unscored" + (f" ({reasons})" if reasons else ""),
        f"{arm['mean_tokens']:.0f} tokens on average",
    ]
    if (thinking := arm.get("thinking")) and thinking["completions"]:
        open_ones = f", {thinking['unclosed']:,} never closed it" if thinking["unclosed"] else ""
        parts.append(f"{thinking['completions']:,} with thinking, {level(thinking['share'])} of their text{open_ones}")
    broken = ", ".join(f"{number:,} {kind}" for kind, number in arm["broken"].items())
    if broken:
        parts.append(f"broken: {broken}")
    if arm["degenerate"]:
        parts.append(f"degenerate: {', '.join(arm['degenerate'])}")
    return "; ".join(parts)
