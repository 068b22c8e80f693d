"""`unswayed label`: let a model write the targets that `sft` trains on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from unswayed.cli.options import DryRun, Json, Trust, echo, print_json, shows_progress


def label(
    recipe: Annotated[Path, typer.Argument(help="A label recipe in TOML.", metavar="RECIPE.toml")],
    out: Annotated[Path, typer.Option("-o", "--out", help="Pairs file to write.", metavar="LABELS.jsonl")],
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", help="Change a field, e.g. --set labeller.k=8. Repeatable.", metavar="A.B=C"),
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Delete what an earlier labelling left there.")] = False,
    dry_run: DryRun = False,
    trust_remote_code: Trust = False,
    json: Json = False,
) -> None:
    """Label pairs with a model's own completions. The same command goes on after an interruption.

    Example: unswayed label recipes/labels/self_confidence.toml -o labels.jsonl
    """
    from unswayed.config.labels import LabelRecipe

    loaded = LabelRecipe.load(recipe, set=set_ or ())
    from unswayed.labels import run as labelling

    if dry_run:
        prepared = labelling.prepare_labels(loaded, trust_remote_code=trust_remote_code)
        plan = {"labeller": loaded.labeller.name, "model": loaded.model.id, "pairs": len(prepared.pairs)}
        if json:
            print_json(plan)
        else:
            echo("\n".join(f"{key:10} {value}" for key, value in plan.items()))
        return
    shown = shows_progress()
    done = labelling.label(loaded, out, fresh=fresh, progress=shown, trust_remote_code=trust_remote_code)
    if json:
        print_json({"path": str(done.path), "records": str(done.records), **done.summary})
        return
    echo("\n".join(_lines(done.path, done.records, done.summary)))


def _lines(path: Path, records: Path, summary: dict[str, Any]) -> list[str]:
    lines = [f"{summary['labels']} of {summary['pairs']} pairs labelled by {summary['labeller']}"]
    lines += [f"  dropped {count:6}  {reason}" for reason, count in summary["dropped"].items()]
    lines += [f"  unscored {count:5}  {reason}" for reason, count in summary["unscored"].items()]
    lines += [
        f"tokens     {summary['chosen_tokens']:.1f} a label, {summary['candidate_tokens']:.1f} a candidate; "
        f"{summary['labels_truncated']} labels cut at the length limit",
        f"ties       decided {summary['tied']:.0%} of the labels",
        f"labels     {path}",
        f"records    {records / 'candidates.jsonl'}",
    ]
    return lines
