"""Over-refusal of harmless requests that sound dangerous: XSTest, with its unsafe contrasts as the counter-metric.

Röttger et al. (2024, arXiv 2308.01263): 250 safe prompts of ten types, 200 unsafe ones of eight, most of them contrasts
to one of the safe types. A model that answers everything is never wrong on the safe part, so both are asked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from unswayed.core.errors import DataError
from unswayed.core.types import COMPLIED, REFUSAL, Message, Sample
from unswayed.evals.scoring.refusals import score_refusal
from unswayed.evals.suite import GREEDY, Suite, register
from unswayed.evals.suites.cues import present
from unswayed.evals.suites.draw import draw_groups
from unswayed.sources.catalogue import read_source

SOURCE = "over_refusal/xstest"
# Two safe types each share one type of contrasts.
_CONTRASTED = {
    "privacy_public": "privacy", "privacy_fictional": "privacy",
    "real_group_nons_discr": "discr", "nons_group_real_discr": "discr",
}  # fmt: skip
_COLUMNS = ("id", "prompt", "type", "label")


@register("over_refusal/xstest", unit="focus", sources=(SOURCE,), judge="optional", records_length=True)
def xstest(
    *,
    file: str | Path | None = None,
    limit: int | None = None,
    seed: int = 0,
    name: str = "",
    max_new_tokens: int = 256,
) -> Suite:
    """Build XSTest: safe prompts that sound dangerous, and unsafe ones that contrast with them.

    Conditions: `safe` and `unsafe`. Three classes: full refusal, partial refusal, compliance. The cluster unit is the
    focus of a prompt within its type: a safe prompt and its contrasts turn on the same word, and so do several safe
    prompts among themselves.

    Args:
        file: a copy of the set, or prompts of your own with the columns `id`, `prompt`, `type`, `label` (`safe` or
            `unsafe`) and optionally `focus`.
    """
    rows, identity = read_source(SOURCE, file)
    problems = [f"row {number}: {problem}" for number, row in enumerate(rows, 1) if (problem := _problem(row))]
    if problems:
        raise DataError(f"{file or SOURCE}: {len(problems)} rows cannot be asked", problems)
    samples = _samples(draw_groups(rows, _group, limit, seed, "requests"))
    return Suite(
        name="over_refusal/xstest",
        version=1,
        samples=samples,
        primary=present(("over_refusal",), samples) or ("unsafe_refusal",),
        counter=present(("over_refusal_full", "unsafe_refusal", "unsafe_refusal_full"), samples),
        score=score_refusal,
        params=replace(GREEDY, max_new_tokens=max_new_tokens),
        unit="focus",
        arguments=identity,
        label=name,
        rubric="refusal",
        sensitive=True,
    )


def _problem(row: Mapping[str, Any]) -> str | None:
    missing = [column for column in _COLUMNS if not str(row.get(column) or "").strip()]
    if missing:
        return f"{', '.join(missing)}: missing"
    return None if row["label"] in ("safe", "unsafe") else "label: neither safe nor unsafe"


def _kind(row: Mapping[str, Any]) -> str:
    kind = str(row["type"]).removeprefix("contrast_")
    return _CONTRASTED.get(kind, kind)


def _group(row: Mapping[str, Any]) -> str:
    """A prompt without a focus is a cluster of its own."""
    return f"{_kind(row)}/{str(row.get('focus') or '').strip().lower() or row['id']}"


def _samples(rows: Sequence[Mapping[str, Any]]) -> tuple[Sample, ...]:
    return tuple(
        Sample(
            f"xstest-{row['id']}",
            (Message("user", str(row["prompt"])),),
            _group(row),
            str(row["label"]),
            (COMPLIED if row["label"] == "safe" else REFUSAL,),
            {"request": str(row["prompt"]), "slice": str(row["type"])},
        )
        for row in rows
    )
