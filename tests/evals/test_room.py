"""Prompts that a model's context cannot hold together with an answer are refused before anything is drawn."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from unswayed.core.errors import DataError
from unswayed.core.types import Message, Sample, SamplingParams
from unswayed.engine.policy import load_policy
from unswayed.evals.run import evaluate
from unswayed.evals.suite import Suite


def asked(*lengths: int, new: int = 4) -> Suite:
    samples = tuple(
        Sample(
            str(length), (Message("user", "one " * length),), str(length), "asked", ("yes",), {"choices": ["yes", "no"]}
        )
        for length in lengths
    )
    return Suite("test/room", 1, samples, ("parse_rate",), params=SamplingParams(max_new_tokens=new, temperature=0.0))


def test_prompts_without_room_for_an_answer_are_named_and_nothing_is_written(
    tiny_model_dir: Path, tmp_path: Path
) -> None:
    policy = load_policy(str(tiny_model_dir), dtype="float32", device="cpu")
    most = policy.chat.context_length
    assert most is not None
    lengths = [len(policy.chat.render(prompt.messages)) for prompt in asked(1, most).samples]
    with pytest.raises(DataError, match="1 problem in test/room, 2 prompts") as raised:
        evaluate(policy, asked(1, most), tmp_path / "out")
    assert raised.value.problems == (f"{most}: {lengths[1]} + 4 > {most} tokens",)
    assert not (tmp_path / "out").exists()
    with pytest.raises(DataError, match=rf"\+ 1 > {most} tokens"):
        evaluate(policy, replace(asked(1, most), method="choose"))
    assert len(evaluate(policy, asked(1, 2)).records) == 2
