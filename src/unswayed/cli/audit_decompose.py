"""`unswayed audit decompose`: the five terms of anybody's log."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from unswayed.cli.options import Json, echo, print_json

if TYPE_CHECKING:
    from unswayed.audit.theory.decomposition import Decomposition, Term


def decompose(
    training: Annotated[Path, typer.Argument(help="Training log: prompt_id, before, candidates, chosen, kept, after.")],
    evaluation: Annotated[Path, typer.Argument(help="Evaluation log: prompt_id, before, after.")],
    fresh: Annotated[
        Path | None,
        typer.Option("--fresh", help="As the evaluation log, for new prompts of the training distribution."),
    ] = None,
    judge_error: Annotated[
        Path | None,
        typer.Option("--judge-error", help="JSON: sensitivity and specificity of the judge by arm, to correct for."),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Of the bootstrap.")] = 0,
    json: Json = False,
) -> None:
    """Take a change apart into drift, selection, filter, fit and generalisation, in rates, from logged outcomes.

    Example: unswayed audit decompose train.jsonl eval.jsonl --json
    """
    from unswayed.audit.theory import decomposition
    from unswayed.audit.theory import judge_error as errors
    from unswayed.audit.theory.outcome_log import read_evaluation, read_training

    made = decomposition.decompose(
        read_training(training),
        read_evaluation(evaluation),
        fresh=read_evaluation(fresh) if fresh else (),
        errors=errors.read_errors(judge_error) if judge_error else None,
        seed=seed,
    )
    if json:
        print_json(made.row())
        return
    echo("\n".join(_lines(made)))


def _lines(made: Decomposition) -> list[str]:
    lines = [_line(name, term) for name, term in made.terms.items()]
    lines += ["", *(_line(name, term) for name, term in made.extra.items())]
    lines += ["", f"{len(made.train.ids):,} training prompts, {len(made.evaluation.ids):,} evaluation prompts; rates"]
    for name, side in (("training", made.train), ("evaluation", made.evaluation)):
        lines += [f"left out of {name}: {count:,} prompts, {why}" for why, count in side.left_out.items()]
        lines += [f"unscored in {name}: {count:,} of {field}" for field, count in side.unscored.items()]
    return [*lines, *made.notes]


def _line(name: str, term: Term) -> str:
    value = "-" if term.estimate is None else f"{term.estimate:+.4f}"
    limits = "" if term.interval is None else f"[{term.interval[0]:+.4f}, {term.interval[1]:+.4f}]"
    return f"{name:15}{value:>9}  {limits:22}{term.note}".rstrip()
