"""`unswayed score`: completions from a file, read by a named rule."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from unswayed.cli.options import Json, echo, print_json


def score(
    file: Annotated[Path, typer.Argument(help="JSONL with completion, and prompt, target, options, finish, id.")],
    rule: Annotated[str, typer.Option("--rule", help="A rule of `unswayed rules`, e.g. number, letter, refusal.")],
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Write one line of JSON a row, in order.")] = None,
    as_json: Json = False,
) -> None:
    """Score completions from a file by a rule, without any model.

    Example: unswayed score replies.jsonl --rule number -o scores.jsonl
    """
    from collections import Counter

    from unswayed.core.errors import DataError
    from unswayed.core.files import write_jsonl
    from unswayed.core.printable import printable
    from unswayed.core.tables import scan_table
    from unswayed.evals.by_name import find, row_problems, verdict

    full, scores = find(rule)
    short = full.partition("/")[0]
    rows, problems = [], []
    for where, row in scan_table(file):
        wrong = [row] if isinstance(row, str) else row_problems(row, short)
        problems += [f"{where}: {text}" for text in wrong]
        rows.append(row)
    if problems or not rows:
        raise DataError(f"{file}: rows that cannot be scored", problems or ["it has no rows"])
    found = [verdict(row, short, scores, place) for place, row in enumerate(rows) if isinstance(row, dict)]
    if out is not None:
        write_jsonl(out, found)
    counts = Counter(row["outcome"] for row in found)
    scored = [row["value"] for row in found if row["value"] is not None]
    rate = sum(scored) / len(scored) if scored else None
    if as_json:
        print_json({"rule": full, "rows": len(found), "outcomes": dict(counts), "rate": rate, "scores": found})
        return
    echo(f"rule        {full}\nrows        {len(found):,}")
    for outcome, count in counts.most_common():
        echo(printable(f"{outcome:<12}{count:,}  {count / len(found):.1%}"))
    echo(f"mean value  {'-' if rate is None else f'{rate:.3f}'} of {len(scored):,} scored")
    for why, count in Counter(row["why"] for row in found if row["value"] is None).most_common():
        echo(printable(f"  unscored: {why}: {count:,}"))
    if out is not None:
        echo(printable(f"written to  {out}"))
