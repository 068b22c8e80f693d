"""`unswayed judge`: check a judge, and draw a sheet of replies for people to label."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from unswayed.cli.options import Json, echo, print_json
from unswayed.core.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from unswayed.judges.base import Judge
    from unswayed.judges.calibration import Calibration
    from unswayed.judges.check import Check
    from unswayed.judges.rubrics import Rubric

app = typer.Typer(help="Check a judge, and draw replies for people to label.", no_args_is_help=True)
UNFIT, INCONCLUSIVE = 10, 11
_WIDE = 120  # what the table needs; a narrower terminal, a file or a pipe gets whole lines all the same
Seed = Annotated[int, typer.Option(min=0, help="Decides what is drawn, and the order in which replies are shown.")]


@app.command()
def check(
    spec: Annotated[
        str, typer.Argument(metavar="SPEC", help="rule, local:MODEL, local-written:MODEL, openai:MODEL@URL.")
    ],
    rubric: Annotated[list[str] | None, typer.Option(help="Only this rubric; may be given several times.")] = None,
    labels: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A filled sheet, or a table with request, reply and human.")
    ] = None,
    evaluation: Annotated[
        list[Path] | None,
        typer.Option("--eval", metavar="DIR", help="Correct the rates of this evaluation by the labels of its arm."),
    ] = None,
    seed: Seed = 0,
    judge_params: Annotated[str | None, typer.Option(metavar="JSON", help="What an endpoint is sent.")] = None,
    dtype: Annotated[str, typer.Option(help="Of a local model: auto, float32, bfloat16 or float16.")] = "auto",
    device: Annotated[str, typer.Option(help="Of a local model: auto, cpu, cuda, cuda:1, mps.")] = "auto",
    json: Json = False,
) -> None:
    """Ask a judge about canaries with known verdicts, about injections, and about replies that people have labelled.

    Ends with 0 where the judge is fit, 10 where it is unfit, and 11 where nothing can be said. Canaries are asked anew
    each time, so a judge that changed behind its name shows.

    Example: unswayed judge check local:smollm2-135m --labels sheet.csv --eval evals/base --eval evals/trained
    """
    from rich.console import Console

    from unswayed.evals.label_sheet import read_labels
    from unswayed.judges.build import build_judge, default_cache, parse_params
    from unswayed.judges.cache import CachedJudge
    from unswayed.judges.check import check_judge

    rubrics = _rubrics(spec, rubric)
    rows, skipped = read_labels(labels, rubrics[0].name if rubric else "") if labels else ([], 0)
    if evaluation and not labels:
        raise ConfigError("rates are corrected by labels; give them with --labels FILE")
    judge = build_judge(spec, params=parse_params(judge_params), dtype=dtype, device=device)
    found = check_judge(judge, rubrics, seed=seed)
    report: dict[str, Any] = {**_canaries(found), "labels": {}}
    states = [found.state]
    if rows:
        kept: Judge = judge if spec == "rule" else CachedJudge(judge, default_cache())
        report["labels"], more = _labelled(kept, rows, evaluation or [], seed)
        report["unlabelled"] = skipped
        states += more
    report["state"] = next((s for s in ("unfit", "inconclusive") if s in states), "fit")
    if json:
        print_json(report)
    else:
        _print(Console(highlight=False, width=max(Console().width, _WIDE)), report)
    if report["state"] != "fit":
        raise typer.Exit(UNFIT if report["state"] == "unfit" else INCONCLUSIVE)


@app.command()
def sheet(
    folders: Annotated[list[Path], typer.Argument(metavar="EVAL_DIR...", help="Finished evaluations; each is an arm.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The sheet, a CSV file; its key is written beside it.")],
    n: Annotated[int, typer.Option("-n", min=2, help="Replies to draw, evenly over arms and verdicts.")] = 150,
    seed: Seed = 0,
) -> None:
    """Write replies to a sheet for people to label, without saying whose they are or what the judge made of them.

    Fill the column 'human' with yes or no and give the file to `unswayed judge check SPEC --labels FILE`.
    """
    from unswayed.evals.label_sheet import draw_sheet, judged_replies, write_sheet
    from unswayed.evals.results import Result, evaluations

    if out.suffix.lower() != ".csv":
        raise ConfigError(f"{out}: the sheet is a CSV file; end its name in .csv")
    if out.exists():
        raise ConfigError(f"{out} exists and may hold labels; choose another name")
    results = [(folder, Result.load(path)) for folder in folders for path in evaluations(folder)]
    pool = [
        one for folder, result in results if result.suite.get("rubric") for one in judged_replies(str(folder), result)
    ]
    rows = draw_sheet(pool, n, seed=seed)
    key = write_sheet(out, rows)
    echo(f"{len(rows)} of {len(pool)} replies: {out} (to fill in) and {key} (not to look at)", err=True)


def _rubrics(spec: str, names: Sequence[str] | None) -> list[Rubric]:
    from unswayed.judges.rubrics import RUBRICS, rubric
    from unswayed.judges.rule import KNOWN, RuleJudge

    if spec != "rule":
        return [rubric(name) for name in names or RUBRICS]
    chosen = [rubric(name) for name in names or KNOWN]
    for each in chosen:
        RuleJudge().check(each)
    return chosen


def _canaries(found: Check) -> dict[str, Any]:
    """Return what the check found, as plain JSON values."""
    return {
        "judge": found.judge,
        "canaries": {name: _calibration(found.calibration(name)) for name in found.rubrics},
        "wrong": [canary.id for canary in found.wrong],
        "missing": sorted(
            {f"{verdict.status}: {verdict.reason}" for _, verdict in found.canaries if verdict.status != "ok"}
        ),
        "injections": len(found.attacks),
        "flip_rate": found.flip_rate,
        "flips": [f"{attack.name} ({attack.canary.id})" for attack in found.flips],
        "unscored_share": found.lost,
    }


def _labelled(
    judge: Judge, rows: Sequence[Any], folders: Sequence[Path], seed: int
) -> tuple[dict[str, Any], list[str]]:
    """Return calibrations and corrected rates by rubric and arm, and the state of each arm."""
    from unswayed.evals.label_sheet import label
    from unswayed.judges.calibration import calibrate
    from unswayed.judges.rubrics import rubric

    report: dict[str, Any] = {}
    states: list[str] = []
    for name in dict.fromkeys(row.rubric for row in rows):
        found = calibrate(label(judge, rows, rubric(name), seed=seed))
        report[name] = {arm or "all": _calibration(calibration) for arm, calibration in found.items()}
        states += ["inconclusive" if each.state == "unknown" else each.state for each in found.values()]
        for folder in folders:
            by_arm = found.get(str(folder), found[""] if len(found) == 1 else None)
            if by_arm is None:
                raise ConfigError(f"{folder}: no label is of this arm; labelled are {', '.join(filter(None, found))}")
            report[name][by_arm.arm or "all"]["corrected"] = _corrected(folder, rubric(name), by_arm)
    return report, states


def _corrected(folder: Path, by: Rubric, calibration: Calibration) -> dict[str, Any]:
    """Return the positive rate of each condition of an arm's evaluations, as judged and corrected."""
    from unswayed.evals.results import Result, evaluations
    from unswayed.judges.calibration import corrected_rate

    rates: dict[str, Any] = {}
    for path in evaluations(folder):
        result = Result.load(path)
        if result.suite.get("rubric") != by.name or calibration.state != "fit":
            continue
        for condition in dict.fromkeys(record.condition for record in result.records.values()):
            own = [r for r in result.records.values() if r.condition == condition and r.value is not None]
            if own:
                values = [float((record.value or 0.0) >= by.positive) for record in own]
                rate = corrected_rate(values, [record.group for record in own], calibration)
                rates[f"{result.title}, {condition or 'all'}"] = {**rate._asdict(), "n": len(own)}
    return rates


def _calibration(found: Calibration) -> dict[str, Any]:
    return {
        "sensitivity": found.sensitivity._asdict(),
        "specificity": found.specificity._asdict(),
        "youden": found.youden,
        "kappa": None if found.kappa is None else [found.kappa, found.kappa_low, found.kappa_high],
        "labelled": found.labelled,
        "unscored": found.unscored,
        "state": found.state,
    }


def _print(console: Console, report: dict[str, Any]) -> None:
    from rich.text import Text

    from unswayed.core.printable import printable
    from unswayed.report.numbers import level

    def say(line: str) -> None:
        console.print(Text(printable(line, newlines=False)), soft_wrap=True)

    say(f"judge {report['judge']}")
    _table(console, "canaries", report["canaries"])
    if report["wrong"]:
        say(f"wrong: {', '.join(report['wrong'])}")
    for reason in report["missing"]:
        say(f"no verdict: {reason}")
    say(
        f"injections: {len(report['flips'])} of {report['injections']} changed the verdict "
        f"(flip rate {level(report['flip_rate'])}); {level(report['unscored_share'])} of all verdicts missing"
    )
    for flip in report["flips"]:
        say(f"  changed by: {flip}")
    for name, arms in report["labels"].items():
        _table(console, f"labels, {name}", arms)
        for arm, row in arms.items():
            for title, rate in row.get("corrected", {}).items():
                say(
                    f"  {arm}, {title}: {level(rate['observed'])} as judged, {level(rate['value'])} corrected "
                    f"({level(rate['low'])} to {level(rate['high'])}), n {rate['n']}"
                )
    say(f"the judge is {report['state']}")


def _table(console: Console, title: str, rows: dict[str, Any]) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from unswayed.core.printable import printable
    from unswayed.report.numbers import MINUS, level, span

    table = Table(
        title, "sensitivity", "specificity", "kappa", "n", "unscored", "state", box=box.SIMPLE_HEAD, pad_edge=False
    )
    for name, row in rows.items():
        shares = [
            f"{level(rate['value'])} ({span(rate['low'], rate['high'])})"
            for rate in (row["sensitivity"], row["specificity"])
        ]
        value, low, high = row["kappa"] or (None, None, None)
        kappa = "—" if value is None else f"{value:.2f}" + ("" if low is None else f" ({low:.2f} to {high:.2f})")
        kappa = kappa.replace("-", MINUS)
        label = Text(printable(name, newlines=False))
        table.add_row(label, *shares, kappa, str(row["labelled"]), str(row["unscored"]), row["state"])
    console.print(table)
