"""A completion of a prompt that leaves thinking open begins inside it; tags that a sentence speaks of open nothing."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from unswayed.chat.spans import thinking_mask
from unswayed.core.types import Message, SamplingParams
from unswayed.engine.policy import Policy
from unswayed.readers.text import opened_thinking, prepare

WORDS = {1: "user", 2: "so", 3: "12", 5: "<think>", 6: "</think>"}


class Thinker(Policy):
    """A policy whose prompt is `prompt`, and that always writes `reply`, cut off."""

    name = "thinker"

    def __init__(self, prompt: tuple[int, ...], reply: tuple[int, ...]) -> None:
        decode = lambda ids: "".join(WORDS[id_] for id_ in ids)  # noqa: E731
        self.chat: Any = SimpleNamespace(
            render=lambda _: prompt,
            decode=decode,
            thinking=((5,), (6,)),
            pad_id=0,
            opens_thinking=lambda ids: thinking_mask(ids, (0,), ((5,), (6,)))[0],
        )
        self.reply = reply

    def draw(self, ids: Any, params: Any, seeds: Any) -> Any:
        return [[SimpleNamespace(completion_ids=self.reply, finish="length")] for _ in ids]


@pytest.mark.parametrize(
    ("prompt", "reply", "text", "read"),
    [
        ((1, 5), (2, 3), "<think>so12", None),
        ((1, 5), (2, 6, 3), "<think>so</think>12", "12"),
        ((1, 5, 6), (3,), "12", "12"),
        ((1,), (3,), "12", "12"),
    ],
)
def test_a_policy_shows_the_thinking_that_its_prompt_opened(
    prompt: tuple[int, ...], reply: tuple[int, ...], text: str, read: str | None
) -> None:
    (made,) = Thinker(prompt, reply).complete([(Message("user", "?"),)], SamplingParams())
    assert made.text == text
    assert prepare(made.text) == (("", "thinking not closed") if read is None else (read, None))


PAIRS = [
    ("<think>", "</think>"), ("<thinking>", "</thinking>"), ("<thought>", "</thought>"),
    ("<reasoning>", "</reasoning>"),
    ("<think_fast>", "</think_fast>"), ("<reflection>", "</reflection>"), ("<scratchpad>", "</scratchpad>"),
    ("[THINK]", "[/THINK]"), ("<seed:think>", "</seed:think>"), ("<longcat_think>", "</longcat_think>"),
    ("\u25c1think\u25b7", "\u25c1/think\u25b7"), ("<|START_THINKING|>", "<|END_THINKING|><|START_RESPONSE|>"),
    ("<|begin_of_thought|>", "<|end_of_thought|>\n<|begin_of_solution|>"), ("<|channel>thought\n", "<channel|>"),
    ("<unused94>thought\n", "<unused95>"), ("<|inner_prefix|>", "<|inner_suffix|>"),
    ("<|channel|>analysis<|message|>", "<|end|><|start|>assistant<|channel|>final<|message|>"),
    ("Here is my thought process: ", "\nHere is my response: "),
]  # fmt: skip


@pytest.mark.parametrize(("opens", "closes"), PAIRS)
def test_every_pair_of_marks_encloses_thinking(opens: str, closes: str) -> None:
    assert prepare(f"{opens}It may be 13.{closes}12") == ("12", None)
    assert prepare(f"{opens}It may be 13, so the answer is 13").reason == "thinking not closed"
    assert prepare(f"It may be 13.{closes}12") == ("12", None)
    if "thought process" not in opens:  # two sentences of the model's own
        assert opened_thinking(f"How many?\n{opens}").strip() == opens.strip()
    assert opened_thinking(f"How many?\n{opens}no{closes}") == ""


@pytest.mark.parametrize(
    "text",
    [
        "Models write <think> before they answer. It is 12.",
        "The tag `<think>` opens a span, 12.",
        'Put "<think>" first: 12',
        "It is 12. (<think> is a tag.)",
        "[think] 12",
        "The answer is 12; a closing </think> tag ends the span.",
    ],
)
def test_a_tag_that_a_sentence_speaks_of_opens_nothing(text: str) -> None:
    assert "12" in prepare(text).text
