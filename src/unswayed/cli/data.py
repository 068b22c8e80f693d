"""`unswayed data`: build pairs from a spec, check and show them, and fetch the public sets that suites read."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from unswayed.cli.options import Json, echo, print_json
from unswayed.core.errors import ConfigError
from unswayed.core.printable import printable
from unswayed.core.suggest import no_such

if TYPE_CHECKING:
    from rich.text import Text

    from unswayed.core.types import PromptPair
    from unswayed.data.check import Report
    from unswayed.evals.suite import Suite

LONGEST = 2000  # characters of one message that `show` prints
WIDE = 140  # what the table of sources needs
NOT_GIVEN = "(not given)"

app = typer.Typer(help="Build, check, split, merge and look at pairs; fetch public sets.", no_args_is_help=True)
File = Annotated[
    Path, typer.Argument(metavar="FILE", help="Pairs: .jsonl, .csv, .parquet, a save_to_disk folder, hub:OWNER/NAME.")
]
Output = Annotated[
    Path, typer.Option("--output", "-o", metavar="FILE", help="The training part; others lie beside it.")
]
Force = Annotated[bool, typer.Option("--force", help="Replace files that exist.")]
Columns = Annotated[
    list[str] | None,
    typer.Option(metavar="OURS=THEIRS", help="What a file calls a column, e.g. prompt=question. Repeatable."),
]
Identical = Annotated[bool, typer.Option("--allow-identical", help="Accept pairs whose two prompts are equal.")]


@app.command()
def build(
    spec: Annotated[Path, typer.Argument(metavar="SPEC.toml", help="What to build; see docs/data.md.")],
    output: Output,
    force: Force = False,
    columns: Columns = None,
    as_json: Json = False,
) -> None:
    """Write the pairs that a spec describes, the held-out parts beside them, and a manifest of all."""
    from unswayed.data.build.run import build_files

    _print_manifest(build_files(spec, output, force=force, columns=_named(columns)), output, as_json)


@app.command()
def split(
    file: File,
    output: Output,
    *,
    fraction: Annotated[float, typer.Option(min=0, max=1, help="Share of the items that is held out.")] = 0.2,
    seed: Annotated[int, typer.Option(min=0, help="Decides which items these are.")] = 0,
    topics: Annotated[list[str] | None, typer.Option("--topic", help="Hold out a topic. Repeatable.")] = None,
    families: Annotated[list[str] | None, typer.Option("--family", help="Hold out a family. Repeatable.")] = None,
    columns: Columns = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Split pairs into a training and a held-out part that share no item.

    Rows with one `group`, or with an equal prompt, are one item. Which side it falls on comes from a hash of its name.

    Example: unswayed data split pairs.jsonl -o train.jsonl --fraction 0.2
    """
    from unswayed.data.rearrange import split_file
    from unswayed.data.split import HoldOut

    hold_out = HoldOut(fraction, seed, topics=frozenset(topics or ()), families=frozenset(families or ()))
    _print_manifest(split_file(file, output, hold_out, columns=_named(columns), force=force), output, as_json)


@app.command()
def merge(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Pairs, as for `unswayed data check`.")],
    output: Output,
    columns: Columns = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Write the pairs of several files into one; an id that two of them have is refused."""
    from unswayed.data.rearrange import merge_files

    _print_manifest(merge_files(files, output, columns=_named(columns), force=force), output, as_json)


def _print_manifest(manifest: dict[str, Any], output: Path, as_json: bool) -> None:
    from unswayed.data.build.manifest import manifest_of

    if as_json:
        print_json(manifest)
        return
    for name, count in manifest.get("merged", {}).items():
        echo(printable(f"{'read':14}{count:>7,} pairs  {name}", newlines=False))
    for part, entry in manifest["files"].items():
        echo(printable(f"{part:14}{entry['rows']:>7,} pairs  {output.with_name(entry['file'])}", newlines=False))
    items = manifest.get("items", manifest["groups"])
    echo(printable(f"{'manifest':14}{items:>7,} items  {manifest_of(output)}", newlines=False))


def _named(columns: list[str] | None) -> dict[str, str]:
    """Return the columns that `--columns` names.

    Raises:
        ConfigError: not of the form `prompt=question`.
    """
    pairs = [column.partition("=") for column in columns or ()]
    if wrong := ["".join(pair) for pair in pairs if not all(pair)]:
        raise ConfigError(f"--columns {wrong[0]}: write it as OURS=THEIRS, e.g. --columns prompt=question")
    return {ours.strip(): theirs for ours, _, theirs in pairs}


@app.command()
def check(
    file: File,
    *,
    against: Annotated[
        str | None,
        typer.Option(metavar="FILE|SUITE", help="Pairs, or a suite by name, that must share nothing with FILE."),
    ] = None,
    model: Annotated[
        str | None, typer.Option(metavar="NAME", help="Also render every pair as this model would see it.")
    ] = None,
    max_new_tokens: Annotated[int, typer.Option(min=0, help="Room for the completion; with --model.")] = 256,
    columns: Columns = None,
    allow_identical: Identical = False,
    as_json: Json = False,
) -> None:
    """Say everything about pairs that can be known without weights. Ends with exit code 3 where anything is wrong."""
    from unswayed.data.check import check_file, require
    from unswayed.sources.hub import is_hub

    # os.path.exists is false for a path that cannot be one.
    other_file = against is not None and (os.path.exists(against) or is_hub(against))
    asked = None if against is None or other_file else _suite(against)
    chat = None
    if model is not None:
        from unswayed.models import load_chat

        _, chat = load_chat(model)
    report = check_file(
        file,
        against=None if asked else against,
        columns=_named(columns),
        allow_identical=allow_identical,
        chat=chat,
        max_new_tokens=max_new_tokens,
    )
    found, shared = report.to_dict(), None
    lines = list(_lines(report))
    if asked is not None:
        from unswayed.data.read import scan_pairs
        from unswayed.evals.compare.contamination import contamination

        scan = scan_pairs(file, allow_identical=True, columns=_named(columns), need_teacher=False)
        shared = contamination(asked.samples, scan.pairs)
        found["contamination"] = {"suite": asked.name, **shared.to_dict()}
        lines.append(f"  {asked.name}: {shared.sentence(asked.unit)}")
    if as_json:
        print_json(found)
    else:
        echo(printable("\n".join(lines)))
    require(report)
    if shared is not None:
        shared.require(f"{file} and {asked.name if asked else against}")


def _suite(name: str) -> Suite:
    """Return the suite that `--against` names.

    Raises:
        ConfigError: it is no suite, and no file either.
    """
    from unswayed.evals.registry import suite, suites

    if name.partition(":")[0] not in suites():
        raise ConfigError(f"--against: no such file, and {no_such('suite', name, suites())}")
    return suite(name)


def _lines(report: Report) -> Iterator[str]:
    unreadable = f", {report.rows - report.pairs:,} unreadable" if report.rows > report.pairs else ""
    yield printable(f"{report.path}: {report.pairs:,} pairs of {report.groups:,} items{unreadable}", newlines=False)
    for name, numbers in (("axes", report.axes), ("families", report.families), ("topics", report.topics)):
        listed = ", ".join(f"{printable(key, newlines=False) or NOT_GIVEN} {count:,}" for key, count in numbers.items())
        if set(numbers) - {""}:
            yield f"  {name}: {listed}"
    yield f"  with a right answer: {report.with_target:,}; with a right hint: {report.right_hints:,}"
    for unit, lengths in (("characters", report.characters), ("tokens", report.tokens)):
        for side, length in lengths.items():
            spread = f"{length.minimum:,} to {length.maximum:,}, median {length.median:,.0f}, 95% up to {length.p95:,}"
            yield f"  {side}: {spread} {unit}"
    if report.overlap:
        shared = report.overlap
        counts = f"{len(shared.groups)} groups, {len(shared.texts)} prompts, {len(shared.grams)} runs of 13 words"
        yield f"  shared with the other file: {counts}"
    for warning in report.warnings:
        yield f"  warning: {warning}"
    if not report.errors:
        yield "  no errors"


@app.command()
def show(
    file: File,
    n: Annotated[int, typer.Option("-n", min=1, help="How many pairs.")] = 3,
    seed: Annotated[int | None, typer.Option(min=0, help="Draw pairs at random; without it, the first ones.")] = None,
    columns: Columns = None,
    allow_identical: Identical = False,
    as_json: Json = False,
) -> None:
    """Show pairs, the two prompts side by side, with what differs marked."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from unswayed.core.seeding import rng
    from unswayed.data.read import read_pairs
    from unswayed.data.rows import format_row

    pairs = read_pairs(file, allow_identical=allow_identical, columns=_named(columns), need_teacher=False)
    places = list(range(len(pairs)))[:n] if seed is None else sorted(rng(seed, "show").permutation(len(pairs))[:n])
    if as_json:
        print_json([format_row(pairs[place]) for place in places])
        return
    console = Console()
    for place in places:
        pair = pairs[place]
        table = Table(title=Text(_title(pair)), title_justify="left", show_lines=True, expand=True)
        for side in ("prompt (student)", "teacher_prompt"):
            table.add_column(side, ratio=1)
        table.add_row(*_marked(pair))
        console.print(table)
    console.print(Text(f"{len(places)} of {len(pairs)} pairs"))


def _title(pair: PromptPair) -> str:
    facts = [pair.id, pair.axis, pair.perturbation, "" if pair.target is None else f"target: {pair.target}"]
    return printable("  ".join(fact for fact in facts if fact), newlines=False)


def _marked(pair: PromptPair) -> tuple[Text, Text]:
    """Return both sides as text in which the words that only one side has are marked."""
    import re
    from difflib import SequenceMatcher

    from rich.text import Text

    sides = [
        [f"{message.role}: {_short(message.content)}\n\n" for message in side]
        for side in (pair.prompt, pair.teacher_prompt)
    ]
    # Word by word; in long conversations message by message, because the time grows with the square of the parts.
    if sum(map(len, sides[0] + sides[1])) <= 10 * LONGEST:
        sides = [re.findall(r"\s+|\w+|[^\w\s]", "".join(side).rstrip()) for side in sides]
    left, right = sides
    # Text, not markup: brackets in the data are only brackets.
    marked = Text(), Text()
    for tag, a, b, c, d in SequenceMatcher(None, left, right, autojunk=False).get_opcodes():
        for text, part in zip(marked, ("".join(left[a:b]), "".join(right[c:d])), strict=True):
            text.append(part, style=None if tag == "equal" else "bold reverse")
    return marked


def _short(text: str) -> str:
    cut = len(text) - LONGEST
    return printable(text if cut <= 0 else f"{text[:LONGEST]} … {cut:,} more characters")


@app.command()
def sources(as_json: Json = False) -> None:
    """List the public sets that suites read: rows, licence, what to be careful about, and where they lie here."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    from unswayed.sources.catalogue import describe
    from unswayed.sources.catalogue import sources as listed

    rows = [describe(one) for one in listed()]
    if as_json:
        print_json(rows)
        return
    table = Table("name", "rows", "licence", "flags", "here", box=box.SIMPLE_HEAD, pad_edge=False)
    for row in rows:
        count = "?" if row["rows"] is None else f"{row['rows']:,}"
        flags = ", ".join(row["flags"])
        table.add_row(row["name"], count, row["licence"], flags, printable(row["state"], newlines=False))
    console = Console()
    Console(width=max(console.width, WIDE)).print(table)


@app.command()
def fetch(
    names: Annotated[
        list[str],
        typer.Argument(metavar="NAME...", help="Sets as `unswayed data sources` lists them, or hub:OWNER/NAME."),
    ],
    as_json: Json = False,
) -> None:
    """Download public sets into the cache, checked against their pinned hashes; what is here already is checked."""
    from unswayed.sources.catalogue import locate, source
    from unswayed.sources.hub import hub_file, is_hub

    places = {}
    for name in [name if is_hub(name) else source(name).name for name in names]:
        places[name] = str(hub_file(name) if is_hub(name) else locate(name))
        if not as_json:
            echo(printable(f"{name}  {places[name]}", newlines=False))
    if as_json:
        print_json(places)
