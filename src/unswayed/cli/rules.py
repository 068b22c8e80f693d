"""`unswayed rules`: the scoring rules, their versions and their measured error."""

from __future__ import annotations

from unswayed.cli.options import Json, echo, print_json


def rules(as_json: Json = False) -> None:
    """List the scoring rules with their versions and measured error (see docs/reading.md).

    Example: unswayed rules
    """
    from inspect import getdoc

    from unswayed.evals.by_name import named
    from unswayed.evals.scoring.measured import MEASURED

    rows = [
        {
            "name": name, "rule": full, "says": (getdoc(score) or "").split("\n")[0],
            "measured": MEASURED[full]._asdict() if full in MEASURED else None,
        }
        for name, (full, score) in named().items()
    ]  # fmt: skip
    if as_json:
        print_json(rows)
        return
    echo(f"{'rule':<18}{'sensitivity':>12}{'specificity':>13}{'n':>12}  measured on")
    for row in rows:
        found = MEASURED.get(str(row["rule"]))
        cells = ("-", "-", "-", "not measured") if found is None else (
            f"{found.sensitivity:.3f}", f"{found.specificity:.3f}", f"{found.positives} + {found.negatives}", found.on
        )  # fmt: skip
        echo(f"{row['rule']:<18}{cells[0]:>12}{cells[1]:>13}{cells[2]:>12}  {cells[3]}")
    echo("\nunswayed score FILE --rule NAME reads completions by one of them.")
