"""A causal model that says what a test wants, through the real tokenizer and template."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from unswayed.chat.render import Chat
from unswayed.core.types import Finish, Message, PromptPair, SamplingParams, Score
from unswayed.engine.decode.sampler import Draw
from unswayed.labels.base import Context, Judge, Scorer

Reply = Callable[[str, SamplingParams, int], str | Draw]
STOP = 2


class Scripted:
    """`reply(prompt text, params, number of the draw)` is the whole model; every question asked is kept in `asked`."""

    def __init__(self, folder: Path, reply: Reply, identity: str = "scripted") -> None:
        self.chat = Chat.load(folder)
        self.reply = reply
        self.identity = identity
        self.asked: list[tuple[str, SamplingParams, list[int]]] = []

    def draw(
        self, ids: Sequence[tuple[int, ...]], params: SamplingParams, seeds: Sequence[Sequence[int]]
    ) -> list[list[Draw]]:
        drawn = []
        for row, own in zip(ids, seeds, strict=True):
            assert len(own) == params.n
            text = self.chat.tokenizer.decode(list(row))
            self.asked.append((text, params, list(own)))
            drawn.append([self._draw(self.reply(text, params, number)) for number in range(params.n)])
        return drawn

    def _draw(self, said: str | Draw) -> Draw:
        return self.say(said) if isinstance(said, str) else said

    def say(self, text: str, logprob: float = -1.0, finish: Finish = "stop") -> Draw:
        """One completion with equal log-probabilities; with finish "stop" it ends in the stop token."""
        ids = tuple(self.chat.tokenizer(text)["input_ids"]) + ((STOP,) if finish == "stop" else ())
        return Draw(ids, (logprob,) * len(ids), finish)


class Table:
    """A scorer or judge that looks its numbers up by the reply's text; what is not there is missing."""

    identity = "table"

    def __init__(self, values: dict[str, float]) -> None:
        self.values = values
        self.seen: list[str] = []

    def score(self, replies: Sequence[tuple[str, Sequence[Message], str]]) -> list[tuple[Score, str | None]]:
        self.seen += [text for _, _, text in replies]
        return [
            (Score(self.values[text]) if text in self.values else Score(None, reason="not in the table"), f"on {text}")
            for _, _, text in replies
        ]


def context(
    model: Scripted, *, scorer: Scorer | None = None, judge: Judge | None = None, seed: int = 0, cap: int = 32
) -> Context:
    return Context(model, seed, cap, scorer, judge)


def pair(number: int, text: str = "what is it?", target: str | None = None, **meta: object) -> PromptPair:
    return PromptPair(
        id=f"pair-{number}",
        prompt=(Message("user", f"I say yes. {text}"),),
        teacher_prompt=(Message("user", text),),
        target=target,
        meta=meta,
    )
