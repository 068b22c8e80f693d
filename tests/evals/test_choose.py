"""Answers chosen by likelihood: the records, the normalisations, what is refused, and going on after a stop."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from answering import Scripted

from unswayed.chat.render import Chat
from unswayed.core.errors import ConfigError, DataError, NotFiniteError
from unswayed.core.types import Completion, Likelihood, Message, Sample, SamplingParams
from unswayed.engine.policy import load_policy
from unswayed.evals.choose import NORMALISATIONS
from unswayed.evals.records import Choice, Record
from unswayed.evals.run import evaluate
from unswayed.evals.suite import Suite


def sample(number: int, choices: Sequence[str] = ("yes", "no"), target: str = "yes") -> Sample:
    text = f"Is {number} {'the ' * number}one?"
    return Sample(str(number), (Message("user", text),), str(number), "asked", (target,), {"choices": list(choices)})


def suite(*samples: Sample, **arguments: Any) -> Suite:
    return Suite("test/choose", 1, samples, ("parse_rate",), method="choose", arguments=arguments)


class Weighing:
    """Says of each text what a table says, two tokens a word."""

    name = identity = "weighing"

    def __init__(self, table: dict[str, float]) -> None:
        self.table = table
        self.asked: list[int] = []

    def complete(self, prompts: Sequence[tuple[Message, ...]], params: SamplingParams) -> list[Completion]:
        raise AssertionError("nothing may be sampled")

    def loglikelihood(
        self, prompts: Sequence[tuple[Message, ...]], continuations: Sequence[Sequence[str]]
    ) -> list[list[Likelihood]]:
        self.asked.append(len(prompts))
        return [[Likelihood(self.table[text], 2 * len(text.split()), 9) for text in own] for own in continuations]


TABLE = {"yes": -4.0, "no": -2.5, "not at all ever": -6.0}


@pytest.mark.parametrize(
    ("normalisation", "chosen"), [("sum", "no"), ("per token", "not at all ever"), ("per character", "not at all ever")]
)
def test_the_best_answer_under_each_normalisation(normalisation: str, chosen: str) -> None:
    asked = suite(sample(1, ("yes", "no", "not at all ever")), normalisation=normalisation)
    (record,) = evaluate(Weighing(TABLE), asked).records.values()
    assert (record.answer, record.text, record.value) == (chosen, chosen, 0.0)
    assert (record.finish, record.broken, record.reason) == ("stop", "", None)
    assert (record.tokens, record.prompt_tokens) == (2 * len(chosen.split()), 9)
    scores = {choice.text: choice.score for choice in record.choices}
    divisors = {"sum": lambda t: 1, "per token": lambda t: 2 * len(t.split()), "per character": len}
    assert scores == pytest.approx({text: TABLE[text] / divisors[normalisation](text) for text in scores})
    assert [choice.logprob for choice in record.choices] == [TABLE[choice.text] for choice in record.choices]


def test_a_tie_is_no_choice() -> None:
    result = evaluate(Weighing({"yes": -1.0, "no": -1.0}), suite(sample(1)))
    (record,) = result.records.values()
    assert (record.value, record.answer, record.reason) == (None, None, "tie")
    assert result.summary()["unscored"] == {"tie": 1}


def test_a_record_is_read_back_as_it_was_written() -> None:
    (record,) = evaluate(Weighing(TABLE), suite(sample(1))).records.values()
    assert record.choices == (Choice("yes", -4.0, 2, -4.0), Choice("no", -2.5, 2, -2.5))
    assert Record.from_row(json.loads(json.dumps(record.row()))) == record
    plain = replace(record, choices=())
    assert not {"choices", "parts", "slice"} & plain.row().keys()
    assert Record.from_row(plain.row()) == plain


def test_what_cannot_be_chosen_is_refused() -> None:
    asked = suite(sample(1))
    with pytest.raises(ConfigError, match="gives no log-likelihoods"):
        evaluate(Scripted(asked, lambda _: "yes"), asked)
    with pytest.raises(ConfigError, match="no normalisation 'loud'; there are sum, per token, per character"):
        evaluate(Weighing(TABLE), suite(sample(1), normalisation="loud"))
    with pytest.raises(ConfigError, match="set n to 1"):
        evaluate(Weighing(TABLE), replace(asked, params=SamplingParams(n=2)))
    bad = (sample(1, ("yes", "yes")), sample(2, ("no", "maybe")), sample(3, ("yes", "")), sample(4, ()), sample(5))
    with pytest.raises(DataError, match="cannot be chosen from") as caught:
        evaluate(Weighing(TABLE), suite(*bad))
    assert [problem[0] for problem in caught.value.problems] == ["1", "2", "3", "4"]
    for value in (math.nan, -math.inf):
        with pytest.raises(NotFiniteError, match="sample 1"):
            evaluate(Weighing({**TABLE, "no": value}), asked)


def test_it_goes_on_where_it_stopped_and_refuses_another_normalisation(tmp_path: Path) -> None:
    asked = suite(*(sample(number) for number in range(10)))
    whole = evaluate(Weighing(TABLE), asked, tmp_path / "whole", batch_size=4)
    evaluate(Weighing(TABLE), asked, tmp_path / "cut", batch_size=4)
    (tmp_path / "cut" / "results.json").unlink()
    records = tmp_path / "cut" / "records.jsonl"
    records.write_text("".join(records.read_text().splitlines(keepends=True)[:6]))
    again = Weighing(TABLE)
    resumed = evaluate(again, asked, tmp_path / "cut", batch_size=4)
    assert again.asked == [4, 2]
    assert resumed.records == whole.records
    assert records.read_bytes() == (tmp_path / "whole" / "records.jsonl").read_bytes()
    with pytest.raises(ConfigError, match="normalisation"):
        evaluate(Weighing(TABLE), replace(asked, arguments={"normalisation": "per token"}), tmp_path / "cut")


def test_a_loaded_model_weighs_answers_as_its_own_logits_say(tiny_model_dir: Path) -> None:
    policy = load_policy(str(tiny_model_dir), dtype="float32", device="cpu")
    texts = ("yes", "no", "the answer is yes")
    prompts = [sample(number).messages for number in (1, 5)]
    found = policy.loglikelihood(prompts, [texts, texts[:2]])
    chat: Chat = policy.chat
    for prompt, own, asked in zip(prompts, found, (texts, texts[:2]), strict=True):
        ids = chat.render(prompt)
        for text, one in zip(asked, own, strict=True):
            given = chat.encode_completion(prompt, text, ended=False)
            assert chat.decode(given) == text
            assert (*given, chat.turn_end_id) == chat.encode_completion(prompt, text)
            with torch.no_grad():
                logits = policy.model(input_ids=torch.tensor([[*ids, *given]])).logits[0].double()
            logprobs = torch.log_softmax(logits, -1)
            expected = sum(float(logprobs[len(ids) - 1 + place, id_]) for place, id_ in enumerate(given))
            assert one.logprob == pytest.approx(expected, abs=1e-4)
            assert (one.tokens, one.prompt_tokens) == (len(given), len(ids))


def test_every_normalisation_is_a_function_of_text_and_likelihood() -> None:
    one = Likelihood(-6.0, 3, 5)
    assert {name: measure("four", one) for name, measure in NORMALISATIONS.items()} == {
        "sum": -6.0,
        "per token": -2.0,
        "per character": -1.5,
    }
