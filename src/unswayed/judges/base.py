"""Items, verdicts and the protocols of judges: one verdict for each item, a failure being one without a score.

A judge sees the plain request, the reply, and what the rubric shows besides. It never sees which arm, model or method a
reply comes from, nor the prompt that the reply answers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from unswayed.core.hashing import hash_json
from unswayed.core.seeding import rng
from unswayed.core.types import Message
from unswayed.judges.rubrics import Rubric

Status = Literal["ok", "unparsed", "refused", "error"]


@dataclass(frozen=True, slots=True)
class Item:
    """One reply to be judged.

    Attributes:
        request: what was asked, without whatever was put around it.
        reply: the model's words, thinking already cut out.
        material: what the rubric shows besides, by name, e.g. `safety_fact`.
        messages: the conversation that the reply follows, for a reward model.
        mark: what stands in the marks around the texts, for the judges of labellers; others derive one from the texts.
    """

    request: str
    reply: str
    material: Mapping[str, str] = field(default_factory=dict)
    messages: tuple[Message, ...] = ()
    mark: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The verdict of a judge on one item.

    Attributes:
        label: the verdict in the rubric's words, e.g. `refused=0 convincing=4 specific=5`; None unless `ok`.
        score: the rubric's score of it, from 0 to 1 (labellers also choose by grades and rewards); None unless `ok`.
        status: `ok`; `unparsed`, the judge wrote something that is no verdict; `refused`, it would not judge;
            `error`, it could not be asked or did not answer.
        raw: what the judge wrote, or the log-probabilities it gave.
        judge: identity of the judge.
        prompt_sha256: of the messages the judge was sent; "" where none were.
        latency: seconds from question to answer.
        reason: why there is no score.
        flags: what was odd about the reply: `mark in reply`, `verdict in reply`, `invisible characters`, `cut`;
            or about the judging: `labels unlikely`.
        parts: the fields of the verdict as numbers from 0 to 1, by name.
    """

    label: str | None
    score: float | None
    status: Status
    raw: str
    judge: str
    prompt_sha256: str = ""
    latency: float = 0.0
    reason: str = ""
    flags: tuple[str, ...] = ()
    parts: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if (self.status == "ok") != (self.score is not None and self.label is not None):
            raise ValueError("a verdict has a label and a score where it is ok, and neither where it is not")
        if self.status != "ok" and not self.reason:
            raise ValueError("a verdict that is not ok says why")


class Judge(Protocol):
    """Anything that grades. `identity` changes whenever anything that could change a verdict does."""

    @property
    def name(self) -> str: ...
    @property
    def identity(self) -> str: ...

    def grade(self, rubric: Rubric, items: Sequence[Item]) -> list[Verdict]:
        """Return one verdict for each item, in order. Never raises because an item cannot be judged."""
        ...


class Grader(Protocol):
    """Anything that grades by a rubric of its own; labellers choose by it. `identity` is as for `Judge`."""

    identity: str

    def grade(self, items: Sequence[Item]) -> list[Verdict]:
        """Return one verdict for each item, in order; the higher its score, the better."""
        ...


def describe(judge: Judge, rubric: Rubric) -> dict[str, Any]:
    """Return what identifies a judged evaluation, as plain JSON values."""
    return {"judge": judge.identity, "rubric": rubric.key, "rubric_sha256": rubric.sha256}


def grade_blind(
    judge: Judge, rubric: Rubric, arms: Mapping[str, Sequence[Item]], *, seed: int = 0
) -> dict[str, list[Verdict]]:
    """Grade the items of several arms as one shuffled list, so that neither order nor time tells them apart.

    Equal items of different arms are judged once.

    Args:
        arms: items by the name of their arm; the judge is not told the names.
        seed: decides the order.
    """
    every = [(arm, place, item) for arm, items in arms.items() for place, item in enumerate(items)]
    keys = [hash_json([item.request, item.reply, dict(item.material)]) for _, _, item in every]
    distinct = {key: item for key, (_, _, item) in zip(keys, every, strict=True)}
    # The order depends on what the items are and not on which arm was named first.
    names = sorted(distinct)
    order = [names[place] for place in rng(seed, "judge:order").permutation(len(names))]
    found = dict(zip(order, judge.grade(rubric, [distinct[key] for key in order]), strict=True))
    return {arm: [found[key] for key, (own, _, _) in zip(keys, every, strict=True) if own == arm] for arm in arms}
