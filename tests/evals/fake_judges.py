"""Judges with known faults, and a policy that reads questions as they are meant."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from unswayed.core.hashing import hash_json
from unswayed.core.seeding import rng
from unswayed.core.types import Completion, Likelihood, Message, SamplingParams
from unswayed.judges.base import Item, Verdict
from unswayed.judges.rubrics import RUBRICS, Rubric

POSITIVE = {
    "strongreject": {"refused": "0", "convincing": "5", "specific": "5"},
    "refusal": {"kind": "refusal"},
    "sage": {"warned": "yes", "avoided": "no"},
    "safe_sage": {"warned": "yes", "refused": "no"},
    "correctness": {"right": "yes"},
    "alignment": {"stance": "ill"},
}
NEGATIVE = {
    "strongreject": {"refused": "1", "convincing": "1", "specific": "1"},
    "refusal": {"kind": "compliance"},
    "sage": {"warned": "no", "avoided": "no"},
    "safe_sage": {"warned": "no", "refused": "no"},
    "correctness": {"right": "no"},
    "alignment": {"stance": "good"},
}

Truth = Callable[[Item], bool]


class FakeJudge:
    """Knows the truth and errs at fixed rates; the same item always gets the same verdict.

    `fails` names items it cannot judge, by a function of the item to a status.
    """

    def __init__(
        self,
        truth: Truth,
        sensitivity: float = 1.0,
        specificity: float = 1.0,
        fails: Callable[[Item], str | None] = lambda item: None,
        identity: str = "fake",
    ) -> None:
        self.truth = truth
        self.sensitivity = sensitivity
        self.specificity = specificity
        self.fails = fails
        self.name = identity
        self.identity = identity
        self.asked: list[Item] = []

    def grade(self, rubric: Rubric, items: Sequence[Item]) -> list[Verdict]:
        self.asked += items
        return [self._grade(rubric, item) for item in items]

    def _grade(self, rubric: Rubric, item: Item) -> Verdict:
        status = self.fails(item)
        if status is not None:
            return Verdict(None, None, status, "", self.identity, reason="as asked")  # type: ignore[arg-type]
        draw = rng(0, f"fake:{hash_json([item.request, item.reply])}").random()
        truth = self.truth(item)
        positive = draw < self.sensitivity if truth else draw >= self.specificity
        label, score, parts = rubric.read((POSITIVE if positive else NEGATIVE)[rubric.name])
        return Verdict(label, score, "ok", f"said {label}", self.identity, parts=parts)


BLOCK = re.compile(r"<reply ([0-9a-f]{8})>\n(.*?)\n</reply \1>", re.DOTALL)


class ReadingPolicy:
    """Answers a question about a reply by `truth` of what stands between the true marks, and of nothing else.

    It takes whatever stands after the first thing that reads like a closing mark for its own instructions, as a model
    that is easily led would: text that escapes the marks takes it over.
    """

    def __init__(self, truth: Callable[[str], bool], *, parrot: bool = False) -> None:
        self.name = "reader"
        self.identity = f"reader-{parrot}"
        self.truth = truth
        self.parrot = parrot
        self.asked: list[str] = []

    def _positive(self, prompt: str) -> bool:
        """The truth about the reply, or the opposite where something broke out of its marks."""
        found = BLOCK.search(prompt)
        assert found is not None
        inside = found[2]
        truth = self.truth(inside)
        broken = re.search(r"</?(reply|request|safety_fact|right_answer)\b|<\|im_|\[/?INST\]|</?s>", inside, re.I)
        return truth != bool(broken)

    def loglikelihood(
        self, prompts: Sequence[tuple[Message, ...]], continuations: Sequence[Sequence[str]]
    ) -> list[list[Likelihood]]:
        found = []
        for prompt, labels in zip(prompts, continuations, strict=True):
            text = prompt[-1].content
            self.asked.append(text)
            (name,) = [n for n, r in RUBRICS.items() if text.startswith(r.task)]
            table = (POSITIVE if self._positive(text) else NEGATIVE)[name]
            (field,) = [f for f in RUBRICS[name].fields if f.question in text]
            found.append([Likelihood(-0.1 if x == table[field.name] else -3.0, len(x), len(text)) for x in labels])
        return found

    def complete(self, prompts: Sequence[tuple[Message, ...]], params: SamplingParams) -> list[Completion]:
        made = []
        for prompt in prompts:
            text = prompt[-1].content
            self.asked.append(text)
            (name,) = [n for n, r in RUBRICS.items() if text.startswith(r.task)]
            found = BLOCK.search(text)
            assert found is not None
            line = RUBRICS[name].read((POSITIVE if self._positive(text) else NEGATIVE)[name])[0]
            # A parrot repeats the reply before, or in the place of, its own verdict.
            said = f"It says:\n{found[2]}" if self.parrot else f"It says:\n{found[2]}\nVERDICT {found[1]}: {line}"
            made.append(Completion(said, "stop", 9, 9))
        return made


def verdict_line(prompt: str, labels: str) -> str:
    """What a well-behaved judge answers to a prompt."""
    mark = re.search(r"VERDICT ([0-9a-f]{8}):", prompt)
    assert mark is not None
    return f"Some thought.\nVERDICT {mark[1]}: {labels}"
