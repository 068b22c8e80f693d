"""One finished evaluation as a page: its rates with their intervals, what could not be scored, and a few replies."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from unswayed._version import __version__
from unswayed.core.files import remove_leftovers, write_atomic
from unswayed.evals.compare.comparison import arm_counts
from unswayed.evals.compare.flips import redact
from unswayed.evals.metrics import metric
from unswayed.report.comparison import answer_of, arm_line, cell_of, row_of
from unswayed.report.html import page_of
from unswayed.report.model import Arm, Report, Transcript, draw_transcripts

if TYPE_CHECKING:
    from unswayed.evals.results import Result

PAGE = "results.html"
SHOWN = 6


def write_results_page(folder: Path, result: Result) -> Path:
    """Write `results.html` beside `results.json`, whole or not at all, and return its path."""
    remove_leftovers(folder / PAGE)
    write_atomic(folder / PAGE, page_of(report_of(result), "results.json"))
    return folder / PAGE


def report_of(result: Result, *, seed: int = 0) -> Report:
    """Return an evaluation as a report with one arm. Texts of a sensitive suite are replaced by their hashes.

    Args:
        result: what was measured.
        seed: decides which replies are shown.
    """
    arm = "model"
    rows = tuple(
        row_of(result, name, {arm: cell_of(result.suite, name, estimate)}, id_=name)
        for name, estimate in result.estimates.items()
    )
    records = [redact(record) if result.sensitive else record for record in result.records.values()]
    transcripts = [
        Transcript(
            id=record.id,
            row=next(
                name
                for name in result.estimates
                if record.condition in metric(name).conditions or not metric(name).conditions
            ),
            prompt=record.messages,
            answers={arm: answer_of(record)},
            hinted=record.hinted or None,
            target=record.target or None,
        )
        for record in records
    ]
    suite = result.suite
    limits = [
        "One model on one suite; “unswayed compare” says what changed in training.",
        f"A cluster is a {result.about['unit']}: its samples are not independent, and no interval treats them so.",
    ]
    if result.sensitive:
        limits.append("The suite is marked as sensitive: texts are left out, and their SHA-256 stands in their place.")
    return Report(
        title=f"{result.policy} on {result.title}",
        arms=(Arm(arm, result.policy),),
        baseline=arm,
        rows=rows,
        facts={
            "Suite": f"{suite['name']}, version {suite['version']}, samples SHA-256 {suite['samples_sha256']}",
            "Arguments": ", ".join(f"{name} = {value}" for name, value in suite["arguments"].items()) or "none",
            "Decoding": ", ".join(f"{name} {value}" for name, value in suite["sampling"].items()),
            "Model identity": str(result.about["identity"]["policy"]),
            "Plan": str((result.about.get("plan") or {}).get("sha256") or "none declared"),
            "unswayed": __version__,
        },
        transcripts=(draw_transcripts(transcripts, count=SHOWN, seed=seed),),
        limits=tuple(limits),
        replies=((result.policy, arm_line(arm_counts(result))),),
    )
