"""`unswayed compare`: what changed between two evaluations, and what may be concluded from it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from unswayed.cli.options import Json, echo, print_json
from unswayed.core.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from unswayed.evals.compare.comparison import Comparison, Overlap
    from unswayed.evals.results import Result


def compare(
    before: Annotated[Path, typer.Argument(help="A folder that `unswayed eval` wrote.")],
    after: Annotated[
        list[Path],
        typer.Argument(help="Another one, on the same suites. Several: each is compared with BEFORE, on one page."),
    ],
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Folder of compare.json and compare.html; by default AFTER/compare."),
    ] = None,
    plan: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="TOML with a \\[plan]; by default the one that AFTER was begun under."),
    ] = None,
    margin: Annotated[
        float | None,
        typer.Option(help="One margin for everything, e.g. 0.02. It is marked as declared after the run."),
    ] = None,
    replicate: Annotated[
        Path | None, typer.Option(metavar="BEFORE2", help="The model of BEFORE evaluated once more: the noise floor.")
    ] = None,
    train_pairs: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="What AFTER was trained on; by default as its run folder says."),
    ] = None,
    seeds: Annotated[
        bool, typer.Option("--seeds", help="Several AFTER are one method, trained with as many seeds.")
    ] = False,
    seed: Annotated[int, typer.Option(min=0, help="Decides which transcripts are drawn.")] = 0,
    transcripts: Annotated[int, typer.Option(min=0, help="How many of each suite, fixed and broken each.")] = 8,
    show_sensitive: Annotated[
        bool, typer.Option("--show-sensitive", help="Show the texts of suites marked as sensitive in the page.")
    ] = False,
    json: Json = False,
) -> None:
    """Compare two evaluations of the same suites: paired effects with intervals and verdicts, as table and page.

    Example: unswayed compare evals/base evals/opct
    """
    if (before / "attack.json").exists():
        _compare_attacks(before, list(after), out, json)
        return
    from unswayed.evals.compare.comparison import make_comparison, to_json
    from unswayed.evals.plan import choose_plan, read_plan
    from unswayed.report.html import write_comparison

    afters = [Path(each) for each in after]
    results, overlaps, again, alone = _load(before, afters, replicate, train_pairs)
    abouts = [side.about for _, sides in results for side in sides]
    chosen, departures = choose_plan(abouts, read_plan(plan) if plan else None, margin)
    made = make_comparison(
        results,
        chosen,
        departures,
        replicates=again,
        overlaps=overlaps,
        as_seeds=seeds and len(afters) > 1,
        alone=alone,
        seed=seed,
        shown=transcripts,
        show_sensitive=show_sensitive,
    )
    page = write_comparison(out or afters[0] / "compare", made)
    if json:
        print_json(to_json(made))
    else:
        _print(made, page)


def _compare_attacks(before: Path, after: Sequence[Path], out: Path | None, json: bool) -> None:
    """Compare two attack folders, and write `compare.json`."""
    from unswayed.attacks.compare import compare_attacks
    from unswayed.attacks.run import Attack
    from unswayed.cli.options import print_json
    from unswayed.core.files import write_json

    if len(after) != 1:
        raise ConfigError("attacks are compared two at a time: BEFORE and one AFTER")
    found = compare_attacks(Attack.load(before), Attack.load(after[0]))
    folder = out or after[0] / "compare"
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "compare.json", found)
    if json:
        print_json(found)
    else:
        _print_attacks(found, folder)


def _print_attacks(found: dict[str, Any], folder: Path) -> None:
    from unswayed.core.printable import printable
    from unswayed.report.numbers import change, level, span

    for side in ("before", "after"):
        told = found[side]
        echo(printable(f"{side:<7}{told['target']}: {level(told['success'])} broken ({told['wording']})"))
    low, high = found["interval"] or (None, None)
    p_value = "" if found["log_rank_p"] is None else f"; log-rank p = {found['log_rank_p']:.3g}"
    shift = f"{change(found['difference'], named=True)} ({span(low, high, signed=True)})"
    echo(f"difference {shift}, {found['pairs']} pairs, {found['missing']} missing{p_value}: {found['verdict']}")
    echo(printable(str(folder / "compare.json")))


Loaded = tuple[
    "list[tuple[Result, list[Result]]]", "list[Overlap]", "list[Result | None]", "list[tuple[str, list[str]]]"
]


def _load(before: Path, afters: Sequence[Path], replicate: Path | None, train_pairs: Path | None) -> Loaded:
    """Read the suites that every folder has, without what was watched during training."""
    from unswayed.core.printable import printable
    from unswayed.evals.compare.comparison import Overlap
    from unswayed.evals.compare.contamination import training_of
    from unswayed.evals.probe import final_part
    from unswayed.evals.results import Result

    folders = [before, *afters]
    found = [_find(folder) for folder in folders]
    both = [key for key in found[0] if all(key in other for other in found)]
    if not both:
        lists = "; ".join(f"{folder} has {', '.join(keys)}" for folder, keys in zip(folders, found, strict=True))
        raise ConfigError(f"no suite is in {'both' if len(folders) == 2 else 'all'} folders: {lists}")
    alone = [
        (key, [str(folder) for folder, keys in zip(folders, found, strict=True) if key in keys])
        for key in sorted({key for keys in found for key in keys} - set(both))
    ]
    for key, who in alone:
        echo(f"only in {printable(', '.join(who))}, not compared: {printable(key)}", err=True)
    twins = _find(replicate) if replicate else {}
    results, overlaps, again = [], [], []
    for key in both:
        left, *sides = (Result.load(other[key]) for other in found)
        twin = Result.load(twins[key]) if key in twins else None
        trainings = [training_of(side.about, train_pairs) for side in sides]
        watched = any(training.watched(str(left.suite["name"])) for training in trainings)
        if watched:  # what was looked at during training decides nothing
            left, sides = final_part(left), [final_part(side) for side in sides]
            twin = final_part(twin) if twin else None
        looked = [
            training.overlap(side.records.values(), side.about["unit"])
            for training, side in zip(trainings, sides, strict=True)
        ]
        sentence = "; ".join(dict.fromkeys(said for _, said in looked))
        details = looked[0][0] if len(looked) == 1 else {"by_model": [shared for shared, _ in looked]}
        results.append((left, sides))
        overlaps.append(Overlap(sentence, details, watched))
        again.append(twin)
    if replicate and not any(again):
        raise ConfigError(
            f"{replicate}: holds none of the suites that are compared; evaluate the model of {before} on them"
        )
    return results, overlaps, again, alone


def _find(folder: Path) -> dict[str, Path]:
    """Return the evaluations in a folder by name. One alone is matched by its suite, whatever the folder is called."""
    from unswayed.evals.results import evaluations, read_about

    found = evaluations(folder)
    if found == [folder] and (about := read_about(folder)):
        return {str(about["identity"]["suite"]["name"]): folder}
    return {path.name: path for path in found}


def _print(made: Comparison, page: Path) -> None:
    from rich.console import Console
    from rich.text import Text

    from unswayed.core.printable import printable
    from unswayed.report.comparison import report_of_comparison
    from unswayed.report.summary import TITLES, limits, outcomes
    from unswayed.report.terminal import result_table

    report = report_of_comparison(made)
    console = Console(highlight=False)
    console.print(result_table(report, width=console.width))

    def say(text: str, style: str = "") -> None:
        console.print(Text(printable(text, newlines=False), style=style))

    for outcome in outcomes(report):
        for kind, style in (("worse", "bold red"), ("improved", "green")):
            named = "" if len(report.trained) == 1 else f", {outcome.arm.label}"
            say(f"{TITLES[kind]}{named}:", style)
            for finding in outcome.groups[kind]:
                say(f"  {finding.sentence}")
            if not outcome.groups[kind]:
                say("  nothing was shown to")
    for sentence in (*report.lead, *limits(report)):
        say(sentence)
    say("Points, after minus before, on the same samples.")
    console.print(Text(str(page)), soft_wrap=True)
