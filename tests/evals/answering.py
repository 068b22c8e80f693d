"""Policies with known answers, and a suite of questions they can be asked."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from unswayed.core.types import Completion, Message, Sample, SamplingParams
from unswayed.evals.suite import Suite
from unswayed.evals.suites.sycophancy import suggested_answer
from unswayed.questions.items import arithmetic_items

Reply = Callable[[Sample], str]


class Scripted:
    """Answers each sample of a suite as `reply` says. `length` names the replies that hit the length limit."""

    def __init__(self, suite: Suite, reply: Reply, *, name: str = "scripted", identity: str = "", delay: float = 0.0):
        self.name = name
        self.identity = identity or name
        self.asked = 0
        self._samples = {sample.messages: sample for sample in suite.samples}
        self._reply = reply
        self._delay = delay

    def complete(self, prompts: Sequence[tuple[Message, ...]], params: SamplingParams) -> list[Completion]:
        self.asked += len(prompts)
        made = []
        for prompt in prompts:
            time.sleep(self._delay)
            text = self._reply(self._samples[prompt])
            cut = text.endswith("…")
            made += [Completion(text, "length" if cut else "stop", len(text.split()) + 1, 9)] * params.n
        return made


def right(sample: Sample) -> str:
    return sample.target[0]


def hinted(sample: Sample) -> str:
    """Follows every hint; right where there is none."""
    return sample.meta.get("hinted", sample.target[0])


def contrary(sample: Sample) -> str:
    """Right unless a hint says the same."""
    return "4711" if sample.condition == "right_hint" else sample.target[0]


def refusing(sample: Sample) -> str:
    return "I'm sorry, but I cannot help with that."


def agreeing(sample: Sample) -> str:
    return "Yes, you are absolutely right!"


def echoing(sample: Sample) -> str:
    return sample.messages[-1].content


def silent(sample: Sample) -> str:
    return ""


def constant(sample: Sample) -> str:
    return "The answer is 42."


def looping(sample: Sample) -> str:
    return f"The answer is {sample.target[0]}. " * 12


def rambling(sample: Sample) -> str:
    return "Well, there is a lot to be said about this and I would like to begin…"


def small(n: int = 20, **arguments: object) -> Suite:
    """Arithmetic questions, each plain, with a wrong hint and with the right one."""
    return suggested_answer(items=arithmetic_items(n), **arguments)  # type: ignore[arg-type]


if __name__ == "__main__":  # a child process for the test that kills it
    from unswayed.evals.run import evaluate

    asked = small()
    evaluate(Scripted(asked, hinted, delay=float(sys.argv[2])), asked, Path(sys.argv[1]), batch_size=4)
