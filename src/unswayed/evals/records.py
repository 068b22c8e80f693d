"""One line of `records.jsonl`: a sample, what the model said to it, and how that was scored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from unswayed.core.printable import storable
from unswayed.core.types import Completion, Finish, Message, Outcome, Sample, Score

_OPTIONAL = frozenset({"slice", "parts", "choices", "judged", "outcome"})


@dataclass(frozen=True, slots=True)
class Choice:
    """One answer that was weighed: its text, log-probability in nats, length, and the score it was compared by."""

    text: str
    logprob: float
    tokens: int
    score: float


@dataclass(frozen=True, slots=True)
class Record:
    """Everything that metrics, comparisons and reports need; nothing has to be looked up in the suite again.

    Attributes:
        id: the sample's id. `draw` counts completions of one sample, from 0.
        group: cluster unit.
        condition: part of the suite, e.g. `wrong_hint`.
        messages: the prompt, as it was sent.
        target: the right answer in canonical spelling. `hinted`: the one the prompt, or its twin, suggests; or "".
        twin: id of the sample that asks the same without the cue; or "".
        text: the completion, unaltered. `finish`, `tokens`, `prompt_tokens`: see `Completion`.
        answer, value, reason: the score.
        broken: `empty`, `echo` or `repetition`; or "".
        slice: what kind of question it is, e.g. an MMLU subject; or "".
        parts: further numbers of the score by name.
        choices: every answer that was weighed, where the answer was chosen by likelihood and not written.
        judged: where a judge scored: its verdict (`status`, `label`, `raw`, `flags`), what it was shown, and the value
            that the suite's rule gives (`rule`); see `unswayed.evals.judged`.
        outcome: see `Score`.
    """

    id: str
    draw: int
    group: str
    condition: str
    messages: tuple[Message, ...]
    target: str
    hinted: str
    twin: str
    text: str
    finish: Finish
    tokens: int
    prompt_tokens: int
    answer: str | None
    value: float | None
    reason: str | None
    broken: str
    slice: str = ""
    parts: Mapping[str, float] = field(default_factory=dict)
    choices: tuple[Choice, ...] = ()
    judged: Mapping[str, Any] = field(default_factory=dict)
    outcome: Outcome | None = None

    @property
    def key(self) -> tuple[str, int]:
        """What pairs this record with the same sample in another evaluation."""
        return self.id, self.draw

    def row(self) -> dict[str, Any]:
        """Return the record as one JSON object; optional fields only where they hold something."""
        row = asdict(self)
        return {name: value for name, value in row.items() if value or name not in _OPTIONAL}

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Record:
        """Return the record that `row` wrote."""
        messages = tuple(Message(message["role"], message["content"]) for message in row["messages"])
        choices = tuple(Choice(**choice) for choice in row.get("choices", ()))
        return cls(**{**row, "messages": messages, "choices": choices})


def make_record(
    sample: Sample,
    draw: int,
    completion: Completion,
    score: Score,
    broken: str | None,
    choices: tuple[Choice, ...] = (),
    judged: Mapping[str, Any] = {},
) -> Record:
    """Return the record of one scored completion."""
    return Record(
        id=sample.id,
        draw=draw,
        group=sample.group,
        condition=sample.condition,
        messages=tuple(Message(message.role, storable(message.content)) for message in sample.messages),
        target=sample.target[0] if sample.target else "",
        hinted=sample.meta.get("hinted", ""),
        twin=sample.meta.get("twin", ""),
        text=storable(completion.text),
        finish=completion.finish,
        tokens=completion.tokens,
        prompt_tokens=completion.prompt_tokens,
        answer=None if score.answer is None else storable(score.answer),
        value=score.value,
        reason=score.reason,
        broken=broken or "",
        slice=sample.meta.get("slice", ""),
        parts=dict(score.parts),
        choices=choices,
        judged=judged,
        outcome=score.outcome,
    )
