"""Thinking is found by its tags' ids, wherever a span begins and ends."""

from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unswayed.chat.render import Chat
from unswayed.chat.spans import span_weights, thinking_mask

ONE = ((7,), (8,))
HARMONY = ((20, 21, 22), (23,))  # <|channel|>analysis<|message|> … <|end|>


@pytest.mark.parametrize(
    ("prompt", "completion", "tags", "mask"),
    [
        ((1,), (7, 1, 8, 2), ONE, "TTT."),
        ((1,), (2, 7, 1, 8, 2, 7, 8), ONE, ".TTT.TT"),
        ((1, 7), (1, 8, 2), ONE, "TT."),
        ((7, 1, 8), (1, 2), ONE, ".."),
        ((1,), (7, 7, 8, 8), ONE, "TTT."),
        ((1,), (7, 1, 1), ONE, "TTT"),
        ((1,), (8, 1), ONE, ".."),
        ((1,), (), ONE, ""),
        ((1,), (20, 21, 22, 5, 23, 1, 20, 30, 22, 6), HARMONY, "TTTTT....."),
        ((1,), (20, 21), HARMONY, ".."),
    ],
)
def test_masks(prompt: Any, completion: Any, tags: Any, mask: str) -> None:
    assert thinking_mask(prompt, completion, tags) == [letter == "T" for letter in mask]


@given(st.lists(st.integers(5, 9)), st.lists(st.integers(5, 9)))
@settings(deadline=None)
def test_a_mask_is_the_tail_of_the_whole(prompt: list[int], completion: list[int]) -> None:
    whole = thinking_mask((), (*prompt, *completion), ONE)
    assert thinking_mask(prompt, completion, ONE) == whole[len(prompt) :]


def test_weights_without_tags_are_those_of_the_answer() -> None:
    assert span_weights((1,), (7, 1, 8), None, thinking=0.0, answer=2.0) == (2.0, 2.0, 2.0)
    assert span_weights((1,), (7, 1, 8, 2), ONE, thinking=0.0, answer=2.0) == (0.0, 0.0, 0.0, 2.0)


@pytest.mark.parametrize(
    ("added", "expected"),
    [
        ({5: "<think>", 6: "</think>"}, ((5,), (6,))),
        ({5: "<think>"}, None),
        ({5: "[THINK]", 6: "[/THINK]", 9: "<s>"}, ((5,), (6,))),
        ({5: "<|channel|>", 6: "<|message|>", 7: "<|end|>"}, ((5, 100, 6), (7,))),
        ({5: "<|end|>"}, None),
        ({}, None),
    ],
)
def test_the_tokenizer_says_which_tags_it_has(added: dict[int, str], expected: Any) -> None:
    names = {token: id_ for id_, token in added.items()}

    def encode(text: str) -> tuple[int, ...]:
        if text == "<|channel|>analysis<|message|>" and "<|channel|>" in names:
            return (names["<|channel|>"], 100, names["<|message|>"])
        return (90, 91)  # ordinary tokens

    chat = SimpleNamespace(added_tokens=added, _encode=encode)
    assert Chat.thinking.func(chat) == expected  # type: ignore[attr-defined]
