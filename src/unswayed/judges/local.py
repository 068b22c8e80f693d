"""A causal model as a judge, on this machine, by the log-probability of its labels or by a verdict that it writes.

    label of a field = argmax over its labels of log p(label | question about the field)

So there is always a verdict, nothing has to be parsed, and a reply can move a verdict only by its content, never by
what the judge could be made to write. A model whose template opens a span of thinking, or one that should reason first,
can be asked to write a verdict line instead (`local-written:MODEL`).
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Sequence
from typing import Any, cast

from unswayed.core.errors import ConfigError, DataError
from unswayed.core.hashing import hash_json
from unswayed.core.types import ChoicePolicy, Message, SamplingParams, TextPolicy
from unswayed.judges.base import Item, Status, Verdict
from unswayed.judges.reading import Asked, written
from unswayed.judges.rubrics import Rubric
from unswayed.judges.wrap import VERSION, Question, question

WRITTEN_TOKENS = 512
UNLIKELY = 0.01
"""Where all labels of a field together are less likely than this, the model would have answered something else."""


class LocalJudge:
    """Grades with a policy.

    Args:
        policy: any policy; by log-probability it needs `loglikelihood`.
        written: let it write a verdict line instead.

    Raises:
        ConfigError: the policy knows no log-likelihoods.
    """

    def __init__(self, policy: TextPolicy, *, written: bool = False) -> None:
        if not written and not callable(getattr(policy, "loglikelihood", None)):
            raise ConfigError(
                f"{policy.name} gives no log-likelihoods; let it write verdicts: --judge local-written:{policy.name}"
            )
        self.policy = policy
        self.written = written
        self.name = f"local{'-written' if written else ''}:{policy.name}"
        # A policy that renders says which strings its tokenizer would read as more than text, and how much fits.
        self.chat: Any = getattr(policy, "chat", None)

    @property
    def identity(self) -> str:
        """Hash over the model, the way it is asked and the words around what is judged."""
        how = ["written", WRITTEN_TOKENS] if self.written else ["weighed"]
        return f"local:{hash_json([VERSION, how, self.policy.identity])}"

    def grade(self, rubric: Rubric, items: Sequence[Item]) -> list[Verdict]:
        """See `Judge.grade`. Items whose question does not fit into the model's context are errors, never cut further.

        Raises:
            ConfigError: the chat template opens a span of thinking (by log-probability).
        """
        forbidden = self.chat.special_tokens if self.chat is not None else ()
        if self.written:
            return self.write([written(rubric, item, forbidden) for item in items], WRITTEN_TOKENS)
        return self._weigh(rubric, [question(rubric, item, forbidden) for item in items])

    def _weigh(self, rubric: Rubric, questions: Sequence[Question]) -> list[Verdict]:
        asked = [[one.to_choose(field) for field in rubric.fields] for one in questions]
        problems = [next(filter(None, (self._problem(prompt, 8) for prompt in own)), None) for own in asked]
        fit = [place for place, problem in enumerate(problems) if problem is None]
        started = time.monotonic()
        found = cast(ChoicePolicy, self.policy).loglikelihood(
            [prompt for place in fit for prompt in asked[place]],
            [list(field.labels) for _ in fit for field in rubric.fields],
        )
        latency = (time.monotonic() - started) / max(len(fit), 1)
        each = iter(found)
        weighed = {place: [[one.logprob for one in next(each)] for _ in rubric.fields] for place in fit}
        verdicts = []
        for place, one in enumerate(questions):
            sent = hash_json([[message.content for message in prompt] for prompt in asked[place]])
            problem = problems[place]
            if problem is not None:
                verdicts.append(self._failed(one, sent, "error", problem))
            else:
                verdicts.append(self._chosen(rubric, one, weighed[place], sent, latency))
        return verdicts

    def _chosen(self, rubric: Rubric, one: Question, logprobs: list[list[float]], sent: str, latency: float) -> Verdict:
        table = {
            field.name: dict(zip(field.labels, own, strict=True))
            for field, own in zip(rubric.fields, logprobs, strict=True)
        }
        raw = json.dumps(
            {name: {label: round(value, 4) for label, value in own.items()} for name, own in table.items()}
        )
        if not all(math.isfinite(value) for own in logprobs for value in own):
            return self._failed(one, sent, "error", "a log-probability is not finite", latency)
        tied = [name for name, own in table.items() if sorted(own.values())[-2:] == [max(own.values())] * 2]
        if tied:
            return self._failed(one, sent, "unparsed", f"two labels of {tied[0]} are equally likely", latency, raw)
        labels = {name: max(own, key=lambda label, own=own: own[label]) for name, own in table.items()}  # type: ignore[misc]
        label, score, parts = rubric.read(labels)
        unlikely = any(math.fsum(map(math.exp, own)) < UNLIKELY for own in logprobs)
        flags = (*one.flags, "labels unlikely") if unlikely else one.flags
        return Verdict(label, score, "ok", raw, self.identity, sent, latency, flags=flags, parts=parts)

    def write(self, asked: Sequence[Asked], tokens: int) -> list[Verdict]:
        """Return the verdicts that the model writes, greedily, in at most `tokens` tokens each."""
        problems = [self._problem(one.messages, tokens, one.guarded) for one in asked]
        fit = [one for one, problem in zip(asked, problems, strict=True) if problem is None]
        params = SamplingParams(temperature=0.0, max_new_tokens=tokens)
        started = time.monotonic()
        said = iter(self.policy.complete([one.messages for one in fit], params))
        latency = (time.monotonic() - started) / max(len(fit), 1)
        return [
            one.verdict(self.identity, failed=("error", problem))
            if problem is not None
            else one.verdict(self.identity, next(said).text, latency)
            for one, problem in zip(asked, problems, strict=True)
        ]

    def _failed(
        self, one: Question, sent: str, status: Status, reason: str, latency: float = 0.0, raw: str = ""
    ) -> Verdict:
        return Verdict(None, None, status, raw, self.identity, sent, latency, reason, one.flags)

    def _problem(self, prompt: tuple[Message, ...], room: int, guarded: bool = False) -> str | None:
        """Return why a question cannot be asked, or None."""
        if self.chat is None:
            return None
        text = "".join(message.content for message in prompt)
        if guarded and any(name in text for name in self.chat.special_tokens):
            return "a text to be judged holds special tokens"
        try:
            length = len(self.chat.render(prompt))
        except DataError as error:
            return f"the judge's chat template refuses the question: {error}"
        limit = self.chat.context_length
        if limit is not None and length + room > limit:
            return "the question does not fit into the context"
        return None
