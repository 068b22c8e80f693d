"""`unswayed compare`: what changed between two evaluations, and what may be concluded from it."""

from __future__ import annotations

import json as json_
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from unswayed.cli.options import Json
from unswayed.core.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from unswayed.evals.compare.comparison import Comparison, Overlap
    from unswayed.evals.results import Result

_COLOURS = {"improved": "green", "worse": "red", "no material change": "default", "not known": "yellow"}
_WIDE = 126  # what the table needs; a narrower terminal, a file or a pipe gets whole lines all the same


def compare(
    before: Annotated[Path, typer.Argument(help="A folder that `unswayed eval` wrote.")],
    after: Annotated[
        list[Path],
        typer.Argument(help="Another one, on the same suites. Several: one method, trained with as many seeds."),
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
    from unswayed.evals.compare.comparison import make_comparison, to_json
    from unswayed.evals.plan import choose_plan, read_plan
    from unswayed.report.html import write_comparison

    afters = [Path(each) for each in after]
    results, overlaps, again = _load(before, afters, replicate, train_pairs)
    abouts = [side.about for _, sides in results for side in sides]
    chosen, departures = choose_plan(abouts, read_plan(plan) if plan else None, margin)
    made = make_comparison(
        results,
        chosen,
        departures,
        replicates=again,
        overlaps=overlaps,
        seed=seed,
        shown=transcripts,
        show_sensitive=show_sensitive,
    )
    page = write_comparison(out or afters[0] / "compare", made)
    if json:
        print(json_.dumps(to_json(made), indent=2))
    else:
        _print(made, page)


Loaded = tuple["list[tuple[Result, list[Result]]]", "list[Overlap]", "list[Result | None]"]


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
    for folder, keys in zip(folders, found, strict=True):
        for key in sorted(set(keys) - set(both)):
            typer.echo(f"only in {printable(str(folder))}, not compared: {printable(key)}", err=True)
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
    return results, overlaps, again


def _find(folder: Path) -> dict[str, Path]:
    """Return the evaluations in a folder by name. One alone is matched by its suite, whatever the folder is called."""
    from unswayed.evals.results import evaluations, read_about

    found = evaluations(folder)
    if found == [folder] and (about := read_about(folder)):
        return {str(about["identity"]["suite"]["name"]): folder}
    return {path.name: path for path in found}


def _print(made: Comparison, page: Path) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from unswayed.core.printable import printable
    from unswayed.report import findings
    from unswayed.report.numbers import change, level, size, span

    console = Console(highlight=False)
    console = Console(highlight=False, width=max(console.width, _WIDE))

    def say(text: str, style: str = "") -> None:
        console.print(Text(printable(text, newlines=False), style=style), soft_wrap=True)

    for one in made.suites:
        title = f"{one.title}: {made.before} → {', '.join(made.afters)}"
        table = Table(
            "metric", "before", "after", "difference (95% interval)", "n", "fixed/broken", "margin", "detects",
            "verdict",
            box=box.SIMPLE_HEAD, pad_edge=False, title=Text(printable(title, newlines=False)), title_justify="left",
        )  # fmt: skip
        for effect, primary in zip(one.effects, one.primary, strict=True):
            table.add_row(
                effect.metric + ("" if primary else " ·"),
                level(effect.before.value),
                level(effect.after.value),
                f"{change(effect.difference)} ({span(effect.low, effect.high, signed=True)})",
                str(effect.n),
                f"{effect.fixed}/{effect.broken}",
                size(effect.margin).removesuffix(" points"),
                size(effect.detectable).removesuffix(" points"),
                Text(effect.verdict, style=_COLOURS[effect.verdict]),
            )
        console.print(table)
        for sentence in findings.flag_sentences(one):
            say(sentence, "yellow")
        for sentence in findings.noninferiority_sentences(one):
            say(sentence)
        say(one.overlap.sentence)
        if one.overlap.watched:
            say("without the questions of the part that was watched during training")
        say("")
    for departure in made.departures:
        say(departure, "yellow")
    say(findings.scope(made))
    say(findings.plan_sentence(made))
    say(
        "Points, after minus before, on the same samples. `detects`: found with 80% power by a repeat. "
        "· marks metrics that are not primary."
    )
    say(str(page))
