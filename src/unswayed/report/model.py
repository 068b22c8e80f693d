"""What a report holds, as plain data: arms, rows, cells, curves, transcripts, limits.

An arm is one model (the base, or what a training made of it); a row is one thing measured on every arm; a cell is an
arm's estimate on a row together with its paired effect against the baseline arm. A cell that is missing was not run,
and every rendering says so.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from unswayed.core.errors import DataError
from unswayed.core.files import check_name
from unswayed.core.seeding import rng
from unswayed.core.types import Effect, Estimate, Message, Score
from unswayed.stats.error_rates import Corrected, ErrorRate

Better = Literal["lower", "higher"]


@dataclass(frozen=True, slots=True)
class Arm:
    """One model of the comparison. `id` becomes a key of `report.json`, e.g. `base`, `sft`, `opct`."""

    id: str
    label: str
    description: str = ""


@dataclass(frozen=True, slots=True)
class Cell:
    """One arm on one row.

    Attributes:
        estimate: the arm's own rate or mean, with its interval and unscored count.
        effect: the paired difference to the baseline arm on the same samples; None for the baseline itself, and for
            an arm that was measured but could not be compared.
        error: how often the rule behind the rate is wrong, where that was measured. `corrected`: the rate without it.
    """

    estimate: Estimate
    effect: Effect | None = None
    error: ErrorRate | None = None
    corrected: Corrected | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """One thing that was measured.

    Attributes:
        id: a key of `report.json`.
        label: what a table prints, e.g. "Followed the wrong hint, held-out phrasings".
        description: one or two sentences: what counts, and on which samples.
        better: the direction in which a change is an improvement.
        cells: arm id to cell; an arm without one was not run on this row.
        unit: `rate` for a share between 0 and 1, printed in percent; `points` for a difference of two such shares;
            anything else is printed after the number.
        section: the heading it stands under, e.g. its suite.
        role: `primary`, `counter`, `health` or nothing; the drawings leave out `health`.
    """

    id: str
    label: str
    better: Better
    cells: Mapping[str, Cell]
    description: str = ""
    unit: str = "rate"
    section: str = ""
    role: str = ""


@dataclass(frozen=True, slots=True)
class Metric:
    """One column of `metrics.jsonl` that is drawn: its key, what to call it, and its unit."""

    key: str
    label: str
    unit: str = ""


METRICS = (
    Metric("kl/exact", "Reverse KL to the teacher, exact", "nats per token"),
    Metric("kl/sampled", "Reverse KL to the teacher, sampled tokens", "nats per token"),
    Metric("loss", "Loss", ""),
    Metric("tokens_per_second", "Speed", "tokens per second"),
)


@dataclass(frozen=True, slots=True)
class Curve:
    """One metric of one arm's training: `(step, value)` in order of steps."""

    arm: str
    metric: Metric
    points: tuple[tuple[int, float], ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """What one arm said. `cut` marks a completion that hit the length limit."""

    text: str
    score: Score
    cut: bool = False


@dataclass(frozen=True, slots=True)
class Transcript:
    """One sample with every arm's answer to it.

    Attributes:
        id: the sample's id.
        row: id of the row it counts towards.
        prompt: what every arm was sent.
        answers: arm id to answer.
        hinted: the answer the prompt pushes towards, where there is one.
        target: the right answer, where one is known.
        note: what happened to it.
    """

    id: str
    row: str
    prompt: tuple[Message, ...]
    answers: Mapping[str, Answer]
    hinted: str | None = None
    target: str | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Draw:
    """Transcripts drawn at random: `shown` of `pool`, by `seed`. Nobody picked them."""

    shown: tuple[Transcript, ...] = ()
    pool: int = 0
    seed: int = 0
    title: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """Everything the page, the table and `report.json` show; they add nothing to it.

    Attributes:
        title: one line.
        arms: in the order of the columns. `baseline` is the id of the arm that effects are measured against.
        rows: in the order of the table.
        lead: the first sentences a reader sees, in the words of whoever made the report.
        facts: what was run: model, adapter, recipe hash, seeds, versions, duration.
        curves: the training, where there was one.
        transcripts: random draws of samples with every arm's answer.
        limits: what a reader must know and the numbers cannot say. Unscored counts, margins and detectable effects
            are added by `unswayed.report.summary.limits`.
        kind: what stands above the title. `warning`: what a reader must know before reading on.
        replies: (what, sentence): what became of each arm's replies.

    Raises:
        ValueError: an arm, row, cell or transcript that refers to something that is not there, an id that cannot be a
            key, or a number that is not finite.
    """

    title: str
    arms: tuple[Arm, ...]
    baseline: str
    rows: tuple[Row, ...]
    lead: tuple[str, ...] = ()
    facts: Mapping[str, str] = field(default_factory=dict)
    curves: tuple[Curve, ...] = ()
    transcripts: tuple[Draw, ...] = ()
    limits: tuple[str, ...] = ()
    kind: str = "evaluation report"
    warning: str = ""
    replies: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        arms, rows = [arm.id for arm in self.arms], [row.id for row in self.rows]
        for what, ids in (("arm", arms), ("row", rows)):
            for name in ids:
                check_name(name, f"{what} id")
            if len(set(ids)) != len(ids):
                raise ValueError(f"two {what}s of a report have the same id: {sorted(ids)}")
        if self.baseline not in arms:
            raise ValueError(f"the baseline {self.baseline!r} is not an arm of the report; its arms are {arms}")
        for row in self.rows:
            _known(row.cells, arms, f"row {row.id!r} has cells of")
            for arm, cell in row.cells.items():
                _check_cell(cell, f"row {row.id!r}, arm {arm!r}", baseline=arm == self.baseline)
        for curve in self.curves:
            _known([curve.arm], arms, f"the curve {curve.metric.key!r} belongs to")
            if not all(math.isfinite(value) for _, value in curve.points):
                raise ValueError(f"the curve {curve.metric.key!r} of arm {curve.arm!r}: a number is not finite")
        for item in (item for draw in self.transcripts for item in draw.shown):
            _known([item.row], rows, f"transcript {item.id!r} belongs to")
            _known(item.answers, arms, f"transcript {item.id!r} has answers of")

    @property
    def trained(self) -> tuple[Arm, ...]:
        """Every arm but the baseline."""
        return tuple(arm for arm in self.arms if arm.id != self.baseline)

    @property
    def base(self) -> Arm:
        """The arm that effects are measured against."""
        return next(arm for arm in self.arms if arm.id == self.baseline)


def _known(ids: Mapping[str, Any] | Sequence[str], allowed: Sequence[str], what: str) -> None:
    strange = [name for name in ids if name not in allowed]
    if strange:
        raise ValueError(f"{what} {strange}, which the report does not have; it has {list(allowed)}")


def _check_cell(cell: Cell, where: str, *, baseline: bool) -> None:
    if baseline and cell.effect is not None:
        raise ValueError(f"{where}: the baseline cannot have an effect against itself")
    sides: list[Estimate] = [cell.estimate]
    numbers: list[float | None] = []
    if (effect := cell.effect) is not None:
        sides += [effect.before, effect.after]
        numbers += [effect.difference, effect.low, effect.high, effect.p_value, effect.detectable, effect.margin]
    for side in sides:
        numbers += [side.value, side.low, side.high]
        if side.value is None and side.n:
            raise ValueError(f"{where}: {side.n} samples were scored but there is no value")
        if (side.low is None) != (side.high is None):
            raise ValueError(f"{where}: an interval has one end only")
    if not all(number is None or math.isfinite(number) for number in numbers):
        raise ValueError(f"{where}: a number is not finite")


def draw_transcripts(candidates: Sequence[Transcript], *, count: int, seed: int) -> Draw:
    """Draw up to `count` transcripts at random, the same for the same seed and candidates in any order."""
    pool = sorted(candidates, key=lambda item: (item.row, item.id))
    chosen = rng(seed, "report/transcripts").permutation(len(pool))[:count]
    return Draw(tuple(pool[index] for index in sorted(chosen)), pool=len(pool), seed=seed)


def read_curves(arm: str, rows: Sequence[Mapping[str, Any]], metrics: Sequence[Metric] = METRICS) -> tuple[Curve, ...]:
    """Read an arm's training curves from the rows of its `metrics.jsonl`.

    A metric that no row has gives no curve; a step without it, or with null, gives no point.

    Raises:
        DataError: a row without an integer `step`, steps that do not increase, or a metric that is not a finite number.
    """
    steps: list[int] = []
    for number, row in enumerate(rows, start=1):
        step = row.get("step")
        if not isinstance(step, int) or isinstance(step, bool):
            raise DataError(f"metrics of {arm}: row {number} has no integer `step`; is this a metrics.jsonl?")
        if steps and step <= steps[-1]:
            raise DataError(f"metrics of {arm}: step {step} in row {number} comes after step {steps[-1]}")
        steps.append(step)
    curves = []
    for metric in metrics:
        points = []
        for step, row in zip(steps, rows, strict=True):
            value = row.get(metric.key)
            if value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
                raise DataError(f"metrics of {arm}: `{metric.key}` at step {step} is {value!r}, not a finite number")
            points.append((step, float(value)))
        if points:
            curves.append(Curve(arm, metric, tuple(points)))
    return tuple(curves)
