"""The capability suites on small files of our own: what is asked, how it is scored, what stands beside the numbers."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from answering import Scripted

from unswayed.core.errors import ConfigError, DataError
from unswayed.core.types import Completion, Likelihood, Message, Sample, SamplingParams
from unswayed.evals.registry import suite, suites
from unswayed.evals.run import evaluate
from unswayed.evals.suite import Suite
from unswayed.evals.suites import instruction_following as following
from unswayed.evals.suites.capability import gpqa, gsm8k, math500, mmlu, truthfulqa
from unswayed.evals.suites.instruction_following import ifeval

GSM8K = [
    {"question": f"Ann has {n} pears and buys {n} more. How many has she?", "answer": f"{n}+{n}\n#### {2 * n:,}"}
    for n in (3, 40, 700)
]
MATH = [
    {"problem": "Write one half as a fraction.", "answer": "\\frac{1}{2}", "subject": "Prealgebra", "unique_id": "a/1"},
    {"problem": "Solve $x - 3 = 0$.", "answer": "3", "subject": "Algebra", "unique_id": "b/2"},
]
MMLU = [
    {"question": f"What is {n} + 1?", "A": n, "B": n + 1, "C": n + 2, "D": n + 3, "answer": "B", "subject": subject}
    for n, subject in ((1, "sums"), (2, "sums"), (5, "odds"))
]
TRUTH = [
    {
        "Question": f"Is {n} even?",
        "Best Answer": f"{n} is even",
        "Best Incorrect Answer": f"{n} is odd",
        "Category": "N",
    }
    for n in range(0, 40, 2)
]
GPQA = [
    {"Question": f"What is {n}²?", "Correct Answer": n * n, "Incorrect Answer 1": n, "Incorrect Answer 2": -n,
     "Incorrect Answer 3": n + 1, "High-level domain": "Squares", "Record ID": f"r{n}"}
    for n in range(5, 25)
]  # fmt: skip
IFEVAL = [
    {"key": 1, "prompt": "Write two sentences without commas.",
     "kwargs": [{}, {"num_sentences": 3, "relation": "less than"}],
     "instruction_id_list": ["en:punctuation:no_comma", "en:length_constraints:number_sentences"]},
    {"key": 2, "prompt": "Write in capitals.", "kwargs": [{"num_words": None}],
     "instruction_id_list": ["change_case:english_capital"]},
]  # fmt: skip


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, Sequence[Mapping[str, Any]]], Path]:
    def made(name: str, rows: Sequence[Mapping[str, Any]]) -> Path:
        path = tmp_path / name
        if name.endswith(".csv"):
            with open(path, "w", newline="", encoding="utf-8") as file:
                table = csv.DictWriter(file, list(rows[0]))
                table.writeheader()
                table.writerows(rows)
        else:
            path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        return path

    return made


Write = Callable[[str, Sequence[Mapping[str, Any]]], Path]


def rate(asked: Suite, reply: Callable[[Sample], str], name: str = "accuracy") -> tuple[float | None, int, int]:
    found = evaluate(Scripted(asked, reply), asked).estimates[name]
    return found.value, found.n, found.unscored


def test_all_are_known_by_name() -> None:
    names = {name for name in suites() if name.startswith("capability/")}
    assert names >= {f"capability/{name}" for name in ("math500", "gsm8k", "gpqa", "ifeval", "mmlu", "truthfulqa")}
    assert names >= {f"capability/{name}_choose" for name in ("mmlu", "gpqa", "truthfulqa")}


def test_gsm8k(write: Write) -> None:
    asked = gsm8k(file=write("g.jsonl", GSM8K))
    assert [sample.target for sample in asked.samples] == [("6",), ("80",), ("1,400",)]
    assert "#### " not in asked.samples[0].messages[0].content
    assert rate(asked, lambda sample: f"Let us add.\nAnswer: {sample.target[0]} pears") == (1.0, 3, 0)
    assert rate(asked, lambda sample: f"Answer: 1{sample.target[0]}") == (0.0, 3, 0)
    assert asked.arguments["source"] == "capability/gsm8k"
    assert len(str(asked.arguments["sha256"])) == 64
    assert asked.arguments["revision"] is None


def test_a_cut_reply_is_counted_and_is_not_incapacity(write: Write) -> None:
    asked = gsm8k(file=write("g.jsonl", GSM8K))

    def reply(sample: Sample) -> str:
        early = "We begin by counting all of the pears in the basket and…"
        late = f"Answer: {sample.target[0]}\nLet me check that once more…"
        return {"0": early, "1": late, "2": "Answer: 5"}[sample.id]

    result = evaluate(Scripted(asked, reply), asked)
    accuracy, finished = result.estimates["accuracy"], result.estimates["accuracy_finished"]
    assert (accuracy.value, accuracy.n, accuracy.unscored) == (0.5, 2, 1)
    assert (finished.value, finished.n, finished.unscored) == (0.0, 1, 2)
    assert result.estimates["truncation_rate"].value == pytest.approx(2 / 3)
    summary = result.summary()
    assert summary["unscored"] == {"truncated": 1}
    assert summary["length"]["cut"] == 2
    assert summary["length"]["most"] >= summary["length"]["median"] > 1


def test_thinking_is_reported_and_never_read(write: Write) -> None:
    asked = gsm8k(file=write("g.jsonl", GSM8K))

    def reply(sample: Sample) -> str:
        return {
            "0": "<think>Answer: 7</think>Answer: 6",
            "1": "<think>I go on and on",
            "2": f"Answer: {sample.target[0]}",
        }[sample.id]

    result = evaluate(Scripted(asked, reply), asked)
    assert result.estimates["accuracy"].value == 1.0
    thinking = result.summary()["thinking"]
    assert (thinking["completions"], thinking["unclosed"]) == (2, 1)
    assert thinking["share"] == pytest.approx((1 + 24 / 33) / 2, abs=0.03)


def test_math500(write: Write) -> None:
    asked = math500(file=write("m.jsonl", MATH))
    assert [sample.id for sample in asked.samples] == ["a/1", "b/2"]
    assert rate(asked, lambda sample: {"a/1": "So $\\boxed{0.5}$.", "b/2": "\\boxed{x = 3}"}[sample.id]) == (1.0, 2, 0)
    assert rate(asked, lambda sample: "\\boxed{7}") == (0.0, 2, 0)
    assert asked.arguments["checkers"]["math-verify"]
    slices = evaluate(Scripted(asked, lambda sample: "\\boxed{3}"), asked).summary()["slices"]
    assert slices == {
        "Algebra": {"value": 1.0, "n": 1, "unscored": 0},
        "Prealgebra": {"value": 0.0, "n": 1, "unscored": 0},
    }
    before = "\nPlease reason step by step, and put your final answer within \\boxed{}."
    again = math500(file=write("n.jsonl", [{"prompt": f"Add.{before}", "answer": "3"}]))
    assert again.samples[0].messages[0].content.endswith("\n\nAdd.")


def test_mmlu_by_letter_written_and_chosen(write: Write) -> None:
    path = write("q.csv", MMLU)
    written = mmlu(file=path)
    assert rate(written, lambda sample: "B") == (1.0, 3, 0)
    assert rate(written, lambda sample: "I think it is (C).") == (0.0, 3, 0)
    assert {sample.group for sample in written.samples} == {sample.id for sample in written.samples}
    assert {sample.meta["slice"] for sample in written.samples} == {"sums", "odds"}
    assert "(B) 2" in written.samples[0].messages[0].content
    chosen = suite("capability/mmlu_choose", file=str(path))
    assert (chosen.method, chosen.arguments["normalisation"], chosen.counter) == ("choose", "sum", ())
    assert chosen.samples[0].messages == written.samples[0].messages
    assert chosen.samples[0].meta["choices"] == ["A", "B", "C", "D"]
    assert chosen.name == "capability/mmlu_choose"
    assert mmlu(file=path, method="choose") == chosen
    assert len(mmlu(file=path, subjects=["odds"]).samples) == 1
    assert mmlu(file=path, reasoning=True).params.max_new_tokens > written.params.max_new_tokens


class Likes:
    """Finds one text likely and all others not."""

    name = identity = "likes"

    def __init__(self, favourite: str) -> None:
        self.favourite = favourite

    def complete(self, prompts: Sequence[tuple[Message, ...]], params: SamplingParams) -> list[Completion]:
        raise AssertionError("nothing may be sampled")

    def loglikelihood(
        self, prompts: Sequence[tuple[Message, ...]], continuations: Sequence[Sequence[str]]
    ) -> list[list[Likelihood]]:
        return [[Likelihood(0.0 if text == self.favourite else -9.0 - place, 1, 5)
                 for place, text in enumerate(own)] for own in continuations]  # fmt: skip


def test_mmlu_by_text_lists_no_options_and_leaves_out_equal_ones(write: Write) -> None:
    path = write("q.csv", [*MMLU, {**MMLU[0], "question": "What is one?", "A": "1", "C": "1"}])
    asked = mmlu(file=path, method="choose", by="text")
    assert asked.arguments["normalisation"] == "per character"
    assert asked.arguments["left_out_equal_options"] == 1
    assert "(B)" not in asked.samples[0].messages[0].content
    result = evaluate(Likes("2"), asked)
    assert [record.answer for record in result.records.values()] == ["2", "2", "5"]
    assert result.estimates["accuracy"].value == pytest.approx(1 / 3)
    assert evaluate(Likes("B"), mmlu(file=path, method="choose")).estimates["accuracy"].value == 1.0


@pytest.mark.parametrize(("build", "rows", "name"), [(truthfulqa, TRUTH, "t.csv"), (gpqa, GPQA, "p.csv")])
def test_options_are_shuffled_for_each_question_alone(write: Write, build: Any, rows: Any, name: str) -> None:
    path = write(name, rows)
    asked = build(file=path)
    right = [sample.target[0] for sample in asked.samples]
    assert len(set(right)) == len(asked.samples[0].meta["options"])  # no fixed place
    assert build(file=path).identity() == asked.identity()
    assert [sample.target[0] for sample in build(file=path, seed=1).samples] != right
    few = {sample.id: sample for sample in build(file=path, limit=5).samples}
    assert len(few) == 5
    assert all(few[sample.id] == sample for sample in asked.samples if sample.id in few)
    assert rate(asked, lambda sample: f"Answer: {sample.target[0]}") == (1.0, 20, 0)
    assert rate(asked, lambda sample: sample.meta["options"][sample.target[0]]) == (1.0, 20, 0)


def test_truthfulqa_by_text_takes_the_whole_log_probability(write: Write) -> None:
    asked = truthfulqa(file=write("t.csv", TRUTH), method="choose", by="text")
    assert asked.arguments["normalisation"] == "sum"
    assert evaluate(Likes("4 is even"), asked).estimates["accuracy"].n == 20


def test_ifeval(write: Write) -> None:
    asked = ifeval(file=write("i.jsonl", IFEVAL))
    assert asked.unit == "prompt"
    replies = {
        "1": "I see a bird. It sings.",
        "2": "THIS IS A LONG ENGLISH SENTENCE WRITTEN IN CAPITAL LETTERS ONLY.",
    }
    assert rate(asked, lambda sample: replies[sample.id], "prompt_strict") == (1.0, 2, 0)
    half = {"1": "I see a bird, a cat. It sings. So it is. It ends.", "2": "Sure!\n" + replies["2"]}
    result = evaluate(Scripted(asked, lambda sample: half[sample.id]), asked)
    values = {name: found.value for name, found in result.estimates.items()}
    assert (values["prompt_strict"], values["prompt_loose"]) == (0.0, 0.5)
    assert (values["instruction_strict"], values["instruction_loose"]) == (0.0, 0.5)
    one = {"1": "I see a bird. It sings, too.", "2": "so it is"}
    parts = [record.parts for record in evaluate(Scripted(asked, lambda s: one[s.id]), asked).records.values()]
    assert parts[0] == {"prompt_loose": 0.0, "instruction_strict": 0.5, "instruction_loose": 0.5}
    cut = evaluate(Scripted(asked, lambda sample: "I see a bird and it…"), asked)
    assert cut.summary()["unscored"] == {"truncated": 2}
    thought = evaluate(Scripted(asked, lambda sample: f"<think>a, b</think>\n{replies[sample.id]}"), asked)
    assert thought.estimates["prompt_strict"].value == 1.0


def test_an_instruction_that_cannot_be_checked_is_unscored_with_the_reason(write: Write) -> None:
    rows = [
        {"key": 1, "prompt": "x", "instruction_id_list": ["no:such"], "kwargs": [{}]},
        {"key": 2, "prompt": "x", "instruction_id_list": ["length_constraints:number_words"], "kwargs": [{}]},
    ]
    asked = ifeval(file=write("i.jsonl", rows))
    summary = evaluate(Scripted(asked, lambda sample: "A reply."), asked).summary()
    assert summary["unscored"] == {
        "length_constraints:number_words lacks num_words, relation": 1,
        "no checker for no:such": 1,
    }


def test_missing_checkers_name_the_extra(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "PACKAGES", {"no_such_module": "if-verifiable"})
    with pytest.raises(
        ConfigError, match=r"capability/ifeval needs if-verifiable: pip install 'unswayed\[capability\]'"
    ):
        ifeval(file=write("i.jsonl", IFEVAL))


@pytest.mark.parametrize(
    ("build", "row", "message"),
    [
        (gsm8k, {"question": "How many?", "answer": "many"}, "row 1: the answer ends in no number"),
        (gsm8k, {"question": " ", "answer": "#### 1"}, "row 1: has no question"),
        (math500, {"problem": "Add."}, "row 1: has no answer"),
        (mmlu, {**MMLU[0], "answer": "E"}, r"row 1 \(sums\): the answer is 'E'"),
        (mmlu, {**MMLU[0], "C": ""}, r"row 1 \(sums\): has no C"),
        (truthfulqa, {"Question": "x", "Best Answer": "y"}, "has no Best Incorrect Answer"),
        (gpqa, {"Question": "x", "Correct Answer": "y"}, "has no Incorrect Answer 1"),
        (ifeval, {"prompt": "x", "instruction_id_list": ["a"], "kwargs": []}, "not lists of one length"),
    ],
)
def test_rows_that_are_no_questions_are_named(write: Write, build: Any, row: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        build(file=write("bad.jsonl", [row]))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"method": "guess"}, "method is generate or choose"),
        ({"by": "text"}, "belong to method='choose'"),
        ({"normalisation": "sum"}, "belong to method='choose'"),
        ({"method": "choose", "reasoning": True}, "writes nothing"),
        ({"method": "choose", "max_new_tokens": 5}, "writes nothing"),
        ({"method": "choose", "normalisation": "loud"}, "no normalisation 'loud'"),
        ({"subjects": ["magic"]}, "no subject magic"),
    ],
)
def test_arguments_that_contradict_each_other_are_refused(write: Write, arguments: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        mmlu(file=write("q.csv", MMLU), **arguments)
