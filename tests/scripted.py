"""A causal model that says what a test wants, through the real tokenizer and template."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from unswayed.chat.render import Chat
from unswayed.core.types import Finish, Message, PromptPair, SamplingParams
from unswayed.engine.decode.sampler import Draw
from unswayed.engine.policy import Policy
from unswayed.judges.base import Grader, Item, Verdict
from unswayed.labels.base import Context

Reply = Callable[[str, SamplingParams, int], str | Draw]
STOP = 2


class Scripted(Policy):
    """`reply(prompt text, params, number of the draw)` is the whole model; every question asked is kept in `asked`."""

    def __init__(self, folder: Path, reply: Reply, identity: str = "scripted") -> None:
        self.chat = Chat.load(folder)
        self.reply = reply
        self.identity = self.name = identity
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
    """A grader that looks its numbers up by the reply's text; what is not there is missing."""

    identity = "table"

    def __init__(self, values: dict[str, float]) -> None:
        self.values = values
        self.seen: list[str] = []

    def grade(self, items: Sequence[Item]) -> list[Verdict]:
        self.seen += [item.reply for item in items]
        return [
            Verdict(str(self.values[item.reply]), self.values[item.reply], "ok", f"on {item.reply}", "table", "sent")
            if item.reply in self.values
            else Verdict(None, None, "unparsed", f"on {item.reply}", "table", "sent", reason="not in the table")
            for item in items
        ]


def context(
    model: Scripted, *, scorer: Grader | None = None, judge: Grader | None = None, seed: int = 0, cap: int = 32
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
